//! Messages of a topic that wait for a read, and how they fit together with its reply.

use super::follow::{Kind, follows};
use crate::position::Position;
use crate::publication::Entry;

/// Messages that came while a read was under way, in their order.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    entries: Vec<Entry>,
    bytes: usize,
    /// The number of entries that came before the read was sent.
    before_read: usize,
    overflowed: bool,
}

/// How many messages may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitingRoom {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

impl Waiting {
    /// Keeps a message. If there is no room for it, all messages are dropped, and the read is stale.
    pub(super) fn push(&mut self, entry: Entry, room: WaitingRoom) {
        let bytes = size_of::<Entry>() + entry.body.len();
        if self.entries.len() >= room.entries || self.bytes + bytes > room.bytes {
            self.clear();
            self.overflowed = true;
            return;
        }
        self.bytes += bytes;
        self.entries.push(entry);
    }

    /// Forgets all messages.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Marks the time at which the read is sent.
    pub(super) fn read_sent(&mut self) {
        self.before_read = self.entries.len();
        self.overflowed = false;
    }

    /// Returns whether messages were dropped since the read was sent.
    pub(super) fn is_stale(&self) -> bool {
        self.overflowed
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Settles the messages with a reply whose newest position is `top`. Takes the messages that follow it, and drops the
    /// rest. `None`, and nothing is changed, if a message neither follows nor is known or of a branch that the engine has
    /// left: then the topic has to be read again.
    pub(super) fn settle(
        &mut self,
        top: Position,
        kind: Kind,
        is_known: impl Fn(&Entry) -> bool,
    ) -> Option<Vec<Entry>> {
        // The feed has an order. If the top itself waits, the messages before it are older than it.
        let is_top = |entry: &Entry| top.id.is_some() && entry.position == top;
        let older = self.entries.iter().rposition(is_top);
        let older = older.map_or(0, |index| index + 1);
        let mut end = top;
        let mut taken = Vec::new();
        for (index, entry) in self.entries.iter().enumerate().skip(older) {
            let at = entry.position;
            let came_before = index < self.before_read;
            if at.id == end.id || is_known(entry) || came_before && at.epoch != end.epoch {
                continue;
            }
            if follows(end, entry, kind) {
                end = at;
                taken.push(index);
            } else if !(came_before && at.offset <= end.offset) {
                return None;
            }
        }
        let entries = std::mem::take(self).entries;
        let mut taken = taken.into_iter().peekable();
        let entries = entries.into_iter().enumerate();
        let entries = entries.filter(|(index, _)| taken.next_if_eq(index).is_some());
        Some(entries.map(|(_, entry)| entry).collect())
    }
}
