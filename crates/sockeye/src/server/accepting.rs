//! The server's opening handshake on a stream. hyper reads one request and writes its answer; then the stream leaves hyper.
//!
//! ```text
//!            a request                    101
//!   Reading ───────────▶ Answering ─────────────────▶ a connection
//!      │                     └── any other answer ──▶ Refused: the client has the answer
//!      ├── no HTTP ── the answer of unread.rs ──────▶ Refused, Tls
//!      └── the end, an error, the deadline ─────────▶ NoRequest, Io, Timeout
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn, ready};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::admission::Standing;
use super::error::AcceptError;
use super::options::Options;
use super::rules::{Agreement, Asked, Known, on_loopback};
use super::stall::StallGuard;
use super::unread;
use crate::connection::Connection;
use crate::deadline::InputDeadline;
use crate::handshake::ConnectionInfo;
use crate::router::PathParameters;
use crate::sync::{Arc, Mutex, lock};
use crate::transport::Stream;

/// The answer to the request, as far as its connection is concerned.
type Answered = Result<Box<Agreement>, Box<Response<Bytes>>>;

/// Accepts a connection on a stream. The deadline is for the whole request; writing the answer has the write timeout.
pub(super) async fn accept(options: &Options, stream: Stream) -> Result<Connection, AcceptError> {
    let info = ConnectionInfo::of(&stream);
    let mut deadline = pin!(InputDeadline::after(options.handshake_timeout));
    let standing = Arc::new(Standing::default());
    let mut stream = StallGuard::new(stream, options.config.write_timeout);
    stream.swallow_at_first(Arc::clone(&standing));
    let answered: Mutex<Option<Answered>> = Mutex::new(None);
    let service = service_fn(|request: Request<Incoming>| {
        standing.answer();
        let (request, _no_body) = request.into_parts();
        let asked = Asked {
            request: &request,
            parameters: PathParameters::default(),
            info,
            on_loopback: on_loopback(info),
        };
        let (response, kept) = match options.answer(asked, Known::default()) {
            Ok((response, agreement)) => (response.map(|()| Bytes::new()), Ok(agreement)),
            Err(refusal) => (Response::clone(&refusal), Err(refusal)),
        };
        *lock(&answered) = Some(kept);
        ready(Ok::<_, Infallible>(response.map(Full::new)))
    });
    let mut http = options.head_limits.http();
    // The deadline above does it.
    http.header_read_timeout(None);
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    let served = poll_fn(|cx| {
        if let Poll::Ready(served) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(Some(served));
        }
        if standing.is_answering() {
            return Poll::Pending;
        }
        deadline.as_mut().poll_passed(cx).map(|()| None)
    });
    let served = served.await;
    let parts = connection.into_parts();
    let (mut stream, read) = (parts.io.into_inner(), parts.read_buf);
    let error = match served {
        Some(Ok(())) => {
            let answered = lock(&answered).take();
            return match answered.ok_or(AcceptError::NoRequest)? {
                Ok(agreement) => Ok(options.open(stream.into_inner(), &read, *agreement)),
                Err(refusal) => Err(AcceptError::Refused(refusal)),
            };
        }
        Some(Err(error)) => error,
        None => return Err(AcceptError::Timeout(options.handshake_timeout)),
    };
    if !stream.stop_swallowing() && !error.is_parse() {
        return Err(transport_error(error));
    }
    let answer = unread::answer(&error, &read, options.head_limits);
    let refusing = unread::refuse(stream, &answer, options.config.close_timeout);
    // The client still owes its request: it gets no more time.
    tokio::select! {
        biased;
        () = refusing => {}
        () = deadline => {}
    }
    if is_tls(&read) {
        return Err(AcceptError::Tls);
    }
    Err(AcceptError::Refused(Box::new(answer)))
}

/// Converts the error of a transport that failed before the answer was written.
fn transport_error(error: hyper::Error) -> AcceptError {
    if error.is_incomplete_message() {
        return AcceptError::NoRequest;
    }
    let source = error.source().and_then(|source| source.downcast_ref());
    let kind = source.map_or(io::ErrorKind::Other, io::Error::kind);
    AcceptError::Io(io::Error::new(kind, error))
}

/// Whether bytes that came in place of HTTP are a TLS handshake record (RFC 8446 §5.1).
fn is_tls(bytes: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    bytes.starts_with(&[HANDSHAKE, 3])
}
