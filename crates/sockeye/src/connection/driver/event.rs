//! What a driver tells its owner, and what one look at the connection came to.

use sockeye_proto::{CloseCode, CloseReason};

use crate::error::{Error, ErrorChain};

/// An event that the owner of a driver acts on.
#[derive(Debug)]
pub(crate) enum Next {
    /// A message is in the caller's buffer.
    Message,
    /// A part of a message is in the caller's buffer. The flag: whether it is the last part.
    Part(bool),
    /// A Ping, which the machine has answered. Only for an owner that [wants](crate::connection::link::Wanted) Pings.
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The mailbox has a notice for the owner.
    Notice,
    /// Why an [answer](super::AnswerAtOnce::answer) was not sent: the handler's error, or that of sending.
    AnswerFailed(Error),
    /// Nothing comes any more. [`Driver::take_ending`](super::Driver::take_ending) says why.
    End,
}

/// The reason for which a connection ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The peer sent its Close.
    ClosedByPeer(CloseReason),
    /// This side sent its Close first.
    ClosedHere(CloseReason),
    /// [`Mailbox::abort`](sockeye_mailbox::Mailbox::abort).
    Aborted,
    Failed(Error),
}

impl Ending {
    /// The close code and reason as this side sees them: 1006 if there was no Close.
    pub(crate) fn reason(&self) -> CloseReason {
        match self {
            Self::ClosedByPeer(reason) | Self::ClosedHere(reason) => reason.clone(),
            Self::Failed(Error::Protocol(error)) => error.close_reason(),
            // This side closed for that reason. The peer did not take the Close either.
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
