//! WebSocket for Rust: servers, clients, and connections on any transport.
//!
//! A server calls the methods of an endpoint for the events of a connection. Each connection has an endpoint object
//! and a [`Session`]:
//!
//! ```no_run
//! use sockeye::{HandlerResult, Server, Session, server_endpoint};
//!
//! #[derive(Default)]
//! struct Chat;
//!
//! #[server_endpoint("/chat/{room}")]
//! impl Chat {
//!     #[on_open]
//!     async fn joined(&mut self, session: &Session, #[path] room: &str) -> HandlerResult {
//!         session.basic_remote().send_text(format!("this is {room}")).await?;
//!         Ok(())
//!     }
//!
//!     #[on_message]
//!     fn said(&mut self, session: &Session, text: &str) {
//!         session.open_sessions().broadcast(text);
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> sockeye::Result {
//!     let server = Server::builder().default_endpoint::<Chat>().bind("127.0.0.1:8080").await?;
//!     Ok(server.serve().await?)
//! }
//! ```
//!
//! A client sends and receives messages:
//!
//! ```no_run
//! #[tokio::main]
//! async fn main() -> sockeye::Result {
//!     let mut ws = sockeye::connect("ws://127.0.0.1:8080/chat/lobby").await?;
//!     ws.send("hello").await?;
//!     while let Some(message) = ws.recv().await? {
//!         println!("{message}");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Where to begin
//!
//! | task | begin with |
//! |---|---|
//! | serve endpoints | [`Server`], the attribute [`server_endpoint`], or the trait [`Endpoint`] |
//! | send to one session, or to all | [`Session`], [`OpenSessions`](endpoint::OpenSessions) |
//! | publish to rooms, feeds and users, with history and recovery | [`Topics`], [`topics`] |
//! | decide about opening handshakes: log in, check the origin | [`Configurator`](endpoint::Configurator) |
//! | reach the sessions from another task | [`ServerHandle`](server::ServerHandle), [`Container`](server::Container) |
//! | serve endpoints inside axum, or another server on hyper | [`Container`](server::Container) |
//! | take a WebSocket in a handler of axum | the feature `axum`, and `axum::WebSocketUpgrade` |
//! | accept a connection on a stream, or inside a server on hyper | [`accept`], [`upgrade`](upgrade()), [`Acceptor`](server::Acceptor) |
//! | open a connection | [`connect`], or [`Client`] for header fields, subprotocols, proxies and limits |
//! | open a connection over a stream of one's own | [`Client::connect_over`] |
//! | send and receive in different tasks | [`Connection::split`] |
//! | join two connections, as a proxy does | [`bridge`](connection::bridge) |
//! | see the peer's Pings and Pongs | [`Connection::recv_event`], [`Ping`](endpoint::Ping) |
//! | send and receive JSON | [`Connection`] and [`endpoint`](mod@endpoint), with the feature `json` |
//! | serve a client's connection with an endpoint | [`client_endpoint`], [`Client::connect_endpoint`] |
//! | connect again when the connection is lost | [`reconnect`] |
//! | subscribe to topics as a client | [`Reconnecting::topics`](reconnect::Reconnecting#method.topics) |
//! | use the browser's objects | [`browser`] |
//! | connect without a runtime | [`blocking`] |
//! | set limits and deadlines, compress messages | [`Config`](proto::Config), [`DeflateConfig`](proto::DeflateConfig) |
//! | use certificates of your own | [`tls`] |
//! | test an endpoint, or client code | [`endpoint`](mod@endpoint#testing-an-endpoint), and the module `test` of the feature `test-util` |
//! | use another transport than TCP | [`transport`] |
//! | handle errors | [`Error`] and [`error`] |
//!
//! The root holds the names that most programs use. Each other name is in one module. [`proto`] is the protocol itself,
//! without I/O: messages, close codes, limits, and the rules of the handshake.
//!
//! # Features
//!
//! - `macros` (default): [`server_endpoint`] and [`client_endpoint`].
//! - `tls` (default): `wss:` and `https:`, by rustls.
//! - `topics` (default): [`topics`], named streams of messages.
//! - `topics-wire`: the subprotocol by which clients use topics, and `reconnect::topics`, a client of it.
//! - `json`: messages that are JSON, by `Json`, `send_json`, `recv_json` and `Message::parse_json`.
//! - `axum`: `sockeye::axum`, an extractor for the handlers of axum 0.8.
//! - `test-util`: the module `test`, for the tests of a program.

// What `#[server_endpoint]` writes names this crate as its users do: so do tests in here.
#[cfg(test)]
extern crate self as sockeye;

#[cfg(feature = "axum")]
pub mod axum;
pub mod blocking;
pub mod browser;
pub mod client;
pub mod connection;
mod deadline;
pub mod endpoint;
pub mod error;
mod handshake;
mod log_limit;
mod memory_limit;
mod observer;
mod peer_text;
pub mod reconnect;
mod router;
mod runtime;
mod secret;
pub mod server;
mod stats;
#[cfg(feature = "test-util")]
pub mod test;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "topics")]
pub mod topics;
pub mod transport;

use sockeye_mailbox::sync;

#[doc(hidden)]
pub use self::endpoint::generated as __private;
#[doc(inline)]
pub use self::error::{Error, HandlerResult, Result};
#[cfg(feature = "topics")]
#[doc(inline)]
pub use self::topics::Topics;
#[doc(inline)]
pub use self::{
    client::{Client, connect},
    connection::Connection,
    endpoint::{Endpoint, Session, endpoint},
    server::{Server, accept, upgrade},
};
#[doc(inline)]
pub use sockeye_proto::{CloseCode, CloseReason, Message};

/// The protocol without I/O: messages, close codes, limits, and the rules of the opening handshake.
///
/// This is the whole crate `sockeye-proto`. Where its examples write `sockeye_proto`, a program that depends on
/// `sockeye` writes `sockeye::proto`:
///
/// ```
/// use sockeye::proto::{Config, MessageKind, Role};
/// use sockeye::{Message, Server};
///
/// assert_eq!(Message::from("hello").kind(), MessageKind::Text);
/// let server = Server::builder().config(Config::new(Role::Server).max_message(64 * 1024));
/// ```
// Not `pub use sockeye_proto as proto`: the compiler would write `sockeye::sockeye_proto` in its errors.
pub mod proto {
    #[doc(inline)]
    pub use sockeye_proto::*;
}

#[cfg(feature = "macros")]
#[doc(inline)]
pub use self::endpoint::{client_endpoint, server_endpoint};

/// The examples of the README, which are tested like these.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The examples of the guide.
#[cfg(all(doctest, feature = "axum", feature = "macros", feature = "test-util"))]
#[doc = include_str!("../../../docs/endpoints.md")]
struct Guide;

/// The examples of the guide of topics.
#[cfg(all(doctest, feature = "json", feature = "macros", feature = "topics-wire"))]
#[doc = include_str!("../../../docs/topics.md")]
struct GuideOfTopics;
