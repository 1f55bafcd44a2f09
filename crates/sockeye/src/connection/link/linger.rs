//! The orderly end of a link (RFC 6455 §7.1.1): writes the rest of the output, finishes the closing handshake, ends
//! the transport. Discards the peer's messages meanwhile.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sockeye_proto::{FrameHeader, Role};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Link, Transport, Turn};
use crate::connection::assembly::Giving;

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
        // The input may hold the peer's Close already.
        let mut has_input = true;
        loop {
            if std::mem::take(&mut has_input) && self.discard_input() == Turn::Over {
                // A peer that sends on and on has the same deadline.
                if let Poll::Ready(Some(_)) = self.poll_timer(cx, &wake_by) {
                    self.lose();
                    continue;
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.transport == Transport::Lost {
                return Poll::Ready(());
            }
            let written = self.poll_write(cx);
            // Noted each time: the deadline and a loss drop the output.
            self.left_unwritten = self.machine.output().len() > LONGEST_CLOSE;
            if let Poll::Ready(Err(_)) = written {
                self.lose();
                continue;
            }
            // §7.1.1: the server ends the transport first. A client waits for that, unless it fails the connection.
            let first = self.machine.role() == Role::Server || self.machine.failure().is_some();
            if self.machine.is_finished()
                && first
                && written.is_ready()
                && self.transport == Transport::Open
                && let Some(stream) = &mut self.stream
                && let Poll::Ready(shut) = Pin::new(stream).poll_shutdown(cx)
            {
                match shut {
                    Ok(()) => self.transport = Transport::WriteShut,
                    Err(_) => self.lose(),
                }
                continue;
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(0)) => {
                    // TLS sends its end. The link does not wait for it.
                    if let Some(stream) = &mut self.stream {
                        let _ = Pin::new(stream).poll_shutdown(cx);
                    }
                    self.lose();
                }
                Poll::Ready(Err(_)) => self.lose(),
                Poll::Ready(Ok(_)) => has_input = true,
                Poll::Pending => {
                    if ready!(self.poll_timer(cx, &wake_by)).is_some() {
                        self.lose();
                    }
                }
            }
        }
    }

    /// Takes the peer's Close from the input, if it is there, and drops everything else.
    fn discard_input(&mut self) -> Turn {
        let mut turn = Turn::GoesOn;
        loop {
            if self.ends_turn() {
                turn = Turn::Over;
                break;
            }
            match self.pull(|_| ()) {
                Ok(Some(_)) => {}
                Ok(None) if self.ends_turn() => {
                    turn = Turn::Over;
                    break;
                }
                Ok(None) | Err(_) => break,
            }
        }
        self.machine.conclude(Instant::now().into_std());
        turn
    }
}

/// §5.5: a client's header of a control frame, and its payload.
const LONGEST_CLOSE: usize = 6 + FrameHeader::MAX_CONTROL_PAYLOAD;
