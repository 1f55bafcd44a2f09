//! Drives one connection for an endpoint or a split connection: reads, hands on what came, coalesces
//! what is sent, and goes on with all of it while a handler is suspended. Knows nothing of endpoints:
//! it gives one [`Next`] after another, and runs a handler's future beside its own work. A handler that has no
//! future is called where a message lies, by way of [`AnswerAtOnce`]: so reading, answering and writing are one poll.
//!
//! ```text
//!          ┌────────────────────── no input left ──────────────────────┐
//!          ▼                                                           │
//!   events of the read ──▶ outbox to output, one write ──▶ read ───────┘
//!          │                                                 │ nothing to read
//!          ▼                                                 ▼
//!        Next                              park: no buffers, one waker in the outbox
//! ```
//!
//! While a handler is suspended the same loop runs until it has one `Next` ahead; then reading stops,
//! and that is the backpressure. A Close or a broken rule found ahead waits there too: it takes effect
//! when it is handed on, or when the machine's deadline for the Close that it owes passes.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use sockeye_proto::{
    Cause, CloseCode, CloseReason, Connection as Machine, Exchange, Expired, MessageBuffer,
    Outgoing, SendError, WholeMessage,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::link::{InParts, Link, Received, Turn, Whole};
use super::outbox::{Item, News, Order, Outbox, Part, Reached};
use super::pool;
use crate::error::Error;
use crate::sync::Arc;

pub(crate) mod rest;

/// What a connection's owner has to act on.
#[derive(Debug)]
pub(crate) enum Next {
    /// It is in the buffer that was given.
    Message,
    /// A part of a message is in the buffer that was given; the last one, or not.
    Part(bool),
    Pong(Vec<u8>),
    /// Why an [answer](AnswerAtOnce::answer) was not sent: the handler's error, or that of sending.
    AnswerFailed(Error),
    /// Nothing comes any more: [`Driver::ending`] says why.
    End,
}

/// Whoever answers messages where they lie.
pub(crate) trait AnswerAtOnce {
    /// Which kinds are to be given in parts from now on. Asked for whenever there is something to do: it may have
    /// changed while there was nothing.
    fn in_parts(&self) -> InParts;

    /// Answers a message, or leaves it to whoever waits for what is [next](Driver::next_unanswered).
    fn answer(&mut self, message: WholeMessage<'_>, answer: Answer<'_, '_>) -> Option<Answered>;
}

/// Nobody does, and all messages come whole.
struct Nobody;

impl AnswerAtOnce for Nobody {
    #[inline]
    fn in_parts(&self) -> InParts {
        InParts::default()
    }

    #[inline]
    fn answer(&mut self, _message: WholeMessage<'_>, _answer: Answer<'_, '_>) -> Option<Answered> {
        None
    }
}

/// The way out for whoever answers a message where it lies.
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

/// Why nothing comes any more.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The peer sent its Close.
    ClosedByPeer(CloseReason),
    /// This side sent its Close first.
    ClosedHere(CloseReason),
    /// [`Outbox::abort`].
    Aborted,
    Failed(Error),
}

// In this order, as `Link` too: what a task that is woken to send looks at lies side by side. Of many
// connections each line of the processor's cache has to be fetched.
#[repr(C)]
pub(crate) struct Driver<T> {
    link: Link<T>,
    outbox: Arc<Outbox>,
    ahead: Option<Box<(Next, MessageBuffer)>>,
    // A pointer: it comes once, and last.
    ending: Option<Box<Ending>>,
    order: Order,
    // What the replies count for that wait in the outbox, behind what was put there before them.
    replies: usize,
    // Whether the outbox has to be told that the driver runs again; and whom it wakes.
    parked: bool,
    waker: Option<Waker>,
    // Up to which bytes of the stream the outbox has been emptied how far.
    taken: VecDeque<(u64, Reached)>,
    // The connection's place among those of its server, until the transport is gone.
    permit: Option<OwnedSemaphorePermit>,
    // Until when a handler that runs on without a transport keeps the place.
    letting_go: Option<Pin<Box<Sleep>>>,
}

/// So much output is written before more is made.
const WRITE_AT: usize = 64 * 1024;

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    pub(crate) fn new(link: Link<T>, outbox: Arc<Outbox>) -> Self {
        if !link.machine().can_send() {
            outbox.shut();
        }
        Self {
            link,
            outbox,
            ahead: None,
            ending: None,
            order: Order::Go,
            parked: false,
            waker: None,
            taken: VecDeque::new(),
            replies: 0,
            permit: None,
            letting_go: None,
        }
    }

    /// Keeps the connection's place among those of its server until the transport is gone.
    pub(crate) fn holding(mut self, permit: OwnedSemaphorePermit) -> Self {
        self.permit = Some(permit);
        self
    }

    /// The connection's place, for an owner that outlives the driver.
    pub(crate) fn take_permit(&mut self) -> Option<OwnedSemaphorePermit> {
        self.permit.take()
    }

    /// The time that a peer has for its end of the closing.
    pub(crate) fn close_timeout(&self) -> Duration {
        self.link.machine().config().close_timeout
    }

    /// The driver of a connection of which nothing comes any more.
    pub(crate) fn ended(mut self, ending: Ending) -> Self {
        self.ending = Some(Box::new(ending));
        self
    }

    /// The bytes of memory that this connection takes, besides what waits in its outbox.
    #[cfg(test)]
    pub(crate) fn retained_bytes(&self) -> usize {
        let ahead = match self.ahead.as_deref() {
            Some((Next::Pong(payload), _)) => payload.len(),
            Some((_, message)) => message.capacity(),
            None => 0,
        };
        ahead + self.taken.capacity() * size_of::<(u64, Reached)>() + self.link.retained_bytes()
    }

    /// The next thing to act on. A message is put into `message`, in the place of the one before; while
    /// there is none, that holds no memory.
    #[inline]
    pub(crate) async fn next(&mut self, message: &mut MessageBuffer) -> Next {
        self.next_unanswered(message, Nobody).await
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

    /// Runs a handler's future, and everything else beside it while it is suspended. `None` when the
    /// connection was aborted: the handler is to be dropped then.
    #[inline]
    pub(crate) fn alongside<F: Future>(
        &mut self,
        handler: Pin<&mut F>,
    ) -> impl Future<Output = Option<F::Output>> {
        let mut handler = handler;
        let mut suspended = false;
        poll_fn(move |cx| {
            if suspended {
                // The task runs again: what the handler sends now has to wake nobody.
                self.drive();
            }
            if let Poll::Ready(output) = handler.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            self.poll_suspended(cx, &mut suspended)
        })
    }

    /// What goes on when a handler is not ready. Ready when it never is to be.
    #[cold]
    fn poll_suspended<R>(&mut self, cx: &mut Context<'_>, suspended: &mut bool) -> Poll<Option<R>> {
        if !*suspended && !self.outbox.is_awaited() {
            // It may be ready again at once, as after an uncontended lock or a yield: that must not
            // cost a write for each message.
            *suspended = true;
            self.link.park();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        *suspended = true;
        self.poll_beside(cx);
        match self.ending.as_deref() {
            Some(Ending::Aborted) => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }

    /// Says to the outbox that the driver runs, and looks at what is asked for.
    fn drive(&mut self) {
        self.parked = false;
        if let Some(news) = self.outbox.drive(&mut self.order) {
            self.heed(&news);
        }
    }

    #[cold]
    fn heed(&mut self, news: &News) {
        if news.is_due {
            self.link.forget_alarm();
        }
        if !news.rest.is_empty() {
            self.link.send_rest(&news.rest);
        }
    }

    /// Sends a handler's reply, behind what the handler itself has put into the outbox.
    pub(crate) fn reply(&mut self, outgoing: Outgoing) -> Result<(), Error> {
        if self.outbox_is_drained() {
            let sent = self.link.sending().send_message(outgoing, Cause::Input);
            return sent.map_err(|error| Error::Send(error.into()));
        }
        self.reply_later(outgoing)
    }

    /// As [`reply`](Self::reply), of a text that is lent.
    #[inline]
    pub(crate) fn reply_text(&mut self, text: &str) -> Result<(), Error> {
        if self.outbox_is_drained() {
            let sent = self.link.sending().send_text(text, Cause::Input);
            return sent.map_err(|error| Error::Send(error.into()));
        }
        self.reply_later(text.into())
    }

    /// As [`reply`](Self::reply), of bytes that are lent.
    #[inline]
    pub(crate) fn reply_binary(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.outbox_is_drained() {
            let sent = self.link.sending().send_binary(bytes, Cause::Input);
            return sent.map_err(|error| Error::Send(error.into()));
        }
        self.reply_later(bytes.into())
    }

    /// Gives messages of these kinds in parts from now on, those that are not begun.
    #[inline]
    pub(crate) fn give_in_parts(&mut self, kinds: InParts) {
        self.link.give_in_parts(kinds);
    }

    /// Why nothing comes any more; once, after [`Next::End`].
    pub(crate) fn take_ending(&mut self) -> Ending {
        let ending = self.ending.take();
        ending.map_or(Ending::Aborted, |ending| *ending)
    }

    /// Lets the ending take effect: the Close that is owed goes out, sends answer `Closed`.
    pub(crate) fn settle(&mut self) {
        self.drive();
        if self.order == Order::Abort {
            self.link.machine_mut().handle_end();
        }
        // What was sent until the peer's Close, or its mistake, was come to goes out before the answer, as
        // replies do: a handler sends through the outbox too. It is no more than the outbox holds.
        while self.link.machine().can_send()
            && (self.take_items(usize::MAX).is_some()
                || self.read_log(usize::MAX)
                || !self.outbox.is_empty())
        {}
        self.link.machine_mut().conclude(Instant::now().into_std());
        self.outbox.shut();
    }

    /// Whether [`linger`](Self::linger) ended with something to write.
    pub(crate) fn left_unwritten(&self) -> bool {
        self.link.left_unwritten()
    }

    /// Ends the transport in order, within the close deadline. Dropped by [`Outbox::abort`]. Gives the
    /// peer's Close, if it came.
    pub(crate) async fn linger(&mut self) -> Option<CloseReason> {
        self.settle();
        poll_fn(|cx| {
            self.drive();
            if self.order == Order::Abort {
                return Poll::Ready(());
            }
            let outbox = &*self.outbox;
            let polled = self
                .link
                .poll_linger(cx, |due| outbox.wake_by(due.into_std()));
            if polled.is_pending() {
                self.link.park();
                if !self.park_outbox(cx, false) {
                    cx.waker().wake_by_ref();
                }
            }
            polled
        })
        .await;
        self.link.machine().close_received().cloned()
    }

    /// The fast path: shows the messages that lie complete in the input to `answering`. One that it leaves is put into
    /// `message`.
    #[inline(always)]
    fn answer_plain(
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
            && self.ending.is_none()
            && self.order == Order::Go
            && self.replies == 0
            && self.outbox.is_plain()
            && self.link.machine_mut().output().len() < WRITE_AT
            && !self.link.has_had_its_turn()
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
            if self.ending.is_some() {
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

    #[inline(never)]
    fn put_ahead(&mut self, next: Next, message: &mut MessageBuffer) {
        self.ahead = Some(Box::new((next, std::mem::take(message))));
    }

    #[inline(never)]
    fn take_ahead(&mut self, message: &mut MessageBuffer) -> Option<Next> {
        let (next, buffer) = *self.ahead.take()?;
        if self.order != Order::Go {
            return None;
        }
        pool::recycle_message(message);
        *message = buffer;
        Some(next)
    }

    /// Whether the application wants nothing yet of what came.
    #[inline]
    fn is_held_back(&self) -> bool {
        self.outbox.is_paused() && self.order == Order::Go && self.ending.is_none()
    }

    /// Keeps what came, as while a handler is suspended, until the application goes on or wants the end, or there
    /// is an end.
    #[cold]
    #[inline(never)]
    fn poll_released(&mut self, cx: &mut Context<'_>, message: &mut MessageBuffer) -> Poll<()> {
        self.poll_beside(cx);
        if self.is_held_back() {
            pool::recycle_message(message);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// What goes on while a handler is suspended.
    fn poll_beside(&mut self, cx: &mut Context<'_>) {
        if self.ahead.is_none() && self.ending.is_none() {
            let mut message = MessageBuffer::default();
            match self.poll_event_beside(cx, &mut message) {
                Poll::Pending => return,
                Poll::Ready(Next::End) => {}
                Poll::Ready(next) => self.ahead = Some(Box::new((next, message))),
            }
        }
        // Reading stops here: the peer's silence is none of its own now.
        self.link.pause_reading();
        loop {
            self.drive();
            if self.order == Order::Abort {
                self.ending = Some(Box::new(Ending::Aborted));
                return;
            }
            let output = self.poll_output(cx);
            if let Poll::Ready(Err(error)) = output {
                self.lose(error);
                continue;
            }
            if let Some(ending) = self.closed_here() {
                self.ending.get_or_insert_with(|| Box::new(ending));
            }
            if self.is_effect_due() {
                self.settle();
                continue;
            }
            if self.ending.is_some() && !self.link.machine().can_send() {
                self.linger_beside(cx);
                if self.park(cx, false) {
                    return;
                }
                continue;
            }
            match self.poll_timer(cx) {
                Poll::Ready(Some(expired)) => {
                    let _ = self.end(Ending::Failed(expired.into()));
                    continue;
                }
                Poll::Ready(None) => continue,
                Poll::Pending => {}
            }
            if self.park(cx, output.is_ready()) {
                return;
            }
        }
    }

    /// The connection ends while a handler runs on: ends the transport, and tells those tasks that wait for it. The handler
    /// may be one of them. One that runs on for the close timeout gives up the connection's place.
    #[cold]
    fn linger_beside(&mut self, cx: &mut Context<'_>) {
        if self.permit.is_some() && self.letting_go.is_none() {
            let timeout = self.close_timeout();
            self.letting_go = Some(Box::pin(tokio::time::sleep(timeout)));
        }
        let outbox = &*self.outbox;
        let wake_by = |due: Instant| outbox.wake_by(due.into_std());
        if self.link.poll_linger(cx, wake_by).is_pending() {
            return;
        }
        let ending = self.ending.as_deref();
        let reason = ending.map_or_else(|| Ending::Aborted.reason(), Ending::reason);
        self.outbox.end(reason);
        if let Some(letting_go) = &mut self.letting_go
            && letting_go.as_mut().poll(cx).is_ready()
        {
            (self.permit, self.letting_go) = (None, None);
        }
    }

    #[inline(never)]
    fn poll_event_beside(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut MessageBuffer,
    ) -> Poll<Next> {
        loop {
            if let Some(next) = ready!(self.poll_event(cx, message)) {
                return Poll::Ready(next);
            }
        }
    }

    /// A peer's Close, or its mistake, does not cancel the handler; but it does not wait for it longer
    /// than for a Close: the machine's deadline wakes this task.
    fn is_effect_due(&self) -> bool {
        let machine = self.link.machine();
        let now = Instant::now().into_std();
        machine.owes_close() && machine.poll_timeout().is_some_and(|due| due <= now)
    }

    /// What comes next, or nothing: more input, to be looked at.
    // Each function that returns across a system call is mispredicted: the kernel leaves the processor's
    // memory of return addresses cleared. So those between the task and the socket are one.
    #[inline(always)]
    fn poll_event(
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
                if self.order == Order::Abort {
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
                if self.order != Order::Go =>
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
            && self.order == Order::Go
            && !self.link.has_had_its_turn()
            && self.link.is_drained()
    }

    /// Waits for the machine's next deadline; as [`Link::poll_timer`].
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Expired>> {
        let outbox = &*self.outbox;
        self.link
            .poll_timer(cx, |due| outbox.wake_by(due.into_std()))
    }

    /// Holds no buffer, and waits for whoever puts something into the outbox: false when somebody has
    /// already.
    fn park(&mut self, cx: &Context<'_>, has_room: bool) -> bool {
        // After this side's Close nothing is taken from the outbox any more.
        let wants_items = has_room && self.link.machine().can_send();
        let parked = self.park_outbox(cx, wants_items);
        if parked {
            self.link.park();
        }
        parked
    }

    fn park_outbox(&mut self, cx: &Context<'_>, wants_items: bool) -> bool {
        self.parked = self
            .outbox
            .park(&mut self.waker, cx.waker(), wants_items, &self.order);
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

    #[inline(never)]
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_output_here(cx)
    }

    /// Moves what waits in the outbox to the output and writes, until nothing waits or the transport
    /// takes no more.
    #[inline(always)]
    fn poll_output_here(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.outbox.is_only_logged() {
            self.write_log(cx)?;
        }
        loop {
            let drained = self.fill();
            let polled = self.link.poll_write(cx);
            self.tell_written();
            ready!(polled)?;
            if drained {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Writes what was said to many, where it is all that there is to write: it needs no output then.
    #[inline(never)]
    fn write_log(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.order != Order::Go || !self.link.is_empty() || !self.link.machine().can_send() {
            return Ok(());
        }
        let outbox = &*self.outbox;
        self.link.write_apart(cx, |room| {
            let mut len = 0;
            outbox.read_log(WRITE_AT, |frames| {
                // INVARIANT: an empty input's room is larger than all that a log holds (`link.rs` asserts it).
                room[..frames.len()].copy_from_slice(frames);
                len = frames.len();
            });
            len
        })
    }

    /// Takes items from the outbox while there is room in the output: what stays is bounded there.
    /// Says whether all of it was taken.
    #[inline]
    fn fill(&mut self) -> bool {
        if self.outbox.is_quiet() && self.order == Order::Go {
            return true;
        }
        self.fill_from_outbox()
    }

    #[inline(never)]
    fn fill_from_outbox(&mut self) -> bool {
        let mut reached = None;
        let mut drained = true;
        while self.link.machine().can_send() {
            let waits = self.link.machine_mut().output().len();
            if waits >= WRITE_AT {
                drained = false;
                break;
            }
            let room = WRITE_AT - waits;
            if let Some(taken) = self.take_items(room) {
                reached = Some(taken);
            } else if !self.read_log(room) && self.outbox.is_empty() {
                self.close_if_asked();
                break;
            }
            if self.outbox.is_quiet() && self.order == Order::Go {
                break;
            }
        }
        if let Some(taken) = reached {
            let waits = self.link.machine_mut().output().len() as u64;
            self.taken.push_back((self.link.written() + waits, taken));
        }
        drained
    }

    /// Takes items that make up for so many bytes, and sends them. Says how far the outbox is taken;
    /// `None` where nothing was in.
    fn take_items(&mut self, room: usize) -> Option<Reached> {
        // Few at a time: others wait for the lock, and memory is not to follow their number.
        const MANY: usize = 64;
        if !self.outbox.has_items() {
            return None;
        }
        let (machine, replies) = (self.link.sending(), &mut self.replies);
        if !machine.compresses() {
            let send = |item| send_item(machine, replies, item);
            return self.outbox.take_some(room, MANY, send);
        }
        // Compressing takes longer than anyone is to wait for the lock.
        let mut items = pool::take_items();
        let taken = self.outbox.take_some(room, MANY, |item| items.push(item));
        for item in items.drain(..) {
            send_item(machine, replies, item);
        }
        pool::recycle_items(items);
        taken
    }

    /// Sends what was said to many, in frames that they share. Says whether there was something.
    fn read_log(&mut self, room: usize) -> bool {
        let machine = self.link.sending();
        let send = |frames: &[u8]| {
            let sent = machine.send_frames(frames, Cause::Push);
            debug_assert!(sent.is_ok(), "{sent:?}");
        };
        self.outbox.read_log(room, send)
    }

    /// A Close that the application asked for goes behind what it sent before.
    fn close_if_asked(&mut self) {
        if let Order::Close(reason) = &self.order {
            let now = Instant::now().into_std();
            let sent = self.link.machine_mut().send_close(reason, now);
            debug_assert!(sent.is_ok(), "{sent:?}");
        }
    }

    /// Tells those who wait for what has been written.
    #[inline]
    fn tell_written(&mut self) {
        if !self.taken.is_empty() {
            self.tell_those_who_wait();
        }
    }

    #[inline(never)]
    fn tell_those_who_wait(&mut self) {
        let mut reached = None;
        while let Some((end, taken)) = self.taken.front()
            && *end <= self.link.written()
        {
            reached = Some(*taken);
            self.taken.pop_front();
        }
        if let Some(reached) = reached {
            self.outbox.wrote(reached);
        }
    }

    /// Whether a reply would not overtake anything that was sent before it.
    #[inline]
    fn outbox_is_drained(&mut self) -> bool {
        if self.outbox.is_quiet() && self.order == Order::Go {
            return true;
        }
        self.drive();
        self.fill_from_outbox() && !self.outbox.is_held()
    }

    fn reply_later(&mut self, outgoing: Outgoing) -> Result<(), Error> {
        self.replies += self.outbox.push_reply(outgoing).map_err(Error::Send)?;
        Ok(())
    }

    /// Whether so much output waits that input has caused that no more of it is taken, or a message waits for memory.
    fn is_gated(&self) -> bool {
        let machine = self.link.machine();
        machine.is_gated() || self.replies > machine.config().output_mark || self.link.is_starved()
    }

    /// Whether this side's Close went out first.
    #[inline]
    fn closed_here(&self) -> Option<Ending> {
        if self.order == Order::Go {
            return None;
        }
        self.closed_by_order()
    }

    #[cold]
    #[inline(never)]
    fn closed_by_order(&self) -> Option<Ending> {
        let machine = self.link.machine();
        match &self.order {
            Order::Close(reason) if !machine.can_send() && machine.can_receive() => {
                Some(Ending::ClosedHere(reason.as_ref().clone()))
            }
            _ => None,
        }
    }

    #[cold]
    #[inline(never)]
    fn end(&mut self, ending: Ending) -> Poll<Option<Next>> {
        match ending {
            // Nothing can be sent any more: whoever waits for it must know now.
            Ending::Failed(
                error @ (Error::Io(_)
                | Error::PeerDead
                | Error::UnexpectedEnd
                | Error::WriteStalled),
            ) => self.lose(error),
            ending => {
                self.ending.get_or_insert_with(|| Box::new(ending));
            }
        }
        Poll::Ready(Some(Next::End))
    }

    /// The transport is of no use any more.
    fn lose(&mut self, error: Error) {
        self.link.lose();
        self.taken = VecDeque::new();
        let failed = || Box::new(Ending::Failed(error));
        self.ending.get_or_insert_with(failed);
        self.outbox.shut();
    }
}

fn send_item(machine: &mut Machine, replies: &mut usize, item: Item) {
    if let Item::Reply(_) = item {
        *replies -= item.weight();
    }
    let sent = match item {
        Item::Message(outgoing) | Item::Loose(outgoing, _) => {
            machine.send_message(outgoing, Cause::Push)
        }
        Item::Ping(payload) => machine.send_ping(&payload),
        Item::Pong(payload) => machine.send_pong(&payload),
        Item::Reply(outgoing) => machine.send_message(outgoing, Cause::Input),
        Item::Part(part) => send_part(machine, &part),
        // It gives its parts; and a gap is never in front.
        Item::Streamed(_) | Item::Gap(_) => Ok(()),
    };
    // Whoever put the item in has checked it, and this side's Close has not been sent.
    debug_assert!(sent.is_ok(), "{sent:?}");
}

#[cold]
fn send_part(machine: &mut Machine, part: &Part) -> Result<(), SendError> {
    let (kind, payload) = (part.kind, &part.payload);
    if part.compressible {
        machine.send_part(kind, payload, part.is_last, Cause::Push)
    } else {
        machine.send_uncompressed_part(kind, payload, part.is_last, Cause::Push)
    }
}

/// Puts a message into a buffer that was used before.
pub(crate) fn put(message: &mut MessageBuffer, whole: Whole<'_>) {
    match whole {
        Whole::Lent(lent) => put_lent(message, lent),
        Whole::Assembled(assembled) => {
            pool::recycle_message(message);
            *message = assembled;
        }
    }
}

#[inline]
pub(crate) fn put_lent(message: &mut MessageBuffer, lent: WholeMessage<'_>) {
    match lent {
        WholeMessage::Text(text) => pool::set_text(message, text),
        WholeMessage::Binary(bytes) => pool::set_binary(message, bytes),
    }
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
            Self::Failed(error) => CloseReason::abnormal(&error.to_string()),
            Self::Aborted => CloseReason::abnormal("aborted here"),
        }
    }
}

impl From<Expired> for Error {
    fn from(expired: Expired) -> Self {
        match expired {
            Expired::Failed(error) => Self::Protocol(error),
            Expired::PeerDead => Self::PeerDead,
            Expired::WriteStalled => Self::WriteStalled,
            _ => Self::UnexpectedEnd,
        }
    }
}

impl<T> fmt::Debug for Driver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("link", &self.link)
            .field("ahead", &self.ahead)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}
