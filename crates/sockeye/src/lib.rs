//! WebSocket for Rust: a server of endpoints and sessions, a client shaped as the browser's, and under
//! both a plain connection.
//!
//! - [`Server`] serves [`Endpoint`]s: types that implement it, or whose methods carry the attributes of
//!   [`server_endpoint`]. Each connection has a [`Session`].
//! - [`connect`] opens a [`Connection`]; [`Client`] serves endpoints too; [`WebSocket`] is the browser's object.
//!
//! The protocol itself is crate `sockeye-proto`; what users need of it is exported here.
//!
//! Features: `macros` and `tls`, which are on by default, and `json`, for messages that are JSON (`Json`).

// With `--cfg loom` tokio has no sockets. What loom checks is the outbox and the log, which need none: they and
// what they stand on are the whole crate then.
#[cfg(loom)]
#[allow(dead_code, reason = "what is not checked is not called")]
mod connection {
    pub(crate) mod direct;
    pub(crate) mod log;
    pub(crate) mod outbox;
}

// What `#[server_endpoint]` writes names this crate as its users do: so do tests in here.
#[cfg(test)]
extern crate self as sockeye;

#[cfg(not(loom))]
pub mod blocking;
#[cfg(not(loom))]
pub mod browser;
#[cfg(not(loom))]
pub mod client;
#[cfg(not(loom))]
pub mod connection;
#[cfg(not(loom))]
mod deadline;
#[cfg(not(loom))]
pub mod endpoint;
pub mod error;
#[cfg(not(loom))]
mod log_limit;
#[cfg(not(loom))]
mod memory_limit;
#[cfg(not(loom))]
mod peer_text;
#[cfg(not(loom))]
pub mod reconnect;
#[cfg(not(loom))]
mod router;
#[cfg(not(loom))]
mod secret;
#[cfg(not(loom))]
pub mod server;
#[cfg(not(loom))]
mod stats;
mod sync;
#[cfg(all(feature = "tls", not(loom)))]
pub mod tls;
#[cfg(not(loom))]
pub mod transport;

#[cfg(not(loom))]
#[doc(hidden)]
pub use self::endpoint::generated as __private;
#[doc(inline)]
pub use self::error::{Error, HandlerResult, Result};
#[cfg(not(loom))]
#[doc(inline)]
pub use self::{
    client::{Client, connect},
    connection::Connection,
    endpoint::{Endpoint, Session, endpoint},
    server::Server,
};
#[doc(inline)]
pub use sockeye_proto as proto;
#[doc(inline)]
pub use sockeye_proto::{CloseCode, CloseReason, Message};

#[cfg(all(feature = "macros", not(loom)))]
#[doc(inline)]
pub use self::endpoint::{client_endpoint, server_endpoint};

/// The examples of the README, which are tested like these.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The examples of the guide.
#[cfg(all(doctest, feature = "macros"))]
#[doc = include_str!("../../../docs/endpoints.md")]
struct Guide;
