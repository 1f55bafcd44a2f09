//! One node of the kit: an engine that reaches its server through a relay of its own, so that a check can kill or delay it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use sockeye_pubsub::engine::{
    Catchup, EngineEvents, EngineFuture, EngineState, Generation, NodeId, NodeInfo, PresenceStore,
    Since,
};
use sockeye_pubsub::{Engine, History, Position, Publication, TopicName};
use sockeye_redis::RedisEngine;
use tokio::time::sleep;

use super::server::Server;
use crate::error::Result;
use crate::relay::{Links, Pace, Relay, Way};

/// An engine behind a relay.
pub(super) struct Node {
    engine: RedisEngine,
    relay: Relay,
    /// The id with which the check has started the engine.
    id: OnceLock<NodeId>,
    delays: AtomicU64,
}

impl Node {
    /// Makes an engine on a server.
    pub(super) async fn new(server: &Server) -> Result<Self> {
        let relay = Relay::start(&server.address().to_string()).await?;
        Ok(Self {
            engine: RedisEngine::new(&Server::url(relay.address(), None))?,
            relay,
            id: OnceLock::new(),
            delays: AtomicU64::new(0),
        })
    }

    /// Returns whether the check has started the engine with this id.
    pub(super) fn is(&self, id: NodeId) -> bool {
        self.id.get() == Some(&id)
    }

    /// Cuts the engine off for ever, as if its process were killed.
    pub(super) fn kill(&self) {
        self.relay.refuse(true);
        self.relay.reset(Links::All);
    }

    /// Lets the commands of the next moments come later by this time.
    pub(super) fn delay(self: Arc<Self>, time: Duration) {
        let number = self.delays.fetch_add(1, Ordering::Relaxed) + 1;
        self.relay.set(Links::Commands, Way::Up, Pace::Delay(time));
        tokio::spawn(async move {
            sleep(time).await;
            if self.delays.load(Ordering::Relaxed) == number {
                self.relay.set(Links::Commands, Way::Up, Pace::Pass);
            }
        });
    }
}

impl Engine for Node {
    fn start(&self, node: NodeInfo, events: Arc<dyn EngineEvents>) -> EngineFuture<'_, ()> {
        // A second start is refused by the engine.
        let _ = self.id.set(node.id);
        self.engine.start(node, events)
    }

    fn listen<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Generation>> {
        self.engine.listen(topics)
    }

    fn unlisten<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, ()> {
        self.engine.unlisten(topics)
    }

    fn publish<'a>(
        &'a self,
        topic: &'a TopicName,
        publication: Publication,
        history: History,
    ) -> EngineFuture<'a, Option<Position>> {
        self.engine.publish(topic, publication, history)
    }

    fn tops<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Option<Position>>> {
        self.engine.tops(topics)
    }

    fn catch_up<'a>(
        &'a self,
        topic: &'a TopicName,
        since: Since,
        history: History,
    ) -> EngineFuture<'a, (Catchup, Generation)> {
        self.engine.catch_up(topic, since, history)
    }

    fn signal(&self, payload: Bytes) -> EngineFuture<'_, ()> {
        self.engine.signal(payload)
    }

    fn presence(&self) -> Option<&dyn PresenceStore> {
        self.engine.presence()
    }

    fn state(&self) -> EngineState {
        self.engine.state()
    }

    fn stop(&self, within: Duration) -> EngineFuture<'_, ()> {
        self.engine.stop(within)
    }
}
