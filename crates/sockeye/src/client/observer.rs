//! What a client tells while it opens a connection: each head, as soon as it is written or read.

use std::fmt;
use std::sync::Arc;

use http::{Request, Response};

/// A part of opening a connection, for [`Client::on_opening`](super::Client::on_opening).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum OpeningEvent<'a> {
    /// A request is written: `CONNECT` to a proxy, or the handshake to the server. Secrets in its fields are marked as
    /// sensitive.
    Request(&'a Request<()>),
    /// The head of its answer was read, whatever the status. Secrets in its fields are marked as sensitive.
    Response(&'a Response<()>),
    /// The first bytes that were read where no answer is: a head that was cut off or did not end in time, or another
    /// protocol. At most 4 KiB.
    Unreadable(&'a [u8]),
}

/// Who is told of the parts, if anyone is.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Arc<Tell>>);

type Tell = dyn Fn(OpeningEvent<'_>) + Send + Sync;

impl Observer {
    pub(super) fn new(tell: impl Fn(OpeningEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    pub(crate) fn request(&self, request: &Request<()>) {
        self.tell(OpeningEvent::Request(request));
    }

    pub(crate) fn response(&self, response: &http::response::Parts) {
        if self.0.is_some() {
            let head = Response::from_parts(response.clone(), ());
            self.tell(OpeningEvent::Response(&head));
        }
    }

    /// Of the bytes that are no answer; of none there is nothing to tell.
    pub(crate) fn unreadable(&self, bytes: &[u8]) {
        let start = bytes.get(..MAX_UNREADABLE).unwrap_or(bytes);
        if !start.is_empty() {
            self.tell(OpeningEvent::Unreadable(start));
        }
    }

    fn tell(&self, event: OpeningEvent<'_>) {
        if let Some(tell) = &self.0 {
            tell(event);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.0.is_some()).finish()
    }
}

/// So many bytes of what is no answer are told.
pub(super) const MAX_UNREADABLE: usize = 4 * 1024;

/// Whether bytes that came in the place of HTTP are a record of TLS (RFC 8446 §5.1): an alert, from a server that was
/// sent no TLS.
pub(crate) fn are_tls(bytes: &[u8]) -> bool {
    bytes.starts_with(&[ALERT, 3])
}

const ALERT: u8 = 21;
