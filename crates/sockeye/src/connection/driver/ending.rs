//! The end of a connection: the reason that the driver notes, the Close that it still owes, and the orderly end of
//! the transport.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use sockeye_proto::{CloseCode, CloseReason, Expired};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

use super::{Driver, Next};
use crate::connection::outbox::Directive;
use crate::error::{Error, ErrorChain};

/// Why nothing comes any more.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The peer sent its Close.
    ClosedByPeer(CloseReason),
    /// This side sent its Close first.
    ClosedHere(CloseReason),
    /// [`Outbox::abort`](crate::connection::outbox::Outbox::abort).
    Aborted,
    Failed(Error),
}

/// The end of a connection, while its handler may still run.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) why: Ending,
    // Until when a handler that runs on without a transport keeps the session's permit.
    pub(super) permit_until: Option<Pin<Box<Sleep>>>,
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
            Self::Failed(error) => CloseReason::abnormal(&ErrorChain::new(error).to_string()),
            Self::Aborted => CloseReason::abnormal("aborted here"),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// Why nothing comes any more; once, after [`Next::End`].
    pub(crate) fn take_ending(&mut self) -> Ending {
        let ended = self.ended.take();
        ended.map_or(Ending::Aborted, |ended| ended.why)
    }

    /// Why nothing comes any more, if so.
    pub(super) fn ending(&self) -> Option<&Ending> {
        self.ended.as_deref().map(|ended| &ended.why)
    }

    /// Notes why nothing comes any more. The first ending counts.
    pub(super) fn note_ending(&mut self, why: Ending) {
        self.ended.get_or_insert_with(|| {
            Box::new(Ended {
                why,
                permit_until: None,
            })
        });
    }

    /// Lets the ending take effect: the Close that is owed goes out, sends answer `Closed`.
    pub(crate) fn settle(&mut self) {
        self.drive();
        if self.is_aborted() {
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

    /// Ends the transport in order, within the close deadline. Dropped by [`Outbox::abort`](crate::connection::outbox::Outbox::abort).
    /// Gives the peer's Close, if it came.
    pub(crate) async fn linger(&mut self) -> Option<CloseReason> {
        self.settle();
        poll_fn(|cx| {
            self.drive();
            if self.is_aborted() {
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

    /// The ending by this side's Close, if that went out first.
    #[inline]
    pub(super) fn closed_here(&self) -> Option<Ending> {
        self.directive
            .as_deref()
            .and_then(|directive| self.closed_by(directive))
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

    #[cold]
    #[inline(never)]
    pub(super) fn end(&mut self, ending: Ending) -> Poll<Option<Next>> {
        match ending {
            // Nothing can be sent any more. The waiting senders must know now.
            Ending::Failed(
                error @ (Error::Io(_)
                | Error::PeerDead
                | Error::UnexpectedEnd
                | Error::WriteStalled),
            ) => self.lose(error),
            ending => self.note_ending(ending),
        }
        Poll::Ready(Some(Next::End))
    }

    /// The transport is of no use any more.
    pub(super) fn lose(&mut self, error: Error) {
        self.link.lose();
        self.taken = VecDeque::new();
        self.note_ending(Ending::Failed(error));
        self.outbox.shut();
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
