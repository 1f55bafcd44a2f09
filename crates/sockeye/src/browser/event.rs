//! The states and events of a [`WebSocket`](super::WebSocket).

use std::sync::Arc;

use sockeye_proto::{CloseReason, Message};

use crate::error::BoxError;

/// The state of a [`WebSocket`](super::WebSocket).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "WHATWG's four states")]
pub enum ReadyState {
    /// 0: the connection is not open yet.
    Connecting = 0,
    /// 1: messages go both ways.
    Open = 1,
    /// 2: the closing handshake has begun, or [`WebSocket::close`](super::WebSocket::close) was called.
    Closing = 2,
    /// 3: the connection is closed, or could not be opened.
    Closed = 3,
}

/// One event of [`Events`](super::Events).
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "WHATWG's four events")]
pub enum Event {
    /// The connection is open.
    Open,
    /// The server sent a message.
    Message(MessageEvent),
    /// The connection failed; [`Close`](Self::Close) follows.
    Error(ErrorEvent),
    /// The last event.
    Close(CloseEvent),
}

/// The event `message`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MessageEvent {
    /// The message. There is no counterpart of the browser's `binaryType`: a binary message is bytes.
    pub data: Message,
    origin: Arc<str>,
}

impl MessageEvent {
    pub(super) fn new(data: Message, origin: Arc<str>) -> Self {
        Self { data, origin }
    }

    /// The scheme, host and port of the object's URL, for example `ws://xn--bcher-kva.example:8080`.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// The event `error`. Browsers hide its cause from pages; here it is the
/// [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[error("the connection failed")]
pub struct ErrorEvent {
    source: BoxError,
}

impl ErrorEvent {
    pub(super) fn new(source: BoxError) -> Self {
        Self { source }
    }
}

/// The event `close`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseEvent {
    /// The code of the peer's Close; 1005 if the Close had no code, 1006 if there was no Close.
    pub code: u16,
    /// The reason of the peer's Close.
    pub reason: String,
    /// Whether the closing handshake was completed.
    pub was_clean: bool,
}

impl CloseEvent {
    pub(super) fn new(reason: &CloseReason, was_clean: bool) -> Self {
        Self {
            code: reason.code().get(),
            reason: reason.reason().to_owned(),
            was_clean,
        }
    }

    pub(super) fn abnormal() -> Self {
        Self::new(&CloseReason::abnormal(""), false)
    }
}
