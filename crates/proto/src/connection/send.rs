//! Sending: the application's commands become frames (RFC 6455 §6.1).

use std::time::Instant;

use bytes::Bytes;

use crate::close::CloseReason;
use crate::error::SendError;
use crate::frame::{FrameHeader, OpCode, ReservedBits, Role};
use crate::message::MessageKind;

use super::outgoing::{Content, Outgoing, PreparedMessage};
use super::output::{Cause, Output};
use super::{Connection, Sending, State};

impl Connection {
    /// Sends a whole message as one frame. A large payload is shared with `message`, not copied,
    /// where no mask is needed.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] after this side's Close; [`SendError::MessageOpen`] between the parts of
    /// another message.
    pub fn send_message(
        &mut self,
        message: impl Into<Outgoing>,
        cause: Cause,
    ) -> Result<(), SendError> {
        self.send_outgoing(message.into(), cause)
    }

    /// Sends a whole text message, copied.
    ///
    /// # Errors
    ///
    /// The errors of [`send_message`](Self::send_message).
    #[inline]
    pub fn send_text(&mut self, text: &str, cause: Cause) -> Result<(), SendError> {
        self.send_payload(MessageKind::Text, text.as_bytes(), cause)
    }

    /// Sends a whole binary message, copied.
    ///
    /// # Errors
    ///
    /// The errors of [`send_message`](Self::send_message).
    #[inline]
    pub fn send_binary(&mut self, bytes: &[u8], cause: Cause) -> Result<(), SendError> {
        self.send_payload(MessageKind::Binary, bytes, cause)
    }

    /// Sends frames of whole messages that [`PreparedMessage::write_frame`] wrote, copied. Many connections can send
    /// the same bytes. Only a server can: a client masks its frames (§5.3).
    ///
    /// # Errors
    ///
    /// The errors of [`send_message`](Self::send_message), and [`SendError::Unmasked`] on a client.
    #[inline]
    pub fn send_frames(&mut self, frames: &[u8], cause: Cause) -> Result<(), SendError> {
        self.check_whole()?;
        if self.masking_keys.is_some() {
            return Err(SendError::Unmasked);
        }
        self.output.push_copied(frames, cause);
        Ok(())
    }

    /// Sends a part of a message. The first part starts the message, and the part with `last` ends it (§5.4).
    /// Control frames may be sent between the parts. If compression was agreed on and the first part is worth
    /// it, all parts are compressed (RFC 7692 §6.1).
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] after this side's Close; [`SendError::MessageOpen`] when the message that
    /// is open is of another kind.
    pub fn send_part(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        last: bool,
        cause: Cause,
    ) -> Result<(), SendError> {
        self.send_fragment(kind, payload, last, true, cause)
    }

    /// Sends a part of a message that is not compressed. The first part decides that for the whole message.
    ///
    /// # Errors
    ///
    /// The errors of [`send_part`](Self::send_part).
    pub fn send_uncompressed_part(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        last: bool,
        cause: Cause,
    ) -> Result<(), SendError> {
        self.send_fragment(kind, payload, last, false, cause)
    }

    fn send_fragment(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        last: bool,
        compressible: bool,
        cause: Cause,
    ) -> Result<(), SendError> {
        if !self.can_send() {
            return Err(SendError::Closed);
        }
        let (opcode, message) = match self.sending {
            None => {
                let compression = self.compression.as_ref();
                let worth = compression.is_some_and(|compression| compression.is_worth(payload));
                let compressed = compressible && worth;
                (kind.opcode(), Sending { kind, compressed })
            }
            Some(open) if open.kind == kind => (OpCode::Continuation, open),
            Some(_) => return Err(SendError::MessageOpen),
        };
        // RFC 7692 §6.1: RSV1 stands on the first frame only.
        let reserved = if message.compressed && self.sending.is_none() {
            ReservedBits::RSV1
        } else {
            ReservedBits::NONE
        };
        let mut made = Vec::new();
        let payload = match &mut self.compression {
            Some(compression) if message.compressed => {
                compression.deflater.compress_part(payload, last, &mut made);
                &made
            }
            _ => payload,
        };
        let header = FrameHeader {
            fin: last,
            reserved,
            ..self.header(opcode, payload.len())
        };
        self.output.push_frame(&header, payload, cause);
        self.sending = (!last).then_some(message);
        Ok(())
    }

    /// Sends a Ping.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] after this side's Close; [`SendError::ControlPayloadTooLong`] beyond 125
    /// bytes.
    pub fn send_ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.send_control(OpCode::Ping, payload)
    }

    /// Sends a Pong that answers no Ping (§5.5.3).
    ///
    /// # Errors
    ///
    /// The errors of [`send_ping`](Self::send_ping).
    pub fn send_pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.send_control(OpCode::Pong, payload)
    }

    /// Sends this side's Close. It starts the closing handshake (_Start the WebSocket Closing Handshake_,
    /// §7.1.2), or answers the peer's Close. An open message that is sent in parts stays unfinished.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] after this side's Close; [`SendError::CloseCode`] for a reason that may not be
    /// sent.
    pub fn send_close(&mut self, reason: &CloseReason, now: Instant) -> Result<(), SendError> {
        if !reason.code().is_sendable() && *reason != CloseReason::no_status() {
            return Err(SendError::CloseCode {
                code: reason.code().get(),
            });
        }
        match std::mem::replace(&mut self.state, State::CloseSent) {
            State::Open => self.push_close(reason, now),
            State::CloseReceived(received) => {
                self.push_close(reason, now);
                self.state = State::Closed(received);
            }
            state => {
                self.state = state;
                if !self.owes_close() {
                    return Err(SendError::Closed);
                }
                self.conclude(now);
            }
        }
        Ok(())
    }

    fn send_outgoing(&mut self, outgoing: Outgoing, cause: Cause) -> Result<(), SendError> {
        self.check_whole()?;
        let message = match outgoing.0 {
            Content::Plain(message) => message,
            Content::Compressible(message) => {
                if message.as_bytes().len() < Output::SHARED_FROM {
                    // It is copied: nothing is shared.
                    return self.send_payload(message.kind(), message.as_bytes(), cause);
                }
                if let Some(compressed) = self.compress(message.as_bytes()) {
                    self.push_compressed(message.kind(), compressed, cause);
                    return Ok(());
                }
                message
            }
            Content::Prepared(prepared) => {
                let message = prepared.message();
                if let Some(compressed) = self.compress_shared(&prepared) {
                    self.push_compressed(message.kind(), compressed, cause);
                    return Ok(());
                }
                let payload = message.as_bytes();
                if self.masking_keys.is_none() && payload.len() < Output::SHARED_FROM {
                    // It is copied: no reference to it is needed.
                    self.output
                        .push_unmasked(message.kind().opcode(), payload, cause);
                    return Ok(());
                }
                message.clone()
            }
        };
        self.push_plain(message.kind(), message.into_bytes(), cause);
        Ok(())
    }

    #[inline(always)]
    pub(super) fn send_payload(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        cause: Cause,
    ) -> Result<(), SendError> {
        self.check_whole()?;
        if self.compression.is_some()
            && let Some(compressed) = self.compress(payload)
        {
            self.push_compressed(kind, compressed, cause);
            return Ok(());
        }
        if self.masking_keys.is_none() {
            // A server's frames are not masked (§5.1): the header is two or four bytes.
            self.output.push_unmasked(kind.opcode(), payload, cause);
        } else {
            let header = self.header(kind.opcode(), payload.len());
            self.output.push_frame(&header, payload, cause);
        }
        Ok(())
    }

    fn push_plain(&mut self, kind: MessageKind, payload: Bytes, cause: Cause) {
        let header = self.header(kind.opcode(), payload.len());
        self.push_payload(&header, payload, cause);
    }

    fn push_compressed(
        &mut self,
        kind: MessageKind,
        payload: impl AsRef<[u8]> + Into<Bytes>,
        cause: Cause,
    ) {
        // RFC 7692 §6.1: RSV1 on the first frame says that the message is compressed.
        let header = FrameHeader {
            reserved: ReservedBits::RSV1,
            ..self.header(kind.opcode(), payload.as_ref().len())
        };
        self.push_payload(&header, payload, cause);
    }

    fn push_payload(
        &mut self,
        header: &FrameHeader,
        payload: impl AsRef<[u8]> + Into<Bytes>,
        cause: Cause,
    ) {
        // §5.3: each frame of a client has a key of its own, so its payload is always copied.
        if self.role == Role::Client || payload.as_ref().len() < Output::SHARED_FROM {
            self.output.push_frame(header, payload.as_ref(), cause);
        } else {
            self.output.push_header(header, cause);
            self.output.push_shared(payload.into(), cause);
        }
    }

    /// The payload compressed, if that was agreed on and is worth it.
    fn compress(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let compression = self.compression.as_mut()?;
        if !compression.is_worth(payload) {
            return None;
        }
        let mut compressed = Vec::new();
        compression.deflater.compress(payload, &mut compressed);
        if compressed.len() >= Output::SHARED_FROM {
            // The output shares this buffer, so spare capacity would stay allocated until it is written.
            compressed.shrink_to_fit();
        }
        // RFC 7692 §6: the sender may choose for each message. But bytes that have entered a kept window
        // must be sent.
        let worth_it = compressed.len() < payload.len() || compression.deflater.keeps_window();
        worth_it.then_some(compressed)
    }

    /// Returns the compressed payload of `prepared`, which all connections with this window share, if it may be
    /// compressed.
    fn compress_shared(&mut self, prepared: &PreparedMessage) -> Option<Bytes> {
        let compression = self.compression.as_mut()?;
        if !compression.is_worth(prepared.message().as_bytes()) {
            return None;
        }
        let compressed = prepared.compressed(&compression.deflater)?;
        // RFC 7692 §7.2.1: if the peer keeps its window, the window now holds this message. Our own
        // compressor has not seen it, so later messages must not refer to anything before it.
        compression.deflater.restart();
        Some(compressed)
    }

    fn send_control(&mut self, opcode: OpCode, payload: &[u8]) -> Result<(), SendError> {
        if !self.can_send() {
            return Err(SendError::Closed);
        }
        if payload.len() > FrameHeader::MAX_CONTROL_PAYLOAD {
            return Err(SendError::ControlPayloadTooLong { len: payload.len() });
        }
        let header = self.header(opcode, payload.len());
        self.output.push_frame(&header, payload, Cause::Push);
        Ok(())
    }

    /// Whether a whole message may be sent now.
    #[inline]
    fn check_whole(&self) -> Result<(), SendError> {
        if !self.can_send() {
            // §5.5.1: after our Close nothing more goes out.
            return Err(SendError::Closed);
        }
        if self.sending.is_some() {
            // §5.4: fragments of two messages are not interleaved.
            return Err(SendError::MessageOpen);
        }
        Ok(())
    }
}
