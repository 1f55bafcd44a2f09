//! What a program may ask of a client of topics.

use sockeye_pubsub::hub::Wants;
use sockeye_pubsub::wire::NotAccepted;
use sockeye_pubsub::{InvalidTopicName, Position};
use thiserror::Error;

/// The options of a subscription, for [`TopicClient::subscribe_with`](super::TopicClient::subscribe_with).
///
/// ```
/// use sockeye::reconnect::topics::SubscribeOptions;
///
/// let options = SubscribeOptions::new().recent(50).member(r#"{"name":"Ann"}"#);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SubscribeOptions {
    pub(super) wants: Wants,
    pub(super) member: Option<Box<str>>,
}

impl SubscribeOptions {
    /// Makes the options of a subscription to the messages from now on.
    pub fn new() -> Self {
        Self {
            wants: Wants::Live,
            member: None,
        }
    }

    /// Asks for the newest stored messages first, at most this many.
    pub fn recent(mut self, number: u32) -> Self {
        self.wants = Wants::Recent(number);
        self
    }

    /// Asks for the messages behind this position first, if all of them are kept.
    pub fn after(mut self, position: Position) -> Self {
        self.wants = Wants::After(position);
        self
    }

    /// Makes the client a member of the topic, which says this of itself: JSON in one line, at most 1,024 bytes.
    pub fn member(mut self, json: impl Into<Box<str>>) -> Self {
        self.member = Some(json.into());
        self
    }
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The error for a request that a [`TopicClient`](super::TopicClient) does not take.
#[derive(Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The text is not the name of a topic.
    #[error(transparent)]
    Topic(#[from] InvalidTopicName),
    /// The client does not take the request.
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
}
