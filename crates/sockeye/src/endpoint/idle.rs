//! The idle time of a session, during which it neither receives nor sends. The endpoint's sweep measures it for all
//! sessions each second, so a session with a limit needs no timer of its own.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::time::Duration;

/// The idle limit and idle time of a session that has a limit, or had one.
#[derive(Debug, Default)]
pub(super) struct Idle {
    // In nanoseconds; 0 for no limit.
    limit: AtomicU64,
    // `NONE`, `SEEN` or `BUSY`.
    activity: AtomicU8,
    expired: AtomicBool,
    // The sweep's own: the idle time so far in nanoseconds, and the counter's last value.
    quiet: AtomicU64,
    counted: AtomicU64,
}

/// No activity since the sweep looked.
const NONE: u8 = 0;
/// A message or a Pong arrived.
const SEEN: u8 = 1;
/// A handler runs: the peer waits for this side.
const BUSY: u8 = 2;

impl Idle {
    pub(super) fn limit(&self) -> Option<Duration> {
        let limit = self.limit.load(Relaxed);
        (limit > 0).then(|| Duration::from_nanos(limit))
    }

    /// Sets the limit. The idle time starts again.
    pub(super) fn set_limit(&self, limit: Option<Duration>) {
        let nanos = limit.map_or(0, |limit| limit.as_nanos().max(1));
        // The next sweep may come at once, and must not count the time before.
        let _ = self.activity.compare_exchange(NONE, SEEN, AcqRel, Relaxed);
        self.limit
            .store(u64::try_from(nanos).unwrap_or(u64::MAX), Relaxed);
    }

    /// Notes that a message or a Pong arrived, or that a handler ended.
    #[inline]
    pub(super) fn touch(&self) {
        self.activity.store(SEEN, Release);
    }

    /// Notes that a handler started; [`touch`](Self::touch) notes its end.
    #[inline]
    pub(super) fn hold(&self) {
        self.activity.store(BUSY, Release);
    }

    /// Returns whether the limit is reached. `elapsed` is the time since the last call. `counted` is a counter of other
    /// activity: a changed value starts the idle time again.
    pub(super) fn is_over(&self, elapsed: Duration, counted: u64) -> bool {
        let before = self.counted.swap(counted, Relaxed);
        let seen = self
            .activity
            .compare_exchange(SEEN, NONE, AcqRel, Acquire)
            .unwrap_or_else(|other| other);
        let Some(limit) = self.limit() else {
            return false;
        };
        if seen != NONE || before != counted {
            self.quiet.store(0, Relaxed);
            return false;
        }
        let elapsed = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let quiet = self.quiet.load(Relaxed).saturating_add(elapsed);
        self.quiet.store(quiet, Relaxed);
        let over = Duration::from_nanos(quiet) >= limit;
        if over {
            self.expired.store(true, Release);
        }
        over
    }

    /// Returns whether the limit was ever reached.
    pub(super) fn is_expired(&self) -> bool {
        self.expired.load(Acquire)
    }
}

/// A clone has the same limit, and is for another session: its idle time starts at zero.
impl Clone for Idle {
    fn clone(&self) -> Self {
        let clone = Self::default();
        clone.set_limit(self.limit());
        clone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_session_without_a_limit_is_never_idle_for_too_long() {
        let idle = Idle::default();
        assert!((0..100).all(|_| !idle.is_over(SECOND, 0)));
        assert!(!idle.is_expired());
    }

    #[test]
    fn the_limit_is_reached_when_nothing_happened_for_so_long() {
        let idle = Idle::default();
        idle.set_limit(Some(3 * SECOND));
        let looks: Vec<_> = (0..4).map(|_| idle.is_over(SECOND, 0)).collect();
        assert_eq!(looks, [false, false, false, true]);
        assert!(idle.is_expired());
    }

    #[test]
    fn what_comes_what_goes_and_a_handler_that_runs_all_begin_it_anew() {
        let idle = Idle::default();
        idle.set_limit(Some(2 * SECOND));
        assert!(!idle.is_over(SECOND, 0));
        assert!(!idle.is_over(SECOND, 0));
        idle.touch();
        assert!(!idle.is_over(SECOND, 0));
        assert!(!idle.is_over(SECOND, 0));
        // The counter changed: a message was sent.
        assert!(!idle.is_over(SECOND, 1));
        assert!(!idle.is_over(SECOND, 1));
        idle.hold();
        assert!((0..10).all(|_| !idle.is_over(SECOND, 1)));
        idle.touch();
        assert!(!idle.is_over(SECOND, 1));
        assert!(!idle.is_over(SECOND, 1));
        assert!(idle.is_over(SECOND, 1));
    }

    #[test]
    fn a_limit_is_read_back_as_it_was_set_and_the_longest_is_none_that_ends() {
        let idle = Idle::default();
        let limit = Some(Duration::from_millis(9_876_543_210));
        idle.set_limit(limit);
        assert_eq!(idle.limit(), limit);
        idle.set_limit(Some(Duration::MAX));
        assert!((0..3).all(|_| !idle.is_over(Duration::from_secs(1 << 32), 0)));
        idle.set_limit(None);
        assert_eq!(idle.limit(), None);
        // A limit of zero is the shortest limit, not "no limit".
        idle.set_limit(Some(Duration::ZERO));
        assert!(!idle.is_over(SECOND, 0));
        assert!(idle.is_over(SECOND, 0));
    }
}
