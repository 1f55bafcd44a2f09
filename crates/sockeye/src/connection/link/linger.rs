//! The orderly end of a link (RFC 6455 §7.1.1): writes the rest of the output, finishes the closing handshake, ends
//! the transport. Discards the peer's messages meanwhile.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sockeye_proto::{Expired, FrameHeader, Role};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Link, Transport};
use crate::connection::assembly::Giving;
use crate::connection::turn::{Host, Look, look};
use crate::error::Error;

impl<T: AsyncRead + AsyncWrite + Unpin> Link<T> {
    /// Whether lingering ended with more to write than the answer to a Close.
    pub(crate) fn left_unwritten(&self) -> bool {
        self.left_unwritten
    }

    /// Ends the connection in order (§7.1.1): writes the output, finishes the closing handshake, and ends this side's
    /// stream. Discards input until the peer ends its stream, or until the close deadline.
    pub(crate) fn poll_linger(
        &mut self,
        cx: &mut Context<'_>,
        wake_by: impl Fn(Instant) -> bool,
    ) -> Poll<()> {
        self.discards = true;
        if self
            .assembly
            .as_ref()
            .is_some_and(|assembly| assembly.giving != Giving::Nothing)
        {
            self.forget_message();
        }
        loop {
            let (link, wake_by) = (&mut *self, &wake_by);
            match look(Lingering { link, wake_by }, cx) {
                Look::Event(()) => return Poll::Ready(()),
                Look::Again => {}
                Look::Idle { .. } | Look::Yield => return Poll::Pending,
            }
        }
    }
}

/// A link whose connection ends. Its event is the end of the transport.
struct Lingering<'l, T, W> {
    link: &'l mut Link<T>,
    wake_by: &'l W,
}

impl<T: AsyncRead + AsyncWrite + Unpin, W> Lingering<'_, T, W> {
    /// Ends this side's stream when both sides have closed. §7.1.1: the server ends the transport first. A client waits
    /// for that, unless it fails the connection.
    fn shut(&mut self, cx: &mut Context<'_>) {
        let machine = &self.link.machine;
        let is_first = machine.role() == Role::Server || machine.failure().is_some();
        if machine.is_finished()
            && is_first
            && self.link.transport == Transport::Open
            && let Some(stream) = &mut self.link.stream
            && let Poll::Ready(shut) = Pin::new(stream).poll_shutdown(cx)
        {
            match shut {
                Ok(()) => self.link.transport = Transport::WriteShut,
                Err(_) => self.link.lose(),
            }
        }
    }
}

impl<T, W> Host<T> for Lingering<'_, T, W>
where
    T: AsyncRead + AsyncWrite + Unpin,
    W: Fn(Instant) -> bool,
{
    type Event = ();

    fn link(&mut self) -> &mut Link<T> {
        self.link
    }

    /// Takes the peer's Close from the input, and drops everything else.
    fn pull(&mut self) -> Option<Look<()>> {
        match self.link.pull(|_| ()) {
            Ok(Some(_)) => Some(Look::Again),
            Ok(None) | Err(_) => None,
        }
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.link.machine.conclude(Instant::now().into_std());
        let written = self.link.poll_write(cx);
        // Noted each time: the deadline and a loss drop the output.
        self.link.left_unwritten = self.link.machine.output().len() > LONGEST_CLOSE;
        ready!(written)?;
        self.shut(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Expired>> {
        self.link.poll_timer(cx, self.wake_by)
    }

    fn fail(&mut self, _error: Error) -> Look<()> {
        self.link.lose();
        Look::Again
    }

    /// TLS sends its own end. The link does not wait for it.
    fn finish_reading(&mut self, cx: &mut Context<'_>) -> Look<()> {
        if let Some(stream) = &mut self.link.stream {
            let _ = Pin::new(stream).poll_shutdown(cx);
        }
        self.link.lose();
        Look::Again
    }

    /// The output may end the transport, so every look comes by it.
    fn is_drained(&mut self) -> bool {
        false
    }

    /// Nothing of the input causes output any more.
    fn is_gated(&mut self) -> bool {
        false
    }

    fn check_abort(&mut self) -> Option<Look<()>> {
        self.check_end()
    }

    fn check_end(&mut self) -> Option<Look<()>> {
        (self.link.transport == Transport::Lost).then_some(Look::Event(()))
    }
}

/// §5.5: a client's header of a control frame, and its payload.
const LONGEST_CLOSE: usize = 6 + FrameHeader::MAX_CONTROL_PAYLOAD;
