//! What a mailbox holds under its lock.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

use sockeye_proto::CloseReason;

use super::item::{Queued, Reached};
use super::policy::{OverflowPolicy, Overflowed};
use super::signal::Locked;
use super::waiter::Waiters;
use crate::error::SendError;
use crate::fanout::latest::Latest;
use crate::fanout::subscriptions::Subscriptions;

/// How the application asked the driver to end the connection.
// The mailbox and the driver each hold one as an `Option<Box<_>>`: most connections have none yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the driver acts on each")]
pub enum Directive {
    /// Sends a Close with this reason behind the items.
    Close(CloseReason),
    /// Drops the transport at once.
    Abort,
}

#[repr(C)]
#[derive(Debug)]
pub(super) struct State<D> {
    // Takes no memory.
    pub(super) locked: Locked,
    // The waker of the driver's task, once it has parked.
    pub(super) driver: Option<Waker>,
    // The way by which a deliverer writes while the driver is parked.
    pub(super) direct: Option<D>,
    // The limit of the weight.
    pub(super) limit: usize,
    // The bytes of payload, and the bytes that their items count for against the limit.
    pub(super) bytes: usize,
    pub(super) weight: usize,
    // The bytes of payload that the outbox dropped when it was shut.
    pub(super) dropped: usize,
    pub(super) items: VecDeque<Queued>,
    // The number of the last item that was put into each lane, and of the last one that is written.
    pub(super) pushed: Reached,
    pub(super) written: Reached,
    pub(super) directive: Option<Box<Directive>>,
    // When a sweeper has to wake the driver, and whether one looks at this mailbox.
    pub(super) due: Option<Instant>,
    pub(super) is_swept: bool,
    // Whether the mailbox is a member of the channel of its first subscription.
    pub(super) has_first: bool,
    // Counts the pings that came, and the values of conflated channels that came past their logs. It wraps.
    pub(super) events: u16,
    pub(super) overflow: OverflowPolicy,
    // Whether the session has lost a message before.
    pub(super) has_overflowed: bool,
    pub(super) lifetime: Lifetime,
    // Boxed: most idle connections need none of it.
    pub(super) waiters: Option<Box<Waiters>>,
    // Boxed: a connection gets one at its end.
    pub(super) end: Option<Box<CloseReason>>,
    // Boxed: most sessions have no subscription but the first.
    pub(super) others: Option<Box<Subscriptions>>,
}

/// The stages of an outbox's life, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lifetime {
    /// The outbox takes items, unless the application has asked for a Close or an abort.
    Open,
    /// The outbox takes nothing: this side's Close is sent, or the connection can send nothing.
    Shut,
    /// The transport is gone too.
    Gone,
}

impl<D> State<D> {
    pub(super) fn new(limit: usize, overflow: OverflowPolicy) -> Self {
        Self {
            locked: Locked::new(),
            driver: None,
            direct: None,
            limit,
            bytes: 0,
            weight: 0,
            dropped: 0,
            items: VecDeque::new(),
            pushed: Reached::default(),
            written: Reached::default(),
            directive: None,
            is_swept: false,
            due: None,
            events: 0,
            overflow,
            has_overflowed: false,
            has_first: false,
            lifetime: Lifetime::Open,
            waiters: None,
            end: None,
            others: None,
        }
    }

    pub(super) fn check_open(&self) -> Result<(), SendError> {
        if self.lifetime > Lifetime::Open || self.directive.is_some() {
            Err(SendError::Closed)
        } else {
            Ok(())
        }
    }

    /// The waker of the driver, if the driver has to be woken.
    pub(super) fn driver_if(&self, has_to_wake: bool) -> Option<Waker> {
        has_to_wake.then(|| self.driver.clone())?
    }

    pub(super) fn waiters(&mut self) -> &mut Waiters {
        self.waiters.get_or_insert_default()
    }

    pub(super) fn is_awaited_for_room(&self) -> bool {
        self.first_for_room().is_some()
    }

    /// The task that has waited longest for room. To wake it does not remove it: it stays in the list until its item is in,
    /// or it gives up.
    pub(super) fn first_for_room(&self) -> Option<(u64, &Waker)> {
        self.waiters.as_ref()?.room.first()
    }

    /// A clone of the waker of the task that waits longest for room.
    pub(super) fn waker_for_room(&self) -> Option<Waker> {
        self.first_for_room().map(|(_, waker)| waker.clone())
    }

    /// Drops the control frames, and removes the tasks that wait for room or for a write.
    pub(super) fn release_senders(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        if let Some(waiters) = &mut self.waiters {
            waiters.controls = VecDeque::new();
            waiters.latest = Latest::default();
            waiters.in_gaps = 0;
            wakes.extend(waiters.room.take_all());
            wakes.extend(waiters.parts.take_all());
            wakes.extend(waiters.writers.take_all());
        }
        wakes
    }

    /// Notes messages that the session lost while no one could be told.
    #[cold]
    pub(super) fn note_loss(&mut self, lost: Overflowed) {
        let noted = &mut self.waiters().lost;
        *noted = Some(noted.map_or(lost, |before| before.and(lost)));
    }

    /// Takes what the session lost since the last call.
    pub(super) fn take_loss(&mut self) -> Option<Overflowed> {
        self.waiters.as_mut()?.lost.take()
    }
}

/// The wakers of the tasks that an operation has to wake, collected under a lock, and woken without it.
#[derive(Default)]
#[must_use = "the tasks wait"]
pub(super) struct Wakes {
    one: Option<Waker>,
    more: Vec<Waker>,
}

impl Wakes {
    /// Adds a task, if there is one.
    #[inline]
    pub(super) fn add(&mut self, waker: Option<Waker>) {
        match (&self.one, waker) {
            (None, waker) => self.one = waker,
            (Some(_), Some(waker)) => self.more.push(waker),
            (Some(_), None) => {}
        }
    }

    /// Wakes the tasks. The caller holds no lock.
    #[inline]
    pub(super) fn wake(self) {
        if let Some(one) = self.one {
            one.wake();
        }
        self.more.into_iter().for_each(Waker::wake);
    }
}

impl Extend<Waker> for Wakes {
    fn extend<I: IntoIterator<Item = Waker>>(&mut self, wakers: I) {
        for waker in wakers {
            self.add(Some(waker));
        }
    }
}
