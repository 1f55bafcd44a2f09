//! What the code that `#[server_endpoint]` writes calls. Not for others.

use std::str::FromStr;

use sockeye_proto::CloseCode;
pub use sockeye_proto::WholeMessage;

use super::incoming::{Incoming, MessageKind};
use super::reply::Reply;
use super::report;
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

/// Answers a message by a handler that borrows it.
pub fn at_once<'m>(
    message: Incoming<'m>,
    answer: impl FnOnce(WholeMessage<'m>) -> Option<Result<Reply<'m>>>,
) -> Result<Reply<'m>> {
    message.lend().and_then(answer).unwrap_or(Ok(Reply::None))
}

/// Which of the kinds a message is that is lent.
#[inline]
pub fn kind_of(message: WholeMessage<'_>) -> MessageKind {
    match message {
        WholeMessage::Binary(_) => MessageKind::Binary,
        WholeMessage::Text(_) => MessageKind::Text,
    }
}

/// What a handler borrows of a message, where it lies.
pub trait Lent<'m>: Sized {
    /// Borrows it of a message of its kind.
    ///
    /// # Errors
    ///
    /// When the message is of the other kind.
    fn from_lent(message: WholeMessage<'m>) -> Result<Self>;
}

impl<'m> Lent<'m> for &'m str {
    #[inline]
    fn from_lent(message: WholeMessage<'m>) -> Result<Self> {
        match message {
            WholeMessage::Text(text) => Ok(text),
            WholeMessage::Binary(_) => Err("a handler of text was given bytes".into()),
        }
    }
}

impl<'m> Lent<'m> for &'m [u8] {
    #[inline]
    fn from_lent(message: WholeMessage<'m>) -> Result<Self> {
        match message {
            WholeMessage::Binary(bytes) => Ok(bytes),
            WholeMessage::Text(_) => Err("a handler of bytes was given a text".into()),
        }
    }
}

/// An error that `on_error` itself made: there is nobody to be told but the log.
pub fn unreported(session: &Session, error: &BoxError) {
    report::on_error_failed(session, error);
}

/// The kinds of which messages are taken in parts.
pub const fn in_parts(handlers: &[(MessageKind, bool)]) -> &'static [MessageKind] {
    let (mut text, mut binary) = (false, false);
    let mut rest = handlers;
    while let [(kind, in_parts), others @ ..] = rest {
        match kind {
            MessageKind::Text => text |= *in_parts,
            MessageKind::Binary => binary |= *in_parts,
            MessageKind::Pong => {}
        }
        rest = others;
    }
    match (text, binary) {
        (true, true) => &[MessageKind::Text, MessageKind::Binary],
        (true, false) => &[MessageKind::Text],
        (false, true) => &[MessageKind::Binary],
        (false, false) => &[],
    }
}

/// Whether two handlers take the same kind of message, where a constant has to know.
pub const fn same_kind(a: MessageKind, b: MessageKind) -> bool {
    a as u8 == b as u8
}
