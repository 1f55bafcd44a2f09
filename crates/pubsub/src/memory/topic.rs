//! The history of one topic.

use std::collections::VecDeque;

use bytes::Bytes;
use sockeye_proto::{Message, Text};

use crate::engine::{Catchup, Since};
use crate::name::TopicName;
use crate::policy::Kept;
use crate::position::{Epoch, MessageId, Position};
use crate::publication::{Body, Entry};

/// The history of one topic: a ring of messages, and the position of the newest one.
///
/// ```text
///   offset:   floor          floor + 1 … top.offset
///             dropped        entries
///             floor_id       entries[0].id … top.id
/// ```
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: TopicName,
    /// The position of the newest message. It stays when the message is dropped.
    top: Position,
    /// The id of the message before the first entry.
    floor_id: Option<MessageId>,
    entries: VecDeque<Stored>,
    /// The payload bytes of all entries.
    payload: usize,
    /// When the last message came, or the topic: in milliseconds of the engine's clock.
    published: u64,
    /// What is kept, as the last publish or read has said.
    kept: Kept,
    /// Whether something listens to the topic.
    pub(super) is_heard: bool,
}

/// A message of a ring.
#[derive(Debug)]
struct Stored {
    payload: Bytes,
    id: MessageId,
    /// When the message came, and its kind: two words would cost 8 bytes more.
    stamp: Stamp,
}

/// A time in milliseconds, and two flags.
#[derive(Clone, Copy, Debug)]
struct Stamp(u64);

/// What a new message did to a topic.
#[derive(Debug)]
pub(super) struct Appended {
    /// The new message.
    pub(super) entry: Entry,
    /// The bytes that it costs.
    pub(super) added: usize,
    /// The bytes of the messages that it displaced.
    pub(super) freed: usize,
}

impl Topic {
    /// Makes a topic that has no message yet.
    pub(super) fn new(name: TopicName, epoch: Epoch, kept: Kept, now: u64) -> Self {
        Self {
            name,
            top: Position::start(epoch),
            floor_id: None,
            entries: VecDeque::new(),
            payload: 0,
            published: now,
            kept,
            is_heard: false,
        }
    }

    /// Returns the position of the newest message.
    pub(super) fn top(&self) -> Position {
        self.top
    }

    /// Returns when the last message came.
    pub(super) fn published(&self) -> u64 {
        self.published
    }

    /// Returns the bytes of the history, with the overhead.
    pub(super) fn cost(&self) -> usize {
        self.payload + self.entries.len() * OVERHEAD
    }

    /// Adds a message, and drops what is no longer readable.
    pub(super) fn append(&mut self, id: MessageId, body: Body, kept: Kept, now: u64) -> Appended {
        let previous = self.top.id;
        self.top = self.top.next(id);
        self.published = now;
        self.kept = kept;
        let stored = Stored {
            stamp: Stamp::new(now, &body),
            id,
            payload: body.message.clone().into_bytes(),
        };
        let added = stored.cost();
        self.payload += stored.payload.len();
        self.make_room();
        self.entries.push_back(stored);
        Appended {
            entry: Entry {
                position: self.top,
                previous,
                body,
            },
            added,
            freed: self.trim(now),
        }
    }

    /// Drops what is no longer readable. The answer is the number of bytes that it cost.
    pub(super) fn trim(&mut self, now: u64) -> usize {
        let before = self.cost();
        let unreadable = self.entries.len() - self.readable(self.kept, now);
        for _ in 0..unreadable {
            self.drop_oldest();
        }
        if self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        before - self.cost()
    }

    /// Drops the oldest message. The answer is the number of bytes that it cost: 0 if there is none.
    pub(super) fn drop_oldest(&mut self) -> usize {
        let Some(stored) = self.entries.pop_front() else {
            return 0;
        };
        self.payload -= stored.payload.len();
        self.floor_id = Some(stored.id);
        stored.cost()
    }

    /// Returns whether the topic can be forgotten.
    pub(super) fn is_over(&self, now: u64) -> bool {
        !self.is_heard && now >= self.published.saturating_add(lifetime(self.kept))
    }

    /// Answers a read.
    pub(super) fn read(&self, since: Since, kept: Kept, now: u64) -> Catchup {
        let readable = self.readable(kept, now);
        match (kept, since) {
            (Kept::Latest { .. }, Since::Recent(1..) | Since::After(_)) if readable == 0 => {
                Catchup::None { top: self.top }
            }
            (Kept::Latest { .. }, Since::After(position)) if position.id != self.top.id => {
                self.newest(1)
            }
            (_, Since::Top) | (Kept::Latest { .. }, Since::After(_)) => self.newest(0),
            (_, Since::Recent(number)) => {
                self.newest(readable.min(usize::try_from(number).unwrap_or(usize::MAX)))
            }
            (_, Since::After(position)) => self.after(position, readable),
        }
    }

    /// Reads all messages behind a position, of which `readable` may be read.
    fn after(&self, position: Position, readable: usize) -> Catchup {
        let lost = Catchup::Lost { top: self.top };
        if position.epoch != self.top.epoch {
            return lost;
        }
        let Some(missed) = self.top.offset.checked_sub(position.offset) else {
            return lost;
        };
        match usize::try_from(missed) {
            Ok(missed) if missed <= readable && self.id_before_newest(missed) == position.id => {
                self.newest(missed)
            }
            _ => lost,
        }
    }

    /// Reads the newest messages, of which there are as many.
    fn newest(&self, number: usize) -> Catchup {
        let mut before = Position {
            epoch: self.top.epoch,
            offset: self.top.offset - number as u64,
            id: self.id_before_newest(number),
        };
        let start = before;
        let newest = self.entries.range(self.entries.len() - number..);
        let entries = newest.map(|stored| {
            let previous = before.id;
            before = before.next(stored.id);
            Entry {
                position: before,
                previous,
                body: stored.body(),
            }
        });
        Catchup::Whole {
            entries: entries.collect(),
            before: start,
            top: self.top,
        }
    }

    /// Returns the id of the message before the newest ones, of which there are as many.
    fn id_before_newest(&self, number: usize) -> Option<MessageId> {
        match self.entries.len().checked_sub(number + 1) {
            Some(index) => self.entries.get(index).map(|stored| stored.id),
            // Without entries the floor is the top.
            None => self.floor_id,
        }
    }

    /// Returns how many of the newest messages may be read.
    fn readable(&self, kept: Kept, now: u64) -> usize {
        let (count, age, bytes) = match kept {
            Kept::Off => return 0,
            Kept::Latest { ttl } => (1, millis(ttl), usize::MAX),
            Kept::Window { count, age, bytes } => (count as usize, millis(age), bytes),
        };
        // Few are unreadable: each new message drops what it displaces, so the walk begins at the oldest.
        let mut number = self.entries.len();
        let mut payload = self.payload;
        for stored in &self.entries {
            if number <= count && payload <= bytes && stored.is_younger(age, now) {
                break;
            }
            number -= 1;
            payload -= stored.payload.len();
        }
        number
    }

    /// Makes room for one more entry, and for no more than the limit: a full ring has no slack.
    fn make_room(&mut self) {
        let len = self.entries.len();
        if len < self.entries.capacity() {
            return;
        }
        let limit = match self.kept {
            Kept::Window { count, .. } => count as usize,
            Kept::Off | Kept::Latest { .. } => 1,
        };
        // A message is added before the oldest is dropped.
        let more = (len / 4).max(3).min((limit + 1).saturating_sub(len));
        self.entries.reserve_exact(more.max(1));
    }
}

#[cfg(test)]
impl Topic {
    /// Counts the bytes anew.
    pub(super) fn count_again(&self) -> usize {
        self.entries.iter().map(Stored::cost).sum()
    }
}

impl Stored {
    fn cost(&self) -> usize {
        self.payload.len() + OVERHEAD
    }

    fn is_younger(&self, age: u64, now: u64) -> bool {
        now < self.stamp.time().saturating_add(age)
    }

    fn body(&self) -> Body {
        let payload = self.payload.clone();
        let message = if self.stamp.is_binary() {
            Message::Binary(payload)
        } else {
            match Text::from_utf8(payload.clone()) {
                Ok(text) => Message::Text(text),
                // It was a text, so this never happens.
                Err(_) => Message::Binary(payload),
            }
        };
        Body {
            message,
            compressible: self.stamp.is_compressible(),
        }
    }
}

impl Stamp {
    const BINARY: u64 = 1;
    const COMPRESSIBLE: u64 = 2;

    fn new(time: u64, body: &Body) -> Self {
        let kind = match body.message {
            Message::Text(_) => 0,
            Message::Binary(_) => Self::BINARY,
        };
        let compressible = if body.compressible {
            Self::COMPRESSIBLE
        } else {
            0
        };
        Self(time << 2 | kind | compressible)
    }

    fn time(self) -> u64 {
        self.0 >> 2
    }

    fn is_binary(self) -> bool {
        self.0 & Self::BINARY != 0
    }

    fn is_compressible(self) -> bool {
        self.0 & Self::COMPRESSIBLE != 0
    }
}

/// The bytes that an entry costs beside its payload.
pub(super) const OVERHEAD: usize = size_of::<Stored>();

/// How long a topic is remembered after the last message that it kept has become unreadable, in milliseconds.
const MEMORY: u64 = 3_600_000;

/// Returns how long a topic is remembered after its last message.
fn lifetime(kept: Kept) -> u64 {
    let age = match kept {
        Kept::Off => 0,
        Kept::Latest { ttl } => millis(ttl),
        Kept::Window { age, .. } => millis(age),
    };
    age.saturating_add(MEMORY)
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_costs_48_bytes_beside_its_payload() {
        assert_eq!(OVERHEAD, 48);
    }
}
