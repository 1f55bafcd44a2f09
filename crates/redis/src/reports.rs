//! What the feed reports to the hub, in an order that never lets a topic believe in a generation that has ended.
//!
//! Workers, the subscriber and the link report from tasks of their own. A `gap` and the `listened` behind it are one step
//! for the others: without that, a topic could be confirmed in a new generation before its `gap` was reported, and the
//! hub would wait for a second `listened` for ever.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sockeye_pubsub::TopicName;
use sockeye_pubsub::engine::{EngineEvents, Generation};

use crate::fault::Fault;
use crate::layout::Partition;
use crate::listening::Listening;

/// The topics that the node listens to, and what is reported of them.
pub(crate) struct Reports {
    events: Arc<dyn EngineEvents>,
    /// Held while generations change and the change is reported. Lock order: this, then `listening`, then the hub's.
    order: Mutex<Proof>,
    /// Not held while the hub is called.
    listening: Mutex<Listening>,
}

/// Whether the feed has brought a message from behind the last loss of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Proved,
    Awaited,
}

impl Reports {
    pub(crate) fn new(events: Arc<dyn EngineEvents>) -> Self {
        Self {
            events,
            order: Mutex::new(Proof::Proved),
            listening: Mutex::new(Listening::new()),
        }
    }

    /// Returns what is told of messages, nodes and states. They have no generation.
    pub(crate) fn events(&self) -> &dyn EngineEvents {
        &*self.events
    }

    pub(crate) fn listening(&self) -> MutexGuard<'_, Listening> {
        lock(&self.listening)
    }

    /// The server has confirmed subscriptions for a call: the call itself reports them.
    pub(crate) fn confirmed(&self, topics: &[TopicName]) {
        let _order = lock(&self.order);
        self.listening().confirm(topics);
    }

    /// Returns the generations of topics.
    pub(crate) fn generations(&self, topics: &[TopicName]) -> Vec<Generation> {
        let listening = self.listening();
        topics
            .iter()
            .map(|topic| listening.generation(topic))
            .collect()
    }

    /// The server has confirmed subscriptions that were made again.
    pub(crate) fn confirmed_again(&self, topics: &[TopicName]) {
        let proof = lock(&self.order);
        let confirmed = self.listening().confirm(topics);
        if *proof == Proof::Awaited {
            return;
        }
        for (generation, topics) in confirmed {
            self.events.listened(generation, &topics);
        }
    }

    /// A message of this partition was dropped.
    pub(crate) fn dropped(&self, partition: Partition) {
        let proof = lock(&self.order);
        self.listening().end(partition);
        self.events.gap(&|topic| Partition::of(topic) == partition);
        if *proof == Proof::Proved {
            self.listened(partition);
        }
    }

    /// A life of the feed ended. Nothing of it comes any more.
    pub(crate) fn life_ended(&self) {
        let mut proof = lock(&self.order);
        *proof = Proof::Proved;
        self.listening().end_life();
        if !Fault::FeedGenerationIgnored.is_on() {
            self.events.gap(&|_| true);
            self.events.signals_lost();
        }
    }

    /// The server lost what it had written, though the feed lives.
    pub(crate) fn memory_lost(&self) {
        let mut proof = lock(&self.order);
        *proof = Proof::Awaited;
        self.listening().end_generations();
        self.events.gap(&|_| true);
    }

    /// The feed has brought a message from behind the loss of memory.
    pub(crate) fn proved(&self) {
        let mut proof = lock(&self.order);
        if *proof == Proof::Proved {
            return;
        }
        *proof = Proof::Proved;
        Partition::all().for_each(|partition| self.listened(partition));
    }

    /// Reports that the confirmed topics of a partition are listened to. The caller holds `order`.
    fn listened(&self, partition: Partition) {
        let (generation, topics) = self.listening().confirmed(partition);
        if !topics.is_empty() {
            self.events.listened(generation, &topics);
        }
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reports").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
