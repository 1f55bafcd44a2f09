//! What the wrong engines of one backend share.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use sockeye_pubsub::engine::{EngineEvents, Member, NodeId};
use sockeye_pubsub::{
    Delivered, Engine, Epoch, History, MessageId, Position, Publication, PublishKey, TopicName,
};

use super::mutant::Mutant;
use crate::clock::Clock;

/// What the wrong engines of one backend share.
pub(super) struct Common {
    pub(super) mutant: Mutant,
    pub(super) clock: Arc<Clock>,
    known: Mutex<Known>,
    /// Whether a call has begun and not ended.
    pub(super) is_busy: AtomicBool,
    /// How many publishes run.
    pub(super) running: AtomicUsize,
}

/// What the wrong engines of one backend remember.
#[derive(Default)]
pub(super) struct Known {
    /// The right engines.
    pub(super) engines: Vec<Arc<dyn Engine>>,
    /// How often each node listens to a topic.
    pub(super) listens: HashMap<(usize, TopicName), usize>,
    /// The topics that a node has unlistened.
    pub(super) unlistened: HashSet<(usize, TopicName)>,
    /// The topics that the next `listen` reaches.
    pub(super) late: Vec<TopicName>,
    /// The messages that each node has published.
    pub(super) published: HashSet<(usize, MessageId)>,
    /// The topics that keep the latest value.
    pub(super) latest: HashSet<String>,
    /// When each topic got its first message.
    pub(super) first: HashMap<TopicName, Instant>,
    /// The positions of keys, of whatever topic.
    pub(super) keys: HashMap<PublishKey, Position>,
    /// The messages that came, and where to report them again.
    pub(super) came: Vec<(Arc<dyn EngineEvents>, String, Delivered)>,
    /// The first epoch of each topic.
    pub(super) epochs: HashMap<TopicName, Epoch>,
    /// Publishes whose futures may have been dropped.
    pub(super) pending: Vec<(TopicName, Publication, History)>,
    /// Who entered which topic, and when.
    pub(super) entered: Vec<Entered>,
    /// The node that was killed or stopped last, by its index.
    pub(super) gone: Option<usize>,
    /// The ids of the nodes, by their indices.
    pub(super) ids: HashMap<NodeId, usize>,
    /// The counts that were written.
    pub(super) counts: HashMap<(usize, TopicName), u64>,
}

/// A member that entered a topic.
pub(super) struct Entered {
    pub(super) node: usize,
    pub(super) topic: TopicName,
    pub(super) member: Member,
    pub(super) time: Instant,
}

impl Common {
    pub(super) fn new(mutant: Mutant, clock: Arc<Clock>) -> Self {
        Self {
            mutant,
            clock,
            known: Mutex::default(),
            is_busy: AtomicBool::new(false),
            running: AtomicUsize::new(0),
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no test panics with the lock")
    }
}
