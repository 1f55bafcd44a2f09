//! The budgets of a connection. Time is an argument.

use std::time::{Duration, Instant};

/// A budget of requests: `burst` at once, and one more in each `interval`.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    interval: Duration,
    burst: u32,
    /// When the budget is whole again. `None` before the first request.
    whole_at: Option<Instant>,
    /// The time that the last refused request was told.
    told: Option<Instant>,
}

impl Budget {
    pub(super) fn new(burst: u32, interval: Duration) -> Self {
        Self {
            interval,
            burst,
            whole_at: None,
            told: None,
        }
    }

    /// Takes one request out of the budget.
    ///
    /// # Errors
    ///
    /// The time after which the request may be repeated. Requests that are refused in a row are told different times,
    /// so that a client that repeats each at its time finds room for each.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let whole_at = self.whole_at.map_or(now, |at| at.max(now));
        let reserve = self.interval * self.burst.saturating_sub(1);
        let owed = whole_at - now;
        if owed <= reserve {
            self.whole_at = Some(whole_at + self.interval);
            return Ok(());
        }
        let free = now + (owed - reserve);
        let told = self
            .told
            .map_or(free, |told| free.max(told + self.interval));
        self.told = Some(told);
        Err(told - now)
    }
}

/// The number of `err rate` answers that a client collects in a stretch of time.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    limit: u32,
    within: Duration,
    since: Option<Instant>,
    count: u32,
}

impl Patience {
    pub(super) fn new(limit: u32, within: Duration) -> Self {
        Self {
            limit,
            within,
            since: None,
            count: 0,
        }
    }

    /// Counts an answer. Returns whether the client has collected as many as the limit. The time begins with the first
    /// answer, and anew with the first one after its end.
    pub(super) fn count(&mut self, now: Instant) -> bool {
        let since = self
            .since
            .filter(|since| now.saturating_duration_since(*since) < self.within);
        if since.is_none() {
            self.since = Some(now);
            self.count = 0;
        }
        self.count += 1;
        self.count >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_budget_gives_its_burst_at_once_and_then_one_in_each_interval() {
        let start = Instant::now();
        let mut budget = Budget::new(3, 10 * MS);
        for _ in 0..3 {
            assert_eq!(budget.take(start), Ok(()));
        }
        assert_eq!(budget.take(start), Err(10 * MS));
        assert_eq!(budget.take(start + 9 * MS), Err(11 * MS));
        assert_eq!(budget.take(start + 10 * MS), Ok(()));
        assert!(budget.take(start + 10 * MS).is_err());
        // After 30 ms without a request the burst is whole again, and no larger.
        let later = start + 60 * MS;
        let taken = (0..10).filter(|_| budget.take(later).is_ok()).count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn refused_requests_that_come_again_at_their_times_find_room() {
        let start = Instant::now();
        let mut budget = Budget::new(2, 10 * MS);
        let times: Vec<_> = (0..7).map(|_| budget.take(start)).collect();
        let retries: Vec<_> = times.into_iter().filter_map(Result::err).collect();
        assert_eq!(retries, [10 * MS, 20 * MS, 30 * MS, 40 * MS, 50 * MS]);
        for retry in retries {
            assert_eq!(budget.take(start + retry), Ok(()));
        }
    }

    #[test]
    fn patience_ends_with_so_many_refusals_in_its_time_and_begins_anew_after_it() {
        let start = Instant::now();
        let mut patience = Patience::new(3, 10 * MS);
        assert!(!patience.count(start));
        assert!(!patience.count(start + 9 * MS));
        assert!(!patience.count(start + 10 * MS), "a new stretch");
        assert!(!patience.count(start + 11 * MS));
        assert!(patience.count(start + 12 * MS));
    }
}
