//! One request and its answer over HTTP/1.1. hyper does it on a transport that it gives back afterwards.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::observer::{MAX_UNREADABLE, Observer, are_tls};
use crate::deadline::timeout;
use crate::secret;
use crate::sync::{Mutex, lock};
use crate::transport::Stream;

/// The future that drives hyper's connection. Boxed, because it is large and ends long before the transport.
pub(super) type HttpDriver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// The most bytes of a refusal's body that the error holds, and the longest wait for them.
const MAX_REFUSAL_BODY: usize = 4 * 1024;
const REFUSAL_BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// The most bytes of a response's head, and the most header fields.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;

/// An answer, with the connection that delivers its body or its upgrade.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    pub(super) connection: Option<HttpDriver>,
    /// Kept because hyper may end the connection when it is dropped.
    pub(super) sender: http1::SendRequest<Empty<Bytes>>,
}

/// The error of an HTTP exchange: the answer is not HTTP, or the transport failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct HttpError(hyper::Error);

impl HttpError {
    pub(crate) fn new(error: hyper::Error) -> Self {
        Self(error)
    }

    /// Returns whether the peer answered with bytes that are not HTTP.
    pub fn is_parse(&self) -> bool {
        self.0.is_parse()
    }
}

/// The reason why there is no answer.
pub(super) struct Unanswered {
    pub(super) error: hyper::Error,
    /// Whether a TLS record came in place of an answer.
    pub(super) is_tls: bool,
}

/// Sends a request on a transport, and reads the head of the answer.
pub(super) async fn ask(
    stream: Stream,
    request: Request<()>,
    observer: &Observer,
) -> Result<Answered, Unanswered> {
    // Reports the bytes that were read if no answer came, also when this future is dropped.
    let unread = Unread {
        bytes: Arc::default(),
        observer: Some(observer),
    };
    let unanswered = |error| Unanswered {
        error,
        is_tls: are_tls(&lock(&unread.bytes)),
    };
    let tap = Tap {
        stream,
        copy: Arc::clone(&unread.bytes),
    };
    let beginning = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(tap));
    let (mut sender, connection) = beginning.await.map_err(unanswered)?;
    let mut connection: Option<HttpDriver> = Some(Box::pin(connection.with_upgrades()));
    observer.request(&request);
    let request = request.map(|()| Empty::new());
    let response = drive_until(&mut connection, sender.send_request(request));
    let (mut parts, body) = response.await.map_err(unanswered)?.into_parts();
    secret::mark_all(&mut parts.headers);
    unread.answered();
    observer.response(&parts);
    Ok(Answered {
        response: Response::from_parts(parts, body),
        connection,
        sender,
    })
}

/// The bytes that were read before an answer was complete. Dropping it reports them to the observer.
struct Unread<'a> {
    bytes: Arc<Mutex<Vec<u8>>>,
    observer: Option<&'a Observer>,
}

impl Unread<'_> {
    /// Reports nothing: the answer is complete.
    fn answered(mut self) {
        self.observer = None;
    }
}

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        if let Some(observer) = self.observer {
            observer.unreadable(&lock(&self.bytes));
        }
    }
}

/// A transport that keeps a copy of the first bytes that are read.
struct Tap {
    stream: Stream,
    copy: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        let mut copy = lock(&self.copy);
        let room = MAX_UNREADABLE.saturating_sub(copy.len());
        copy.extend_from_slice(read.get(..room).unwrap_or(read));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Drives an HTTP connection until `waiting` completes. The connection may end first: `waiting` still gets the data
/// that was read before, and the connection's error.
pub(super) async fn drive_until<F: Future>(
    connection: &mut Option<HttpDriver>,
    waiting: F,
) -> F::Output {
    let mut waiting = pin!(waiting);
    poll_fn(|cx| {
        if let Some(driven) = connection
            && driven.as_mut().poll(cx).is_ready()
        {
            *connection = None;
        }
        waiting.as_mut().poll(cx)
    })
    .await
}

/// The start of a body, as far as it arrives within [`REFUSAL_BODY_TIMEOUT`].
pub(super) async fn start_of(connection: &mut Option<HttpDriver>, mut body: Incoming) -> Bytes {
    let mut start = Vec::new();
    let reading = drive_until(connection, read_start(&mut body, &mut start));
    let _ = timeout(REFUSAL_BODY_TIMEOUT, reading).await;
    start.into()
}

/// Takes the transport back from hyper, with the bytes that hyper read beyond the answer.
pub(super) fn into_transport(upgraded: Upgraded) -> Option<(Stream, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<Tap>>().ok()?;
    Some((parts.io.into_inner().stream, parts.read_buf))
}

async fn read_start(body: &mut Incoming, start: &mut Vec<u8>) {
    while start.len() < MAX_REFUSAL_BODY
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Ok(data) = frame.into_data() {
            let room = MAX_REFUSAL_BODY - start.len();
            start.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::client::OpeningEvent;

    #[tokio::test(start_paused = true)]
    async fn the_start_of_an_answer_is_reported_when_the_client_no_longer_waits_for_the_rest() {
        let (near, mut far) = tokio::io::duplex(1024);
        // Kept, so that the stream does not end.
        let _far = tokio::spawn(async move {
            assert!(far.read(&mut [0; 1024]).await.unwrap() > 0);
            far.write_all(b"HTTP/1.1 101 Sw").await.unwrap();
            far
        });
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        let observer = Observer::new(move |event| {
            if let OpeningEvent::Unreadable(bytes) = event {
                lock(&telling).extend_from_slice(bytes);
            }
        });
        let request = Request::get("/").header("host", "h").body(()).unwrap();
        let asking = ask(Stream::new(near), request, &observer);
        let given_up = tokio::time::timeout(Duration::from_secs(1), asking).await;
        assert!(given_up.is_err());
        assert_eq!(*lock(&told), b"HTTP/1.1 101 Sw");
    }
}
