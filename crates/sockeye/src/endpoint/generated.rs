//! Functions for the code that `#[server_endpoint]` and `#[client_endpoint]` generate. Not for other code.

use std::str::FromStr;

use sockeye_proto::CloseCode;
pub use sockeye_proto::WholeMessage;

#[cfg(feature = "topics-wire")]
use super::config::EndpointConfig;
use super::incoming::{Incoming, IncomingKind};
use super::reply::Reply;
use super::report;
use super::session::Session;
use crate::error::{BoxError, HandlerError, HandlerResult};

/// Returns the value of a `#[path]` parameter, parsed.
pub fn path<T: FromStr<Err: Into<BoxError>>>(session: &Session, name: &str) -> HandlerResult<T> {
    let parsed = session.parameters().parse(name);
    parsed.map_err(HandlerError::path)
}

/// Returns the value of a `#[path]` parameter.
pub fn path_text<'s>(session: &'s Session, name: &str) -> HandlerResult<&'s str> {
    let text = session.parameters().text(name);
    text.map_err(HandlerError::path)
}

/// Closes the session with 1003 (RFC 6455 §7.4.1) for a message of a kind that the endpoint has no method for. A Ping
/// and a Pong are ignored.
pub fn unsupported<'m>(session: &Session, kind: IncomingKind) -> Reply<'m> {
    let reason = match kind {
        IncomingKind::Text => "text messages are not accepted here",
        IncomingKind::Binary => "binary messages are not accepted here",
        IncomingKind::Ping | IncomingKind::Pong => return Reply::None,
    };
    let closed = session.close(CloseCode::UNSUPPORTED_DATA, reason);
    debug_assert!(closed.is_ok(), "1003 may be sent");
    Reply::None
}

/// Calls a handler that borrows the message, with a message that is in a buffer of its own.
pub fn at_once<'m>(
    message: Incoming<'m>,
    answer: impl FnOnce(WholeMessage<'m>) -> Option<HandlerResult<Reply<'m>>>,
) -> HandlerResult<Reply<'m>> {
    message.lend().and_then(answer).unwrap_or(Ok(Reply::None))
}

/// Returns the kind of a borrowed message.
#[inline]
pub fn kind_of(message: WholeMessage<'_>) -> IncomingKind {
    match message {
        WholeMessage::Binary(_) => IncomingKind::Binary,
        WholeMessage::Text(_) => IncomingKind::Text,
    }
}

/// A type that borrows its content from a message: `&str` or `&[u8]`.
pub trait Lent<'m>: Sized {
    /// Borrows from a message of the type's kind.
    ///
    /// # Errors
    ///
    /// If the message is of the other kind.
    fn from_lent(message: WholeMessage<'m>) -> HandlerResult<Self>;
}

impl<'m> Lent<'m> for &'m str {
    #[inline]
    fn from_lent(message: WholeMessage<'m>) -> HandlerResult<Self> {
        match message {
            WholeMessage::Text(text) => Ok(text),
            WholeMessage::Binary(_) => {
                Err("a handler of text messages was given a binary message".into())
            }
        }
    }
}

impl<'m> Lent<'m> for &'m [u8] {
    #[inline]
    fn from_lent(message: WholeMessage<'m>) -> HandlerResult<Self> {
        match message {
            WholeMessage::Binary(bytes) => Ok(bytes),
            WholeMessage::Text(_) => {
                Err("a handler of binary messages was given a text message".into())
            }
        }
    }
}

/// A configuration that lets clients agree on the subprotocol of topics. The attribute's word `topics` uses it.
#[diagnostic::on_unimplemented(
    message = "the word `topics` of `#[server_endpoint]` needs the feature `topics-wire` of `sockeye`",
    label = "this word needs the feature",
    note = "write `features = [\"topics-wire\"]` at the dependency on `sockeye` in `Cargo.toml`, or remove the word"
)]
pub trait SpeakTopics {
    /// Lets clients agree on the subprotocol.
    #[must_use]
    fn topics(self) -> Self;
}

#[cfg(feature = "topics-wire")]
impl SpeakTopics for EndpointConfig {
    fn topics(self) -> Self {
        Self::topics(self)
    }
}

/// Logs an error of `on_error` itself, which no other callback can handle.
pub fn unreported(session: &Session, error: &HandlerError) {
    report::on_error_failed(session, error);
}

/// Returns the kinds of messages that are taken in parts.
pub const fn in_parts(handlers: &[(Kinds, bool)]) -> &'static [IncomingKind] {
    let (mut text, mut binary) = (false, false);
    let mut rest = handlers;
    while let [(kinds, in_parts), others @ ..] = rest {
        match kinds.first {
            IncomingKind::Text => text |= *in_parts,
            IncomingKind::Binary => binary |= *in_parts,
            IncomingKind::Ping | IncomingKind::Pong => {}
        }
        rest = others;
    }
    match (text, binary) {
        (true, true) => &[IncomingKind::Text, IncomingKind::Binary],
        (true, false) => &[IncomingKind::Text],
        (false, true) => &[IncomingKind::Binary],
        (false, false) => &[],
    }
}

/// Returns whether a handler takes the peer's Pings.
pub const fn takes_pings(handlers: &[Kinds]) -> bool {
    let mut rest = handlers;
    while let [kinds, others @ ..] = rest {
        if kinds.include(IncomingKind::Ping) {
            return true;
        }
        rest = others;
    }
    false
}

/// The kinds of messages that one method takes: one, or text and binary alike.
#[derive(Clone, Copy, Debug)]
pub struct Kinds {
    first: IncomingKind,
    second: IncomingKind,
}

impl Kinds {
    /// Makes the kinds of a handler's argument, of its constants `KIND` and `EITHER`.
    pub const fn new(kind: IncomingKind, either: bool) -> Self {
        Self {
            first: kind,
            second: if either { IncomingKind::Binary } else { kind },
        }
    }

    /// Returns whether this is one of the kinds.
    #[inline(always)]
    pub const fn include(self, kind: IncomingKind) -> bool {
        // `==` is not available in a constant context.
        kind as u8 == self.first as u8 || kind as u8 == self.second as u8
    }

    /// Returns whether two methods take messages of one kind.
    pub const fn meet(self, other: Self) -> bool {
        self.include(other.first) || self.include(other.second)
    }

    /// Returns whether these are control frames, which have a limit of their own.
    pub const fn are_control(self) -> bool {
        matches!(self.first, IncomingKind::Ping | IncomingKind::Pong)
    }
}

/// The limits of an endpoint's methods, one for each kind.
#[derive(Debug)]
pub struct Limits {
    all: [(IncomingKind, u64); 4],
    len: usize,
}

impl Limits {
    /// Makes the limits. A method of both kinds limits both.
    pub const fn new(methods: &[(Kinds, u64)]) -> Self {
        let mut limits = Self {
            all: [(IncomingKind::Text, 0); 4],
            len: 0,
        };
        let mut rest = methods;
        while let [(kinds, bytes), others @ ..] = rest {
            limits = limits.with(kinds.first, *bytes);
            if kinds.first as u8 != kinds.second as u8 {
                limits = limits.with(kinds.second, *bytes);
            }
            rest = others;
        }
        limits
    }

    /// Two methods of one kind do not compile, so there are no more than kinds.
    const fn with(mut self, kind: IncomingKind, bytes: u64) -> Self {
        if self.len < self.all.len() {
            self.all[self.len] = (kind, bytes);
            self.len += 1;
        }
        self
    }

    /// Returns the limits.
    pub const fn as_slice(&self) -> &[(IncomingKind, u64)] {
        self.all.split_at(self.len).0
    }
}
