//! The tasks that wait at an outbox: for room, for a write, for room for the next part, or for the connection's end.
//! An outbox keeps memory for them only while there are some.

use std::collections::VecDeque;
use std::task::Waker;

use super::signal::AWAITED;
use super::{Item, Outbox, Reached, State, Ticket};
use crate::sync::lock;

#[derive(Debug, Default)]
pub(super) struct Seldom {
    pub(super) controls: VecDeque<Item>,
    // Those who wait for room, first come first served.
    pub(super) room: VecDeque<(u64, Waker)>,
    // Those who wait for an item to be written.
    pub(super) writers: Vec<(u64, Ticket, Waker)>,
    // Those who have a message in here that is sent in parts, by its number: for room for the next part.
    pub(super) parts: Vec<(u64, Waker)>,
    // Those who wait for the connection's end.
    pub(super) ended: Vec<(u64, Waker)>,
    pub(super) next_waiter: u64,
    // How many items gave way beyond one for each gap.
    pub(super) in_gaps: u64,
    // What a delivery has begun to write.
    pub(super) rest: Vec<u8>,
}

impl Seldom {
    pub(super) fn is_of_no_use(&self) -> bool {
        self.controls.is_empty()
            && self.room.is_empty()
            && self.parts.is_empty()
            && self.writers.is_empty()
            && self.ended.is_empty()
            && self.in_gaps == 0
            && self.rest.is_empty()
    }

    pub(super) fn waiter(&mut self, known: Option<u64>) -> u64 {
        known.unwrap_or_else(|| {
            self.next_waiter += 1;
            self.next_waiter
        })
    }
}

impl State {
    pub(super) fn seldom(&mut self) -> &mut Seldom {
        self.seldom.get_or_insert_default()
    }

    pub(super) fn is_awaited_for_room(&self) -> bool {
        self.front_waiter_id().is_some()
    }

    /// Whoever waits longest for room. It stays in the queue until it has looked.
    pub(super) fn front_waiter(&self) -> Option<Waker> {
        let (_, waker) = self.seldom.as_ref()?.room.front()?;
        Some(waker.clone())
    }

    pub(super) fn front_waiter_id(&self) -> Option<u64> {
        let (id, _) = self.seldom.as_ref()?.room.front()?;
        Some(*id)
    }

    /// Takes all away who wait for what does not come any more, and what is in.
    pub(super) fn release_senders(&mut self) -> Vec<Waker> {
        let Some(seldom) = &mut self.seldom else {
            return Vec::new();
        };
        seldom.controls = VecDeque::new();
        seldom.in_gaps = 0;
        let room = seldom.room.drain(..).map(|(_, waker)| waker);
        let parts = seldom.parts.drain(..).map(|(_, waker)| waker);
        let writers = seldom.writers.drain(..).map(|(_, _, waker)| waker);
        room.chain(parts).chain(writers).collect()
    }
}

impl Outbox {
    /// All that was taken up to `taken` is written.
    pub(crate) fn wrote(&self, taken: Reached) {
        let mut state = lock(&self.state);
        state.written = taken.max(state.written);
        let written = state.written;
        let Some(seldom) = &mut state.seldom else {
            return;
        };
        let waiting = seldom.writers.iter_mut();
        let told = |(_, ticket, waker): &mut (u64, Ticket, Waker)| {
            written.includes(*ticket).then(|| waker.clone())
        };
        let wakes: Vec<Waker> = waiting.filter_map(told).collect();
        seldom
            .writers
            .retain(|(_, ticket, _)| !written.includes(*ticket));
        if seldom.writers.is_empty() {
            self.lower(AWAITED);
        }
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
    }
}

pub(super) fn wake_one(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
