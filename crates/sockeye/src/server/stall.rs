//! A write deadline for a connection that speaks HTTP: hyper has none. An upgraded connection has a deadline of its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::admission::Standing;
use crate::deadline::InputDeadline;
use crate::sync::Arc;

/// A stream whose writes fail when the peer reads nothing for too long.
#[derive(Debug)]
pub(super) struct StallGuard<S> {
    stream: S,
    timeout: Duration,
    /// Set while writes are discarded until the server answers a request: they are hyper's own answers.
    standing: Option<Arc<Standing>>,
    /// Whether an answer of hyper's own was discarded.
    has_swallowed: bool,
    /// A byte that was read already.
    first: Option<u8>,
    /// Runs while a write waits.
    timer: Option<Pin<Box<InputDeadline>>>,
}

impl<S> StallGuard<S> {
    pub(super) fn new(stream: S, timeout: Duration) -> Self {
        Self {
            stream,
            timeout,
            standing: None,
            has_swallowed: false,
            first: None,
            timer: None,
        }
    }

    /// Discards all writes until the server answers a request. These writes are hyper's own answers to a request that
    /// hyper cannot read.
    pub(super) fn swallow_at_first(&mut self, standing: Arc<Standing>) {
        self.standing = Some(standing);
    }

    /// Returns whether an answer was discarded. From now on everything is written.
    pub(super) fn stop_swallowing(&mut self) -> bool {
        self.standing = None;
        std::mem::take(&mut self.has_swallowed)
    }

    fn swallows(&self) -> bool {
        let standing = self.standing.as_ref();
        standing.is_some_and(|standing| !standing.is_answering())
    }

    /// Puts back the first byte of the stream, to be read again.
    pub(super) fn put_back(&mut self, [first]: [u8; 1]) {
        self.first = Some(first);
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Returns the result of a write, or an error if the write has waited too long.
    fn watch<R>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(InputDeadline::after(self.timeout)));
        timer
            .as_mut()
            .poll_passed(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buffer.remaining() > 0
            && let Some(first) = this.first.take()
        {
            buffer.put_slice(&[first]);
            // Reads on, in case more is there. An error comes again.
            if buffer.remaining() > 0 {
                let _ = Pin::new(&mut this.stream).poll_read(cx, buffer);
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.swallows() {
            this.has_swallowed |= !bytes.is_empty();
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.watch(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.swallows() {
            let count = slices.iter().map(|slice| slice.len()).sum();
            this.has_swallowed |= count > 0;
            return Poll::Ready(Ok(count));
        }
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.watch(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.has_swallowed {
            // `unread.rs` writes another answer when hyper is done.
            return Poll::Ready(Ok(()));
        }
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.watch(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, sleep};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_fails_the_write_at_the_deadline() {
        let (near, _far) = tokio::io::duplex(10);
        let mut guarded = StallGuard::new(near, TIMEOUT);
        let begun = Instant::now();
        let error = guarded.write_all(&[0; 11]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_a_little_in_time_has_the_time_anew() {
        let (near, mut far) = tokio::io::duplex(10);
        let mut guarded = StallGuard::new(near, TIMEOUT);
        let slow = async {
            for _ in 0..10 {
                sleep(TIMEOUT - Duration::from_millis(1)).await;
                far.read_exact(&mut [0; 10]).await.unwrap();
            }
        };
        let bytes = [0; 110];
        let (written, ()) = tokio::join!(guarded.write_all(&bytes), slow);
        written.unwrap();
    }
}
