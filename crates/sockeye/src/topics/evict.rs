//! Ends subscriptions by the will of the application.

use sockeye_pubsub::TopicName;

use super::handle::{Inner, Topics};
use super::outlet::{Form, LocalTopic};
use crate::endpoint::{Session, SessionId};
use crate::sync::{Arc, lock};

/// The subscribers of a topic that are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Whom {
    /// The session with this id.
    Session(SessionId),
    /// All sessions with this principal.
    Principal(String),
    /// All subscribers.
    All,
}

/// The outcome of [`Topics::evict`]: how many nodes have done it.
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

impl Whom {
    fn includes(&self, session: &Session) -> bool {
        match self {
            Self::Session(id) => session.id() == *id,
            Self::Principal(name) => session.principal() == Some(name),
            Self::All => true,
        }
    }
}
