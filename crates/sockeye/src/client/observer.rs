//! The observer of a client's attempts to connect. It logs each step at `debug`, and gives each head of a request or
//! response to the function that the caller has set.
//!
//! No line has a secret: no path and no query of a URL, no header field, and no error text that may quote them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};

/// An event of opening a connection, for [`ClientBuilder::on_opening`](super::ClientBuilder::on_opening).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum OpeningEvent<'a> {
    /// The client writes a request: `CONNECT` to a proxy, or the handshake to the server. Fields with secrets are
    /// marked as sensitive.
    Request(&'a Request<()>),
    /// The client has read the head of a response, of any status. Fields with secrets are marked as sensitive.
    Response(&'a Response<()>),
    /// The first bytes of an answer that is not a complete head: it was cut off, came too late, or is another protocol.
    /// At most 4 KiB.
    Unreadable(&'a [u8]),
}

/// The observer of a client: the caller's function for the events, if one is set.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Arc<Callback>>);

type Callback = dyn Fn(OpeningEvent<'_>) + Send + Sync;

/// A step of an attempt that is done.
#[derive(Clone, Copy)]
pub(crate) enum AttemptStep<'a> {
    /// The addresses of the server, or of a proxy.
    Resolved(&'a str, &'a [SocketAddr]),
    /// TCP, or a Unix socket.
    Connected(&'a dyn fmt::Display),
    /// The proxy has connected to the server.
    Tunneled(&'a str),
    /// TLS with the server, or with a proxy.
    Secured(&'a str),
    /// The server has accepted the handshake.
    Accepted,
}

impl Observer {
    pub(super) fn new(callback: impl Fn(OpeningEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(callback)))
    }

    /// Notes a step of an attempt, and the time that it took.
    pub(crate) fn step(&self, step: AttemptStep<'_>, took: Duration) {
        match step {
            AttemptStep::Resolved(host, addresses) => {
                tracing::debug!(host, ?addresses, ?took, "resolved a host");
            }
            AttemptStep::Connected(to) => tracing::debug!(%to, ?took, "connected"),
            AttemptStep::Tunneled(proxy) => tracing::debug!(proxy, ?took, "the proxy connected"),
            AttemptStep::Secured(host) => tracing::debug!(host, ?took, "the TLS handshake is done"),
            AttemptStep::Accepted => tracing::debug!(?took, "the server accepted the handshake"),
        }
    }

    /// Notes that the server refused the handshake.
    pub(super) fn refused(&self, host: &str, status: StatusCode) {
        tracing::debug!(
            host,
            status = status.as_u16(),
            "the server refused the handshake"
        );
    }

    /// Notes that an attempt failed in another way.
    pub(super) fn failed(&self, host: &str, error: &dyn fmt::Display) {
        tracing::debug!(host, %error, "an attempt to connect failed");
    }

    /// Notes that the client follows a redirect to a server.
    pub(super) fn redirected(&self, host: &str, port: u16) {
        tracing::debug!(host, port, "following a redirect");
    }

    pub(crate) fn request(&self, request: &Request<()>) {
        self.report(OpeningEvent::Request(request));
    }

    pub(crate) fn response(&self, response: &http::response::Parts) {
        if self.0.is_some() {
            let head = Response::from_parts(response.clone(), ());
            self.report(OpeningEvent::Response(&head));
        }
    }

    /// Reports bytes that are not an answer. Does nothing without bytes.
    pub(crate) fn unreadable(&self, bytes: &[u8]) {
        let start = bytes.get(..MAX_UNREADABLE).unwrap_or(bytes);
        if !start.is_empty() {
            self.report(OpeningEvent::Unreadable(start));
        }
    }

    fn report(&self, event: OpeningEvent<'_>) {
        if let Some(callback) = &self.0 {
            callback(event);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.0.is_some()).finish()
    }
}

/// The most bytes of an unreadable answer that an event holds.
pub(super) const MAX_UNREADABLE: usize = 4 * 1024;

/// Whether bytes that came in place of HTTP are a TLS alert record (RFC 8446 §5.1). A TLS server answers
/// plain HTTP with it.
pub(crate) fn are_tls(bytes: &[u8]) -> bool {
    bytes.starts_with(&[ALERT, 3])
}

const ALERT: u8 = 21;
