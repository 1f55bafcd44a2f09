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

use super::{ITEMS, Item, Outbox, Send, Stage, State, Ticket, wake_one};
use crate::error::SendError;
use crate::sync::{Arc, MutexGuard, lock};

/// What becomes of a message that finds no room in a session's outbox, and with which nobody waits: one of the
/// [asynchronous remote](crate::AsyncRemote), or of a [broadcast](crate::OpenSessions::broadcast). The [basic
/// remote](crate::BasicRemote) waits for room, and a handler's reply has room always.
///
/// It is a policy for peers that are slower than what is said to them. One that takes nothing at all is given up
/// after [`Config::write_timeout`](crate::Config::write_timeout), whatever the policy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// It is not taken: its sender is told [`SendError::Full`], and a broadcast leaves the session out. The default.
    #[default]
    Refuse,
    /// It is taken and dropped, so that the sender need not care; who awaits its handle is told
    /// [`SendError::Full`].
    DropNewest,
    /// The oldest messages of the same two sources give way, as many as it needs, and whoever awaits their handles is
    /// told [`SendError::Full`]: for a state of which the newest counts. Where they are not enough it is dropped itself.
    DropOldest,
    /// The connection is closed with 1013, "try again later", behind what waits.
    Close,
}

/// Whether a message gave way. Looked at and changed while its outbox is locked.
pub(crate) type Fate = Arc<AtomicBool>;

pub(super) fn gave_way(fate: &Fate) -> bool {
    fate.load(Relaxed)
}

/// Why a connection is closed whose peer is too slow.
const TOO_SLOW: &str = "too much waits to be sent";

impl Outbox {
    /// Sets what gives way from now on.
    pub(crate) fn set_overflow(&self, overflow: Overflow) {
        lock(&self.state).overflow = overflow;
    }

    /// Puts an item in, or does what the policy says where there is no room now or others wait for it. Gives what
    /// tells when it is written.
    ///
    /// # Errors
    ///
    /// As [`try_push`](Self::try_push).
    pub(crate) fn offer_awaited(self: &Arc<Self>, item: Item) -> Result<Send, SendError> {
        let mut fate = None;
        let ticket = self.offer(item, Some(&mut fate))?;
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

    /// As [`offer_awaited`](Self::offer_awaited), where nobody waits unless there is a place for the item's fate.
    /// `None` where it was dropped.
    pub(super) fn offer(
        &self,
        item: Item,
        fate: Option<&mut Option<Fate>>,
    ) -> Result<Option<Ticket>, SendError> {
        let mut state = lock(&self.state);
        state.check_open()?;
        if !item.is_control() && (state.is_awaited_for_room() || !state.has_room(&item)) {
            return self.overflow(state, item, fate);
        }
        let item = state.as_it_gives_way(item, fate);
        let (ticket, wake) = self.push_and_raise(&mut state, item);
        drop(state);
        wake_one(wake);
        Ok(Some(ticket))
    }

    /// There is no room for the item. Says where it is in, if it is.
    #[cold]
    pub(super) fn overflow(
        &self,
        mut state: MutexGuard<'_, State>,
        item: Item,
        fate: Option<&mut Option<Fate>>,
    ) -> Result<Option<Ticket>, SendError> {
        match state.overflow {
            Overflow::Refuse => Err(SendError::Full),
            Overflow::DropNewest => Ok(None),
            Overflow::DropOldest => {
                // What was said to all before is older.
                self.catch_up_with(&mut state);
                let Some(told) = state.make_way(&item) else {
                    return Ok(None);
                };
                let item = state.as_it_gives_way(item, fate);
                let ticket = state.push(item);
                let driver = self.raise_under(&state, ITEMS);
                drop(state);
                told.into_iter().chain(driver).for_each(Waker::wake);
                Ok(Some(ticket))
            }
            Overflow::Close => {
                drop(state);
                let reason = CloseReason::new(CloseCode::TRY_AGAIN_LATER, TOO_SLOW);
                debug_assert!(reason.is_ok(), "1013 may be sent");
                if let Ok(reason) = reason {
                    self.close(reason);
                }
                Err(SendError::Full)
            }
        }
    }
}

impl State {
    /// The item as it is put in: loose where it may give way.
    #[inline]
    pub(super) fn as_it_gives_way(&self, item: Item, fate: Option<&mut Option<Fate>>) -> Item {
        match item {
            Item::Message(outgoing) if self.overflow == Overflow::DropOldest => {
                let fate = fate.map(|fate| Arc::clone(fate.insert(Fate::default())));
                Item::Loose(outgoing, fate)
            }
            item => item,
        }
    }

    /// Drops the oldest loose items, as many as the item needs, and none where all of them were not enough. Gives
    /// those who waited for them.
    fn make_way(&mut self, item: &Item) -> Option<Vec<Waker>> {
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

    fn drop_oldest(&mut self, needed: usize) -> Vec<Waker> {
        let mut number = self.taken().items;
        let (mut freed, mut told) = (0, Vec::new());
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
            self.bytes -= item.len();
            self.weight -= item.weight();
            match kept.last_mut() {
                // In front nothing is left of it: it counts as taken.
                None => {}
                Some(Item::Gap(many)) => {
                    *many += 1;
                    self.seldom().in_gaps += 1;
                }
                Some(_) => kept.push(Item::Gap(1)),
            }
            if let Item::Loose(_, Some(fate)) = item {
                fate.store(true, Relaxed);
                let seldom = self.seldom.as_ref();
                let waiting = seldom.into_iter().flat_map(|seldom| &seldom.writers);
                let its = waiting.filter(|(_, ticket, _)| ticket.is_of_item(number));
                told.extend(its.map(|(.., waker)| waker.clone()));
            }
        }
        for item in kept.into_iter().rev() {
            self.items.push_front(item);
        }
        told
    }

    /// Takes a gap away that has come to the front.
    #[cold]
    pub(super) fn close_gap(&mut self) {
        if let Some(Item::Gap(many)) = self.items.pop_front() {
            self.seldom().in_gaps -= many - 1;
        }
    }
}
