//! One protocol machine on one transport: the reads, the writes and the timer that it asks for. All
//! partial I/O lives here and none in a future, so futures above may be dropped at any point. Knows
//! nothing of outboxes, handlers or tasks.

use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut};
use sockeye_proto::{
    CloseReason, Connection as Machine, Event, Expired, MessageAssembler, MessageBuffer,
    ProtocolError, Role,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::pool::{self, Scratch};

/// What the peer sent, as far as the layers above have to know.
#[derive(Debug)]
pub(crate) enum Received {
    Message(MessageBuffer),
    /// It is answered already.
    Ping,
    Pong(Vec<u8>),
    Close(CloseReason),
}

pub(crate) struct Link<T> {
    stream: T,
    machine: Machine,
    input: Input,
    assembler: MessageAssembler,
    timer: Option<Pin<Box<Sleep>>>,
    // The rule that bytes broke which were read to their place: the next pull tells it.
    broken: Option<ProtocolError>,
    output_lent: bool,
    written: u64,
    // Up to which frame the task's turn goes.
    turn_end: u64,
    transport: Transport,
}

/// How far the transport's end has come.
#[derive(Debug, PartialEq, Eq)]
enum Transport {
    Open,
    /// This side has ended; the peer may still write.
    WriteShut,
    /// It is of no use any more: neither read nor written.
    Lost,
}

/// Bytes that were read and not yet consumed: in the scratch while the connection is being driven, in
/// a buffer just large enough when it is not.
#[derive(Default)]
struct Input {
    scratch: Option<Scratch>,
    kept: Vec<u8>,
    start: usize,
    end: usize,
}

/// After so many frames the task yields, so that one busy peer does not starve its neighbours. Frames and
/// not messages: empty fragments and pings are work too.
const MAX_FRAMES: u64 = 256;
/// A message of which so many bytes have come, and as many are missing, is read straight into its buffer.
/// That grows by what has come: memory follows it, and not what was announced.
const DIRECT_FROM: usize = 64 * 1024;

impl<T> Link<T> {
    /// Takes over `stream`, of which `read_ahead` has been read already.
    pub(crate) fn new(stream: T, machine: Machine, read_ahead: &[u8]) -> Self {
        Self {
            stream,
            machine,
            input: Input {
                end: read_ahead.len(),
                kept: read_ahead.to_vec(),
                ..Input::default()
            },
            assembler: MessageAssembler::default(),
            timer: None,
            broken: None,
            output_lent: false,
            written: 0,
            turn_end: MAX_FRAMES,
            transport: Transport::Open,
        }
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(crate) fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// The machine, with buffers for what it is to send.
    pub(crate) fn sending(&mut self) -> &mut Machine {
        if !self.output_lent {
            self.machine.give_output(pool::take_output());
            self.output_lent = true;
        }
        &mut self.machine
    }

    /// How many bytes have been written since the connection was opened.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Whether so many frames have come in this turn of the task that it is the neighbours'. It begins
    /// another one then.
    pub(crate) fn ends_turn(&mut self) -> bool {
        let ends = self.machine.frames_received() >= self.turn_end;
        if ends {
            self.start_turn();
        }
        ends
    }

    fn start_turn(&mut self) {
        self.turn_end = self.machine.frames_received() + MAX_FRAMES;
    }

    /// The next thing in the input that was read; `None` when more has to be read.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke.
    pub(crate) fn pull(&mut self, now: Instant) -> Result<Option<Received>, ProtocolError> {
        if let Some(broken) = self.broken.take() {
            self.forget_message();
            return Err(broken);
        }
        // Where a compressed message's chunks are made.
        let mut room = self.machine.compresses().then(Scratch::take);
        loop {
            let Input {
                scratch,
                kept,
                start,
                end,
            } = &mut self.input;
            let bytes = match scratch {
                Some(scratch) => &mut scratch[..],
                None => &mut kept[..],
            };
            let mut unread = &mut bytes[*start..*end];
            let room = room.as_deref_mut().unwrap_or_default();
            let event = self
                .machine
                .receive_inflating(&mut unread, room, now.into_std());
            *start = *end - unread.len();
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    self.forget_message();
                    return Err(error);
                }
            };
            match event {
                Some(Event::Text(text)) => {
                    return Ok(Some(Received::Message(MessageBuffer::Text(lent_string(
                        text,
                    )))));
                }
                Some(Event::Binary(bytes)) => {
                    let mut buffer = pool::take_buffer();
                    buffer.extend_from_slice(bytes);
                    return Ok(Some(Received::Message(MessageBuffer::Binary(buffer))));
                }
                Some(Event::MessageStart(kind)) => self.assembler.start(kind, pool::take_buffer()),
                Some(Event::Chunk(chunk)) => self.assembler.chunk(chunk),
                Some(Event::MessageEnd) => return self.end_message().map(Some),
                Some(Event::Ping(_)) => return Ok(Some(Received::Ping)),
                Some(Event::Pong(payload)) => return Ok(Some(Received::Pong(payload.to_vec()))),
                Some(Event::Close(reason)) => {
                    self.forget_message();
                    return Ok(Some(Received::Close(reason)));
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    fn end_message(&mut self) -> Result<Received, ProtocolError> {
        // The machine has checked it: what it let pass is UTF-8.
        let message = self
            .assembler
            .end()
            .map_err(|_| ProtocolError::InvalidUtf8)?;
        Ok(Received::Message(message))
    }

    /// Nothing of the peer's counts any more: what has come of a message needs no memory until the
    /// connection's owner is done with it.
    fn forget_message(&mut self) {
        self.assembler = MessageAssembler::default();
    }

    /// The transport ended, or nothing can be expected of it any more.
    pub(crate) fn lose(&mut self) {
        self.machine.handle_end();
        self.forget_message();
        self.input = Input::default();
        self.transport = Transport::Lost;
    }

    /// Gives every buffer back that an idle connection does not need. What was read and not consumed
    /// moves into a buffer of its own size. The task's next turn is a whole one.
    pub(crate) fn park(&mut self) {
        self.start_turn();
        self.input.park();
        if let Some(output) = self.machine.take_output() {
            pool::recycle_output(output);
            self.output_lent = false;
        }
    }

    /// The bytes of memory that this connection's buffers take.
    pub(crate) fn retained_bytes(&self) -> usize {
        let scratch = self
            .input
            .scratch
            .as_ref()
            .map_or(0, |scratch| scratch.len());
        scratch
            + self.input.kept.capacity()
            + self.assembler.retained_bytes()
            + self.machine.retained_bytes()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Link<T> {
    /// Reads once, as much as the transport has and the buffer takes. `Ok(0)` is the transport's end.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.transport == Transport::Lost {
            return Poll::Ready(Ok(0));
        }
        let missing = self.machine.payload_remaining().unwrap_or(0);
        let direct = missing >= DIRECT_FROM as u64
            && self.assembler.buffer_mut().len() >= DIRECT_FROM
            && self.input.is_empty();
        // A gated machine would not take the bytes from where they are.
        if direct && !self.machine.is_gated() {
            return self.poll_read_direct(cx, missing);
        }
        let scratch = self.input.room();
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        self.input.end += read;
        // What is read is answered, as a rule.
        self.sending();
        Poll::Ready(Ok(read))
    }

    /// Reads a large message's payload to where it is to be, so that it is never copied.
    fn poll_read_direct(&mut self, cx: &mut Context<'_>, missing: u64) -> Poll<io::Result<usize>> {
        let buffer = self.assembler.buffer_mut();
        let start = buffer.len();
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        if buffer.capacity() - start < DIRECT_FROM.min(missing) {
            buffer.reserve_exact(missing.min(start));
        }
        let room = (buffer.capacity() - start).min(missing);
        let mut limited = buffer.limit(room);
        let read = ready!(pin!(self.stream.read_buf(&mut limited)).poll(cx))?;
        // The rest of the message is unmasked and checked in place: the chunk is the bytes just read.
        let buffer = self.assembler.buffer_mut();
        let mut unread = &mut buffer[start..];
        if read > 0 {
            let now = Instant::now().into_std();
            self.broken = self.machine.receive(&mut unread, now).err();
        }
        Poll::Ready(Ok(read))
    }

    /// Writes what waits, until nothing does.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        const MAX_SLICES: usize = 16;
        if self.transport == Transport::Lost {
            return Poll::Ready(Ok(()));
        }
        while !self.machine.output().is_empty() {
            let output = self.machine.output();
            let stream = Pin::new(&mut self.stream);
            let chunk = output.chunk();
            let written = if chunk.len() == output.len() || !stream.is_write_vectored() {
                stream.poll_write(cx, chunk)
            } else {
                let mut slices = [io::IoSlice::new(&[]); MAX_SLICES];
                let filled = output.chunks_vectored(&mut slices);
                stream.poll_write_vectored(cx, &slices[..filled])
            };
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    self.written += written as u64;
                    self.machine
                        .handle_written(written, Instant::now().into_std());
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.machine.handle_written(0, Instant::now().into_std());
                    return Poll::Pending;
                }
            }
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Waits until the machine's next deadline, and does what it asks for. What the transport holds is
    /// to be read before: a deadline on the peer's input must not fire over input that is there.
    /// `None` when something may have to be written.
    pub(crate) fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Expired>> {
        loop {
            let Some(due) = self.machine.poll_timeout() else {
                return Poll::Pending;
            };
            let due = Instant::from_std(due);
            let timer = match &mut self.timer {
                Some(timer) => timer,
                None => self.timer.insert(Box::pin(tokio::time::sleep_until(due))),
            };
            // A timer that fires too early is cheap, one that is set anew for each read is not.
            if timer.deadline() > due {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if now < due {
                timer.as_mut().reset(due);
                continue;
            }
            let expired = self.machine.handle_timeout(now.into_std());
            if expired.is_some() {
                self.forget_message();
            }
            if expired.is_some() || !self.machine.output().is_empty() {
                return Poll::Ready(expired);
            }
        }
    }

    /// Ends the connection in order (§7.1.1): writes what waits, finishes the closing handshake, shuts
    /// the write side, discards input until the peer ends too, or until the close deadline.
    pub(crate) fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The peer's Close may have been read before this side sent its own.
        self.discard_input();
        loop {
            if self.transport == Transport::Lost {
                return Poll::Ready(());
            }
            let written = self.poll_write(cx);
            if let Poll::Ready(Err(_)) = written {
                self.lose();
                continue;
            }
            // §7.1.1: the server ends the transport first; a client waits for it, unless it fails the
            // connection.
            let first = self.machine.role() == Role::Server || self.machine.failure().is_some();
            if self.machine.is_finished()
                && first
                && written.is_ready()
                && self.transport == Transport::Open
                && let Poll::Ready(shut) = Pin::new(&mut self.stream).poll_shutdown(cx)
            {
                match shut {
                    Ok(()) => self.transport = Transport::WriteShut,
                    Err(_) => self.lose(),
                }
                continue;
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(0)) => {
                    // What TLS has to say at its end; nobody waits for it.
                    let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
                    self.lose();
                }
                Poll::Ready(Err(_)) => self.lose(),
                Poll::Ready(Ok(_)) => {
                    self.discard_input();
                    if self.ends_turn() {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Poll::Pending => {
                    if ready!(self.poll_timer(cx)).is_some() {
                        self.lose();
                    }
                }
            }
        }
    }

    /// Takes the peer's Close, if it is there, and forgets everything else.
    fn discard_input(&mut self) {
        let now = Instant::now();
        while let Ok(Some(received)) = self.pull(now) {
            if let Received::Message(message) = received {
                pool::recycle_buffer(message.into_vec());
            }
        }
        self.machine.conclude(now.into_std());
    }
}

impl Input {
    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Where to read to: the scratch, with what is unread at its front.
    // INVARIANT: reading goes on only when the machine has consumed all but part of a header or of a
    // control frame, so what is unread fits, and leaves room.
    fn room(&mut self) -> &mut [u8] {
        if self.scratch.is_none() {
            let mut scratch = Scratch::take();
            let unread = &self.kept[self.start..self.end];
            scratch[..unread.len()].copy_from_slice(unread);
            self.end -= self.start;
            self.start = 0;
            self.kept = Vec::new();
            self.scratch = Some(scratch);
        }
        let scratch = self.scratch.as_mut().expect("taken above");
        if self.start > 0 {
            scratch.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut scratch[self.end..]
    }

    fn park(&mut self) {
        if let Some(scratch) = self.scratch.take() {
            self.kept = scratch[self.start..self.end].to_vec();
            self.end -= self.start;
            self.start = 0;
        }
    }
}

impl<T> fmt::Debug for Link<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("machine", &self.machine)
            .field("unread", &(self.input.end - self.input.start))
            .finish_non_exhaustive()
    }
}

/// Copies a text out of the scratch into a buffer that can be used again.
fn lent_string(text: &str) -> String {
    let mut buffer = String::from_utf8(pool::take_buffer()).unwrap_or_default();
    buffer.push_str(text);
    buffer
}
