//! A session that wants to become a subscriber, and waits for the hub's answer.

use std::fmt;

use sockeye_pubsub::engine::Member;
use sockeye_pubsub::hub::{Recovery, Welcome};
#[cfg(feature = "topics-wire")]
use sockeye_pubsub::wire::Reference;
use sockeye_pubsub::{Position, SubscribeError, TopicName};
use tokio::sync::oneshot;

use super::joining::Joining;
use super::permission::Permission;
use crate::endpoint::Session;
#[cfg(feature = "topics-wire")]
use crate::proto::Message;
use crate::proto::Outgoing;

/// A session that waits for its subscription.
pub(crate) struct Join {
    /// Tells the joins of one session apart.
    pub(super) number: u32,
    pub(super) session: Joining,
    pub(super) answer: Answer,
    /// What the subscriber says of itself, for topics with presence.
    pub(super) member: Option<Member>,
    /// The limit of the session's subscriptions.
    pub(super) limit: usize,
    /// The client's permission. `None` for server code, which is trusted.
    pub(super) permission: Option<Permission>,
}

/// The party that gets the answer.
pub(super) enum Answer {
    /// Server code, which awaits a [`Subscribe`](super::Subscribe).
    Server(oneshot::Sender<Result<Subscribed, SubscribeError>>),
    /// The client, which has numbered its request.
    #[cfg(feature = "topics-wire")]
    Client { reference: Reference },
}

/// A subscription that has come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribed {
    pub(super) topic: TopicName,
    pub(super) position: Option<Position>,
    pub(super) recovery: Recovery,
}

impl Subscribed {
    pub(super) fn new(topic: &TopicName, welcome: &Welcome<'_>) -> Self {
        Self {
            topic: topic.clone(),
            position: welcome.at,
            recovery: welcome.recovery,
        }
    }

    /// Returns the topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Returns the position before the first message of the replay. Without a replay it is the newest position. `None` for
    /// a topic without history.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Returns whether the session continues where it was.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }
}

impl Answer {
    /// Returns whether server code gets the answer.
    pub(super) fn is_of_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    /// Returns whether the subscriber does not want the subscription any more.
    pub(super) fn is_unwanted(&self) -> bool {
        match self {
            Self::Server(answer) => answer.is_closed(),
            #[cfg(feature = "topics-wire")]
            Self::Client { .. } => false,
        }
    }

    /// Returns the frame that answers the client's request. `None` for server code, and if the request was answered before.
    pub(super) fn frame(
        &self,
        session: &Session,
        topic: &TopicName,
        welcome: &Welcome<'_>,
    ) -> Option<Outgoing> {
        let _ = (session, topic, welcome);
        match self {
            Self::Server(_) => None,
            #[cfg(feature = "topics-wire")]
            Self::Client { reference } => {
                let answered =
                    session.with_machine(|machine| machine.subscribed(*reference, topic, welcome));
                answered.flatten().map(|frame| Message::Text(frame).into())
            }
        }
    }

    /// Answers server code whose session is a subscriber already: the session gets nothing twice.
    pub(super) fn accept_again(self, topic: &TopicName, welcome: &Welcome<'_>) {
        let last = welcome.replay.last().map(|entry| entry.position);
        let again = Welcome {
            at: last.or(welcome.at),
            recovery: Recovery::Fresh,
            replay: &[],
        };
        self.accept(topic, &again);
    }

    /// Tells server code that the subscription has come about.
    pub(super) fn accept(self, topic: &TopicName, welcome: &Welcome<'_>) {
        match self {
            Self::Server(answer) => {
                // A receiver that was dropped takes the subscription back.
                let _ = answer.send(Ok(Subscribed::new(topic, welcome)));
            }
            #[cfg(feature = "topics-wire")]
            Self::Client { .. } => {}
        }
    }

    /// Answers a join that failed.
    pub(super) fn refuse(self, session: &Session, error: SubscribeError) {
        match self {
            Self::Server(answer) => {
                // Without a receiver nothing wants the answer.
                let _ = answer.send(Err(error));
            }
            #[cfg(feature = "topics-wire")]
            Self::Client { reference } => session.push_failure(reference, error),
        }
        let _ = session;
    }
}

impl fmt::Debug for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join")
            .field("session", &*self.session)
            .finish_non_exhaustive()
    }
}
