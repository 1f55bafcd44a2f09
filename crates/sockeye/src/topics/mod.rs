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
//! # What holds
//!
//! - **Order.** All subscribers of a topic see one order. Nothing is promised between two topics.
//! - **Without history** a message reaches each subscriber at most once.
//! - **With a window of history**, and a client of the subprotocol, each message that is kept reaches the client once and in
//!   order, or the client is told `lost`.
//! - **A raw client** gets the messages as they were published. Its endpoint learns of a break by
//!   [`on_gap`](crate::Endpoint::on_gap).
//! - **A slow subscriber** is closed with 1013 when its outbox is full, on a topic with a window. On a topic that keeps the
//!   [latest](History::latest) value it gets only the newest. Without history the [`Overflow`] of the policy decides.
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
mod presence;
mod publish;
mod published;
mod queue;
mod replay;
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
pub use sockeye_pubsub::engine::{Catchup, EngineError, EngineState, Member, Since, WasPublished};
#[doc(inline)]
pub use sockeye_pubsub::hub::Recovery;
#[doc(inline)]
pub use sockeye_pubsub::{
    Body, Clients, Entry, History, InvalidTopicName, Overflow, Policy, Position, Presence,
    PublishError, SubscribeError, TopicName,
};

pub use self::authorize::{Authorize, Denied, Grant, Topic};
pub use self::builder::{TopicsBuilder, TopicsError};
pub use self::handle::Topics;
pub use self::join::Subscribed;
pub use self::publish::{Publish, PublishHandle, Publishing};
pub use self::published::Published;
pub use self::subscribe::Subscribe;
pub use self::subscribers::{Evicted, Subscribers};
pub use crate::endpoint::Gap;
