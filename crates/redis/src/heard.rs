//! A stream that notes when bytes last came from the server.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::transport::ByteStream;

/// When bytes last came. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct LastHeard {
    opened: Instant,
    /// Milliseconds since `opened`.
    at: Arc<AtomicU64>,
}

/// A stream that notes when bytes came.
pub(crate) struct HeardStream {
    stream: ByteStream,
    heard: LastHeard,
}

impl LastHeard {
    /// Returns the time, to a millisecond.
    pub(crate) fn at(&self) -> Instant {
        self.opened + Duration::from_millis(self.at.load(Ordering::Relaxed))
    }

    fn note(&self) {
        let passed = self.opened.elapsed().as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.at.store(passed, Ordering::Relaxed);
    }
}

impl HeardStream {
    /// Wraps a stream that has just been opened.
    pub(crate) fn new(stream: ByteStream) -> (Self, LastHeard) {
        let heard = LastHeard {
            opened: Instant::now(),
            at: Arc::default(),
        };
        let stream = Self {
            stream,
            heard: heard.clone(),
        };
        (stream, heard)
    }
}

impl AsyncRead for HeardStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.heard.note();
        }
        read
    }
}

impl AsyncWrite for HeardStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_of_the_server_move_the_time_and_our_own_do_not() {
        let (ours, mut theirs) = duplex(64);
        let (mut stream, heard) = HeardStream::new(Box::new(ours));
        let opened = heard.at();
        advance(Duration::from_secs(3)).await;
        stream.write_all(b"PING\r\n").await.unwrap();
        assert_eq!(heard.at(), opened);
        theirs.write_all(b"+PONG\r\n").await.unwrap();
        stream.read_u8().await.unwrap();
        assert_eq!(heard.at(), opened + Duration::from_secs(3));
    }
}
