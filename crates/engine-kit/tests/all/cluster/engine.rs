//! The engine of one node of a cluster.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use sockeye_pubsub::engine::{
    Catchup, EngineError, EngineErrorKind, EngineEvents, EngineFuture, EngineState, Generation,
    Member, MemberId, NodeId, NodeInfo, PresenceStore, Since, WasPublished,
};
use sockeye_pubsub::{Engine, History, MemoryEngine, Position, Publication, TopicName};

use super::state::{NodeState, Shared};
use crate::clock::Clock;

/// The engine of one node of a cluster.
pub(super) struct ClusterEngine {
    clock: Arc<Clock>,
    core: Arc<MemoryEngine>,
    shared: Arc<Shared>,
    id: OnceLock<NodeId>,
}

impl ClusterEngine {
    pub(super) fn new(clock: Arc<Clock>, core: Arc<MemoryEngine>, shared: Arc<Shared>) -> Self {
        Self {
            clock,
            core,
            shared,
            id: OnceLock::new(),
        }
    }

    /// Acts in the second of three polls. Fails after 2 s if the backend is silent.
    fn answer<'a, T: Send + 'a>(
        &'a self,
        act: impl FnOnce() -> Result<T, EngineError> + Send + 'a,
    ) -> EngineFuture<'a, T> {
        Box::pin(async {
            next_poll().await;
            let is_silent = || self.shared.is_silent.load(Ordering::Relaxed);
            if is_silent() {
                let patience = Duration::from_secs(2);
                self.clock.passed(patience, || !is_silent()).await;
            }
            if is_silent() {
                return Err(EngineError {
                    published: WasPublished::Maybe,
                    kind: EngineErrorKind::Timeout,
                    text: "the backend is silent".to_owned(),
                });
            }
            let answer = act();
            next_poll().await;
            answer
        })
    }

    /// Uses the state of this node. Fails if the node was stopped.
    fn node<T>(&self, act: impl FnOnce(&mut NodeState) -> T) -> Result<T, EngineError> {
        let id = self.id.get();
        let answer = id.and_then(|id| self.shared.node(*id, act));
        answer.ok_or_else(|| error(EngineErrorKind::Unavailable, "the node was stopped"))
    }

    fn listen_now(&self, topics: &[TopicName]) -> Result<Vec<Generation>, EngineError> {
        let generation = self.node(|node| node.generation)?;
        for topic in topics {
            self.core.listen(topic)?;
            self.node(|node| node.listened.insert(topic.clone()))?;
        }
        Ok(vec![generation; topics.len()])
    }

    fn unlisten_now(&self, topics: &[TopicName]) -> Result<(), EngineError> {
        for topic in topics {
            self.node(|node| node.listened.remove(topic))?;
            if !self.shared.is_heard(topic) {
                self.core.unlisten(topic);
            }
        }
        Ok(())
    }

    fn publish_now(
        &self,
        topic: &TopicName,
        publication: Publication,
        history: History,
    ) -> Result<Option<Position>, EngineError> {
        let delay = self.node(|node| node.delay.take())?.unwrap_or_default();
        self.clock.pass(delay);
        if delay > Duration::from_secs(2) {
            return Err(error(EngineErrorKind::Late, "the deadline is over"));
        }
        self.core.publish(topic, publication, history)
    }

    fn read_now(
        &self,
        topic: &TopicName,
        since: Since,
        history: History,
    ) -> Result<(Catchup, Generation), EngineError> {
        let generation = self.node(|node| node.generation)?;
        let (catchup, _) = self.core.catch_up(topic, since, history)?;
        Ok((catchup, generation))
    }
}

impl Engine for ClusterEngine {
    fn start(&self, node: NodeInfo, events: Arc<dyn EngineEvents>) -> EngineFuture<'_, ()> {
        self.answer(move || {
            if self.id.set(node.id).is_err() {
                return Err(error(EngineErrorKind::Rejected, "the engine was started"));
            }
            self.shared.add(NodeState::new(node, events));
            Ok(())
        })
    }

    fn listen<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Generation>> {
        self.answer(|| self.listen_now(topics))
    }

    fn unlisten<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, ()> {
        self.answer(|| self.unlisten_now(topics))
    }

    fn publish<'a>(
        &'a self,
        topic: &'a TopicName,
        publication: Publication,
        history: History,
    ) -> EngineFuture<'a, Option<Position>> {
        self.answer(move || self.publish_now(topic, publication, history))
    }

    fn tops<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Option<Position>>> {
        self.answer(|| Ok(topics.iter().map(|topic| self.core.top(topic)).collect()))
    }

    fn catch_up<'a>(
        &'a self,
        topic: &'a TopicName,
        since: Since,
        history: History,
    ) -> EngineFuture<'a, (Catchup, Generation)> {
        self.answer(move || self.read_now(topic, since, history))
    }

    fn signal(&self, payload: Bytes) -> EngineFuture<'_, ()> {
        self.answer(move || {
            let from = self.node(|node| node.info.id)?;
            self.shared.signal(from, &payload);
            Ok(())
        })
    }

    fn presence(&self) -> Option<&dyn PresenceStore> {
        Some(self)
    }

    fn state(&self) -> EngineState {
        match self.node(|_| ()) {
            Ok(()) => EngineState::Ready,
            Err(_) => EngineState::Down,
        }
    }

    fn stop(&self, _: Duration) -> EngineFuture<'_, ()> {
        self.answer(|| {
            if let Some(id) = self.id.get() {
                self.shared.remove(*id);
            }
            Ok(())
        })
    }
}

impl PresenceStore for ClusterEngine {
    fn enter<'a>(&'a self, topic: &'a TopicName, members: &'a [Member]) -> EngineFuture<'a, ()> {
        self.answer(|| {
            self.node(|node| {
                let present = node.members.entry(topic.clone()).or_default();
                present.extend(members.iter().map(|member| (member.id, member.clone())));
            })
        })
    }

    fn leave<'a>(&'a self, topic: &'a TopicName, members: &'a [MemberId]) -> EngineFuture<'a, ()> {
        self.answer(|| {
            self.node(|node| {
                let present = node.members.entry(topic.clone()).or_default();
                present.retain(|id, _| !members.contains(id));
            })
        })
    }

    fn members<'a>(&'a self, topic: &'a TopicName, max: usize) -> EngineFuture<'a, Vec<Member>> {
        self.answer(move || {
            let nodes = self.shared.lock();
            let members = nodes.iter().filter_map(|node| node.members.get(topic));
            Ok(members
                .flat_map(|of| of.values())
                .take(max)
                .cloned()
                .collect())
        })
    }

    fn set_count<'a>(&'a self, topic: &'a TopicName, count: u64) -> EngineFuture<'a, ()> {
        self.answer(move || {
            self.node(|node| {
                node.counts.insert(topic.clone(), count);
            })
        })
    }

    fn count<'a>(&'a self, topic: &'a TopicName) -> EngineFuture<'a, u64> {
        self.answer(|| {
            let nodes = self.shared.lock();
            Ok(nodes.iter().filter_map(|node| node.counts.get(topic)).sum())
        })
    }
}

/// Ends when it is polled for the second time.
pub(crate) async fn next_poll() {
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

fn error(kind: EngineErrorKind, text: &str) -> EngineError {
    EngineError {
        published: WasPublished::No,
        kind,
        text: text.to_owned(),
    }
}
