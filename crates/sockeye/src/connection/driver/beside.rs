//! The work of the driver while a handler is suspended, or while the application is paused. The driver writes, and
//! reads until it has one [`Next`] ahead. Then it stops reading, until the handler is done.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use sockeye_proto::MessageBuffer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::event::{Ending, Next};
use super::running::{Driver, Running};
use super::turn::Reading;
use crate::connection::pool;
use crate::connection::turn::{Look, look};

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// Runs a handler's future, and everything else beside it while it is suspended. `None` if the connection was
    /// aborted: then the owner drops the handler.
    #[inline]
    pub(crate) fn alongside<F: Future>(
        &mut self,
        handler: Pin<&mut F>,
    ) -> impl Future<Output = Option<F::Output>> {
        let mut handler = handler;
        let mut suspended = false;
        poll_fn(move |cx| {
            if suspended {
                // The task runs, so a send of the handler need not wake it.
                self.drive();
            }
            if let Poll::Ready(output) = handler.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            self.poll_suspended(cx, &mut suspended)
        })
    }

    /// Goes on beside a handler that is not ready. Ready if the handler must not go on.
    #[cold]
    pub(super) fn poll_suspended<R>(
        &mut self,
        cx: &mut Context<'_>,
        suspended: &mut bool,
    ) -> Poll<Option<R>> {
        if !*suspended && !self.core().look().is_awaited() {
            // The handler may be ready again at once, as after a lock or a yield. That must not cost a write for each
            // message.
            *suspended = true;
            self.drive().link.release_buffers();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        *suspended = true;
        self.poll_beside(cx);
        match self.core().phase.ending() {
            Some(Ending::Aborted) => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }

    /// What came while the owner was busy, or the end. While the application is paused the driver keeps it, and goes on
    /// as beside a suspended handler. `None` if the owner gets nothing of that.
    #[cold]
    #[inline(never)]
    pub(super) fn poll_ahead(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut MessageBuffer,
    ) -> Poll<Option<Next>> {
        self.drive();
        if self.core().phase.ahead().is_some() && self.core().is_reading_paused() {
            self.poll_beside(cx);
            if self.core().is_reading_paused() {
                pool::recycle_message(message);
                return Poll::Pending;
            }
        }
        // It came before the end of the connection, so it comes first.
        let next = self.core_mut().take_ahead(message);
        Poll::Ready(next.or_else(|| self.core().phase.is_ended().then_some(Next::End)))
    }

    /// Does the work of the connection while a handler is suspended, and parks.
    pub(super) fn poll_beside(&mut self, cx: &mut Context<'_>) {
        if self.core().phase.is_open() {
            let mut message = MessageBuffer::default();
            match self.poll_event_beside(cx, &mut message) {
                Poll::Pending => return,
                Poll::Ready(Next::End) => {}
                Poll::Ready(next) => self.core_mut().phase.put_ahead(next, message),
            }
        }
        loop {
            let running = self.drive();
            // The driver does not read now, so the peer's silence does not count against the peer.
            running.link.pause_reading();
            match running.write_beside(cx) {
                Beside::Aborted => return,
                Beside::Again => {}
                Beside::Idle { has_room } => {
                    if self.park(cx, has_room) {
                        return;
                    }
                }
            }
        }
    }

    #[inline(never)]
    pub(super) fn poll_event_beside(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut MessageBuffer,
    ) -> Poll<Next> {
        loop {
            let running = self.drive();
            match look(Reading { running, message }, cx) {
                Look::Event(next) => return Poll::Ready(next),
                Look::Again => {}
                Look::Idle { has_room } if !self.park(cx, has_room) => {}
                Look::Idle { .. } | Look::Yield => return Poll::Pending,
            }
        }
    }
}

/// What came of one look at the output, beside a handler.
enum Beside {
    /// The application has aborted the connection.
    Aborted,
    /// Conditions have changed: everything is looked at again.
    Again,
    /// There is nothing to do until the driver is woken. Without room the transport takes no output.
    Idle { has_room: bool },
}

impl<T: AsyncRead + AsyncWrite + Unpin> Running<T> {
    /// Writes the output without reading, and ends the transport once the connection has ended.
    fn write_beside(&mut self, cx: &mut Context<'_>) -> Beside {
        if self.core.is_aborted() {
            self.core.phase.abort();
            return Beside::Aborted;
        }
        let output = self.poll_output(cx);
        if let Poll::Ready(Err(error)) = output {
            self.lose(error);
            return Beside::Again;
        }
        if let Some(ending) = self.closed_here() {
            self.core.phase.end(ending);
        }
        if self.is_effect_due() {
            self.settle();
            return Beside::Again;
        }
        if self.core.phase.is_ended() && !self.link.machine().can_send() {
            self.linger_beside(cx);
            return Beside::Idle { has_room: false };
        }
        match self.poll_timer(cx) {
            Poll::Ready(Some(expired)) => {
                self.end(Ending::Failed(expired.into()));
                Beside::Again
            }
            Poll::Ready(None) => Beside::Again,
            Poll::Pending => Beside::Idle {
                has_room: output.is_ready(),
            },
        }
    }

    /// Ends the transport while the handler runs on, and then wakes the tasks that wait for the end. The handler may be
    /// one of them. After the close timeout the session's permit returns to the server, even if the handler still runs.
    #[cold]
    fn linger_beside(&mut self, cx: &mut Context<'_>) {
        let timeout = self.link.machine().config().close_timeout;
        let has_permit = self.core.permit.is_some();
        if let Some(ended) = self.core.phase.ended()
            && has_permit
        {
            let sleep = || Box::pin(tokio::time::sleep(timeout));
            ended.permit_until.get_or_insert_with(sleep);
        }
        if self.poll_linger(cx).is_pending() {
            return;
        }
        let Some(ended) = self.core.phase.ended() else {
            return;
        };
        let reason = ended.why.reason();
        let permit_until = &mut ended.permit_until;
        if let Some(sleep) = permit_until
            && sleep.as_mut().poll(cx).is_ready()
        {
            *permit_until = None;
            self.core.permit = None;
        }
        self.core.side.mailbox().end(reason);
    }

    /// Whether this side must answer the peer's Close, or its broken rule, although the handler still runs. The handler
    /// has the close timeout before. The machine's deadline wakes this task.
    fn is_effect_due(&self) -> bool {
        let machine = self.link.machine();
        let now = Instant::now().into_std();
        machine.owes_close() && machine.poll_timeout().is_some_and(|due| due <= now)
    }
}
