//! What the hub wants of the engine.

use crate::engine::Since;
use crate::name::TopicName;
use crate::policy::History;

/// What the hub wants of the engine.
///
/// Its owner carries the requests out in this order, and may let them overlap. A [`Listen`](Self::Listen) and an
/// [`Unlisten`](Self::Unlisten) of one topic never overlap: the hub waits for the answer to the first. Each request is
/// answered exactly once, also after an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the hub's owner carries each out")]
pub enum Request {
    /// Listen to these topics; answered by [`Hub::listen_done`](super::Hub::listen_done).
    Listen(Vec<TopicName>),
    /// Stop listening to these topics; answered by [`Hub::unlistened`](super::Hub::unlistened), also after an error.
    Unlisten(Vec<TopicName>),
    /// Read stored messages; answered by [`Hub::caught_up`](super::Hub::caught_up).
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
    /// Ask for the newest positions; answered by [`Hub::tops`](super::Hub::tops).
    Tops {
        /// The topics.
        topics: Vec<TopicName>,
        /// The number of the question, which the answer repeats.
        read: ReadNumber,
    },
}

/// The number of a read, or of a question for positions. A hub never uses a number twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReadNumber(pub u64);
