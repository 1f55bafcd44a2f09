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
mod browser;
#[cfg(not(loom))]
mod client;
#[cfg(not(loom))]
mod connection;
#[cfg(not(loom))]
mod deadline;
#[cfg(not(loom))]
mod endpoint;
mod error;
#[cfg(not(loom))]
mod log_limit;
#[cfg(not(loom))]
mod memory_limit;
#[cfg(not(loom))]
mod peer_text;
#[cfg(not(loom))]
mod reconnect;
#[cfg(not(loom))]
mod router;
#[cfg(not(loom))]
mod secret;
#[cfg(not(loom))]
mod server;
#[cfg(not(loom))]
mod stats;
mod sync;
#[cfg(all(feature = "tls", not(loom)))]
pub mod tls;
#[cfg(not(loom))]
pub mod transport;

#[cfg(all(feature = "json", not(loom)))]
pub use self::endpoint::Json;
#[cfg(not(loom))]
#[doc(hidden)]
pub use self::endpoint::generated as __private;
pub use self::error::{BoxError, DecodeError, EncodeError, Error, ErrorChain, Result, SendError};
#[cfg(not(loom))]
pub use self::log_limit::LogLimit;
#[cfg(not(loom))]
pub use self::{
    browser::{
        CloseArgs, CloseError, CloseEvent, ErrorEvent, Event, Events, InvalidAccess, InvalidState,
        MessageEvent, OpenedStream, Readable, ReadyState, SyntaxError, WebSocket, WebSocketError,
        WebSocketStream, Writable,
    },
    client::{
        Client, ConnectError, CookieJar, OpeningEvent, Proxy, ProxyError, SocksError, Target,
        connect,
    },
    connection::{
        Connection, MessageReader, MessageWriter, Opening, Overflow, Receiver, Sender, SenderSink,
        Timings,
    },
    endpoint::{
        Argument, AsyncRemote, BasicRemote, BinaryMessage, BinaryReader, Configurator,
        ConnectionInfo, Decoder, Encoder, Endpoint, EndpointConfig, FilteredSessions,
        HandlerExists, Handshake, HandshakeResponse, Incoming, IntoOutcome, IntoReply,
        MessageHandler, MessageKind, MessagePart, OpenSessions, Parsed, Payload, Pong, Properties,
        Refusal, Reply, SendHandle, ServerEndpoint, Session, SessionId, SharedEndpoint,
        TextMessage, TextReader, endpoint, partial, whole,
    },
    reconnect::{
        Interruption, QueueError, ReconnectEvent, ReconnectSender, Reconnecting, Retry,
    },
    server::{
        BindError, Container, DeploymentError, Responding, ResponseBody, Server, ServerBuilder,
        ServerHandle,
    },
    stats::Stats,
};
pub use sockeye_proto::handshake::{
    Extension, Forbidden, InvalidOrigin, NotAToken, OfferError, Origin, OriginPolicy,
    OriginProblem, ResponseError, UriError,
};
pub use sockeye_proto::{
    CloseCode, CloseReason, Config, DeflateConfig, InvalidAnswer, InvalidCloseReason, InvalidUtf8,
    KeepAlive, Message, MessageBuffer, Outgoing, PreparedMessage, ProtocolError, Role, Text,
    WholeMessage, WindowBits,
};

#[cfg(feature = "macros")]
pub use sockeye_macros::{
    client_endpoint, on_close, on_error, on_message, on_open, server_endpoint,
};

/// The examples of the README, which are tested like these.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The examples of the guide.
#[cfg(all(doctest, feature = "macros"))]
#[doc = include_str!("../../../docs/endpoints.md")]
struct Guide;
