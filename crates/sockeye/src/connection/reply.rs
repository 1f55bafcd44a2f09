//! A reply to a message, and how the protocol machine sends it.

use sockeye_proto::{Cause, Connection as Machine, Exchange, Outgoing, SendError};

/// The message that goes back to the peer when a handler is done. It may borrow from the message that it answers.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Reply<'m> {
    /// Nothing.
    #[default]
    None,
    /// A text message, copied when it is sent, unless it is a whole large message.
    Text(&'m str),
    /// A binary message, copied when it is sent, unless it is a whole large message.
    Binary(&'m [u8]),
    /// A message, compressed or not as it says.
    Message(Outgoing),
}

impl Reply<'_> {
    /// Puts the reply into the output.
    #[inline(always)]
    pub(super) fn send_by(self, sender: &mut impl SendReply) -> Result<(), SendError> {
        match self {
            Self::None => Ok(()),
            Self::Text(text) => sender.send_text(text),
            Self::Binary(bytes) => sender.send_binary(bytes),
            Self::Message(outgoing) => sender.send_message(outgoing),
        }
    }

    /// The reply as a message of its own, if there is one.
    pub(super) fn into_outgoing(self) -> Option<Outgoing> {
        match self {
            Self::None => None,
            Self::Text(text) => Some(text.into()),
            Self::Binary(bytes) => Some(bytes.into()),
            Self::Message(outgoing) => Some(outgoing),
        }
    }
}

/// Sends messages that input has caused: the machine, or its exchange with the input in hand.
pub(super) trait SendReply {
    fn send_text(&mut self, text: &str) -> Result<(), SendError>;
    fn send_binary(&mut self, bytes: &[u8]) -> Result<(), SendError>;
    fn send_message(&mut self, message: Outgoing) -> Result<(), SendError>;
}

impl SendReply for Machine {
    #[inline]
    fn send_text(&mut self, text: &str) -> Result<(), SendError> {
        self.send_text(text, Cause::Input)
    }

    #[inline]
    fn send_binary(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.send_binary(bytes, Cause::Input)
    }

    #[inline]
    fn send_message(&mut self, message: Outgoing) -> Result<(), SendError> {
        self.send_message(message, Cause::Input)
    }
}

impl SendReply for Exchange<'_> {
    #[inline(always)]
    fn send_text(&mut self, text: &str) -> Result<(), SendError> {
        self.send_text(text)
    }

    #[inline(always)]
    fn send_binary(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.send_binary(bytes)
    }

    #[inline]
    fn send_message(&mut self, message: Outgoing) -> Result<(), SendError> {
        self.send_message(message)
    }
}
