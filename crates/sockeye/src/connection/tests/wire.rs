//! A transport whose other end is the test: it says what each read gives, how much is written at once,
//! and counts. And frames, written and read by hand.
#![allow(dead_code, reason = "each of its users takes what it needs")]

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The connection's end.
#[derive(Debug)]
pub(crate) struct Wire(Arc<Mutex<State>>);

/// The test's end.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    incoming: VecDeque<Bytes>,
    ended: bool,
    read_error: Option<io::ErrorKind>,
    write_error: Option<io::ErrorKind>,
    written: Vec<u8>,
    seen: usize,
    reads: usize,
    writes: usize,
    // How many bytes the transport takes before it blocks.
    window: Option<usize>,
    // How many bytes pass at once, each time after one poll that finds the transport not ready.
    trickle: Option<usize>,
    was_pending: [bool; 2],
    vectored: bool,
    shut: bool,
    shut_blocks: bool,
    dropped: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

pub(crate) fn wire() -> (Wire, Peer) {
    let state = Arc::new(Mutex::new(State::default()));
    (Wire(Arc::clone(&state)), Peer(state))
}

impl Peer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Sends what one read shall give.
    pub(crate) fn segment(&self, bytes: impl Into<Vec<u8>>) {
        let mut state = self.state();
        state.incoming.push_back(Bytes::from(bytes.into()));
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// Ends the stream behind what was sent.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// Reading fails behind what was sent.
    pub(crate) fn fail_reads(&self, kind: io::ErrorKind) {
        self.state().read_error = Some(kind);
        self.end();
    }

    pub(crate) fn fail_writes(&self, kind: io::ErrorKind) {
        self.state().write_error = Some(kind);
        self.open_window(0);
    }

    /// Writes to the transport from beside the connection, what it takes at once.
    pub(crate) fn write_beside(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        match state.write_error {
            Some(kind) => Err(kind.into()),
            None => state.write(bytes).ok_or(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// From now on the transport takes no more than this.
    pub(crate) fn close_window(&self, bytes: usize) {
        self.state().window = Some(bytes);
    }

    /// The transport takes so many bytes more.
    pub(crate) fn open_window(&self, bytes: usize) {
        let mut state = self.state();
        state.window = state.window.map(|window| window + bytes);
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }

    /// The transport takes all there is.
    pub(crate) fn remove_window(&self) {
        self.state().window = None;
        self.open_window(0);
    }

    /// Every other poll finds the transport not ready, the others read and write so much.
    pub(crate) fn trickle(&self, bytes: usize) {
        self.state().trickle = Some(bytes);
    }

    /// The transport writes several slices at once.
    pub(crate) fn take_vectored(&self) {
        self.state().vectored = true;
    }

    /// The write side never finishes shutting.
    pub(crate) fn block_shutdown(&self) {
        self.state().shut_blocks = true;
    }

    /// The frames written since it was last called.
    pub(crate) fn frames(&self) -> Vec<Frame> {
        let mut state = self.state();
        let bytes = state.written[state.seen..].to_vec();
        state.seen = state.written.len();
        parse(&bytes)
    }

    /// All bytes written.
    pub(crate) fn written(&self) -> Vec<u8> {
        self.state().written.clone()
    }

    /// How many reads gave bytes.
    pub(crate) fn reads(&self) -> usize {
        self.state().reads
    }

    /// How many writes took bytes.
    pub(crate) fn writes(&self) -> usize {
        self.state().writes
    }

    /// How many segments are not read yet.
    pub(crate) fn unread(&self) -> usize {
        self.state().incoming.len()
    }

    /// Whether the connection has shut its write side.
    pub(crate) fn is_shut(&self) -> bool {
        self.state().shut
    }

    /// Whether the connection has dropped the transport.
    pub(crate) fn is_dropped(&self) -> bool {
        self.state().dropped
    }
}

impl State {
    /// Takes what fits; `None` where nothing does.
    fn write(&mut self, bytes: &[u8]) -> Option<usize> {
        let most = self.window.unwrap_or(usize::MAX);
        let len = bytes
            .len()
            .min(most)
            .min(self.trickle.unwrap_or(usize::MAX));
        if len == 0 {
            return None;
        }
        self.window = self.window.map(|window| window - len);
        self.written.extend_from_slice(&bytes[..len]);
        self.writes += 1;
        Some(len)
    }

    /// Whether a trickling transport is not ready this time.
    fn is_reluctant(&mut self, direction: usize, cx: &Context<'_>) -> bool {
        if self.trickle.is_none() {
            return false;
        }
        self.was_pending[direction] ^= true;
        if self.was_pending[direction] {
            cx.waker().wake_by_ref();
        }
        self.was_pending[direction]
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().unwrap();
        assert!(buffer.remaining() > 0, "a read without room");
        let Some(mut segment) = state.incoming.pop_front() else {
            if state.ended {
                return Poll::Ready(match state.read_error {
                    Some(kind) => Err(kind.into()),
                    None => Ok(()),
                });
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if state.is_reluctant(0, cx) {
            state.incoming.push_front(segment);
            return Poll::Pending;
        }
        let most = state.trickle.unwrap_or(usize::MAX);
        let len = segment.len().min(buffer.remaining()).min(most);
        buffer.put_slice(&segment.split_to(len));
        if !segment.is_empty() {
            state.incoming.push_front(segment);
        }
        state.reads += 1;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock().unwrap();
        if let Some(kind) = state.write_error {
            return Poll::Ready(Err(kind.into()));
        }
        assert!(!state.shut, "a write after the end");
        if state.is_reluctant(1, cx) {
            return Poll::Pending;
        }
        let Some(len) = state.write(bytes) else {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        };
        Poll::Ready(Ok(len))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.poll_write(cx, &bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.lock().unwrap().vectored
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().unwrap();
        if state.shut_blocks {
            return Poll::Pending;
        }
        state.shut = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.0.lock().unwrap().dropped = true;
    }
}

/// A frame as it was on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) masked: bool,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

impl Frame {
    /// What the payload says.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }

    /// The code of a Close.
    pub(crate) fn code(&self) -> u16 {
        assert_eq!(self.first, CLOSE);
        u16::from_be_bytes([self.payload[0], self.payload[1]])
    }
}

/// A frame of the server's.
pub(crate) fn unmasked(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut frame = header(first, 0, payload.len());
    frame.extend_from_slice(payload);
    frame
}

/// A frame of a client's.
pub(crate) fn masked(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let payload = payload.as_ref();
    let mut frame = header(first, 0x80, payload.len());
    frame.extend_from_slice(&KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
    frame
}

/// The body of a Close.
pub(crate) fn close_body(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

fn header(first: u8, mask: u8, len: usize) -> Vec<u8> {
    let mut header = vec![first];
    match len {
        0..126 => header.push(mask | u8::try_from(len).unwrap()),
        126..65_536 => {
            header.push(mask | 126);
            header.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        _ => {
            header.push(mask | 127);
            header.extend((len as u64).to_be_bytes());
        }
    }
    header
}

/// The frames that these bytes are, all of them complete.
pub(crate) fn parse(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (first, masked) = (bytes[0], bytes[1] & 0x80 != 0);
        let (len, mut at) = match bytes[1] & 0x7f {
            126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            127 => (
                usize::try_from(u64::from_be_bytes(bytes[2..10].try_into().unwrap())).unwrap(),
                10,
            ),
            len => (usize::from(len), 2),
        };
        let mut key = [0; 4];
        if masked {
            key.copy_from_slice(&bytes[at..at + 4]);
            at += 4;
        }
        let payload = bytes[at..at + len].iter().zip(key.iter().cycle());
        frames.push(Frame {
            first,
            masked,
            payload: payload.map(|(b, k)| b ^ k).collect(),
        });
        bytes = &bytes[at + len..];
    }
    frames
}
