//! The turn of a driver: it answers messages, or looks at the connection and hands on events. It parks when nothing is
//! left to do.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use sockeye_proto::{Expired, MessageBuffer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{AnswerAtOnce, NoAnswers};
use super::core::{Core, WRITE_AT};
use super::event::{Ending, Next};
use super::running::{Driver, Running};
use crate::connection::link::{Link, Received};
use crate::connection::pool;
use crate::connection::turn::{Host, Look, look};
use crate::error::Error;

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// The next event that the owner acts on. `message` takes a message, in place of the message before. While the
    /// driver waits, `message` holds no memory.
    #[inline]
    pub(crate) async fn next(&mut self, message: &mut MessageBuffer) -> Next {
        self.next_unanswered(message, NoAnswers).await
    }

    /// The next event that the owner acts on. Before, `answering` may answer each message that lies complete in the
    /// input.
    #[inline]
    pub(crate) async fn next_unanswered(
        &mut self,
        message: &mut MessageBuffer,
        mut answering: impl AnswerAtOnce,
    ) -> Next {
        poll_fn(|cx| self.poll_next(cx, message, &mut answering)).await
    }

    #[inline(always)]
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut MessageBuffer,
        answering: &mut impl AnswerAtOnce,
    ) -> Poll<Next> {
        loop {
            if let Some(next) = self.answer_plain(message, answering) {
                return Poll::Ready(next);
            }
            if !self.core().phase.is_open()
                && let Some(next) = ready!(self.poll_ahead(cx, message))
            {
                return Poll::Ready(next);
            }
            let running = self.drive();
            running.link.give(answering.wanted());
            match look(Reading { running, message }, cx) {
                Look::Event(next) => {
                    if matches!(next, Next::End) || !self.core().is_reading_paused() {
                        return Poll::Ready(next);
                    }
                    self.core_mut().put_ahead(next, message);
                }
                Look::Again => {}
                Look::Idle { has_room } if !self.park_for_owner(cx, has_room) => {}
                Look::Idle { .. } => {
                    pool::recycle_message(message);
                    return Poll::Pending;
                }
                Look::Yield => {
                    self.keep_notice();
                    pool::recycle_message(message);
                    return Poll::Pending;
                }
            }
        }
    }
}

/// A running driver, and the buffer that takes its next message.
pub(super) struct Reading<'d, T> {
    pub(super) running: &'d mut Running<T>,
    pub(super) message: &'d mut MessageBuffer,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Host<T> for Reading<'_, T> {
    type Event = Next;

    #[inline(always)]
    fn link(&mut self) -> &mut Link<T> {
        &mut self.running.link
    }

    #[inline(always)]
    fn pull(&mut self) -> Option<Look<Next>> {
        self.running.pull(self.message)
    }

    #[inline(always)]
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.running.poll_output_here(cx)
    }

    #[inline(always)]
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Expired>> {
        self.running.poll_timer(cx)
    }

    #[inline(always)]
    fn fail(&mut self, error: Error) -> Look<Next> {
        self.running.end(Ending::Failed(error));
        Look::Event(Next::End)
    }

    #[inline(always)]
    fn is_drained(&mut self) -> bool {
        let Running { link, core } = &mut *self.running;
        core.is_quiet() && !link.has_had_its_turn() && link.is_drained()
    }

    #[inline(always)]
    fn is_gated(&mut self) -> bool {
        let Running { link, core } = &mut *self.running;
        let machine = link.machine();
        machine.is_gated() || core.replies > machine.config().output_mark || link.is_starved()
    }

    #[inline(always)]
    fn check_abort(&mut self) -> Option<Look<Next>> {
        if !self.running.core.is_aborted() {
            return None;
        }
        self.running.end(Ending::Aborted);
        Some(Look::Event(Next::End))
    }

    #[inline(always)]
    fn relieve(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.running.link.machine_mut().output().len() >= WRITE_AT
            && let Poll::Ready(Err(error)) = self.running.poll_output(cx)
        {
            return Err(error);
        }
        Ok(())
    }

    #[inline(always)]
    fn check_end(&mut self) -> Option<Look<Next>> {
        let ending = self.running.closed_here()?;
        self.running.end(ending);
        Some(Look::Event(Next::End))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Running<T> {
    /// Takes the next event from the input. `None` if the input has no more.
    // Not inlined: most whole messages take the fast path.
    #[inline(never)]
    fn pull(&mut self, message: &mut MessageBuffer) -> Option<Look<Next>> {
        let Self { link, core } = self;
        match link.pull(|received| core.take_received(received, message)) {
            Ok(look) => look,
            Err(error) => {
                self.end(Ending::Failed(error.into()));
                Some(Look::Event(Next::End))
            }
        }
    }

    /// Waits for the machine's next deadline. The sweeper of the runtime wakes the task for a far one.
    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Expired>> {
        let side = &self.core.side;
        self.link.poll_timer(cx, |due| side.wake_by(due.into_std()))
    }
}

impl Core {
    /// Decides what the owner gets of what was received. A message goes into its buffer.
    #[inline(always)]
    fn take_received(&mut self, received: Received<'_>, message: &mut MessageBuffer) -> Look<Next> {
        match received {
            Received::Ping(payload) => {
                self.side.pinged();
                match payload {
                    Some(payload) if self.side.directive().is_none() => {
                        Look::Event(Next::Ping(payload.to_vec()))
                    }
                    _ => Look::Again,
                }
            }
            Received::Close(reason) => {
                self.phase.end(Ending::ClosedByPeer(reason));
                Look::Event(Next::End)
            }
            // An application that has asked for a Close wants no more messages.
            _ if self.side.directive().is_some() => Look::Again,
            Received::Pong(payload) => Look::Event(Next::Pong(payload.to_vec())),
            Received::Message(_) | Received::Assembled(_) => {
                received.put_into(message);
                Look::Event(Next::Message)
            }
            Received::Part(_, is_last) => {
                received.put_into(message);
                Look::Event(Next::Part(is_last))
            }
        }
    }
}
