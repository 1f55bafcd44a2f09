//! Rates, and the token bucket that enforces them.

use std::num::NonZeroU32;
use std::time::Duration;

use sockeye::Session;
use tokio::time::{Instant, sleep_until};

/// A rate, and the burst that is allowed after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) per_second: NonZeroU32,
    pub(crate) burst: NonZeroU32,
}

/// A token bucket. Time is an argument.
///
/// It stores the time at which it is full again: each token that is taken moves that time by one period.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    period: Duration,
    // The time that an empty bucket needs to be full.
    span: Duration,
    full_at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        let period = Duration::from_secs(1) / rate.per_second.get();
        Self {
            period,
            span: period * rate.burst.get(),
            full_at: now,
        }
    }

    /// Takes a token. Returns the time at which it is available, if that is later than `now`.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Instant> {
        self.charge(1, now);
        let due = self.full_at.checked_sub(self.span)?;
        (due > now).then_some(due)
    }

    /// Takes this many tokens if they are available now. Returns whether it did.
    pub(crate) fn try_take(&mut self, many: u32, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.period * many;
        let is_there = full_at - now <= self.span;
        if is_there {
            self.full_at = full_at;
        }
        is_there
    }

    /// Takes this many tokens, also if they are not available. Then the bucket is in debt.
    pub(crate) fn charge(&mut self, many: u32, now: Instant) {
        self.full_at = self.full_at.max(now) + self.period * many;
    }
}

/// The rate limit of one connection, which delays messages.
///
/// A handler awaits [`turn`](Self::turn) before it handles a message. While it waits, the session passes it no other
/// message and soon stops reading, so TCP slows down the peer. No message is lost. Closing such a peer would punish a
/// paste, or a client that sends its queue after a reconnect.
///
/// A peer may fill the buffers of its connection, and disappear. The session reads the end of the stream only after the
/// buffered messages, many minutes later. So the server sends such a peer a Ping now and then: the peer's system
/// answers with a reset.
#[derive(Debug)]
pub(crate) struct Pace {
    bucket: Bucket,
    probed: Instant,
}

impl Pace {
    pub(crate) fn new(rate: Rate) -> Self {
        let now = Instant::now();
        Self {
            bucket: Bucket::new(rate, now),
            probed: now,
        }
    }

    /// Completes when the next message may be handled.
    pub(crate) async fn turn(&mut self, session: &Session) {
        self.turn_with(|| {
            // Fails if the session is closing. Then no Ping is needed.
            let _ = session.async_remote().send_ping(b"");
        })
        .await;
    }

    /// Waits like [`turn`](Self::turn), and probes the peer with `probe`.
    async fn turn_with(&mut self, probe: impl FnOnce()) {
        let now = Instant::now();
        let Some(due) = self.bucket.take(now) else {
            return;
        };
        if now - self.probed >= PROBE_PERIOD {
            self.probed = now;
            probe();
        }
        sleep_until(due).await;
    }
}

/// The time between two probes of a peer that has to wait.
const PROBE_PERIOD: Duration = Duration::from_secs(10);

/// Returns a rate that is written in the source. Panics if a number is 0.
pub(crate) const fn rate(per_second: u32, burst: u32) -> Rate {
    match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
        (Some(per_second), Some(burst)) => Rate { per_second, burst },
        _ => panic!("a rate is at least one"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_then_each_token_takes_its_period() {
        let start = Instant::now();
        let mut bucket = Bucket::new(rate(20, 50), start);
        assert!((0..50).all(|_| bucket.take(start).is_none()));
        let due = start + Duration::from_millis(50);
        assert_eq!(bucket.take(start), Some(due));
        assert_eq!(bucket.take(due), Some(due + Duration::from_millis(50)));
    }

    #[test]
    fn a_pause_fills_the_bucket_up_to_its_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(rate(20, 50), start);
        assert!((0..50).all(|_| bucket.take(start).is_none()));
        let later = start + Duration::from_secs(3600);
        assert!((0..50).all(|_| bucket.take(later).is_none()));
        assert!(bucket.take(later).is_some());
    }

    #[test]
    fn several_tokens_are_taken_all_or_not_at_all() {
        let start = Instant::now();
        let mut bucket = Bucket::new(rate(10, 100), start);
        assert!(!bucket.try_take(101, start));
        assert!(bucket.try_take(100, start));
        assert!(!bucket.try_take(1, start));
        assert!(bucket.try_take(1, start + Duration::from_millis(100)));
        bucket.charge(100, start);
        assert!(!bucket.try_take(1, start + Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_too_fast_waits() {
        let start = Instant::now();
        let mut pace = Pace::new(rate(20, 50));
        for _ in 0..50 {
            pace.turn_with(|| ()).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..20 {
            pace.turn_with(|| ()).await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_waits_is_probed_each_ten_seconds_and_one_that_does_not_is_never() {
        let mut pace = Pace::new(rate(20, 50));
        let mut probes = 0;
        for _ in 0..50 {
            tokio::time::sleep(PROBE_PERIOD).await;
            pace.turn_with(|| probes += 1).await;
        }
        assert_eq!(probes, 0);
        // It has 49 tokens left and 1,000 messages: they take 47.55 s.
        for _ in 0..1000 {
            pace.turn_with(|| probes += 1).await;
        }
        assert_eq!(probes, 5);
    }
}
