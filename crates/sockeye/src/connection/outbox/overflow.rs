//! The policies for a message that finds no room, and whose sender does not wait.
//!
//! ```text
//!   DropOldest:   awaited  loose  loose  awaited  loose  ◀── newest, loose
//!                 awaited  gap 2         awaited  loose   newest
//! ```
//!
//! The number of an item follows from its place. So messages that give way behind an item that stays leave a gap.
//! Neighbouring gaps become one: there are no more gaps than items that stay.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Waker;

use sockeye_proto::{CloseCode, CloseReason};

use super::send::Stage;
use super::waiter::wake_one;
use super::{Item, Outbox, Send, State, Ticket};
use crate::error::SendError;
use crate::sync::{Arc, MutexGuard, lock};

/// The policy for a message that finds no room in a session's outbox, because the peer reads more slowly than the
/// application sends.
///
/// A session has two of these policies. One is for the [asynchronous remote](crate::endpoint::AsyncRemote): `Refuse`
/// unless [`EndpointConfig::overflow`](crate::endpoint::EndpointConfig::overflow) or
/// [`Session::set_overflow`](crate::Session::set_overflow) says otherwise. The other is for
/// [broadcasts](crate::endpoint::OpenSessions::broadcast), which report nothing of a single session: `Close` unless
/// [`EndpointConfig::broadcast_overflow`](crate::endpoint::EndpointConfig::broadcast_overflow) or
/// [`Session::set_broadcast_overflow`](crate::Session::set_broadcast_overflow) says otherwise. The [basic
/// remote](crate::endpoint::BasicRemote) waits for room, and a handler's reply always has room.
///
/// If a session loses messages in this way, or is closed for it, one warning is logged. There is none for `Refuse` at
/// the asynchronous remote, which returns an error to the sender.
/// [`Stats::dropped_messages`](crate::server::Stats::dropped_messages) counts them.
///
/// If a peer takes nothing at all, the connection ends after
/// [`Config::write_timeout`](crate::proto::Config::write_timeout) under each policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The message is not taken. The asynchronous remote returns [`SendError::Full`]; a broadcast leaves the session
    /// out.
    Refuse,
    /// The message is taken and dropped, and the sender gets no error at once. Its handle returns [`SendError::Full`] when
    /// it is awaited.
    DropNewest,
    /// The oldest messages that were sent under this policy are dropped, as many as the new one needs. Their handles
    /// return [`SendError::Full`] when they are awaited. If they are too few, the new message is dropped. Use this for a
    /// state of which only the newest version counts.
    DropOldest,
    /// The session is closed with 1013, "try again later", behind the messages that wait. The asynchronous remote
    /// returns [`SendError::Full`].
    Close,
}

/// The policies of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverflowPolicy {
    /// The policy of the asynchronous remote, which can return an error to its sender.
    pub(crate) remote: Overflow,
    pub(crate) broadcast: Overflow,
}

impl Default for OverflowPolicy {
    fn default() -> Self {
        Self {
            remote: Overflow::Refuse,
            broadcast: Overflow::Close,
        }
    }
}

impl OverflowPolicy {
    fn of(self, source: Source) -> Overflow {
        match source {
            Source::Remote => self.remote,
            Source::Broadcast => self.broadcast,
        }
    }
}

/// The sender of a message that does not wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Remote,
    Broadcast,
}

/// What the policy did about a message that found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflowed {
    pub(crate) policy: Overflow,
    /// The number of the message, if others gave way for it.
    pub(crate) ticket: Option<Ticket>,
    /// The number of messages that are not sent: the message, or those that gave way.
    pub(crate) dropped: usize,
    /// Whether the session lost no message before.
    pub(crate) is_first: bool,
}

/// The outcome of offering a message.
#[derive(Debug)]
pub(super) enum Offered {
    Taken(Ticket),
    Overflowed(Overflowed),
}

/// Whether a message gave way. Its outbox is locked for each look and each change.
pub(crate) type Fate = Arc<AtomicBool>;

pub(super) fn gave_way(fate: &Fate) -> bool {
    fate.load(Relaxed)
}

/// The reason of the Close for a peer that is too slow.
const TOO_SLOW: &str = "too much waits to be sent";

impl Outbox {
    /// Sets the policy of the asynchronous remote.
    pub(crate) fn set_overflow(&self, overflow: Overflow) {
        lock(&self.state).overflow.remote = overflow;
    }

    /// Sets the policy for broadcasts.
    pub(crate) fn set_broadcast_overflow(&self, overflow: Overflow) {
        lock(&self.state).overflow.broadcast = overflow;
    }

    /// Puts in an item of the asynchronous remote. Applies the policy if there is no room now, or if other tasks wait for
    /// room. Returns a future of the write. Calls `overflowed`, with nothing locked, if messages are lost and no sender
    /// gets an error for it.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`], and drops the item.
    pub(crate) fn offer_awaited(
        self: &Arc<Self>,
        item: Item,
        overflowed: impl FnOnce(Overflowed),
    ) -> Result<Send, SendError> {
        let mut fate = None;
        let ticket = match self.offer(item, Source::Remote, Some(&mut fate))? {
            Offered::Taken(ticket) => Some(ticket),
            Offered::Overflowed(Overflowed {
                policy: Overflow::Refuse,
                ..
            }) => {
                return Err(SendError::Full);
            }
            Offered::Overflowed(lost) => {
                overflowed(lost);
                if lost.policy == Overflow::Close {
                    return Err(SendError::Full);
                }
                lost.ticket
            }
        };
        let stage = ticket.map_or(Stage::Dropped, |ticket| Stage::Written {
            ticket,
            waiter: None,
            fate,
        });
        Ok(Send {
            outbox: Arc::clone(self),
            stage,
            until_written: true,
        })
    }

    /// Puts an item in. Applies the policy of its source if there is no room now. The sender may wait for the write only
    /// if it gives a place for the item's `fate`.
    pub(super) fn offer(
        &self,
        item: Item,
        source: Source,
        fate: Option<&mut Option<Fate>>,
    ) -> Result<Offered, SendError> {
        let mut state = lock(&self.state);
        state.check_open()?;
        if !state.takes(&item, source) {
            let overflowed = self.overflow(state, item, source, fate);
            return Ok(Offered::Overflowed(overflowed));
        }
        let item = state.as_it_gives_way(item, source, fate);
        let (ticket, wake) = self.push_and_raise(&mut state, item);
        drop(state);
        wake_one(wake);
        Ok(Offered::Taken(ticket))
    }

    /// Applies the policy to an item that finds no room.
    #[cold]
    pub(super) fn overflow(
        &self,
        mut state: MutexGuard<'_, State>,
        item: Item,
        source: Source,
        fate: Option<&mut Option<Fate>>,
    ) -> Overflowed {
        let policy = state.overflow.of(source);
        // A sender that gets the error has its message still.
        let is_refused = source == Source::Remote && policy == Overflow::Refuse;
        let mut overflowed = Overflowed {
            policy,
            ticket: None,
            dropped: 1,
            is_first: !is_refused && !std::mem::replace(&mut state.has_overflowed, true),
        };
        match policy {
            Overflow::Refuse | Overflow::DropNewest => {}
            Overflow::DropOldest => {
                // The broadcasts that were offered before are older.
                self.catch_up_with(&mut state);
                let Some(given_way) = state.make_way(&item) else {
                    return overflowed;
                };
                let item = state.as_it_gives_way(item, source, fate);
                overflowed.ticket = Some(state.push(item));
                overflowed.dropped = given_way.count;
                let driver = state.driver_if(self.signal.raise_items(&state.locked));
                drop(state);
                let notified = given_way.notified.into_iter();
                notified.chain(driver).for_each(Waker::wake);
            }
            Overflow::Close => {
                drop(state);
                let reason = CloseReason::new(CloseCode::TRY_AGAIN_LATER, TOO_SLOW);
                debug_assert!(reason.is_ok(), "1013 may be sent");
                if let Ok(reason) = reason {
                    self.close(reason);
                }
            }
        }
        overflowed
    }
}

/// The messages that were dropped for another one.
struct GivenWay {
    count: usize,
    // The wakers of the tasks that waited for them.
    notified: Vec<Waker>,
}

impl State {
    /// Whether the item may be put in now. A sender that waits for room goes first, except before an item whose policy is
    /// to close. That policy is for a slow peer: it must not strike because a large message waits.
    #[inline]
    pub(super) fn takes(&self, item: &Item, source: Source) -> bool {
        let goes_first = || self.overflow.of(source) == Overflow::Close;
        item.is_control() || (self.has_room(item) && (!self.is_awaited_for_room() || goes_first()))
    }

    /// The item as it is put in: a loose one if it may give way.
    #[inline]
    pub(super) fn as_it_gives_way(
        &self,
        item: Item,
        source: Source,
        fate: Option<&mut Option<Fate>>,
    ) -> Item {
        match item {
            Item::Message(outgoing) if self.overflow.of(source) == Overflow::DropOldest => {
                let fate = fate.map(|fate| Arc::clone(fate.insert(Fate::default())));
                Item::Loose(outgoing, fate)
            }
            item => item,
        }
    }

    /// Drops the oldest loose items, as many as the item needs. Drops none if all of them are too few.
    fn make_way(&mut self, item: &Item) -> Option<GivenWay> {
        let is_awaited = self.is_awaited_for_room();
        let needed = if is_awaited {
            // Any other room that becomes free is for the tasks that wait.
            item.weight()
        } else {
            (self.weight + item.weight()).saturating_sub(self.limit)
        };
        let loose = self.items.iter().filter(|item| item.is_loose());
        let enough = loose
            .scan(0, |freed, item| {
                *freed += item.weight();
                Some(*freed)
            })
            .any(|freed| freed >= needed);
        // An empty outbox takes one item of any size.
        if !enough && (is_awaited || !self.items.iter().all(Item::is_loose)) {
            return None;
        }
        Some(self.drop_oldest(needed))
    }

    fn drop_oldest(&mut self, needed: usize) -> GivenWay {
        let mut number = self.taken().items;
        let (mut freed, mut count, mut notified) = (0, 0, Vec::new());
        let mut kept: Vec<Item> = Vec::new();
        while freed < needed
            && let Some(item) = self.items.pop_front()
        {
            number += match item {
                Item::Gap(many) => many,
                _ => 1,
            };
            if !item.is_loose() {
                kept.push(item);
                continue;
            }
            freed += item.weight();
            count += 1;
            self.bytes -= item.len();
            self.weight -= item.weight();
            match kept.last_mut() {
                // An item that gives way in front leaves no gap: it counts as taken.
                None => {}
                Some(Item::Gap(many)) => {
                    *many += 1;
                    self.waiters().in_gaps += 1;
                }
                Some(_) => kept.push(Item::Gap(1)),
            }
            if let Item::Loose(_, Some(fate)) = item {
                fate.store(true, Relaxed);
                if let Some(waiters) = &self.waiters {
                    let writers = &waiters.writers;
                    notified.extend(writers.waiting_for(|ticket| ticket.is_of_item(number)));
                }
            }
        }
        for item in kept.into_iter().rev() {
            self.items.push_front(item);
        }
        GivenWay { count, notified }
    }

    /// Removes a gap that has come to the front.
    #[cold]
    pub(super) fn close_gap(&mut self) {
        if let Some(Item::Gap(many)) = self.items.pop_front() {
            self.waiters().in_gaps -= many - 1;
        }
    }
}
