//! A link's deadlines: wakes the task in time for the machine's next deadline, and tells the machine when the
//! deadline has passed. A far deadline has no timer of its own.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use sockeye_proto::Expired;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Link, Timer};
use crate::deadline::InputDeadline;

/// A deadline that is farther away gets no timer of its own: a task that wakes many connections in time watches it.
const FAR: Duration = Duration::from_secs(2);

impl<T: AsyncRead + AsyncWrite + Unpin> Link<T> {
    /// Waits for the machine's next deadline, and lets the machine handle it. Before each call the caller writes and
    /// reads: a deadline that ends the connection passes only after some more looks at the socket ([`InputDeadline`]).
    /// `None` if the machine may have something to write.
    ///
    /// `wake_by` may promise to wake the task by a time. Then the link sets no timer, and the caller calls
    /// [`forget_alarm`](Self::forget_alarm) when the task was woken so.
    #[inline]
    pub(crate) fn poll_timer(
        &mut self,
        cx: &mut Context<'_>,
        wake_by: impl Fn(Instant) -> bool,
    ) -> Poll<Option<Expired>> {
        // While the next deadline has not moved nearer, the alarm is right.
        if !self.machine.timeout_came_nearer() && self.is_alarm_set(cx) {
            return Poll::Pending;
        }
        self.poll_deadlines(cx, wake_by)
    }

    #[inline(never)]
    fn poll_deadlines(
        &mut self,
        cx: &mut Context<'_>,
        wake_by: impl Fn(Instant) -> bool,
    ) -> Poll<Option<Expired>> {
        loop {
            let Some(due) = self.machine.poll_timeout() else {
                return Poll::Pending;
            };
            let due = Instant::from_std(due);
            // An alarm that comes too early is cheap. Setting an alarm for each read is not.
            if self.alarm.is_some_and(|alarm| alarm <= due) && self.is_alarm_set(cx) {
                return Poll::Pending;
            }
            if due.saturating_duration_since(Instant::now()) >= FAR && wake_by(due) {
                self.alarm = Some(due);
                self.timer = None;
                return Poll::Pending;
            }
            let timer = match &mut self.timer {
                Some(timer) => timer,
                None => self.timer.insert(Box::new(Timer::new(due, cx))),
            };
            let mut deadline = timer.deadline.as_mut();
            if deadline.wakes_at() > due && !deadline.is_looking() {
                deadline.as_mut().reset(due);
            }
            self.alarm = Some(deadline.wakes_at());
            timer.waker.clone_from(cx.waker());
            ready!(deadline.as_mut().poll_due(cx));
            self.alarm = None;
            let now = Instant::now();
            if now < due {
                deadline.reset(due);
                continue;
            }
            if self.machine.expires_by(now.into_std())
                && deadline.as_mut().poll_passed(cx).is_pending()
            {
                self.alarm = Some(deadline.wakes_at());
                return Poll::Pending;
            }
            let expired = self.machine.handle_timeout(now.into_std());
            if expired.is_some() {
                self.forget_message();
            }
            if expired.is_some() || !self.machine.output().is_empty() {
                return Poll::Ready(expired);
            }
        }
    }

    /// Whether an alarm is set that will wake the task: the timer, or the promise of `wake_by`.
    #[inline]
    fn is_alarm_set(&self, cx: &Context<'_>) -> bool {
        self.alarm.is_some() && self.timer.as_ref().is_none_or(|timer| timer.wakes(cx))
    }

    /// The task was woken for the deadline, or no other task watches the deadline any more.
    pub(crate) fn forget_alarm(&mut self) {
        if self.timer.is_none() {
            self.alarm = None;
        }
    }
}

impl Timer {
    fn new(due: Instant, cx: &Context<'_>) -> Self {
        Self {
            deadline: Box::pin(InputDeadline::new(due)),
            waker: cx.waker().clone(),
        }
    }

    /// Whether the timer will wake this task.
    fn wakes(&self, cx: &Context<'_>) -> bool {
        !self.deadline.is_fired() && self.waker.will_wake(cx.waker())
    }
}
