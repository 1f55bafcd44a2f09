//! Why connecting failed, by how far it came.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use sockeye_proto::InvalidAnswer;
use sockeye_proto::handshake::{OfferError, ResponseError, UriError};

use super::exchange::Unanswered;
use super::proxy::ProxyError;
use crate::error::BoxError;
#[cfg(feature = "tls")]
use crate::transport::tls::TlsError;

/// Why connecting failed, and how far it came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server's answer on compression does not fit what was offered.
    #[error(transparent)]
    Compression(#[from] InvalidAnswer),
    /// The transport could not be established, or the host has no address.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The caller's own connector of a [`Reconnecting`](super::Reconnecting) failed before it connected.
    #[error("cannot connect")]
    Connector(#[source] BoxError),
    /// The transport was not established in time.
    #[error("cannot connect: no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The handshake was not answered in time.
    #[error("the server did not answer the handshake within {0:?}")]
    HandshakeTimeout(Duration),
    /// The server's answer to a [blocking](crate::blocking) client is not HTTP, or its head is too large.
    #[error("the server's answer is not HTTP, or its head is too large")]
    Head,
    /// The server's answer is not HTTP, or the transport failed.
    #[error("the handshake failed")]
    Http(#[from] hyper::Error),
    /// A redirect leads from `wss:` to this URL, which is not encrypted.
    #[error("the server redirects to {0}, which is not encrypted")]
    InsecureRedirect(String),
    /// A request that was given has another method than GET.
    #[error("a WebSocket is opened by GET, not by {0}")]
    Method(Method),
    /// The server ended the connection without an answer.
    #[error("the server closed the connection without an answer")]
    NoResponse,
    /// What was to be offered may not be.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// The proxy did not connect to the server.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The server answered with another status than 101: here it is, with the first 4 KiB of its body, as
    /// far as they came within a second.
    #[error("the server refused the handshake: {}", .0.status())]
    Refused(Box<Response<Bytes>>),
    /// The server's 101 is not a WebSocket's.
    #[error("the server's answer is wrong")]
    Response(#[source] ResponseError),
    /// The connection could not be secured.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server answered a `ws:` URL with TLS.
    #[error("the server speaks TLS on this port: write wss:// in place of ws://")]
    TlsExpected,
    /// `wss:` needs this crate's feature `tls`.
    #[error("wss: URLs need the feature `tls` of sockeye, which this program is built without")]
    TlsUnsupported,
    /// The server redirected more often than is followed.
    #[error("the server redirects more than {0} times")]
    TooManyRedirects(u32),
    /// The URL cannot be parsed.
    #[error("the URL cannot be parsed")]
    Url(#[from] url::ParseError),
    /// The URL is none of a WebSocket.
    #[error("not a WebSocket URL")]
    WebSocketUri(#[from] UriError),
}

impl ConnectError {
    /// Of an exchange by hyper.
    pub(super) fn unanswered(Unanswered { error, is_tls }: Unanswered) -> Self {
        if is_tls {
            return Self::TlsExpected;
        }
        #[cfg(feature = "tls")]
        if let Some(error) = TlsError::within(&error) {
            return Self::Tls(error);
        }
        // What hyper calls a connection that ended before the answer did.
        if error.is_incomplete_message() || error.is_canceled() {
            Self::NoResponse
        } else {
            Self::Http(error)
        }
    }

    /// Of a transport that fails before the answer is there.
    pub(crate) fn transport(error: io::Error) -> Self {
        #[cfg(feature = "tls")]
        if let Some(error) = TlsError::within(&error) {
            return Self::Tls(error);
        }
        Self::Connect(error)
    }

    /// The status with which the server refused the handshake, if it did.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(response) => Some(response.status()),
            _ => None,
        }
    }
}
