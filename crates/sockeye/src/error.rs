//! What can go wrong, by culprit: the peer broke the protocol, the caller asked for what cannot be, or
//! the world failed. One enum for each boundary.

use std::fmt;
use std::io;

use sockeye_proto::{InvalidCloseReason, ProtocolError};

/// Any error of a handler: what `?` makes of it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What handlers return.
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;

/// Why a connection, or a callback on it, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A message does not hold what the handler takes.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An object cannot be sent as a message.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A handler returned an error.
    #[error("a handler failed: {0}")]
    Handler(#[source] BoxError),
    /// Reading or writing the transport failed.
    #[error("the transport failed: {0}")]
    Io(#[from] io::Error),
    /// The peer was silent for the keep-alive's interval and timeout.
    #[error("the peer does not answer")]
    PeerDead,
    /// The peer broke a rule of RFC 6455.
    #[error("the peer broke the protocol: {0} ({section})", section = .0.section())]
    Protocol(#[from] ProtocolError),
    /// A message could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The transport ended without a Close.
    #[error("the peer went away without a Close")]
    UnexpectedEnd,
    /// The peer took none of the output for the write timeout.
    #[error("the peer takes no output")]
    WriteStalled,
}

impl Error {
    /// Of what a callback failed with, or making what it takes or returns.
    #[cold]
    pub(crate) fn of_callback(error: BoxError) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(error) if matches!(*error, Self::Decode(_) | Self::Encode(_)) => return *error,
            Ok(error) => error,
            Err(error) => error,
        };
        let error = match error.downcast() {
            Ok(error) => return Self::Decode(*error),
            Err(error) => error,
        };
        match error.downcast() {
            Ok(error) => Self::Encode(*error),
            Err(error) => Self::Handler(error),
        }
    }
}

/// A message does not hold what a handler takes. The source says why, and where: of JSON the line and the
/// column.
#[derive(Debug)]
pub struct DecodeError(Box<Failed>);

/// An object cannot be sent as a message. The source says why.
#[derive(Debug)]
pub struct EncodeError(Box<Failed>);

// A pointer: errors travel with what did not fail.
#[derive(Debug)]
struct Failed {
    type_name: &'static str,
    source: BoxError,
}

impl Failed {
    fn boxed<T>(source: impl Into<BoxError>) -> Box<Self> {
        Box::new(Self {
            type_name: std::any::type_name::<T>(),
            source: source.into(),
        })
    }
}

impl DecodeError {
    pub(crate) fn of<T>(source: impl Into<BoxError>) -> Self {
        Self(Failed::boxed::<T>(source))
    }
}

impl EncodeError {
    pub(crate) fn of<T>(source: impl Into<BoxError>) -> Self {
        Self(Failed::boxed::<T>(source))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed { type_name, source } = &*self.0;
        write!(f, "the message is no `{type_name}`: {source}")
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed { type_name, source } = &*self.0;
        write!(f, "no message can be made of `{type_name}`: {source}")
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

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or closed.
    #[error("the connection is closing or closed")]
    Closed,
    /// A ping's or pong's payload has more than 125 bytes (RFC 6455 §5.5).
    #[error("control payload of {len} bytes is longer than 125")]
    ControlPayloadTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The message that was sent in parts is complete: it takes no more.
    #[error("the message is finished")]
    Finished,
    /// As many bytes wait to be sent as the limit allows.
    #[error("as many bytes wait to be sent as the limit allows")]
    Full,
    /// A code or reason that no Close may carry.
    #[error(transparent)]
    InvalidClose(#[from] InvalidCloseReason),
    /// The parts of a text message are no UTF-8 (RFC 6455 §5.6).
    #[error("a text message has to be UTF-8")]
    InvalidUtf8,
}

impl From<sockeye_proto::SendError> for SendError {
    fn from(error: sockeye_proto::SendError) -> Self {
        use sockeye_proto::SendError as Proto;
        match error {
            Proto::ControlPayloadTooLong { len } => Self::ControlPayloadTooLong { len },
            Proto::CloseCode { code } => Self::InvalidClose(InvalidCloseReason::Code(code)),
            // Messages are sent one after another here, so what is left is that the connection is closing.
            _ => Self::Closed,
        }
    }
}
