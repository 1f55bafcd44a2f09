//! What a driver tells its owner, and what one look at the connection came to.

use sockeye_proto::{CloseCode, CloseReason};

use crate::error::{Error, ErrorChain};

/// What a connection's owner has to act on.
#[derive(Debug)]
pub(crate) enum Next {
    /// It is in the buffer that was given.
    Message,
    /// A part of a message is in the buffer that was given; the last one, or not.
    Part(bool),
    Pong(Vec<u8>),
    /// Why an [answer](super::AnswerAtOnce::answer) was not sent: the handler's error, or that of sending.
    AnswerFailed(Error),
    /// Nothing comes any more: [`Driver::take_ending`](super::Driver::take_ending) says why.
    End,
}

/// Why nothing comes any more.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The peer sent its Close.
    ClosedByPeer(CloseReason),
    /// This side sent its Close first.
    ClosedHere(CloseReason),
    /// [`Outbox::abort`](crate::connection::outbox::Outbox::abort).
    Aborted,
    Failed(Error),
}

impl Ending {
    /// What the connection was closed for, as this side sees it: 1006 where there was no Close.
    pub(crate) fn reason(&self) -> CloseReason {
        match self {
            Self::ClosedByPeer(reason) | Self::ClosedHere(reason) => reason.clone(),
            Self::Failed(Error::Protocol(error)) => error.close_reason(),
            // It was closed for that, though the peer did not take the Close either.
            Self::Failed(error @ Error::WriteStalled) => {
                let cause = error.to_string();
                CloseReason::new(CloseCode::POLICY_VIOLATION, &cause)
                    .unwrap_or_else(|_| CloseReason::abnormal(&cause))
            }
            Self::Failed(error) => CloseReason::abnormal(&ErrorChain::new(error).to_string()),
            Self::Aborted => CloseReason::abnormal("aborted here"),
        }
    }
}

/// What came of one look at a connection.
#[derive(Debug)]
pub(super) enum Step {
    /// The owner has to act on this.
    Event(Next),
    /// Conditions have changed: everything is looked at again.
    Again,
    /// The driver is parked, or has woken its task because its turn is over.
    Pending,
}
