//! Deadlines: when to ping a silent peer, when to give it up, when to stop waiting for the rest of a
//! message or for a Close. Times are arguments; this module reads no clock.

use std::time::{Duration, Instant};

use bytes::Buf;

use crate::error::ProtocolError;
use crate::frame::OpCode;

use super::{Cause, Connection, State};

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

#[derive(Debug)]
pub(super) struct Deadlines {
    // When the peer was last heard or, once a ping asks it to speak, when that was sent.
    silent_since: Instant,
    pinged: bool,
    // The number of bytes that the last read left in the input. Shown again, they are not new.
    left: u16,
    // How many keep-alive pings were sent: the payload of the last one.
    pings: u32,
    reading: bool,
    // Whether a deadline was added, or came nearer, since the caller last asked.
    nearer: bool,
    // Boxed: an idle connection awaits nothing.
    awaited: Option<Box<Awaited>>,
}

/// Deadlines of short waits. Most waits end before their deadline is looked at.
#[derive(Debug, Default)]
struct Awaited {
    // When the message that was begun last made progress.
    assembly: Option<Instant>,
    // How long ago that was when reading paused.
    stood_still: Duration,
    // When the message began that has to be complete in time; and how long ago that was when reading paused.
    begun: Option<Instant>,
    age: Duration,
    close: Option<Instant>,
    // When the transport last took some of the output that waits, or none was waiting.
    write_blocked: Option<Instant>,
}

impl Deadlines {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            silent_since: now,
            pinged: false,
            left: 0,
            pings: 0,
            reading: true,
            nearer: true,
            awaited: None,
        }
    }

    /// Notes input of so many bytes. A new byte shows that the peer lives.
    #[inline]
    pub(super) fn shown(&mut self, input: usize, now: Instant) {
        if input > usize::from(self.left) {
            self.left = 0;
            self.heard(now);
        }
    }

    /// Notes that so many bytes of the input are left, and that more input is needed.
    #[inline]
    pub(super) fn left(&mut self, input: usize) {
        self.left = u16::try_from(input).unwrap_or_default();
    }

    #[inline]
    fn heard(&mut self, now: Instant) {
        self.silent_since = now;
        // The next ping may be due before the answer to this one is.
        self.nearer |= self.pinged;
        self.pinged = false;
    }

    /// Notes whether a message is unfinished, and whether more of its payload has come.
    #[inline]
    pub(super) fn assembling(&mut self, begun: bool, progress: bool, now: Instant) {
        if !begun {
            self.assembled();
        } else if progress || self.assembly().is_none() {
            self.await_also(|awaited| {
                if awaited.assembly.is_none() {
                    awaited.begun = Some(now);
                }
                awaited.assembly = Some(now);
                awaited.stood_still = Duration::ZERO;
            });
        }
    }

    /// Notes that no message is unfinished.
    #[inline]
    pub(super) fn assembled(&mut self) {
        if self.awaited.is_some() {
            self.update(|awaited| {
                awaited.assembly = None;
                awaited.begun = None;
            });
        }
    }

    /// Notes how much of the output the transport took. `waiting` says whether some is left.
    #[inline]
    fn writing(&mut self, waiting: bool, progress: bool, now: Instant) {
        if !waiting {
            if self.awaited.is_some() {
                self.update(|awaited| awaited.write_blocked = None);
            }
        } else if progress || self.write_blocked().is_none() {
            self.await_also(|awaited| awaited.write_blocked = Some(now));
        }
    }

    /// `None` if the clock does not reach so far.
    pub(super) fn close_by(&mut self, deadline: Option<Instant>) {
        self.await_also(|awaited| awaited.close = deadline);
    }

    pub(super) fn transport_ended(&mut self) {
        self.awaited = None;
    }

    fn assembly(&self) -> Option<Instant> {
        self.awaited.as_ref()?.assembly
    }

    fn close(&self) -> Option<Instant> {
        self.awaited.as_ref()?.close
    }

    fn write_blocked(&self) -> Option<Instant> {
        self.awaited.as_ref()?.write_blocked
    }

    #[cold]
    #[inline(never)]
    fn await_also(&mut self, change: impl FnOnce(&mut Awaited)) {
        change(self.awaited.get_or_insert_default());
        self.nearer = true;
    }

    /// Changes the deadlines of short waits, if there are any.
    #[cold]
    #[inline(never)]
    fn update(&mut self, change: impl FnOnce(&mut Awaited)) {
        if let Some(awaited) = &mut self.awaited {
            change(awaited);
            if awaited.is_empty() {
                self.awaited = None;
            }
        }
    }

    pub(super) fn is_keep_alive(&self, pong: &[u8]) -> bool {
        // A late answer may belong to any of the pings.
        pong.split_first_chunk().is_some_and(|(prefix, count)| {
            *prefix == KEEP_ALIVE
                && <[u8; 4]>::try_from(count)
                    .is_ok_and(|count| (1..=self.pings).contains(&u32::from_be_bytes(count)))
        })
    }
}

impl Awaited {
    fn is_empty(&self) -> bool {
        self.assembly.is_none() && self.close.is_none() && self.write_blocked.is_none()
    }
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
        std::mem::take(&mut self.deadlines.nearer)
    }

    /// Whether [`handle_timeout`](Self::handle_timeout) would end or fail the connection at `now`, because the peer
    /// was silent or slow. The caller should read the transport once more first.
    pub fn expires_by(&self, now: Instant) -> bool {
        let passed = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        passed(self.write_due())
            || passed(self.deadlines.close()) && !self.owes_close()
            || passed(self.assembly_due())
            || self.deadlines.pinged && passed(self.keep_alive_due())
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
            let error = if passed(self.completion_due()) {
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
        if self.deadlines.pinged {
            self.handle_end();
            return Some(Expired::PeerDead);
        }
        self.deadlines.pings = self.deadlines.pings.wrapping_add(1).max(1);
        self.deadlines.pinged = true;
        self.deadlines.silent_since = now;
        let payload = keep_alive_payload(self.deadlines.pings);
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
        let since = self.deadlines.write_blocked()?;
        since.checked_add(self.config.write_timeout)
    }

    fn keep_alive_due(&self) -> Option<Instant> {
        let keep_alive = self.config.keep_alive?;
        let deadlines = &self.deadlines;
        if !self.expects_input() {
            return None;
        }
        let patience = if deadlines.pinged {
            keep_alive.timeout
        } else {
            keep_alive.interval
        };
        deadlines.silent_since.checked_add(patience)
    }

    /// The time at which the open message is late. Without this limit a peer could make this end hold half a message
    /// for ever (§10.4).
    fn assembly_due(&self) -> Option<Instant> {
        let since = self.deadlines.assembly().filter(|_| self.expects_input())?;
        let progress = since.checked_add(self.config.assembly_timeout);
        [progress, self.completion_due()]
            .into_iter()
            .flatten()
            .min()
    }

    fn completion_due(&self) -> Option<Instant> {
        let begun = self.deadlines.awaited.as_ref()?.begun?;
        begun.checked_add(self.config.assembly_deadline)
    }

    /// Lets the open message take longer than [`Config::assembly_deadline`](crate::Config::assembly_deadline): the
    /// caller hands on its parts and does not hold it in memory.
    pub fn waive_assembly_deadline(&mut self) {
        self.deadlines.update(|awaited| awaited.begun = None);
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
        self.deadlines.reading
            && self.deadlines.close().is_none()
            && matches!(self.state, State::Open)
    }

    /// Whether the caller reads: it did not [pause](Self::pause_reading).
    #[inline]
    pub fn is_reading(&self) -> bool {
        self.deadlines.reading
    }

    /// Notes that the caller stops reading the transport at `now`. Until [`resume_reading`](Self::resume_reading) the
    /// peer is not blamed for silence.
    pub fn pause_reading(&mut self, now: Instant) {
        if self.deadlines.reading {
            self.deadlines.reading = false;
            self.deadlines.update(|awaited| {
                let since = awaited.assembly.unwrap_or(now);
                awaited.stood_still = now.saturating_duration_since(since);
                let begun = awaited.begun.unwrap_or(now);
                awaited.age = now.saturating_duration_since(begun);
            });
        }
    }

    /// Notes that the caller reads again from `now` on. The time for which a message has stood still goes on from
    /// where it was: pauses do not give a peer more time.
    pub fn resume_reading(&mut self, now: Instant) {
        if !self.deadlines.reading {
            self.deadlines.reading = true;
            self.deadlines.nearer = true;
            self.deadlines.heard(now);
            self.deadlines.update(|awaited| {
                let since = now.checked_sub(awaited.stood_still).unwrap_or(now);
                awaited.assembly = awaited.assembly.map(|_| since);
                let begun = now.checked_sub(awaited.age).unwrap_or(now);
                awaited.begun = awaited.begun.map(|_| begun);
            });
        }
    }
}

fn keep_alive_payload(count: u32) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (KEEP_ALIVE, count.to_be_bytes());
    [a, b, c, d, e, f, g, h]
}

/// Distinct from what applications send, so that its Pong is not taken for theirs.
const KEEP_ALIVE: [u8; 4] = *b"sky\0";
