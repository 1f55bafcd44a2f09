//! The fast path for messages that lie complete in the input: the driver shows each one to an [`AnswerAtOnce`] and
//! sends its [`Answer`] in the same poll. An answer that would overtake what the mailbox holds is sent behind it.

use sockeye_proto::{Exchange, MessageBuffer, Outgoing, WholeMessage};
use tokio::io::{AsyncRead, AsyncWrite};

use super::core::WRITE_AT;
use super::event::Next;
use super::running::{Driver, Running};
use crate::connection::direct::Mailbox;
use crate::connection::link::Wanted;
use crate::connection::pool;
use crate::connection::reply::Reply;
use crate::error::Error;

/// Answers a message that is borrowed from the read buffer: no future, no copy.
pub(crate) trait AnswerAtOnce {
    /// What is wanted besides whole messages from now on. The driver asks in each turn: a handler may have been added.
    fn wanted(&self) -> Wanted;

    /// Answers a message, or declines it.
    fn answer(&mut self, message: WholeMessage<'_>, answer: Answer<'_, '_>) -> Answered;
}

/// Answers no message. Whole messages come, and nothing else is wanted.
pub(super) struct NoAnswers;

impl AnswerAtOnce for NoAnswers {
    #[inline]
    fn wanted(&self) -> Wanted {
        Wanted::default()
    }

    #[inline]
    fn answer(&mut self, _message: WholeMessage<'_>, _answer: Answer<'_, '_>) -> Answered {
        Answered::Declined
    }
}

/// Sends the answer to a borrowed message.
pub(crate) struct Answer<'a, 'l> {
    exchange: &'a mut Exchange<'l>,
    mailbox: &'a Mailbox,
}

/// What became of a message that was shown to an [`AnswerAtOnce`].
pub(crate) enum Answered {
    /// It is not answered at once: the caller of [`next_unanswered`](Driver::next_unanswered) handles it.
    Declined,
    /// Its reply is in the output, or it has none.
    Sent,
    /// Its reply has to wait for what goes before it: items that the handler put into the outbox, messages of channels,
    /// or a Close.
    Deferred(Outgoing),
    Failed(Error),
}

impl Answer<'_, '_> {
    #[inline(always)]
    pub(crate) fn send(self, reply: Reply<'_>) -> Answered {
        if let Reply::None = reply {
            return Answered::Sent;
        }
        if !self.mailbox.look().is_quiet() {
            return defer(reply);
        }
        match reply.send_by(self.exchange) {
            Ok(()) => Answered::Sent,
            Err(error) => Answered::Failed(Error::Send(error.into())),
        }
    }
}

#[inline(never)]
fn defer(reply: Reply<'_>) -> Answered {
    reply
        .into_outgoing()
        .map_or(Answered::Sent, Answered::Deferred)
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// The fast path: shows the messages that lie complete in the input to `answering`. One that it declines is put into
    /// `message`.
    #[inline(always)]
    pub(super) fn answer_plain(
        &mut self,
        message: &mut MessageBuffer,
        answering: &mut impl AnswerAtOnce,
    ) -> Option<Next> {
        let running = self.plain()?;
        if running.link.machine_mut().output().len() >= WRITE_AT || running.link.has_had_its_turn()
        {
            return None;
        }
        let mailbox = &**running.core.side.mailbox();
        let mut exchanged = running.link.exchange(WRITE_AT)?;
        loop {
            let whole = exchanged.pull()?;
            let exchange = &mut exchanged.exchange;
            match answering.answer(whole, Answer { exchange, mailbox }) {
                // Only the driver changes the rest of what `plain` asks for: its phase, its directive and its replies.
                Answered::Sent if mailbox.look().is_plain() => {}
                Answered::Sent => return None,
                Answered::Deferred(outgoing) => return running.send_deferred(outgoing),
                Answered::Failed(error) => return Some(Next::AnswerFailed(error)),
                Answered::Declined => {
                    pool::set_message(message, whole);
                    return Some(Next::Message);
                }
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Running<T> {
    /// Sends a reply behind what the mailbox holds.
    #[inline(never)]
    fn send_deferred(&mut self, outgoing: Outgoing) -> Option<Next> {
        self.update();
        let replied = self.reply(Reply::Message(outgoing));
        replied.err().map(Next::AnswerFailed)
    }
}
