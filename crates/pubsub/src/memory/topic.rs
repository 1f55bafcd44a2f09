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
    /// Boxed: many topics have no message.
    ring: Option<Box<Ring>>,
    /// When the last message came, or the topic: in milliseconds of the engine's clock.
    published: u64,
    /// What is kept, as the last publish has said.
    limits: Limits,
    /// Whether something listens to the topic.
    pub(super) is_heard: bool,
}

/// The messages of a topic. There is at least one.
#[derive(Debug)]
struct Ring {
    /// The id of the message before the first entry.
    floor_id: Option<MessageId>,
    entries: VecDeque<Stored>,
    /// The payload bytes of all entries.
    payload: usize,
}

/// The messages that may be read: the newest ones within all limits.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// The age in milliseconds at which a message is no longer readable.
    age: u64,
    count: u32,
    /// The payload bytes. The largest number stands for no limit.
    bytes: u32,
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
    /// Where the new message stands.
    pub(super) position: Position,
    /// The new message, if something listens to the topic.
    pub(super) heard: Option<Entry>,
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
            ring: None,
            published: now,
            limits: Limits::of(kept),
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
        self.ring.as_ref().map_or(0, |ring| ring.cost())
    }

    /// Adds a message, and drops what is no longer readable.
    pub(super) fn append(&mut self, id: MessageId, body: Body, kept: Kept, now: u64) -> Appended {
        let previous = self.top.id;
        self.top = self.top.next(id);
        self.published = now;
        self.limits = Limits::of(kept);
        let heard = self.is_heard.then(|| Entry {
            position: self.top,
            previous,
            body: body.clone(),
        });
        let stored = Stored {
            stamp: Stamp::new(now, &body),
            id,
            payload: body.message.into_bytes(),
        };
        let added = stored.cost();
        let ring = self
            .ring
            .get_or_insert_with(|| Box::new(Ring::behind(previous)));
        ring.push(stored, self.limits.count);
        Appended {
            position: self.top,
            heard,
            added,
            freed: self.trim(now),
        }
    }

    /// Drops what is no longer readable. The answer is the number of bytes that it cost.
    pub(super) fn trim(&mut self, now: u64) -> usize {
        let Some(ring) = &mut self.ring else {
            return 0;
        };
        let before = ring.cost();
        let unreadable = ring.entries.len() - ring.readable(self.limits, now);
        for _ in 0..unreadable {
            ring.drop_oldest();
        }
        ring.shrink();
        let freed = before - ring.cost();
        self.release_ring();
        freed
    }

    /// Drops the oldest message. The answer is the number of bytes that it cost: 0 if there is none.
    pub(super) fn drop_oldest(&mut self) -> usize {
        let dropped = self.ring.as_mut().and_then(|ring| ring.drop_oldest());
        self.release_ring();
        dropped.unwrap_or(0)
    }

    fn release_ring(&mut self) {
        self.ring.take_if(|ring| ring.entries.is_empty());
    }

    /// Returns when the topic next has something that is too old: a message, or itself. `None` if it has no message and is
    /// kept because something listens to it.
    pub(super) fn due(&self) -> Option<u64> {
        match self.ring.as_ref().and_then(|ring| ring.entries.front()) {
            Some(oldest) => Some(oldest.stamp.time().saturating_add(self.limits.age)),
            None if self.is_heard => None,
            None => Some(self.over()),
        }
    }

    /// Returns whether the topic can be forgotten.
    pub(super) fn is_over(&self, now: u64) -> bool {
        !self.is_heard && now >= self.over()
    }

    /// Returns when the topic can be forgotten, if nothing listens to it.
    fn over(&self) -> u64 {
        self.published
            .saturating_add(self.limits.age)
            .saturating_add(MEMORY)
    }

    /// Answers a read.
    pub(super) fn read(&self, since: Since, kept: Kept, now: u64) -> Catchup {
        let ring = self.ring.as_ref();
        let readable = ring.map_or(0, |ring| ring.readable(Limits::of(kept), now));
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
        let entries = self.ring.as_ref().map(|ring| &ring.entries);
        let newest = entries.map(|entries| entries.range(entries.len() - number..));
        let entries = newest.into_iter().flatten().map(|stored| {
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
        // Without messages the floor is the top.
        let ring = self.ring.as_ref();
        ring.map_or(self.top.id, |ring| ring.id_before_newest(number))
    }
}

impl Ring {
    /// Makes a ring whose first message will follow the message with this id.
    fn behind(floor_id: Option<MessageId>) -> Self {
        Self {
            floor_id,
            entries: VecDeque::new(),
            payload: 0,
        }
    }

    /// Returns the bytes of the messages, with the overhead.
    fn cost(&self) -> usize {
        self.payload + self.entries.len() * OVERHEAD
    }

    /// Adds a message. `limit` is the number of messages that are kept.
    fn push(&mut self, stored: Stored, limit: u32) {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            // Room for no more than the limit: a full ring has no slack. A message is added before the oldest is dropped.
            let most = (limit as usize + 1).saturating_sub(len);
            let more = (len / 4).max(3).min(most);
            self.entries.reserve_exact(more.max(1));
        }
        self.payload += stored.payload.len();
        self.entries.push_back(stored);
    }

    /// Drops the oldest message. The answer is the number of bytes that it cost.
    fn drop_oldest(&mut self) -> Option<usize> {
        let stored = self.entries.pop_front()?;
        self.payload -= stored.payload.len();
        self.floor_id = Some(stored.id);
        Some(stored.cost())
    }

    fn shrink(&mut self) {
        if self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// Returns the id of the message before the newest ones, of which there are as many.
    fn id_before_newest(&self, number: usize) -> Option<MessageId> {
        match self.entries.len().checked_sub(number + 1) {
            Some(index) => self.entries.get(index).map(|stored| stored.id),
            None => self.floor_id,
        }
    }

    /// Returns how many of the newest messages may be read.
    fn readable(&self, limits: Limits, now: u64) -> usize {
        // Few are unreadable: each new message drops what it displaces, so the walk begins at the oldest.
        let mut number = self.entries.len();
        let mut payload = self.payload;
        for stored in &self.entries {
            if limits.admit(number, payload) && stored.is_younger(limits.age, now) {
                break;
            }
            number -= 1;
            payload -= stored.payload.len();
        }
        number
    }
}

impl Limits {
    fn of(kept: Kept) -> Self {
        match kept {
            Kept::Off => Self {
                age: 0,
                count: 0,
                bytes: 0,
            },
            Kept::Latest { ttl } => Self {
                age: millis(ttl),
                count: 1,
                bytes: u32::MAX,
            },
            Kept::Window { count, age, bytes } => Self {
                age: millis(age),
                count,
                bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            },
        }
    }

    /// Returns whether so many messages with so many bytes of payload may be read.
    fn admit(&self, number: usize, payload: usize) -> bool {
        number <= self.count as usize && (payload <= self.bytes as usize || self.bytes == u32::MAX)
    }
}

#[cfg(test)]
impl Topic {
    /// Counts the bytes anew.
    pub(super) fn count_again(&self) -> usize {
        let entries = self.ring.as_ref().map(|ring| &ring.entries);
        entries.into_iter().flatten().map(Stored::cost).sum()
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
