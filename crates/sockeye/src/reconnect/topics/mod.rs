//! A client of topics: named streams of messages. [`Reconnecting::topics`](super::Reconnecting::topics) makes one.
//!
//! ```text
//!   program ── subscribe, publish ──▶ ClientMachine ── frames ──▶ Reconnecting ──▶ connection
//!           ◀── TopicEvent ───────────              ◀─ messages ──
//! ```
//!
//! The rules of the subprotocol are those of `sockeye-pubsub`: positions, resumption, and which publishes are sent again.
//! [`Retry`](super::Retry) decides about further connections. A pause that the server asks for replaces that of `Retry`.
//!
//! With history, each message that the server keeps comes once and in order, or the client gets
//! [`TopicEvent::Lost`]. Without history, each message comes at most once.

mod alarm;
mod client;
mod event;
mod request;
#[cfg(test)]
mod tests;

#[doc(inline)]
pub use sockeye_pubsub::hub::Recovery;
#[doc(inline)]
pub use sockeye_pubsub::wire::{
    ErrorCode, NotAccepted, PublishFailure, RefusedRequest, RequestNumber, SUBPROTOCOLS,
};
#[doc(inline)]
pub use sockeye_pubsub::{InvalidTopicName, Position, TopicName};

pub use self::client::TopicClient;
pub use self::event::TopicEvent;
pub use self::request::{RequestError, SubscribeOptions};
