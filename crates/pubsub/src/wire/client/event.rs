//! What a client machine tells its owner.

use std::time::Duration;

use sockeye_proto::{CloseCode, CloseReason, Message, Outgoing};
use thiserror::Error;

use crate::hub::Recovery;
use crate::name::TopicName;
use crate::position::Position;
use crate::wire::grammar::{ErrorCode, MAX_HEADER, MAX_MEMBER, close_reason};

/// The number of a publish or a query of a [`ClientMachine`](super::ClientMachine). Its outcome repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestNumber(pub u64);

/// An event of a [`ClientMachine`](super::ClientMachine).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The subscription is live: after the first answer, and after each reconnect.
    Subscribed {
        /// The topic.
        topic: TopicName,
        /// Whether the client continues where it was. [`Recovery::Lost`] is followed by [`Lost`](Self::Lost).
        recovery: Recovery,
        /// The number of stored messages that follow, before the live ones.
        replay: u32,
        /// The position before the first of them; `None` without history.
        position: Option<Position>,
    },
    /// The server cannot serve the subscription now. The client asks again after this time.
    Delayed {
        /// The topic.
        topic: TopicName,
        /// The reason.
        failure: RefusedRequest,
        /// The time until the client asks again.
        retry: Duration,
    },
    /// A message came.
    Message {
        /// The topic.
        topic: TopicName,
        /// The message.
        message: Message,
        /// Where it stands; `None` without history.
        position: Option<Position>,
        /// Whether the message was stored before the client was live.
        is_replay: bool,
    },
    /// Messages may be missing. The subscription goes on.
    Lost {
        /// The topic.
        topic: TopicName,
        /// The position from which on the subscription is live; `None` without history.
        position: Option<Position>,
    },
    /// The members of the topic have changed.
    Stir {
        /// The topic.
        topic: TopicName,
    },
    /// The subscription has ended, and the client does not ask again.
    Ended {
        /// The topic.
        topic: TopicName,
        /// The reason.
        failure: RefusedRequest,
    },
    /// The engine has ordered a message.
    Published {
        /// The number of the publish.
        number: RequestNumber,
        /// The topic.
        topic: TopicName,
        /// Where the message is stored; `None` without history. It is not the client's position.
        stored: Option<Position>,
    },
    /// A message was not published, or that is not known.
    PublishFailed {
        /// The number of the publish.
        number: RequestNumber,
        /// The topic.
        topic: TopicName,
        /// The message.
        message: Outgoing,
        /// The reason.
        failure: PublishFailure,
    },
    /// The members of a topic, as a query asked.
    Members {
        /// The number of the query.
        number: RequestNumber,
        /// The topic.
        topic: TopicName,
        /// A JSON array of members.
        members: String,
        /// Whether all members are in it.
        all: bool,
    },
    /// The number of members of a topic, as a query asked.
    Count {
        /// The number of the query.
        number: RequestNumber,
        /// The topic.
        topic: TopicName,
        /// The number of members.
        count: u64,
    },
    /// A query failed.
    QueryFailed {
        /// The number of the query.
        number: RequestNumber,
        /// The topic.
        topic: TopicName,
        /// The server's reason; `None` if the subscription or the client has ended.
        failure: Option<RefusedRequest>,
    },
    /// A message of the server's application.
    App(Message),
}

/// A server's reason for refusing a request or ending a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct RefusedRequest {
    /// The code.
    pub code: ErrorCode,
    /// The message, for people. It may be empty.
    pub message: Box<str>,
    /// The time after which the same request may succeed.
    pub retry: Option<Duration>,
}

/// Why a message was not published, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublishFailure {
    /// The server refused the message. It was not published.
    #[error("the server refused the message")]
    Refused(#[source] RefusedRequest),
    /// No confirmation came. The message may have been published.
    #[error("the message may have been published, no confirmation came")]
    Unconfirmed,
    /// The client ended before it could send the message. It was not published.
    #[error("the client ended before it could send the message")]
    Unsent,
}

/// The error for a request that a client machine does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotAccepted {
    /// The client subscribes to the topic already.
    #[error("the client subscribes to the topic already")]
    Subscribed,
    /// The client does not subscribe to the topic.
    #[error("the client does not subscribe to the topic")]
    NotSubscribed,
    /// What the member says of itself is longer than 1,024 bytes, or has a line feed.
    #[error("the member is longer than {MAX_MEMBER} bytes of JSON, or has a line feed")]
    Member,
    /// As many requests wait for their answer as a client may have.
    #[error("too many requests wait for their answer")]
    Full,
    /// There is no connection, and this request does not wait for one.
    #[error("there is no connection")]
    Offline,
    /// The client has ended.
    #[error("the client has ended")]
    Over,
}

/// The error for a server that does not speak the subprotocol.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the server did not agree to the subprotocol of topics")]
pub struct UnsupportedProtocol;

impl UnsupportedProtocol {
    /// Returns the reason with which the owner closes the connection: 1002.
    pub fn close_reason(&self) -> CloseReason {
        close_reason(CloseCode::PROTOCOL_ERROR, &self.to_string())
    }
}

// The longest request of this version fits into a header: a name with an escape for each byte, a position, a member.
const _: () = assert!(2 * 255 + 64 + MAX_MEMBER + 256 < MAX_HEADER);
