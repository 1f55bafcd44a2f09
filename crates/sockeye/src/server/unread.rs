//! The answer to a request that hyper cannot read. hyper answers it without a body; here the answer says what is wrong.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::answer::refusal;
use super::shared::HeadLimits;
use crate::deadline;

/// Writes the answer to a request that was not read, and ends the connection in order: input is discarded until the
/// peer's end, so that no reset destroys the answer.
pub(super) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    answer: &Response<Bytes>,
    timeout: Duration,
) {
    let answer = text(answer);
    let ending = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        discard(&mut stream).await
    };
    // A failure is ignored: a peer that has gone needs no answer.
    let _ = deadline::timeout(timeout, ending).await;
}

/// Returns the answer to a request of which `read` was read.
pub(super) fn answer(error: &hyper::Error, read: &[u8], limits: HeadLimits) -> Response<Bytes> {
    let HeadLimits { bytes, fields } = limits;
    let (status, reason) = if !error.is_parse_too_large() {
        let reason = format!("cannot read the request: {error}");
        (StatusCode::BAD_REQUEST, reason)
    } else if head_len(read) > bytes {
        let reason = format!("the request head is too large: the limit is {bytes} bytes");
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, reason)
    } else if has_more_fields(read, fields) {
        let reason = format!("the request has too many header fields: the limit is {fields}");
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, reason)
    } else {
        let reason = "the request target is too long".to_owned();
        (StatusCode::URI_TOO_LONG, reason)
    };
    refusal(status, reason)
}

/// Returns the bytes of an answer.
fn text(answer: &Response<Bytes>) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {}\r\n", answer.status()).into_bytes();
    for (name, value) in answer.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    let body = answer.body();
    text.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    text.extend_from_slice(body);
    text
}

/// Returns the length of the head. If its end was not read, it is more than the limit, where hyper stops reading.
fn head_len(read: &[u8]) -> usize {
    let end = read.windows(4).position(|four| four == b"\r\n\r\n");
    end.map_or(read.len() + 1, |at| at + 4)
}

fn has_more_fields(read: &[u8], fields: usize) -> bool {
    let head = read.get(..head_len(read)).unwrap_or(read);
    // The first line is the request's own, the last one is empty.
    head.split(|byte| *byte == b'\n')
        .skip(1)
        .filter(|line| line.len() > 1)
        .count()
        > fields
}

async fn discard<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<()> {
    let mut left = MAX_DISCARDED;
    let mut room = [0; 4096];
    while left > 0 {
        match stream.read(&mut room).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

/// The most bytes that are discarded of a peer that goes on sending.
const MAX_DISCARDED: usize = 1 << 20;
