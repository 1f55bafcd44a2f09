//! A wrong engine: it does what a right engine does, but for one thing.

use std::future::ready;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use sockeye_pubsub::engine::{
    Catchup, EngineError, EngineErrorKind, EngineEvents, EngineFuture, EngineState, Generation,
    NodeInfo, PresenceStore, Since, WasPublished,
};
use sockeye_pubsub::{
    Engine, Epoch, History, KeyScope, MessageId, Position, Publication, Surroundings, TopicName,
};

use super::common::Common;
use super::events::{Seen, WrongEvents};
use super::mutant::Mutant::*;

/// A wrong engine.
pub(super) struct Wrong {
    pub(super) common: Arc<Common>,
    pub(super) inner: Arc<dyn Engine>,
    /// The index of the node.
    pub(super) node: usize,
}

impl Wrong {
    /// Returns the topic that this engine takes for another one.
    pub(super) fn topic(&self, topic: &TopicName, history: History) -> TopicName {
        match self.common.mutant {
            FoldsTopics => TopicName::new(topic.to_lowercase()).expect("a valid name"),
            SplitsByHistory => {
                let name = format!("{topic}/{:?}", history.kept());
                TopicName::new(name.replace(['.', ' '], "-")).unwrap_or_else(|_| topic.clone())
            }
            _ => topic.clone(),
        }
    }

    /// Publishes what waits.
    pub(super) async fn repeat_pending(&self) {
        let pending = std::mem::take(&mut self.common.known().pending);
        for (topic, publication, history) in pending {
            let _ = self.inner.publish(&topic, publication, history).await;
        }
    }

    /// Changes what is published.
    fn publication(&self, mut publication: Publication, history: History) -> Publication {
        let is_latest = history.is_latest();
        match self.common.mutant {
            DrawsIds => publication.id = MessageId::new(self.common.clock.random()),
            IgnoresKeysWithoutHistory if history.is_off() => publication.key = None,
            StoresUnstored => publication.key = None,
            IgnoresKeys => publication.key = None,
            IgnoresKeysOfLatest if is_latest => publication.key = None,
            _ => {}
        }
        if let Some(key) = &mut publication.key {
            match (self.common.mutant, &key.scope) {
                (FoldsKeys, _) => key.key = key.key.to_lowercase().into(),
                (SharesKeys, _) => key.scope = KeyScope::Server,
                (KeepsClientKeysLong, KeyScope::Client | KeyScope::Principal(_)) => {
                    key.key = format!("{key:?}").into();
                    key.scope = KeyScope::Server;
                }
                (KeepsServerKeysShort, KeyScope::Server) => {
                    key.key = format!("{key:?}").into();
                    key.scope = KeyScope::Client;
                }
                _ => {}
            }
        }
        publication
    }

    /// Notes a publish. Returns the position that its key has in whatever topic.
    fn note_publish(
        &self,
        topic: &TopicName,
        publication: &Publication,
        history: History,
    ) -> Option<Position> {
        let now = self.common.clock.now();
        let mut known = self.common.known();
        known.published.insert((self.node, publication.id));
        known.first.entry(topic.clone()).or_insert(now);
        if history.is_latest() {
            known.latest.insert(topic.as_str().to_owned());
        }
        let key = publication.key.as_ref()?;
        known.keys.get(key).copied()
    }

    async fn publish_wrong(
        &self,
        topic: &TopicName,
        publication: Publication,
        history: History,
    ) -> Result<Option<Position>, EngineError> {
        let topic = &self.topic(topic, history);
        let publication = self.publication(publication, history);
        let key = publication.key.clone();
        let earlier = self.note_publish(topic, &publication, history);
        if self.common.mutant == SharesKeysOfTopics && earlier.is_some() {
            return Ok(earlier);
        }
        if self.common.mutant == ListensToPublished {
            self.inner.listen(std::slice::from_ref(topic)).await?;
        }
        if self.common.mutant == BeginsEpochsWithoutHistory && history.is_off() {
            let history = History::window(1, Duration::from_secs(60));
            self.inner.catch_up(topic, Since::Top, history).await?;
        }
        if self.common.mutant == RepeatsDroppedPublishes {
            let pending = (topic.clone(), publication.clone(), history);
            self.common.known().pending.push(pending);
        }
        if self.common.mutant == StoresUnsent {
            self.repeat_pending().await;
        }
        let running = self.common.running.fetch_add(1, Ordering::Relaxed);
        let again = publication.clone();
        let published = self
            .inner
            .publish(topic, publication, self.stored_history(history))
            .await;
        self.common.running.fetch_sub(1, Ordering::Relaxed);
        self.common.known().pending.clear();
        let mut at = match published {
            Err(error) => return self.refused(topic, again, history, error).await,
            Ok(None) => return Ok(None),
            Ok(Some(at)) => at,
        };
        if let Some(key) = key {
            let is_again = self.common.known().keys.insert(key, at).is_some();
            match self.common.mutant {
                DeliversRepeatedKeys if is_again => self.deliver_again(at),
                StoresRepeatedKeys if is_again => {
                    let again = Publication { key: None, ..again };
                    self.inner.publish(topic, again, history).await?;
                }
                _ => {}
            }
        }
        match self.common.mutant {
            DoublesOffsets => at.offset *= 2,
            SharesPositions if running > 0 && at.offset > 1 => at.offset -= at.offset % 2,
            HasOneEpoch => at.epoch = Epoch::new(1),
            KeepsForgottenEpochs => {
                let mut known = self.common.known();
                at.epoch = *known.epochs.entry(topic.clone()).or_insert(at.epoch);
            }
            _ => {}
        }
        Ok(Some(at))
    }

    /// Lets the message at a position come again.
    fn deliver_again(&self, at: Position) {
        let came = self.common.known().came.clone();
        for (events, topic, delivered) in came {
            if delivered.position() == Some(at) {
                events.delivered(&topic, delivered);
            }
        }
    }

    /// Answers that a publish was refused.
    async fn refused(
        &self,
        topic: &TopicName,
        publication: Publication,
        history: History,
        mut error: EngineError,
    ) -> Result<Option<Position>, EngineError> {
        match self.common.mutant {
            StoresLatePublishes if error.kind == EngineErrorKind::Late => {
                self.inner.publish(topic, publication, history).await?;
            }
            StoresUnsent if error.kind == EngineErrorKind::Timeout => {
                let late = (topic.clone(), publication, history);
                self.common.known().pending.push(late);
                error.published = WasPublished::No;
            }
            SaysMaybeWhenStopped => error.published = WasPublished::Maybe,
            PublishesWhenStopped if error.kind == EngineErrorKind::Unavailable => {
                return Ok(Some(Position::start(Epoch::new(1)).next(publication.id)));
            }
            _ => {}
        }
        Err(error)
    }

    async fn listen_wrong(&self, topics: &[TopicName]) -> Result<Vec<Generation>, EngineError> {
        if self.common.mutant == SticksInListen {
            if self.common.is_busy.swap(true, Ordering::Relaxed) {
                return Ok(vec![Generation(1); topics.len()]);
            }
            let listened = self.inner.listen(topics).await;
            self.common.is_busy.store(false, Ordering::Relaxed);
            return listened;
        }
        let topics: Vec<TopicName> = topics
            .iter()
            .map(|topic| self.topic(topic, History::off()))
            .collect();
        let heard = self.note_listen(&topics);
        let mut generations = match self.inner.listen(&heard).await {
            Err(_) if self.common.mutant == ListensWhenStopped => Vec::new(),
            listened => listened?,
        };
        generations.resize(topics.len(), Generation(1));
        if self.common.mutant == AnswersOneTopic {
            generations.truncate(1);
        }
        Ok(generations)
    }

    /// Notes a `listen`. Returns the topics that it reaches.
    fn note_listen(&self, topics: &[TopicName]) -> Vec<TopicName> {
        let mut known = self.common.known();
        for topic in topics {
            *known.listens.entry((self.node, topic.clone())).or_default() += 1;
        }
        let topics = topics.iter().cloned();
        match self.common.mutant {
            ListensOnce => topics
                .filter(|topic| !known.unlistened.contains(&(self.node, topic.clone())))
                .collect(),
            ListensTo512 => topics.take(512).collect(),
            ListensLate => std::mem::replace(&mut known.late, topics.collect()),
            _ => topics.collect(),
        }
    }

    /// Notes an `unlisten`. Returns the topics that it reaches.
    fn note_unlisten(&self, topics: &[TopicName]) -> Vec<TopicName> {
        let mut known = self.common.known();
        let mut ended = Vec::new();
        for topic in topics {
            known.unlistened.insert((self.node, topic.clone()));
            let listens = known.listens.entry((self.node, topic.clone())).or_default();
            *listens = listens.saturating_sub(1);
            if self.common.mutant != CountsListens || *listens == 0 {
                *listens = 0;
                ended.push(topic.clone());
            }
        }
        ended
    }

    async fn unlisten_wrong(&self, topics: &[TopicName]) -> Result<(), EngineError> {
        let topics: Vec<TopicName> = topics
            .iter()
            .map(|topic| self.topic(topic, History::off()))
            .collect();
        let ended = self.note_unlisten(&topics);
        let engines = self.common.known().engines.clone();
        match self.common.mutant {
            IgnoresUnlisten => {}
            UnlistensEverywhere => {
                for engine in engines {
                    engine.unlisten(&ended).await?;
                }
            }
            _ => self.inner.unlisten(&ended).await?,
        }
        Ok(())
    }

    /// Stops the engine, unless a `stop` has begun before.
    async fn stop_once(&self, within: Duration) -> Result<(), EngineError> {
        if !self.common.is_busy.swap(true, Ordering::Relaxed) {
            self.inner.stop(within).await?;
            self.common.is_busy.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn tops_wrong(&self, topics: &[TopicName]) -> Result<Vec<Option<Position>>, EngineError> {
        if self.common.mutant == BeginsEpochsWithTops {
            let history = History::window(1, Duration::from_secs(60));
            for topic in topics {
                self.inner.catch_up(topic, Since::Top, history).await?;
            }
        }
        let mut tops = match self.inner.tops(topics).await {
            Err(_) if self.common.mutant == InventsTops => vec![None; topics.len()],
            tops => tops?,
        };
        if self.common.mutant == ReversesTops {
            tops.reverse();
        }
        Ok(tops)
    }
}

impl Engine for Wrong {
    fn start(&self, node: NodeInfo, events: Arc<dyn EngineEvents>) -> EngineFuture<'_, ()> {
        self.common.known().ids.insert(node.id, self.node);
        let events = WrongEvents {
            common: Arc::clone(&self.common),
            node: self.node,
            id: node.id,
            inner: events,
            seen: Mutex::<Seen>::default(),
        };
        self.inner.start(node, Arc::new(events))
    }

    fn listen<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Generation>> {
        Box::pin(self.listen_wrong(topics))
    }

    fn unlisten<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, ()> {
        Box::pin(self.unlisten_wrong(topics))
    }

    fn publish<'a>(
        &'a self,
        topic: &'a TopicName,
        publication: Publication,
        history: History,
    ) -> EngineFuture<'a, Option<Position>> {
        let mut publish: EngineFuture<'a, Option<Position>> =
            Box::pin(self.publish_wrong(topic, publication, history));
        if self.common.mutant == PublishesUnpolled {
            let mut context = Context::from_waker(Waker::noop());
            loop {
                if let Poll::Ready(answer) = publish.as_mut().poll(&mut context) {
                    return Box::pin(ready(answer));
                }
            }
        }
        publish
    }

    fn tops<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Option<Position>>> {
        Box::pin(self.tops_wrong(topics))
    }

    fn catch_up<'a>(
        &'a self,
        topic: &'a TopicName,
        since: Since,
        history: History,
    ) -> EngineFuture<'a, (Catchup, Generation)> {
        Box::pin(self.read(topic, since, history))
    }

    fn signal(&self, payload: Bytes) -> EngineFuture<'_, ()> {
        match self.common.mutant {
            SignalsWhenStopped if self.inner.state() == EngineState::Down => {
                Box::pin(ready(Ok(())))
            }
            _ => self.inner.signal(payload),
        }
    }

    fn presence(&self) -> Option<&dyn PresenceStore> {
        Some(self)
    }

    fn state(&self) -> EngineState {
        match self.common.mutant {
            IsDegraded => EngineState::Degraded("as each mutant"),
            _ => self.inner.state(),
        }
    }

    fn stop(&self, within: Duration) -> EngineFuture<'_, ()> {
        match self.common.mutant {
            IgnoresStop => return Box::pin(ready(Ok(()))),
            KeepsMembersOfStopped | KeepsCountsOfStopped => {
                self.common.known().gone = Some(self.node)
            }
            SticksInStop => return Box::pin(self.stop_once(within)),
            _ => {}
        }
        self.inner.stop(within)
    }
}
