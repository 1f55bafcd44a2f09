//! The times and counts of a session that its endpoint reads. The driver says when it has to be woken, and the
//! endpoint's sweep wakes it then. The endpoint also counts a session's activity, and pauses and resumes its reading.

use std::time::Instant;

use super::Mailbox;
use super::waiter::wake_one;
use crate::sync::lock;

impl<D> Mailbox<D> {
    /// Leaves the log, and tells the driver that no sweep looks at this outbox any more.
    pub fn retire(&self) {
        let mut state = lock(&self.state);
        self.leave_log_under(&state);
        state.is_swept = false;
        // From now on the driver has to set a timer of its own.
        let due = state.due.take();
        let wake = due.and_then(|_| state.driver_if(self.signal.raise_due(&state.locked)));
        drop(state);
        wake_one(wake);
    }

    /// Counts a Ping that came.
    #[cold]
    #[inline(never)]
    pub fn pinged(&self) {
        let mut state = lock(&self.state);
        state.pings = state.pings.wrapping_add(1);
    }

    /// A number that changes when an item is put in, and when a Ping comes.
    pub fn activity(&self) -> u64 {
        let state = lock(&self.state);
        let sent = state.pushed.items.wrapping_add(state.pushed.controls);
        sent.wrapping_add(state.pings.into())
    }

    /// Pauses reading: the driver hands on nothing that it receives.
    pub fn pause(&self) {
        self.signal.pause();
    }

    /// Resumes reading.
    pub fn resume(&self) {
        if self.signal.resume() {
            let state = lock(&self.state);
            let wake = state.driver_if(self.signal.raise_due(&state.locked));
            drop(state);
            wake_one(wake);
        }
    }

    /// Whether reading is paused.
    #[inline]
    pub fn is_paused(&self) -> bool {
        self.signal.look().is_paused()
    }

    /// Wakes the driver if it asked for a time before `horizon`.
    pub fn wake_if_due(&self, horizon: Instant) {
        let mut state = lock(&self.state);
        if state.due.take_if(|due| *due < horizon).is_none() {
            return;
        }
        let wake = state.driver_if(self.signal.raise_due(&state.locked));
        drop(state);
        wake_one(wake);
    }

    /// Asks the sweep to wake the driver at `due`, or a little before. Returns false if no sweep looks at this outbox.
    pub fn wake_by(&self, due: Instant) -> bool {
        let mut state = lock(&self.state);
        if state.is_swept {
            state.due = Some(due);
        }
        state.is_swept
    }
}
