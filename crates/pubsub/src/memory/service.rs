//! The memory engine as [`Engine`] and [`PresenceStore`]: the same methods, as futures that end at the first poll.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use crate::engine::{
    Catchup, Engine, EngineEvents, EngineFuture, EngineState, Generation, Member, MemberId,
    NodeInfo, PresenceStore, Since,
};
use crate::memory::{FEED, MemoryEngine};
use crate::name::TopicName;
use crate::policy::History;
use crate::position::Position;
use crate::publication::Publication;

impl Engine for MemoryEngine {
    fn start(&self, node: NodeInfo, events: Arc<dyn EngineEvents>) -> EngineFuture<'_, ()> {
        Box::pin(async move { self.begin(node, events) })
    }

    fn listen<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Generation>> {
        Box::pin(async move {
            let mut new = Vec::new();
            for topic in topics {
                match self.begin_to_listen(topic) {
                    Ok(true) => new.push(topic),
                    Ok(false) => {}
                    Err(error) => {
                        // All or none: a caller that is refused does not unlisten.
                        new.into_iter().for_each(|topic| self.unlisten(topic));
                        return Err(error);
                    }
                }
            }
            Ok(vec![FEED; topics.len()])
        })
    }

    fn unlisten<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, ()> {
        Box::pin(async move {
            topics.iter().for_each(|topic| self.unlisten(topic));
            Ok(())
        })
    }

    fn publish<'a>(
        &'a self,
        topic: &'a TopicName,
        publication: Publication,
        history: History,
    ) -> EngineFuture<'a, Option<Position>> {
        Box::pin(async move { self.publish(topic, publication, history) })
    }

    fn tops<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Option<Position>>> {
        Box::pin(async move { Ok(topics.iter().map(|topic| self.top(topic)).collect()) })
    }

    fn catch_up<'a>(
        &'a self,
        topic: &'a TopicName,
        since: Since,
        history: History,
    ) -> EngineFuture<'a, (Catchup, Generation)> {
        Box::pin(async move { self.catch_up(topic, since, history) })
    }

    fn signal(&self, payload: Bytes) -> EngineFuture<'_, ()> {
        Box::pin(async move { self.send_signal(payload) })
    }

    fn presence(&self) -> Option<&dyn PresenceStore> {
        Some(self)
    }

    /// Returns [`EngineState::Ready`] until the engine is stopped.
    fn state(&self) -> EngineState {
        if self.is_stopped.load(Ordering::Relaxed) {
            EngineState::Down
        } else {
            EngineState::Ready
        }
    }

    fn stop(&self, _: Duration) -> EngineFuture<'_, ()> {
        Box::pin(async move {
            self.end();
            Ok(())
        })
    }
}

impl PresenceStore for MemoryEngine {
    fn enter<'a>(&'a self, topic: &'a TopicName, members: &'a [Member]) -> EngineFuture<'a, ()> {
        Box::pin(async move {
            self.enter(topic, members);
            Ok(())
        })
    }

    fn leave<'a>(&'a self, topic: &'a TopicName, members: &'a [MemberId]) -> EngineFuture<'a, ()> {
        Box::pin(async move {
            self.leave(topic, members);
            Ok(())
        })
    }

    fn members<'a>(&'a self, topic: &'a TopicName, max: usize) -> EngineFuture<'a, Vec<Member>> {
        Box::pin(async move { Ok(self.members(topic, max)) })
    }

    fn set_count<'a>(&'a self, topic: &'a TopicName, count: u64) -> EngineFuture<'a, ()> {
        Box::pin(async move {
            self.set_count(topic, count);
            Ok(())
        })
    }

    fn count<'a>(&'a self, topic: &'a TopicName) -> EngineFuture<'a, u64> {
        Box::pin(async move { Ok(self.count(topic)) })
    }
}
