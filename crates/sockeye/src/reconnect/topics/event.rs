//! The events of a client of topics.

use std::time::Duration;

use sockeye_proto::{Message, Outgoing};
use sockeye_pubsub::hub::Recovery;
use sockeye_pubsub::wire::{ClientEvent, PublishFailure, RefusedRequest, RequestNumber};
use sockeye_pubsub::{Position, TopicName};

use crate::reconnect::client::ReconnectEvent;

/// An event of a [`TopicClient`](super::TopicClient).
#[derive(Debug)]
#[non_exhaustive]
pub enum TopicEvent {
    /// A subscription is live: after the first answer of the server, and after each reconnect.
    Subscribed {
        /// The topic.
        topic: TopicName,
        /// Whether the subscription continues where it was. [`Recovery::Lost`] is followed by [`Lost`](Self::Lost).
        recovery: Recovery,
        /// The number of stored messages that follow, before the live ones.
        replay: u32,
        /// The position before the first of them; `None` without history.
        position: Option<Position>,
    },
    /// The server cannot serve a subscription now. The client asks again after this time.
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
        /// The position of the message; `None` without history.
        position: Option<Position>,
        /// Whether the message was stored before the subscription was live.
        is_replay: bool,
    },
    /// Messages may be missing: load the state of the topic anew. The subscription goes on.
    Lost {
        /// The topic.
        topic: TopicName,
        /// The position from which on the subscription is live; `None` without history.
        position: Option<Position>,
    },
    /// The members of a topic have changed: see [`TopicClient::members`](super::TopicClient::members).
    Stir {
        /// The topic.
        topic: TopicName,
    },
    /// A subscription has ended. The client does not ask again.
    Ended {
        /// The topic.
        topic: TopicName,
        /// The reason.
        failure: RefusedRequest,
    },
    /// The server has published a message.
    Published {
        /// The number of the publish.
        number: RequestNumber,
        /// The topic.
        topic: TopicName,
        /// The position of the message; `None` without history.
        position: Option<Position>,
    },
    /// A message was not published, or the client does not know whether it was.
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
    /// The answer to [`TopicClient::members`](super::TopicClient::members).
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
    /// The answer to [`TopicClient::count`](super::TopicClient::count).
    Count {
        /// The number of the query.
        number: RequestNumber,
        /// The topic.
        topic: TopicName,
        /// The number of members.
        count: u64,
    },
    /// A query has no answer.
    QueryFailed {
        /// The number of the query.
        number: RequestNumber,
        /// The topic.
        topic: TopicName,
        /// The server's reason; `None` if the subscription or the client has ended.
        failure: Option<RefusedRequest>,
    },
    /// The server's application sent a message that belongs to no topic.
    App(Message),
    /// The state of the connection has changed. [`ReconnectEvent::Ended`] is the last event of the client. There is
    /// never a [`ReconnectEvent::Message`].
    Connection(ReconnectEvent),
}

impl TopicEvent {
    /// Makes the event of one that the machine reports. `None` for an event that this version does not know.
    pub(super) fn of(event: ClientEvent) -> Option<Self> {
        Some(match event {
            ClientEvent::Subscribed {
                topic,
                recovery,
                replay,
                position,
            } => Self::Subscribed {
                topic,
                recovery,
                replay,
                position,
            },
            ClientEvent::Delayed {
                topic,
                failure,
                retry,
            } => Self::Delayed {
                topic,
                failure,
                retry,
            },
            ClientEvent::Message {
                topic,
                message,
                position,
                is_replay,
            } => Self::Message {
                topic,
                message,
                position,
                is_replay,
            },
            ClientEvent::Lost { topic, position } => Self::Lost { topic, position },
            ClientEvent::Stir { topic } => Self::Stir { topic },
            ClientEvent::Ended { topic, failure } => Self::Ended { topic, failure },
            ClientEvent::Published {
                number,
                topic,
                stored,
            } => Self::Published {
                number,
                topic,
                position: stored,
            },
            ClientEvent::PublishFailed {
                number,
                topic,
                message,
                failure,
            } => Self::PublishFailed {
                number,
                topic,
                message,
                failure,
            },
            ClientEvent::Members {
                number,
                topic,
                members,
                all,
            } => Self::Members {
                number,
                topic,
                members,
                all,
            },
            ClientEvent::Count {
                number,
                topic,
                count,
            } => Self::Count {
                number,
                topic,
                count,
            },
            ClientEvent::QueryFailed {
                number,
                topic,
                failure,
            } => Self::QueryFailed {
                number,
                topic,
                failure,
            },
            ClientEvent::App(message) => Self::App(message),
            _ => return None,
        })
    }
}
