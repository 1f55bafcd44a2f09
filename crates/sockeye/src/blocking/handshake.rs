//! The opening handshake over a blocking stream (RFC 6455 section 4.1): one request and its answer.

use std::io;
use std::time::Instant;

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{HeaderName, HeaderValue, Request, Response};
use sockeye_proto::handshake::{Accepted, ClientHandshake, ResponseError};

use super::stream::Stream;
use crate::client::{ConnectError, Observer, are_tls};
use crate::secret;

/// The result of a handshake, and the bytes that were read beyond it.
pub(super) struct Opened {
    pub(super) accepted: Accepted,
    pub(super) read_ahead: Vec<u8>,
}

pub(super) fn shake_hands(
    stream: &mut Stream,
    handshake: &ClientHandshake,
    deadline: Instant,
    observer: &Observer,
    store_cookie: impl Fn(&HeaderValue),
) -> Result<Opened, ConnectError> {
    let (answer, read_ahead) = exchange(stream, &handshake.request(), deadline, observer)?;
    let (parts, ()) = answer.into_parts();
    parts
        .headers
        .get_all(SET_COOKIE)
        .iter()
        .for_each(store_cookie);
    match handshake.receive(&parts) {
        Ok(accepted) => Ok(Opened {
            accepted,
            read_ahead,
        }),
        Err(ResponseError::Refused { .. }) => {
            let response = Response::from_parts(parts, Bytes::from(read_ahead));
            Err(ConnectError::Refused(Box::new(response)))
        }
        Err(error) => Err(ConnectError::Response(error)),
    }
}

/// Sends a request. Returns the head of its answer, and the bytes that were read beyond it.
pub(super) fn exchange(
    stream: &mut Stream,
    request: &Request<()>,
    deadline: Instant,
    observer: &Observer,
) -> Result<(Response<()>, Vec<u8>), ConnectError> {
    observer.request(request);
    let mut read = Vec::new();
    let answered = read_answer(stream, request, deadline, &mut read);
    let answered = answered.map(|(mut answer, rest)| {
        secret::mark_all(answer.headers_mut());
        let (parts, ()) = answer.into_parts();
        observer.response(&parts);
        (Response::from_parts(parts, ()), rest)
    });
    answered.map_err(|error| {
        observer.unreadable(&read);
        match error {
            ConnectError::Head if are_tls(&read) => ConnectError::TlsExpected,
            error => error,
        }
    })
}

/// Sends a request, and reads until the head of its answer is complete. On failure `read` holds the bytes that were
/// read.
fn read_answer(
    stream: &mut Stream,
    request: &Request<()>,
    deadline: Instant,
    read: &mut Vec<u8>,
) -> Result<(Response<()>, Vec<u8>), ConnectError> {
    let sent = stream.write_all_until(&head(request), deadline);
    sent.map_err(ConnectError::transport)?;
    loop {
        if let Some((answer, len)) = parse(read)? {
            let rest = read.split_off(len);
            // RFC 9110 §15.2: a response with any other 1xx precedes the answer.
            if answer.status().is_informational() && answer.status() != 101 {
                *read = rest;
                continue;
            }
            return Ok((answer, rest));
        }
        if read.len() >= MAX_HEAD {
            return Err(ConnectError::Head);
        }
        let mut chunk = [0; 4096];
        match stream.read_until(&mut chunk, Some(deadline)) {
            Ok(0) => return Err(ConnectError::NoResponse),
            Ok(len) => read.extend_from_slice(chunk.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(ConnectError::NoResponse);
            }
            Err(error) => return Err(ConnectError::transport(error)),
        }
    }
}

/// Writes the head of a request.
fn head(request: &Request<()>) -> Vec<u8> {
    let (method, uri) = (request.method(), request.uri());
    let mut head = format!("{method} {uri} HTTP/1.1\r\n").into_bytes();
    for (name, value) in request.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Parses the head of an answer, and returns its length too; `None` while it is incomplete.
fn parse(read: &[u8]) -> Result<Option<(Response<()>, usize)>, ConnectError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut fields);
    let len = match parsed.parse(read) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(ConnectError::Head),
    };
    let mut answer = Response::builder().status(parsed.code.unwrap_or_default());
    answer = answer.version(match parsed.version {
        Some(0) => http::Version::HTTP_10,
        _ => http::Version::HTTP_11,
    });
    for field in parsed.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(ConnectError::Head);
        };
        answer = answer.header(name, value);
    }
    let answer = answer.body(()).map_err(|_| ConnectError::Head)?;
    Ok(Some((answer, len)))
}

/// The most bytes of a response's head, and the most header fields.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;
