//! One turn of a connection: the driver takes events from the input, writes the output, reads, looks at
//! the deadlines, and parks when nothing is left to do.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use sockeye_proto::{Expired, MessageBuffer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::NoAnswers;
use super::{AnswerAtOnce, Driver, Ending, Next, WRITE_AT, put};
use crate::connection::link::{Received, Turn};
use crate::connection::pool;
use crate::error::Error;

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// The next thing to act on. A message is put into `message`, in the place of the one before; while
    /// there is none, that holds no memory.
    #[inline]
    pub(crate) async fn next(&mut self, message: &mut MessageBuffer) -> Next {
        self.next_unanswered(message, NoAnswers).await
    }

    /// As [`next`](Self::next), but the messages that lie complete in the input are shown to `answering` before, one
    /// after the other.
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
            self.drive();
            self.link.give_in_parts(answering.in_parts());
            // It came before whatever ended the connection since. Only an application that has asked for a
            // Close wants no more.
            if self.ahead.is_some() {
                if self.is_held_back() {
                    ready!(self.poll_released(cx, message));
                    continue;
                }
                if let Some(next) = self.take_ahead(message) {
                    return Poll::Ready(next);
                }
            }
            if self.ended.is_some() {
                return Poll::Ready(Next::End);
            }
            match self.poll_event(cx, message) {
                Poll::Pending => {
                    pool::recycle_message(message);
                    return Poll::Pending;
                }
                Poll::Ready(None) => {}
                Poll::Ready(Some(next)) => {
                    if matches!(next, Next::End) || !self.is_held_back() {
                        return Poll::Ready(next);
                    }
                    self.put_ahead(next, message);
                }
            }
        }
    }

    /// What comes next, or nothing: more input, to be looked at.
    // Each function that returns across a system call is mispredicted: the kernel leaves the processor's
    // memory of return addresses cleared. So those between the task and the socket are one.
    #[inline(always)]
    pub(super) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut MessageBuffer,
    ) -> Poll<Option<Next>> {
        // Whether the transport takes no more output in this turn.
        let mut blocked = false;
        loop {
            // Woken to read: nothing is left of the turn before, as a rule.
            let mut reads = self.is_drained();
            if !reads {
                if self.is_aborted() {
                    return self.end(Ending::Aborted);
                }
                // 1. What the input holds. The output of it is written before it becomes too much.
                if !blocked
                    && self.link.machine_mut().output().len() >= WRITE_AT
                    && let Poll::Ready(Err(error)) = self.poll_output(cx)
                {
                    return self.end(Ending::Failed(error));
                }
                if self.link.has_had_its_turn() {
                    return match self.link.judge_turn() {
                        Turn::Over => self.poll_yield(cx),
                        Turn::GoesOn => Poll::Ready(None),
                    };
                }
                if !self.link.wants_input()
                    && !self.is_gated()
                    && let Some(came) = self.pull(cx, message)
                {
                    return came;
                }
                // What is left of the input waits for the output that this input caused.
                let gated = self.is_gated();
                // 2. What is to be sent leaves in one write.
                match self.poll_output_here(cx) {
                    Poll::Ready(Err(error)) => return self.end(Ending::Failed(error)),
                    polled => blocked = polled.is_pending(),
                }
                if let Some(ending) = self.closed_here() {
                    return self.end(ending);
                }
                reads = !self.is_gated() && !self.link.lacks_memory();
                if gated && reads {
                    continue;
                }
            }
            if reads {
                // 3. More input.
                self.link.resume_reading();
                match self.link.poll_read(cx) {
                    Poll::Ready(Ok(0)) => return self.end(Ending::Failed(Error::UnexpectedEnd)),
                    Poll::Ready(Ok(_)) => return Poll::Ready(None),
                    Poll::Ready(Err(error)) => return self.end(Ending::Failed(error.into())),
                    Poll::Pending => {}
                }
            } else {
                // The peer has to read before it is read, or other messages have to end: its silence is not its own.
                self.link.pause_reading();
                if self.link.poll_memory(cx).is_ready() {
                    continue;
                }
            }
            // 4. Deadlines, now that nothing is left to read.
            match self.poll_timer(cx) {
                Poll::Ready(Some(expired)) => return self.end(Ending::Failed(expired.into())),
                Poll::Ready(None) => continue,
                Poll::Pending => {}
            }
            // 5. Nothing to do.
            if self.park(cx, !blocked) {
                return Poll::Pending;
            }
            self.drive();
        }
    }

    /// What the input holds next: nothing if more has to be read, and ready with nothing if all is to be looked at
    /// anew.
    // Apart from what each read runs through: whole messages do not come here, as a rule.
    #[inline(never)]
    fn pull(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut MessageBuffer,
    ) -> Option<Poll<Option<Next>>> {
        let next = match self.link.pull(|whole| put(message, whole)) {
            Ok(Some(Received::Ping)) => {
                self.outbox.pinged();
                return Some(Poll::Ready(None));
            }
            // Once the application has asked for a Close it wants no more.
            Ok(Some(Received::Message(()) | Received::Part(..) | Received::Pong(_)))
                if self.directive.is_some() =>
            {
                return Some(Poll::Ready(None));
            }
            Ok(Some(Received::Message(()))) => Next::Message,
            Ok(Some(Received::Part((), is_last))) => Next::Part(is_last),
            Ok(Some(Received::Pong(payload))) => Next::Pong(payload),
            Ok(Some(Received::Close(reason))) => {
                return Some(self.end(Ending::ClosedByPeer(reason)));
            }
            // Fragments are counted when they have been read, together.
            Ok(None) if self.link.ends_turn() => return Some(self.poll_yield(cx)),
            Ok(None) => return None,
            Err(error) => return Some(self.end(Ending::Failed(error.into()))),
        };
        Some(Poll::Ready(Some(next)))
    }

    /// Whether nothing waits: neither input nor output, here or in the outbox.
    #[inline]
    fn is_drained(&mut self) -> bool {
        self.outbox.is_quiet()
            && self.directive.is_none()
            && !self.link.has_had_its_turn()
            && self.link.is_drained()
    }

    /// Whether so much output waits that input has caused that no more of it is taken, or a message waits for memory.
    fn is_gated(&self) -> bool {
        let machine = self.link.machine();
        machine.is_gated() || self.replies > machine.config().output_mark || self.link.is_starved()
    }

    /// Waits for the machine's next deadline; as
    /// [`Link::poll_timer`](crate::connection::link::Link::poll_timer).
    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Expired>> {
        let outbox = &*self.outbox;
        self.link
            .poll_timer(cx, |due| outbox.wake_by(due.into_std()))
    }

    /// Releases all buffers, and waits for an item in the outbox. False if the outbox has an item already.
    pub(super) fn park(&mut self, cx: &Context<'_>, has_room: bool) -> bool {
        // After this side's Close nothing is taken from the outbox any more.
        let wants_items = has_room && self.link.machine().can_send();
        let parked = self.park_outbox(cx, wants_items);
        if parked {
            self.link.park();
        }
        parked
    }

    pub(super) fn park_outbox(&mut self, cx: &Context<'_>, wants_items: bool) -> bool {
        self.parked = self
            .outbox
            .park(&mut self.waker, cx.waker(), wants_items, &self.directive);
        self.parked
    }

    /// Lets the neighbours run, after writing what there is.
    #[cold]
    #[inline(never)]
    fn poll_yield(&mut self, cx: &mut Context<'_>) -> Poll<Option<Next>> {
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
        Poll::Pending
    }
}
