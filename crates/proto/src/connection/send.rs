//! The way out: the application's commands to frames (RFC 6455 §6.1).

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::close::CloseReason;
use crate::error::SendError;
use crate::frame::{FrameHeader, OpCode, ReservedBits, Role};
use crate::message::{Message, MessageKind};

use super::output::{Cause, Output};
use super::{Connection, State};

impl Connection {
    /// Sends a whole message as one frame. A large payload is shared with `message`, not copied,
    /// where no mask is needed.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] after this side's Close; [`SendError::MessageOpen`] between the parts of
    /// another message.
    pub fn send_message(&mut self, message: &Message, cause: Cause) -> Result<(), SendError> {
        let payload = message.as_bytes();
        if payload.len() < Output::SHARED_FROM
            || self.role == Role::Client
            || self.compression.is_some()
        {
            return self.send_payload(message.kind(), payload, cause);
        }
        self.check_whole()?;
        let header = self.header(message.kind().opcode(), payload.len());
        self.output.push_header(&header, cause);
        let payload = match message {
            Message::Text(text) => text.clone().into_bytes(),
            Message::Binary(bytes) => bytes.clone(),
        };
        self.output.push_shared(payload, cause);
        Ok(())
    }

    /// Sends a whole text message, copied.
    ///
    /// # Errors
    ///
    /// As [`send_message`](Self::send_message).
    pub fn send_text(&mut self, text: &str, cause: Cause) -> Result<(), SendError> {
        self.send_payload(MessageKind::Text, text.as_bytes(), cause)
    }

    /// Sends a whole binary message, copied.
    ///
    /// # Errors
    ///
    /// As [`send_message`](Self::send_message).
    pub fn send_binary(&mut self, bytes: &[u8], cause: Cause) -> Result<(), SendError> {
        self.send_payload(MessageKind::Binary, bytes, cause)
    }

    /// Sends a message that was encoded once for many connections.
    ///
    /// # Errors
    ///
    /// As [`send_message`](Self::send_message).
    pub fn send_prepared(
        &mut self,
        prepared: &PreparedMessage,
        cause: Cause,
    ) -> Result<(), SendError> {
        if self.role == Role::Client {
            // §5.3: each frame of a client has a key of its own, so nothing can be shared.
            return self.send_message(&prepared.message, cause);
        }
        self.check_whole()?;
        self.output.push_shared(prepared.frame.clone(), cause);
        Ok(())
    }

    /// Sends a part of a message: the first part starts it, the one with `last` ends it (§5.4).
    /// Control frames may be sent between the parts.
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
        if !self.can_send() {
            return Err(SendError::Closed);
        }
        let opcode = match self.sending {
            None => kind.opcode(),
            Some(open) if open == kind => OpCode::Continuation,
            Some(_) => return Err(SendError::MessageOpen),
        };
        let header = FrameHeader {
            fin: last,
            ..self.header(opcode, payload.len())
        };
        self.output.push_frame(&header, payload, cause);
        self.sending = (!last).then_some(kind);
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
    /// As [`send_ping`](Self::send_ping).
    pub fn send_pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.send_control(OpCode::Pong, payload)
    }

    /// _Start the WebSocket Closing Handshake_ (§7.1.2), or end the one that the peer started. A
    /// message sent in parts is left unfinished.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when this side's Close has been sent; [`SendError::CloseCode`] for a
    /// reason that may not be sent.
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

    fn send_payload(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        cause: Cause,
    ) -> Result<(), SendError> {
        self.check_whole()?;
        if let Some(compressed) = self.compress(payload) {
            // RFC 7692 §6.1: RSV1 on the first frame says that the message is compressed.
            let header = FrameHeader {
                reserved: ReservedBits::RSV1,
                ..self.header(kind.opcode(), compressed.len())
            };
            self.output.push_frame(&header, &compressed, cause);
            return Ok(());
        }
        let header = self.header(kind.opcode(), payload.len());
        self.output.push_frame(&header, payload, cause);
        Ok(())
    }

    /// The payload compressed, if that was agreed on and is worth it.
    fn compress(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let compression = self.compression.as_mut()?;
        if payload.is_empty() || payload.len() < compression.threshold {
            return None;
        }
        let mut compressed = Vec::new();
        compression.deflater.compress(payload, &mut compressed);
        // RFC 7692 §6: each message may go either way. But what is in the window that the peer keeps has
        // to be sent.
        let worth_it = compressed.len() < payload.len() || compression.deflater.keeps_window();
        worth_it.then_some(compressed)
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

/// A message encoded once, to be sent on many connections. Cheap to clone.
///
/// ```
/// use std::time::Instant;
/// use bytes::Buf;
/// use sockeye_proto::{Cause, Config, Connection, PreparedMessage, Role};
///
/// let news = PreparedMessage::new("news".into());
/// let mut server = Connection::server(Config::new(Role::Server), Instant::now());
/// server.send_prepared(&news, Cause::Push).unwrap();
/// assert_eq!(server.output().chunk(), b"\x81\x04news");
/// ```
#[derive(Clone, Debug)]
pub struct PreparedMessage {
    message: Message,
    frame: Bytes,
}

impl PreparedMessage {
    /// Encodes `message` as a server sends it.
    pub fn new(message: Message) -> Self {
        let payload = message.as_bytes();
        let mut header = Vec::with_capacity(FrameHeader::MAX_LEN);
        FrameHeader::new(message.kind().opcode(), payload.len() as u64).write(&mut header);
        let mut frame = BytesMut::with_capacity(header.len() + payload.len());
        frame.extend_from_slice(&header);
        frame.extend_from_slice(payload);
        Self {
            message,
            frame: frame.freeze(),
        }
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// How many bytes the frame has.
    pub fn frame_len(&self) -> usize {
        self.frame.len()
    }
}
