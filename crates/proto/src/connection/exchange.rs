//! The short way in and out: whole messages that lie one behind the other in the input, each answered
//! before the next one is looked at. What nothing in between can change is looked at once, when the
//! exchange begins; what is odd ends it, and is left to [`receive`](Connection::receive).

use std::time::Instant;

use crate::error::SendError;
use crate::frame::PlainFrame;
use crate::message::MessageKind;

use super::output::Cause;
use super::receive::{self, WholeMessage};
use super::{Connection, Outgoing};

/// Whole messages that come one behind the other, and what is sent in between as an answer:
/// [`Connection::exchange`] begins it.
#[derive(Debug)]
pub struct Exchange<'c> {
    connection: &'c mut Connection,
    // With so much output it ends: before more is caused than may wait.
    until: usize,
    // Whether a message is sent as a header and a copy of its payload, and nothing forbids it.
    sends_plainly: bool,
}

impl Connection {
    /// Begins to take whole messages from `input`, as [`receive_whole`](Self::receive_whole) does one, as long
    /// as less than `until` bytes of output wait. `None` says that [`receive`](Self::receive) has to judge.
    ///
    /// What `now` is used for bears to be told of the time at which the input was read: so a clock need not
    /// be asked for each message.
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

    /// The fast path of [`receive`](Self::receive): a whole message in one frame that lies complete in the
    /// input, with nothing odd about it. `None` says that `receive` has to judge. Of `now` see
    /// [`exchange`](Self::exchange).
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
    /// The next whole message from the front of `input`, as [`Connection::receive_whole`] gives it. After
    /// `None` the exchange is over.
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

    /// As [`Connection::frames_received`].
    #[inline]
    pub fn frames_received(&self) -> u64 {
        self.connection.frames_received
    }

    /// As [`Connection::send_text`], of an answer.
    ///
    /// # Errors
    ///
    /// As [`Connection::send_message`].
    #[inline(always)]
    pub fn send_text(&mut self, text: &str) -> Result<(), SendError> {
        self.send(MessageKind::Text, text.as_bytes())
    }

    /// As [`Connection::send_binary`], of an answer.
    ///
    /// # Errors
    ///
    /// As [`Connection::send_message`].
    #[inline(always)]
    pub fn send_binary(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.send(MessageKind::Binary, bytes)
    }

    /// As [`Connection::send_message`], of an answer.
    ///
    /// # Errors
    ///
    /// As [`Connection::send_message`].
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
