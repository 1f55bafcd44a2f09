//! The decision whether and when a client connects again. The time and a random number are arguments.

use std::time::{Duration, Instant};

use sockeye_proto::CloseCode;

/// The rule whether and when a client connects again: exponential backoff with full jitter, from 0.5 s to 20 s, or the
/// time that the server asked for. A connection that lasts for 10 s ends the row of failures.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
    connected_at: Option<Instant>,
}

impl Backoff {
    /// Records that a connection is open.
    pub fn connected(&mut self, now: Instant) {
        self.connected_at = Some(now);
    }

    /// Returns the pause before the next attempt; `None` for no further attempt, after a code that is not
    /// [transient](CloseCode::is_transient). An attempt that failed counts as 1006. `asked` is the range that the server gave in `bye`. `random` is at least 0 and below 1.
    pub fn after(
        &mut self,
        code: CloseCode,
        asked: Option<(Duration, Duration)>,
        now: Instant,
        random: f64,
    ) -> Option<Duration> {
        let lasted = self.connected_at.take();
        if lasted.is_some_and(|at| now.saturating_duration_since(at) >= STABLE_AFTER) {
            self.failures = 0;
        }
        if !code.is_transient() {
            return None;
        }
        let (least, most) = asked.unwrap_or_else(|| {
            let most = FIRST_PAUSE * (1 << self.failures.min(MAX_DOUBLINGS));
            self.failures = self.failures.saturating_add(1);
            (Duration::ZERO, most.min(LONGEST_PAUSE))
        });
        Some(between(least, most, random))
    }
}

/// Returns a random time of a range. A server can ask for at most five minutes.
pub(super) fn between(least: Duration, most: Duration, random: f64) -> Duration {
    let (least, most) = (least.min(LONGEST_ASKED), most.min(LONGEST_ASKED));
    least + most.saturating_sub(least).mul_f64(random.clamp(0.0, 1.0))
}

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// So many doublings of the first pause exceed the longest one.
const MAX_DOUBLINGS: u32 = 6;
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// The longest time that a server can ask for.
pub(super) const LONGEST_ASKED: Duration = Duration::from_secs(300);
