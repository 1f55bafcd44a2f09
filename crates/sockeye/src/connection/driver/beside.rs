//! The work of the driver while a handler is suspended, or while the application is paused. The driver writes, and
//! reads until it has one [`Next`] ahead. Then it stops reading, until the handler is done.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use sockeye_proto::{Expired, MessageBuffer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::event::{Ending, Next};
use super::phase::Ahead;
use super::running::{Driver, Running};
use super::turn::Reading;
use crate::connection::link::Link;
use crate::connection::pool;
use crate::connection::turn::{Host, Look, look};
use crate::error::Error;

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
        if !self.core().phase.is_ended() && self.core().side.take_notice() {
            return Poll::Ready(Some(Next::Notice));
        }
        // A notice is no message: a pause does not delay it.
        let is_message = |(next, _): &Ahead| !matches!(next, Next::Notice);
        if self.core().phase.ahead().is_some_and(is_message) && self.core().is_reading_paused() {
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
            match look(Writing { running }, cx) {
                Look::Again => {}
                Look::Idle { has_room } if !self.park(cx, has_room) => {}
                Look::Event(Aborted) | Look::Idle { .. } | Look::Yield => return,
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

/// A running driver whose owner is busy, with something ahead or after the end: it writes, and does not read.
struct Writing<'d, T> {
    running: &'d mut Running<T>,
}

/// The application has aborted the connection.
struct Aborted;

impl<T: AsyncRead + AsyncWrite + Unpin> Host<T> for Writing<'_, T> {
    type Event = Aborted;

    fn link(&mut self) -> &mut Link<T> {
        &mut self.running.link
    }

    fn pull(&mut self) -> Option<Look<Aborted>> {
        None
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.running.poll_output(cx)
    }

    /// Once the connection has ended, and its Close is sent, this ends the transport.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Expired>> {
        let running = &mut *self.running;
        if running.core.phase.is_ended() && !running.link.machine().can_send() {
            running.linger_beside(cx);
            return Poll::Pending;
        }
        running.poll_timer(cx)
    }

    fn fail(&mut self, error: Error) -> Look<Aborted> {
        self.running.end(Ending::Failed(error));
        Look::Again
    }

    fn is_drained(&mut self) -> bool {
        false
    }

    fn is_gated(&mut self) -> bool {
        true
    }

    fn check_abort(&mut self) -> Option<Look<Aborted>> {
        if !self.running.core.is_aborted() {
            return None;
        }
        self.running.core.phase.abort();
        Some(Look::Event(Aborted))
    }

    fn check_end(&mut self) -> Option<Look<Aborted>> {
        if let Some(ending) = self.running.closed_here() {
            self.running.core.phase.end(ending);
        }
        if !self.running.is_effect_due() {
            return None;
        }
        self.running.settle();
        Some(Look::Again)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Running<T> {
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
