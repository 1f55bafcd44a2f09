//! What the code that `#[server_endpoint]` writes calls. Not for others.

use std::str::FromStr;

use sockeye_proto::CloseCode;

use super::incoming::MessageKind;
use super::reply::Reply;
use super::session::Session;
use crate::error::{BoxError, Result};

/// The value of a `#[path]` parameter, parsed.
pub fn path<T: FromStr<Err: Into<BoxError>>>(session: &Session, name: &str) -> Result<T> {
    Ok(session.parameters().parse(name)?)
}

/// The value of a `#[path]` parameter.
pub fn path_text<'s>(session: &'s Session, name: &str) -> Result<&'s str> {
    Ok(session.parameters().text(name)?)
}

/// Answers a message that the endpoint has no method for: 1003 (RFC 6455 §7.4.1). A Pong needs none.
pub fn unsupported<'m>(session: &Session, kind: MessageKind) -> Reply<'m> {
    let reason = match kind {
        MessageKind::Text => "text messages are not taken here",
        MessageKind::Binary => "binary messages are not taken here",
        MessageKind::Pong => return Reply::None,
    };
    let closed = session.close(CloseCode::UNSUPPORTED_DATA, reason);
    debug_assert!(closed.is_ok(), "1003 may be sent");
    Reply::None
}

/// An error that `on_error` itself made: there is nobody to be told but the log.
pub fn unreported(session: &Session, error: &BoxError) {
    tracing::warn!(session = %session.id(), %error, "on_error failed");
}

/// Whether two handlers take the same kind of message, where a constant has to know.
pub const fn same_kind(a: MessageKind, b: MessageKind) -> bool {
    a as u8 == b as u8
}
