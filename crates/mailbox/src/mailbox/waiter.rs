//! The tasks that wait at an outbox: for room, for a write, for room for the next part, or for the connection's end.
//! An outbox holds memory for them only while there are some.

use std::collections::VecDeque;
use std::task::Waker;

use super::waker_list::WakerList;
use super::{Mailbox, Reached, State, Taken, Ticket};
use crate::sync::lock;

/// The tasks that wait at an outbox, and what else an outbox has only now and then.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    pub(super) controls: VecDeque<Taken>,
    // For room: first come, first served.
    pub(super) room: WakerList,
    // For an item to be written.
    pub(super) writers: WakerList<Ticket>,
    // For room for the next part of a message. The key is the message's number.
    pub(super) parts: WakerList,
    // For the connection's end.
    pub(super) ended: WakerList,
    last_key: u64,
    // How many items gave way, less one for each gap.
    pub(super) in_gaps: u64,
    // Frames of which a delivery has written a part.
    pub(super) unsent: Vec<u8>,
}

impl Waiters {
    /// Whether the outbox can do without all of this.
    pub(super) fn is_unused(&self) -> bool {
        self.controls.is_empty()
            && self.room.is_empty()
            && self.parts.is_empty()
            && self.writers.is_empty()
            && self.ended.is_empty()
            && self.in_gaps == 0
            && self.unsent.is_empty()
    }

    /// The key of a task. A task that has none yet gets the next one.
    pub(super) fn key(&mut self, known: &mut Option<u64>) -> u64 {
        *known.get_or_insert_with(|| {
            self.last_key += 1;
            self.last_key
        })
    }
}

impl<D> State<D> {
    pub(super) fn waiters(&mut self) -> &mut Waiters {
        self.waiters.get_or_insert_default()
    }

    pub(super) fn is_awaited_for_room(&self) -> bool {
        self.first_for_room().is_some()
    }

    /// The task that waits longest for room. It stays in the list until it has looked.
    pub(super) fn first_for_room(&self) -> Option<(u64, &Waker)> {
        self.waiters.as_ref()?.room.first()
    }

    /// A clone of the waker of the task that waits longest for room.
    pub(super) fn waker_for_room(&self) -> Option<Waker> {
        self.first_for_room().map(|(_, waker)| waker.clone())
    }

    /// Drops the control frames, and removes the tasks that wait for room or for a write.
    pub(super) fn release_senders(&mut self) -> Vec<Waker> {
        let Some(waiters) = &mut self.waiters else {
            return Vec::new();
        };
        waiters.controls = VecDeque::new();
        waiters.in_gaps = 0;
        let for_room = waiters.room.take_all().chain(waiters.parts.take_all());
        for_room.chain(waiters.writers.take_all()).collect()
    }
}

impl<D> Mailbox<D> {
    /// Notes that the driver has written every item up to `taken`, and wakes the tasks that wait for one of them.
    pub fn wrote(&self, taken: Reached) {
        let mut state = lock(&self.state);
        state.written = taken.max(state.written);
        let written = state.written;
        let Some(waiters) = &mut state.waiters else {
            return;
        };
        let writers = &mut waiters.writers;
        let done = writers.take_waiting_for(|ticket| written.includes(*ticket));
        let wakes: Vec<Waker> = done.collect();
        if writers.is_empty() {
            self.signal.clear_awaited(&state.locked);
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
