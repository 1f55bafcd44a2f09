//! Limits how many topics are subscribed in a second, with time as an argument.

use std::time::Duration;

use tokio::time::Instant;

/// A limit of topics in a second. A batch may go when the batches before it have used up their time.
#[derive(Debug)]
pub(crate) struct Pace {
    each: Duration,
    free_at: Instant,
}

impl Pace {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            each: Duration::from_secs(1) / per_second.max(1),
            free_at: now,
        }
    }

    /// Returns when the next batch may go.
    pub(crate) fn free_at(&self) -> Instant {
        self.free_at
    }

    /// A batch of this many topics goes now.
    pub(crate) fn take(&mut self, topics: usize, now: Instant) {
        let topics = u32::try_from(topics).unwrap_or(u32::MAX);
        self.free_at = self.free_at.max(now) + self.each * topics;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_until_the_ones_before_it_have_used_up_their_time() {
        let start = Instant::now();
        let mut pace = Pace::new(50_000, start);
        assert_eq!(pace.free_at(), start);
        pace.take(512, start);
        assert_eq!(pace.free_at(), start + Duration::from_micros(10_240));
        let later = start + Duration::from_secs(1);
        pace.take(500, later);
        assert_eq!(pace.free_at(), later + Duration::from_millis(10));
    }
}
