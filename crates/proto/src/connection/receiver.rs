//! The state of receiving, in two machines. The frame receiver knows whether it reads the payload of a data frame. The
//! message above it adds up its frames (RFC 6455 §5.4).
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

use crate::deflate::Inflater;
use crate::error::ProtocolError;
use crate::frame::{FrameHeader, OpCode};
use crate::mask::MaskingKey;
use crate::message::MessageKind;
use crate::utf8::{InvalidUtf8, Utf8Validator};

use super::config::Config;

/// The state of receiving.
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

/// The result of one step within the payload of a data frame.
pub(super) enum PayloadStep<'a> {
    Chunk(&'a [u8]),
    MessageEnd,
    Again,
    NeedInput,
}

impl Receiver {
    /// Whether a message is open: it has begun, and is not complete.
    #[inline]
    pub(super) fn has_message(&self) -> bool {
        self.message.is_some()
    }

    /// The number of bytes still to come of the data frame that is being read. `None` without such a frame, and for
    /// a compressed message.
    pub(super) fn payload_remaining(&self) -> Option<u64> {
        let message = self.message.as_ref()?;
        if message.compressed.is_some() {
            return None;
        }
        message.payload.as_ref().map(|payload| payload.remaining)
    }

    /// Whether the open message has come and only its end is left. Always false for a compressed message.
    pub(super) fn message_ends_here(&self) -> bool {
        let message = self.message.as_ref();
        message.is_some_and(|message| {
            let payload = message.payload.as_ref();
            message.compressed.is_none()
                && payload.is_some_and(|payload| payload.fin && payload.remaining == 0)
        })
    }

    /// Limits the chunks of the open message to `bytes`, unless it is compressed.
    pub(super) fn limit_chunks(&mut self, bytes: usize) {
        if let Some(message) = &mut self.message {
            message.chunk_limit = bytes;
        }
    }

    /// Whether the open message is compressed.
    pub(super) fn inflates_message(&self) -> bool {
        let message = self.message.as_ref();
        message.is_some_and(|message| message.compressed.is_some())
    }

    /// Whether the rest of the open message lies at the front of `input`.
    pub(super) fn message_is_complete_in(&self, input: &[u8]) -> bool {
        let message = self.message.as_ref();
        let payload = message.and_then(|message| message.payload.as_ref());
        payload.is_some_and(|payload| payload.fin && payload.remaining <= input.len() as u64)
    }

    /// Goes on with the payload of the data frame that is being read. `None` between two frames.
    pub(super) fn next_step<'a>(
        &mut self,
        inflater: Option<&mut Inflater>,
        config: &Config,
        input: &mut &'a mut [u8],
        room: &mut &'a mut [u8],
    ) -> Result<Option<PayloadStep<'a>>, ProtocolError> {
        let Some(message) = &mut self.message else {
            return Ok(None);
        };
        if message.payload.is_none() {
            return Ok(None);
        }
        let step = match inflater {
            Some(inflater) if message.compressed.is_some() => {
                message.inflate_chunk(inflater, input, room, config.limit(message.kind))?
            }
            _ => message.next_chunk(input)?,
        };
        if matches!(step, PayloadStep::MessageEnd) {
            self.message = None;
        }
        Ok(Some(step))
    }

    /// §5.4: a continuation needs an open message, a new message needs that none is open.
    pub(super) fn check_sequence(&self, opcode: Option<OpCode>) -> Result<(), ProtocolError> {
        match (opcode, &self.message) {
            (Some(OpCode::Continuation), None) => Err(ProtocolError::UnexpectedContinuation),
            (Some(opcode @ (OpCode::Text | OpCode::Binary)), Some(_)) => {
                let opcode = opcode.bits();
                Err(ProtocolError::ExpectedContinuation { opcode })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn open(&mut self, kind: MessageKind, header: &FrameHeader) {
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
    pub(super) fn continues_message(
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

    pub(super) fn take_progress(&mut self) -> bool {
        let message = self.message.as_mut();
        message.is_some_and(|message| std::mem::take(&mut message.progress))
    }
}

impl OpenMessage {
    fn next_chunk<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<PayloadStep<'a>, ProtocolError> {
        let Some(payload) = &mut self.payload else {
            return Ok(PayloadStep::Again);
        };
        if payload.remaining == 0 {
            let fin = payload.fin;
            self.payload = None;
            if !fin {
                return Ok(PayloadStep::Again);
            }
            return self.end();
        }
        let available = usize::try_from(payload.remaining)
            .unwrap_or(usize::MAX)
            .min(input.len())
            .min(self.chunk_limit);
        if available == 0 {
            return Ok(PayloadStep::NeedInput);
        }
        let chunk = take_front(input, available);
        if let Some(key) = payload.masking_key {
            key.apply(chunk, payload.offset);
        }
        payload.offset += available as u64;
        payload.remaining -= available as u64;
        self.progress = true;
        self.check_text(chunk)?;
        Ok(PayloadStep::Chunk(chunk))
    }

    /// Inflates a chunk. The payloads of all frames are one DEFLATE stream (RFC 7692 §7.2.2). Inflated bytes count
    /// against the limit as they are made.
    fn inflate_chunk<'a>(
        &mut self,
        inflater: &mut Inflater,
        input: &mut &'a mut [u8],
        room: &mut &'a mut [u8],
        limit: u64,
    ) -> Result<PayloadStep<'a>, ProtocolError> {
        let (Some(payload), Some(compressed)) = (&mut self.payload, &mut self.compressed) else {
            return Ok(PayloadStep::Again);
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
                return Ok(PayloadStep::NeedInput);
            }
            take_front(input, taken);
            payload.unmasked = payload.unmasked.saturating_sub(taken);
            payload.offset += taken as u64;
            payload.remaining -= taken as u64;
            self.progress = true;
            if made == 0 && inflater.has_worked_much() {
                // An empty chunk returns to the caller, who checks the work.
                return Ok(PayloadStep::Chunk(&[]));
            }
            made
        } else if !payload.fin {
            self.payload = None;
            return Ok(PayloadStep::Again);
        } else if compressed.finished {
            self.payload = None;
            return self.end();
        } else if room.is_empty() {
            return Ok(PayloadStep::NeedInput);
        } else {
            let made = inflater
                .finish(room)
                .map_err(|_| ProtocolError::InvalidDeflate)?;
            compressed.finished = made < room.len();
            made
        };
        if made == 0 {
            return Ok(PayloadStep::Again);
        }
        compressed.inflated += made as u64;
        if compressed.inflated > limit {
            // Not the number of inflated bytes: it depends on how the input was cut.
            let size = limit.saturating_add(1);
            return Err(too_big(size, limit));
        }
        let chunk = take_front(room, made);
        self.check_text(chunk)?;
        Ok(PayloadStep::Chunk(chunk))
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
    fn end<'a>(&self) -> Result<PayloadStep<'a>, ProtocolError> {
        if self.kind == MessageKind::Text && self.utf8.finish().is_err() {
            return Err(ProtocolError::InvalidUtf8);
        }
        Ok(PayloadStep::MessageEnd)
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
pub(super) fn payload_limit(limit: u64, compressed: bool) -> u64 {
    if compressed {
        // The limit is for the inflated message. Its compressed form may be a little longer: the stored
        // blocks of DEFLATE have headers.
        limit.saturating_add(limit / 8).saturating_add(1024)
    } else {
        limit
    }
}

/// Takes the first `len` bytes of `input`.
#[inline]
pub(super) fn take_front<'a>(input: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let (front, rest) = std::mem::take(input).split_at_mut(len);
    *input = rest;
    front
}

// Not inlined: the error's fields would take registers of the fast path.
#[cold]
#[inline(never)]
pub(super) fn too_big(size: u64, limit: u64) -> ProtocolError {
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
