//! The tail of a topic: its newest messages on this node, without a hole. It spares reads when subscribers return.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::position::MessageId;
use crate::publication::Entry;

/// The newest messages of a topic, without a hole, up to the newest of all.
#[derive(Debug)]
pub(crate) struct Tail {
    entries: VecDeque<Entry>,
    /// When each entry came, in seconds. The entry with the offset n has the place n modulo the length.
    came: [u32; MOST_ENTRIES],
    bytes: usize,
    room: Arc<TailRoom>,
}

/// How much tails may hold.
#[derive(Debug)]
pub(crate) struct TailRoom {
    /// The most messages of one tail; at most [`MOST_ENTRIES`].
    pub(crate) entries: usize,
    /// The most bytes of one tail.
    pub(crate) bytes: usize,
    /// The most bytes of all tails.
    pub(crate) all_bytes: usize,
    used: AtomicUsize,
}

/// The most messages that any tail has room for.
pub(crate) const MOST_ENTRIES: usize = 32;

impl TailRoom {
    pub(crate) fn new(entries: usize, bytes: usize, all_bytes: usize) -> Self {
        Self {
            entries: entries.min(MOST_ENTRIES),
            bytes,
            all_bytes,
            used: AtomicUsize::new(0),
        }
    }

    fn take(&self, bytes: usize) -> bool {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if used > self.all_bytes {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        used <= self.all_bytes
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Tail {
    /// Makes an empty tail.
    pub(crate) fn new(room: Arc<TailRoom>) -> Self {
        Self {
            entries: VecDeque::new(),
            came: [0; MOST_ENTRIES],
            bytes: 0,
            room,
        }
    }

    /// Appends the newest message. Older ones give way. Without room for the newest message the tail becomes empty.
    pub(crate) fn push(&mut self, entry: Entry, came: u32) {
        let bytes = cost(&entry);
        while self.entries.len() >= self.room.entries || self.bytes + bytes > self.room.bytes {
            if !self.drop_oldest() {
                return;
            }
        }
        if !self.room.take(bytes) {
            self.clear();
            return;
        }
        self.bytes += bytes;
        self.came[place(&entry)] = came;
        self.entries.push_back(entry);
    }

    /// Replaces all messages by one, and keeps their memory for it.
    pub(crate) fn replace(&mut self, entry: Entry, came: u32) {
        while self.drop_oldest() {}
        self.push(entry, came);
    }

    /// Forgets all messages.
    pub(crate) fn clear(&mut self) {
        self.room.give_back(self.bytes);
        self.bytes = 0;
        self.entries = VecDeque::new();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns whether a message is in the tail.
    pub(crate) fn contains(&self, id: MessageId) -> bool {
        let mut entries = self.entries.iter().rev();
        entries.any(|entry| entry.position.id == Some(id))
    }

    /// Returns the messages that came less than `age` before `now`, which is a number of seconds. A message may be left
    /// out because it seems up to a second older than it is.
    pub(crate) fn younger_than(&mut self, age: Duration, now: u32) -> &[Entry] {
        let came = &self.came;
        let is_young =
            |entry: &Entry| u64::from(now.saturating_sub(came[place(entry)])) < age.as_secs();
        let old = self.entries.iter().take_while(|entry| !is_young(entry));
        let old = old.count();
        self.entries
            .make_contiguous()
            .get(old..)
            .unwrap_or_default()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Tail {
    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.entries.pop_front() else {
            return false;
        };
        let bytes = cost(&oldest);
        self.bytes -= bytes;
        self.room.give_back(bytes);
        true
    }
}

fn cost(entry: &Entry) -> usize {
    size_of::<Entry>() + entry.body.len()
}

fn place(entry: &Entry) -> usize {
    (entry.position.offset % MOST_ENTRIES as u64) as usize
}
