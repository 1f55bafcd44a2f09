//! Ends subscriptions by the will of the application.

use super::form::{Ending, Form};
use super::handle::{Inner, Topics};
use super::outlet::LocalTopic;
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

impl Whom {
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
            "session" => SessionId::from_hex(value).map(Self::Session),
            "principal" => Some(Self::Principal(value.to_owned())),
            "all" => Some(Self::All),
            _ => None,
        }
    }
}

impl Topics {
    /// Ends subscriptions of a topic, and the joins that wait for an answer. A client of the subprotocol is told.
    ///
    /// On other nodes it takes up to 2 s. The answer counts the nodes that have done it.
    pub async fn evict(&self, topic: &str, whom: Whom) -> Evicted {
        let ended_here = self.0.evict_here(topic, &whom);
        self.0.evict_elsewhere(topic, &whom, ended_here).await
    }
}

impl Inner {
    /// Ends the subscriptions and the joins of a topic on this node.
    pub(super) fn evict_here(self: &Arc<Self>, topic: &str, whom: &Whom) -> usize {
        let ended = self.hub.evict(
            topic,
            |join| whom.includes(&join.session),
            |topic| self.end_subscriptions(topic, whom),
        );
        self.work();
        ended
    }

    fn end_subscriptions(&self, topic: &LocalTopic, whom: &Whom) -> usize {
        let mut ended = 0;
        for form in Form::ALL {
            let Some(channel) = topic.existing(form) else {
                continue;
            };
            let mut meant = Vec::new();
            channel.look(0..usize::MAX, |session| {
                if whom.includes(session) {
                    meant.push(session.clone());
                }
            });
            for session in meant {
                let part = session.topics_part();
                let removed = part.and_then(|part| lock(&part.memberships).remove(topic.name()));
                let Some(membership) = removed else {
                    continue;
                };
                let is_meant = |member: &Session| *member == session;
                if channel.leave(membership.member, is_meant).is_some() {
                    ended += 1;
                    self.hub
                        .outlet()
                        .presence()
                        .leave(topic.name(), session.member_id());
                    form.tell_end(&session, topic.name(), Ending::Evicted);
                }
            }
        }
        ended
    }
}
