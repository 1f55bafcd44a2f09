//! The memory engine: orders, stores and distributes the messages of one node.
//!
//! The topics lie in 64 shards by the hash of their names. A topic is in a shard if something listens to it, or if it has a
//! history. `publish` locks the topic's shard, and delivers the message before it unlocks it. So the messages of a topic
//! are delivered in its order. Lock order: a shard of the engine, then what [`EngineEvents::delivered`] locks. No two
//! shards are locked at once.
//!
//! Two limits hold for a node: the bytes of all histories, and the number of topics. Beyond either, the topic goes that
//! nothing listens to and that has had no message for the longest time. It begins a new epoch later, so its clients are
//! told that messages are missing. If something listens to all topics, the largest history loses its oldest message.

mod keys;
mod presence;
mod room;
mod service;
mod shard;
#[cfg(test)]
mod tests;
mod topic;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::keys::KeyHashing;
use self::presence::Members;
use self::shard::{PRUNE_EVERY, Shard};
use self::topic::Topic;
use crate::engine::{
    Catchup, EngineError, EngineErrorKind, EngineEvents, Generation, Member, MemberId, NodeInfo,
    Since, WasPublished,
};
use crate::name::TopicName;
use crate::policy::{History, Kept};
use crate::position::{Epoch, Position};
use crate::publication::{Delivered, Publication};
use crate::seed::{LookUp, SHARDS, Seed};
use crate::surroundings::Surroundings;

/// The engine of one node, in memory. It is [`Engine`](crate::Engine), and has the same methods without futures.
///
/// Its owner calls [`prune`](Self::prune) when that has asked for it.
pub struct MemoryEngine {
    limits: MemoryLimits,
    surroundings: Arc<dyn Surroundings>,
    /// When the engine was made. Its clock counts from here.
    made: Instant,
    node: OnceLock<Started>,
    is_stopped: AtomicBool,
    seed: Seed,
    key_hashing: KeyHashing,
    shards: Box<[Mutex<Shard>]>,
    members: Members,
    /// The bytes of all histories, with the overhead.
    used: AtomicUsize,
    /// The number of topics: those with a history, and those that something listens to.
    topics: AtomicUsize,
}

/// The limits of a memory engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryLimits {
    /// The bytes of all histories: payloads, and 48 bytes for each message. The default is 256 MiB.
    pub max_history: usize,
    /// The number of topics: those with a history, and those that something listens to. The default is 1,000,000.
    pub max_topics: usize,
}

/// What [`MemoryEngine::begin`] was given.
struct Started {
    node: NodeInfo,
    events: Arc<dyn EngineEvents>,
}

impl MemoryEngine {
    /// Makes an engine without topics.
    pub fn new(limits: MemoryLimits, surroundings: Arc<dyn Surroundings>) -> Self {
        let seed = Seed::random();
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new(seed)));
        Self {
            limits,
            made: surroundings.now(),
            surroundings,
            node: OnceLock::new(),
            is_stopped: AtomicBool::new(false),
            key_hashing: KeyHashing::default(),
            shards: shards.collect(),
            members: Members::new(seed),
            seed,
            used: AtomicUsize::new(0),
            topics: AtomicUsize::new(0),
        }
    }

    /// Starts the engine, which reports to `events` from now on. It keeps `events` until it is dropped.
    ///
    /// # Errors
    ///
    /// When the engine has been started already.
    pub fn begin(&self, node: NodeInfo, events: Arc<dyn EngineEvents>) -> Result<(), EngineError> {
        let started = Started { node, events };
        if self.node.set(started).is_err() {
            return Err(refusal(
                EngineErrorKind::Rejected,
                "it has been started already",
            ));
        }
        if let Some(Started { node, events }) = self.node.get() {
            events.nodes(std::slice::from_ref(node));
        }
        Ok(())
    }

    /// Stops the engine: it refuses everything from now on.
    pub fn end(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Begins to deliver the messages of a topic.
    ///
    /// # Errors
    ///
    /// [`EngineErrorKind::Full`] when there are as many topics as the limit allows, and something listens to each.
    pub fn listen(&self, topic: &TopicName) -> Result<Generation, EngineError> {
        self.begin_to_listen(topic).map(|_| FEED)
    }

    /// Returns false if something listened to the topic before.
    fn begin_to_listen(&self, topic: &TopicName) -> Result<bool, EngineError> {
        self.started()?;
        let name = self.seed.look_up(topic);
        loop {
            let mut shard = self.lock(&name);
            if shard.knows(&name) || self.count_topic() {
                return Ok(shard.listen(topic, &name));
            }
            drop(shard);
            self.make_room_for_topic()?;
        }
    }

    /// Stops the delivery of a topic.
    pub fn unlisten(&self, topic: &str) {
        let name = self.seed.look_up(topic);
        let forgotten = self.lock(&name).unlisten(&name);
        self.topics.fetch_sub(forgotten, Ordering::Relaxed);
    }

    /// Orders a message, stores it as `history` says, and delivers it if something listens to the topic. The answer is its
    /// position; `None` without history.
    ///
    /// # Errors
    ///
    /// [`EngineErrorKind::Full`] when the topic is new, there are as many topics as the limit allows, and something listens
    /// to each. [`EngineErrorKind::Rejected`] for a key without history, and for text that is not the name of a topic. No
    /// message has then been published.
    pub fn publish(
        &self,
        topic: &str,
        publication: Publication,
        history: History,
    ) -> Result<Option<Position>, EngineError> {
        let events = &*self.started()?.events;
        let name = self.seed.look_up(topic);
        match history.kept() {
            Kept::Off => self.pass_on(&name, publication, events).map(|()| None),
            kept => self.store(&name, publication, kept, events).map(Some),
        }
    }

    /// Publishes a message of a topic without history.
    fn pass_on(
        &self,
        name: &LookUp<'_>,
        publication: Publication,
        events: &dyn EngineEvents,
    ) -> Result<(), EngineError> {
        if publication.key.is_some() {
            return Err(refusal(
                EngineErrorKind::Rejected,
                "a topic without history has no keys",
            ));
        }
        let shard = self.lock(name);
        if shard.is_heard(name) {
            let Publication { id, body, .. } = publication;
            events.delivered(name.name(), Delivered::Unstored { id, body });
        }
        Ok(())
    }

    /// Publishes a message of a topic with history.
    fn store(
        &self,
        name: &LookUp<'_>,
        publication: Publication,
        kept: Kept,
        events: &dyn EngineEvents,
    ) -> Result<Position, EngineError> {
        let Publication { id, body, key } = publication;
        let key = key.map(|key| (self.key_hashing.hash(name.name(), &key), key.scope));
        let mut shard = self.lock_topic(name, None, kept)?;
        let now = self.now();
        if let Some((key, scope)) = &key
            && let Some(position) = shard.keys.find(scope, *key, now)
            // A topic that was forgotten meanwhile has another epoch: then its keys are forgotten too.
            && shard.get(name).is_some_and(|topic| topic.top().epoch == position.epoch)
        {
            return Ok(position);
        }
        let Some(appended) = shard.change(name, |topic| topic.append(id, body, kept, now)) else {
            return Err(refusal(EngineErrorKind::Full, NO_ROOM));
        };
        let position = appended.position;
        self.used.fetch_add(appended.added, Ordering::Relaxed);
        self.used.fetch_sub(appended.freed, Ordering::Relaxed);
        if let Some((key, scope)) = key {
            shard.keys.insert(&scope, key, position, now);
        }
        if let Some(entry) = appended.heard {
            events.delivered(name.name(), Delivered::Entry(entry));
        }
        drop(shard);
        self.make_room_for_bytes(name);
        Ok(position)
    }

    /// Returns the newest position of a topic. `None` if the topic has no history.
    pub fn top(&self, topic: &str) -> Option<Position> {
        let name = self.seed.look_up(topic);
        self.lock(&name).get(&name).map(Topic::top)
    }

    /// Reads stored messages of a topic. Begins an epoch if the topic has none.
    ///
    /// # Errors
    ///
    /// [`EngineErrorKind::Full`] as for [`publish`](Self::publish), and [`EngineErrorKind::Unsupported`] for a topic without
    /// history.
    pub fn catch_up(
        &self,
        topic: &TopicName,
        since: Since,
        history: History,
    ) -> Result<(Catchup, Generation), EngineError> {
        self.started()?;
        let kept = history.kept();
        if kept == Kept::Off {
            return Err(refusal(
                EngineErrorKind::Unsupported,
                "the topic has no history",
            ));
        }
        let name = self.seed.look_up(topic);
        let shard = self.lock_topic(&name, Some(topic), kept)?;
        match shard.get(&name) {
            Some(topic) => Ok((topic.read(since, kept, self.now()), FEED)),
            None => Err(refusal(EngineErrorKind::Full, NO_ROOM)),
        }
    }

    /// Sends a signal to all nodes: to this one.
    ///
    /// # Errors
    ///
    /// When the engine has not been started, or has been stopped.
    pub fn send_signal(&self, payload: Bytes) -> Result<(), EngineError> {
        let Started { node, events } = self.started()?;
        events.signal(node.id, payload);
        Ok(())
    }

    /// Writes members of a topic. A member that is written again is replaced.
    pub fn enter(&self, topic: &TopicName, members: &[Member]) {
        self.members.enter(topic, members);
    }

    /// Removes members of a topic.
    pub fn leave(&self, topic: &TopicName, members: &[MemberId]) {
        self.members.leave(topic, members);
    }

    /// Returns at most `max` members of a topic, in the order of their ids.
    pub fn members(&self, topic: &TopicName, max: usize) -> Vec<Member> {
        self.members.members(topic, max)
    }

    /// Writes the number of members of a topic whose members are only counted.
    pub fn set_count(&self, topic: &TopicName, count: u64) {
        self.members.set_count(topic, count);
    }

    /// Returns the number of members of a topic.
    pub fn count(&self, topic: &TopicName) -> u64 {
        self.members.count(topic)
    }

    /// Drops messages, keys and topics that are old. The answer is when it wants to be called again: after a short time, if
    /// more was old than one call drops. Reads never return a message that is too old, so a late call costs memory only.
    pub fn prune(&self, now: Instant) -> Instant {
        let time = millis(now.saturating_duration_since(self.made));
        let mut next = time + PRUNE_EVERY;
        let mut budget = PRUNE_AT_ONCE;
        for shard in &self.shards {
            loop {
                let mut shard = lock(shard);
                let limit = PRUNE_UNDER_LOCK.min(budget);
                let (freed, looked_at) = shard.prune(time, limit);
                self.give_back(freed);
                budget -= looked_at;
                if budget == 0 {
                    return now + PRUNE_SOON;
                }
                if looked_at < limit {
                    next = next.min(shard.due().unwrap_or(next));
                    break;
                }
            }
        }
        // In whole seconds, so that the calls are few.
        self.made + Duration::from_secs(next / 1000 + 1)
    }

    /// Returns the bytes of all histories, with 48 bytes for each message.
    pub fn history_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns the number of topics: those with a history, and those that something listens to.
    pub fn topics(&self) -> usize {
        self.topics.load(Ordering::Relaxed)
    }

    /// Locks the shard of a topic that has a history. Begins its history if it has none.
    fn lock_topic(
        &self,
        name: &LookUp<'_>,
        shared: Option<&TopicName>,
        kept: Kept,
    ) -> Result<MutexGuard<'_, Shard>, EngineError> {
        loop {
            let mut shard = self.lock(name);
            if shard.get(name).is_some() {
                return Ok(shard);
            }
            let topic = match shared {
                Some(topic) => topic.clone(),
                None => TopicName::new(name.name())
                    .map_err(|error| refusal(EngineErrorKind::Rejected, &error.to_string()))?,
            };
            if shard.knows(name) || self.count_topic() {
                let epoch = Epoch::new(self.surroundings.random());
                let topic = Topic::new(topic, epoch, kept, self.now());
                shard.insert(topic, name);
                return Ok(shard);
            }
            drop(shard);
            self.make_room_for_topic()?;
        }
    }

    fn started(&self) -> Result<&Started, EngineError> {
        let started = self.node.get();
        match started.filter(|_| !self.is_stopped.load(Ordering::Relaxed)) {
            Some(started) => Ok(started),
            None => Err(refusal(
                EngineErrorKind::Unavailable,
                "it has not been started, or has been stopped",
            )),
        }
    }

    /// Returns the engine's clock, in milliseconds.
    fn now(&self) -> u64 {
        millis(self.surroundings.now().saturating_duration_since(self.made))
    }

    fn lock(&self, name: &LookUp<'_>) -> MutexGuard<'_, Shard> {
        lock(&self.shards[name.shard()])
    }
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            max_history: 256 << 20,
            max_topics: 1_000_000,
        }
    }
}

impl MemoryLimits {
    /// Sets the bytes of all histories.
    #[must_use]
    pub fn max_history(mut self, bytes: usize) -> Self {
        self.max_history = bytes;
        self
    }

    /// Sets the number of topics.
    #[must_use]
    pub fn max_topics(mut self, topics: usize) -> Self {
        self.max_topics = topics;
        self
    }
}

impl fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEngine")
            .field("limits", &self.limits)
            .field("topics", &self.topics())
            .field("history_bytes", &self.history_bytes())
            .finish_non_exhaustive()
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refusal(kind: EngineErrorKind, text: &str) -> EngineError {
    EngineError {
        published: WasPublished::No,
        kind,
        text: text.to_owned(),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The number of topics that a call of [`MemoryEngine::prune`] looks at: so it ends soon.
const PRUNE_AT_ONCE: usize = 4096;

/// The number of topics that it looks at without unlocking their shard: so no publish waits long.
const PRUNE_UNDER_LOCK: usize = 64;

/// The time until the next call, if topics are left.
const PRUNE_SOON: Duration = Duration::from_millis(10);

/// The only life of the feed.
const FEED: Generation = Generation(0);

const NO_ROOM: &str = "there are as many topics as the limit allows, and something listens to each";
