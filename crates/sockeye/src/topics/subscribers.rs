//! The subscribers that are meant by an eviction, and its outcome.

use crate::endpoint::{Session, SessionId};

/// The subscribers of a topic that are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subscribers {
    /// The session with this id.
    Session(SessionId),
    /// All sessions with this principal.
    Principal(String),
    /// All subscribers.
    All,
}

/// The outcome of [`Topics::evict`](super::Topics::evict): how many nodes have done it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evicted {
    /// The number of nodes that have ended their subscriptions.
    pub acknowledged: usize,
    /// The number of live nodes. If it is larger, repeat the call.
    pub live: usize,
    /// The number of subscriptions and joins of this node that were ended.
    pub ended_here: usize,
}

impl Subscribers {
    pub(super) fn includes(&self, session: &Session) -> bool {
        match self {
            Self::Session(id) => session.id() == *id,
            Self::Principal(name) => session.principal() == Some(name),
            Self::All => true,
        }
    }
}

impl Subscribers {
    /// Returns the form in a signal to other nodes.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Session(id) => format!("session {id}"),
            Self::Principal(name) => format!("principal {name}"),
            Self::All => "all ".to_owned(),
        }
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(' ')?;
        match kind {
            "session" => value.parse().map(Self::Session).ok(),
            "principal" => Some(Self::Principal(value.to_owned())),
            "all" => Some(Self::All),
            _ => None,
        }
    }
}
