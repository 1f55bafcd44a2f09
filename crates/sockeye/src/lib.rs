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

// What `#[server_endpoint]` writes names this crate as its users do: so do tests in here.
#[cfg(test)]
extern crate self as sockeye;

pub mod blocking;
mod client;
mod connection;
mod deadline;
mod endpoint;
mod error;
mod log_limit;
mod memory_limit;
mod observer;
mod peer_text;
mod router;
mod runtime;
mod secret;
mod server;
mod stats;
pub mod transport;

use sockeye_mailbox::sync;

#[cfg(feature = "tls")]
pub use self::transport::tls;

#[cfg(feature = "json")]
pub use self::endpoint::Json;
#[doc(hidden)]
pub use self::endpoint::generated as __private;
pub use self::error::{
    BoxError, DecodeError, EncodeError, Error, ErrorChain, HandlerError, Result,
};
pub use self::log_limit::LogLimit;
pub use self::{
    client::{
        Client, CloseArgs, CloseError, CloseEvent, ConnectError, CookieJar, ErrorEvent, Event,
        Events, Interruption, InvalidAccess, InvalidState, MessageEvent, OpenedStream,
        OpeningEvent, Proxy, ProxyError, QueueError, Readable, ReadyState, ReconnectEvent,
        ReconnectSender, Reconnecting, Retry, SocksError, SyntaxError, Target, WebSocket,
        WebSocketError, WebSocketStream, Writable, connect,
    },
    connection::{
        Connection, MessageReader, MessageWriter, Opening, Receiver, Sender, SenderSink, Timings,
    },
    endpoint::{
        Argument, AsyncRemote, BasicRemote, BinaryMessage, BinaryReader, Configurator,
        ConnectionInfo, Decoder, Encoder, Endpoint, EndpointConfig, FilteredSessions,
        HandlerExists, Handshake, HandshakeResponse, Incoming, IntoOutcome, IntoReply,
        MessageHandler, MessageKind, MessagePart, OpenSessions, Parsed, Payload, Pong, Properties,
        Refusal, Reply, SendHandle, ServerEndpoint, Session, SessionId, SharedEndpoint,
        TextMessage, TextReader, endpoint, partial, whole,
    },
    server::{
        BindError, Container, DeploymentError, Responding, ResponseBody, Server, ServerBuilder,
        ServerHandle,
    },
    stats::Stats,
};
pub use sockeye_mailbox::{Overflow, SendError};
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
