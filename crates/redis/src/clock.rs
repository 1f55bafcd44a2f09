//! The server's clock, as a node knows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The server's clock. It is known to half a round trip after each lease.
#[derive(Debug)]
pub(crate) struct EngineClock {
    origin: Instant,
    /// The server's time at `origin`, in milliseconds since 1970. 0 is unknown.
    at_origin: AtomicU64,
}

impl EngineClock {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            at_origin: AtomicU64::new(0),
        }
    }

    /// Notes the server's time, in milliseconds since 1970. It was read between these two moments.
    pub(crate) fn set(&self, time: u64, sent: Instant, answered: Instant) {
        let middle = sent + answered.duration_since(sent) / 2;
        let passed = millis(middle.duration_since(self.origin));
        self.at_origin
            .store(time.saturating_sub(passed), Ordering::Relaxed);
    }

    /// Returns the server's time at a moment, in milliseconds since 1970. `None` before the first lease.
    pub(crate) fn at(&self, moment: Instant) -> Option<u64> {
        match self.at_origin.load(Ordering::Relaxed) {
            0 => None,
            at_origin => Some(at_origin + millis(moment.duration_since(self.origin))),
        }
    }
}

/// Returns whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_servers_time_is_that_of_half_the_round_trip_and_goes_on() {
        let clock = EngineClock::new();
        let sent = Instant::now();
        assert_eq!(clock.at(sent), None);
        let answered = sent + Duration::from_millis(300);
        clock.set(1_000_000, sent, answered);
        assert_eq!(clock.at(answered), Some(1_000_150));
        assert_eq!(clock.at(sent + Duration::from_secs(2)), Some(1_001_850));
    }
}
