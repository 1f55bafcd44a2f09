//! The last part of a talk over one connection: the stages after the end of the input, the closing handshake, and the
//! result of the connection.

use std::time::Duration;

use sockeye::reconnect::Interruption;
use sockeye::{CloseCode, Connection};
use tokio::time::Instant;

use super::{Talk, TalkEnd};
use crate::connect::failure::Failure;
use crate::connect::goal::GoalState;
use crate::connect::options::Wait;
use crate::connect::stage::TalkStage;

impl Talk<'_> {
    pub(super) fn is_closing(&self) -> bool {
        self.stage == TalkStage::Closing
    }

    pub(super) fn close_timeout(&self) -> Duration {
        Duration::from_secs(self.options.reach.close_timeout.into())
    }

    /// At the end of the input, starts the next stage or the time of `--wait`.
    pub(super) fn end_input(&mut self) {
        if self.input.is_some() || self.waiting.is_some() || self.stage != TalkStage::Open {
            return;
        }
        match self.options.wait {
            Some(Wait::For(time)) => {
                self.deadline.get_or_insert_with(|| Instant::now() + time);
            }
            Some(Wait::Forever) => {}
            None if self.goal.state() == GoalState::Open => {}
            None => {
                self.stage = TalkStage::Flushing;
                self.deadline = Some(Instant::now() + self.close_timeout());
            }
        }
    }

    /// Starts the time in which a server that has seen all messages may answer them.
    pub(super) fn start_grace(&mut self, connection: &mut Connection) {
        // A person has already waited for an answer since the last message was typed.
        let from = match self.is_typed {
            true => self.sent_at,
            false => self.sent_at.map(|_| Instant::now()),
        };
        match from.filter(|_| !self.options.grace.is_zero()) {
            Some(from) => {
                self.stage = TalkStage::Grace;
                self.deadline = Some(from + self.options.grace);
            }
            None => self.close(connection),
        }
    }

    pub(super) fn ended(&mut self, connection: &Connection) -> TalkEnd {
        if let Some(failure) = self.failed.take() {
            return TalkEnd::Over(Err(failure));
        }
        match connection.close_received() {
            Some(reason) if !self.is_closing() => {
                if [CloseCode::PROTOCOL_ERROR, CloseCode::UNSUPPORTED_DATA].contains(&reason.code())
                {
                    self.hint_at_ping();
                }
                TalkEnd::Interrupted(Interruption::Closed(reason.clone()))
            }
            _ => TalkEnd::Over(Ok(())),
        }
    }

    /// Names the option for servers that end the connection at a Ping.
    pub(super) fn hint_at_ping(&mut self) {
        if self.stage == TalkStage::Pinged {
            self.tell("the connection ended after a Ping; --no-ping sends no Ping");
        }
    }

    /// Returns the end of a talk whose close timeout is over.
    pub(super) fn gives_up(&mut self, connection: &Connection) -> TalkEnd {
        match connection.close_received() {
            // The peer's Close has come. Only the end of TCP is missing.
            Some(_) => self.ended(connection),
            None => TalkEnd::Over(Err(self.failed.take().unwrap_or(Failure::Unanswered))),
        }
    }

    /// Closes the connection in order after a stream or the record has failed.
    pub(super) fn fail(&mut self, connection: &mut Connection, failure: Failure) {
        if let Failure::Record(_) = failure {
            self.recorder = None;
        }
        self.failed.get_or_insert(failure);
        self.close(connection);
    }

    /// Starts the closing handshake after the sent messages. Messages that the peer sends before its Close are still
    /// received.
    pub(super) fn close(&mut self, connection: &mut Connection) {
        if self.is_closing() {
            return;
        }
        self.stage = TalkStage::Closing;
        let now = Instant::now();
        self.closing_from = Some(now);
        self.deadline = Some(now + self.close_timeout());
        self.waiting = None;
        self.given.clear();
        self.printer.end_prompt();
        let started = connection.start_closing_handshake(CloseCode::NORMAL, "");
        debug_assert!(started.is_ok(), "1000 may be sent");
    }
}
