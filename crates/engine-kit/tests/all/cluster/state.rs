//! What the nodes of a cluster share.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sockeye_pubsub::engine::{
    EngineEvents, EngineState, Generation, Member, MemberId, NodeId, NodeInfo,
};
use sockeye_pubsub::{Delivered, TopicName};

/// What the nodes of a cluster share.
#[derive(Default)]
pub(super) struct Shared {
    nodes: Mutex<Vec<NodeState>>,
    /// Whether no call is answered.
    pub(super) is_silent: AtomicBool,
}

/// A node of a cluster.
pub(super) struct NodeState {
    pub(super) info: NodeInfo,
    pub(super) events: Arc<dyn EngineEvents>,
    pub(super) listened: HashSet<TopicName>,
    pub(super) generation: Generation,
    pub(super) members: HashMap<TopicName, BTreeMap<MemberId, Member>>,
    pub(super) counts: HashMap<TopicName, u64>,
    /// How much later the next publish reaches the engine.
    pub(super) delay: Option<Duration>,
    killed: Option<Instant>,
}

impl NodeState {
    pub(super) fn new(info: NodeInfo, events: Arc<dyn EngineEvents>) -> Self {
        Self {
            info,
            events,
            listened: HashSet::new(),
            generation: Generation(1),
            members: HashMap::new(),
            counts: HashMap::new(),
            delay: None,
            killed: None,
        }
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<NodeState>> {
        self.nodes.lock().expect("no test panics with the lock")
    }

    /// Uses the state of a live node. `None` if the node is not live.
    pub(super) fn node<T>(&self, id: NodeId, act: impl FnOnce(&mut NodeState) -> T) -> Option<T> {
        let mut nodes = self.lock();
        nodes.iter_mut().find(|node| node.info.id == id).map(act)
    }

    /// Returns where to report what concerns the nodes that `is_of` chooses.
    fn events(&self, is_of: impl Fn(&NodeState) -> bool) -> Vec<Arc<dyn EngineEvents>> {
        let nodes = self.lock();
        let nodes = nodes
            .iter()
            .filter(|node| node.killed.is_none() && is_of(node));
        nodes.map(|node| Arc::clone(&node.events)).collect()
    }

    /// Adds a node, and tells all nodes.
    pub(super) fn add(&self, node: NodeState) {
        self.lock().push(node);
        self.tell_live();
    }

    /// Removes a node, and tells the others.
    pub(super) fn remove(&self, id: NodeId) {
        self.lock().retain(|node| node.info.id != id);
        self.tell_live();
    }

    fn tell_live(&self) {
        let live: Vec<NodeInfo> = self.lock().iter().map(|node| node.info.clone()).collect();
        for events in self.events(|_| true) {
            events.nodes(&live);
        }
    }

    pub(super) fn signal(&self, from: NodeId, payload: &Bytes) {
        for events in self.events(|_| true) {
            events.signal(from, payload.clone());
        }
    }

    pub(super) fn is_heard(&self, topic: &TopicName) -> bool {
        self.lock().iter().any(|node| node.listened.contains(topic))
    }

    /// Ends a generation of a node's feed, and begins the next one.
    pub(super) fn cut(&self, id: NodeId) {
        let cut = self.node(id, |node| {
            node.generation.0 += 1;
            let topics: Vec<TopicName> = node.listened.iter().cloned().collect();
            (Arc::clone(&node.events), node.generation, topics)
        });
        if let Some((events, generation, topics)) = cut {
            events.gap(&|_| true);
            events.signals_lost();
            events.listened(generation, &topics);
        }
    }

    pub(super) fn kill(&self, id: NodeId, now: Instant) {
        self.node(id, |node| {
            node.killed = Some(now);
            node.listened.clear();
        });
    }

    /// Removes the nodes whose leases are over.
    pub(super) fn expire(&self, now: Instant) {
        let is_over = |node: &NodeState| {
            let lease = |killed: Instant| killed + Duration::from_secs(15);
            node.killed.is_some_and(|killed| lease(killed) <= now)
        };
        let before = self.lock().len();
        self.lock().retain(|node| !is_over(node));
        if self.lock().len() < before {
            self.tell_live();
        }
    }
}

/// Gives what the shared engine delivers to the nodes that listen.
pub(super) struct Dispatcher(pub(super) Arc<Shared>);

impl EngineEvents for Dispatcher {
    fn delivered(&self, topic: &str, delivered: Delivered) {
        for events in self.0.events(|node| node.listened.contains(topic)) {
            events.delivered(topic, delivered.clone());
        }
    }

    fn gap(&self, _: &dyn Fn(&str) -> bool) {}
    fn listened(&self, _: Generation, _: &[TopicName]) {}
    fn signal(&self, _: NodeId, _: Bytes) {}
    fn signals_lost(&self) {}
    fn nodes(&self, _: &[NodeInfo]) {}
    fn state(&self, _: EngineState) {}
}
