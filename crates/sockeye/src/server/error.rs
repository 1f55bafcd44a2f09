//! The errors of a server that does not start, and of a connection that is not accepted.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::error::{BoxError, Error};
use crate::peer_text::PeerText;
use crate::router::RouteError;

/// Why a server cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The endpoints contradict each other, or themselves.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// The address cannot be bound.
    #[error("cannot bind")]
    Io(#[from] io::Error),
}

/// Why endpoints cannot be deployed. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DeploymentError(#[from] Contradiction);

/// What contradicts what.
#[derive(Debug, thiserror::Error)]
pub(super) enum Contradiction {
    /// A path of an endpoint is wrong, or another endpoint claims the same paths.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The history of a topic may be larger than what a session may take at once.
    #[cfg(feature = "topics")]
    #[error(
        "the history of topic pattern `{pattern}` may have {bytes} bytes, which is more than half of the \
         outbox limit of {limit} bytes; lower `History::bytes`, or raise `ServerBuilder::outbox_limit`"
    )]
    History {
        pattern: String,
        bytes: usize,
        limit: usize,
    },
}

impl From<RouteError> for DeploymentError {
    fn from(error: RouteError) -> Self {
        Self(error.into())
    }
}

/// Why a connection was not accepted: the error of [`Acceptor`](super::Acceptor).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// Reading the request or writing the answer failed.
    #[error("the transport failed")]
    Io(#[source] io::Error),
    /// The client ended the connection before its request was complete.
    #[error("the client closed the connection before its request was complete")]
    NoRequest,
    /// Another HTTP server did not upgrade the connection: it did not send the 101, or the connection ended before.
    #[error("the HTTP server did not upgrade the connection")]
    NotUpgraded(#[source] BoxError),
    /// The request was refused, and the client got this response: it broke a rule, its origin may not connect, or the
    /// application refused it. The body says why.
    #[error("refused the handshake with {}{}", .0.status(), Reason(.0.body()))]
    Refused(Box<Response<Bytes>>),
    /// The client did not send its request within the handshake timeout.
    #[error("the client sent no request within {0:?}")]
    Timeout(Duration),
    /// The client began a TLS handshake in place of HTTP.
    #[error("the client speaks TLS: accept TLS first, or give the client a ws:// URL")]
    Tls,
}

impl AcceptError {
    /// The status of a [`Refused`](Self::Refused) handshake.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(response) => Some(response.status()),
            _ => None,
        }
    }
}

/// The reason of a refusal, as far as a line of an error may show it.
struct Reason<'a>(&'a [u8]);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.trim_ascii() {
            b"" => Ok(()),
            reason => write!(f, ": {}", PeerText(reason)),
        }
    }
}

impl From<AcceptError> for Error {
    fn from(error: AcceptError) -> Self {
        Self::Accept(error.into())
    }
}

impl From<BindError> for Error {
    fn from(error: BindError) -> Self {
        Self::Server(error.into())
    }
}

impl From<DeploymentError> for Error {
    fn from(error: DeploymentError) -> Self {
        Self::Server(error.into())
    }
}
