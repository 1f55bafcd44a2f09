//! Endpoints: the objects with which an application handles its connections. A connection has an endpoint object, a
//! [`Session`], and remotes that send. Knows no sockets and no HTTP.
//!
//! An endpoint is a type whose methods have the marks `#[on_open]`, `#[on_message]`, `#[on_close]` and `#[on_error]`
//! in an `impl` block with [`server_endpoint`] or [`client_endpoint`]. The marks need no import. An endpoint may also
//! implement [`Endpoint`] by hand.
//!
//! ```
//! use sockeye::endpoint::{BinaryReader, SessionId};
//! use sockeye::{HandlerResult, Session, server_endpoint};
//!
//! #[derive(Default)]
//! struct Inbox {
//!     owner: Option<SessionId>,
//! }
//!
//! #[server_endpoint("/inbox/{name}")]
//! impl Inbox {
//!     #[on_open]
//!     fn opened(&mut self, session: &Session) {
//!         self.owner = Some(session.id());
//!     }
//!
//!     #[on_message(max = 4096)]
//!     fn noted(&mut self, text: &str, #[path] name: &str) -> String {
//!         format!("{name} has a note of {} bytes", text.len())
//!     }
//!
//!     #[on_message(max = 1 << 30)]
//!     async fn stored(&mut self, mut file: BinaryReader) -> HandlerResult<String> {
//!         let bytes = tokio::io::copy(&mut file, &mut tokio::io::sink()).await?;
//!         Ok(format!("{bytes} bytes are stored"))
//!     }
//! }
//! ```
//!
//! # Life
//!
//! ```text
//!   factory(&Handshake) ─▶ on_open ─▶ on_message … on_message ─▶ on_close
//!                             │             │                       │
//!                             └── error ────┴──▶ on_error ◀─────────┘
//! ```
//!
//! One callback of a connection runs at a time. `on_close` is called once, also after a failed `on_open`.
//!
//! # Testing an endpoint
//!
//! [`Connection::serve`](crate::Connection::serve) gives a connection to an endpoint. A test makes both ends of the
//! connection in memory:
//!
//! ```
//! use sockeye::proto::{Config, Role};
//! use sockeye::{Connection, server_endpoint};
//!
//! struct Shout;
//!
//! #[server_endpoint("/shout")]
//! impl Shout {
//!     #[on_message]
//!     fn said(&mut self, text: &str) -> String {
//!         text.to_uppercase()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> sockeye::Result {
//! let (near, far) = tokio::io::duplex(1024);
//! Connection::server(near, Config::new(Role::Server)).serve(Shout);
//! let mut peer = Connection::client(far, Config::new(Role::Client));
//! peer.send("hello").await?;
//! assert_eq!(peer.recv().await?, Some("HELLO".into()));
//! # Ok(())
//! # }
//! ```
//!
//! Such a session has no request and no path parameters. To test these too, use the module `sockeye::test` of the feature
//! `test-util`, which reaches an endpoint by path, principal and headers, without a socket. Or bind a server to port 0, and
//! connect to its [`local_addr`](crate::Server::local_addr):
//!
//! ```
//! use sockeye::{Server, server_endpoint};
//!
//! #[derive(Default)]
//! struct Greeter;
//!
//! #[server_endpoint("/greet/{name}")]
//! impl Greeter {
//!     #[on_open]
//!     async fn opened(&mut self, session: &sockeye::Session, #[path] name: &str) -> sockeye::HandlerResult {
//!         session.basic_remote().send_text(format!("hello {name}")).await?;
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> sockeye::Result {
//! let server = Server::builder().default_endpoint::<Greeter>().bind("127.0.0.1:0").await?;
//! let url = format!("ws://{}/greet/ann", server.local_addr());
//! tokio::spawn(server.serve());
//! let mut ws = sockeye::connect(url).await?;
//! assert_eq!(ws.recv().await?, Some("hello ann".into()));
//! # Ok(())
//! # }
//! ```

use std::future::{Future, ready};

use sockeye_proto::{CloseReason, WholeMessage};

use crate::error::{Error, HandlerResult};
use crate::sync::Arc;

mod activity;
mod attach;
mod codec;
mod config;
pub(crate) mod configurator;
pub(crate) mod envelope;
#[cfg(feature = "topics-wire")]
mod enveloped;
mod filter;
#[cfg(feature = "topics")]
mod gap;
#[doc(hidden)]
pub mod generated;
mod handler;
mod incoming;
#[cfg(feature = "json")]
mod json;
mod large;
pub(crate) mod life;
mod notice;
mod open_sessions;
mod outcome;
mod overflow;
mod part;
mod rare;
mod reader;
mod remote;
mod reply;
pub(crate) mod report;
#[cfg(feature = "topics")]
pub(crate) mod seam;
mod session;
mod session_id;
mod span;
#[cfg(test)]
pub(crate) mod tests;

#[cfg(feature = "topics")]
pub(crate) use self::codec::encoded;
pub use self::codec::{Decoder, Encoder, Parsed, Payload};
pub(crate) use self::config::Mounted;
pub use self::config::{EndpointConfig, ServerEndpoint, endpoint};
pub use self::configurator::{Configurator, HandshakeResponse, Refusal};
pub use self::filter::FilteredSessions;
#[cfg(feature = "topics")]
pub use self::gap::Gap;
pub use self::handler::{HandlerExists, MessageHandler, partial, whole};
pub use self::incoming::{
    Argument, BinaryMessage, Incoming, IncomingKind, MessagePart, Ping, Pong, TextMessage,
};
#[cfg(feature = "json")]
pub use self::json::Json;
pub use self::reader::{BinaryReader, TextReader};
pub use self::remote::{AsyncRemote, BasicRemote, SendHandle};
pub use self::reply::{IntoOutcome, IntoReply, Reply};
pub use self::session::{OpenSessions, Session};
pub use self::session_id::{InvalidSessionId, SessionId};
pub use crate::handshake::{ConnectionInfo, Handshake, Properties};
pub use crate::log_limit::LogLimit;
#[cfg(all(feature = "macros", feature = "topics"))]
#[doc(inline)]
pub use sockeye_macros::on_gap;
#[cfg(feature = "macros")]
#[doc(inline)]
pub use sockeye_macros::{
    client_endpoint, on_close, on_error, on_message, on_open, server_endpoint,
};
#[doc(inline)]
pub use sockeye_mailbox::Overflow;

/// The application's side of one connection: the callbacks for its events. Each method has a default.
///
/// The attributes [`server_endpoint`] and [`client_endpoint`] generate
/// an implementation.
///
/// ```
/// use sockeye::endpoint::{Incoming, Reply};
/// use sockeye::{Endpoint, HandlerResult, Session};
///
/// struct Echo;
///
/// impl Endpoint for Echo {
///     async fn on_message<'m>(&mut self, _: &Session, message: Incoming<'m>) -> HandlerResult<Reply<'m>> {
///         Ok(Reply::from(message))
///     }
/// }
/// ```
///
/// An endpoint that wraps another one forwards the constants too, or it loses the limits and the kinds that come in
/// parts. If it does not forward [`on_message_at_once`](Self::on_message_at_once), each message costs a future and a copy:
///
/// ```
/// use sockeye::endpoint::{Incoming, IncomingKind, Reply};
/// use sockeye::proto::WholeMessage;
/// use sockeye::{CloseReason, Endpoint, Error, HandlerResult, Session};
///
/// /// Prints when a session opens.
/// struct Logged<E>(E);
///
/// impl<E: Endpoint> Endpoint for Logged<E> {
///     const IN_PARTS: &'static [IncomingKind] = E::IN_PARTS;
///     const PINGS: bool = E::PINGS;
///     const MAX_MESSAGES: &'static [(IncomingKind, u64)] = E::MAX_MESSAGES;
///
///     async fn on_open(&mut self, session: &Session) -> HandlerResult {
///         println!("{} is open", session.id());
///         self.0.on_open(session).await
///     }
///
///     async fn on_message<'m>(&mut self, session: &Session, message: Incoming<'m>) -> HandlerResult<Reply<'m>> {
///         self.0.on_message(session, message).await
///     }
///
///     fn on_message_at_once<'m>(
///         &mut self,
///         session: &Session,
///         message: WholeMessage<'m>,
///     ) -> Option<HandlerResult<Reply<'m>>> {
///         self.0.on_message_at_once(session, message)
///     }
///
///     async fn on_close(&mut self, session: &Session, reason: CloseReason) -> HandlerResult {
///         self.0.on_close(session, reason).await
///     }
///
///     async fn on_error(&mut self, session: &Session, error: &Error) {
///         self.0.on_error(session, error).await
///     }
/// }
/// ```
pub trait Endpoint: Send + 'static {
    /// The kinds of messages that [`on_message`](Self::on_message) receives part by part, while they arrive, instead of
    /// whole.
    const IN_PARTS: &'static [IncomingKind] = &[];
    /// Whether [`on_message`](Self::on_message) gets the peer's Pings, as [`Incoming::Ping`]. They are answered in any case.
    const PINGS: bool = false;
    /// The longest message of each kind that has a limit of its own, in bytes, inclusive. Such a limit replaces the
    /// server's or the client's limit, and may be lower or higher. A longer message closes the connection with 1009.
    const MAX_MESSAGES: &'static [(IncomingKind, u64)] = &[];

    /// Called when the connection is open. It may send. No message is delivered before it returns.
    ///
    /// An error goes to [`on_error`](Self::on_error), and closes the connection with 1011. If the error is that a topic is
    /// unavailable now (`SubscribeError::Unavailable`), the connection is closed with 1013: the client may try again.
    fn on_open(&mut self, session: &Session) -> impl Future<Output = HandlerResult> + Send {
        let _ = session;
        ready(Ok(()))
    }

    /// Called with each message, each Pong, and each Ping if [`PINGS`](Self::PINGS) says so. The returned reply is sent to the
    /// peer.
    ///
    /// An error goes to [`on_error`](Self::on_error), and the connection stays open. While this method is suspended,
    /// the session sends the messages of other tasks, answers pings, and reads one more message.
    ///
    /// The default drops the message.
    fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> impl Future<Output = HandlerResult<Reply<'m>>> + Send {
        tracing::debug!(session = %session.id(), kind = ?message.kind(), "the endpoint handles no messages: dropped");
        ready(Ok(Reply::None))
    }

    /// Handles a whole message that is borrowed from the read buffer, without a future. It is called before
    /// [`on_message`](Self::on_message), and only with a message that is complete in that buffer. `None` leaves the
    /// message to `on_message`, which also handles all other messages, and has to handle them in the same way.
    ///
    /// The attribute generates this method for methods that are not `async` and take `&str` or `&[u8]`.
    #[inline]
    fn on_message_at_once<'m>(
        &mut self,
        session: &Session,
        message: WholeMessage<'m>,
    ) -> Option<HandlerResult<Reply<'m>>> {
        let _ = (session, message);
        None
    }

    /// Called once, when the connection is about to end: this side or the peer closed it, or it was lost. Sends fail
    /// with [`SendError::Closed`](crate::error::SendError::Closed) from now on.
    ///
    /// If there was no Close, the code is 1006, and the reason names the cause.
    fn on_close(
        &mut self,
        session: &Session,
        reason: CloseReason,
    ) -> impl Future<Output = HandlerResult> + Send {
        let _ = (session, reason);
        ready(Ok(()))
    }

    /// Called when the continuity of a subscription to a topic broke: messages of the topic may be missing. No other
    /// callback of the session runs meanwhile. It is not called for a peer that speaks the subprotocol of topics: such a
    /// peer is told itself.
    ///
    /// An error goes to [`on_error`](Self::on_error), and the connection stays open. The default does nothing. An
    /// endpoint that wraps another one forwards this method too.
    #[cfg(feature = "topics")]
    fn on_gap(
        &mut self,
        session: &Session,
        gap: &Gap,
    ) -> impl Future<Output = HandlerResult> + Send {
        let _ = (session, gap);
        ready(Ok(()))
    }

    /// Called when a callback failed, or when a message was too big. A peer that vanishes is not an error:
    /// [`on_close`](Self::on_close) reports it.
    ///
    /// The default logs the error. An error that the peer causes, such as a message that cannot be decoded, is logged
    /// at `debug`. Other errors are logged at `warn`, at most one line in 10 s for each server. A peer may be able to
    /// repeat any error, so an `on_error` that logs should have a [`LogLimit`].
    fn on_error(&mut self, session: &Session, error: &Error) -> impl Future<Output = ()> + Send {
        report::callback_error(session, error);
        ready(())
    }
}

/// An endpoint of which one object serves all connections. Its methods take `&self`, and run concurrently for
/// different connections. An `Arc` of it is an [`Endpoint`].
pub trait SharedEndpoint: Send + Sync + 'static {
    /// The kinds of messages that are delivered part by part. See [`Endpoint::IN_PARTS`].
    const IN_PARTS: &'static [IncomingKind] = &[];
    /// Whether the peer's Pings are delivered. See [`Endpoint::PINGS`].
    const PINGS: bool = false;
    /// The longest message of each kind that has a limit of its own. See [`Endpoint::MAX_MESSAGES`].
    const MAX_MESSAGES: &'static [(IncomingKind, u64)] = &[];

    /// Called when a connection is open. See [`Endpoint::on_open`].
    fn on_open(&self, session: &Session) -> impl Future<Output = HandlerResult> + Send {
        let _ = session;
        ready(Ok(()))
    }

    /// Called with each message, each Pong, and each Ping if [`PINGS`](Self::PINGS) says so. See [`Endpoint::on_message`].
    fn on_message<'m>(
        &self,
        session: &Session,
        message: Incoming<'m>,
    ) -> impl Future<Output = HandlerResult<Reply<'m>>> + Send {
        tracing::debug!(session = %session.id(), kind = ?message.kind(), "the endpoint handles no messages: dropped");
        ready(Ok(Reply::None))
    }

    /// Handles a whole message that is borrowed from the read buffer. See [`Endpoint::on_message_at_once`].
    #[inline]
    fn on_message_at_once<'m>(
        &self,
        session: &Session,
        message: WholeMessage<'m>,
    ) -> Option<HandlerResult<Reply<'m>>> {
        let _ = (session, message);
        None
    }

    /// Called once, when a connection is about to end. See [`Endpoint::on_close`].
    fn on_close(
        &self,
        session: &Session,
        reason: CloseReason,
    ) -> impl Future<Output = HandlerResult> + Send {
        let _ = (session, reason);
        ready(Ok(()))
    }

    /// Called when the continuity of a subscription to a topic broke. See [`Endpoint::on_gap`].
    #[cfg(feature = "topics")]
    fn on_gap(&self, session: &Session, gap: &Gap) -> impl Future<Output = HandlerResult> + Send {
        let _ = (session, gap);
        ready(Ok(()))
    }

    /// Called when a callback failed, or when a message was too big. See [`Endpoint::on_error`].
    fn on_error(&self, session: &Session, error: &Error) -> impl Future<Output = ()> + Send {
        report::callback_error(session, error);
        ready(())
    }
}

impl<E: SharedEndpoint> Endpoint for Arc<E> {
    const IN_PARTS: &'static [IncomingKind] = E::IN_PARTS;
    const PINGS: bool = E::PINGS;
    const MAX_MESSAGES: &'static [(IncomingKind, u64)] = E::MAX_MESSAGES;

    fn on_open(&mut self, session: &Session) -> impl Future<Output = HandlerResult> + Send {
        E::on_open(self, session)
    }

    fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> impl Future<Output = HandlerResult<Reply<'m>>> + Send {
        E::on_message(self, session, message)
    }

    #[inline]
    fn on_message_at_once<'m>(
        &mut self,
        session: &Session,
        message: WholeMessage<'m>,
    ) -> Option<HandlerResult<Reply<'m>>> {
        E::on_message_at_once(self, session, message)
    }

    fn on_close(
        &mut self,
        session: &Session,
        reason: CloseReason,
    ) -> impl Future<Output = HandlerResult> + Send {
        E::on_close(self, session, reason)
    }

    #[cfg(feature = "topics")]
    fn on_gap(
        &mut self,
        session: &Session,
        gap: &Gap,
    ) -> impl Future<Output = HandlerResult> + Send {
        E::on_gap(self, session, gap)
    }

    fn on_error(&mut self, session: &Session, error: &Error) -> impl Future<Output = ()> + Send {
        E::on_error(self, session, error)
    }
}
