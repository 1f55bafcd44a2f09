//! Deadlines on a peer's sending or reading. Such a deadline does not pass while the peer's bytes already wait in the
//! socket: the runtime polls all sockets first. Knows no protocol.
//!
//! A process that was stopped (SIGSTOP, a frozen cgroup, a machine that slept) finds its timers due when it goes on.
//! The runtime may fire them before it knows which sockets are ready, because a signal interrupts `epoll_wait`. A
//! timer that is set *then* fires after another poll of the sockets: tokio's driver polls the sockets before the
//! timers. So a deadline that is due sets a timer for the next tick, several times, until all sockets were polled.
//! One such poll is called a look.
//!
//! ```text
//!            the time comes               one tick, one look at the sockets
//!   Waiting ────────────────▶ Looking(n) ───────────────────────────────────▶ Looking(n - 1) … ─▶ Passed
//! ```

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};

pin_project! {
    /// A deadline on a peer's input or on a peer's reading.
    #[derive(Debug)]
    pub(crate) struct InputDeadline {
        #[pin]
        sleep: Sleep,
        stage: Stage,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// The time has come. This many looks at the sockets are left.
    Looking(u32),
    Passed,
}

/// The error of a future that did not complete before its deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elapsed;

/// The resolution of the runtime's timers. A timer for the next tick does not fire at once.
const TICK: Duration = Duration::from_millis(1);
/// A hundred years: the time of a deadline that exceeds the clock's range.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// The number of ready sockets that one look is assumed to take. Tokio's driver takes up to 1,024 by default, the
/// longest waiting first. This number is lower, because a program may lower that limit, and a task may have several
/// sockets.
const SOCKETS_AT_A_LOOK: usize = 256;

impl InputDeadline {
    pub(crate) fn new(due: Instant) -> Self {
        Self {
            sleep: sleep_until(due),
            stage: Stage::Waiting,
        }
    }

    /// A deadline `limit` from now; a hundred years from now if that exceeds the clock's range.
    pub(crate) fn after(limit: Duration) -> Self {
        let now = Instant::now();
        Self::new(now.checked_add(limit).unwrap_or(now + NEVER))
    }

    /// The time at which the timer fires next.
    pub(crate) fn wakes_at(&self) -> Instant {
        self.sleep.deadline()
    }

    /// Whether the timer has fired and is not set again.
    pub(crate) fn is_fired(&self) -> bool {
        self.sleep.is_elapsed()
    }

    /// Moves the deadline.
    pub(crate) fn reset(self: Pin<&mut Self>, due: Instant) {
        let this = self.project();
        *this.stage = Stage::Waiting;
        this.sleep.reset(due);
    }

    /// Whether the time has come. The runtime may still have to poll the sockets.
    pub(crate) fn is_looking(&self) -> bool {
        self.stage != Stage::Waiting
    }

    /// Ready when the time has come, even if bytes wait in the sockets.
    pub(crate) fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.stage {
            Stage::Waiting => self.project().sleep.poll(cx),
            Stage::Looking(_) | Stage::Passed => Poll::Ready(()),
        }
    }

    /// Ready when the time has come and the runtime has polled all sockets since. Callers poll the operation under the
    /// deadline first, each time.
    pub(crate) fn poll_passed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            let looks = match *this.stage {
                Stage::Waiting => {
                    ready!(this.sleep.as_mut().poll(cx));
                    looks()
                }
                Stage::Looking(looks) => {
                    ready!(this.sleep.as_mut().poll(cx));
                    looks - 1
                }
                Stage::Passed => return Poll::Ready(()),
            };
            if looks == 0 {
                *this.stage = Stage::Passed;
            } else {
                *this.stage = Stage::Looking(looks);
                this.sleep.as_mut().reset(Instant::now() + TICK);
            }
        }
    }
}

/// The number of looks that reach all sockets. The first may be the one that a signal interrupted.
fn looks() -> u32 {
    let tasks = Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
    u32::try_from(tasks / SOCKETS_AT_A_LOOK).map_or(u32::MAX, |looks| looks.saturating_add(2))
}

/// Completes with the future, or with an error after `limit`, once the runtime has polled all sockets again.
pub(crate) async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut deadline = pin!(InputDeadline::after(limit));
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        deadline.as_mut().poll_passed(cx).map(|()| Err(Elapsed))
    })
    .await
}

/// Completes after `limit`, once the runtime has polled all sockets again.
pub(crate) async fn pass(limit: Duration) {
    let _ = timeout(limit, pending::<()>()).await;
}

/// Completes when the deadline has passed.
impl Future for InputDeadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_passed(cx)
    }
}

/// The timer for hyper's own deadlines, all of which are on the peer's input.
#[derive(Debug)]
pub(crate) struct InputTimer;

impl hyper::rt::Timer for InputTimer {
    fn sleep(&self, limit: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(InputDeadline::after(limit))
    }

    fn sleep_until(&self, due: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(InputDeadline::new(due.into()))
    }
}

impl hyper::rt::Sleep for InputDeadline {}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_deadline_passes_after_its_time_and_a_few_looks_at_the_sockets() {
        let start = Instant::now();
        assert!(timeout(LIMIT, pending::<()>()).await.is_err());
        let late = start.elapsed() - LIMIT;
        assert!(late >= 2 * TICK && late <= 4 * TICK, "{late:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_future_that_completes_at_one_of_the_looks_is_in_time() {
        let start = Instant::now();
        let mut looks = 0;
        let late = poll_fn(|_| {
            looks += u32::from(start.elapsed() >= LIMIT);
            match looks {
                // The look at which the timer fires, and the next one.
                2 => Poll::Ready("in time"),
                _ => Poll::Pending,
            }
        });
        assert_eq!(timeout(LIMIT, late).await.ok(), Some("in time"));
    }

    #[tokio::test(start_paused = true)]
    async fn more_sockets_take_more_looks() {
        for _ in 0..10 * SOCKETS_AT_A_LOOK {
            tokio::spawn(pending::<()>());
        }
        let start = Instant::now();
        assert!(timeout(LIMIT, pending::<()>()).await.is_err());
        assert!(start.elapsed() >= LIMIT + 12 * TICK);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_beyond_the_clock_is_none() {
        assert_eq!(timeout(Duration::MAX, async { 1 }).await.ok(), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_moved_waits_and_looks_anew() {
        let mut deadline = pin!(InputDeadline::new(Instant::now()));
        poll_fn(|cx| deadline.as_mut().poll_due(cx)).await;
        let polled = poll_fn(|cx| Poll::Ready(deadline.as_mut().poll_passed(cx))).await;
        assert!(polled.is_pending() && deadline.is_looking());
        let due = Instant::now() + LIMIT;
        deadline.as_mut().reset(due);
        assert!(!deadline.is_looking());
        poll_fn(|cx| deadline.as_mut().poll_passed(cx)).await;
        assert!(Instant::now() >= due + 2 * TICK);
    }
}
