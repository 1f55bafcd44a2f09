//! The engine: what orders, stores and distributes the messages of topics. The memory engine serves one node. A networked
//! engine lets many nodes behave as one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::name::TopicName;
use crate::policy::History;
use crate::position::{Position, read_word, write_word};
use crate::publication::{Delivered, Entry, Publication};

/// The future of an engine's answer. It is bounded in time, and safe to drop.
pub type EngineFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, EngineError>> + Send + 'a>>;

/// What orders, stores and distributes the messages of topics.
///
/// Rules: the messages of one topic are delivered in its order. The answer of [`catch_up`](Self::catch_up) is one unbroken
/// branch and never a part of it. Each future ends in bounded time, and is safe to drop.
pub trait Engine: Send + Sync + 'static {
    /// Starts the engine. It reports to `events` from now on. An engine may keep `events` until it is dropped: so `events`
    /// must not own the engine.
    fn start(&self, node: NodeInfo, events: Arc<dyn EngineEvents>) -> EngineFuture<'_, ()>;

    /// Begins to deliver the messages of these topics. The answer has one generation for each topic: messages that are
    /// published from now on come.
    fn listen<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Generation>>;

    /// Stops the delivery of these topics.
    fn unlisten<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, ()>;

    /// Orders a message and stores it as `history` says. The answer is its position; `None` without history.
    fn publish<'a>(
        &'a self,
        topic: &'a TopicName,
        publication: Publication,
        history: History,
    ) -> EngineFuture<'a, Option<Position>>;

    /// Returns the newest position of each topic. `None` for a topic of which the engine knows nothing. Creates nothing.
    fn tops<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Option<Position>>>;

    /// Reads stored messages of a topic. Begins an epoch if the topic has none.
    fn catch_up<'a>(
        &'a self,
        topic: &'a TopicName,
        since: Since,
        history: History,
    ) -> EngineFuture<'a, (Catchup, Generation)>;

    /// Sends a signal to all nodes, this one included, at most once.
    fn signal(&self, payload: Bytes) -> EngineFuture<'_, ()>;

    /// Returns the store for presence, if the engine has one.
    fn presence(&self) -> Option<&dyn PresenceStore> {
        None
    }

    /// Returns the state of the engine.
    fn state(&self) -> EngineState;

    /// Stops the engine, and releases what it holds for this node.
    fn stop(&self, within: Duration) -> EngineFuture<'_, ()>;
}

/// What an engine reports. No method blocks or fails.
pub trait EngineEvents: Send + Sync {
    /// A message came. The messages of one topic come in its order.
    fn delivered(&self, topic: &str, delivered: Delivered);
    /// A generation ended for the topics for which `affected` is true: messages may be missing.
    fn gap(&self, affected: &dyn Fn(&str) -> bool);
    /// The engine listens to these topics again, in this generation.
    fn listened(&self, generation: Generation, topics: &[TopicName]);
    /// A signal came.
    fn signal(&self, from: NodeId, payload: Bytes);
    /// Signals may be missing.
    fn signals_lost(&self);
    /// These nodes are live now.
    fn nodes(&self, live: &[NodeInfo]);
    /// The state of the engine has changed.
    fn state(&self, state: EngineState);
    /// The members of a topic have changed on another node.
    fn members_changed(&self, _topic: &str) {}
    /// The members of any topic may have changed on another node.
    fn any_members_changed(&self) {}
    /// The engine may have lost members, or leaves, that this node has written. All members of this node have to be written
    /// again. Then the hub calls [`PresenceStore::written_again`].
    fn members_lost(&self) {}
}

/// Where an engine keeps the members of topics.
pub trait PresenceStore: Send + Sync {
    /// Writes members of this node. A member that is written again is replaced.
    fn enter<'a>(&'a self, topic: &'a TopicName, members: &'a [Member]) -> EngineFuture<'a, ()>;
    /// Removes members of this node.
    fn leave<'a>(&'a self, topic: &'a TopicName, members: &'a [MemberId]) -> EngineFuture<'a, ()>;
    /// Returns at most `max` members of all live nodes.
    fn members<'a>(&'a self, topic: &'a TopicName, max: usize) -> EngineFuture<'a, Vec<Member>>;
    /// Writes the number of members of this node.
    fn set_count<'a>(&'a self, topic: &'a TopicName, count: u64) -> EngineFuture<'a, ()>;
    /// Returns the number of members of all live nodes.
    fn count<'a>(&'a self, topic: &'a TopicName) -> EngineFuture<'a, u64>;
    /// Tells the other nodes that listen to the topic that its members have changed, at most once.
    fn announce<'a>(&'a self, _topic: &'a TopicName) -> EngineFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
    /// All members of this node are written behind [`EngineEvents::members_lost`]. What else the store has of this node may
    /// go.
    fn written_again(&self) -> EngineFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The public name of a member of a topic: 64 random bits. It is not the id of a session. Its text is 11 characters of
/// base64url, as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(pub u64);

/// An error: a text is not the public name of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a member id: expected 11 characters of base64url")]
pub struct InvalidMemberId;

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_word(f, self.0)
    }
}

impl FromStr for MemberId {
    type Err = InvalidMemberId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read_word(text).map(Self).ok_or(InvalidMemberId)
    }
}

/// A member of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The member's public name.
    pub id: MemberId,
    /// What the member says of itself: JSON, at most 1 KiB.
    pub info: Option<Arc<str>>,
    /// The member's principal, if it has one.
    pub principal: Option<Arc<str>>,
    /// When the member entered, in milliseconds since 1970.
    pub since: u64,
}

/// One life of an engine's feed for a topic. It grows when the feed was interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// The name of one life of a node: 64 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub u64);

/// A node, as other nodes see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// The name of this life of the node.
    pub id: NodeId,
    /// The name that the operator has given, for people.
    pub name: Arc<str>,
    /// A number that is equal on nodes with equal policies.
    pub fingerprint: u64,
}

/// Which stored messages a read asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an engine answers each")]
pub enum Since {
    /// None: only the newest position.
    Top,
    /// The newest ones, at most this many.
    Recent(u32),
    /// All behind this position.
    After(Position),
}

/// The answer to a read of stored messages.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the hub acts on each")]
pub enum Catchup {
    /// All messages that were asked for, in order. They lead from `before` to `top` without a hole.
    Whole {
        /// The position before the first entry.
        before: Position,
        /// The messages.
        entries: Vec<Entry>,
        /// The newest position.
        top: Position,
    },
    /// Messages behind the position are not kept, or the position is on another branch.
    Lost {
        /// The newest position.
        top: Position,
    },
    /// The topic keeps the latest value, and has none.
    None {
        /// The newest position.
        top: Position,
    },
}

/// The state of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "operators handle each")]
pub enum EngineState {
    /// The engine works.
    Ready,
    /// The engine works, with trouble.
    Degraded(&'static str),
    /// The engine does not work. Publishes fail, joins wait.
    Down,
}

/// The error of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the engine {kind}: {text}")]
pub struct EngineError {
    /// Whether the message of a publish may have been published.
    pub published: WasPublished,
    /// What kind of error it is.
    pub kind: EngineErrorKind,
    /// The details.
    pub text: String,
}

/// Whether a message whose publish failed may have been published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a publisher acts on each")]
pub enum WasPublished {
    /// It was certainly not published.
    No,
    /// It may have been published.
    Maybe,
}

/// The kind of an engine's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineErrorKind {
    /// The engine cannot be reached.
    Unavailable,
    /// The engine gave no answer in time.
    Timeout,
    /// The message came to the engine after its deadline.
    Late,
    /// The engine refused the request.
    Rejected,
    /// The engine cannot do this.
    Unsupported,
    /// The engine has no room.
    Full,
}

impl fmt::Display for EngineErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "is unavailable",
            Self::Timeout => "gave no answer in time",
            Self::Late => "got the message too late",
            Self::Rejected => "refused the request",
            Self::Unsupported => "does not support the request",
            Self::Full => "is full",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_id_has_one_text() {
        for id in [0, 1, 7, u64::MAX].map(MemberId) {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!(MemberId(7).to_string(), "AAAAAAAAAAc");
        for text in [
            "",
            "AAAAAAAAAA",
            "AAAAAAAAAAd",
            "AAAAAAAAAAcA",
            "AAAAA AAAAc",
        ] {
            assert_eq!(text.parse::<MemberId>(), Err(InvalidMemberId), "{text}");
        }
    }

    #[test]
    fn an_error_says_what_the_engine_did_and_why() {
        for (kind, text) in [
            (
                EngineErrorKind::Unavailable,
                "the engine is unavailable: no route",
            ),
            (
                EngineErrorKind::Timeout,
                "the engine gave no answer in time: no route",
            ),
            (
                EngineErrorKind::Late,
                "the engine got the message too late: no route",
            ),
            (
                EngineErrorKind::Rejected,
                "the engine refused the request: no route",
            ),
            (
                EngineErrorKind::Unsupported,
                "the engine does not support the request: no route",
            ),
            (EngineErrorKind::Full, "the engine is full: no route"),
        ] {
            let error = EngineError {
                published: WasPublished::No,
                kind,
                text: "no route".to_owned(),
            };
            assert_eq!(error.to_string(), text);
        }
    }
}
