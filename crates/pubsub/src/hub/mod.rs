//! The hub: the topics of one node, and what its subscribers are told.
//!
//! The hub stands between the engine and the subscribers of a node. It knows for each topic up to which position all
//! subscribers were served. It compares each message with that position, reads what is missing, and tells subscribers
//! when continuity broke. It has no tasks and no sockets: its owner carries out its [requests](Request), calls it when
//! time has passed, and keeps the subscribers in an [`Outlet`].
//!
//! ```text
//!   engine ── delivered, listened, gap ──▶ Hub ── attach, deliver, lose ──▶ Outlet: the subscribers of each topic
//!      ▲                                    │
//!      └── listen, read, tops ── Request ◀──┘ next_request
//! ```
//!
//! The topics lie in shards by their names. A shard is locked for each call, and while the outlet is called: so a
//! subscriber that joins gets each later message, and none twice. Lock order: a shard, then what the outlet locks.

mod clock;
mod config;
mod context;
mod fault;
mod flight;
mod follow;
mod joins;
mod live;
mod opening;
mod outlet;
mod parts;
mod past;
mod read;
mod refilling;
mod request;
mod row;
mod shard;
mod stale;
mod state;
#[cfg(test)]
mod tests;
mod topic;
mod turns;
mod waiting;
mod work;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::clock::{Clock, between};
pub use self::config::HubConfig;
use self::context::Shared;
use self::joins::PendingJoin;
pub use self::outlet::{Outlet, Recovery, Wants, Welcome};
pub use self::request::{ReadNumber, Request};
pub use self::row::Row;
use self::shard::Shard;
use self::turns::{Asked, Due, Turns};
use self::work::{Next, Work};
use crate::engine::{Catchup, EngineError, EngineState, Generation};
use crate::error::SubscribeError;
use crate::name::TopicName;
use crate::policy::History;
use crate::position::Position;
use crate::publication::Delivered;
use crate::seed::{LookUp, SHARDS, Seed};
use crate::tail::TailRoom;

/// The topics of one node.
pub struct Hub<O: Outlet> {
    shared: Shared<O>,
    shards: Vec<Mutex<Shard<O>>>,
    seed: Seed,
    turns: Turns,
}

impl<O: Outlet> Hub<O> {
    /// Makes a hub without topics.
    pub fn new(outlet: O, config: HubConfig) -> Self {
        let now = outlet.now();
        let seed = Seed::new(outlet.random(), outlet.random());
        Self {
            turns: Turns::new(&config, now),
            shared: Shared {
                clock: Clock::new(now),
                work: Work::new(&config, now),
                tails: Arc::new(TailRoom::new(
                    config.tail_events,
                    config.tail_bytes,
                    config.wide_tail_bytes,
                    config.all_tails_bytes,
                )),
                is_down: AtomicBool::new(false),
                topics: AtomicUsize::new(0),
                outlet,
                config,
            },
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(seed))).collect(),
            seed,
        }
    }

    /// Returns the outlet.
    pub fn outlet(&self) -> &O {
        &self.shared.outlet
    }

    /// Adds a subscriber to a topic. The outlet answers it, perhaps within this call. `history` is that of the topic's
    /// pattern: all joins of a topic give the same one.
    ///
    /// While the engine is down, a join of a topic that has subscribers here fails at once. Other joins wait for the engine.
    pub fn join(&self, topic: &TopicName, history: History, wants: Wants, join: O::Join) {
        let shared = &self.shared;
        let now = shared.now();
        let place = self.seed.look_up(topic);
        let mut shard = self.shard(&place);
        let is_down = shared.is_down.load(Ordering::Relaxed);
        if is_down && shard.get(&place).is_some_and(|topic| topic.is_live()) {
            let retry = between(&shared.outlet, &shared.config.retry);
            return shared
                .outlet
                .refuse(join, SubscribeError::Unavailable { retry });
        }
        let until = now + shared.config.join_wait;
        let pending = PendingJoin { join, wants, until };
        shard.join(shared, topic, &place, history, pending);
        drop(shard);
        if !history.is_off()
            && !self.turns.is_running()
            && let Some(at) = self.turns.start(&shared.config, now)
        {
            shared.clock.want(&shared.outlet, at);
        }
    }

    /// Ends joins that wait, without an answer. Returns their number.
    pub fn cancel(&self, topic: &str, is_meant: impl FnMut(&O::Join) -> bool) -> usize {
        self.with_topic(topic, |topic, _| {
            topic.change_joins(|joins| joins.cancel(is_meant))
        })
        .flatten()
        .unwrap_or(0)
    }

    /// Removes subscribers: `remove` takes them from the topic, and returns how many they were. Returns that number; 0 if
    /// the hub does not know the topic.
    pub fn leave(&self, topic: &str, remove: impl FnOnce(&mut O::Topic) -> usize) -> usize {
        self.with_topic(topic, |topic, _| topic.leave(remove))
            .unwrap_or(0)
    }

    /// Removes subscribers as [`leave`](Self::leave) does, and answers joins that wait with
    /// [`SubscribeError::Evicted`]. Returns the number of both.
    pub fn evict(
        &self,
        topic: &str,
        is_meant: impl FnMut(&O::Join) -> bool,
        remove: impl FnOnce(&mut O::Topic) -> usize,
    ) -> usize {
        let evicted = self.with_topic(topic, |topic, context| {
            context.took(Row::Evicted);
            let outlet = &context.shared.outlet;
            let joins = topic.change_joins(|joins| joins.evict(outlet, is_meant));
            joins.unwrap_or(0) + topic.leave(remove)
        });
        evicted.unwrap_or(0)
    }

    /// Calls a function with the subscribers of a topic. `None` if the hub does not know the topic.
    pub fn with<R>(&self, topic: &str, f: impl FnOnce(&mut O::Topic) -> R) -> Option<R> {
        let topic = self.seed.look_up(topic);
        let mut shard = self.shard(&topic);
        shard.get(&topic).map(|topic| f(&mut topic.place))
    }

    /// Returns the position up to which all subscribers of a topic were served. `None` without history, and while the hub
    /// does not know it.
    pub fn position(&self, topic: &str) -> Option<Position> {
        let topic = self.seed.look_up(topic);
        self.shard(&topic).get(&topic)?.position()
    }

    /// Returns the number of subscribers of a topic on this node.
    pub fn subscribers(&self, topic: &str) -> usize {
        let topic = self.seed.look_up(topic);
        let mut shard = self.shard(&topic);
        let subscribers = shard.get(&topic).map_or(0, |topic| topic.subscribers);
        usize::try_from(subscribers).unwrap_or(usize::MAX)
    }

    /// Returns the names of the topics in a shard. The shards have the numbers from 0 on; `None` beyond the last one.
    pub fn names(&self, shard: usize) -> Option<Vec<TopicName>> {
        self.shards.get(shard).map(|shard| lock(shard).names())
    }

    /// Returns the number of topics that the hub knows.
    pub fn topics(&self) -> usize {
        self.shared.topics.load(Ordering::Relaxed)
    }

    /// The engine brings a message.
    pub fn delivered(&self, topic: &str, delivered: Delivered) {
        let topic = self.seed.look_up(topic);
        self.shard(&topic).deliver(&self.shared, &topic, delivered);
    }

    /// The engine answers [`Request::Listen`].
    pub fn listen_done(&self, topics: &[TopicName], result: Result<Vec<Generation>, EngineError>) {
        // An answer that is too short says nothing of the last topics.
        let generations = result.unwrap_or_default();
        for (index, topic) in topics.iter().enumerate() {
            let generation = generations.get(index).copied();
            self.with_topic(topic, |topic, context| {
                topic.listen_done(context, generation)
            });
        }
    }

    /// The engine listens to these topics again after a gap.
    pub fn listened(&self, generation: Generation, topics: &[TopicName]) {
        for topic in topics {
            self.with_topic(topic, |topic, context| topic.listened(context, generation));
        }
    }

    /// The engine answers [`Request::Unlisten`].
    pub fn unlistened(&self, topics: &[TopicName]) {
        for topic in topics {
            self.with_topic(topic, |topic, context| topic.unlistened(context));
        }
    }

    /// The engine answers [`Request::CatchUp`].
    pub fn caught_up(
        &self,
        topic: &TopicName,
        read: ReadNumber,
        result: Result<(Catchup, Generation), EngineError>,
    ) {
        self.shared.work.read_ended();
        self.with_topic(topic, |topic, context| {
            topic.caught_up(context, read, result.ok())
        });
    }

    /// The engine answers [`Request::Tops`].
    pub fn tops(
        &self,
        topics: &[TopicName],
        read: ReadNumber,
        result: Result<Vec<Option<Position>>, EngineError>,
    ) {
        let tops = result.unwrap_or_default();
        let asked = self.turns.lock().answered(read);
        let Some(asked) = asked else {
            for (index, topic) in topics.iter().enumerate() {
                let top = tops.get(index).copied();
                self.with_topic(topic, |topic, context| {
                    topic.ask_answered(context, read, top)
                });
            }
            return;
        };
        // Topics that had a gap meanwhile are missing in what was asked.
        let mut tops = topics.iter().zip(tops);
        for (name, position) in asked.topics {
            if let Some((_, top)) = tops.find(|(topic, _)| **topic == name) {
                self.with_topic(&name, |topic, context| topic.turned(context, position, top));
            }
        }
        self.take_turns(self.shared.now());
    }

    /// The engine says that messages of the topics may be missing for which `affected` is true. It reports each of them by
    /// [`listened`](Self::listened) when it listens to it again.
    pub fn gap(&self, affected: &dyn Fn(&str) -> bool) {
        for shard in &self.shards {
            lock(shard).gap(&self.shared, affected);
        }
        self.turns.lock().forget(affected);
    }

    /// The state of the engine has changed.
    pub fn engine_state(&self, state: EngineState) {
        let is_down = matches!(state, EngineState::Down);
        self.shared.is_down.store(is_down, Ordering::Relaxed);
    }

    /// Returns the next request for the engine. To be asked until there is none, after each other call of the hub. Without
    /// a request it costs one atomic load.
    pub fn next_request(&self) -> Option<Request> {
        let shared = &self.shared;
        while shared.work.is_ready() {
            match shared.work.take(&shared.config, shared.now()) {
                Next::Listen(topics) => return Some(Request::Listen(topics)),
                Next::Unlisten(topics) => return Some(Request::Unlisten(topics)),
                Next::Turn(topics, read) => return Some(Request::Tops { topics, read }),
                Next::Ask(mut topics) => {
                    let read = shared.work.number();
                    topics.retain(|topic| {
                        let topic = self.seed.look_up(topic);
                        let mut shard = self.shard(&topic);
                        shard.get(&topic).is_some_and(|topic| topic.ask_sent(read))
                    });
                    if !topics.is_empty() {
                        return Some(Request::Tops { topics, read });
                    }
                }
                Next::Read(topic, read) => {
                    let sent = self.with_topic(&topic, |topic, context| {
                        Some((topic.read_sent(context, read)?, context.history))
                    });
                    if let Some((since, history)) = sent.flatten() {
                        return Some(Request::CatchUp {
                            topic,
                            since,
                            history,
                            read,
                        });
                    }
                    shared.work.read_ended();
                }
                Next::Nothing(at) => {
                    if let Some(at) = at {
                        shared.clock.want(&shared.outlet, at);
                    }
                    return None;
                }
            }
        }
        None
    }

    /// Acts on the time. To be called at the time that the hub asked for by [`Outlet::wake_at`].
    pub fn handle_timeout(&self) {
        let shared = &self.shared;
        let now = shared.now();
        shared.clock.passed(now);
        for shard in &self.shards {
            let next = lock(shard).time(shared, now);
            if let Some(next) = next {
                shared.clock.want(&shared.outlet, next);
            }
        }
        self.take_turns(now);
        shared.work.time_passed();
    }

    /// Returns when the hub wants to be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.shared.clock.next()
    }

    /// Asks for the positions of the topics whose turn it is.
    fn take_turns(&self, now: Instant) {
        if !self.turns.is_running() {
            return;
        }
        let shared = &self.shared;
        let mut round = self.turns.lock();
        loop {
            match round.due(&shared.config, now) {
                Due::Shard(number) => {
                    let names = self
                        .shards
                        .get(number)
                        .map(|shard| lock(shard).names_with_positions());
                    round.add(names.unwrap_or_default());
                    if self.topics() == 0 {
                        return self.turns.stop(|| self.topics() > 0);
                    }
                }
                Due::Topics(names) => {
                    let positions = names.into_iter().filter_map(|name| {
                        let place = self.seed.look_up(&name);
                        let position = self.shard(&place).get(&place)?.turn_position()?;
                        Some((name, position))
                    });
                    let topics: Vec<_> = positions.collect();
                    if topics.is_empty() {
                        continue;
                    }
                    let read = shared.work.number();
                    let names = topics.iter().map(|(name, _)| name.clone()).collect();
                    round.asked = Some(Asked { read, topics });
                    shared.work.turn(names, read);
                }
                Due::Nothing(at) => {
                    if let Some(at) = at {
                        shared.clock.want(&shared.outlet, at);
                    }
                    return;
                }
            }
        }
    }

    fn with_topic<R>(
        &self,
        name: &str,
        f: impl FnOnce(&mut topic::Topic<O>, &mut context::Context<'_, O>) -> R,
    ) -> Option<R> {
        let name = self.seed.look_up(name);
        self.shard(&name).with(&self.shared, &name, f)
    }

    fn shard(&self, name: &LookUp<'_>) -> MutexGuard<'_, Shard<O>> {
        lock(&self.shards[name.shard()])
    }
}

impl<O: Outlet> fmt::Debug for Hub<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hub = f.debug_struct("Hub");
        hub.field("topics", &self.topics()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
