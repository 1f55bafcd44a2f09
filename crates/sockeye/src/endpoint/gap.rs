//! The notice that messages of a topic may be missing.

use sockeye_pubsub::TopicName;

/// A notice that the continuity of a subscription broke: messages of its topic may be missing.
///
/// [`Endpoint::on_gap`](crate::Endpoint::on_gap) gets it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gap {
    topic: TopicName,
}

impl Gap {
    pub(crate) fn new(topic: TopicName) -> Self {
        Self { topic }
    }

    /// Returns the name of the topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }
}
