//! Topics: named streams of messages. Any code publishes to a topic, and sessions subscribe to it. A topic may keep its
//! newest messages, so that a client that comes back gets what it missed, or is told that something is missing.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use sockeye::topics::{History, Policy};
//! use sockeye::{HandlerResult, Server, Session, Topics, server_endpoint};
//!
//! #[derive(Default)]
//! struct Room {
//!     topic: String,
//! }
//!
//! #[server_endpoint("/chat/{room}")]
//! impl Room {
//!     #[on_open]
//!     async fn enter(&mut self, session: &Session, #[path] room: &str) -> HandlerResult {
//!         self.topic = format!("room/{room}");
//!         session.subscribe(&self.topic).recent(50).await?;
//!         Ok(())
//!     }
//!
//!     #[on_message]
//!     async fn say(&mut self, session: &Session, text: String) -> HandlerResult {
//!         session.topics().publish(&self.topic, text).await?;
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> sockeye::Result {
//!     let hour = Duration::from_secs(3600);
//!     let topics = Topics::builder()
//!         .pattern("room/{id}", Policy::new().history(History::window(100, hour)))
//!         .build()?;
//!     let server = Server::builder().topics(topics).default_endpoint::<Room>().bind("127.0.0.1:8080").await?;
//!     Ok(server.serve().await?)
//! }
//! ```
//!
//! The guide docs/topics.md has more examples, all limits, and tables for users of Socket.IO, Centrifugo and Phoenix.
//!
//! # Where to begin
//!
//! | task | begin with |
//! |---|---|
//! | say what holds for which topics | [`TopicsBuilder::pattern`] and [`Policy`]: [`History`], [`Presence`], [`Clients`] |
//! | subscribe a session | [`Session::subscribe`](crate::Session::subscribe) |
//! | publish from a handler, a request or a job | [`Topics::publish`], [`Topics::publish_object`], [`Publish::key`], [`Publish::queue`] |
//! | let clients subscribe and publish by themselves | the word `topics` in the attribute of the endpoint, or `EndpointConfig::topics`; feature `topics-wire` |
//! | decide what a client may do | [`Clients`], [`Policy::owner`], [`Authorize`], [`Topics::evict`] |
//! | list members | [`Topics::members`], [`Topics::count`] |
//! | read stored messages | [`Topics::history`] |
//! | write a client | `sockeye::reconnect::topics`; feature `topics-wire` |
//!
//! # Two kinds of clients
//!
//! - A *raw* client knows nothing of topics. The endpoint subscribes its session, and the client gets messages as they were
//!   published.
//! - A client of the *subprotocol* `sockeye.topics.v0` subscribes by itself, as far as the pattern and [`Authorize`] allow.
//!   It knows its positions, so it continues where it was. [`Session::speaks_topics`](crate::Session::speaks_topics)
//!   tells the two kinds apart. The endpoint need not subscribe that session: the client ignores messages of
//!   a topic until it has subscribed by itself.
//!
//! # What holds
//!
//! - **Order.** All subscribers of a topic see one order. Nothing is promised between two topics.
//! - **Without history** a message reaches each subscriber at most once.
//! - **With a window of history**, and a client of the subprotocol, each message that is kept reaches the client once and in
//!   order, or the client is told `lost`.
//! - **A raw client** gets the messages as they were published. Its endpoint learns of a break by
//!   [`on_gap`](crate::Endpoint::on_gap).
//! - **A publish** is done when the engine has ordered the message. [`PublishError::Engine`] says whether a message that
//!   failed may be published.
//! - **A slow subscriber** is closed with 1013 when its outbox is full, on a topic with a window. On a topic that keeps the
//!   [latest](History::latest) value it gets only the newest. Without history the
//!   [`SlowSubscriber`] of the policy decides.
//!
//! # Layers
//!
//! ```text
//!   Topics ── publish ──▶ engine ── delivered ──▶ hub ──▶ channels of the topic ──▶ mailboxes of sessions
//!   Session ── subscribe ─────────────────────────▲
//! ```
//!
//! The hub, the memory engine and the grammar of the subprotocol are `sockeye-pubsub`, which has no task and no clock. This
//! module has the tasks, the sessions and the application's code.

mod asking;
mod attach;
mod authorize;
mod backend;
mod builder;
mod changes;
#[cfg(feature = "topics-wire")]
mod client;
mod endings;
mod evict;
mod evictable;
mod form;
mod handle;
mod join;
mod joining;
mod local_topic;
#[cfg(feature = "topics-wire")]
mod machine;
mod members;
mod memberships;
mod node;
mod nodes;
mod outlet;
mod permission;
mod presence;
mod publish;
mod published;
mod queue;
mod recheck;
mod rechecks;
mod replay;
mod replay_room;
mod rules;
mod session;
mod signals;
mod subscribe;
mod subscribers;
mod surroundings;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
mod timer;
mod work;

#[doc(inline)]
pub use sockeye_pubsub::engine::{
    Catchup, EngineError, EngineErrorKind, EngineState, InvalidMemberId, Member, MemberId, Since,
    WasPublished,
};
#[doc(inline)]
pub use sockeye_pubsub::hub::Recovery;
#[doc(inline)]
pub use sockeye_pubsub::{
    Body, Clients, Entry, Epoch, History, InvalidPosition, InvalidTopicName, Kept, Known,
    MessageId, Policy, Position, Presence, PublishError, SlowSubscriber, SubscribeError, TopicName,
};

pub use self::authorize::{Authorize, Denied, Grant, Topic};
pub use self::builder::{TopicsBuilder, TopicsError};
pub use self::handle::Topics;
pub use self::join::Subscribed;
pub use self::members::Members;
pub use self::publish::{Publish, PublishHandle, Publishing};
pub use self::published::Published;
pub use self::subscribe::Subscribe;
pub use self::subscribers::{Evicted, Subscribers};
pub use crate::endpoint::Gap;
