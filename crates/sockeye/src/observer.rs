//! The observer: where the parts of a server report what an operator wants to know. [`Counters`](crate::stats::Counters)
//! observes the events of one server today; whatever else listens later gets the same events from there. Knows none of
//! the parts.
//!
//! | place | event |
//! |---|---|
//! | accepting and reception | a connection or a handshake is refused or fails; a session opens |
//! | read and write | nothing yet: the link would report when its driver parks |
//! | end | a session ends |
//! | overflow | messages are dropped |
//! | a client's attempt | `client/observer.rs` logs its steps |
//!
//! Each event is rare: none belongs to a message that was handled.

/// An event of a server or of one of its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A connection was dropped for a new one before it had sent a byte.
    SilentConnectionDropped,
    /// A connection is answered with 503, because the limit of connections is reached.
    ConnectionRefused,
    /// A TLS handshake failed, or did not end in time.
    TlsHandshakeFailed,
    /// An HTTP connection ended with an error, or brought no request in time.
    HttpConnectionFailed,
    /// A handshake for an endpoint was refused.
    HandshakeRefused(HandshakeRefusal),
    SessionOpened,
    SessionEnded(SessionEnd),
    /// A message could not be decoded as the argument of its handler.
    MessageUndecodable,
    /// So many messages were not sent, because a session's outbox was full.
    MessagesDropped(usize),
}

/// The reason for which a handshake is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeRefusal {
    /// `Origin` may not connect.
    Origin,
    /// `Host` is not a name of the loopback.
    Host,
    Other,
}

/// The end of a session, by culprit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// By a Close of either side, or by the application's abort.
    Intended,
    /// The peer broke the protocol, or exceeded a limit.
    BrokenProtocol,
    /// Without a Close.
    Lost,
}
