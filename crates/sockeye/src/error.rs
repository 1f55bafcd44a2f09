//! Errors by culprit: the peer broke the protocol, the caller made an invalid request, or the system failed. There is
//! one enum for each boundary.
//!
//! A handler returns a [`HandlerResult`], which takes any error. A program's own functions return
//! [`sockeye::Result`](Result), which takes the errors of this crate:
//!
//! ```no_run
//! use sockeye::Error;
//! use sockeye::error::{ErrorChain, SendError};
//!
//! # async fn example() -> sockeye::Result {
//! let mut ws = sockeye::connect("ws://127.0.0.1:8080/echo").await?;
//! match ws.send("hello").await {
//!     Err(Error::Send(SendError::Closed)) => println!("the connection is closed"),
//!     Err(error) => println!("{}", ErrorChain::new(&error)),
//!     Ok(()) => {}
//! }
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::io;

#[doc(inline)]
pub use sockeye_mailbox::SendError;
use sockeye_proto::ProtocolError;

#[cfg(test)]
mod tests;

/// Shows an error and its causes in one line, for a log or a terminal: "the transport failed: connection reset".
///
/// It leaves out a cause whose text is part of the text before, because some libraries' errors repeat their causes.
///
/// ```
/// use sockeye::Error;
/// use sockeye::error::ErrorChain;
///
/// let error = Error::Handler("no such room".into());
/// assert_eq!(error.to_string(), "a handler failed");
/// assert_eq!(ErrorChain::new(&error).to_string(), "a handler failed: no such room");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ErrorChain<'a>(&'a (dyn std::error::Error + Send + Sync + 'static));

impl<'a> ErrorChain<'a> {
    /// The chain of `error` and its causes.
    pub fn new(error: &'a (dyn std::error::Error + Send + Sync + 'static)) -> Self {
        Self(error)
    }
}

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        f.write_str(&text)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            let next = cause.to_string();
            if !text.contains(&next) {
                write!(f, ": {next}")?;
                text = next;
            }
            source = cause.source();
        }
        Ok(())
    }
}

/// A boxed error of any type. A handler returns a [`HandlerError`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The error of a handler or of another callback. `?` makes it of any other error, and `into` of a text.
///
/// It also holds the errors of the conversions around a handler: [`Argument::from_message`](crate::endpoint::Argument::from_message)
/// and [`IntoReply::into_reply`](crate::endpoint::IntoReply::into_reply). [`Endpoint::on_error`](crate::Endpoint::on_error) gets it
/// as an [`Error`]. It does not implement [`std::error::Error`], because a type that does cannot be converted from every
/// other error.
///
/// ```
/// use sockeye::Error;
/// use sockeye::error::HandlerError;
///
/// fn price(text: &str) -> Result<u32, HandlerError> {
///     let price: u32 = text.parse()?;
///     if price == 0 {
///         return Err("nothing is free".into());
///     }
///     Ok(price)
/// }
///
/// let error = Error::from(price("0").unwrap_err());
/// assert!(matches!(error, Error::Handler(_)));
/// ```
pub struct HandlerError(Error);

impl HandlerError {
    /// The error of a message that cannot be decoded as `T`.
    #[cold]
    pub(crate) fn decode<T>(source: impl Into<BoxError>) -> Self {
        Self(DecodeError::of::<T>(source).into())
    }

    /// The error of a parameter of the path.
    #[cold]
    pub(crate) fn path(error: impl Into<BoxError>) -> Self {
        Self(Error::Path(error.into()))
    }

    /// The error of a value that cannot be encoded.
    #[cold]
    pub(crate) fn encode(error: EncodeError) -> Self {
        Self(error.into())
    }

    /// The error that the handler returned, or that its argument or its reply caused.
    pub(crate) fn cause(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        match &self.0 {
            Error::Handler(error) => &**error,
            error => error,
        }
    }
}

/// An error of any type becomes [`Error::Handler`].
impl<E: Into<BoxError>> From<E> for HandlerError {
    #[cold]
    fn from(error: E) -> Self {
        // `send_object` returns an `Error`. `Error::Encode` stays what it is when a handler passes it on by `?`.
        let error: BoxError = error.into();
        match error.downcast::<Error>() {
            Ok(error) if matches!(*error, Error::Encode(_)) => Self(*error),
            Ok(error) => Self(Error::Handler(error)),
            Err(error) => Self(Error::Handler(error)),
        }
    }
}

impl From<HandlerError> for Error {
    fn from(error: HandlerError) -> Self {
        error.0
    }
}

/// Shows the error that the handler returned, without a wrapper: a `main` that returns it prints that error.
impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.cause(), f)
    }
}

/// The result of a handler. The operator `?` converts any error to it.
///
/// ```
/// use sockeye::{HandlerResult, Session};
///
/// async fn greet(session: &Session, port: &str) -> HandlerResult {
///     let port: u16 = port.parse()?;
///     session.basic_remote().send_text(format!("you asked for port {port}")).await?;
///     Ok(())
/// }
/// ```
pub type HandlerResult<T = ()> = std::result::Result<T, HandlerError>;
/// The result of a program's own functions, such as `main`. The operator `?` converts the errors of connecting, of
/// serving, of sending and of TLS to [`Error`].
///
/// ```no_run
/// #[tokio::main]
/// async fn main() -> sockeye::Result {
///     let mut ws = sockeye::connect("ws://127.0.0.1:8080/echo").await?;
///     ws.send("hello").await?;
///     Ok(())
/// }
/// ```
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// The error of a connection, or of a callback on it. The errors of connecting, of accepting and of starting a server convert to
/// it too, so a program's [`Result`] holds them all.
///
/// Errors of this crate do not repeat their [`source`](std::error::Error::source): [`ErrorChain`] shows both.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A client's connection was not accepted. The box holds the error that the accepting function of this crate returned, an
    /// [`AcceptError`](crate::server::AcceptError).
    #[error(transparent)]
    Accept(BoxError),
    /// No connection was opened. The box holds the error that the connecting function of this crate returned, for example a
    /// [`ConnectError`](crate::client::ConnectError).
    #[error(transparent)]
    Connect(BoxError),
    /// A message cannot be decoded as the type that the handler takes.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An object cannot be sent as a message.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A handler returned an error.
    #[error("a handler failed")]
    Handler(#[source] BoxError),
    /// A parameter of the path is missing, or its value cannot be parsed as the type that a callback takes. The text names
    /// the parameter.
    #[error(transparent)]
    Path(BoxError),
    /// Reading or writing the transport failed.
    #[error("the transport failed")]
    Io(#[from] io::Error),
    /// The peer was silent for the keep-alive's interval and timeout.
    #[error("the peer does not answer")]
    PeerDead,
    /// The peer broke a rule of RFC 6455.
    #[error("the peer broke the protocol ({})", .0.section())]
    Protocol(#[from] ProtocolError),
    /// A message could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// A server was not started, or an endpoint not added. The box holds the error that this crate's function
    /// returned, for example a [`BindError`](crate::server::BindError).
    #[error(transparent)]
    Server(BoxError),
    /// The files of a TLS configuration cannot be used. The box holds the `TlsError`.
    #[error(transparent)]
    Tls(BoxError),
    /// The transport ended without a Close.
    #[error("the peer went away without a Close")]
    UnexpectedEnd,
    /// The peer took none of the output for the write timeout.
    #[error("the peer takes no output")]
    WriteStalled,
}

/// The error for a message that cannot be decoded as the type that a handler takes, or that a `recv_json` asks for. The
/// source names the cause and the place: for JSON the line and the column. The text holds nothing of the program's own, so
/// that an application may send it to the peer; `Debug` and [`type_name`](Self::type_name) say which type it was.
#[derive(Debug)]
pub struct DecodeError(Box<Failed>);

/// The error for an object that cannot be encoded as a message. The source names the cause.
#[derive(Debug)]
pub struct EncodeError(Box<Failed>);

// Boxed, because the size of an error counts for each `Result`.
#[derive(Debug)]
struct Failed {
    type_name: &'static str,
    source: BoxError,
}

impl Failed {
    fn boxed<T: ?Sized>(source: impl Into<BoxError>) -> Box<Self> {
        Box::new(Self {
            type_name: std::any::type_name::<T>(),
            source: source.into(),
        })
    }
}

impl DecodeError {
    /// Returns the name of the type that the message was decoded as, with its path. For logs, and not for the peer.
    pub fn type_name(&self) -> &'static str {
        self.0.type_name
    }

    pub(crate) fn of<T>(source: impl Into<BoxError>) -> Self {
        Self(Failed::boxed::<T>(source))
    }
}

impl EncodeError {
    /// Returns the name of the type that was encoded, with its path. For logs, and not for the peer.
    pub fn type_name(&self) -> &'static str {
        self.0.type_name
    }

    pub(crate) fn of<T: ?Sized>(source: impl Into<BoxError>) -> Self {
        Self(Failed::boxed::<T>(source))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot decode the message")
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot encode the object as a message")
    }
}

impl std::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0.source)
    }
}

impl std::error::Error for EncodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0.source)
    }
}

/// The error of a message that was parsed by hand, so that `?` passes it on as [`Error::Decode`].
#[cfg(feature = "json")]
impl From<sockeye_proto::JsonError> for Error {
    fn from(error: sockeye_proto::JsonError) -> Self {
        DecodeError::of::<sockeye_proto::Message>(error).into()
    }
}
