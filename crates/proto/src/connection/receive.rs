//! Receiving: bytes become events (RFC 6455 §5.2 to §5.5, §6.2). There are two state machines. The frame
//! receiver knows whether it reads the payload of a data frame. The message above it adds up its frames.
//!
//! ```text
//!            header of a data frame                      last byte of the payload
//!   Header ──────────────────────────▶ Payload{remaining} ────────────────────────▶ Header
//!
//!           text, binary                     FIN's last byte
//!   None ───────────────────▶ Open{kind, …} ─────────────────▶ None
//!                              ▲  │ continuation without FIN
//!                              └──┘
//! ```

use std::time::Instant;

use crate::close::CloseReason;
use crate::deflate::Inflater;
use crate::error::ProtocolError;
use crate::frame::{FrameHeader, OpCode, ReservedBits};
use crate::mask::MaskingKey;
use crate::message::{Message, MessageKind};
use crate::utf8::{self, InvalidUtf8, Utf8Validator};

use super::close_body;
use super::config::Config;
use super::{Connection, State};

/// An event of [`Connection::receive`]. Its payload is borrowed from the input, unmasked in place.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A whole binary message: it came as one frame, which lay complete in the input.
    Binary(&'a [u8]),
    /// The next bytes of the open message; for text, valid UTF-8 so far, though they may end inside a
    /// character. Empty where a compressed message took work and made no bytes: see
    /// [`take_work`](Connection::take_work).
    Chunk(&'a [u8]),
    /// The peer's Close. The next [`Connection::receive`], or [`Connection::conclude`], sends the answer.
    Close(CloseReason),
    /// The open message is complete.
    MessageEnd,
    /// The start of a message that comes in chunks.
    MessageStart(MessageKind),
    /// A Ping; its Pong is in the output.
    Ping(&'a [u8]),
    /// A Pong that does not answer the keep-alive's own Ping.
    Pong(&'a [u8]),
    /// A whole text message: it came as one frame, which lay complete in the input.
    Text(&'a str),
}

/// A whole message that lay complete in the input, unmasked in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the data opcodes of RFC 6455")]
pub enum WholeMessage<'a> {
    /// Of a binary message.
    Binary(&'a [u8]),
    /// Of a text message.
    Text(&'a str),
}

/// Copied, to be kept.
impl From<WholeMessage<'_>> for Message {
    fn from(message: WholeMessage<'_>) -> Self {
        match message {
            WholeMessage::Binary(bytes) => bytes.into(),
            WholeMessage::Text(text) => text.into(),
        }
    }
}

impl<'a> From<WholeMessage<'a>> for Event<'a> {
    #[inline]
    fn from(message: WholeMessage<'a>) -> Self {
        match message {
            WholeMessage::Binary(bytes) => Self::Binary(bytes),
            WholeMessage::Text(text) => Self::Text(text),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Receiver {
    // Boxed: most messages lie complete in the input and are never open, and an idle connection has no
    // open message.
    message: Option<Box<OpenMessage>>,
    // The error of a message that an exchange has already taken from the input.
    pub(super) broken: Option<InvalidUtf8>,
}

#[derive(Debug)]
struct OpenMessage {
    kind: MessageKind,
    utf8: Utf8Validator,
    // Of the frames' payloads.
    len: u64,
    fragments: u32,
    compressed: Option<Compressed>,
    // Of the frame that is being read, if one is.
    payload: Option<Payload>,
    // Whether payload has come since it was last asked.
    progress: bool,
    // The most bytes of a chunk that is lent from the input.
    chunk_limit: usize,
}

#[derive(Debug, Default)]
struct Compressed {
    inflated: u64,
    // Whether the end of the payload has been inflated too.
    finished: bool,
}

/// The payload of a data frame, of which some bytes are still to come or to be accounted for.
#[derive(Debug)]
struct Payload {
    remaining: u64,
    offset: u64,
    // How many bytes at the front of the input are unmasked already: the inflater had no room for them.
    unmasked: usize,
    masking_key: Option<MaskingKey>,
    fin: bool,
}

impl Connection {
    /// Takes the next event from the front of `input`, and advances `input` past what it consumed.
    ///
    /// `None` means one of three things: more bytes are needed, [output has to drain](Self::is_gated) first, or
    /// the connection takes no more input. The caller keeps the rest of the input, and passes it again with more
    /// bytes behind it. The rest is part of a header or of a control frame, 131 bytes at most, unless output has
    /// to drain. An event may consume no input.
    ///
    /// One call returns one event and parses nothing beyond it. So the frames that the caller sends before the
    /// next call leave before any frame that the next input causes.
    ///
    /// If compression was agreed on, call [`receive_inflating`](Self::receive_inflating) instead.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke, once. The connection has failed: it owes a Close, and later input has no
    /// effect.
    pub fn receive<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        now: Instant,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        self.receive_inflating(input, &mut [], now)
    }

    /// Takes the next event like [`receive`](Self::receive), and inflates compressed messages into `room`. Chunks of
    /// a compressed message are borrowed from `room`, other chunks from the input. If `room` is used up, the rest of
    /// the input may be unmasked in part: pass the same bytes to the next call.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub fn receive_inflating<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        room: &'a mut [u8],
        now: Instant,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        match self.receive_whole(input, now) {
            Some(message) => Ok(Some(message.into())),
            None => self.receive_any(input, room, now),
        }
    }

    /// Whether only more input can cause an event: the last message is complete, and the connection takes input.
    #[inline]
    pub fn is_between_messages(&self) -> bool {
        self.receiver.message.is_none() && self.receiver.broken.is_none() && self.can_receive()
    }

    fn receive_any<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        room: &'a mut [u8],
        now: Instant,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        if !self.can_receive() {
            // §5.5.1, §7.1.7: after a Close, or a failure, data is discarded.
            self.conclude(now);
            *input = &mut [];
            return Ok(None);
        }
        if self.is_gated() {
            return Ok(None);
        }
        self.deadlines.shown(input.len(), now);
        let event = match self.receiver.broken.take() {
            Some(InvalidUtf8) => Err(ProtocolError::InvalidUtf8),
            None => self.next_event(input, room),
        };
        match &event {
            Err(error) => {
                self.fail_connection(*error, now);
                *input = &mut [];
            }
            Ok(Some(Event::Close(_))) => self.owe_close(now),
            Ok(event) => {
                // Behind an event the input has not been parsed. Only without an event is the rest part of
                // a frame.
                let begun = self.receiver.message.is_some() || event.is_none() && !input.is_empty();
                let progress = self.receiver.take_progress();
                self.deadlines.assembling(begun, progress, now);
                if event.is_none() {
                    self.deadlines.left(input.len());
                }
            }
        }
        event
    }

    /// The number of bytes still to come of the data frame that is being read. `None` without such a frame, and for
    /// a compressed message.
    pub fn payload_remaining(&self) -> Option<u64> {
        let message = self.receiver.message.as_ref()?;
        if message.compressed.is_some() {
            return None;
        }
        message.payload.as_ref().map(|payload| payload.remaining)
    }

    /// Whether the open message has come and only its [`Event::MessageEnd`] is left. Always false for a compressed
    /// message.
    pub fn message_ends_here(&self) -> bool {
        let message = self.receiver.message.as_ref();
        message.is_some_and(|message| {
            let payload = message.payload.as_ref();
            message.compressed.is_none()
                && payload.is_some_and(|payload| payload.fin && payload.remaining == 0)
        })
    }

    /// Limits the chunks of the open message to `bytes`, until the next call of this method. It has no effect on a
    /// compressed message. With zero, [`receive`](Self::receive) stops before the payload, and leaves more of the input
    /// than otherwise. A caller that assembles messages in limited room uses it.
    pub fn limit_chunks(&mut self, bytes: usize) {
        if let Some(message) = &mut self.receiver.message {
            message.chunk_limit = bytes;
        }
    }

    /// Whether the open message is compressed.
    pub fn inflates_message(&self) -> bool {
        let message = self.receiver.message.as_ref();
        message.is_some_and(|message| message.compressed.is_some())
    }

    /// Whether the rest of the open message lies at the front of `input`.
    pub fn message_is_complete_in(&self, input: &[u8]) -> bool {
        let message = self.receiver.message.as_ref();
        let payload = message.and_then(|message| message.payload.as_ref());
        payload.is_some_and(|payload| payload.fin && payload.remaining <= input.len() as u64)
    }

    /// Returns the work of inflating since the last call, in bytes: 1 for each byte made, 3 for each byte taken, and
    /// 32 KiB for each stream that ended inside a message. A caller that drives several connections limits by it the
    /// work of one turn: a peer can cause much work with few bytes.
    pub fn take_work(&mut self) -> u64 {
        let compression = self.compression.as_mut();
        compression.map_or(0, |compression| compression.inflater.take_work())
    }

    fn next_event<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        mut room: &'a mut [u8],
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        loop {
            if let Some(message) = &mut self.receiver.message
                && message.payload.is_some()
            {
                let step = match &mut self.compression {
                    Some(compression) if message.compressed.is_some() => {
                        let inflater = &mut compression.inflater;
                        let limit = self.config.limit(message.kind);
                        message.inflate_chunk(inflater, input, &mut room, limit)?
                    }
                    _ => message.next_chunk(input)?,
                };
                match step {
                    Step::Chunk(chunk) => return Ok(Some(Event::Chunk(chunk))),
                    Step::MessageEnd => {
                        self.receiver.message = None;
                        return Ok(Some(Event::MessageEnd));
                    }
                    Step::Again => continue,
                    Step::NeedInput => return Ok(None),
                }
            }
            let parsed = FrameHeader::parse(input, self.role, self.allowed_bits())
                .map_err(|error| self.first_broken(input, error))?;
            let Some((header, header_len)) = parsed else {
                if let Some(first) = input.first() {
                    self.receiver
                        .check_sequence(OpCode::from_bits(first & 0x0F))?;
                }
                return Ok(None);
            };
            if header.opcode.is_control() {
                let Some(payload) = take_frame(input, &header, header_len) else {
                    return Ok(None);
                };
                self.frames_received += 1;
                match self.control(header.opcode, payload)? {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            self.receiver.check_sequence(Some(header.opcode))?;
            self.frames_received += 1;
            if let Some(kind) = self.starts_message(&header)? {
                if header.fin
                    && !header.reserved.rsv1()
                    && let Some(payload) = take_payload(input, &header, header_len)
                {
                    return match whole_message(
                        kind == MessageKind::Text,
                        header.masking_key,
                        payload,
                    ) {
                        Ok(message) => Ok(Some(message.into())),
                        Err(InvalidUtf8) => Err(ProtocolError::InvalidUtf8),
                    };
                }
                take_front(input, header_len);
                self.receiver.open(kind, &header);
                return Ok(Some(Event::MessageStart(kind)));
            }
            self.receiver.continues_message(&header, &self.config)?;
            take_front(input, header_len);
        }
    }

    /// Returns the rule that a header breaks first. A rule that the first byte breaks goes before later ones. So
    /// the error does not depend on how the input was cut.
    fn first_broken(&self, input: &[u8], error: ProtocolError) -> ProtocolError {
        let Some(first) = input.first() else {
            return error;
        };
        let by_itself = FrameHeader::parse(&[*first], self.role, self.allowed_bits()).err();
        let in_sequence = || {
            self.receiver
                .check_sequence(OpCode::from_bits(first & 0x0F))
                .err()
        };
        by_itself.or_else(in_sequence).unwrap_or(error)
    }

    /// The kind of the message that a frame starts; `None` for a continuation.
    fn starts_message(&self, header: &FrameHeader) -> Result<Option<MessageKind>, ProtocolError> {
        let kind = match header.opcode {
            OpCode::Text => MessageKind::Text,
            OpCode::Binary => MessageKind::Binary,
            _ => return Ok(None),
        };
        let limit = self.config.limit(kind);
        let size = header.payload_len;
        if size > payload_limit(limit, header.reserved.rsv1()) {
            return Err(too_big(size, limit));
        }
        Ok(Some(kind))
    }

    /// The reserved bits that may be set: RSV1 marks a compressed message, if compression was agreed on (RFC 7692 §6).
    fn allowed_bits(&self) -> ReservedBits {
        match self.compression {
            Some(_) => ReservedBits::RSV1,
            None => ReservedBits::NONE,
        }
    }

    /// Handles a control frame, also between a message's fragments (§5.5). Returns `None` for a Pong that answers
    /// the keep-alive's Ping.
    fn control<'a>(
        &mut self,
        opcode: OpCode,
        payload: &'a [u8],
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        match opcode {
            OpCode::Close => {
                let reason = close_body::parse(payload)?;
                self.stop_receiving();
                let received = Box::new(reason.clone());
                self.state = match self.state {
                    State::CloseSent => State::Closed(received),
                    _ => State::CloseReceived(received),
                };
                Ok(Some(Event::Close(reason)))
            }
            OpCode::Ping => {
                self.answer_ping(payload);
                Ok(Some(Event::Ping(payload)))
            }
            _ if self.deadlines.is_keep_alive(payload) => Ok(None),
            _ => Ok(Some(Event::Pong(payload))),
        }
    }
}

enum Step<'a> {
    Chunk(&'a [u8]),
    MessageEnd,
    Again,
    NeedInput,
}

impl Receiver {
    /// §5.4: a continuation needs an open message, a new message needs that none is open.
    fn check_sequence(&self, opcode: Option<OpCode>) -> Result<(), ProtocolError> {
        match (opcode, &self.message) {
            (Some(OpCode::Continuation), None) => Err(ProtocolError::UnexpectedContinuation),
            (Some(opcode @ (OpCode::Text | OpCode::Binary)), Some(_)) => {
                let opcode = opcode.bits();
                Err(ProtocolError::ExpectedContinuation { opcode })
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, kind: MessageKind, header: &FrameHeader) {
        self.message = Some(Box::new(OpenMessage {
            kind,
            utf8: Utf8Validator::default(),
            len: header.payload_len,
            fragments: 1,
            compressed: header.reserved.rsv1().then(Compressed::default),
            payload: Some(Payload::new(header)),
            progress: false,
            chunk_limit: usize::MAX,
        }));
    }

    /// Checks the limits of a message, in bytes and in fragments, before the payload is read (§10.4).
    fn continues_message(
        &mut self,
        header: &FrameHeader,
        config: &Config,
    ) -> Result<(), ProtocolError> {
        if let Some(message) = &mut self.message {
            message.fragments = message.fragments.saturating_add(1);
            if message.fragments > config.max_fragments {
                return Err(ProtocolError::TooManyFragments {
                    limit: config.max_fragments,
                });
            }
            message.len = message.len.saturating_add(header.payload_len);
            let limit = config.limit(message.kind);
            if message.len > payload_limit(limit, message.compressed.is_some()) {
                let size = message.len;
                return Err(too_big(size, limit));
            }
            message.payload = Some(Payload::new(header));
        }
        Ok(())
    }

    fn take_progress(&mut self) -> bool {
        let message = self.message.as_mut();
        message.is_some_and(|message| std::mem::take(&mut message.progress))
    }
}

impl OpenMessage {
    fn next_chunk<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Step<'a>, ProtocolError> {
        let Some(payload) = &mut self.payload else {
            return Ok(Step::Again);
        };
        if payload.remaining == 0 {
            let fin = payload.fin;
            self.payload = None;
            if !fin {
                return Ok(Step::Again);
            }
            return self.end();
        }
        let available = usize::try_from(payload.remaining)
            .unwrap_or(usize::MAX)
            .min(input.len())
            .min(self.chunk_limit);
        if available == 0 {
            return Ok(Step::NeedInput);
        }
        let chunk = take_front(input, available);
        if let Some(key) = payload.masking_key {
            key.apply(chunk, payload.offset);
        }
        payload.offset += available as u64;
        payload.remaining -= available as u64;
        self.progress = true;
        self.check_text(chunk)?;
        Ok(Step::Chunk(chunk))
    }

    /// Inflates a chunk. The payloads of all frames are one DEFLATE stream (RFC 7692 §7.2.2). Inflated bytes count
    /// against the limit as they are made.
    fn inflate_chunk<'a>(
        &mut self,
        inflater: &mut Inflater,
        input: &mut &'a mut [u8],
        room: &mut &'a mut [u8],
        limit: u64,
    ) -> Result<Step<'a>, ProtocolError> {
        let (Some(payload), Some(compressed)) = (&mut self.payload, &mut self.compressed) else {
            return Ok(Step::Again);
        };
        let made = if payload.remaining > 0 {
            let available = usize::try_from(payload.remaining)
                .unwrap_or(usize::MAX)
                .min(input.len());
            let front = input
                .get_mut(..available.min(Inflater::TAKEN_AT_ONCE))
                .unwrap_or_default();
            if let (Some(key), Some(masked)) =
                (payload.masking_key, front.get_mut(payload.unmasked..))
            {
                key.apply(masked, payload.offset + payload.unmasked as u64);
                payload.unmasked = payload.unmasked.max(front.len());
            }
            let (taken, made) = inflater
                .inflate(front, room)
                .map_err(|_| ProtocolError::InvalidDeflate)?;
            if taken == 0 && made == 0 {
                return Ok(Step::NeedInput);
            }
            take_front(input, taken);
            payload.unmasked = payload.unmasked.saturating_sub(taken);
            payload.offset += taken as u64;
            payload.remaining -= taken as u64;
            self.progress = true;
            if made == 0 && inflater.has_worked_much() {
                // An empty chunk returns to the caller, who checks the work.
                return Ok(Step::Chunk(&[]));
            }
            made
        } else if !payload.fin {
            self.payload = None;
            return Ok(Step::Again);
        } else if compressed.finished {
            self.payload = None;
            return self.end();
        } else if room.is_empty() {
            return Ok(Step::NeedInput);
        } else {
            let made = inflater
                .finish(room)
                .map_err(|_| ProtocolError::InvalidDeflate)?;
            compressed.finished = made < room.len();
            made
        };
        if made == 0 {
            return Ok(Step::Again);
        }
        compressed.inflated += made as u64;
        if compressed.inflated > limit {
            // Not the number of inflated bytes: it depends on how the input was cut.
            let size = limit.saturating_add(1);
            return Err(too_big(size, limit));
        }
        let chunk = take_front(room, made);
        self.check_text(chunk)?;
        Ok(Step::Chunk(chunk))
    }

    /// §8.1: bad UTF-8 fails at its first bad byte, in the middle of a frame too.
    fn check_text(&mut self, chunk: &[u8]) -> Result<(), ProtocolError> {
        if self.kind == MessageKind::Binary {
            return Ok(());
        }
        let accepted = self.utf8.accept(chunk);
        accepted.map_err(|InvalidUtf8| ProtocolError::InvalidUtf8)
    }

    /// §5.6: a text message as a whole is valid UTF-8.
    fn end<'a>(&self) -> Result<Step<'a>, ProtocolError> {
        if self.kind == MessageKind::Text && self.utf8.finish().is_err() {
            return Err(ProtocolError::InvalidUtf8);
        }
        Ok(Step::MessageEnd)
    }
}

impl Payload {
    fn new(header: &FrameHeader) -> Self {
        Self {
            remaining: header.payload_len,
            offset: 0,
            unmasked: 0,
            masking_key: header.masking_key,
            fin: header.fin,
        }
    }
}

/// The largest sum of the payloads of a message's frames.
fn payload_limit(limit: u64, compressed: bool) -> u64 {
    if compressed {
        // The limit is for the inflated message. Its compressed form may be a little longer: the stored
        // blocks of DEFLATE have headers.
        limit.saturating_add(limit / 8).saturating_add(1024)
    } else {
        limit
    }
}

/// Makes a message of one frame, and unmasks its payload.
#[inline(always)]
pub(super) fn whole_message<'a>(
    is_text: bool,
    masking_key: Option<MaskingKey>,
    payload: &'a mut [u8],
) -> Result<WholeMessage<'a>, InvalidUtf8> {
    if is_text {
        let text = match masking_key {
            Some(key) => utf8::unmask_text(payload, key),
            None => simdutf8::basic::from_utf8(payload).map_err(|_| InvalidUtf8),
        };
        return text.map(WholeMessage::Text);
    }
    if let Some(key) = masking_key {
        key.apply(payload, 0);
    }
    Ok(WholeMessage::Binary(payload))
}

/// Takes a frame that lies complete in `input`, and unmasks its payload.
fn take_frame<'a>(
    input: &mut &'a mut [u8],
    header: &FrameHeader,
    header_len: usize,
) -> Option<&'a [u8]> {
    let payload = take_payload(input, header, header_len)?;
    if let Some(key) = header.masking_key {
        key.apply(payload, 0);
    }
    Some(payload)
}

/// Takes a frame that lies complete in `input`, and gives its payload as it is.
fn take_payload<'a>(
    input: &mut &'a mut [u8],
    header: &FrameHeader,
    header_len: usize,
) -> Option<&'a mut [u8]> {
    let payload_len = usize::try_from(header.payload_len).ok()?;
    if input.len() - header_len < payload_len {
        return None;
    }
    take_front(input, header_len);
    Some(take_front(input, payload_len))
}

#[inline]
fn take_front<'a>(input: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let (front, rest) = std::mem::take(input).split_at_mut(len);
    *input = rest;
    front
}

// Not inlined: the error's fields would take registers of the fast path.
#[cold]
#[inline(never)]
fn too_big(size: u64, limit: u64) -> ProtocolError {
    ProtocolError::MessageTooBig { size, limit }
}

#[cfg(test)]
impl Receiver {
    /// Puts the open message where a peer would need years to bring it.
    pub(super) fn pretend_to_have_read(&mut self, len: u64, fragments: u32) {
        if let Some(message) = &mut self.message {
            message.len = len;
            message.fragments = fragments;
        }
    }
}
