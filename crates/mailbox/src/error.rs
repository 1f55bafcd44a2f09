//! The error of a sender.

use sockeye_proto::InvalidCloseReason;

/// The error for a message that was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or closed.
    #[error("the connection is closing or closed")]
    Closed,
    /// A ping's or pong's payload has more than 125 bytes (RFC 6455 §5.5).
    #[error("control payload of {len} bytes is longer than 125")]
    ControlPayloadTooLong {
        /// The length of the payload in bytes.
        len: usize,
    },
    /// The message that was sent in parts is complete: it takes no further part.
    #[error("the message is finished")]
    Finished,
    /// The outbox is full: the bytes that wait to be sent have reached its limit.
    #[error("the outbox is full")]
    Full,
    /// A code or reason that no Close may carry.
    #[error(transparent)]
    InvalidClose(#[from] InvalidCloseReason),
    /// The parts of a text message are not UTF-8 (RFC 6455 §5.6).
    #[error("the text message is not UTF-8")]
    InvalidUtf8,
    /// Another message was begun in parts and cannot be ended: its `MessageWriter` was leaked, for
    /// example by [`forget`](std::mem::forget). The connection can only send a Close.
    #[error("another message is unfinished, and its writer was leaked: close the connection")]
    Unfinished,
}

impl From<sockeye_proto::SendError> for SendError {
    fn from(error: sockeye_proto::SendError) -> Self {
        use sockeye_proto::SendError as Proto;
        match error {
            Proto::ControlPayloadTooLong { len } => Self::ControlPayloadTooLong { len },
            Proto::CloseCode { code } => Self::InvalidClose(InvalidCloseReason::Code(code)),
            // A writer borrows its connection, or keeps its place in the outbox, until it ends its message.
            Proto::MessageOpen => Self::Unfinished,
            _ => Self::Closed,
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn an_error_names_what_was_wrong_and_does_not_repeat_its_source() {
        let errors = [
            (SendError::Closed, "the connection is closing or closed"),
            (
                SendError::ControlPayloadTooLong { len: 126 },
                "control payload of 126 bytes is longer than 125",
            ),
            (SendError::Finished, "the message is finished"),
            (SendError::Full, "the outbox is full"),
            (
                SendError::InvalidClose(InvalidCloseReason::ReasonTooLong(124)),
                "close reason of 124 bytes is longer than 123",
            ),
            (SendError::InvalidUtf8, "the text message is not UTF-8"),
            (SendError::Unfinished, "another message is unfinished"),
        ];
        for (error, text) in errors {
            let shown = error.to_string();
            assert!(shown.starts_with(text), "{shown}");
            let source = error.source().map(ToString::to_string);
            assert!(
                source.is_none_or(|source| !shown.contains(&source)),
                "{shown}"
            );
        }
    }
}
