//! The fast path for messages that lie complete in the input: the driver shows each one to an [`AnswerAtOnce`] and
//! sends its [`Answer`] in the same poll. An answer that would overtake the items of the outbox goes there instead.

use sockeye_proto::{Exchange, MessageBuffer, Outgoing, SendError, WholeMessage};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Driver, Next, WRITE_AT, put_lent};
use crate::connection::link::InParts;
use crate::connection::outbox::Outbox;
use crate::error::Error;

/// Answers a message that is borrowed from the read buffer: no future, no copy.
pub(crate) trait AnswerAtOnce {
    /// Which kinds are to be given in parts from now on. Asked for whenever there is something to do: it may have
    /// changed while there was nothing.
    fn in_parts(&self) -> InParts;

    /// Answers a message. `None` leaves it to the caller of [`next_unanswered`](Driver::next_unanswered).
    fn answer(&mut self, message: WholeMessage<'_>, answer: Answer<'_, '_>) -> Option<Answered>;
}

/// Answers no message. All messages come whole.
pub(super) struct NoAnswers;

impl AnswerAtOnce for NoAnswers {
    #[inline]
    fn in_parts(&self) -> InParts {
        InParts::default()
    }

    #[inline]
    fn answer(&mut self, _message: WholeMessage<'_>, _answer: Answer<'_, '_>) -> Option<Answered> {
        None
    }
}

/// Sends the answer to a borrowed message.
pub(crate) struct Answer<'a, 'l> {
    exchange: &'a mut Exchange<'l>,
    outbox: &'a Outbox,
}

/// What came of an answer: it may have to wait, for what the handler itself has put into the outbox.
pub(crate) type Answered = Result<Option<Outgoing>, Error>;

impl Answer<'_, '_> {
    #[inline(always)]
    pub(crate) fn text(self, text: &str) -> Answered {
        if self.outbox.is_quiet() {
            answered(self.exchange.send_text(text))
        } else {
            later(text)
        }
    }

    #[inline(always)]
    pub(crate) fn binary(self, bytes: &[u8]) -> Answered {
        if self.outbox.is_quiet() {
            answered(self.exchange.send_binary(bytes))
        } else {
            later(bytes)
        }
    }

    pub(crate) fn message(self, outgoing: Outgoing) -> Answered {
        if self.outbox.is_quiet() {
            answered(self.exchange.send_message(outgoing))
        } else {
            Ok(Some(outgoing))
        }
    }
}

#[inline(never)]
fn later<'a>(payload: impl Into<Outgoing> + 'a) -> Answered {
    Ok(Some(payload.into()))
}

#[inline(always)]
fn answered(sent: Result<(), SendError>) -> Answered {
    match sent {
        Ok(()) => Ok(None),
        Err(error) => Err(Error::Send(error.into())),
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// The fast path: shows the messages that lie complete in the input to `answering`. One that it leaves is put into
    /// `message`.
    #[inline(always)]
    pub(super) fn answer_plain(
        &mut self,
        message: &mut MessageBuffer,
        answering: &mut impl AnswerAtOnce,
    ) -> Option<Next> {
        if !self.is_plain() {
            return None;
        }
        let mut exchanged = self.link.exchange(WRITE_AT)?;
        let outbox = &*self.outbox;
        loop {
            let whole = exchanged.pull()?;
            let exchange = &mut exchanged.exchange;
            match answering.answer(whole, Answer { exchange, outbox }) {
                // All else that is plain only the driver changes.
                Some(Ok(None)) if outbox.is_plain() => {}
                Some(Ok(None)) => return None,
                Some(Ok(Some(outgoing))) => {
                    return self.reply(outgoing).err().map(Next::AnswerFailed);
                }
                Some(Err(error)) => return Some(Next::AnswerFailed(error)),
                None => {
                    put_lent(message, whole);
                    return Some(Next::Message);
                }
            }
        }
    }

    /// Whether the next message of the input may be handed on with nothing to be looked at before.
    #[inline]
    fn is_plain(&mut self) -> bool {
        !self.parked
            && self.ahead.is_none()
            && self.ended.is_none()
            && self.directive.is_none()
            && self.replies == 0
            && self.outbox.is_plain()
            && self.link.machine_mut().output().len() < WRITE_AT
            && !self.link.has_had_its_turn()
    }
}
