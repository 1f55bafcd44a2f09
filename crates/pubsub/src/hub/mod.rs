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

mod config;
mod outlet;
mod request;

use std::time::Instant;

pub use self::config::HubConfig;
pub use self::outlet::{Outlet, Recovery, Wants, Welcome};
pub use self::request::{ReadNumber, Request};
use crate::engine::{Catchup, EngineError, EngineState, Generation};
use crate::name::TopicName;
use crate::policy::History;
use crate::position::Position;
use crate::publication::Delivered;

/// The topics of one node.
#[derive(Debug)]
pub struct Hub<O: Outlet> {
    outlet: O,
    config: HubConfig,
}

impl<O: Outlet> Hub<O> {
    /// Makes a hub without topics.
    pub fn new(outlet: O, config: HubConfig) -> Self {
        Self { outlet, config }
    }

    /// Returns the outlet.
    pub fn outlet(&self) -> &O {
        &self.outlet
    }

    /// Adds a subscriber to a topic. The outlet answers it, perhaps within this call. `history` is that of the topic's
    /// pattern: all joins of a topic give the same one.
    pub fn join(&self, topic: TopicName, history: History, wants: Wants, join: O::Join) {
        let _ = (topic, history, wants, join, &self.config);
        unimplemented!()
    }

    /// Ends joins that wait, without an answer. Returns their number.
    pub fn cancel(&self, topic: &str, is_meant: impl FnMut(&O::Join) -> bool) -> usize {
        let _ = (topic, is_meant);
        unimplemented!()
    }

    /// Removes subscribers: `remove` takes them from the topic, and returns how many they were. Returns that number; 0 if
    /// the hub does not know the topic.
    pub fn leave(&self, topic: &str, remove: impl FnOnce(&mut O::Topic) -> usize) -> usize {
        let _ = (topic, remove);
        unimplemented!()
    }

    /// Removes subscribers as [`leave`](Self::leave) does, and answers joins that wait with
    /// [`SubscribeError::Evicted`](crate::SubscribeError::Evicted). Returns the number of both.
    pub fn evict(
        &self,
        topic: &str,
        is_meant: impl FnMut(&O::Join) -> bool,
        remove: impl FnOnce(&mut O::Topic) -> usize,
    ) -> usize {
        let _ = (topic, is_meant, remove);
        unimplemented!()
    }

    /// Calls a function with the subscribers of a topic. `None` if the hub does not know the topic.
    pub fn with<R>(&self, topic: &str, f: impl FnOnce(&mut O::Topic) -> R) -> Option<R> {
        let _ = (topic, f);
        unimplemented!()
    }

    /// Returns the position up to which all subscribers of a topic were served. `None` without history, and while the hub
    /// does not know it.
    pub fn position(&self, topic: &str) -> Option<Position> {
        let _ = topic;
        unimplemented!()
    }

    /// Returns the number of subscribers of a topic on this node.
    pub fn subscribers(&self, topic: &str) -> usize {
        let _ = topic;
        unimplemented!()
    }

    /// Returns the number of topics that the hub knows.
    pub fn topics(&self) -> usize {
        unimplemented!()
    }

    /// The engine brings a message.
    pub fn delivered(&self, topic: &str, delivered: Delivered) {
        let _ = (topic, delivered);
        unimplemented!()
    }

    /// The engine answers [`Request::Listen`].
    pub fn listen_done(&self, topics: &[TopicName], result: Result<Vec<Generation>, EngineError>) {
        let _ = (topics, result);
        unimplemented!()
    }

    /// The engine listens to these topics again after a gap.
    pub fn listened(&self, generation: Generation, topics: &[TopicName]) {
        let _ = (topics, generation);
        unimplemented!()
    }

    /// The engine answers [`Request::Unlisten`].
    pub fn unlistened(&self, topics: &[TopicName]) {
        let _ = topics;
        unimplemented!()
    }

    /// The engine answers [`Request::CatchUp`].
    pub fn caught_up(
        &self,
        topic: &TopicName,
        read: ReadNumber,
        result: Result<(Catchup, Generation), EngineError>,
    ) {
        let _ = (topic, read, result);
        unimplemented!()
    }

    /// The engine answers [`Request::Tops`].
    pub fn tops(
        &self,
        topics: &[TopicName],
        read: ReadNumber,
        result: Result<Vec<Option<Position>>, EngineError>,
    ) {
        let _ = (topics, read, result);
        unimplemented!()
    }

    /// The engine says that messages of the topics may be missing for which `affected` is true. It reports each of them by
    /// [`listened`](Self::listened) when it listens to it again.
    pub fn gap(&self, affected: &dyn Fn(&str) -> bool) {
        let _ = affected;
        unimplemented!()
    }

    /// The state of the engine has changed.
    pub fn engine_state(&self, state: EngineState) {
        let _ = state;
        unimplemented!()
    }

    /// Returns the next request for the engine. To be asked until there is none, after each other call of the hub.
    pub fn next_request(&self) -> Option<Request> {
        unimplemented!()
    }

    /// Acts on the time. To be called at the time that the hub asked for by [`Outlet::wake_at`].
    pub fn handle_timeout(&self) {
        unimplemented!()
    }

    /// Returns when the hub wants to be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        unimplemented!()
    }
}
