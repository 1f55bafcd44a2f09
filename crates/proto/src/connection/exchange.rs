//! The fast path for whole messages that lie one behind the other in the input. Each message is answered
//! before the next one is parsed. Conditions that an answer cannot change are checked once, when the
//! exchange begins. Any other input ends the exchange, and [`receive`](Connection::receive) handles it.

use std::time::Instant;

use crate::error::SendError;
use crate::frame::PlainFrame;
use crate::message::MessageKind;

use super::output::Cause;
use super::receive::{self, WholeMessage};
use super::{Connection, Outgoing};

/// A run of whole messages from one read, and of the answers to them. [`Connection::exchange`] begins it.
#[derive(Debug)]
pub struct Exchange<'c> {
    connection: &'c mut Connection,
    // The exchange ends when this many bytes of output wait: input must not cause more than the mark.
    until: usize,
    // Whether a message can be sent as a header and a copy of its payload, without other checks.
    sends_plainly: bool,
}

impl Connection {
    /// Begins an exchange of whole messages of `input`, which goes on while less than `until` bytes of output wait.
    /// `None`: call [`receive`](Self::receive) instead.
    ///
    /// `now` may be the time of the last read. Nothing here needs more precision, so callers do not read the
    /// clock for each message.
    #[inline(always)]
    pub fn exchange(&mut self, input: &[u8], until: usize, now: Instant) -> Option<Exchange<'_>> {
        if !self.is_between_messages() || self.is_gated() {
            return None;
        }
        self.deadlines.shown(input.len(), now);
        let sends_plainly = self.can_send()
            && self.sending.is_none()
            && self.compression.is_none()
            && self.masking_keys.is_none();
        Some(Exchange {
            until: until.min(self.config.output_mark.saturating_add(1)),
            sends_plainly,
            connection: self,
        })
    }

    /// The fast path of [`receive`](Self::receive), for one message of one frame that lies complete in the input.
    /// `None`: call `receive` instead. [`exchange`](Self::exchange) says what `now` is.
    #[inline(always)]
    pub fn receive_whole<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        now: Instant,
    ) -> Option<WholeMessage<'a>> {
        self.exchange(input, usize::MAX, now)?.receive(input)
    }
}

impl Exchange<'_> {
    /// Takes the next whole message from the front of `input`. `None` ends the exchange: call
    /// [`Connection::receive`] instead.
    #[inline(always)]
    pub fn receive<'a>(&mut self, input: &mut &'a mut [u8]) -> Option<WholeMessage<'a>> {
        let connection = &mut *self.connection;
        if connection.output.len() >= self.until {
            return None;
        }
        let frame = PlainFrame::take(input, connection.role, connection.plain_limit)?;
        connection.frames_received += 1;
        connection.deadlines.assembled();
        match receive::whole_message(frame.is_text, frame.masking_key, frame.payload) {
            Ok(message) => Some(message),
            Err(invalid) => {
                connection.receiver.broken = Some(invalid);
                self.until = 0;
                None
            }
        }
    }

    /// The number of frames that the connection has received.
    #[inline]
    pub fn frames_received(&self) -> u64 {
        self.connection.frames_received
    }

    /// Sends a whole text message as an answer, copied.
    ///
    /// # Errors
    ///
    /// The errors of [`Connection::send_message`].
    #[inline(always)]
    pub fn send_text(&mut self, text: &str) -> Result<(), SendError> {
        self.send(MessageKind::Text, text.as_bytes())
    }

    /// Sends a whole binary message as an answer, copied.
    ///
    /// # Errors
    ///
    /// The errors of [`Connection::send_message`].
    #[inline(always)]
    pub fn send_binary(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.send(MessageKind::Binary, bytes)
    }

    /// Sends a whole message as an answer. A large payload is shared, not copied, where no mask is needed.
    ///
    /// # Errors
    ///
    /// The errors of [`Connection::send_message`].
    pub fn send_message(&mut self, message: impl Into<Outgoing>) -> Result<(), SendError> {
        self.connection.send_message(message, Cause::Input)
    }

    #[inline(always)]
    fn send(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), SendError> {
        if !self.sends_plainly {
            return self.send_with_care(kind, payload);
        }
        let output = &mut self.connection.output;
        output.push_unmasked(kind.opcode(), payload, Cause::Input);
        Ok(())
    }

    #[inline(never)]
    fn send_with_care(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), SendError> {
        self.connection.send_payload(kind, payload, Cause::Input)
    }
}
