//! A transport that is memory: what is read of it comes around again, what is written is only counted, or
//! compared. It never waits.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::message::{KEY, Payload, frame};

/// Frames that are there at once, as many as a large read brings.
#[derive(Clone)]
pub(super) struct Batch {
    frames: Rc<[u8]>,
    replies: Rc<[u8]>,
    messages: usize,
}

impl Batch {
    pub(super) fn new(size: usize) -> Self {
        const BYTES: usize = 64 * 1024;
        let messages = (BYTES / size).clamp(1, 1024);
        let frames = |key| -> Rc<[u8]> {
            let payloads = (0..messages).map(|number| Payload::Binary.bytes(size, number));
            let first = Payload::Binary.first_byte();
            let frames = payloads.map(|payload| frame(first, &payload, key));
            frames.flatten().collect()
        };
        Self {
            frames: frames(Some(KEY)),
            replies: frames(None),
            messages,
        }
    }

    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// How many bytes its frames have.
    pub(super) fn frames(&self) -> usize {
        self.frames.len()
    }

    /// How many bytes its replies have.
    pub(super) fn replies(&self) -> usize {
        self.replies.len()
    }
}

pub(super) struct Tape {
    batch: Batch,
    /// How much of the batch is read.
    at: usize,
    checked: bool,
    written: Rc<Cell<usize>>,
}

impl Tape {
    /// It, and how many bytes are written.
    pub(super) fn new(batch: &Batch) -> (Self, Rc<Cell<usize>>) {
        Self::with(batch, false)
    }

    /// One that compares what is written with what has to be.
    pub(super) fn checked(batch: &Batch) -> (Self, Rc<Cell<usize>>) {
        Self::with(batch, true)
    }

    fn with(batch: &Batch, checked: bool) -> (Self, Rc<Cell<usize>>) {
        let written = Rc::new(Cell::new(0));
        let tape = Self {
            batch: batch.clone(),
            at: 0,
            checked,
            written: Rc::clone(&written),
        };
        (tape, written)
    }

    pub(super) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// The rest of the batch, as far as there is room.
    fn next(&mut self, room: usize) -> &[u8] {
        let start = self.at;
        let end = self.batch.frames.len().min(start + room);
        self.at = end % self.batch.frames.len();
        &self.batch.frames[start..end]
    }

    fn check(&self, mut bytes: &[u8]) -> io::Result<()> {
        let replies = &self.batch.replies;
        let mut at = self.written.get() % replies.len();
        while !bytes.is_empty() {
            let expected = &replies[at..replies.len().min(at + bytes.len())];
            if !bytes.starts_with(expected) {
                return Err(io::Error::other("an echo is not what it has to be"));
            }
            bytes = &bytes[expected.len()..];
            at = 0;
        }
        Ok(())
    }
}

impl Read for Tape {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.next(buffer.len());
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.checked {
            self.check(bytes)?;
        }
        self.written.set(self.written.get() + bytes.len());
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        slices.iter().map(|slice| self.write(slice)).sum()
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Tape {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        buffer.put_slice(self.next(room));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tape {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
