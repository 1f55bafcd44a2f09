//! The engine behind the topics, and the task that carries out what the hub wants of it.

use bytes::Bytes;
use sockeye_pubsub::engine::{Engine, EngineEvents, EngineState, Generation, NodeId, NodeInfo};
use sockeye_pubsub::hub::Request;
use sockeye_pubsub::{Delivered, MemoryEngine, TopicName};

use super::handle::{Inner, WeakInner};
use super::outlet::Timer;
use super::surroundings::now;
use crate::sync::Arc;

/// The engine. The memory engine answers at once, so it is called without a boxed future.
pub(super) enum Backend {
    Memory(MemoryEngine),
    Networked(Arc<dyn Engine>),
}

impl Backend {
    /// Returns the engine with boxed futures, for what is rare.
    pub(super) fn engine(&self) -> &dyn Engine {
        match self {
            Self::Memory(engine) => engine,
            Self::Networked(engine) => &**engine,
        }
    }

    pub(super) fn state(&self) -> EngineState {
        match self {
            Self::Memory(engine) => engine.state(),
            Self::Networked(engine) => engine.state(),
        }
    }
}

impl Inner {
    /// Carries out what the hub wants, and reports what slow subscribers lost. The caller holds no lock.
    pub(super) fn work(self: &Arc<Self>) {
        while let Some(request) = self.hub.next_request() {
            match &self.backend {
                Backend::Memory(engine) => self.answer(engine, request),
                Backend::Networked(engine) => {
                    let (inner, engine) = (Arc::clone(self), Arc::clone(engine));
                    tokio::spawn(async move { inner.ask(&*engine, request).await });
                }
            }
        }
        let node = self.hub.outlet();
        node.report_losses();
        if node.presence().has_changes() {
            self.write_presence();
            node.timer().notify();
        }
    }

    /// Lets the memory engine answer a request.
    fn answer(&self, engine: &MemoryEngine, request: Request) {
        match request {
            Request::Listen(topics) => {
                for topic in topics {
                    let generation = engine.listen(&topic).map(|generation| vec![generation]);
                    self.hub.listen_done(&[topic], generation);
                }
            }
            Request::Unlisten(topics) => {
                topics.iter().for_each(|topic| engine.unlisten(topic));
                self.hub.unlistened(&topics);
            }
            Request::CatchUp {
                topic,
                since,
                history,
                read,
            } => {
                let answer = engine.catch_up(&topic, since, history);
                self.hub.caught_up(&topic, read, answer);
            }
            Request::Tops { topics, read } => {
                let tops = topics.iter().map(|topic| engine.top(topic)).collect();
                self.hub.tops(&topics, read, Ok(tops));
            }
        }
    }

    /// Asks a networked engine.
    async fn ask(self: Arc<Self>, engine: &dyn Engine, request: Request) {
        match request {
            Request::Listen(topics) => {
                let listened = engine.listen(&topics).await;
                self.hub.listen_done(&topics, listened);
            }
            Request::Unlisten(topics) => {
                // A topic that the engine still delivers does no harm: the hub drops its messages.
                let _ = engine.unlisten(&topics).await;
                self.hub.unlistened(&topics);
            }
            Request::CatchUp {
                topic,
                since,
                history,
                read,
            } => {
                let answer = engine.catch_up(&topic, since, history).await;
                self.hub.caught_up(&topic, read, answer);
            }
            Request::Tops { topics, read } => {
                let tops = engine.tops(&topics).await;
                self.hub.tops(&topics, read, tops);
            }
        }
        self.work();
    }
}

/// What the engine reports goes to the hub.
pub(super) struct Events(pub(super) WeakInner);

impl Events {
    fn tell(&self, tell: impl FnOnce(&Arc<Inner>)) {
        if let Some(inner) = self.0.upgrade() {
            tell(&inner);
            // The memory engine reports while it holds a lock. Its caller carries out what the hub wants.
            if let Backend::Networked(_) = inner.backend {
                inner.work();
            }
        }
    }
}

impl EngineEvents for Events {
    fn delivered(&self, topic: &str, delivered: Delivered) {
        self.tell(|inner| inner.hub.delivered(topic, delivered));
    }

    fn gap(&self, affected: &dyn Fn(&str) -> bool) {
        self.tell(|inner| {
            inner.hub.gap(affected);
            inner.stir_soon();
        });
    }

    fn listened(&self, generation: Generation, topics: &[TopicName]) {
        self.tell(|inner| inner.hub.listened(generation, topics));
    }

    fn signal(&self, from: NodeId, payload: Bytes) {
        self.tell(|inner| inner.signalled(from, &payload));
    }

    fn signals_lost(&self) {
        tracing::warn!(
            "signals of other nodes may be missing: an evicted client may still be a subscriber here"
        );
    }

    fn nodes(&self, live: &[NodeInfo]) {
        self.tell(|inner| inner.note_nodes(live));
    }

    fn state(&self, state: EngineState) {
        self.tell(|inner| {
            inner.hub.engine_state(state);
            if state == EngineState::Ready {
                // The engine may have lost what was written before.
                inner.hub.outlet().presence().write_all_again();
            }
        });
    }
}

/// The task of the topics of a node: calls the hub when time has passed, and the memory engine when something is old.
pub(super) async fn run(topics: WeakInner, timer: Arc<Timer>) {
    loop {
        let Some(inner) = topics.upgrade() else {
            return;
        };
        inner.hub.handle_timeout();
        inner.work();
        inner.stir();
        let pruning = match &inner.backend {
            Backend::Memory(engine) => Some(engine.prune(now())),
            Backend::Networked(_) => None,
        };
        let presence = inner.hub.outlet().presence().next_due();
        drop(inner);
        timer.wait(pruning.into_iter().chain(presence).min()).await;
    }
}
