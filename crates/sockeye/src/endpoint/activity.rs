//! The activity of a session: whether a handler runs, and for how long the session was idle. A session is idle while it
//! neither receives nor sends, and runs no handler.
//!
//! The sweeper measures the idle time of all sessions each second, so a session with a limit needs no timer of its own.
//! A session that never had a limit keeps one byte. The outbox counts what it sends, and the log
//! its broadcasts: they report numbers, and know nothing of limits.
//!
//! ```text
//!   Quiet ──── a message or a Pong arrives ────▶ Seen ◀──── the handler ends ──── Busy
//!     ▲  └───────────────────── a handler starts ──┼──────────────────────────────▶
//!     └─────────── the sweeper looks ──────────────┘
//! ```

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::time::Duration;

use sockeye_proto::{CloseCode, CloseReason};

/// The activity of one session: `QUIET`, `SEEN` or `BUSY`.
#[derive(Debug, Default)]
pub(super) struct Activity(AtomicU8);

/// Nothing happened since the sweeper looked.
const QUIET: u8 = 0;
/// A message or a Pong arrived, or a handler ended.
const SEEN: u8 = 1;
/// A handler runs: the peer waits for this side.
const BUSY: u8 = 2;

/// The idle limit of a session, and its idle time. By default there is no limit.
#[derive(Debug, Default)]
pub(super) struct Idle {
    // In nanoseconds; 0 for no limit.
    limit: AtomicU64,
    expired: AtomicBool,
    // The sweeper's own: the idle time so far in nanoseconds, and the last report of the outbox and the log.
    time: AtomicU64,
    reported: AtomicU64,
}

impl Activity {
    /// Sets the limit; `None` for no limit. The idle time starts again.
    pub(super) fn set_limit(&self, idle: &Idle, limit: Option<Duration>) {
        let nanos = limit.map_or(0, |limit| limit.as_nanos().max(1));
        // The next look may come at once, and must not count the time before.
        let _ = self.0.compare_exchange(QUIET, SEEN, AcqRel, Relaxed);
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        idle.limit.store(nanos, Relaxed);
    }

    /// Notes that a message or a Pong arrived.
    #[inline]
    pub(super) fn note(&self) {
        self.0.store(SEEN, Release);
    }

    /// Notes that a handler starts. The session is busy until the guard is dropped.
    #[inline]
    pub(super) fn busy(&self) -> Busy<'_> {
        self.0.store(BUSY, Release);
        Busy(self)
    }

    /// Returns whether the limit is reached. `elapsed` is the time since the last call. `report` returns a number that
    /// changes with each message that is sent, and with each Ping: a changed number starts the idle time again.
    pub(super) fn is_over(
        &self,
        idle: &Idle,
        elapsed: Duration,
        report: impl FnOnce() -> u64,
    ) -> bool {
        let Some(limit) = idle.limit() else {
            return false;
        };
        let reported = report();
        let before = idle.reported.swap(reported, Relaxed);
        let seen = self
            .0
            .compare_exchange(SEEN, QUIET, AcqRel, Acquire)
            .unwrap_or_else(|other| other);
        if seen != QUIET || before != reported {
            idle.time.store(0, Relaxed);
            return false;
        }
        let elapsed = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let time = idle.time.load(Relaxed).saturating_add(elapsed);
        idle.time.store(time, Relaxed);
        let over = Duration::from_nanos(time) >= limit;
        if over {
            idle.expired.store(true, Release);
        }
        over
    }
}

impl Idle {
    /// Returns the reason that `on_close` gets: 1006 in place of the 1001 that the idle limit sent.
    pub(super) fn reason_for_on_close(&self, reason: CloseReason) -> CloseReason {
        let is_ours =
            reason.code() == CloseCode::GOING_AWAY && reason.reason() == IDLE_FOR_TOO_LONG;
        if is_ours && self.is_expired() {
            return CloseReason::abnormal(IDLE_FOR_TOO_LONG);
        }
        reason
    }

    /// Returns whether the limit was ever reached.
    fn is_expired(&self) -> bool {
        self.expired.load(Acquire)
    }

    pub(super) fn limit(&self) -> Option<Duration> {
        let limit = self.limit.load(Relaxed);
        (limit > 0).then(|| Duration::from_nanos(limit))
    }
}

/// A guard: a handler runs. Its drop notes that the handler ended, also if the handler is dropped or panics.
#[must_use = "the session is busy until the guard is dropped"]
pub(super) struct Busy<'a>(&'a Activity);

impl Drop for Busy<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.note();
    }
}

/// The reason of the Close that the idle limit sends.
pub(super) const IDLE_FOR_TOO_LONG: &str = "the session was idle for too long";

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A session, as far as its activity is concerned.
    #[derive(Default)]
    struct Measured {
        activity: Activity,
        idle: Idle,
    }

    impl Measured {
        fn set_limit(&self, limit: Option<Duration>) {
            self.activity.set_limit(&self.idle, limit);
        }

        fn is_over(&self, elapsed: Duration, report: impl FnOnce() -> u64) -> bool {
            self.activity.is_over(&self.idle, elapsed, report)
        }
    }

    fn limited_to(limit: Duration) -> Measured {
        let session = Measured::default();
        session.set_limit(Some(limit));
        session
    }

    #[test]
    fn a_session_without_a_limit_is_never_idle_for_too_long() {
        let session = Measured::default();
        assert!((0..100).all(|_| !session.is_over(SECOND, || 0)));
        assert!(!session.idle.is_expired());
    }

    #[test]
    fn the_limit_is_reached_when_nothing_happened_for_so_long() {
        let session = limited_to(3 * SECOND);
        let looks: Vec<_> = (0..4).map(|_| session.is_over(SECOND, || 0)).collect();
        assert_eq!(looks, [false, false, false, true]);
        assert!(session.idle.is_expired());
    }

    #[test]
    fn what_comes_what_goes_and_a_handler_that_runs_all_begin_it_anew() {
        let session = limited_to(2 * SECOND);
        let is_over = |reported| session.is_over(SECOND, || reported);
        assert!(!is_over(0));
        assert!(!is_over(0));
        session.activity.note();
        assert!(!is_over(0));
        assert!(!is_over(0));
        // The report changed: a message was sent.
        assert!(!is_over(1));
        assert!(!is_over(1));
        let busy = session.activity.busy();
        assert!((0..10).all(|_| !is_over(1)));
        drop(busy);
        assert!(!is_over(1));
        assert!(!is_over(1));
        assert!(is_over(1));
    }

    #[test]
    fn a_session_is_busy_under_a_limit_that_its_handler_sets() {
        let session = Measured::default();
        let busy = session.activity.busy();
        session.set_limit(Some(SECOND));
        assert!((0..10).all(|_| !session.is_over(SECOND, || 0)));
        drop(busy);
        assert!(!session.is_over(SECOND, || 0));
        assert!(session.is_over(SECOND, || 0));
    }

    #[test]
    fn a_limit_is_read_back_as_it_was_set_and_the_longest_is_none_that_ends() {
        let session = Measured::default();
        let limit = Some(Duration::from_millis(9_876_543_210));
        session.set_limit(limit);
        assert_eq!(session.idle.limit(), limit);
        session.set_limit(Some(Duration::MAX));
        let age = Duration::from_secs(1 << 32);
        assert!((0..3).all(|_| !session.is_over(age, || 0)));
        session.set_limit(None);
        assert_eq!(session.idle.limit(), None);
        // A limit of zero is the shortest limit, not "no limit".
        session.set_limit(Some(Duration::ZERO));
        assert!(!session.is_over(SECOND, || 0));
        assert!(session.is_over(SECOND, || 0));
    }

    #[test]
    fn only_the_close_of_the_limit_itself_is_1006_for_on_close() {
        let sent = CloseReason::new(CloseCode::GOING_AWAY, IDLE_FOR_TOO_LONG).unwrap();
        let session = limited_to(SECOND);
        assert_eq!(session.idle.reason_for_on_close(sent.clone()), sent);
        while !session.is_over(SECOND, || 0) {}
        let reason = session.idle.reason_for_on_close(sent);
        assert_eq!(reason, CloseReason::abnormal(IDLE_FOR_TOO_LONG));
        let other = CloseReason::new(CloseCode::GOING_AWAY, "the server stops").unwrap();
        assert_eq!(session.idle.reason_for_on_close(other.clone()), other);
    }
}
