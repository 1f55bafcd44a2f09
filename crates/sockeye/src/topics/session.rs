//! The part of a session that belongs to topics. A session gets it with its first use.

use std::sync::OnceLock;

use sockeye_pubsub::engine::MemberId;
use tokio::sync::Notify;

use super::gap::Gap;
#[cfg(feature = "topics-wire")]
use super::machine::Machine;
use super::memberships::Memberships;
use super::surroundings::random;
use crate::endpoint::Session;
use crate::sync::{Mutex, lock};

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
struct Gaps {
    // At most one for each topic.
    waiting: Vec<Gap>,
    has_retired: bool,
}

impl SessionTopics {
    /// Keeps a gap for the endpoint, unless there is one for the same topic.
    pub(crate) fn add_gap(&self, gap: Gap) {
        let mut gaps = lock(&self.gaps);
        let is_known = gaps.waiting.iter().any(|kept| kept.topic() == gap.topic());
        if !is_known && !gaps.has_retired {
            gaps.waiting.push(gap);
        }
    }

    /// Takes the gaps for the endpoint, in the order in which they came.
    pub(crate) fn take_gaps(&self) -> Vec<Gap> {
        std::mem::take(&mut lock(&self.gaps).waiting)
    }

    /// Leaves all topics. The session calls it once or twice, when it ends.
    pub(crate) fn retire(&self, session: &Session) {
        let left = lock(&self.memberships).retire();
        for membership in left {
            session.topics().leave(session, &membership);
        }
        *lock(&self.gaps) = Gaps {
            waiting: Vec::new(),
            has_retired: true,
        };
    }
}

impl Session {
    /// Returns the public name of the session in topics with presence. It is not the session's id, which may be a secret.
    pub(super) fn member_id(&self) -> MemberId {
        let random = || MemberId(random());
        // A session that has ended is a member of nothing: any name will do.
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
    fn of_each_topic_one_gap_is_kept_until_it_is_taken() {
        let topics = SessionTopics::default();
        for topic in ["b", "a", "b"] {
            topics.add_gap(gap(topic));
        }
        assert_eq!(topics.take_gaps(), [gap("b"), gap("a")]);
        assert_eq!(topics.take_gaps(), []);
        topics.add_gap(gap("b"));
        topics.retire();
        topics.add_gap(gap("c"));
        assert_eq!(topics.take_gaps(), []);
    }
}
