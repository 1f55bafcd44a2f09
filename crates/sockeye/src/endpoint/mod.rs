//! Endpoints: what an application is made of. One object for each connection, its session, and the
//! remote that it sends through. Knows no sockets and no HTTP.
//!
//! An endpoint's life:
//!
//! ```text
//!   factory(&Handshake) ─▶ on_open ─▶ on_message … on_message ─▶ on_close
//!                             │             │                       │
//!                             └── error ────┴──▶ on_error ◀─────────┘
//! ```
//!
//! One callback runs at a time. `on_close` comes once and last, also when `on_open` failed.

use std::future::{Future, ready};

use sockeye_proto::{CloseReason, WholeMessage};

use crate::error::{Error, Result};
use crate::sync::Arc;

mod attach;
mod codec;
mod config;
pub(crate) mod configurator;
mod delivery;
mod filter;
pub mod generated;
mod handler;
pub(crate) mod handshake;
mod head;
mod idle;
mod incoming;
#[cfg(feature = "json")]
mod json;
mod large;
pub(crate) mod life;
mod open_sessions;
mod overflow;
mod part;
mod properties;
mod reader;
mod remote;
mod reply;
pub(crate) mod report;
mod session;
#[cfg(test)]
mod tests;

pub use self::codec::{Decoder, Encoder, Parsed, Payload};
pub(crate) use self::config::Mounted;
pub use self::config::{EndpointConfig, ServerEndpoint, endpoint};
pub use self::configurator::{Configurator, HandshakeResponse, Refusal};
pub use self::filter::FilteredSessions;
pub use self::handler::{HandlerExists, MessageHandler, partial, whole};
pub use self::handshake::{ConnectionInfo, Handshake};
pub use self::incoming::{
    Argument, BinaryMessage, Incoming, MessageKind, MessagePart, Pong, TextMessage,
};
#[cfg(feature = "json")]
pub use self::json::Json;
pub use self::open_sessions::OpenSessions;
pub use self::properties::Properties;
pub use self::reader::{BinaryReader, TextReader};
pub use self::remote::{AsyncRemote, BasicRemote, SendHandle};
pub use self::reply::{IntoOutcome, IntoReply, Reply};
pub use self::session::{Session, SessionId};

/// The application's end of one connection. Every method has a default that does nothing.
///
/// The attributes [`server_endpoint`](crate::server_endpoint) and [`client_endpoint`](crate::client_endpoint) write
/// this implementation.
///
/// ```
/// use sockeye::{Endpoint, Incoming, Reply, Result, Session};
///
/// struct Echo;
///
/// impl Endpoint for Echo {
///     async fn on_message<'m>(&mut self, _: &Session, message: Incoming<'m>) -> Result<Reply<'m>> {
///         Ok(Reply::from(message))
///     }
/// }
/// ```
pub trait Endpoint: Send + 'static {
    /// The kinds of messages that [`on_message`](Self::on_message) is given part by part, as they come, and not
    /// whole.
    const IN_PARTS: &'static [MessageKind] = &[];
    /// The longest messages that it takes, in bytes, inclusive, by their kinds: those with a limit of their own,
    /// which goes before the server's or the client's, be it less or more. A longer one closes the connection with
    /// 1009.
    const MAX_MESSAGES: &'static [(MessageKind, u64)] = &[];

    /// The connection is open. No message comes before this is done; sending is allowed.
    ///
    /// An error goes to [`on_error`](Self::on_error), and the connection is closed with 1011.
    fn on_open(&mut self, session: &Session) -> impl Future<Output = Result> + Send {
        let _ = session;
        ready(Ok(()))
    }

    /// A message came, or a Pong. What is returned is sent back.
    ///
    /// An error goes to [`on_error`](Self::on_error); the connection stays open. While this is
    /// suspended, what others send goes out, pings are answered, and one more message is read.
    ///
    /// The default drops the message.
    fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> impl Future<Output = Result<Reply<'m>>> + Send {
        tracing::debug!(session = %session.id(), kind = ?message.kind(), "no handler: dropped");
        ready(Ok(Reply::None))
    }

    /// As [`on_message`](Self::on_message), asked before it where the message lies whole, for a handler that
    /// neither suspends nor keeps what comes: it is called in that place, and there is no future. `None` leaves
    /// the message to `on_message`, which has to do the same for those that lie nowhere. The attribute writes it
    /// for methods that are no `async fn` and take `&str` or `&[u8]`.
    #[doc(hidden)]
    #[inline]
    fn on_message_at_once<'m>(
        &mut self,
        session: &Session,
        message: WholeMessage<'m>,
    ) -> Option<Result<Reply<'m>>> {
        let _ = (session, message);
        None
    }

    /// The connection is about to end: this side or the peer closed it, or it was lost. Sends answer
    /// that it is closed.
    ///
    /// The code is 1006 when there was no Close, and the reason is the cause then.
    fn on_close(
        &mut self,
        session: &Session,
        reason: CloseReason,
    ) -> impl Future<Output = Result> + Send {
        let _ = (session, reason);
        ready(Ok(()))
    }

    /// A callback failed, or a message was too big. A peer that vanishes is no error: it is told by
    /// [`on_close`](Self::on_close).
    ///
    /// The default logs: at `debug` what the peer causes, such as a message that does not decode; else at `warn`, but
    /// no more than one line in 10 s for the server. A peer may be able to repeat any error, so an `on_error` that logs
    /// should have a [`LogLimit`](crate::LogLimit).
    fn on_error(&mut self, session: &Session, error: &Error) -> impl Future<Output = ()> + Send {
        report::callback_error(session, error);
        ready(())
    }
}

/// An endpoint that one object serves for all its connections: its methods take `&self`, and run at once
/// for different connections. `Arc` of it is an [`Endpoint`].
pub trait SharedEndpoint: Send + Sync + 'static {
    /// As [`Endpoint::IN_PARTS`].
    const IN_PARTS: &'static [MessageKind] = &[];
    /// As [`Endpoint::MAX_MESSAGES`].
    const MAX_MESSAGES: &'static [(MessageKind, u64)] = &[];

    /// As [`Endpoint::on_open`].
    fn on_open(&self, session: &Session) -> impl Future<Output = Result> + Send {
        let _ = session;
        ready(Ok(()))
    }

    /// As [`Endpoint::on_message`].
    fn on_message<'m>(
        &self,
        session: &Session,
        message: Incoming<'m>,
    ) -> impl Future<Output = Result<Reply<'m>>> + Send {
        tracing::debug!(session = %session.id(), kind = ?message.kind(), "no handler: dropped");
        ready(Ok(Reply::None))
    }

    /// As [`Endpoint::on_message_at_once`].
    #[doc(hidden)]
    #[inline]
    fn on_message_at_once<'m>(
        &self,
        session: &Session,
        message: WholeMessage<'m>,
    ) -> Option<Result<Reply<'m>>> {
        let _ = (session, message);
        None
    }

    /// As [`Endpoint::on_close`].
    fn on_close(
        &self,
        session: &Session,
        reason: CloseReason,
    ) -> impl Future<Output = Result> + Send {
        let _ = (session, reason);
        ready(Ok(()))
    }

    /// As [`Endpoint::on_error`].
    fn on_error(&self, session: &Session, error: &Error) -> impl Future<Output = ()> + Send {
        report::callback_error(session, error);
        ready(())
    }
}

impl<E: SharedEndpoint> Endpoint for Arc<E> {
    const IN_PARTS: &'static [MessageKind] = E::IN_PARTS;
    const MAX_MESSAGES: &'static [(MessageKind, u64)] = E::MAX_MESSAGES;

    fn on_open(&mut self, session: &Session) -> impl Future<Output = Result> + Send {
        E::on_open(self, session)
    }

    fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> impl Future<Output = Result<Reply<'m>>> + Send {
        E::on_message(self, session, message)
    }

    #[inline]
    fn on_message_at_once<'m>(
        &mut self,
        session: &Session,
        message: WholeMessage<'m>,
    ) -> Option<Result<Reply<'m>>> {
        E::on_message_at_once(self, session, message)
    }

    fn on_close(
        &mut self,
        session: &Session,
        reason: CloseReason,
    ) -> impl Future<Output = Result> + Send {
        E::on_close(self, session, reason)
    }

    fn on_error(&mut self, session: &Session, error: &Error) -> impl Future<Output = ()> + Send {
        E::on_error(self, session, error)
    }
}
