//! The errors of connecting, by the step that failed.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use sockeye_proto::InvalidAnswer;
use sockeye_proto::handshake::{OfferError, ResponseError, UriError};

use super::exchange::{HttpError, Unanswered};
use super::proxy::ProxyError;
use crate::error::{BoxError, Error};
#[cfg(feature = "tls")]
use crate::tls::TlsError;

/// The error of connecting. The variant names the step that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server's answer about compression does not fit the client's offer.
    #[error(transparent)]
    Compression(#[from] InvalidAnswer),
    /// The transport could not be opened, or the host has no address.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The connector of a [`Reconnecting`](crate::reconnect::Reconnecting) failed before it connected.
    #[error("cannot connect")]
    Connector(#[source] BoxError),
    /// The transport was not opened within the connect timeout.
    #[error("cannot connect: no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The server did not answer the handshake within the handshake timeout.
    #[error("the server did not answer the handshake within {0:?}")]
    HandshakeTimeout(Duration),
    /// The server's answer to a [blocking](crate::blocking) client is not HTTP, or its head is too large.
    #[error("the server's answer is not HTTP, or its head is too large")]
    Head,
    /// The server's answer is not HTTP, or the transport failed.
    #[error("the handshake failed")]
    Http(#[from] HttpError),
    /// A redirect leads from `wss:` to this URL, which is not encrypted.
    #[error("the server redirects to {0}, which is not encrypted")]
    InsecureRedirect(String),
    /// The caller's request has another method than GET.
    #[error("the request's method is {0}: expected GET")]
    Method(Method),
    /// The server ended the connection without an answer.
    #[error("the server closed the connection without an answer")]
    NoResponse,
    /// A header field or a subprotocol of the client's request is invalid.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// The proxy did not connect to the server.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The server answered with another status than 101. This is the response, with the first 4 KiB of its body, as far
    /// as they came within a second.
    #[error("the server refused the handshake: {}", .0.status())]
    Refused(Box<Response<Bytes>>),
    /// The server's response with status 101 breaks a rule of the WebSocket handshake.
    #[error("the server's handshake response is invalid")]
    Response(#[source] ResponseError),
    /// TLS failed.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server answered a `ws:` URL with TLS.
    #[error("the server speaks TLS on this port: write wss:// in place of ws://")]
    TlsExpected,
    /// `wss:` needs this crate's feature `tls`.
    #[error("this program has no TLS for wss: URLs: build it with the feature `tls` of sockeye")]
    TlsUnsupported,
    /// The server redirected more often than the client follows.
    #[error("the server redirects more than {0} times")]
    TooManyRedirects(u32),
    /// The URL cannot be parsed.
    #[error("cannot parse the URL")]
    Url(#[from] InvalidUrl),
    /// The URL is not a WebSocket URL.
    #[error("not a WebSocket URL")]
    WebSocketUri(#[from] UriError),
}

/// A [`Target`](super::Target) is a target without an error.
impl From<Infallible> for ConnectError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error.into())
    }
}

/// The error for a text that is not a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct InvalidUrl(pub(super) url::ParseError);

impl ConnectError {
    /// Converts the error of a request that hyper sent.
    pub(super) fn unanswered(Unanswered { error, is_tls }: Unanswered) -> Self {
        if is_tls {
            return Self::TlsExpected;
        }
        #[cfg(feature = "tls")]
        if let Some(error) = TlsError::within(&error) {
            return Self::Tls(error);
        }
        // hyper's two errors for a connection that ended before the answer was complete.
        if error.is_incomplete_message() || error.is_canceled() {
            Self::NoResponse
        } else {
            Self::Http(HttpError::new(error))
        }
    }

    /// Converts the error of a transport that failed before the answer was complete.
    pub(crate) fn transport(error: io::Error) -> Self {
        #[cfg(feature = "tls")]
        if let Some(error) = TlsError::within(&error) {
            return Self::Tls(error);
        }
        Self::Connect(error)
    }

    /// The status of a [`Refused`](Self::Refused) handshake.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(response) => Some(response.status()),
            _ => None,
        }
    }
}
