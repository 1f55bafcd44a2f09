//! The body of an answer to a handshake inside another HTTP server.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

/// The body of an answer of a [`Container`](super::Container) or an [`Acceptor`](super::Acceptor): empty for a 101, else the
/// reason of the refusal. As an `http_body::Body` it is one frame at most. A service that answers other requests too makes
/// one of its own bytes.
#[derive(Clone, Debug, Default)]
pub struct ResponseBody(Full<Bytes>);

impl From<Bytes> for ResponseBody {
    fn from(body: Bytes) -> Self {
        Self(Full::new(body))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
