//! The tasks that wait at an outbox: for room, for a write, for room for the next part, or for the connection's end.
//! An outbox holds memory for them only while there are some.

use std::collections::VecDeque;

use super::item::{Taken, Ticket};
use super::policy::Overflowed;
use super::waker_list::WakerList;
use crate::fanout::latest::Latest;

/// The tasks that wait at an outbox, and what else an outbox has only now and then.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    pub(super) controls: VecDeque<Taken>,
    // The values of conflated channels that wait behind the items.
    pub(super) latest: Latest,
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
    // What the session lost while no one could be told.
    pub(super) lost: Option<Overflowed>,
}

impl Waiters {
    /// Whether the outbox can do without all of this.
    pub(super) fn is_unused(&self) -> bool {
        self.controls.is_empty()
            && self.latest.is_empty()
            && self.room.is_empty()
            && self.parts.is_empty()
            && self.writers.is_empty()
            && self.ended.is_empty()
            && self.in_gaps == 0
            && self.unsent.is_empty()
            && self.lost.is_none()
    }

    /// The key of a task. A task that has none yet gets the next one.
    pub(super) fn key(&mut self, known: &mut Option<u64>) -> u64 {
        *known.get_or_insert_with(|| {
            self.last_key += 1;
            self.last_key
        })
    }
}
