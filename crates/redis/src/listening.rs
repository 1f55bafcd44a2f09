//! Which topics this node listens to, the generations of the 256 partitions, and what is to be subscribed again.
//!
//! Each topic is wanted, or confirmed in one life of the feed. A new life costs one number, not a walk over all topics.
//!
//! ```text
//!  want ──▶ wanted ── confirm ──▶ confirmed ── end_life ──▶ wanted, to be subscribed again
//!                                     └── end ──▶ confirmed, in a new generation
//! ```

use std::collections::HashMap;
use std::time::Duration;
use std::vec;

use sockeye_pubsub::engine::Generation;
use sockeye_pubsub::{Position, TopicName};

use crate::fault::Fault;
use crate::layout::{PARTITIONS, Partition};

/// The topics that this node listens to.
#[derive(Debug)]
pub(crate) struct Listening {
    partitions: Vec<Topics>,
    /// The number of the feed's life.
    life: u32,
    again: Again,
}

/// The topics of one partition.
#[derive(Debug, Default)]
struct Topics {
    generation: u64,
    topics: HashMap<TopicName, Standing>,
}

/// What is known of a topic.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// The life of the feed in which the server has confirmed the subscription. 0: in none.
    life: u32,
    /// The age of its window in seconds. 0: it has no window, or none that was read.
    age: u32,
    /// Whether the window had a message.
    has_messages: bool,
    /// Whether this node has written members of it.
    has_members: bool,
}

/// What of a topic the server forgets unless it is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upkeep {
    /// The position of a window that had no message yet.
    Empty,
    /// The position of a window with messages.
    Window,
    /// Members and their number.
    Members,
}

/// Which topics are to be subscribed again: the rest of one partition, and all of those behind it.
#[derive(Debug)]
struct Again {
    rest: vec::IntoIter<TopicName>,
    next: usize,
}

impl Listening {
    pub(crate) fn new() -> Self {
        let partition = || Topics {
            generation: 1,
            ..Topics::default()
        };
        Self {
            partitions: std::iter::repeat_with(partition).take(PARTITIONS).collect(),
            life: 1,
            again: Again {
                rest: Vec::new().into_iter(),
                next: PARTITIONS,
            },
        }
    }

    /// Notes that the node wants these topics.
    pub(crate) fn want(&mut self, topics: &[TopicName]) {
        for topic in topics {
            let known = &mut self.of(topic).topics;
            if !known.contains_key(topic) {
                known.insert(topic.clone(), Standing::default());
            }
        }
    }

    /// Notes that the node no longer wants these topics.
    pub(crate) fn forget(&mut self, topics: &[TopicName]) {
        for topic in topics {
            let known = &mut self.of(topic).topics;
            known.remove(topic);
            if known.is_empty() {
                *known = HashMap::new();
            } else if known.len() < known.capacity() / 8 {
                known.shrink_to(known.len() * 2);
            }
        }
    }

    /// Whether the node wants no topic.
    pub(crate) fn is_empty(&self) -> bool {
        let mut partitions = self.partitions.iter();
        partitions.all(|partition| partition.topics.is_empty())
    }

    pub(crate) fn is_wanted(&self, topic: &TopicName) -> bool {
        self.at(Partition::of(topic)).topics.contains_key(topic)
    }

    /// Returns the generation of a topic's partition.
    pub(crate) fn generation(&self, topic: &str) -> Generation {
        Generation(self.at(Partition::of(topic)).generation)
    }

    /// The server has confirmed these subscriptions. Returns the topics that the node still wants, by generations.
    pub(crate) fn confirm(&mut self, topics: &[TopicName]) -> Vec<(Generation, Vec<TopicName>)> {
        let life = self.life;
        let mut confirmed: Vec<(Generation, Vec<TopicName>)> = Vec::new();
        for topic in topics {
            let partition = self.of(topic);
            let generation = Generation(partition.generation);
            let Some(standing) = partition.topics.get_mut(topic) else {
                continue;
            };
            standing.life = life;
            match confirmed.iter_mut().find(|(of, _)| *of == generation) {
                Some((_, topics)) => topics.push(topic.clone()),
                None => confirmed.push((generation, vec![topic.clone()])),
            }
        }
        confirmed
    }

    /// A life of the feed ended: each generation ends, and all topics are to be subscribed again.
    pub(crate) fn end_life(&mut self) {
        self.life += 1;
        self.again = Again {
            rest: Vec::new().into_iter(),
            next: 0,
        };
        if !Fault::FeedGenerationIgnored.is_on() {
            self.end_generations();
        }
    }

    /// Messages of all partitions may be missing, though the feed lives: each generation ends.
    pub(crate) fn end_generations(&mut self) {
        // Equal generations let one report name topics of many partitions.
        let generation = self.partitions.iter().map(|partition| partition.generation);
        let next = generation.max().unwrap_or(0) + 1;
        for partition in &mut self.partitions {
            partition.generation = next;
        }
    }

    /// A message of a partition was dropped: its generation ends.
    pub(crate) fn end(&mut self, partition: Partition) {
        if let Some(topics) = self.partitions.get_mut(partition.index()) {
            topics.generation += 1;
        }
    }

    /// Returns the confirmed topics of a partition, and its generation.
    pub(crate) fn confirmed(&self, partition: Partition) -> (Generation, Vec<TopicName>) {
        let topics = self.at(partition);
        let confirmed = topics.topics.iter().filter(|(_, of)| of.life == self.life);
        let confirmed = confirmed.map(|(topic, _)| topic.clone()).collect();
        (Generation(topics.generation), confirmed)
    }

    /// Notes the window of a topic, and its newest position.
    pub(crate) fn note_window(&mut self, topic: &TopicName, age: Duration, top: Position) {
        if let Some(standing) = self.of(topic).topics.get_mut(topic) {
            standing.age = u32::try_from(age.as_secs()).unwrap_or(u32::MAX).max(1);
            standing.has_messages = top.offset > 0;
        }
    }

    /// Notes the newest position of a topic.
    pub(crate) fn note_top(&mut self, topic: &TopicName, top: Position) {
        if let Some(standing) = self.of(topic).topics.get_mut(topic) {
            standing.has_messages = top.offset > 0;
        }
    }

    /// Notes that this node has written members of a topic.
    pub(crate) fn note_members(&mut self, topic: &TopicName) {
        if let Some(standing) = self.of(topic).topics.get_mut(topic) {
            standing.has_members = true;
        }
    }

    /// Returns the topics of a partition that want this, each with the age of its window.
    pub(crate) fn to_keep(&self, partition: Partition, what: Upkeep) -> Vec<(Duration, TopicName)> {
        let wants = |of: &Standing| match what {
            Upkeep::Empty => of.age > 0 && !of.has_messages,
            Upkeep::Window => of.age > 0 && of.has_messages,
            Upkeep::Members => of.has_members,
        };
        let topics = self.at(partition).topics.iter().filter(|(_, of)| wants(of));
        let topics = topics.map(|(topic, of)| (Duration::from_secs(of.age.into()), topic.clone()));
        topics.collect()
    }

    /// Takes the next topics that are to be subscribed again, at most `most`. Empty: all were taken.
    pub(crate) fn take_again(&mut self, most: usize) -> Vec<TopicName> {
        let mut batch = Vec::new();
        while batch.len() < most {
            if let Some(topic) = self.again.rest.next() {
                if self.is_wanted(&topic) {
                    batch.push(topic);
                }
                continue;
            }
            let Some(next) = self.partitions.get(self.again.next) else {
                break;
            };
            let unconfirmed = next.topics.iter().filter(|(_, of)| of.life != self.life);
            let unconfirmed: Vec<_> = unconfirmed.map(|(topic, _)| topic.clone()).collect();
            self.again.rest = unconfirmed.into_iter();
            self.again.next += 1;
        }
        batch
    }

    fn at(&self, partition: Partition) -> &Topics {
        &self.partitions[partition.index()]
    }

    fn of(&mut self, topic: &TopicName) -> &mut Topics {
        &mut self.partitions[Partition::of(topic).index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(names: &[&str]) -> Vec<TopicName> {
        let name = |name: &&str| TopicName::new(*name).unwrap();
        names.iter().map(name).collect()
    }

    /// Returns the names of two partitions: three of the first, and one of the second.
    fn two_partitions() -> ([TopicName; 3], TopicName) {
        let mut names = (0..).map(|number| TopicName::new(format!("room/{number}")).unwrap());
        let first = names.next().unwrap();
        let is_first = |topic: &TopicName| Partition::of(topic) == Partition::of(&first);
        let other = names.clone().find(|topic| !is_first(topic)).unwrap();
        let mut same = names.filter(is_first);
        let (second, third) = (same.next().unwrap(), same.next().unwrap());
        ([first.clone(), second, third], other)
    }

    #[test]
    fn a_confirmed_topic_is_in_the_generation_of_its_partition() {
        let mut listening = Listening::new();
        let names = topics(&["a", "b"]);
        listening.want(&names);
        assert_eq!(listening.confirm(&names), [(Generation(1), names.clone())]);
        listening.end_life();
        assert_eq!(listening.generation("a"), Generation(2));
        assert_eq!(listening.generation("never heard of"), Generation(2));
        assert_eq!(listening.confirm(&names), [(Generation(2), names)]);
    }

    #[test]
    fn a_topic_that_is_no_longer_wanted_is_not_confirmed() {
        let mut listening = Listening::new();
        let names = topics(&["a", "b"]);
        listening.want(&names);
        listening.forget(&names[..1]);
        assert!(!listening.is_wanted(&names[0]) && listening.is_wanted(&names[1]));
        let confirmed = listening.confirm(&names);
        assert_eq!(confirmed, [(Generation(1), vec![names[1].clone()])]);
    }

    #[test]
    fn a_dropped_message_ends_the_generation_of_its_partition_alone() {
        let (same, other) = two_partitions();
        let mut listening = Listening::new();
        let all: Vec<_> = same.iter().chain([&other]).cloned().collect();
        listening.want(&all);
        listening.confirm(&all[1..]);
        let partition = Partition::of(&same[0]);
        listening.end(partition);
        let (generation, mut confirmed) = listening.confirmed(partition);
        confirmed.sort();
        let mut expected = same[1..].to_vec();
        expected.sort();
        assert_eq!((generation, confirmed), (Generation(2), expected));
        assert_eq!(listening.generation(&other), Generation(1));
        // After a gap of all, the generations are equal again, and higher than each.
        listening.end_generations();
        assert_eq!(listening.generation(&other), Generation(3));
        assert_eq!(listening.generation(&same[0]), Generation(3));
    }

    #[test]
    fn after_a_life_each_wanted_topic_is_subscribed_again_once() {
        let names: Vec<_> = (0..1_000).map(|number| format!("room/{number}")).collect();
        let names = topics(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut listening = Listening::new();
        listening.want(&names);
        listening.confirm(&names);
        assert_eq!(listening.take_again(512), []);
        listening.end_life();
        let mut again = listening.take_again(512);
        assert_eq!(again.len(), 512);
        listening.forget(&again[..1]);
        // A topic that was confirmed in the new life by a call is not subscribed again.
        let fresh: Vec<_> = names
            .iter()
            .filter(|name| !again.contains(name))
            .take(1)
            .cloned()
            .collect();
        listening.confirm(&fresh);
        again.extend(listening.take_again(1_000));
        assert_eq!(listening.take_again(512), []);
        again.sort();
        again.dedup();
        assert!(again.len() >= 999, "{} topics", again.len());
        // Those that were not confirmed come again in the next life.
        listening.end_life();
        assert_eq!(listening.take_again(2_000).len(), 999);
    }

    #[test]
    fn topics_that_are_forgotten_leave_no_memory() {
        let names: Vec<_> = (0..10_000)
            .map(|number| TopicName::new(format!("{number}")).unwrap())
            .collect();
        let mut listening = Listening::new();
        listening.want(&names);
        listening.forget(&names);
        let capacity: usize = listening
            .partitions
            .iter()
            .map(|of| of.topics.capacity())
            .sum();
        assert_eq!(capacity, 0);
    }
}
