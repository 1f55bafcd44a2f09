//! A part of a hub's topics, under one lock.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::clock::Timers;
use super::context::{Context, Shared};
use super::joins::PendingJoin;
use super::outlet::Outlet;
use super::state::State;
use super::topic::Topic;
use crate::error::SubscribeError;
use crate::name::TopicName;
use crate::policy::History;
use crate::publication::Delivered;
use crate::seed::{LookUp, Seed};
use crate::table::{NameTable, Named};

/// A part of a hub's topics.
pub(super) struct Shard<O: Outlet> {
    // Boxed: a table has up to 16/7 places for each topic.
    topics: NameTable<Box<Entry<O>>>,
    /// The histories of the topics. There are few, so a topic has the number of its own.
    histories: Vec<History>,
    timers: Timers,
}

/// A topic and its name.
struct Entry<O: Outlet> {
    name: TopicName,
    topic: Topic<O>,
}

impl<O: Outlet> Named for Entry<O> {
    fn name(&self) -> &str {
        &self.name
    }
}

impl<O: Outlet> Shard<O> {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            topics: NameTable::new(seed),
            histories: Vec::new(),
            timers: Timers::default(),
        }
    }

    /// Gives a message to its topic.
    pub(super) fn deliver(&mut self, shared: &Shared<O>, name: &LookUp<'_>, delivered: Delivered) {
        let Some(entry) = self.topics.get_mut(name) else {
            return;
        };
        if let Some(other) = entry.topic.deliver(shared, delivered) {
            self.with(shared, name, |topic, context| {
                topic.deliver_other(context, other)
            });
        }
    }

    /// Gives a join to its topic.
    pub(super) fn join(
        &mut self,
        shared: &Shared<O>,
        name: &TopicName,
        place: &LookUp<'_>,
        history: History,
        pending: PendingJoin<O::Join>,
    ) {
        let mut pending = Some(pending);
        self.with(shared, place, |topic, context| {
            if let Some(pending) = pending.take() {
                topic.join(context, pending);
            }
        });
        let Some(pending) = pending else {
            return;
        };
        let Some(number) = self.number_of(history) else {
            return shared.outlet.refuse(pending.join, SubscribeError::TooMany);
        };
        if shared.topics.fetch_add(1, Ordering::SeqCst) >= shared.config.max_topics {
            shared.topics.fetch_sub(1, Ordering::SeqCst);
            return shared.outlet.refuse(pending.join, SubscribeError::TooMany);
        }
        let topics = &self.topics;
        self.timers.make_room(|name| {
            topics
                .find(name)
                .is_some_and(|entry| entry.topic.waits_for_time())
        });
        let mut context = Context {
            shared,
            timers: &mut self.timers,
            name,
            history,
        };
        let topic = Topic::open(&mut context, number, pending);
        let name = name.clone();
        self.topics.insert(place, Box::new(Entry { name, topic }));
    }

    /// Calls a function with a topic and its context. `None` if there is no such topic.
    pub(super) fn with<R>(
        &mut self,
        shared: &Shared<O>,
        place: &LookUp<'_>,
        f: impl FnOnce(&mut Topic<O>, &mut Context<'_, O>) -> R,
    ) -> Option<R> {
        let Entry { name, topic } = &mut **self.topics.get_mut(place)?;
        let mut context = Context {
            shared,
            timers: &mut self.timers,
            name,
            history: *self.histories.get(usize::from(topic.history))?,
        };
        let result = f(topic, &mut context);
        topic.close_if_unused(&mut context);
        if matches!(topic.state, State::Idle) {
            self.topics.remove(place);
            shared.topics.fetch_sub(1, Ordering::SeqCst);
        }
        Some(result)
    }

    /// Returns a topic.
    pub(super) fn get(&mut self, name: &LookUp<'_>) -> Option<&mut Topic<O>> {
        Some(&mut self.topics.get_mut(name)?.topic)
    }

    /// A generation ended for some topics.
    pub(super) fn gap(&mut self, shared: &Shared<O>, affected: &dyn Fn(&str) -> bool) {
        for entry in self.topics.iter_mut() {
            let Entry { name, topic } = &mut **entry;
            let history = self.histories.get(usize::from(topic.history));
            if let (true, Some(&history)) = (affected(name), history) {
                let mut context = Context {
                    shared,
                    timers: &mut self.timers,
                    name,
                    history,
                };
                topic.gap(&mut context);
                topic.close_if_unused(&mut context);
            }
        }
    }

    /// Calls the topics whose time has come. Returns the next time.
    pub(super) fn time(&mut self, shared: &Shared<O>, now: Instant) -> Option<Instant> {
        while let Some(name) = self.timers.pop(now) {
            let place = self.topics.look_up(&name);
            self.with(shared, &place, |topic, context| topic.time(context, now));
        }
        self.timers.next()
    }

    /// Returns the names of the topics.
    pub(super) fn names(&self) -> Vec<TopicName> {
        self.topics.iter().map(|entry| entry.name.clone()).collect()
    }

    /// Returns the names of the topics whose positions can be compared with the engine's.
    pub(super) fn names_with_positions(&self) -> Vec<TopicName> {
        let topics = self.topics.iter();
        let topics = topics.filter(|entry| entry.topic.turn_position().is_some());
        topics.map(|entry| entry.name.clone()).collect()
    }

    /// Returns the bytes that the topics and their times take, without what the topics own.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let entries = self.topics.len() * size_of::<Entry<O>>();
        self.topics.bytes() + entries + self.timers.bytes()
    }

    fn number_of(&mut self, history: History) -> Option<u16> {
        let known = self.histories.iter().position(|&known| known == history);
        let number = known.unwrap_or(self.histories.len());
        if known.is_none() {
            self.histories.push(history);
        }
        u16::try_from(number).ok()
    }
}
