//! A break in the continuity of a subscription.

use sockeye_pubsub::TopicName;

/// A break in a subscription: messages of the topic may be missing before the next one. The subscription stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    topic: TopicName,
}

impl Gap {
    pub(super) fn new(topic: TopicName) -> Self {
        Self { topic }
    }

    /// Returns the topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }
}
