//! The times and counts that an endpoint looks at from outside. The driver says when it has to be woken, and the
//! endpoint wakes it then. The endpoint also counts a session's activity, and pauses and resumes its reading.

use std::time::Instant;

use super::Outbox;
use super::waiter::wake_one;
use crate::sync::lock;

impl Outbox {
    /// Neither hears more of the log, nor is looked at any more.
    pub(crate) fn retire(&self) {
        let mut state = lock(&self.state);
        self.leave_log_under(&state);
        state.is_swept = false;
        // The driver is to see to it itself.
        let due = state.due.take();
        let wake = due.and_then(|_| state.driver_if(self.signal.raise_due(&state.locked)));
        drop(state);
        wake_one(wake);
    }

    /// A Ping came, which nobody else is told of.
    #[cold]
    #[inline(never)]
    pub(crate) fn pinged(&self) {
        let mut state = lock(&self.state);
        state.pings = state.pings.wrapping_add(1);
    }

    /// Another number when something was put in, or a Ping came.
    pub(crate) fn activity(&self) -> u64 {
        let state = lock(&self.state);
        let sent = state.pushed.items.wrapping_add(state.pushed.controls);
        sent.wrapping_add(state.pings.into())
    }

    /// Lets the driver hand nothing on that comes, from now on.
    pub(crate) fn pause(&self) {
        self.signal.pause();
    }

    /// Lets the driver go on.
    pub(crate) fn resume(&self) {
        if self.signal.resume() {
            let state = lock(&self.state);
            let wake = state.driver_if(self.signal.raise_due(&state.locked));
            drop(state);
            wake_one(wake);
        }
    }

    #[inline]
    pub(crate) fn is_paused(&self) -> bool {
        self.signal.look().is_paused()
    }

    /// Wakes the driver if the time that it asked for comes before `horizon`.
    pub(crate) fn wake_if_due(&self, horizon: Instant) {
        let mut state = lock(&self.state);
        if state.due.take_if(|due| *due < horizon).is_none() {
            return;
        }
        let wake = state.driver_if(self.signal.raise_due(&state.locked));
        drop(state);
        wake_one(wake);
    }

    /// Asks for the driver to be woken not later than then, and not long before. False where nobody would.
    pub(crate) fn wake_by(&self, due: Instant) -> bool {
        let mut state = lock(&self.state);
        if state.is_swept {
            state.due = Some(due);
        }
        state.is_swept
    }
}
