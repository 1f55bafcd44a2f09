//! A part of the topics of the engine, behind one lock.

use std::collections::BTreeSet;

use crate::memory::keys::Keys;
use crate::memory::topic::Topic;
use crate::name::TopicName;
use crate::seed::{LookUp, Seed};
use crate::table::{NameTable, Named};

/// A part of the topics.
#[derive(Debug)]
pub(super) struct Shard {
    /// The topics without history that something listens to.
    heard: NameTable<TopicName>,
    /// The topics with history. Boxed: a table has up to 16/7 places for each topic.
    stored: NameTable<Box<Placed>>,
    seed: Seed,
    ranks: Ranks,
    /// When topics with history next have something that is too old, in milliseconds of the engine's clock. A message never
    /// changes that: it only makes a later look necessary.
    dues: BTreeSet<(u64, TopicName)>,
    pub(super) keys: Keys,
}

/// A topic with history, and its place among the others.
#[derive(Debug)]
struct Placed {
    topic: Topic,
    /// The topic's entry in the shard's dues.
    due: Option<u64>,
}

impl Named for Placed {
    fn name(&self) -> &str {
        &self.topic.name
    }
}

/// The place of a topic among those that may have to make room. It is coarse, so that few messages change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    /// Nothing listens to the topic. The last message came in this second.
    Idle { second: u64 },
    /// The same, and the topic has no message any more.
    Hollow { second: u64 },
    /// Something listens to the topic, and its history has this size.
    Heard { size: u64 },
    /// Something listens to the topic, and it has no message.
    Empty,
}

/// The topics in the order in which they make room.
#[derive(Debug, Default)]
struct Ranks {
    idle: BTreeSet<(u64, TopicName)>,
    hollow: BTreeSet<(u64, TopicName)>,
    heard: BTreeSet<(u64, TopicName)>,
}

/// What room is made for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Room<'n> {
    /// A topic.
    Topic,
    /// The bytes of a message that this topic has got. It is not dropped, and a topic without messages would give nothing.
    Bytes { spared: &'n str },
}

/// What was given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Freed {
    pub(super) topics: usize,
    pub(super) bytes: usize,
}

impl Shard {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            heard: NameTable::new(seed),
            stored: NameTable::new(seed),
            seed,
            ranks: Ranks::default(),
            dues: BTreeSet::new(),
            keys: Keys::default(),
        }
    }

    /// Returns whether something listens to a topic.
    pub(super) fn is_heard(&self, name: &LookUp<'_>) -> bool {
        self.heard.get(name).is_some() || self.get(name).is_some_and(|topic| topic.is_heard)
    }

    /// Returns whether the shard knows a topic: whether something listens to it, or it has a history.
    pub(super) fn knows(&self, name: &LookUp<'_>) -> bool {
        self.heard.get(name).is_some() || self.stored.get(name).is_some()
    }

    /// Notes that something listens to a topic. Returns false if something listened to it before.
    pub(super) fn listen(&mut self, topic: &TopicName, name: &LookUp<'_>) -> bool {
        let was_heard = self.change(name, |topic| std::mem::replace(&mut topic.is_heard, true));
        let was_heard = was_heard.unwrap_or_else(|| self.heard.get(name).is_some());
        if !was_heard && self.stored.get(name).is_none() {
            self.heard.insert(name, topic.clone());
        }
        !was_heard
    }

    /// Notes that nothing listens to a topic. The answer is the number of topics that were forgotten: 0 or 1.
    pub(super) fn unlisten(&mut self, name: &LookUp<'_>) -> usize {
        self.change(name, |topic| topic.is_heard = false);
        let Some(placed) = self.stored.get_mut(name) else {
            return usize::from(self.heard.remove(name).is_some());
        };
        // The next look finds out when it is due.
        let due = placed.due.unwrap_or(placed.topic.published());
        place_due(&mut self.dues, placed, Some(due));
        0
    }

    /// Returns the history of a topic.
    pub(super) fn get(&self, name: &LookUp<'_>) -> Option<&Topic> {
        self.stored.get(name).map(|placed| &placed.topic)
    }

    /// Adds a topic with history. It has none yet.
    pub(super) fn insert(&mut self, mut topic: Topic, name: &LookUp<'_>) {
        topic.is_heard = self.heard.remove(name).is_some();
        self.ranks.insert(Rank::of(&topic), &topic.name);
        let first = topic.published() + PRUNE_EVERY;
        let placed = self
            .stored
            .insert(name, Box::new(Placed { due: None, topic }));
        place_due(&mut self.dues, placed, Some(first));
    }

    /// Changes the history of a topic, if there is one.
    pub(super) fn change<A>(
        &mut self,
        name: &LookUp<'_>,
        change: impl FnOnce(&mut Topic) -> A,
    ) -> Option<A> {
        let topic = &mut self.stored.get_mut(name)?.topic;
        let before = Rank::of(topic);
        let answer = change(topic);
        self.ranks.place(topic, before);
        Some(answer)
    }

    /// Returns when the topic had its last message that makes room as the next one: a second of the engine's clock.
    pub(super) fn idlest(&self, room: Room<'_>) -> Option<u64> {
        self.ranks.idlest(room).map(|(second, _)| *second)
    }

    /// Drops the topic that [`idlest`](Self::idlest) speaks of.
    pub(super) fn drop_idlest(&mut self, room: Room<'_>) -> Freed {
        match self.ranks.idlest(room).cloned() {
            Some((_, name)) => self.forget(&self.seed.look_up(&name)),
            None => Freed::default(),
        }
    }

    /// Returns the size of the largest history that something listens to.
    pub(super) fn largest(&self) -> Option<u64> {
        self.ranks.heard.last().map(|(size, _)| *size)
    }

    /// Drops the oldest message of the history that [`largest`](Self::largest) speaks of. The answer is its cost.
    pub(super) fn trim_largest(&mut self) -> usize {
        let Some((_, name)) = self.ranks.heard.last() else {
            return 0;
        };
        let name = name.clone();
        self.change(&self.seed.look_up(&name), Topic::drop_oldest)
            .unwrap_or_default()
    }

    /// Drops what is old, in at most `limit` topics. The answer also has the number of topics that it looked at.
    pub(super) fn prune(&mut self, now: u64, limit: usize) -> (Freed, usize) {
        self.keys.prune(now);
        let mut freed = Freed::default();
        for looked_at in 0..limit {
            let Some((_, name)) = self.dues.first().filter(|(due, _)| *due <= now) else {
                return (freed, looked_at);
            };
            let name = name.clone();
            let more = self.look_at(&self.seed.look_up(&name), now);
            freed.bytes += more.bytes;
            freed.topics += more.topics;
        }
        (freed, limit)
    }

    /// Returns when [`prune`](Self::prune) next has something to do.
    pub(super) fn due(&self) -> Option<u64> {
        self.dues.first().map(|(due, _)| *due)
    }

    /// Drops what is old of one topic, and decides when to look again.
    fn look_at(&mut self, name: &LookUp<'_>, now: u64) -> Freed {
        let Some(placed) = self.stored.get_mut(name) else {
            return Freed::default();
        };
        let before = Rank::of(&placed.topic);
        let bytes = placed.topic.trim(now);
        let mut freed = Freed { topics: 0, bytes };
        self.ranks.place(&placed.topic, before);
        if placed.topic.is_over(now) {
            let more = self.forget(name);
            freed.topics += more.topics;
            freed.bytes += more.bytes;
        } else {
            let due = placed.topic.due().map(|due| due.max(now + PRUNE_EVERY));
            place_due(&mut self.dues, placed, due);
        }
        freed
    }

    /// Drops a topic that nothing listens to.
    fn forget(&mut self, name: &LookUp<'_>) -> Freed {
        let Some(placed) = self.stored.remove(name) else {
            return Freed::default();
        };
        debug_assert!(!placed.topic.is_heard);
        self.ranks
            .remove(Rank::of(&placed.topic), &placed.topic.name);
        if let Some(due) = placed.due {
            self.dues.remove(&(due, placed.topic.name.clone()));
        }
        Freed {
            topics: 1,
            bytes: placed.topic.cost(),
        }
    }
}

#[cfg(test)]
impl Shard {
    /// Counts the topics and the bytes anew, and checks the ranks.
    pub(super) fn count_again(&self) -> (usize, usize) {
        let mut topics = self.heard.len();
        let mut bytes = 0;
        let mut ranked = 0;
        let mut due = 0;
        for placed in self.stored.iter() {
            let topic = &placed.topic;
            assert!(self.heard.find(&topic.name).is_none());
            topics += 1;
            bytes += topic.count_again();
            let rank = Rank::of(topic);
            assert!(self.ranks.contains(rank, &topic.name));
            ranked += usize::from(rank != Rank::Empty);
            assert!(placed.due.is_some() || topic.is_heard);
            due += usize::from(placed.due.is_some());
        }
        let Ranks {
            idle,
            hollow,
            heard,
        } = &self.ranks;
        assert_eq!(ranked, idle.len() + hollow.len() + heard.len());
        assert_eq!(due, self.dues.len());
        (topics, bytes)
    }
}

impl Rank {
    fn of(topic: &Topic) -> Self {
        let second = topic.published() / 1000;
        match (topic.is_heard, topic.cost()) {
            (false, 0) => Self::Hollow { second },
            (false, _) => Self::Idle { second },
            (true, 0) => Self::Empty,
            (true, cost) => Self::Heard { size: size(cost) },
        }
    }
}

impl Ranks {
    /// Returns the topic that nothing listens to and that has had no message for the longest time.
    fn idlest(&self, room: Room<'_>) -> Option<&(u64, TopicName)> {
        match room {
            Room::Topic => self
                .idle
                .first()
                .into_iter()
                .chain(self.hollow.first())
                .min(),
            Room::Bytes { spared } => self.idle.iter().find(|(_, name)| **name != *spared),
        }
    }

    /// Puts a topic at its place, if that was another one before.
    fn place(&mut self, topic: &Topic, before: Rank) {
        let rank = Rank::of(topic);
        if rank != before {
            self.remove(before, &topic.name);
            self.insert(rank, &topic.name);
        }
    }

    #[cfg(test)]
    fn contains(&self, rank: Rank, name: &TopicName) -> bool {
        match rank {
            Rank::Idle { second } => self.idle.contains(&(second, name.clone())),
            Rank::Hollow { second } => self.hollow.contains(&(second, name.clone())),
            Rank::Heard { size } => self.heard.contains(&(size, name.clone())),
            Rank::Empty => true,
        }
    }

    fn insert(&mut self, rank: Rank, name: &TopicName) {
        match rank {
            Rank::Idle { second } => self.idle.insert((second, name.clone())),
            Rank::Hollow { second } => self.hollow.insert((second, name.clone())),
            Rank::Heard { size } => self.heard.insert((size, name.clone())),
            Rank::Empty => false,
        };
    }

    fn remove(&mut self, rank: Rank, name: &TopicName) {
        match rank {
            Rank::Idle { second } => self.idle.remove(&(second, name.clone())),
            Rank::Hollow { second } => self.hollow.remove(&(second, name.clone())),
            Rank::Heard { size } => self.heard.remove(&(size, name.clone())),
            Rank::Empty => false,
        };
    }
}

/// Changes when a topic is due.
fn place_due(dues: &mut BTreeSet<(u64, TopicName)>, placed: &mut Placed, due: Option<u64>) {
    if due == placed.due {
        return;
    }
    if let Some(due) = placed.due {
        dues.remove(&(due, placed.topic.name.clone()));
    }
    if let Some(due) = due {
        dues.insert((due, placed.topic.name.clone()));
    }
    placed.due = due;
}

/// How often a topic is looked at, at most, in milliseconds.
pub(super) const PRUNE_EVERY: u64 = 60_000;

/// Returns the size of a history in steps of at most an eighth. A larger history has no smaller size.
fn size(cost: usize) -> u64 {
    let cost = (cost as u64).max(8);
    let octave = u64::from(cost.ilog2()) - 3;
    octave * 8 + (cost >> octave)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Besides its places in the table and in the dues, and its messages.
    #[test]
    fn a_topic_with_history_takes_96_bytes() {
        assert!(size_of::<Placed>() <= 96);
    }

    #[test]
    fn sizes_grow_with_the_cost_in_steps_of_at_most_an_eighth() {
        assert_eq!([8, 9, 15, 16, 17, 18].map(size), [8, 9, 15, 16, 16, 17]);
        for cost in 1..100_000 {
            assert!(size(cost) <= size(cost + 1));
            assert!(size(cost) < size(cost + cost / 8 + 8));
        }
    }
}
