//! Receiving: bytes become events (RFC 6455 §5.2 to §5.5, §6.2). Frames are parsed here. [`receiver`](super::receiver)
//! holds the state between two frames and inside a frame.

use std::time::Instant;

use crate::close::CloseReason;
use crate::error::ProtocolError;
use crate::frame::{FrameHeader, OpCode, ReservedBits};
use crate::mask::MaskingKey;
use crate::message::{Message, MessageKind};
use crate::utf8::{self, InvalidUtf8};

use super::close_body;
use super::receiver::{PayloadStep, payload_limit, take_front, too_big};
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
    /// A binary message.
    Binary(&'a [u8]),
    /// A text message.
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
    /// The errors of [`receive`](Self::receive).
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
        !self.receiver.has_message() && self.receiver.broken.is_none() && self.can_receive()
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
                let begun = self.receiver.has_message() || event.is_none() && !input.is_empty();
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
        self.receiver.payload_remaining()
    }

    /// Whether the open message has come and only its [`Event::MessageEnd`] is left. Always false for a compressed
    /// message.
    pub fn message_ends_here(&self) -> bool {
        self.receiver.message_ends_here()
    }

    /// Limits the chunks of the open message to `bytes`, until the next call of this method. It has no effect on a
    /// compressed message. With zero, [`receive`](Self::receive) stops before the payload, and leaves more of the input
    /// than otherwise. A caller that assembles messages in limited room uses it.
    pub fn limit_chunks(&mut self, bytes: usize) {
        self.receiver.limit_chunks(bytes);
    }

    /// Whether the open message is compressed.
    pub fn inflates_message(&self) -> bool {
        self.receiver.inflates_message()
    }

    /// Whether the rest of the open message lies at the front of `input`.
    pub fn message_is_complete_in(&self, input: &[u8]) -> bool {
        self.receiver.message_is_complete_in(input)
    }

    /// Returns the work of inflating since the last call, in bytes. Each byte made counts 1, each byte taken 3, and each
    /// stream that ended inside a message 32 KiB. A caller that drives several connections can limit the work of one
    /// turn with it: a peer can cause much work with few bytes.
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
            let compression = self.compression.as_mut();
            let inflater = compression.map(|compression| &mut compression.inflater);
            let step = self
                .receiver
                .next_step(inflater, &self.config, input, &mut room)?;
            match step {
                Some(PayloadStep::Chunk(chunk)) => return Ok(Some(Event::Chunk(chunk))),
                Some(PayloadStep::MessageEnd) => return Ok(Some(Event::MessageEnd)),
                Some(PayloadStep::Again) => continue,
                Some(PayloadStep::NeedInput) => return Ok(None),
                None => {}
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
