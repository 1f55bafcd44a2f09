//! What a connection waits for, and since when: a sign of life from the peer, the rest of a message, a Close, room in
//! the transport. Times are arguments; this module reads no clock. It does not know what a passed deadline leads to.

use std::time::{Duration, Instant};

use super::config::{Config, KeepAlive};

/// The deadlines of a connection.
#[derive(Debug)]
pub(super) struct Deadlines {
    // When the last byte of the peer came or, while a ping has no answer yet, when that ping was sent.
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

    /// Notes that the caller showed `input` bytes of input. A new byte shows that the peer lives.
    #[inline]
    pub(super) fn shown(&mut self, input: usize, now: Instant) {
        if input > usize::from(self.left) {
            self.left = 0;
            self.heard(now);
        }
    }

    /// Notes that `input` bytes of the input are left, and that more input is needed.
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
    pub(super) fn writing(&mut self, waiting: bool, progress: bool, now: Instant) {
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

    /// Notes that the open message may take longer than [`Config::assembly_deadline`].
    pub(super) fn waive_completion(&mut self) {
        self.update(|awaited| awaited.begun = None);
    }

    /// Notes that the caller stops reading at `now`. Has no effect if it stopped before.
    pub(super) fn pause(&mut self, now: Instant) {
        if self.reading {
            self.reading = false;
            self.update(|awaited| {
                let since = awaited.assembly.unwrap_or(now);
                awaited.stood_still = now.saturating_duration_since(since);
                let begun = awaited.begun.unwrap_or(now);
                awaited.age = now.saturating_duration_since(begun);
            });
        }
    }

    /// Notes that the caller reads again from `now` on.
    pub(super) fn resume(&mut self, now: Instant) {
        if !self.reading {
            self.reading = true;
            self.nearer = true;
            self.heard(now);
            self.update(|awaited| {
                let since = now.checked_sub(awaited.stood_still).unwrap_or(now);
                awaited.assembly = awaited.assembly.map(|_| since);
                let begun = now.checked_sub(awaited.age).unwrap_or(now);
                awaited.begun = awaited.begun.map(|_| begun);
            });
        }
    }

    /// Whether the caller reads.
    #[inline]
    pub(super) fn is_reading(&self) -> bool {
        self.reading
    }

    /// Whether a deadline was added, or came nearer, since the last call.
    #[inline]
    pub(super) fn take_nearer(&mut self) -> bool {
        std::mem::take(&mut self.nearer)
    }

    /// The time at which a Close has to have come, or has to be sent. `None` while no Close is awaited or owed.
    pub(super) fn close(&self) -> Option<Instant> {
        self.awaited.as_ref()?.close
    }

    /// The time at which the transport has to have taken some output.
    pub(super) fn write_due(&self, config: &Config) -> Option<Instant> {
        self.write_blocked()?.checked_add(config.write_timeout)
    }

    /// The time at which the open message is late. Without this limit a peer could make this end hold half a message
    /// for ever (§10.4).
    pub(super) fn assembly_due(&self, config: &Config) -> Option<Instant> {
        let progress = self.assembly()?.checked_add(config.assembly_timeout);
        [progress, self.completion_due(config)]
            .into_iter()
            .flatten()
            .min()
    }

    /// The time at which the open message has to be complete.
    pub(super) fn completion_due(&self, config: &Config) -> Option<Instant> {
        let begun = self.awaited.as_ref()?.begun?;
        begun.checked_add(config.assembly_deadline)
    }

    /// The time at which a silent peer is sent a Ping or, after that Ping, is given up.
    pub(super) fn keep_alive_due(&self, keep_alive: KeepAlive) -> Option<Instant> {
        let patience = if self.pinged {
            keep_alive.timeout
        } else {
            keep_alive.interval
        };
        self.silent_since.checked_add(patience)
    }

    /// Whether the keep-alive's Ping has no answer yet.
    pub(super) fn is_pinged(&self) -> bool {
        self.pinged
    }

    /// Notes that the keep-alive's next Ping is sent at `now`. Returns its payload.
    pub(super) fn ping(&mut self, now: Instant) -> [u8; 8] {
        self.pings = self.pings.wrapping_add(1).max(1);
        self.pinged = true;
        self.silent_since = now;
        keep_alive_payload(self.pings)
    }

    /// Whether a Pong answers one of the keep-alive's Pings.
    pub(super) fn is_keep_alive(&self, pong: &[u8]) -> bool {
        // A late answer may belong to any of the pings.
        pong.split_first_chunk().is_some_and(|(prefix, count)| {
            *prefix == KEEP_ALIVE
                && <[u8; 4]>::try_from(count)
                    .is_ok_and(|count| (1..=self.pings).contains(&u32::from_be_bytes(count)))
        })
    }

    fn assembly(&self) -> Option<Instant> {
        self.awaited.as_ref()?.assembly
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
}

impl Awaited {
    fn is_empty(&self) -> bool {
        self.assembly.is_none() && self.close.is_none() && self.write_blocked.is_none()
    }
}

fn keep_alive_payload(count: u32) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (KEEP_ALIVE, count.to_be_bytes());
    [a, b, c, d, e, f, g, h]
}

/// Distinct from what applications send, so that its Pong is not taken for theirs.
const KEEP_ALIVE: [u8; 4] = *b"sky\0";
