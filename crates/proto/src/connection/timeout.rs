//! The handling of deadlines: a passed deadline sends a Ping or a Close, or ends or fails the connection.

use std::time::Instant;

use bytes::Buf;

use crate::error::ProtocolError;
use crate::frame::OpCode;

use super::output::Cause;
use super::{Connection, State};

/// The deadline that passed. The connection has ended: drop the transport. After [`Failed`](Self::Failed), write
/// the Close first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expired {
    /// The peer did not answer our Close, or did not end the transport after both.
    CloseTimeout,
    /// The peer began a message and did not go on with it for
    /// [`Config::assembly_timeout`](crate::Config::assembly_timeout), or did not complete it within
    /// [`Config::assembly_deadline`](crate::Config::assembly_deadline). The connection has failed, as after an error of
    /// [`Connection::receive`].
    Failed(ProtocolError),
    /// The peer was silent for the keep-alive's interval and timeout.
    PeerDead,
    /// The peer took none of the output for [`Config::write_timeout`](crate::Config::write_timeout).
    WriteStalled,
}

impl Connection {
    /// The time at which [`handle_timeout`](Self::handle_timeout) is due, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let input = match self.deadlines.close() {
            Some(close) => [Some(close), None],
            None => [self.keep_alive_due(), self.assembly_due()],
        };
        input.into_iter().flatten().chain(self.write_due()).min()
    }

    /// Whether [`poll_timeout`](Self::poll_timeout) may return an earlier time than at the last call of this method. If
    /// not, the timer that the caller has set is early enough: setting a timer for each read is expensive.
    #[inline]
    pub fn timeout_came_nearer(&mut self) -> bool {
        self.deadlines.take_nearer()
    }

    /// Whether [`handle_timeout`](Self::handle_timeout) would end or fail the connection at `now`, because the peer
    /// was silent or slow. The caller should read the transport once more first.
    pub fn expires_by(&self, now: Instant) -> bool {
        let passed = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        passed(self.write_due())
            || passed(self.deadlines.close()) && !self.owes_close()
            || passed(self.assembly_due())
            || self.deadlines.is_pinged() && passed(self.keep_alive_due())
    }

    /// Handles the deadlines that have passed at `now`. It sends the keep-alive's Ping, or the Close that has been
    /// owed for [`Config::close_timeout`](crate::Config::close_timeout). Or it ends or fails the connection, and
    /// returns the reason. The caller should read all that the transport holds before.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Expired> {
        let passed = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if passed(self.write_due()) {
            self.handle_end();
            return Some(Expired::WriteStalled);
        }
        if passed(self.deadlines.close()) && self.owes_close() {
            self.conclude(now);
            return None;
        }
        if passed(self.deadlines.close()) {
            self.handle_end();
            return Some(Expired::CloseTimeout);
        }
        if passed(self.assembly_due()) {
            let error = if passed(self.deadlines.completion_due(&self.config)) {
                let limit = self.config.assembly_deadline;
                ProtocolError::MessageTooSlow { limit }
            } else {
                let limit = self.config.assembly_timeout;
                ProtocolError::MessageStalled { limit }
            };
            self.fail_connection(error, now);
            return Some(Expired::Failed(error));
        }
        if !passed(self.keep_alive_due()) {
            return None;
        }
        if self.deadlines.is_pinged() {
            self.handle_end();
            return Some(Expired::PeerDead);
        }
        let payload = self.deadlines.ping(now);
        let header = self.header(OpCode::Ping, payload.len());
        self.output.push_frame(&header, &payload, Cause::Push);
        None
    }

    /// Advances the output by the bytes that the transport took at `now`. Zero means that the transport took
    /// nothing: then [`Config::write_timeout`](crate::Config::write_timeout) starts.
    pub fn handle_written(&mut self, written: usize, now: Instant) {
        self.output.advance(written);
        let waiting = !self.output.is_empty();
        self.deadlines.writing(waiting, written > 0, now);
    }

    fn write_due(&self) -> Option<Instant> {
        self.deadlines.write_due(&self.config)
    }

    fn keep_alive_due(&self) -> Option<Instant> {
        let keep_alive = self.config.keep_alive.filter(|_| self.expects_input())?;
        self.deadlines.keep_alive_due(keep_alive)
    }

    fn assembly_due(&self) -> Option<Instant> {
        self.deadlines
            .assembly_due(&self.config)
            .filter(|_| self.expects_input())
    }

    /// Lets the open message take longer than [`Config::assembly_deadline`](crate::Config::assembly_deadline): the
    /// caller hands on its parts and does not hold it in memory.
    pub fn waive_assembly_deadline(&mut self) {
        self.deadlines.waive_completion();
    }

    /// Fails the connection because of its open message, in favour of other connections: the caller's memory for
    /// unfinished messages is used up. Returns what [`receive`](Self::receive) would have returned as an error.
    pub fn give_up_message(&mut self, now: Instant) -> ProtocolError {
        let error = ProtocolError::MessageGivenUp;
        if self.can_receive() {
            self.fail_connection(error, now);
        }
        error
    }

    /// Whether the peer's silence counts: the connection is open, the caller reads, and no close deadline runs.
    fn expects_input(&self) -> bool {
        self.deadlines.is_reading()
            && self.deadlines.close().is_none()
            && matches!(self.state, State::Open)
    }

    /// Whether the caller reads: it did not [pause](Self::pause_reading).
    #[inline]
    pub fn is_reading(&self) -> bool {
        self.deadlines.is_reading()
    }

    /// Notes that the caller stops reading the transport at `now`. Until [`resume_reading`](Self::resume_reading) the
    /// peer is not blamed for silence.
    pub fn pause_reading(&mut self, now: Instant) {
        self.deadlines.pause(now);
    }

    /// Notes that the caller reads again from `now` on. The time for which a message has stood still goes on from
    /// where it was: pauses do not give a peer more time.
    pub fn resume_reading(&mut self, now: Instant) {
        self.deadlines.resume(now);
    }
}
