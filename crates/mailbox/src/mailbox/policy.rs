//! What becomes of a message that finds no room, and whose sender does not wait: the policies, and their outcome.

use super::item::Ticket;

/// The policy for a message that finds no room in a session's outbox, because the peer reads more slowly than the
/// application sends.
///
/// A session has two of these policies. One is for the asynchronous remote: `Refuse` unless `EndpointConfig::overflow`
/// or `Session::set_overflow` says otherwise. The other is for broadcasts, which report nothing of a single session:
/// `Close` unless `EndpointConfig::broadcast_overflow` or `Session::set_broadcast_overflow` says otherwise. The basic
/// remote waits for room, and a handler's reply always has room.
///
/// If a session loses messages in this way, or is closed for it, one warning is logged. There is none for `Refuse` at the
/// asynchronous remote, which returns an error to the sender. `Stats::dropped_messages` counts them.
///
/// If a peer takes nothing at all, the connection ends after `Config::write_timeout` under each policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The message is not taken. The asynchronous remote returns `SendError::Full`; a broadcast leaves the session
    /// out.
    Refuse,
    /// The message is taken and dropped, and the sender gets no error at once. Its handle returns `SendError::Full` when
    /// it is awaited.
    DropNewest,
    /// The oldest messages that were sent under this policy are dropped, as many as the new one needs. Their handles
    /// return `SendError::Full` when they are awaited. If they are too few, the new message is dropped. Use this for a
    /// state of which only the newest version counts.
    DropOldest,
    /// The session is closed with 1013, "try again later", behind the messages that wait. The asynchronous remote
    /// returns `SendError::Full`.
    Close,
}

/// The policies of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverflowPolicy {
    /// The policy of the asynchronous remote, which can return an error to its sender.
    pub remote: Overflow,
    /// The policy of broadcasts.
    pub broadcast: Overflow,
}

impl Default for OverflowPolicy {
    fn default() -> Self {
        Self {
            remote: Overflow::Refuse,
            broadcast: Overflow::Close,
        }
    }
}

impl OverflowPolicy {
    pub(super) fn of(self, source: Source) -> Overflow {
        match source {
            Source::Remote => self.remote,
            Source::Channel(overflow) => overflow.unwrap_or(self.broadcast),
        }
    }
}

/// The sender of a message that does not wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Remote,
    /// A channel, and its own policy if it has one.
    Channel(Option<Overflow>),
}

/// What the policy did about a message that found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflowed {
    /// The policy.
    pub policy: Overflow,
    /// The number of the message, if others gave way for it.
    pub ticket: Option<Ticket>,
    /// The number of messages that are not sent: the message, or those that gave way.
    pub dropped: usize,
    /// Whether the session lost no message before.
    pub is_first: bool,
}

impl Overflowed {
    /// This loss, and one that came after it.
    pub(super) fn and(self, later: Self) -> Self {
        Self {
            policy: later.policy,
            ticket: later.ticket,
            dropped: self.dropped + later.dropped,
            is_first: self.is_first || later.is_first,
        }
    }
}
