//! One look at a connection: the loop of all that drive one asynchronously. A host says what is special about it. The
//! hosts are the driver of a session, the same driver while it only writes, a connection without a task, and the
//! orderly end of a transport.
//!
//! ```text
//!   take an event of the input ─▶ write the output ─▶ read ─▶ look at the deadlines ─▶ idle
//!          │                        │                  │               │
//!          └── Event                └─── Event: end    └── Again       └── Event: end
//! ```

use std::task::{Context, Poll};

use sockeye_proto::Expired;
use tokio::io::{AsyncRead, AsyncWrite};

use super::link::{Link, Turn};
use crate::error::Error;

/// What one look came to.
#[derive(Debug)]
pub(crate) enum Look<E> {
    /// The owner of the connection has to act on this.
    Event(E),
    /// Conditions have changed: look again.
    Again,
    /// There is nothing to do until the task is woken. Without room the transport takes no output.
    Idle { has_room: bool },
    /// The task's turn is over. The task is woken already.
    Yield,
}

/// The owner of a link, as far as a look differs by it.
pub(crate) trait Host<T: AsyncRead + AsyncWrite + Unpin> {
    type Event;

    fn link(&mut self) -> &mut Link<T>;

    /// Takes the next event from the input. `None` if the input has no more.
    fn pull(&mut self) -> Option<Look<Self::Event>>;

    /// Moves what waits elsewhere to the output, and writes.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;

    /// Waits for the machine's next deadline.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Expired>>;

    /// Ends the connection with an error.
    fn fail(&mut self, error: Error) -> Look<Self::Event>;

    /// Handles the end of the peer's stream.
    #[cold]
    fn finish_reading(&mut self, _cx: &mut Context<'_>) -> Look<Self::Event> {
        self.fail(Error::UnexpectedEnd)
    }

    /// Whether reading is all that is left to do.
    #[inline]
    fn is_drained(&mut self) -> bool {
        !self.link().has_had_its_turn() && self.link().is_drained()
    }

    /// Whether the link takes no more input: too much output that input caused waits, or a message waits for memory.
    #[inline]
    fn is_gated(&mut self) -> bool {
        self.link().machine().is_gated() || self.link().is_starved()
    }

    /// Checks first of all whether the owner or its application wants the end at once. Returns the event of the end then.
    #[inline]
    fn check_abort(&mut self) -> Option<Look<Self::Event>> {
        None
    }

    /// Writes before the input is looked at, if too much output waits.
    #[inline]
    fn relieve(&mut self, _cx: &mut Context<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// Checks after a write whether the connection has ended, because this side's Close was sent or the transport was lost.
    /// Returns the event of the end then.
    #[inline]
    fn check_end(&mut self) -> Option<Look<Self::Event>> {
        None
    }
}

/// Takes an event from the input; else writes the output, reads, and looks at the deadlines.
// The host comes by value, so that it stays in registers. Each function that returns across a system call is
// mispredicted: the kernel leaves the processor's memory of return addresses cleared. So everything between the task and
// the socket is one function.
#[inline(always)]
pub(crate) fn look<T, H>(mut host: H, cx: &mut Context<'_>) -> Look<H::Event>
where
    T: AsyncRead + AsyncWrite + Unpin,
    H: Host<T>,
{
    let mut has_room = true;
    // After a wake-up by the transport there is usually nothing to do but to read.
    let mut reads = host.is_drained();
    if !reads {
        if let Some(end) = host.check_abort() {
            return end;
        }
        // 1. The next event of the input. The output that input causes is written before it becomes too much.
        if let Err(error) = host.relieve(cx) {
            return host.fail(error);
        }
        if host.link().has_had_its_turn() {
            return match host.link().judge_turn() {
                Turn::Over => give_way(host, cx),
                Turn::GoesOn => Look::Again,
            };
        }
        if !host.link().wants_input() && !host.is_gated() {
            if let Some(look) = host.pull() {
                return look;
            }
            // A turn counts fragments together, when the link has taken them all.
            if host.link().ends_turn() {
                return give_way(host, cx);
            }
        }
        // The rest of the input waits until the output that input caused is written.
        let gated = host.is_gated();
        // 2. One write for all output.
        match host.poll_output(cx) {
            Poll::Ready(Err(error)) => return host.fail(error),
            polled => has_room = polled.is_ready(),
        }
        if let Some(end) = host.check_end() {
            return end;
        }
        reads = !host.is_gated() && !host.link().lacks_memory();
        if gated && reads {
            return Look::Again;
        }
    }
    if reads {
        // 3. More input.
        host.link().resume_reading();
        match host.link().poll_read(cx) {
            Poll::Ready(Ok(0)) => return host.finish_reading(cx),
            Poll::Ready(Ok(_)) => return Look::Again,
            Poll::Ready(Err(error)) => return host.fail(error.into()),
            Poll::Pending => {}
        }
    } else {
        // The peer has to read first, or other messages have to end: the peer is not to blame for its silence.
        host.link().pause_reading();
        if host.link().poll_memory(cx).is_ready() {
            return Look::Again;
        }
    }
    // 4. Deadlines, now that nothing is left to read.
    match host.poll_timer(cx) {
        Poll::Ready(Some(expired)) => host.fail(expired.into()),
        Poll::Ready(None) => Look::Again,
        Poll::Pending => Look::Idle { has_room },
    }
}

/// Lets other tasks run, after writing the output.
#[cold]
#[inline(never)]
fn give_way<T, H>(mut host: H, cx: &mut Context<'_>) -> Look<H::Event>
where
    T: AsyncRead + AsyncWrite + Unpin,
    H: Host<T>,
{
    if let Poll::Ready(Err(error)) = host.poll_output(cx) {
        return host.fail(error);
    }
    if let Some(end) = host.check_end() {
        return end;
    }
    // A connection that is always busy has its deadlines too.
    if let Poll::Ready(Some(expired)) = host.poll_timer(cx) {
        return host.fail(expired.into());
    }
    host.link().release_buffers();
    cx.waker().wake_by_ref();
    Look::Yield
}
