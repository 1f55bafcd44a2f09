//! A limit for log lines that a peer can repeat: one line in ten seconds, and a count of the lines that were left
//! out. It must not know what is logged.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Limits the log lines of one reason to one line in 10 s, and counts the lines that it leaves out.
///
/// A peer that repeats a fault must not fill the log. A program keeps one `LogLimit` for each reason, and asks it before
/// each line that a peer can cause.
///
/// ```
/// use std::time::Instant;
///
/// use sockeye::endpoint::LogLimit;
///
/// static BAD_ORDERS: LogLimit = LogLimit::new();
///
/// fn log_bad_order(error: &dyn std::error::Error) {
///     if let Some(left_out) = BAD_ORDERS.admit(Instant::now()) {
///         eprintln!("bad order: {error} (left out since the last line: {left_out})");
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct LogLimit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    /// Lines left out since the last line.
    since_last: u64,
    total: u64,
}

impl LogLimit {
    /// The time between two lines: 10 s.
    pub const INTERVAL: Duration = Duration::from_secs(10);

    /// Creates a limit that admits the next line.
    pub const fn new() -> Self {
        Self(Mutex::new(State {
            last: None,
            since_last: 0,
            total: 0,
        }))
    }

    /// Returns `Some` if a line may be written at `now`: the first line, and each that comes 10 s or more after the last
    /// line that was written. The value is the number of lines that were left out in between. Otherwise counts this line
    /// as left out, and returns `None`.
    ///
    /// It does not allocate. Times may come in any order: a line with an earlier time than the last written one is left
    /// out.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_early = |last: Instant| now.saturating_duration_since(last) < Self::INTERVAL;
        if state.last.is_some_and(is_early) {
            state.since_last = state.since_last.saturating_add(1);
            state.total = state.total.saturating_add(1);
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.since_last))
    }

    /// Does what [`admit`](Self::admit) does, with the time of the runtime's clock.
    pub(crate) fn admit_now(&self) -> Option<u64> {
        self.admit(tokio::time::Instant::now().into_std())
    }

    /// Returns how many lines were left out in all.
    pub fn left_out(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

/// The limits of one server, one for each reason.
#[derive(Debug, Default)]
pub(crate) struct LogLimits {
    /// A callback, or an endpoint's factory, panicked.
    pub(crate) callback_panic: LogLimit,
    /// A callback returned an error.
    pub(crate) callback_error: LogLimit,
    /// `on_error` itself returned an error.
    pub(crate) on_error: LogLimit,
    pub(crate) configurator_panic: LogLimit,
    pub(crate) configurator_error: LogLimit,
    pub(crate) configurator_timeout: LogLimit,
    pub(crate) forbidden_origin: LogLimit,
    pub(crate) forbidden_host: LogLimit,
    /// The HTTP server around a container cannot upgrade a request.
    pub(crate) not_upgradable: LogLimit,
    /// The system gives no connection.
    pub(crate) accept: LogLimit,
    /// A session reads too slowly.
    pub(crate) slow_session: LogLimit,
}

impl LogLimits {
    pub(crate) const fn new() -> Self {
        Self {
            callback_panic: LogLimit::new(),
            callback_error: LogLimit::new(),
            on_error: LogLimit::new(),
            configurator_panic: LogLimit::new(),
            configurator_error: LogLimit::new(),
            configurator_timeout: LogLimit::new(),
            forbidden_origin: LogLimit::new(),
            forbidden_host: LogLimit::new(),
            not_upgradable: LogLimit::new(),
            accept: LogLimit::new(),
            slow_session: LogLimit::new(),
        }
    }

    /// Returns how many lines were left out in all, for all reasons.
    pub(crate) fn left_out(&self) -> u64 {
        let Self {
            callback_panic,
            callback_error,
            on_error,
            configurator_panic,
            configurator_error,
            configurator_timeout,
            forbidden_origin,
            forbidden_host,
            not_upgradable,
            accept,
            slow_session,
        } = self;
        let all = [
            callback_panic,
            callback_error,
            on_error,
            configurator_panic,
            configurator_error,
            configurator_timeout,
            forbidden_origin,
            forbidden_host,
            not_upgradable,
            accept,
            slow_session,
        ];
        all.into_iter().map(LogLimit::left_out).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_written_and_says_that_none_was_left_out() {
        let limit = LogLimit::new();
        assert_eq!(limit.admit(Instant::now()), Some(0));
        assert_eq!(limit.left_out(), 0);
    }

    #[test]
    fn a_reason_that_is_repeated_writes_one_line_in_ten_seconds_which_counts_the_others() {
        let (limit, start) = (LogLimit::new(), Instant::now());
        let millis = |millis| start + Duration::from_millis(millis);
        // One each millisecond for 30 s and one more.
        let written: Vec<_> = (0..=30_000)
            .filter_map(|at| limit.admit(millis(at)))
            .collect();
        assert_eq!(written, [0, 9_999, 9_999, 9_999]);
        assert_eq!(limit.left_out(), 3 * 9_999);
    }

    #[test]
    fn a_line_just_before_the_interval_is_over_is_left_out_and_one_at_its_end_is_written() {
        let (limit, start) = (LogLimit::new(), Instant::now());
        assert_eq!(limit.admit(start), Some(0));
        let end = start + LogLimit::INTERVAL;
        assert_eq!(limit.admit(end - Duration::from_nanos(1)), None);
        assert_eq!(limit.admit(end), Some(1));
    }

    #[test]
    fn a_line_with_a_time_before_the_last_line_is_left_out() {
        let (limit, start) = (LogLimit::new(), Instant::now());
        assert_eq!(limit.admit(start + LogLimit::INTERVAL), Some(0));
        assert_eq!(limit.admit(start), None);
    }
}
