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
    /// When each of the newest entries came, in seconds. The entry with the offset n has the place n modulo the length.
    came: [u32; MOST_ENTRIES],
    /// When the older entries count as come.
    older_came: u32,
    /// Until when the tail is wide, in seconds.
    wide_until: u32,
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
    /// The most bytes of one wide tail.
    pub(crate) wide_bytes: usize,
    /// The most bytes of all tails. A tail is wide only while half of them suffices.
    pub(crate) all_bytes: usize,
    used: AtomicUsize,
}

/// The most messages that any tail has room for.
pub(crate) const MOST_ENTRIES: usize = 32;

impl TailRoom {
    pub(crate) fn new(entries: usize, bytes: usize, wide_bytes: usize, all_bytes: usize) -> Self {
        Self {
            entries: entries.min(MOST_ENTRIES),
            bytes,
            wide_bytes,
            all_bytes,
            used: AtomicUsize::new(0),
        }
    }

    fn take(&self, bytes: usize, most: usize) -> bool {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if used > most {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        used <= most
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
            older_came: 0,
            wide_until: 0,
            bytes: 0,
            room,
        }
    }

    /// Appends the newest message, which came at `came`. Older ones give way. Without room for the newest message the tail
    /// becomes empty.
    pub(crate) fn push(&mut self, entry: Entry, came: u32, now: u32) {
        let bytes = cost(&entry);
        let most = self.room.all_bytes;
        let is_wide = now < self.wide_until && {
            self.drop_until(usize::MAX, self.room.wide_bytes, bytes);
            self.bytes + bytes <= self.room.wide_bytes && self.room.take(bytes, most / 2)
        };
        if !is_wide {
            self.wide_until = 0;
            self.drop_until(self.room.entries, self.room.bytes, bytes);
            if self.bytes + bytes > self.room.bytes || self.room.entries == 0 {
                return;
            }
            if !self.room.take(bytes, most) {
                return self.clear();
            }
        }
        self.bytes += bytes;
        self.came[place(&entry)] = came;
        self.entries.push_back(entry);
    }

    /// Replaces all messages by one, and keeps their memory for it.
    pub(crate) fn replace(&mut self, entry: Entry, came: u32) {
        while self.drop_oldest() {}
        self.push(entry, came, came);
    }

    /// Replaces all messages by those of a read. The tail is wide until `wide_until`: it holds many more messages, so that
    /// a crowd of subscribers that returns needs one read.
    pub(crate) fn fill(&mut self, entries: &[Entry], came: u32, (now, wide_until): (u32, u32)) {
        self.clear();
        self.older_came = came;
        self.wide_until = wide_until;
        for entry in entries {
            self.push(entry.clone(), came, now);
        }
    }

    /// Returns whether the tail holds more than it does after the time of a wide one.
    pub(crate) fn is_wide(&self) -> bool {
        self.wide_until != 0
            && (self.entries.len() > self.room.entries || self.bytes > self.room.bytes)
    }

    /// Ends the time of a wide tail, if it is over.
    pub(crate) fn narrow(&mut self, now: u32) {
        if self.wide_until <= now && self.is_wide() {
            self.wide_until = 0;
            self.drop_until(self.room.entries, self.room.bytes, 0);
            self.entries.shrink_to_fit();
        }
    }

    /// Forgets all messages.
    pub(crate) fn clear(&mut self) {
        self.room.give_back(self.bytes);
        self.bytes = 0;
        self.wide_until = 0;
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
        let (came, len) = (&self.came, self.entries.len());
        let is_old = |(index, entry): &(usize, &Entry)| {
            let came = match len - index {
                ..=MOST_ENTRIES => came[place(entry)],
                _ => self.older_came,
            };
            u64::from(now.saturating_sub(came)) >= age.as_secs()
        };
        let old = self.entries.iter().enumerate().take_while(is_old).count();
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
    /// Drops the oldest messages until one more of `bytes` has room, or none is left.
    fn drop_until(&mut self, entries: usize, most: usize, bytes: usize) {
        let one_more = usize::from(bytes > 0);
        while self.entries.len().saturating_add(one_more) > entries || self.bytes + bytes > most {
            if !self.drop_oldest() {
                return;
            }
        }
    }

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
