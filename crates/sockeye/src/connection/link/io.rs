//! Reads from the transport and writes to it. A partial result stays in the link, so a caller may drop its future at
//! any point. Nothing here knows of deadlines.

use std::io;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut};
use sockeye_mailbox::LOG_LIMIT;
use sockeye_proto::{Cause, Output};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Link;
use crate::connection::pool;

/// When so many bytes of a message have come and as many are missing, the link reads straight into its buffer. The
/// buffer grows with the bytes that have come, not with the length that the header announced.
const DIRECT_FROM: usize = 64 * 1024;

impl<T: AsyncRead + AsyncWrite + Unpin> Link<T> {
    /// Reads once, as much as the transport has and the buffer takes. `Ok(0)` is the transport's end.
    #[inline(always)]
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(0));
        };
        if self.assembly.is_some() {
            let missing = self.machine.payload_remaining().unwrap_or(0);
            if let Some(assembly) = &mut self.assembly {
                assembly.keep_waker(cx);
                let direct = missing >= DIRECT_FROM as u64
                    && assembly.buffer_mut().len() >= DIRECT_FROM
                    && self.input.is_empty();
                // A gated machine would not take the bytes in the buffer.
                if direct && !self.machine.is_gated() {
                    return self.poll_read_direct(cx, missing);
                }
            }
        }
        let scratch = self.input.room();
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        self.input.end += read;
        self.now = Instant::now();
        self.turn.read(read, self.now);
        // Most reads cause an answer.
        self.sending();
        Poll::Ready(Ok(read))
    }

    /// Reads the payload of a large message straight into its buffer, without a copy.
    #[inline(never)]
    fn poll_read_direct(&mut self, cx: &mut Context<'_>, missing: u64) -> Poll<io::Result<usize>> {
        let Some(assembly) = &mut self.assembly else {
            return Poll::Ready(Ok(0));
        };
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        let (buffer, room) = assembly.buffer_for(missing);
        let start = buffer.len();
        let mut limited = buffer.limit(room);
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(0));
        };
        let read = ready!(pin!(stream.read_buf(&mut limited)).poll(cx))?;
        self.now = Instant::now();
        // The machine unmasks and checks the bytes in place: its chunk is the bytes just read.
        assembly.receive(read);
        if read == missing {
            assembly.count_later(read);
            self.turn.read(0, self.now);
        } else {
            self.turn.read(read, self.now);
        }
        self.machine.limit_chunks(read);
        let mut unread = assembly.buffer_mut().get_mut(start..).unwrap_or_default();
        if read > 0 {
            let now = self.now.into_std();
            if let Err(error) = self.machine.receive(&mut unread, now) {
                assembly.fail(error);
            }
        }
        Poll::Ready(Ok(read))
    }

    /// Writes the output, until nothing of it waits.
    #[inline(always)]
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(transport) = &mut self.stream else {
            return Poll::Ready(Ok(()));
        };
        while !self.machine.output().is_empty() {
            let output = self.machine.output();
            let stream = Pin::new(&mut *transport);
            let chunk = output.chunk();
            let written = if chunk.len() == output.len() || !stream.is_write_vectored() {
                stream.poll_write(cx, chunk)
            } else {
                write_vectored(stream, cx, output)
            };
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    self.written += written as u64;
                    self.flushed = false;
                    // Only output that still waits needs the exact time.
                    let now = if written == self.machine.output().len() {
                        self.now
                    } else {
                        Instant::now()
                    };
                    self.machine.handle_written(written, now.into_std());
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.machine.handle_written(0, Instant::now().into_std());
                    return Poll::Pending;
                }
            }
        }
        if self.flushed {
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(transport).poll_flush(cx))?;
        self.flushed = true;
        Poll::Ready(Ok(()))
    }

    /// Whether reading is all that is left to do: no input, no unfinished message, no output.
    #[inline]
    pub(crate) fn is_drained(&mut self) -> bool {
        self.wants_input() && self.flushed && self.machine.output().is_empty()
    }

    /// Whether neither input nor output lies in a buffer.
    #[inline]
    pub(crate) fn is_empty(&mut self) -> bool {
        self.input.is_empty() && self.machine.output().is_empty()
    }

    /// Writes frames past the machine's output, while the link [is empty](Self::is_empty). `fill` puts them into the
    /// read buffer, and returns their length. The output takes over what the transport does not take.
    #[inline(always)]
    pub(crate) fn write_apart(
        &mut self,
        cx: &mut Context<'_>,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> io::Result<()> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        let scratch = self.input.room();
        let len = fill(scratch);
        if len == 0 {
            return Ok(());
        }
        let written = match Pin::new(stream).poll_write(cx, &scratch[..len]) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => 0,
        };
        self.written += written as u64;
        self.flushed = false;
        if written < len {
            self.leave_to_output(written..len);
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn leave_to_output(&mut self, rest: Range<usize>) {
        self.sending();
        let rest = self.input.room().get(rest).unwrap_or_default();
        let sent = self.machine.send_frames(rest, Cause::Push);
        debug_assert!(sent.is_ok(), "{sent:?}");
    }

    /// Puts the rest of frames into the output. Another task wrote their beginning.
    pub(crate) fn send_rest(&mut self, rest: &[u8]) {
        let sent = self.sending().send_frames(rest, Cause::Push);
        debug_assert!(sent.is_ok(), "{sent:?}");
    }
}

/// Writes output that lies in several buffers. Not inlined: most writes need no slices.
#[inline(never)]
fn write_vectored<T: AsyncWrite>(
    stream: Pin<&mut T>,
    cx: &mut Context<'_>,
    output: &Output,
) -> Poll<io::Result<usize>> {
    const MAX_SLICES: usize = 16;
    let mut slices = [io::IoSlice::new(&[]); MAX_SLICES];
    let filled = output.chunks_vectored(&mut slices);
    stream.poll_write_vectored(cx, &slices[..filled])
}

// `write_apart` writes what a log holds: its weight, and four bytes of header for each 64 of weight.
const _: () = assert!(LOG_LIMIT + LOG_LIMIT / 16 <= pool::SCRATCH_LEN);
