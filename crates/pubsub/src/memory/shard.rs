//! A part of the topics of the engine, behind one lock.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry as Slot;

use crate::memory::keys::Keys;
use crate::memory::names::{LookUp, Name, NameHashing, NameMap, NameSet};
use crate::memory::topic::Topic;
use crate::name::TopicName;

/// A part of the topics.
#[derive(Debug)]
pub(super) struct Shard {
    /// The topics that something listens to, with and without history.
    heard: NameSet,
    /// The topics with history.
    stored: NameMap<Box<Placed>>,
    ranks: Ranks,
    pub(super) keys: Keys,
    /// When the shard wants to be pruned, in milliseconds of the engine's clock.
    pub(super) prune_at: u64,
}

/// A topic with history, and its place among the others.
#[derive(Debug)]
struct Placed {
    topic: Topic,
    rank: Rank,
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
    pub(super) fn new(hashing: &NameHashing, prune_at: u64) -> Self {
        Self {
            heard: NameSet::with_hasher(hashing.clone()),
            stored: NameMap::with_hasher(hashing.clone()),
            ranks: Ranks::default(),
            keys: Keys::default(),
            prune_at,
        }
    }

    /// Returns whether the shard holds nothing that gets old.
    pub(super) fn is_ageless(&self) -> bool {
        self.stored.is_empty() && self.keys.is_empty()
    }

    /// Returns whether something listens to a topic.
    pub(super) fn is_heard(&self, name: &LookUp<'_>) -> bool {
        self.heard.contains(name.key())
    }

    /// Returns whether the shard knows a topic: whether something listens to it, or it has a history.
    pub(super) fn knows(&self, name: &LookUp<'_>) -> bool {
        self.is_heard(name) || self.stored.contains_key(name.key())
    }

    /// Notes that something listens to a topic.
    /// Returns false if something listened to it before.
    pub(super) fn listen(&mut self, topic: &TopicName, name: &LookUp<'_>) -> bool {
        self.change(name, |topic| topic.is_heard = true);
        self.heard.insert(Name(topic.clone()))
    }

    /// Notes that nothing listens to a topic. The answer is the number of topics that were forgotten: 0 or 1.
    pub(super) fn unlisten(&mut self, name: &LookUp<'_>) -> usize {
        let was_heard = self.heard.remove(name.key());
        let has_history = self.change(name, |topic| topic.is_heard = false).is_some();
        if self.heard.len() < self.heard.capacity() / 8 {
            self.heard.shrink_to(self.heard.len() * 2);
        }
        usize::from(was_heard && !has_history)
    }

    /// Returns the history of a topic.
    pub(super) fn get(&self, name: &LookUp<'_>) -> Option<&Topic> {
        self.stored.get(name.key()).map(|placed| &placed.topic)
    }

    /// Adds a topic with history.
    pub(super) fn insert(&mut self, mut topic: Topic, name: &LookUp<'_>) {
        topic.is_heard = self.is_heard(name);
        let rank = Rank::of(&topic);
        self.ranks.insert(rank, &topic.name);
        if let Slot::Vacant(slot) = self.stored.entry(Name(topic.name.clone())) {
            slot.insert(Box::new(Placed { topic, rank }));
        }
    }

    /// Changes the history of a topic, if there is one.
    pub(super) fn change<A>(
        &mut self,
        name: &LookUp<'_>,
        change: impl FnOnce(&mut Topic) -> A,
    ) -> Option<A> {
        let placed = self.stored.get_mut(name.key())?;
        let answer = change(&mut placed.topic);
        self.ranks.place(placed);
        Some(answer)
    }

    /// Returns when the topic had its last message that makes room as the next one: a second of the engine's clock.
    pub(super) fn idlest(&self, room: Room<'_>) -> Option<u64> {
        self.ranks.idlest(room).map(|(second, _)| *second)
    }

    /// Drops the topic that [`idlest`](Self::idlest) speaks of.
    pub(super) fn drop_idlest(&mut self, hashing: &NameHashing, room: Room<'_>) -> Freed {
        match self.ranks.idlest(room).cloned() {
            Some((_, name)) => self.forget(&hashing.look_up(&name)),
            None => Freed::default(),
        }
    }

    /// Returns the size of the largest history that something listens to.
    pub(super) fn largest(&self) -> Option<u64> {
        self.ranks.heard.last().map(|(size, _)| *size)
    }

    /// Drops the oldest message of the history that [`largest`](Self::largest) speaks of. The answer is its cost.
    pub(super) fn trim_largest(&mut self, hashing: &NameHashing) -> usize {
        let Some((_, name)) = self.ranks.heard.last() else {
            return 0;
        };
        let name = name.clone();
        self.change(&hashing.look_up(&name), Topic::drop_oldest)
            .unwrap_or_default()
    }

    /// Drops what is old.
    pub(super) fn prune(&mut self, hashing: &NameHashing, now: u64) -> Freed {
        self.keys.prune(now);
        let mut freed = Freed::default();
        let mut over = Vec::new();
        for placed in self.stored.values_mut() {
            freed.bytes += placed.topic.trim(now);
            if placed.topic.is_over(now) {
                over.push(placed.topic.name.clone());
            }
            self.ranks.place(placed);
        }
        for name in over {
            let more = self.forget(&hashing.look_up(&name));
            freed.bytes += more.bytes;
            freed.topics += more.topics;
        }
        if self.stored.len() < self.stored.capacity() / 8 {
            self.stored.shrink_to(self.stored.len() * 2);
        }
        freed
    }

    fn forget(&mut self, name: &LookUp<'_>) -> Freed {
        let Some(placed) = self.stored.remove(name.key()) else {
            return Freed::default();
        };
        self.ranks.remove(placed.rank, &placed.topic.name);
        Freed {
            topics: usize::from(!placed.topic.is_heard),
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
        for (name, placed) in &self.stored {
            let topic = &placed.topic;
            assert_eq!(topic.is_heard, self.heard.contains(name));
            assert_eq!(placed.rank, Rank::of(topic));
            topics += usize::from(!topic.is_heard);
            bytes += topic.count_again();
            ranked += usize::from(placed.rank != Rank::Empty);
        }
        let Ranks {
            idle,
            hollow,
            heard,
        } = &self.ranks;
        assert_eq!(ranked, idle.len() + hollow.len() + heard.len());
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

    /// Puts a topic at its place, if that has changed.
    fn place(&mut self, placed: &mut Placed) {
        let rank = Rank::of(&placed.topic);
        if rank != placed.rank {
            self.remove(placed.rank, &placed.topic.name);
            self.insert(rank, &placed.topic.name);
            placed.rank = rank;
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

/// Returns the size of a history in steps of at most an eighth. A larger history has no smaller size.
fn size(cost: usize) -> u64 {
    let cost = (cost as u64).max(8);
    let octave = u64::from(cost.ilog2()) - 3;
    octave * 8 + (cost >> octave)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_grow_with_the_cost_in_steps_of_at_most_an_eighth() {
        assert_eq!([8, 9, 15, 16, 17, 18].map(size), [8, 9, 15, 16, 16, 17]);
        for cost in 1..100_000 {
            assert!(size(cost) <= size(cost + 1));
            assert!(size(cost) < size(cost + cost / 8 + 8));
        }
    }
}
