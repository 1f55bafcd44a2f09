//! The errors of subscribers and publishers.

use std::time::Duration;

use thiserror::Error;

use crate::engine::EngineError;
use crate::name::InvalidTopicName;

/// The error for a subscription that did not come about, or that ended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The text is not the name of a topic.
    #[error("cannot subscribe")]
    Invalid(#[source] InvalidTopicName),
    /// The pattern or the application refuses the subscription.
    #[error("the subscription is denied: {0}")]
    Denied(String),
    /// What a member says of itself is too long.
    #[error("a member of {len} bytes of JSON is longer than the limit of {limit}")]
    MemberTooLarge {
        /// The length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// What a member says of itself is not JSON.
    #[error("what the member says of itself is not JSON")]
    MemberNotJson,
    /// The session or the node has as many subscriptions or topics as its limit allows.
    #[error("too many subscriptions or topics")]
    TooMany,
    /// The application has ended the subscription.
    #[error("the subscription was ended by the server")]
    Evicted,
    /// The session has ended.
    #[error("the session has ended")]
    Closed,
    /// The engine does not answer, or the replays of other sessions take all the room. Another attempt may help after this time.
    #[error("the topic is unavailable now: try again in {retry:?}")]
    Unavailable {
        /// The time to wait.
        retry: Duration,
    },
}

/// The error for a message that was not published, or of which that is not known.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The text is not the name of a topic.
    #[error("cannot publish")]
    Invalid(#[source] InvalidTopicName),
    /// The object cannot be encoded as a message.
    #[error("{0}")]
    Encode(String),
    /// The message is longer than the pattern allows.
    #[error("a message of {len} bytes is longer than the topic's limit of {limit}")]
    TooLarge {
        /// The length of the message in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The pattern or the application refuses the message.
    #[error("the publish is denied: {0}")]
    Denied(String),
    /// A key is used for a topic without history, or is empty or longer than 255 bytes.
    #[error("the key cannot be used: {0}")]
    Key(&'static str),
    /// As many publishes wait as the queue holds.
    #[error("the queue of publishes is full")]
    Full,
    /// The engine did not publish the message, or gave no answer.
    #[error("the engine did not confirm the message")]
    Engine(#[from] EngineError),
}
