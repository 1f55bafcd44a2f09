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

use std::time::Instant;

use crate::engine::Since;
use crate::error::SubscribeError;
use crate::name::TopicName;
use crate::policy::History;
use crate::position::Position;
use crate::publication::{Delivered, Entry};
use crate::surroundings::Surroundings;

/// The subscribers of a node. The hub calls it with the shard of the topic locked, so no method may call the hub back,
/// block, or run code of the application.
pub trait Outlet: Surroundings {
    /// A subscriber that waits for the answer to its join.
    type Join: Send;
    /// The subscribers of one topic.
    type Topic: Send;

    /// Makes the place for the subscribers of a topic that nothing has joined yet.
    fn open(&self, topic: &TopicName) -> Self::Topic;

    /// Adds a subscriber, and gives it its answer and the replay. It gets each message from now on. Returns false if the
    /// subscriber has gone meanwhile, or is a subscriber of the topic already.
    fn attach(&self, topic: &mut Self::Topic, join: Self::Join, welcome: Welcome<'_>) -> bool;

    /// Answers a join that failed.
    fn refuse(&self, join: Self::Join, error: SubscribeError);

    /// Gives a message to all subscribers of a topic.
    fn deliver(&self, topic: &mut Self::Topic, delivered: &Delivered);

    /// Tells all subscribers of a topic that messages may be missing before this position. Without history there is no
    /// position.
    fn lose(&self, topic: &mut Self::Topic, at: Option<Position>);

    /// The hub wants a call of [`Hub::handle_timeout`] at this time. It is earlier than all times that it asked for
    /// before and that have not come yet.
    fn wake_at(&self, at: Instant);
}

/// What a join asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the hub answers each")]
pub enum Wants {
    /// Only messages from now on.
    Live,
    /// The newest stored messages first, at most this many.
    Recent(u32),
    /// All messages behind this position first.
    After(Position),
}

/// The answer to a join.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// The position before the first message of the replay. Without a replay it is the newest position. `None` for a
    /// topic without history.
    pub at: Option<Position>,
    /// Whether the subscriber continues where it was.
    pub recovery: Recovery,
    /// The messages that come before the live ones.
    pub replay: &'a [Entry],
}

/// Whether a subscriber continues where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a subscriber acts on each")]
pub enum Recovery {
    /// The subscriber gave no position.
    Fresh,
    /// The subscriber gets all messages behind its position: this many were missed.
    Recovered {
        /// The number of messages.
        missed: usize,
    },
    /// Messages behind the position are not kept, or it is on another branch of the history.
    Lost,
}

/// What the hub wants of the engine. Its owner carries the requests out in this order, and may let them overlap. The
/// requests about one topic never overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the hub's owner carries each out")]
pub enum Request {
    /// Listen to these topics; answered by [`Hub::listened`] or [`Hub::listen_failed`].
    Listen(Vec<TopicName>),
    /// Stop listening to these topics; answered by [`Hub::unlistened`], also after an error.
    Unlisten(Vec<TopicName>),
    /// Read stored messages; answered by [`Hub::caught_up`].
    CatchUp {
        /// The topic.
        topic: TopicName,
        /// The messages to read.
        since: Since,
        /// The history of the topic.
        history: History,
        /// The number of the read, which the answer repeats.
        read: ReadNumber,
    },
    /// Ask for the newest positions; answered by [`Hub::tops`].
    Tops(Vec<TopicName>),
}

/// The number of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadNumber(pub u64);
