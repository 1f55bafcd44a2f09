//! The end of a connection: the reason that the driver notes, the Close that it still owes, and the orderly end of
//! the transport.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use sockeye_mailbox::Directive;
use sockeye_proto::{CloseReason, Expired};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::event::Ending;
use super::phase::Phase;
use super::running::{Driver, Running};
use crate::error::Error;

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// Takes the reason of the end, once, after [`Next::End`](super::Next::End).
    pub(crate) fn take_ending(&mut self) -> Ending {
        match std::mem::take(&mut self.core_mut().phase) {
            Phase::Ended(ended) => ended.why,
            Phase::Open | Phase::Ahead(_) => Ending::Aborted,
        }
    }

    /// Lets the end take effect: the machine sends the Close that it owes, and sends answer `Closed`.
    pub(crate) fn settle(&mut self) {
        self.drive().settle();
    }

    /// Ends the transport in order, within the close deadline. Returns the peer's Close, if it came.
    /// [`Mailbox::abort`](sockeye_mailbox::Mailbox::abort) ends the transport at once.
    pub(crate) async fn linger(&mut self) -> Option<CloseReason> {
        self.settle();
        poll_fn(|cx| {
            let running = self.drive();
            if running.core.is_aborted() || running.poll_linger(cx).is_ready() {
                return Poll::Ready(());
            }
            if !self.park(cx, false) {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await;
        self.drive().link.machine().close_received().cloned()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Running<T> {
    pub(super) fn settle(&mut self) {
        if self.core.is_aborted() {
            self.link.machine_mut().handle_end();
        }
        // What the application sent before goes out before the Close, as replies do. It is at most what the outbox and the logs hold.
        while self.link.machine().can_send()
            && (self.take_items(usize::MAX).is_some()
                || self.read_log(usize::MAX)
                || !self.core.look().has_nothing_to_take())
        {}
        self.link.machine_mut().conclude(Instant::now().into_std());
        self.core.side.mailbox().shut();
    }

    pub(super) fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let side = &self.core.side;
        self.link
            .poll_linger(cx, |due| side.wake_by(due.into_std()))
    }

    /// The ending by this side's Close, if that went out first.
    #[inline]
    pub(super) fn closed_here(&self) -> Option<Ending> {
        let directive = self.core.side.directive()?;
        self.closed_by(directive)
    }

    #[cold]
    #[inline(never)]
    fn closed_by(&self, directive: &Directive) -> Option<Ending> {
        let machine = self.link.machine();
        match directive {
            Directive::Close(reason) if !machine.can_send() && machine.can_receive() => {
                Some(Ending::ClosedHere(reason.clone()))
            }
            _ => None,
        }
    }

    /// Ends the connection. The owner gets [`Next::End`](super::Next::End).
    #[cold]
    #[inline(never)]
    pub(super) fn end(&mut self, ending: Ending) {
        match ending {
            // Nothing can be sent any more. The waiting senders learn it now.
            Ending::Failed(
                error @ (Error::Io(_)
                | Error::PeerDead
                | Error::UnexpectedEnd
                | Error::WriteStalled),
            ) => self.lose(error),
            ending => self.core.phase.end(ending),
        }
    }

    /// Drops the transport, and shuts the outbox.
    pub(super) fn lose(&mut self, error: Error) {
        self.link.lose();
        self.core.taken = VecDeque::new();
        self.core.phase.end(Ending::Failed(error));
        self.core.side.mailbox().shut();
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
