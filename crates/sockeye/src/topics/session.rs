//! The part of a session that belongs to topics. A session gets it with its first use.

use super::gap::Gap;
use crate::sync::{Mutex, lock};

/// The part of a session that belongs to topics.
// Lock order: a shard of the hub, then this, then the mailbox.
#[derive(Debug, Default)]
pub(crate) struct SessionTopics {
    // The gaps that the endpoint has not been told of. At most one for each topic.
    gaps: Mutex<Vec<Gap>>,
}

impl SessionTopics {
    /// Keeps a gap for the endpoint, unless there is one for the same topic.
    pub(crate) fn add_gap(&self, gap: Gap) {
        let mut gaps = lock(&self.gaps);
        if gaps.iter().all(|kept| kept.topic() != gap.topic()) {
            gaps.push(gap);
        }
    }

    /// Takes the gaps for the endpoint, in the order in which they came.
    pub(crate) fn take_gaps(&self) -> Vec<Gap> {
        std::mem::take(&mut *lock(&self.gaps))
    }

    /// Leaves all topics. The session calls it once or twice, when it ends.
    pub(crate) fn retire(&self) {
        *lock(&self.gaps) = Vec::new();
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
        assert_eq!(topics.take_gaps(), []);
    }
}
