//! Keeps what an engine reports, for tests that wait for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sockeye_pubsub::engine::{EngineEvents, EngineState, Generation, NodeId, NodeInfo};
use sockeye_pubsub::{Delivered, TopicName};
use tokio::sync::watch;
use tokio::time::timeout;

/// What an engine reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Delivered(String, String),
    /// A generation ended: for these of the watched topics.
    Gap(Vec<&'static str>),
    Listened(u64, Vec<String>),
    Signal(NodeId, Bytes),
    SignalsLost,
    Nodes(Vec<u64>),
    State(EngineState),
    MembersChanged(String),
    MembersLost,
    AnyMembersChanged,
}

/// Keeps what an engine reports.
pub(crate) struct Heard {
    events: Mutex<Vec<Event>>,
    count: watch::Sender<usize>,
    watched: &'static [&'static str],
}

/// The time without any event after which an event is missing.
const OVERDUE: Duration = Duration::from_secs(600);

impl Heard {
    /// Gaps are noted for these topics.
    pub(crate) fn new(watched: &'static [&'static str]) -> Arc<Self> {
        Arc::new(Self {
            events: Mutex::default(),
            count: watch::Sender::new(0),
            watched,
        })
    }

    /// Waits for the first event that is as wanted, and takes it and all before it.
    pub(crate) async fn until(&self, is_wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut count = self.count.subscribe();
        loop {
            count.borrow_and_update();
            {
                let mut events = self.events.lock().unwrap();
                if let Some(place) = events.iter().position(&is_wanted) {
                    return events.drain(..=place).collect();
                }
            }
            // With paused time this is at once, if nothing comes any more.
            let changed = timeout(OVERDUE, count.changed()).await;
            changed.expect("the event is overdue").unwrap();
        }
    }

    /// Waits for a state.
    pub(crate) async fn until_state(&self, state: EngineState) -> Vec<Event> {
        self.until(|event| *event == Event::State(state)).await
    }

    /// Takes all events.
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }

    fn add(&self, event: Event) {
        self.events.lock().unwrap().push(event);
        self.count.send_modify(|count| *count += 1);
    }
}

impl EngineEvents for Heard {
    fn delivered(&self, topic: &str, delivered: Delivered) {
        let bytes = delivered.body().message.as_bytes();
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.add(Event::Delivered(topic.to_owned(), text));
    }

    fn gap(&self, affected: &dyn Fn(&str) -> bool) {
        let watched = self.watched.iter().copied();
        self.add(Event::Gap(
            watched.filter(|topic| affected(topic)).collect(),
        ));
    }

    fn listened(&self, generation: Generation, topics: &[TopicName]) {
        let mut topics: Vec<_> = topics.iter().map(ToString::to_string).collect();
        topics.sort();
        self.add(Event::Listened(generation.0, topics));
    }

    fn signal(&self, from: NodeId, payload: Bytes) {
        self.add(Event::Signal(from, payload));
    }

    fn signals_lost(&self) {
        self.add(Event::SignalsLost);
    }

    fn nodes(&self, live: &[NodeInfo]) {
        self.add(Event::Nodes(live.iter().map(|node| node.id.0).collect()));
    }

    fn state(&self, state: EngineState) {
        self.add(Event::State(state));
    }

    fn members_changed(&self, topic: &str) {
        self.add(Event::MembersChanged(topic.to_owned()));
    }

    fn members_lost(&self) {
        self.add(Event::MembersLost);
    }

    fn any_members_changed(&self) {
        self.add(Event::AnyMembersChanged);
    }
}
