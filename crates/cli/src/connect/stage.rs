//! The stages of a talk over one connection.
//!
//! ```text
//! Open ──input ends──▶ Flushing ──all is written──▶ Pinged ──Pong──▶ Closing
//!   │                     │                           │                 ▲
//!   │                     └─ written, with --no-ping ─┤ Pong, no answer │
//!   │                                                 ▼                 │
//!   │                                               Grace ─time is up───┤
//!   └─ enough has come, a signal, --wait is over, a stream failed ──────┘
//! ```
//!
//! A deadline ends each stage but the first.

/// A stage of a talk over one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TalkStage {
    /// Messages go both ways.
    Open,
    /// The input has ended. The messages before its end are being written.
    Flushing,
    /// A Ping is sent, and its Pong is awaited.
    ///
    /// Many servers drop unanswered messages when a Close comes. A server that has answered the Ping has seen all
    /// messages before it.
    Pinged,
    /// The server has seen all messages, and has some more time to answer. Some servers answer a Ping before they
    /// answer an earlier message.
    Grace,
    /// The Close is sent, and the peer's Close is awaited.
    Closing,
}

/// Whether a message has arrived since the last one was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// No message was sent.
    Unasked,
    /// No message has arrived since the last one was sent.
    Awaited,
    /// A message has arrived since then.
    Arrived,
}
