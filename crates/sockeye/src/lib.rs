//! WebSocket for Rust: a server of endpoints and sessions, a client shaped as the browser's, and under
//! both a plain connection.
//!
//! - [`Server`] serves [`Endpoint`]s: types that implement it, or whose methods carry the attributes of
//!   [`server_endpoint`]. Each connection has a [`Session`].
//! - [`connect`] opens a [`Connection`]; [`WebSocket`] is the browser's object.
//!
//! The protocol itself is crate `sockeye-proto`; what users need of it is exported here.

mod client;
mod connection;
mod endpoint;
mod error;
mod router;
mod server;
mod sync;
pub mod transport;

pub use self::client::{
    Client, CloseArgs, CloseEvent, ConnectError, ErrorEvent, InvalidAccess, InvalidState,
    MessageEvent, ReadyState, SyntaxError, WebSocket, connect,
};
pub use self::connection::{Connection, Receiver, Sender};
#[doc(hidden)]
pub use self::endpoint::generated as __private;
pub use self::endpoint::{
    Argument, AsyncRemote, BasicRemote, BinaryMessage, Endpoint, EndpointConfig, HandlerExists,
    Handshake, Incoming, IntoOutcome, IntoReply, MessageHandler, MessageKind, OpenSessions, Pong,
    Reply, SendHandle, ServerEndpoint, Session, SessionId, SharedEndpoint, TextMessage, endpoint,
    whole,
};
pub use self::error::{BoxError, Error, Result, SendError};
pub use self::server::{BindError, DeploymentError, Server, ServerBuilder};
pub use sockeye_proto::handshake::{
    Forbidden, OfferError, Origin, OriginPolicy, ResponseError, UriError,
};
pub use sockeye_proto::{
    CloseCode, CloseReason, Config, InvalidCloseReason, KeepAlive, Message, PreparedMessage,
    ProtocolError, Role, Text,
};

#[cfg(feature = "macros")]
pub use sockeye_macros::{on_close, on_error, on_message, on_open, server_endpoint};

/// The examples of the README, which are tested like these.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
