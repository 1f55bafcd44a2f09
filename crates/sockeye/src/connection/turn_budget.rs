//! The budget of one turn: how much a connection may do before other tasks run. It bounds the work, and roughly the time.
//!
//! Work is counted in KiB: the bytes read, the work of inflating, and 1 KiB for each frame. A turn ends at a number of
//! frames, and bytes bring that number nearer. So a small message costs one comparison.
//!
//! ```text
//!            read            64 KiB of work, in time            64 KiB more, or 1 ms
//!   Fresh ──────────▶ First ─────────────────────────▶ Second ──────────────────────▶ Over
//!                      ▲ └──────────────────── 1 ms ────────────────────────────────────▲ │
//!                      └───── a look at the clock ────── Behind ◀── other tasks ran ──────┘
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// The rest of a connection's turn.
#[derive(Debug)]
pub(crate) struct TurnBudget {
    // The number of frames at which half or all of the work is done. Bytes may bring it below zero.
    ends_at: i64,
    // When the turn began.
    since: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The turn has not read yet.
    Fresh,
    /// The turn before left input, and other tasks ran since. The clock was not read yet.
    Behind,
    First,
    Second,
    Over,
}

impl TurnBudget {
    /// After so much work, in KiB, the turn looks at the clock. A whole turn is twice as much.
    const HALF: i64 = 64;
    /// The most that one read counts. It is less than a turn. So after a full read the task still handles the input in
    /// the scratch buffer, and reads on when the input begins a large message.
    const READ: usize = 126 * 1024;
    /// The most time of a turn. The turn looks at the clock at each read, and after half of the work.
    const TIME: Duration = Duration::from_millis(1);

    /// A turn that begins when `frames` frames have been received.
    pub(crate) fn new(frames: u64, now: Instant) -> Self {
        Self {
            ends_at: signed(frames) + Self::HALF,
            since: now,
            stage: Stage::Fresh,
        }
    }

    /// Begins another turn, which starts with a read.
    #[inline]
    pub(crate) fn begin(&mut self, frames: u64) {
        if self.stage != Stage::Behind {
            self.ends_at = signed(frames) + Self::HALF;
            self.stage = Stage::Fresh;
        }
    }

    /// Begins another turn, after other tasks have run. Input of the turn before is left.
    pub(crate) fn begin_behind_others(&mut self, frames: u64) {
        self.ends_at = signed(frames);
        self.stage = Stage::Behind;
    }

    /// Counts a read.
    #[inline]
    pub(crate) fn read(&mut self, bytes: usize, now: Instant) {
        self.charge(bytes.min(Self::READ) as u64);
        if matches!(self.stage, Stage::Fresh | Stage::Behind) {
            self.since = now;
            self.stage = Stage::First;
        } else if self.is_late(now) {
            self.finish();
        }
    }

    /// Counts the work of so many bytes.
    #[inline]
    pub(crate) fn charge(&mut self, bytes: u64) {
        self.ends_at -= signed(bytes.div_ceil(1024));
    }

    /// The number of frames at which [`is_reached`](Self::is_reached) becomes true, if no bytes are counted.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.ends_at.max(0).cast_unsigned()
    }

    /// Whether the turn may be over, after `frames` frames. [`ends`](Self::ends) decides.
    #[inline]
    pub(crate) fn is_reached(&self, frames: u64) -> bool {
        signed(frames) >= self.ends_at
    }

    /// Whether the turn is over. Looks at the clock after half of the work.
    #[cold]
    pub(crate) fn ends(&mut self, frames: u64, clock: impl FnOnce() -> Instant) -> bool {
        if !self.is_reached(frames) {
            return false;
        }
        if self.stage == Stage::Behind {
            self.since = clock();
            self.ends_at = signed(frames) + Self::HALF;
            self.stage = Stage::First;
            return false;
        }
        if matches!(self.stage, Stage::Fresh | Stage::First) {
            let is_late = self.stage == Stage::First && self.is_late(clock());
            self.ends_at += Self::HALF;
            self.stage = Stage::Second;
            if !is_late && !self.is_reached(frames) {
                return false;
            }
        }
        self.finish();
        true
    }

    fn is_late(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= Self::TIME
    }

    #[cold]
    fn finish(&mut self) {
        self.stage = Stage::Over;
        self.ends_at = i64::MIN;
    }
}

// No connection lives to see 2^63 frames.
#[inline]
fn signed(count: u64) -> i64 {
    count.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::super::pool::SCRATCH_LEN;
    use super::*;

    const MICROSECOND: Duration = Duration::from_micros(1);

    /// How many frames a turn takes, of which `bytes` are read with each.
    fn frames(bytes: usize, time: Duration) -> u64 {
        let mut now = Instant::now();
        let mut turn = TurnBudget::new(10, now);
        let mut frames = 10;
        while !turn.ends(frames, || now) {
            if bytes > 0 {
                turn.read(bytes, now);
            }
            frames += 1;
            now += time;
        }
        frames - 10
    }

    #[tokio::test]
    async fn a_turn_is_128_kib_of_what_is_read_and_of_frames() {
        assert_eq!(frames(0, MICROSECOND), 128);
        assert_eq!(frames(1, MICROSECOND), 64);
        assert_eq!(frames(1024, MICROSECOND), 64);
        assert_eq!(frames(1025, MICROSECOND), 43);
        assert_eq!(frames(128 * 1024, MICROSECOND), 2);
        assert_eq!(frames(64 << 20, MICROSECOND), 2);
    }

    #[tokio::test]
    async fn the_longest_read_and_the_frame_that_it_begins_with_are_less_than_a_turn() {
        let now = Instant::now();
        let mut turn = TurnBudget::new(0, now);
        turn.read(SCRATCH_LEN, now);
        assert!(!turn.ends(1, || now));
        assert!(turn.ends(2, || now));
    }

    #[tokio::test]
    async fn a_turn_is_a_millisecond_looked_at_for_each_read_and_after_half_of_the_work() {
        let slow = Duration::from_micros(300);
        assert_eq!(frames(1, slow), 5, "the read after 1.2 ms ends it");
        let mut now = Instant::now();
        let mut turn = TurnBudget::new(0, now);
        turn.read(1, now);
        now += Duration::from_millis(5);
        assert!(!turn.ends(62, || now));
        assert!(turn.ends(63, || now));
    }

    #[tokio::test]
    async fn work_beyond_reading_ends_a_turn_too_and_the_next_one_is_whole() {
        let now = Instant::now();
        let mut turn = TurnBudget::new(0, now);
        turn.read(1000, now);
        turn.charge(126 * 1024);
        assert!(!turn.ends(0, || now));
        turn.charge(1);
        assert!(turn.ends(0, || now));
        assert!(turn.ends(0, || now), "until another one begins");
        turn.begin(7);
        assert!(!turn.ends(7 + 127, || now));
        assert!(turn.ends(7 + 128, || now));
    }

    #[tokio::test]
    async fn a_turn_behind_others_has_its_time_from_when_it_is_its_turn() {
        let mut now = Instant::now();
        let mut turn = TurnBudget::new(0, now);
        turn.begin_behind_others(5);
        turn.begin(5);
        now += Duration::from_secs(1);
        assert!(turn.is_reached(5));
        assert!(!turn.ends(5, || now));
        assert!(!turn.is_reached(5 + 63));
        now += TurnBudget::TIME;
        assert!(turn.ends(5 + 64, || now));
    }
}
