//! Events of opening a connection: each head of a request or response, as soon as it is written or read.

use std::fmt;
use std::sync::Arc;

use http::{Request, Response};

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

/// The caller's function for the events, if one is set.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Arc<Callback>>);

type Callback = dyn Fn(OpeningEvent<'_>) + Send + Sync;

impl Observer {
    pub(super) fn new(callback: impl Fn(OpeningEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(callback)))
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
