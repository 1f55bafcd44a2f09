//! What gives way where there is no room for a message with which nobody waits.
//!
//! ```text
//!   DropOldest:   awaited  loose  loose  awaited  loose  ◀── newest, loose
//!                 awaited  gap 2         awaited  loose   newest
//! ```
//!
//! Items are known by their numbers, which follow from their places. So what gives way behind an item that stays
//! leaves a gap, and neighbouring gaps are one: there are no more of them than of those that stay.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Waker;

use sockeye_proto::{CloseCode, CloseReason};

use super::send::Stage;
use super::waiter::wake_one;
use super::{Item, Outbox, Send, State, Ticket};
use crate::error::SendError;
use crate::sync::{Arc, MutexGuard, lock};

/// What becomes of a message that finds no room in a session's outbox, because the peer reads more slowly than the
/// application sends.
///
/// A session has two of these policies. One is for the [asynchronous remote](crate::AsyncRemote): `Refuse` unless
/// [`EndpointConfig::overflow`](crate::EndpointConfig::overflow) or [`Session::set_overflow`](crate::Session::set_overflow)
/// says otherwise. The other is for [broadcasts](crate::OpenSessions::broadcast), whose sender is told nothing of a
/// single session: `Close` unless [`EndpointConfig::broadcast_overflow`](crate::EndpointConfig::broadcast_overflow) or
/// [`Session::set_broadcast_overflow`](crate::Session::set_broadcast_overflow) says otherwise. The [basic
/// remote](crate::BasicRemote) waits for room, and a handler's reply always has room.
///
/// A session that loses messages in this way, or is closed for it, is logged once as a warning, but with `Refuse` at the
/// asynchronous remote: its sender is told. [`Stats::dropped_messages`](crate::Stats::dropped_messages) counts them.
///
/// A peer that takes nothing at all is given up after [`Config::write_timeout`](crate::Config::write_timeout), whatever
/// the policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The message is not taken. The asynchronous remote returns [`SendError::Full`]; a broadcast leaves the session
    /// out.
    Refuse,
    /// The message is taken and dropped, so that the sender need not care. Its handle, if it is awaited, returns
    /// [`SendError::Full`].
    DropNewest,
    /// The oldest messages that were sent under this policy are dropped, as many as the new one needs. Their handles, if
    /// they are awaited, return [`SendError::Full`]. If they are too few, the new message is dropped. This is for a
    /// state of which only the newest counts.
    DropOldest,
    /// The session is closed with 1013, "try again later", behind the messages that wait. The asynchronous remote
    /// returns [`SendError::Full`].
    Close,
}

/// The policies of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverflowPolicy {
    /// Of the asynchronous remote, which tells its sender.
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

/// Who sends a message and does not wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Remote,
    Broadcast,
}

/// A message found no room: what became of it, and of others for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflowed {
    pub(crate) policy: Overflow,
    /// Where it is in, if others gave way for it.
    pub(crate) ticket: Option<Ticket>,
    /// Messages that are not sent: it, or those that gave way.
    pub(crate) dropped: usize,
    /// Whether this is the first time in this session that messages are lost.
    pub(crate) is_first: bool,
}

/// What became of a message that was offered.
#[derive(Debug)]
pub(super) enum Offered {
    Taken(Ticket),
    Overflowed(Overflowed),
}

/// Whether a message gave way. Looked at and changed while its outbox is locked.
pub(crate) type Fate = Arc<AtomicBool>;

pub(super) fn gave_way(fate: &Fate) -> bool {
    fate.load(Relaxed)
}

/// Why a connection is closed whose peer is too slow.
const TOO_SLOW: &str = "too much waits to be sent";

impl Outbox {
    /// Sets what the asynchronous remote does from now on where there is no room.
    pub(crate) fn set_overflow(&self, overflow: Overflow) {
        lock(&self.state).overflow.remote = overflow;
    }

    /// Sets what broadcasts do from now on where there is no room.
    pub(crate) fn set_broadcast_overflow(&self, overflow: Overflow) {
        lock(&self.state).overflow.broadcast = overflow;
    }

    /// Puts an item of the asynchronous remote in, or does what the policy says where there is no room now or others
    /// wait for it. Gives what tells when it is written. `overflowed` is called, with nothing locked, where messages
    /// are lost of which no sender is told.
    ///
    /// # Errors
    ///
    /// As [`try_push`](Self::try_push).
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

    /// Puts an item in, or does what the policy of its source says where there is no room now. The sender may wait for
    /// it only if there is a place for the item's fate.
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

    /// There is no room for the item: does what the policy says.
    #[cold]
    pub(super) fn overflow(
        &self,
        mut state: MutexGuard<'_, State>,
        item: Item,
        source: Source,
        fate: Option<&mut Option<Fate>>,
    ) -> Overflowed {
        let policy = state.overflow.of(source);
        // A sender that is told loses nothing.
        let is_told = source == Source::Remote && policy == Overflow::Refuse;
        let mut overflowed = Overflowed {
            policy,
            ticket: None,
            dropped: 1,
            is_first: !is_told && !std::mem::replace(&mut state.has_overflowed, true),
        };
        match policy {
            Overflow::Refuse | Overflow::DropNewest => {}
            Overflow::DropOldest => {
                // What was said to all before is older.
                self.catch_up_with(&mut state);
                let Some(given_way) = state.make_way(&item) else {
                    return overflowed;
                };
                let item = state.as_it_gives_way(item, source, fate);
                overflowed.ticket = Some(state.push(item));
                overflowed.dropped = given_way.count;
                let driver = state.driver_if(self.signal.raise_items(&state.locked));
                drop(state);
                let told = given_way.told.into_iter();
                told.chain(driver).for_each(Waker::wake);
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

/// Messages that were dropped for another.
struct GivenWay {
    count: usize,
    // Those who waited for them.
    told: Vec<Waker>,
}

impl State {
    /// Whether the item may be put in now. A sender that waits for room goes first, unless the item's policy is to
    /// close: that is for a peer that is too slow, and not for one that takes a large message.
    #[inline]
    pub(super) fn takes(&self, item: &Item, source: Source) -> bool {
        let goes_first = || self.overflow.of(source) == Overflow::Close;
        item.is_control() || (self.has_room(item) && (!self.is_awaited_for_room() || goes_first()))
    }

    /// The item as it is put in: loose where it may give way.
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

    /// Drops the oldest loose items, as many as the item needs, and none where all of them were not enough.
    fn make_way(&mut self, item: &Item) -> Option<GivenWay> {
        let is_awaited = self.is_awaited_for_room();
        let needed = if is_awaited {
            // What becomes free beyond that is for those who wait.
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
        // One is taken alone whatever its size.
        if !enough && (is_awaited || !self.items.iter().all(Item::is_loose)) {
            return None;
        }
        Some(self.drop_oldest(needed))
    }

    fn drop_oldest(&mut self, needed: usize) -> GivenWay {
        let mut number = self.taken().items;
        let (mut freed, mut count, mut told) = (0, 0, Vec::new());
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
                // In front nothing is left of it: it counts as taken.
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
                    told.extend(writers.waiting_for(|ticket| ticket.is_of_item(number)));
                }
            }
        }
        for item in kept.into_iter().rev() {
            self.items.push_front(item);
        }
        GivenWay { count, told }
    }

    /// Takes a gap away that has come to the front.
    #[cold]
    pub(super) fn close_gap(&mut self) {
        if let Some(Item::Gap(many)) = self.items.pop_front() {
            self.waiters().in_gaps -= many - 1;
        }
    }
}
