//! How far a talk over one connection has come.
//!
//! ```text
//! Open ──input ends──▶ PingWanted ──all is written──▶ Pinged ──Pong──▶ Closing
//!   │                      └────────── time is up ──────┴─────────────────▲
//!   └── enough has come, a signal, --wait is over, stdin or stdout failed ┘
//! ```

/// A step of the way to the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Messages go both ways.
    Open,
    /// The input has ended. A Ping is sent when everything before it is written.
    ///
    /// Many servers drop unanswered messages when a Close comes. A server that has answered the Ping has seen all
    /// messages before it.
    PingWanted,
    /// The Ping is sent, and its Pong is awaited.
    Pinged,
    /// The Close is sent, and the peer's Close is awaited.
    Closing,
}
