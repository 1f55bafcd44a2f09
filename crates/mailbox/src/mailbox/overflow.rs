//! The policies for a message that finds no room, and whose sender does not wait.
//!
//! ```text
//!   DropOldest:   awaited  loose  loose  awaited  loose  ◀── newest, loose
//!                 awaited  gap 2         awaited  loose   newest
//! ```
//!
//! The number of an item follows from its place. So messages that give way behind an item that stays leave a gap.
//! Neighbouring gaps become one: there are no more gaps than items that stay.

use super::Mailbox;
use super::item::{Fate, Item, Queued, Receipt, Ticket, give_way};
use super::policy::{Overflow, OverflowPolicy, Overflowed, Source};
use super::state::{State, Wakes};
use crate::error::SendError;
use crate::sync::{Arc, lock};

/// The outcome of offering a message.
#[derive(Debug)]
pub(super) enum Offered {
    Taken(Ticket),
    Overflowed(Overflowed),
}

impl<D> Mailbox<D> {
    /// Changes the policies.
    pub fn set_overflow(&self, set: impl FnOnce(&mut OverflowPolicy)) {
        set(&mut lock(&self.state).overflow);
    }

    /// Puts an item in without waiting. Applies the policy of the asynchronous remote if there is no room now, or if other
    /// tasks wait for room. Calls `overflowed`, with nothing locked, if messages are lost and no sender gets an error for
    /// it.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`], and drops the item.
    pub fn offer(
        &self,
        item: Item,
        overflowed: impl FnOnce(Overflowed),
    ) -> Result<Receipt, SendError> {
        let mut fate = None;
        let ticket = match self.offer_of(item.into(), Source::Remote, Some(&mut fate))? {
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
        Ok(Receipt { ticket, fate })
    }

    /// Puts an item in. Applies the policy of its source if there is no room now. The sender may wait for the write only
    /// if it gives a place for the item's `fate`.
    pub(super) fn offer_of(
        &self,
        item: Queued,
        source: Source,
        fate: Option<&mut Option<Fate>>,
    ) -> Result<Offered, SendError> {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        state.check_open()?;
        let offered = if state.takes(&item, source) {
            let item = state.as_it_gives_way(item, source, fate);
            Offered::Taken(self.push_and_raise(&mut state, item, &mut wakes))
        } else {
            Offered::Overflowed(self.overflow(&mut state, item, source, fate, &mut wakes))
        };
        drop(state);
        wakes.wake();
        Ok(offered)
    }

    /// Applies the policy to an item that finds no room.
    #[cold]
    pub(super) fn overflow(
        &self,
        state: &mut State<D>,
        item: Queued,
        source: Source,
        fate: Option<&mut Option<Fate>>,
        wakes: &mut Wakes,
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
                // The messages that the channels hold are older.
                self.catch_up_with_all(state, wakes);
                if let Some((ticket, dropped)) =
                    state.push_in_place_of_oldest(state.limit, item, source, fate, wakes)
                {
                    overflowed.ticket = Some(ticket);
                    overflowed.dropped = dropped;
                    wakes.add(state.driver_if(self.signal.raise_items(&state.locked)));
                }
            }
            Overflow::Close => self.close_as_too_slow(state, wakes),
        }
        overflowed
    }
}

impl<D> State<D> {
    /// Whether the item may be put in now. It may not while another sender waits for room, unless its policy is to close.
    /// That policy is for a slow peer: it must not strike because a large message waits.
    #[inline]
    pub(super) fn takes(&self, item: &Queued, source: Source) -> bool {
        item.is_control() || self.room_besides(item, source)(0)
    }

    /// Whether the item [may be put in](Self::takes) besides others of a weight.
    #[inline]
    pub(super) fn room_besides(
        &self,
        item: &Queued,
        source: Source,
    ) -> impl Fn(usize) -> bool + use<D> {
        let goes_first = || self.overflow.of(source) == Overflow::Close;
        let has_turn = !self.is_awaited_for_room() || goes_first();
        let (weight, limit, is_empty) = (
            self.weight + item.weight(),
            self.limit,
            self.items.is_empty(),
        );
        move |others| has_turn && (weight + others <= limit || (is_empty && others == 0))
    }

    /// The item as it is put in: a loose one if it may give way.
    #[inline]
    pub(super) fn as_it_gives_way(
        &self,
        item: Queued,
        source: Source,
        fate: Option<&mut Option<Fate>>,
    ) -> Queued {
        match item {
            Queued::Message(outgoing) if self.overflow.of(source) == Overflow::DropOldest => {
                let fate = fate.map(|fate| Arc::clone(fate.insert(Fate::default())));
                Queued::Loose(outgoing, fate)
            }
            item => item,
        }
    }

    /// Puts an item in below the limit. To make room, drops the oldest items that may give way (loose items), as many as needed. Returns
    /// the item's number, and how many were dropped. Returns `None`, and changes nothing, if all loose items together
    /// would not free enough room.
    pub(super) fn push_in_place_of_oldest(
        &mut self,
        limit: usize,
        item: Queued,
        source: Source,
        fate: Option<&mut Option<Fate>>,
        wakes: &mut Wakes,
    ) -> Option<(Ticket, usize)> {
        let dropped = self.make_way(limit, &item, wakes)?;
        let item = self.as_it_gives_way(item, source, fate);
        Some((self.push(item), dropped))
    }

    /// Drops the oldest loose items, as many as the item needs. Returns their number. Drops none, and returns `None`, if
    /// all of them together would not free enough room.
    fn make_way(&mut self, limit: usize, item: &Queued, wakes: &mut Wakes) -> Option<usize> {
        let is_awaited = self.is_awaited_for_room();
        let needed = if is_awaited {
            // Any other room that becomes free is for the tasks that wait.
            item.weight()
        } else {
            (self.weight + item.weight()).saturating_sub(limit)
        };
        let loose = self.items.iter().filter(|item| item.is_loose());
        let enough = loose
            .scan(0, |freed, item| {
                *freed += item.weight();
                Some(*freed)
            })
            .any(|freed| freed >= needed);
        // An empty outbox takes one item of any size.
        if !enough && (is_awaited || !self.items.iter().all(Queued::is_loose)) {
            return None;
        }
        Some(self.drop_oldest(needed, wakes))
    }

    fn drop_oldest(&mut self, needed: usize, wakes: &mut Wakes) -> usize {
        let mut number = self.taken().items;
        let (mut freed, mut count) = (0, 0);
        let mut kept: Vec<Queued> = Vec::new();
        while freed < needed
            && let Some(item) = self.items.pop_front()
        {
            number += match item {
                Queued::Gap(many) => many,
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
                Some(Queued::Gap(many)) => {
                    *many += 1;
                    self.waiters().in_gaps += 1;
                }
                Some(_) => kept.push(Queued::Gap(1)),
            }
            if let Queued::Loose(_, Some(fate)) = item {
                give_way(&fate);
                if let Some(waiters) = &self.waiters {
                    let writers = &waiters.writers;
                    wakes.extend(writers.waiting_for(|ticket| ticket.is_of_item(number)));
                }
            }
        }
        for item in kept.into_iter().rev() {
            self.items.push_front(item);
        }
        count
    }

    /// Removes a gap that has come to the front.
    #[cold]
    pub(super) fn close_gap(&mut self) {
        if let Some(Queued::Gap(many)) = self.items.pop_front() {
            self.waiters().in_gaps -= many - 1;
        }
    }
}
