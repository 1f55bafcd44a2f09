//! An engine with a clock that stands still, fixed randomness, and a record of what it reports.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sockeye_proto::Message;

use crate::engine::{
    Catchup, EngineError, EngineEvents, EngineState, Generation, NodeId, NodeInfo, Since,
};
use crate::memory::{MemoryEngine, MemoryLimits};
use crate::name::TopicName;
use crate::policy::History;
use crate::position::{MessageId, Position};
use crate::publication::{Body, Delivered, Entry, KeyScope, Publication, PublishKey};
use crate::surroundings::Surroundings;

/// An engine of a node that has been started.
pub(super) struct World {
    pub(super) engine: MemoryEngine,
    pub(super) record: Arc<Record>,
    clock: Arc<Clock>,
    ids: AtomicU64,
}

/// What the engine has reported.
#[derive(Default)]
pub(super) struct Record {
    delivered: Mutex<Vec<(String, Delivered)>>,
    signals: Mutex<Vec<(NodeId, Bytes)>>,
    nodes: Mutex<Vec<NodeInfo>>,
}

struct Clock {
    start: Instant,
    millis: AtomicU64,
    random: AtomicU64,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(MemoryLimits::default())
    }

    pub(super) fn with(limits: MemoryLimits) -> Self {
        let clock = Arc::new(Clock {
            start: Instant::now(),
            millis: AtomicU64::new(0),
            random: AtomicU64::new(0),
        });
        let record = Arc::new(Record::default());
        let engine = MemoryEngine::new(limits, clock.clone());
        engine.begin(node(), record.clone()).unwrap();
        Self {
            engine,
            record,
            clock,
            ids: AtomicU64::new(1),
        }
    }

    /// Lets time pass.
    pub(super) fn wait(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.clock.millis.fetch_add(millis, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Publishes a text, and returns where it stands.
    pub(super) fn publish(&self, topic: &str, text: &str, history: History) -> Position {
        let publication = self.publication(text);
        self.engine
            .publish(topic, publication, history)
            .unwrap()
            .unwrap()
    }

    pub(super) fn publish_with(
        &self,
        topic: &str,
        text: &str,
        (scope, key): (KeyScope, &str),
        history: History,
    ) -> Result<Option<Position>, EngineError> {
        let publication = Publication {
            key: Some(PublishKey {
                scope,
                key: key.into(),
            }),
            ..self.publication(text)
        };
        self.engine.publish(topic, publication, history)
    }

    pub(super) fn publication(&self, text: &str) -> Publication {
        Publication {
            id: MessageId::new(self.ids.fetch_add(1, Ordering::Relaxed)),
            body: Body {
                message: Message::text(text),
                compressible: true,
            },
            key: None,
        }
    }

    pub(super) fn read(&self, topic: &str, since: Since, history: History) -> Catchup {
        let (catchup, _) = self.engine.catch_up(&name(topic), since, history).unwrap();
        if let Catchup::Whole {
            before,
            entries,
            top,
        } = &catchup
        {
            assert_unbroken(*before, entries, *top, history.is_latest());
        }
        catchup
    }

    /// The texts of a read, or `lost` or `none`.
    pub(super) fn texts(&self, topic: &str, since: Since, history: History) -> Vec<String> {
        match self.read(topic, since, history) {
            Catchup::Whole { entries, .. } => {
                entries.iter().map(|entry| text(&entry.body)).collect()
            }
            Catchup::Lost { .. } => vec!["lost".to_owned()],
            Catchup::None { .. } => vec!["none".to_owned()],
        }
    }

    /// The topics and texts that were delivered since the last call.
    pub(super) fn delivered(&self) -> Vec<(String, String)> {
        let delivered = std::mem::take(&mut *self.record.delivered.lock().unwrap());
        let delivered = delivered.into_iter();
        delivered
            .map(|(topic, delivered)| (topic, text(delivered.body())))
            .collect()
    }

    /// What was delivered since the last call.
    pub(super) fn entries(&self) -> Vec<Delivered> {
        let delivered = std::mem::take(&mut *self.record.delivered.lock().unwrap());
        delivered
            .into_iter()
            .map(|(_, delivered)| delivered)
            .collect()
    }
}

impl Record {
    pub(super) fn signals(&self) -> Vec<(NodeId, Bytes)> {
        self.signals.lock().unwrap().clone()
    }

    pub(super) fn nodes(&self) -> Vec<NodeInfo> {
        self.nodes.lock().unwrap().clone()
    }
}

impl EngineEvents for Record {
    fn delivered(&self, topic: &str, delivered: Delivered) {
        let mut all = self.delivered.lock().unwrap();
        all.push((topic.to_owned(), delivered));
    }

    fn gap(&self, _: &dyn Fn(&str) -> bool) {
        panic!("the feed of memory has no gap");
    }

    fn listened(&self, _: Generation, _: &[TopicName]) {
        panic!("the feed of memory begins once");
    }

    fn signal(&self, from: NodeId, payload: Bytes) {
        self.signals.lock().unwrap().push((from, payload));
    }

    fn signals_lost(&self) {
        panic!("memory loses no signal");
    }

    fn nodes(&self, live: &[NodeInfo]) {
        *self.nodes.lock().unwrap() = live.to_vec();
    }

    fn state(&self, _: EngineState) {
        panic!("memory is always ready");
    }
}

impl Surroundings for Clock {
    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    fn random(&self) -> u64 {
        self.random.fetch_add(1, Ordering::Relaxed) + 1000
    }
}

pub(super) fn node() -> NodeInfo {
    NodeInfo {
        id: NodeId(7),
        name: "here".into(),
        fingerprint: 0,
    }
}

pub(super) fn name(topic: &str) -> TopicName {
    TopicName::new(topic).unwrap()
}

pub(super) fn text(body: &Body) -> String {
    body.message.as_text().unwrap().to_owned()
}

/// Checks that each entry follows the one before it, from `before` to `top`.
fn assert_unbroken(before: Position, entries: &[Entry], top: Position, is_latest: bool) {
    let mut last = before;
    for entry in entries {
        assert_eq!(entry.before(), last);
        assert_eq!(
            Some(entry.position),
            entry.position.id.map(|id| last.next(id))
        );
        last = entry.position;
    }
    assert_eq!(last, top);
    assert!(!is_latest || entries.len() <= 1);
}
