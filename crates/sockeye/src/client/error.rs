//! The errors of connecting, by the step that failed.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use sockeye_proto::InvalidAnswer;
use sockeye_proto::handshake::{OfferError, ResponseError, UriError};

use super::exchange::{HttpError, Unanswered};
use super::socks::SocksError;
use crate::error::{BoxError, Error, ErrorChain};
use crate::peer_text::PeerText;
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

impl From<ProxyError> for Error {
    fn from(error: ProxyError) -> Self {
        Self::Connect(error.into())
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

/// The error of connecting through a proxy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The client cannot connect to the proxy.
    #[error("cannot connect to the proxy")]
    Connect(#[source] io::Error),
    /// The user name or the password for a SOCKS5 proxy is not UTF-8.
    #[error("the proxy's user name or password is not UTF-8")]
    Credentials,
    /// The proxy's answer to a [blocking](crate::blocking) client is not HTTP, or its head is too large.
    #[error("the proxy's answer is not HTTP, or its head is too large")]
    Head,
    /// The proxy's answer is not HTTP, or the transport to the proxy failed.
    #[error("the proxy did not answer")]
    Http(#[from] HttpError),
    /// The proxy of a [blocking](crate::blocking) client ended the connection without an answer.
    #[error("the proxy closed the connection without an answer")]
    NoResponse,
    /// The proxy answered CONNECT with this response, which holds the start of its body.
    #[error("the proxy refused to connect: {}", .0.status())]
    Refused(Box<Response<Bytes>>),
    /// The handshake with a SOCKS proxy failed.
    #[error("the SOCKS proxy failed")]
    Socks(#[from] SocksError),
    /// TLS to the proxy failed.
    #[cfg(feature = "tls")]
    #[error("cannot secure the connection to the proxy")]
    Tls(#[source] TlsError),
    /// The proxy answered with TLS: its URL has to begin with `https://`.
    #[error("the proxy speaks TLS on this port: write https:// in place of http://")]
    TlsExpected,
    /// The proxy sent bytes through the tunnel before the client did.
    #[error("the proxy sent bytes through the tunnel before the client did")]
    TooEarly,
    /// The text is not a proxy URL. The field names the origin of the text instead of the text, which may hold a
    /// password.
    #[error("{0} is not a proxy URL: expected http://, https://, socks5:// or socks5h://")]
    Url(String),
}

impl ProxyError {
    /// Converts the error of a request that hyper sent.
    pub(super) fn unanswered(Unanswered { error, is_tls }: Unanswered) -> Self {
        if is_tls {
            return Self::TlsExpected;
        }
        #[cfg(feature = "tls")]
        if let Some(error) = TlsError::within(&error) {
            return Self::Tls(error);
        }
        Self::Http(HttpError::new(error))
    }
}

/// Shows an error and its causes on one line of a log, without text that may hold a secret.
pub(crate) struct ConnectErrorForLog<'a>(pub(crate) &'a ConnectError);

impl fmt::Display for ConnectErrorForLog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // The URL may hold a token.
            ConnectError::InsecureRedirect(_) => {
                f.write_str("the server redirects to ws: from wss:")
            }
            // The invalid field or subprotocol may be one.
            ConnectError::Offer(_) => f.write_str("the client's request is invalid"),
            error => {
                let chain = ErrorChain::new(error).to_string();
                fmt::Display::fmt(&PeerText(chain.as_bytes()), f)
            }
        }
    }
}
