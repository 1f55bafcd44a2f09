//! The work of the driver while a handler is suspended, or while the application is paused. The driver writes,
//! and reads until it has one [`Next`] ahead. Then it stops reading, until the handler is done.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sockeye_proto::MessageBuffer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Driver, Ending, Next};
use crate::connection::pool;

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
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
                // The task runs again: a send of the handler need not wake it.
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
    pub(super) fn poll_suspended<R>(
        &mut self,
        cx: &mut Context<'_>,
        suspended: &mut bool,
    ) -> Poll<Option<R>> {
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
        match self.ending() {
            Some(Ending::Aborted) => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }

    #[inline(never)]
    pub(super) fn put_ahead(&mut self, next: Next, message: &mut MessageBuffer) {
        self.ahead = Some(Box::new((next, std::mem::take(message))));
    }

    #[inline(never)]
    pub(super) fn take_ahead(&mut self, message: &mut MessageBuffer) -> Option<Next> {
        let (next, buffer) = *self.ahead.take()?;
        if self.directive.is_some() {
            return None;
        }
        pool::recycle_message(message);
        *message = buffer;
        Some(next)
    }

    /// Whether the application wants nothing yet of what came.
    #[inline]
    pub(super) fn is_held_back(&self) -> bool {
        self.outbox.is_paused() && self.directive.is_none() && self.ended.is_none()
    }

    /// Keeps what came, as while a handler is suspended, until the application goes on or wants the end, or there
    /// is an end.
    #[cold]
    #[inline(never)]
    pub(super) fn poll_released(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut MessageBuffer,
    ) -> Poll<()> {
        self.poll_beside(cx);
        if self.is_held_back() {
            pool::recycle_message(message);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// What goes on while a handler is suspended.
    pub(super) fn poll_beside(&mut self, cx: &mut Context<'_>) {
        if self.ahead.is_none() && self.ended.is_none() {
            let mut message = MessageBuffer::default();
            match self.poll_event_beside(cx, &mut message) {
                Poll::Pending => return,
                Poll::Ready(Next::End) => {}
                Poll::Ready(next) => self.ahead = Some(Box::new((next, message))),
            }
        }
        // The driver does not read now, so the peer's silence does not count against the peer.
        self.link.pause_reading();
        loop {
            self.drive();
            if self.is_aborted() {
                self.ended = None;
                self.note_ending(Ending::Aborted);
                return;
            }
            let output = self.poll_output(cx);
            if let Poll::Ready(Err(error)) = output {
                self.lose(error);
                continue;
            }
            if let Some(ending) = self.closed_here() {
                self.note_ending(ending);
            }
            if self.is_effect_due() {
                self.settle();
                continue;
            }
            if self.ended.is_some() && !self.link.machine().can_send() {
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
    /// may be one of them. One that runs on for the close timeout gives up its permit.
    #[cold]
    fn linger_beside(&mut self, cx: &mut Context<'_>) {
        let timeout = self.close_timeout();
        if self.permit.is_some()
            && let Some(ended) = &mut self.ended
        {
            let sleep = || Box::pin(tokio::time::sleep(timeout));
            ended.permit_until.get_or_insert_with(sleep);
        }
        let outbox = &*self.outbox;
        let wake_by = |due: Instant| outbox.wake_by(due.into_std());
        if self.link.poll_linger(cx, wake_by).is_pending() {
            return;
        }
        let Some(ended) = &mut self.ended else {
            return;
        };
        self.outbox.end(ended.why.reason());
        if let Some(permit_until) = &mut ended.permit_until
            && permit_until.as_mut().poll(cx).is_ready()
        {
            (self.permit, ended.permit_until) = (None, None);
        }
    }

    #[inline(never)]
    pub(super) fn poll_event_beside(
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
}
