//! One request and its answer over HTTP/1.1, by hyper, on a transport that leaves it afterwards.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use crate::deadline::timeout;
use crate::transport::Stream;

/// Drives one connection. Boxed: it is large, and done with long before the transport is.
pub(super) type Driving = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// The most bytes of a refusal's body that its error tells, and how long it waits for them.
const MAX_REFUSAL_BODY: usize = 4 * 1024;
const REFUSAL_BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// The most bytes of a response's head, and the most header fields.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;

pub(super) async fn begin(
    stream: Stream,
) -> hyper::Result<(http1::SendRequest<Empty<Bytes>>, Driving)> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await?;
    Ok((sender, Box::pin(connection.with_upgrades())))
}

/// Drives an HTTP connection beside what waits for something of it. It may end first, with what is
/// waited for read already; its errors come that way too.
pub(super) async fn beside<F: Future>(connection: &mut Option<Driving>, waiting: F) -> F::Output {
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

/// What comes soon of a body. Its head has come, so nobody waits for this for long.
pub(super) async fn start_of(connection: &mut Option<Driving>, mut body: Incoming) -> Bytes {
    let mut start = Vec::new();
    let reading = beside(connection, read_start(&mut body, &mut start));
    let _ = timeout(REFUSAL_BODY_TIMEOUT, reading).await;
    start.into()
}

/// The transport that hyper was given, and what it has read beyond the answer.
pub(super) fn into_transport(upgraded: Upgraded) -> Option<(Stream, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<Stream>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf))
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
