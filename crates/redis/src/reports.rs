//! What the feed reports to the hub, in an order that never lets a topic believe in a generation that has ended.
//!
//! Workers, the subscriber and the link report from tasks of their own. A `gap` and the `listened` behind it are one step
//! for the others. Otherwise a topic could be confirmed in a new generation before its `gap` was reported. Then the hub
//! would wait for a second `listened` for ever.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sockeye_pubsub::TopicName;
use sockeye_pubsub::engine::{EngineEvents, Generation, NodeId};

use crate::fault::Fault;
use crate::layout::Partition;
use crate::listening::Listening;

/// The topics that the node listens to, and what is reported of them.
pub(crate) struct Reports {
    events: Arc<dyn EngineEvents>,
    node: NodeId,
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
    /// Reports to `events` for this node.
    pub(crate) fn new(events: Arc<dyn EngineEvents>, node: NodeId) -> Self {
        Self {
            events,
            node,
            order: Mutex::new(Proof::Proved),
            listening: Mutex::new(Listening::new()),
        }
    }

    /// Returns what is told of messages, nodes and states. They have no generation.
    pub(crate) fn events(&self) -> &dyn EngineEvents {
        &*self.events
    }

    /// The members of a topic have changed on a node.
    pub(crate) fn members_changed(&self, topic: &str, on: NodeId) {
        // The hub knows its own changes.
        if on != self.node {
            self.events.members_changed(topic);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::heard::{Event, Heard};

    fn reports() -> (Reports, Arc<Heard>, Vec<TopicName>) {
        let heard = Heard::new(&["a", "b"]);
        let reports = Reports::new(heard.clone(), NodeId(7));
        let topics = ["a", "b"]
            .map(|name| TopicName::new(name).unwrap())
            .to_vec();
        reports.listening().want(&topics);
        (reports, heard, topics)
    }

    fn listened(generation: u64, topic: &str) -> Event {
        Event::Listened(generation, vec![topic.to_owned()])
    }

    #[test]
    fn a_gap_and_the_listening_behind_it_are_reported_together() {
        let (reports, heard, topics) = reports();
        reports.confirmed(&topics);
        reports.dropped(Partition::of("a"));
        assert_eq!(heard.take(), [Event::Gap(vec!["a"]), listened(2, "a")]);
        assert_eq!(reports.generations(&topics), [2, 1].map(Generation));
    }

    #[test]
    fn after_a_loss_of_memory_nothing_is_listened_to_before_the_proof() {
        let (reports, heard, topics) = reports();
        reports.confirmed(&topics[..1]);
        reports.memory_lost();
        assert_eq!(heard.take(), [Event::Gap(vec!["a", "b"])]);
        reports.dropped(Partition::of("a"));
        reports.confirmed_again(&topics[1..]);
        assert_eq!(heard.take(), [Event::Gap(vec!["a"])]);
        reports.proved();
        let mut told = heard.take();
        told.sort_by_key(|event| format!("{event:?}"));
        assert_eq!(told, [listened(2, "b"), listened(3, "a")]);
        reports.proved();
        assert_eq!(heard.take(), []);
    }

    #[test]
    fn a_life_that_ended_needs_no_proof() {
        let (reports, heard, topics) = reports();
        reports.confirmed(&topics);
        reports.memory_lost();
        reports.life_ended();
        heard.take();
        reports.confirmed_again(&topics);
        let both = Event::Listened(3, vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(heard.take(), [both]);
    }
}
