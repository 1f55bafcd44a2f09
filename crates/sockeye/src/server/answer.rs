//! Answers with a reason in plain text.

use std::fmt;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

/// An answer with a reason in plain text. The connection may go on.
pub(super) fn plain(status: StatusCode, reason: impl fmt::Display) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{reason}\n")));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

/// An answer with a reason in plain text that ends the connection: the client may have sent frames behind its handshake.
pub(super) fn refusal(status: StatusCode, reason: impl fmt::Display) -> Response<Bytes> {
    let mut response = plain(status, reason);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

/// A refusal because of a fault of the server.
pub(super) fn internal(reason: impl fmt::Display) -> Response<Bytes> {
    refusal(StatusCode::INTERNAL_SERVER_ERROR, reason)
}
