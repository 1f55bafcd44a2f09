//! One turn of a connection. The driver takes events from the input, writes the output, reads, and looks at the
//! deadlines. It parks when nothing is left to do.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use sockeye_proto::{Expired, MessageBuffer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{AnswerAtOnce, NoAnswers};
use super::core::WRITE_AT;
use super::event::{Ending, Next, Step};
use super::running::{Driver, Running};
use crate::connection::link::{InParts, Received, Turn};
use crate::connection::pool;
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
            match self.poll_event(cx, message, || Some(answering.in_parts())) {
                Step::Pending => {
                    pool::recycle_message(message);
                    return Poll::Pending;
                }
                Step::Again => {}
                Step::Event(next) => {
                    if matches!(next, Next::End) || !self.core().is_held_back() {
                        return Poll::Ready(next);
                    }
                    self.core_mut().put_ahead(next, message);
                }
            }
        }
    }

    /// What comes next. Takes an event from the input; else writes the output, reads, looks at the deadlines, and parks.
    /// Messages of the kinds `in_parts` come in parts from now on.
    // Each function that returns across a system call is mispredicted: the kernel leaves the processor's
    // memory of return addresses cleared. So those between the task and the socket are one.
    #[inline(always)]
    pub(super) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut MessageBuffer,
        in_parts: impl Fn() -> Option<InParts>,
    ) -> Step {
        // Whether the transport takes no more output in this turn.
        let mut blocked = false;
        loop {
            let running = self.drive();
            if let Some(kinds) = in_parts() {
                running.link.give_in_parts(kinds);
            }
            // After a wake-up by the transport there is usually nothing to do but to read.
            let mut reads = running.is_drained();
            if !reads {
                if running.core.is_aborted() {
                    return running.end(Ending::Aborted);
                }
                // 1. The next event of the input. The output that input causes is written before it becomes too much.
                if !blocked
                    && running.link.machine_mut().output().len() >= WRITE_AT
                    && let Poll::Ready(Err(error)) = running.poll_output(cx)
                {
                    return running.end(Ending::Failed(error));
                }
                if running.link.has_had_its_turn() {
                    return match running.link.judge_turn() {
                        Turn::Over => running.give_way(cx),
                        Turn::GoesOn => Step::Again,
                    };
                }
                if !running.link.wants_input()
                    && !running.is_gated()
                    && let Some(step) = running.pull(cx, message)
                {
                    return step;
                }
                // The rest of the input waits until the output that input caused is written.
                let gated = running.is_gated();
                // 2. One write for all output.
                match running.poll_output_here(cx) {
                    Poll::Ready(Err(error)) => return running.end(Ending::Failed(error)),
                    polled => blocked = polled.is_pending(),
                }
                if let Some(ending) = running.closed_here() {
                    return running.end(ending);
                }
                reads = !running.is_gated() && !running.link.lacks_memory();
                if gated && reads {
                    continue;
                }
            }
            if reads {
                // 3. More input.
                running.link.resume_reading();
                match running.link.poll_read(cx) {
                    Poll::Ready(Ok(0)) => return running.end(Ending::Failed(Error::UnexpectedEnd)),
                    Poll::Ready(Ok(_)) => return Step::Again,
                    Poll::Ready(Err(error)) => return running.end(Ending::Failed(error.into())),
                    Poll::Pending => {}
                }
            } else {
                // The peer has to read first, or other messages have to end: the peer is not to blame for its silence.
                running.link.pause_reading();
                if running.link.poll_memory(cx).is_ready() {
                    continue;
                }
            }
            // 4. Deadlines, now that nothing is left to read.
            match running.poll_timer(cx) {
                Poll::Ready(Some(expired)) => return running.end(Ending::Failed(expired.into())),
                Poll::Ready(None) => continue,
                Poll::Pending => {}
            }
            // 5. Nothing to do.
            if self.park(cx, !blocked) {
                return Step::Pending;
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Running<T> {
    /// Takes the next event from the input. `None` if the input has no more.
    // Not inlined: most whole messages take the fast path.
    #[inline(never)]
    fn pull(&mut self, cx: &mut Context<'_>, message: &mut MessageBuffer) -> Option<Step> {
        Some(match self.link.pull(|whole| whole.put_into(message)) {
            Ok(Some(Received::Ping)) => {
                self.core.outbox.pinged();
                Step::Again
            }
            // An application that has asked for a Close wants no more messages.
            Ok(Some(Received::Message(()) | Received::Part(..) | Received::Pong(_)))
                if self.core.directive.is_some() =>
            {
                Step::Again
            }
            Ok(Some(Received::Message(()))) => Step::Event(Next::Message),
            Ok(Some(Received::Part((), is_last))) => Step::Event(Next::Part(is_last)),
            Ok(Some(Received::Pong(payload))) => Step::Event(Next::Pong(payload)),
            Ok(Some(Received::Close(reason))) => self.end(Ending::ClosedByPeer(reason)),
            // A turn counts fragments together, when the link has taken them all.
            Ok(None) if self.link.ends_turn() => self.give_way(cx),
            Ok(None) => return None,
            Err(error) => self.end(Ending::Failed(error.into())),
        })
    }

    /// Whether no input and no output waits, neither here nor in the outbox.
    #[inline]
    fn is_drained(&mut self) -> bool {
        self.core.outbox.is_quiet()
            && self.core.directive.is_none()
            && !self.link.has_had_its_turn()
            && self.link.is_drained()
    }

    /// Whether the driver takes no more input: too much output that input caused waits, or a message waits for memory.
    fn is_gated(&self) -> bool {
        let machine = self.link.machine();
        machine.is_gated()
            || self.core.replies > machine.config().output_mark
            || self.link.is_starved()
    }

    /// Waits for the machine's next deadline. The sweeper of the runtime wakes the task for a far one.
    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Expired>> {
        let outbox = &*self.core.outbox;
        self.link
            .poll_timer(cx, |due| outbox.wake_by(due.into_std()))
    }

    /// Lets other tasks run, after writing the output.
    #[cold]
    #[inline(never)]
    fn give_way(&mut self, cx: &mut Context<'_>) -> Step {
        if let Poll::Ready(Err(error)) = self.poll_output(cx) {
            return self.end(Ending::Failed(error));
        }
        if let Some(ending) = self.closed_here() {
            return self.end(ending);
        }
        // A connection that is always busy has its deadlines too.
        if let Poll::Ready(Some(expired)) = self.poll_timer(cx) {
            return self.end(Ending::Failed(expired.into()));
        }
        self.link.park();
        cx.waker().wake_by_ref();
        Step::Pending
    }
}
