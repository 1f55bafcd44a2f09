//! The memory engine as [`Engine`] and [`PresenceStore`]: the same methods, as futures that are ready at once.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use crate::engine::{
    Catchup, Engine, EngineError, EngineEvents, EngineFuture, EngineState, Generation, Member,
    MemberId, NodeInfo, PresenceStore, Since,
};
use crate::memory::MemoryEngine;
use crate::name::TopicName;
use crate::policy::History;
use crate::position::Position;
use crate::publication::Publication;

impl Engine for MemoryEngine {
    fn start(&self, node: NodeInfo, events: Arc<dyn EngineEvents>) -> EngineFuture<'_, ()> {
        answer(self.begin(node, events))
    }

    fn listen<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Generation>> {
        let mut generations = Vec::with_capacity(topics.len());
        for topic in topics {
            match self.listen(topic) {
                Ok(generation) => generations.push(generation),
                Err(error) => return answer(Err(error)),
            }
        }
        answer(Ok(generations))
    }

    fn unlisten<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, ()> {
        for topic in topics {
            self.unlisten(topic);
        }
        answer(Ok(()))
    }

    fn publish<'a>(
        &'a self,
        topic: &'a TopicName,
        publication: Publication,
        history: History,
    ) -> EngineFuture<'a, Option<Position>> {
        answer(self.publish(topic, publication, history))
    }

    fn tops<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Option<Position>>> {
        answer(Ok(topics.iter().map(|topic| self.top(topic)).collect()))
    }

    fn catch_up<'a>(
        &'a self,
        topic: &'a TopicName,
        since: Since,
        history: History,
    ) -> EngineFuture<'a, (Catchup, Generation)> {
        answer(self.catch_up(topic, since, history))
    }

    fn signal(&self, payload: Bytes) -> EngineFuture<'_, ()> {
        answer(self.send_signal(payload))
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
        self.end();
        answer(Ok(()))
    }
}

impl PresenceStore for MemoryEngine {
    fn enter<'a>(&'a self, topic: &'a TopicName, members: &'a [Member]) -> EngineFuture<'a, ()> {
        self.members.enter(topic, members);
        answer(Ok(()))
    }

    fn leave<'a>(&'a self, topic: &'a TopicName, members: &'a [MemberId]) -> EngineFuture<'a, ()> {
        self.members.leave(topic, members);
        answer(Ok(()))
    }

    fn members<'a>(&'a self, topic: &'a TopicName, max: usize) -> EngineFuture<'a, Vec<Member>> {
        answer(Ok(self.members.members(topic, max)))
    }

    fn set_count<'a>(&'a self, topic: &'a TopicName, count: u64) -> EngineFuture<'a, ()> {
        self.members.set_count(topic, count);
        answer(Ok(()))
    }

    fn count<'a>(&'a self, topic: &'a TopicName) -> EngineFuture<'a, u64> {
        answer(Ok(self.members.count(topic)))
    }
}

fn answer<'a, T: Send + 'a>(answer: Result<T, EngineError>) -> EngineFuture<'a, T> {
    Box::pin(ready(answer))
}
