//! One protocol machine on one transport: the reads, the writes and the timer that it asks for. All
//! partial I/O lives here and none in a future, so futures above may be dropped at any point. Knows
//! nothing of outboxes, handlers or tasks.

use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BufMut};
use sockeye_proto::{
    Cause, CloseReason, Connection as Machine, Event, Exchange, Expired, FrameHeader,
    MessageBuffer, MessageKind, Output, ProtocolError, Role, WholeMessage, into_string,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::assembly::{Assembly, Giving};
use super::budget::AssemblyBudget;
use super::log::Log;
use super::pool::{self, Scratch};
use super::turn::TurnBudget;
use crate::deadline::InputDeadline;
use crate::sync::Arc;

/// What the peer sent, as far as the layers above have to know.
#[derive(Debug)]
pub(crate) enum Received<M> {
    Message(M),
    /// Of a message of a kind that is taken [in parts](InParts): the next one, and whether it is the last. A text
    /// is cut between characters.
    Part(M, bool),
    /// It is answered already.
    Ping,
    Pong(Vec<u8>),
    Close(CloseReason),
}

/// A whole message, for whoever pulls to take: into a buffer of its own, or into one to keep.
#[derive(Debug)]
pub(crate) enum Whole<'a> {
    /// Lent from the scratch.
    Lent(WholeMessage<'a>),
    /// Of several reads, or frames, or compressed.
    Assembled(MessageBuffer),
}

/// Of which kinds messages are given in parts, as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InParts {
    pub(crate) text: bool,
    pub(crate) binary: bool,
}

impl InParts {
    fn includes(self, kind: MessageKind) -> bool {
        match kind {
            MessageKind::Text => self.text,
            MessageKind::Binary => self.binary,
        }
    }
}

// In this order: see `Driver`.
#[repr(C)]
pub(crate) struct Link<T> {
    // A pointer: of an idle connection no message is begun, and most come whole.
    assembly: Option<Box<Assembly>>,
    // What all unfinished messages of a server or a client may hold.
    budget: Arc<AssemblyBudget>,
    // `None` once it is lost: the descriptor is given back then, whatever else goes on.
    stream: Option<T>,
    machine: Machine,
    input: Input,
    // When the transport was last seen to have brought something, or later.
    now: Instant,
    // When the task is woken for the machine's deadline, and by what, unless somebody else sees to it.
    alarm: Option<Instant>,
    timer: Option<Box<Timer>>,
    written: u64,
    turn: TurnBudget,
    // The rule that bytes broke which were read to their place: the next pull tells it. A pointer: it comes once.
    broken: Option<Box<ProtocolError>>,
    output_lent: bool,
    // Whether the transport has nothing of what it took to hand on.
    flushed: bool,
    transport: Transport,
    left_unwritten: bool,
    in_parts: InParts,
    // Whether the message waits for a share of the budget: no input is taken meanwhile.
    is_starved: bool,
    // Whether messages are thrown away as they come.
    discards: bool,
}

/// Whole messages of the input, one behind the other: [`Link::exchange`].
pub(crate) struct Exchanged<'l> {
    /// By which they are answered.
    pub(crate) exchange: Exchange<'l>,
    unread: &'l mut [u8],
    // Where it begins, for whoever comes next: a handler may panic.
    start: &'l mut usize,
    turn: &'l mut TurnBudget,
    turn_end: u64,
}

impl<'l> Exchanged<'l> {
    /// The next one. After `None` there may be anything else.
    #[inline(always)]
    pub(crate) fn pull(&mut self) -> Option<WholeMessage<'l>> {
        if self.exchange.frames_received() >= self.turn_end && self.ends_turn() {
            return None;
        }
        let len = self.unread.len();
        let whole = self.exchange.receive(&mut self.unread);
        *self.start += len - self.unread.len();
        whole
    }
}

impl Exchanged<'_> {
    #[cold]
    fn ends_turn(&mut self) -> bool {
        let frames = self.exchange.frames_received();
        let ends = self.turn.ends(frames, Instant::now);
        self.turn_end = self.turn.end();
        ends
    }
}

struct Timer {
    deadline: Pin<Box<InputDeadline>>,
    // The task that it wakes.
    waker: Waker,
}

/// Whether the task's turn goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    GoesOn,
    Over,
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
    kept: Box<[u8]>,
    start: usize,
    end: usize,
}

/// A message of which so many bytes have come, and as many are missing, is read straight into its buffer.
/// That grows by what has come: memory follows it, and not what was announced.
const DIRECT_FROM: usize = 64 * 1024;
/// A deadline that is so far away is left to whoever wakes many tasks in time, and has no timer of its own.
const FAR: Duration = Duration::from_secs(2);

impl<T> Link<T> {
    /// Takes over `stream`, of which `read_ahead` has been read already.
    pub(crate) fn new(
        stream: T,
        machine: Machine,
        read_ahead: &[u8],
        budget: Arc<AssemblyBudget>,
    ) -> Self {
        let now = Instant::now();
        let turn = TurnBudget::new(machine.frames_received(), now);
        Self {
            stream: Some(stream),
            machine,
            input: Input {
                end: read_ahead.len(),
                kept: read_ahead.into(),
                ..Input::default()
            },
            assembly: None,
            budget,
            is_starved: false,
            discards: false,
            in_parts: InParts::default(),
            now,
            alarm: None,
            timer: None,
            broken: None,
            output_lent: false,
            flushed: true,
            written: 0,
            turn,
            transport: Transport::Open,
            left_unwritten: false,
        }
    }

    /// Whether lingering ended with more to write than the answer to a Close.
    pub(crate) fn left_unwritten(&self) -> bool {
        self.left_unwritten
    }

    #[inline]
    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    #[inline]
    pub(crate) fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// The machine, with buffers for what it is to send.
    #[inline]
    pub(crate) fn sending(&mut self) -> &mut Machine {
        if !self.output_lent {
            self.lend_output();
        }
        &mut self.machine
    }

    fn lend_output(&mut self) {
        self.machine.give_output(pool::take_output());
        self.output_lent = true;
    }

    /// This side reads no more for now: the peer's silence is not its own.
    pub(crate) fn pause_reading(&mut self) {
        if self.machine.is_reading() {
            self.now = Instant::now();
            self.machine.pause_reading(self.now.into_std());
        }
    }

    /// The peer may be silent again for as long as it likes, from now on, if this side did not read before.
    pub(crate) fn resume_reading(&mut self) {
        if !self.machine.is_reading() {
            self.now = Instant::now();
            self.machine.resume_reading(self.now.into_std());
        }
    }

    /// How many bytes have been written since the connection was opened.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Whether so much was done in this turn of the task that it is the neighbours'. It begins another one then.
    #[inline]
    pub(crate) fn ends_turn(&mut self) -> bool {
        self.has_had_its_turn() && self.judge_turn() == Turn::Over
    }

    /// Whether the turn may be over: [`judge_turn`](Self::judge_turn) says.
    #[inline]
    pub(crate) fn has_had_its_turn(&self) -> bool {
        self.turn.is_reached(self.machine.frames_received())
    }

    /// Looks at the clock where half of a turn's work is done. Begins another turn where it is over.
    #[cold]
    pub(crate) fn judge_turn(&mut self) -> Turn {
        if self.is_turn_over() {
            self.turn
                .begin_behind_others(self.machine.frames_received());
            return Turn::Over;
        }
        Turn::GoesOn
    }

    fn is_turn_over(&mut self) -> bool {
        self.turn.ends(self.machine.frames_received(), Instant::now)
    }

    fn start_turn(&mut self) {
        self.turn.begin(self.machine.frames_received());
    }

    /// The next thing in the input that was read; `None` when more has to be read. A message is given to
    /// `take`.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke.
    #[inline(always)]
    pub(crate) fn pull<M>(
        &mut self,
        take: impl FnOnce(Whole<'_>) -> M,
    ) -> Result<Option<Received<M>>, ProtocolError> {
        if self.wants_input() {
            return Ok(None);
        }
        self.pull_what_came(take)
    }

    /// Whether nothing comes without more input.
    #[inline]
    pub(crate) fn wants_input(&self) -> bool {
        self.input.is_empty() && self.broken.is_none() && self.machine.is_between_messages()
    }

    #[inline]
    fn pull_what_came<M>(
        &mut self,
        take: impl FnOnce(Whole<'_>) -> M,
    ) -> Result<Option<Received<M>>, ProtocolError> {
        if !self.input.is_empty()
            && let Some(message) = self.pull_whole()
        {
            return Ok(Some(Received::Message(take(Whole::Lent(message)))));
        }
        self.pull_any(take)
    }

    /// The fast path of [`pull`](Self::pull): the next message, where it lies complete in the input. For anything
    /// else `None`.
    #[inline(always)]
    pub(crate) fn pull_whole(&mut self) -> Option<WholeMessage<'_>> {
        let now = self.now.into_std();
        let (mut unread, start) = self.input.unread();
        let len = unread.len();
        let whole = self.machine.receive_whole(&mut unread, now);
        *start += len - unread.len();
        whole
    }

    /// Begins to take whole messages from the input, and to answer them, as long as less than `until` bytes of
    /// output wait and the task's turn lasts.
    #[inline(always)]
    pub(crate) fn exchange(&mut self, until: usize) -> Option<Exchanged<'_>> {
        let now = self.now.into_std();
        let (unread, start) = self.input.unread();
        if unread.is_empty() {
            return None;
        }
        Some(Exchanged {
            exchange: self.machine.exchange(unread, until, now)?,
            unread,
            start,
            turn_end: self.turn.end(),
            turn: &mut self.turn,
        })
    }

    // `None` also says that the turn is over, or that the message waits for a share of the budget.
    fn pull_any<M>(
        &mut self,
        take: impl FnOnce(Whole<'_>) -> M,
    ) -> Result<Option<Received<M>>, ProtocolError> {
        if let Some(broken) = self.broken.take() {
            self.forget_message();
            return Err(*broken);
        }
        self.now = Instant::now();
        if let Some(assembly) = &self.assembly
            && assembly.is_given_up()
        {
            self.forget_message();
            return Err(self.machine.give_up_message(self.now.into_std()));
        }
        // Where a compressed message's chunks are made.
        let mut room = self.machine.compresses().then(Scratch::take);
        loop {
            let Some(most) = self.most_of_message() else {
                self.is_starved = true;
                return Ok(None);
            };
            let (mut unread, start) = self.input.unread();
            let len = unread.len();
            let room = room.as_deref_mut().unwrap_or_default();
            let room_len = most.min(room.len());
            let room = room.get_mut(..room_len).unwrap_or_default();
            let event = self
                .machine
                .receive_inflating(&mut unread, room, self.now.into_std());
            let taken = len - unread.len();
            *start += taken;
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    self.forget_message();
                    return Err(error);
                }
            };
            match event {
                Some(Event::Text(text)) => {
                    let message = Whole::Lent(WholeMessage::Text(text));
                    return Ok(Some(Received::Message(take(message))));
                }
                Some(Event::Binary(bytes)) => {
                    let message = Whole::Lent(WholeMessage::Binary(bytes));
                    return Ok(Some(Received::Message(take(message))));
                }
                Some(Event::MessageStart(kind)) => self.begin_message(kind),
                Some(Event::Chunk(chunk)) => {
                    let work = self.machine.take_work();
                    self.turn.charge(work);
                    if let Some(assembly) = &mut self.assembly {
                        assembly.receive(taken);
                        assembly.append(chunk);
                        if let Giving::Parts { kind, .. } = assembly.giving
                            && let Some((part, is_last)) = self.next_part(kind)?
                        {
                            let part = Whole::Assembled(part);
                            return Ok(Some(Received::Part(take(part), is_last)));
                        }
                    }
                    // Inflating gives way in the middle of a message.
                    if work > 0 && self.has_had_its_turn() && self.is_turn_over() {
                        return Ok(None);
                    }
                }
                Some(Event::MessageEnd) => {
                    let Some(mut assembly) = self.assembly.take() else {
                        continue;
                    };
                    self.turn.charge(assembly.take_uncounted());
                    if assembly.giving == Giving::Nothing {
                        continue;
                    }
                    // The machine has checked it: what it let pass is UTF-8.
                    let message = assembly.end().map_err(|_| ProtocolError::InvalidUtf8)?;
                    let message = Whole::Assembled(message);
                    return Ok(Some(match assembly.giving {
                        Giving::Parts { .. } => Received::Part(take(message), true),
                        _ => Received::Message(take(message)),
                    }));
                }
                Some(Event::Ping(_)) => return Ok(Some(Received::Ping)),
                Some(Event::Pong(payload)) => return Ok(Some(Received::Pong(payload.to_vec()))),
                Some(Event::Close(reason)) => {
                    self.forget_message();
                    return Ok(Some(Received::Close(reason)));
                }
                Some(_) => {}
                // It stopped in front of the payload of another fragment.
                None if most == 0 && self.machine.payload_remaining() > Some(0) => {}
                None => {
                    let work = self.machine.take_work();
                    self.turn.charge(work);
                    let part = match &mut self.assembly {
                        Some(assembly) => {
                            self.turn.charge(assembly.take_uncounted());
                            self.part_so_far()?
                        }
                        None => None,
                    };
                    let part = part.map(Whole::Assembled);
                    return Ok(part.map(|part| Received::Part(take(part), false)));
                }
            }
        }
    }

    /// How many bytes more the message may hold, if one is begun; `None` where it waits for a share of the budget.
    #[inline]
    fn most_of_message(&mut self) -> Option<usize> {
        if self.assembly.is_some() {
            return self.most_of_begun();
        }
        Some(usize::MAX)
    }

    fn most_of_begun(&mut self) -> Option<usize> {
        let (unread, _) = self.input.unread();
        let is_here = self.machine.message_is_complete_in(unread);
        let missing = self.machine.payload_remaining();
        let assembly = self.assembly.as_mut()?;
        assembly.set_here(is_here);
        // Between two fragments it is not known whether there will be more.
        let wants_more = assembly.is_compressed() || missing > Some(0);
        if wants_more && !assembly.may_grow(&self.budget, missing) {
            return None;
        }
        let room = assembly.room();
        self.machine.limit_chunks(room);
        Some(room)
    }

    #[cold]
    #[inline(never)]
    fn begin_message(&mut self, kind: MessageKind) {
        let giving = if self.discards {
            Giving::Nothing
        } else if self.in_parts.includes(kind) {
            Giving::Parts { kind, given: false }
        } else {
            Giving::Whole
        };
        if giving != Giving::Whole {
            self.machine.waive_assembly_deadline();
        }
        let is_compressed = self.machine.inflates_message();
        let assembly = Assembly::start(kind, giving, is_compressed);
        self.assembly = Some(Box::new(assembly));
    }

    /// Whether the message waits for a share of the budget: then nothing is read.
    #[inline]
    pub(crate) fn is_starved(&self) -> bool {
        self.is_starved
    }

    /// Whether reading on needs a share of the budget that is not to be had: what is read straight to its place.
    #[inline]
    pub(crate) fn lacks_memory(&mut self) -> bool {
        if self.assembly.is_some() && !self.is_starved {
            self.is_starved = self.most_of_begun().is_none();
        }
        self.is_starved
    }

    /// Waits for a share of the budget, if the message needs one.
    pub(crate) fn poll_memory(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_starved {
            return Poll::Pending;
        }
        if let Some(assembly) = &mut self.assembly {
            ready!(assembly.poll_share(cx));
        }
        self.is_starved = false;
        Poll::Ready(())
    }

    /// The part that is given next, if one is to be, and whether it is the last. As a rule it is what came of one
    /// fragment; what is inflated is given when there is more of it, or nothing more to inflate.
    fn next_part(
        &mut self,
        kind: MessageKind,
    ) -> Result<Option<(MessageBuffer, bool)>, ProtocolError> {
        const INFLATED: usize = 64 * 1024;
        let Some(assembly) = &mut self.assembly else {
            return Ok(None);
        };
        if self.machine.message_ends_here() {
            let cut = kind == MessageKind::Text && cut_character(assembly.buffer_mut()) > 0;
            if cut {
                // Not UTF-8: that is what comes next.
                return Ok(None);
            }
            assembly.giving = Giving::Nothing;
            // The machine has checked it: what it let pass is UTF-8.
            let last = assembly.end().map_err(|_| ProtocolError::InvalidUtf8)?;
            return Ok(Some((last, true)));
        }
        let is_compressed = self.machine.payload_remaining().is_none();
        if is_compressed && assembly.buffer_mut().len() < INFLATED {
            return Ok(None);
        }
        Ok(self.part_so_far()?.map(|part| (part, false)))
    }

    /// What has come of the message and may be given: all but a part of a character.
    fn part_so_far(&mut self) -> Result<Option<MessageBuffer>, ProtocolError> {
        let Some(assembly) = &mut self.assembly else {
            return Ok(None);
        };
        let Giving::Parts { kind, .. } = assembly.giving else {
            return Ok(None);
        };
        let buffer = assembly.buffer_mut();
        let cut = match kind {
            MessageKind::Text => cut_character(buffer),
            MessageKind::Binary => 0,
        };
        let whole = buffer.len() - cut;
        if whole == 0 {
            return Ok(None);
        }
        let rest = buffer.split_off(whole);
        let part = std::mem::replace(buffer, rest);
        assembly.giving = Giving::Parts { kind, given: true };
        Ok(Some(match kind {
            MessageKind::Text => {
                // The machine has checked it: what it let pass is UTF-8.
                let text = into_string(part).map_err(|_| ProtocolError::InvalidUtf8)?;
                MessageBuffer::Text(text)
            }
            MessageKind::Binary => MessageBuffer::Binary(part),
        }))
    }

    /// Gives messages of these kinds in parts from now on, those that are not begun.
    #[inline]
    pub(crate) fn give_in_parts(&mut self, kinds: InParts) {
        self.in_parts = kinds;
    }

    /// Gives no message in parts from now on: nothing more of one of which a part was given, another when it is
    /// complete.
    pub(crate) fn give_whole(&mut self) {
        self.in_parts = InParts::default();
        self.skip_message();
        if let Some(assembly) = &mut self.assembly
            && let Giving::Parts { .. } = assembly.giving
        {
            assembly.giving = Giving::Whole;
        }
    }

    /// Gives nothing more of a message of which a part was given.
    pub(crate) fn skip_message(&mut self) {
        if let Some(assembly) = &mut self.assembly
            && let Giving::Parts { given: true, .. } = assembly.giving
        {
            assembly.giving = Giving::Nothing;
            *assembly.buffer_mut() = Vec::new();
        }
    }

    /// Nothing of the peer's counts any more: what has come of a message needs no memory until the
    /// connection's owner is done with it.
    fn forget_message(&mut self) {
        self.assembly = None;
        self.is_starved = false;
        // What is still to come of it is thrown away: no room is needed.
        self.machine.limit_chunks(usize::MAX);
    }

    /// The transport ended, or nothing can be expected of it any more.
    pub(crate) fn lose(&mut self) {
        self.machine.handle_end();
        self.forget_message();
        self.input = Input::default();
        self.transport = Transport::Lost;
        self.stream = None;
    }

    /// Gives every buffer back that an idle connection does not need. What was read and not consumed
    /// moves into a buffer of its own size. The task's next turn is a whole one.
    #[inline]
    pub(crate) fn park(&mut self) {
        self.start_turn();
        self.give_back();
    }

    /// As [`park`](Self::park), within the task's turn.
    #[inline]
    pub(crate) fn give_back(&mut self) {
        self.input.park();
        self.machine.rest();
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
            + self.input.kept.len()
            + self
                .assembly
                .as_ref()
                .map_or(0, |assembly| assembly.retained_bytes())
            + self.machine.retained_bytes()
    }
}

/// Writes what lies in several places. Its slices are no part of what each write runs through.
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
                // A gated machine would not take the bytes from where they are.
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
        // What is read is answered, as a rule.
        self.sending();
        Poll::Ready(Ok(read))
    }

    /// Reads a large message's payload to where it is to be, so that it is never copied.
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
        // The rest of the message is unmasked and checked in place: the chunk is the bytes just read.
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
            let received = self.machine.receive(&mut unread, now);
            self.broken = received.err().map(Box::new);
        }
        Poll::Ready(Ok(read))
    }

    /// Writes what waits, until nothing does.
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
                    // Of the time only what is still waiting has to know.
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

    /// Whether there is nothing to do but to read: nothing of the input, no message begun, nothing to be written.
    #[inline]
    pub(crate) fn is_drained(&mut self) -> bool {
        self.wants_input() && self.flushed && self.machine.output().is_empty()
    }

    /// Whether nothing that is read or to be written lies in a buffer.
    #[inline]
    pub(crate) fn is_empty(&mut self) -> bool {
        self.input.is_empty() && self.machine.output().is_empty()
    }

    /// Writes frames while the link [is empty](Self::is_empty), without the machine's output: `fill` puts them where
    /// the next read goes to, and says how many bytes they are. What the transport does not take is left to the
    /// output.
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

    /// Puts frames into the output whose beginning the transport has, which others wrote.
    pub(crate) fn send_rest(&mut self, rest: &[u8]) {
        let sent = self.sending().send_frames(rest, Cause::Push);
        debug_assert!(sent.is_ok(), "{sent:?}");
    }

    /// Waits until the machine's next deadline, and does what it asks for. The caller writes and reads before, each
    /// time: a deadline that ends the connection passes after some more looks at the socket ([`InputDeadline`]).
    /// `None` when something may have to be written. `wake_by` is asked first to wake the task not later than
    /// then, and [`forget_alarm`](Self::forget_alarm) called when it has.
    #[inline]
    pub(crate) fn poll_timer(
        &mut self,
        cx: &mut Context<'_>,
        wake_by: impl Fn(Instant) -> bool,
    ) -> Poll<Option<Expired>> {
        // No deadline needs a look while no earlier one has come to be.
        if !self.machine.timeout_came_nearer() && self.is_alarm_set(cx) {
            return Poll::Pending;
        }
        self.poll_deadlines(cx, wake_by)
    }

    #[inline(never)]
    fn poll_deadlines(
        &mut self,
        cx: &mut Context<'_>,
        wake_by: impl Fn(Instant) -> bool,
    ) -> Poll<Option<Expired>> {
        loop {
            let Some(due) = self.machine.poll_timeout() else {
                return Poll::Pending;
            };
            let due = Instant::from_std(due);
            // An alarm that comes too early is cheap; one that is set for each read, or even looked at, is not.
            if self.alarm.is_some_and(|alarm| alarm <= due) && self.is_alarm_set(cx) {
                return Poll::Pending;
            }
            if due.saturating_duration_since(Instant::now()) >= FAR && wake_by(due) {
                self.alarm = Some(due);
                self.timer = None;
                return Poll::Pending;
            }
            let timer = match &mut self.timer {
                Some(timer) => timer,
                None => self.timer.insert(Box::new(Timer::new(due, cx))),
            };
            let mut deadline = timer.deadline.as_mut();
            if deadline.wakes_at() > due && !deadline.is_looking() {
                deadline.as_mut().reset(due);
            }
            self.alarm = Some(deadline.wakes_at());
            timer.waker.clone_from(cx.waker());
            ready!(deadline.as_mut().poll_due(cx));
            self.alarm = None;
            let now = Instant::now();
            if now < due {
                deadline.reset(due);
                continue;
            }
            if self.machine.expires_by(now.into_std())
                && deadline.as_mut().poll_passed(cx).is_pending()
            {
                self.alarm = Some(deadline.wakes_at());
                return Poll::Pending;
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

    /// Whether the task is woken at the alarm's time, and has not been yet: by whoever [forgets](Self::forget_alarm) it
    /// then, or by the timer.
    #[inline]
    fn is_alarm_set(&self, cx: &Context<'_>) -> bool {
        self.alarm.is_some() && self.timer.as_ref().is_none_or(|timer| timer.wakes(cx))
    }

    /// The task was woken for the deadline, or nobody sees to it any more.
    pub(crate) fn forget_alarm(&mut self) {
        if self.timer.is_none() {
            self.alarm = None;
        }
    }

    /// Ends the connection in order (§7.1.1): writes what waits, finishes the closing handshake, shuts
    /// the write side, discards input until the peer ends too, or until the close deadline.
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
        // The peer's Close may have been read before this side sent its own.
        let mut has_input = true;
        loop {
            if std::mem::take(&mut has_input) && self.discard_input() == Turn::Over {
                // A peer that sends on and on has no longer for it.
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
            // The deadline drops it, and so does a loss.
            self.left_unwritten = self.machine.output().len() > LONGEST_CLOSE;
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
                    // What TLS has to say at its end; nobody waits for it.
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

    /// Takes the peer's Close, if it is there, and forgets everything else.
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

// What `write_apart` writes of a log: weights, and four bytes of header for 64 of weight.
const _: () = assert!(Log::LIMIT + Log::LIMIT / 16 <= pool::SCRATCH_LEN);

/// §5.5: a client's header of a control frame, and its payload.
const LONGEST_CLOSE: usize = 6 + FrameHeader::MAX_CONTROL_PAYLOAD;

impl Input {
    /// What was read and is not consumed, and where that begins.
    #[inline]
    fn unread(&mut self) -> (&mut [u8], &mut usize) {
        let bytes = match &mut self.scratch {
            Some(scratch) => &mut scratch[..],
            None => &mut self.kept[..],
        };
        (&mut bytes[self.start..self.end], &mut self.start)
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Where to read to: the scratch, with what is unread at its front.
    // INVARIANT: reading goes on only when the machine has consumed all but part of a header or of a
    // control frame, so what is unread fits, and leaves room.
    #[inline]
    fn room(&mut self) -> &mut [u8] {
        if self.is_empty() {
            self.forget();
        } else {
            self.move_to_front();
        }
        let scratch = self.scratch.get_or_insert_with(Scratch::take);
        &mut scratch[self.end..]
    }

    /// Holds nothing of its own once all is consumed.
    #[inline]
    fn forget(&mut self) {
        if !self.kept.is_empty() {
            self.kept = Box::default();
        }
        (self.start, self.end) = (0, 0);
    }

    fn move_to_front(&mut self) {
        let unread = self.start..self.end;
        match &mut self.scratch {
            Some(scratch) => scratch.copy_within(unread.clone(), 0),
            None => {
                let mut scratch = Scratch::take();
                scratch[..unread.len()].copy_from_slice(&self.kept[unread.clone()]);
                self.scratch = Some(scratch);
            }
        }
        self.kept = Box::default();
        (self.start, self.end) = (0, unread.len());
    }

    #[inline]
    fn park(&mut self) {
        if self.scratch.is_some() || self.is_empty() {
            self.leave_scratch();
        }
    }

    fn leave_scratch(&mut self) {
        let scratch = self.scratch.take();
        if self.is_empty() {
            self.forget();
        } else if let Some(scratch) = scratch {
            self.kept = scratch[self.start..self.end].into();
            (self.start, self.end) = (0, self.kept.len());
        }
    }
}

/// How many bytes at the end of a text, UTF-8 so far, are part of a character.
fn cut_character(text: &[u8]) -> usize {
    let continues = |byte: &&u8| **byte & 0xC0 == 0x80;
    let tail = text.iter().rev().take(3).take_while(continues).count();
    let Some(first) = text.len().checked_sub(tail + 1).and_then(|at| text.get(at)) else {
        return 0;
    };
    let len = match first {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xFF => 4,
        _ => 1,
    };
    if tail + 1 < len { tail + 1 } else { 0 }
}

impl Timer {
    fn new(due: Instant, cx: &Context<'_>) -> Self {
        Self {
            deadline: Box::pin(InputDeadline::new(due)),
            waker: cx.waker().clone(),
        }
    }

    /// Whether it will wake this task.
    fn wakes(&self, cx: &Context<'_>) -> bool {
        !self.deadline.is_fired() && self.waker.will_wake(cx.waker())
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::cut_character;

    #[test]
    fn what_is_cut_of_a_character_is_told_for_each_length() {
        for text in ["", "a", "aé", "a€", "a😀", "é", "€", "😀"] {
            let last = text.chars().last().map_or(0, char::len_utf8);
            for missing in 0..last.max(1) {
                let cut = &text.as_bytes()[..text.len() - missing];
                let expected = if missing == 0 { 0 } else { last - missing };
                assert_eq!(cut_character(cut), expected, "{text} without {missing}");
            }
        }
    }
}
