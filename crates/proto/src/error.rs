//! The errors of this crate, by culprit: the peer ([`ProtocolError`]) or the caller ([`SendError`]). There
//! are no I/O errors.

use std::time::Duration;

use crate::close::{CloseCode, CloseReason};

/// The rule that the peer broke. It fails the connection (RFC 6455 §7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A Close frame's body of one byte, which has no room for a code.
    #[error("Close frame with a body of one byte")]
    CloseBodyTooShort,
    /// A control frame without FIN.
    #[error("fragmented control frame")]
    ControlFrameFragmented,
    /// A control frame's payload of more than 125 bytes.
    #[error("control frame with more than 125 bytes of payload")]
    ControlFrameTooLong,
    /// A text or binary frame while a fragmented message is open.
    #[error("opcode {opcode:#x} inside a fragmented message: expected a continuation (0x0)")]
    ExpectedContinuation {
        /// The opcode of the frame.
        opcode: u8,
    },
    /// A close code that no Close frame may carry.
    #[error("Close frame with the reserved code {code}")]
    InvalidCloseCode {
        /// The code.
        code: u16,
    },
    /// A compressed message whose payload is not DEFLATE.
    #[error("compressed message that cannot be inflated")]
    InvalidDeflate,
    /// A text message that is not UTF-8.
    #[error("text message that is not UTF-8")]
    InvalidUtf8,
    /// A close reason that is not UTF-8.
    #[error("close reason that is not UTF-8")]
    InvalidUtf8InCloseReason,
    /// A payload length that a shorter form could hold.
    #[error("payload length not in its shortest form")]
    LengthNotMinimal,
    /// A payload length with its most significant bit set.
    #[error("payload length with its most significant bit set")]
    LengthOutOfRange,
    /// A masked frame from a server.
    #[error("masked frame from a server")]
    MaskedFrame,
    /// An unfinished message of which nothing came for a time.
    #[error("message without progress for {limit:?}")]
    MessageStalled {
        /// The time.
        limit: Duration,
    },
    /// An unfinished message that this endpoint dropped. The memory for unfinished messages was used up, and this
    /// message had made the least progress.
    #[error("the memory for unfinished messages is used up")]
    MessageGivenUp,
    /// A message longer than the limit of this endpoint.
    #[error("message of at least {size} bytes: the limit is {limit}")]
    MessageTooBig {
        /// The least size of the message in bytes: the payload that its frames announced so far. Where a compressed
        /// message becomes too long as it is inflated, this is one more than the limit.
        size: u64,
        /// The limit in bytes, inclusive.
        limit: u64,
    },
    /// A message that was not complete in the time for a whole message.
    #[error("message that is not complete after {limit:?}")]
    MessageTooSlow {
        /// The time.
        limit: Duration,
    },
    /// A reserved bit without a negotiated meaning.
    #[error("reserved bit set without an extension that uses it")]
    ReservedBit,
    /// An opcode without a meaning.
    #[error("reserved opcode {opcode:#x}")]
    ReservedOpCode {
        /// The opcode.
        opcode: u8,
    },
    /// A message in more fragments than the limit of this endpoint.
    #[error("message in more than {limit} fragments")]
    TooManyFragments {
        /// The limit, inclusive.
        limit: u32,
    },
    /// A continuation frame while no message is open.
    #[error("continuation frame without a message to continue")]
    UnexpectedContinuation,
    /// An unmasked frame from a client.
    #[error("unmasked frame from a client")]
    UnmaskedFrame,
}

impl ProtocolError {
    /// The code of the Close frame that reports the error to the peer (§7.4.1).
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::InvalidDeflate | Self::InvalidUtf8 | Self::InvalidUtf8InCloseReason => {
                CloseCode::INVALID_PAYLOAD
            }
            Self::MessageTooBig { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::MessageGivenUp => CloseCode::TRY_AGAIN_LATER,
            Self::MessageStalled { .. }
            | Self::MessageTooSlow { .. }
            | Self::TooManyFragments { .. } => CloseCode::POLICY_VIOLATION,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// The code and the text of the Close frame that reports the error to the peer.
    pub fn close_reason(&self) -> CloseReason {
        CloseReason::cut(self.close_code(), &self.to_string())
    }

    /// The RFC and the section of the rule.
    pub fn section(&self) -> &'static str {
        match self {
            Self::MaskedFrame | Self::UnmaskedFrame => "RFC 6455 §5.1",
            Self::LengthNotMinimal
            | Self::LengthOutOfRange
            | Self::ReservedBit
            | Self::ReservedOpCode { .. } => "RFC 6455 §5.2",
            Self::ExpectedContinuation { .. } | Self::UnexpectedContinuation => "RFC 6455 §5.4",
            Self::ControlFrameFragmented | Self::ControlFrameTooLong => "RFC 6455 §5.5",
            Self::CloseBodyTooShort => "RFC 6455 §5.5.1",
            Self::InvalidCloseCode { .. } => "RFC 6455 §7.4",
            Self::InvalidDeflate => "RFC 7692 §7.2.2",
            Self::InvalidUtf8 | Self::InvalidUtf8InCloseReason => "RFC 6455 §8.1",
            Self::MessageGivenUp
            | Self::MessageStalled { .. }
            | Self::MessageTooBig { .. }
            | Self::MessageTooSlow { .. }
            | Self::TooManyFragments { .. } => "RFC 6455 §10.4",
        }
    }
}

/// Why the connection refused to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// This side has sent its Close, and no frame may follow it (§5.5.1).
    #[error("the connection is closing or closed")]
    Closed,
    /// A close code that is for local reports only, such as 1006.
    #[error("close code {code} must not be sent")]
    CloseCode {
        /// The code.
        code: u16,
    },
    /// A ping's or pong's payload of more than 125 bytes (§5.5).
    #[error("control payload of {len} bytes is longer than 125")]
    ControlPayloadTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A whole message, or a part of another kind, while a message sent in parts is open (§5.4).
    #[error("a message sent in parts is still open")]
    MessageOpen,
    /// Unmasked frames on a client's connection (§5.3).
    #[error("a client's frames are masked")]
    Unmasked,
}
