//! The part of a session that belongs to topics. A session gets it with its first use.

use std::any::Any;
use std::collections::HashSet;
use std::sync::OnceLock;

#[cfg(feature = "topics-wire")]
use sockeye_proto::MessageBuffer;
use sockeye_pubsub::engine::MemberId;
use tokio::sync::Notify;

#[cfg(feature = "topics-wire")]
use super::client;
use super::handle::Topics;
#[cfg(feature = "topics-wire")]
use super::machine::Machine;
use super::memberships::Memberships;
use super::surroundings::random;
#[cfg(feature = "topics-wire")]
use crate::endpoint::seam::Handling;
use crate::endpoint::seam::{SessionPart, SharedTopics};
use crate::endpoint::{Gap, Session};
use crate::sync::{Arc, Mutex, lock};

/// The part of a session that belongs to topics.
// Lock order: a shard of the hub, then this, then the mailbox.
#[derive(Default)]
pub(crate) struct SessionTopics {
    pub(super) memberships: Mutex<Memberships>,
    /// Notified when a join has its answer.
    pub(super) answered: Notify,
    // The public name in topics with presence.
    member: OnceLock<MemberId>,
    gaps: Mutex<Gaps>,
    #[cfg(feature = "topics-wire")]
    pub(super) machine: Machine,
}

/// The gaps that the endpoint has not been told of.
#[derive(Debug, Default)]
enum Gaps {
    #[default]
    None,
    Waiting(Box<WaitingGaps>),
    /// The session has ended, so it keeps no gap any more.
    Retired,
}

/// Gaps in the order in which they came, at most one for each topic.
#[derive(Debug, Default)]
struct WaitingGaps {
    list: Vec<Gap>,
    // All topics of a session may have a gap at once.
    known: HashSet<Gap>,
}

impl SessionTopics {
    /// Keeps a gap for the endpoint, unless there is one for the same topic.
    fn add_gap(&self, gap: Gap) {
        let mut gaps = lock(&self.gaps);
        if matches!(*gaps, Gaps::None) {
            *gaps = Gaps::Waiting(Box::default());
        }
        if let Gaps::Waiting(waiting) = &mut *gaps
            && waiting.known.insert(gap.clone())
        {
            waiting.list.push(gap);
        }
    }
}

impl SessionTopics {
    /// Keeps no gap any more.
    fn end_gaps(&self) {
        *lock(&self.gaps) = Gaps::Retired;
    }
}

impl SessionPart<Session> for SessionTopics {
    fn take_gaps(&self) -> Vec<Gap> {
        let mut gaps = lock(&self.gaps);
        match std::mem::take(&mut *gaps) {
            Gaps::None => Vec::new(),
            Gaps::Waiting(waiting) => waiting.list,
            Gaps::Retired => {
                *gaps = Gaps::Retired;
                Vec::new()
            }
        }
    }

    fn retire(&self, session: &Session) {
        let left = lock(&self.memberships).retire();
        for membership in left {
            session.topics().leave(session, &membership);
        }
        self.end_gaps();
    }
}

impl SharedTopics<Session> for Topics {
    #[cfg(feature = "topics-wire")]
    fn greet(&self, session: &Session) {
        client::greet(session);
    }

    #[cfg(feature = "topics-wire")]
    fn handle<'a>(&'a self, session: &'a Session, frame: &'a mut MessageBuffer) -> Handling<'a> {
        Box::pin(client::handle(session, frame))
    }
}

impl Session {
    /// Returns the topics of the server. A session of a client has topics of its own, in memory.
    pub fn topics(&self) -> &Topics {
        let make = || -> Arc<dyn SharedTopics<Self>> { Arc::new(Topics::default()) };
        let shared: &dyn Any = self.open_sessions().topics(make);
        shared
            .downcast_ref()
            .expect("sessions have no other topics")
    }

    /// Returns what topics keep of the session. `None` if the session has ended without it.
    pub(crate) fn topics_part(&self) -> Option<&SessionTopics> {
        let part: &dyn Any = self.part(|| Box::<SessionTopics>::default())?;
        part.downcast_ref()
    }

    /// Lets the endpoint know of a gap. The session's task calls [`Endpoint::on_gap`](crate::Endpoint::on_gap) when no other
    /// callback runs, unless the session ends before. Of each topic one gap waits at most.
    pub(crate) fn notify_gap(&self, gap: Gap) {
        if let Some(part) = self.topics_part() {
            part.add_gap(gap);
            self.mailbox().notify();
        }
    }

    /// Returns whether the client agreed on the subprotocol of topics. Such a client subscribes by itself. A client that
    /// does not speak it is raw: its endpoint subscribes the session. Always false without the feature `topics-wire`.
    pub fn speaks_topics(&self) -> bool {
        self.is_enveloped()
    }

    /// Returns the public name of the session among the members of topics with [presence](super::Presence). It is random,
    /// one for all topics of the session, and lasts as long as the session. It is not the session's
    /// [id](Self::id), which may be a secret.
    ///
    /// The name is drawn at the first use. A session that ended before gets another name with each call, because it is a
    /// member of nothing.
    pub fn member_id(&self) -> MemberId {
        let random = || MemberId(random());
        self.topics_part()
            .map_or_else(random, |part| *part.member.get_or_init(random))
    }
}

#[cfg(test)]
mod tests {
    use sockeye_pubsub::TopicName;

    use super::*;

    fn gap(topic: &str) -> Gap {
        Gap::new(TopicName::new(topic).unwrap())
    }

    #[test]
    fn all_topics_of_a_session_may_have_a_gap_at_once() {
        let topics = SessionTopics::default();
        let all: Vec<_> = (0..10_000).map(|n| gap(&format!("a/{n}"))).collect();
        for gap in all.iter().chain(&all) {
            topics.add_gap(gap.clone());
        }
        assert_eq!(topics.take_gaps(), all);
    }

    #[test]
    fn of_each_topic_one_gap_is_kept_until_it_is_taken() {
        let topics = SessionTopics::default();
        for topic in ["b", "a", "b"] {
            topics.add_gap(gap(topic));
        }
        assert_eq!(topics.take_gaps(), [gap("b"), gap("a")]);
        assert_eq!(topics.take_gaps(), []);
        topics.add_gap(gap("b"));
        topics.end_gaps();
        assert_eq!(topics.take_gaps(), []);
        topics.add_gap(gap("c"));
        assert_eq!(topics.take_gaps(), []);
    }
}
