//! The times and counts of a session that its endpoint reads. The driver says when it has to be woken, and the
//! endpoint's sweep wakes it then. The endpoint also counts a session's activity, and pauses and resumes its reading.

use std::time::Instant;

use super::Mailbox;
use super::catch_up::Unread;
use super::driver::DriverSide;
use super::policy::Overflowed;
use super::state::Wakes;
use crate::fanout::log::Subscription;
use crate::sync::lock;

impl<D> Mailbox<D> {
    /// Leaves all channels, and tells the driver that no sweeper looks at this mailbox any more. Returns what the session
    /// lost since the last [`sweep`](Self::sweep).
    pub fn retire(&self) -> Option<Overflowed> {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        self.leave_all(&mut state, Unread::Dropped, &mut wakes);
        state.is_swept = false;
        // From now on the driver has to set a timer of its own.
        if state.due.take().is_some() {
            wakes.add(state.driver_if(self.signal.raise_due(&state.locked)));
        }
        let lost = state.take_loss();
        drop(state);
        wakes.wake();
        lost
    }

    /// A number that changes when an item is put in, when a channel of the mailbox gets a message, and when a Ping comes.
    pub fn activity(&self) -> u64 {
        let state = lock(&self.state);
        let sent = state.pushed.items.wrapping_add(state.pushed.controls);
        let first = self.first.iter().filter(|_| state.has_first);
        let others = state.others.iter().flat_map(|others| others.iter());
        let published = first.chain(others).map(Subscription::pushed);
        published.fold(sent.wrapping_add(state.events.into()), u64::wrapping_add)
    }

    /// Pauses reading, or resumes it. While it is paused the driver hands on nothing that it receives.
    pub fn set_paused(&self, is_paused: bool) {
        if is_paused {
            self.signal.pause();
        } else if self.signal.resume() {
            let mut wakes = Wakes::default();
            let state = lock(&self.state);
            wakes.add(state.driver_if(self.signal.raise_due(&state.locked)));
            drop(state);
            wakes.wake();
        }
    }

    /// Wakes the driver if it asked for a time before `horizon`. Returns what the session lost since the last call while
    /// no one could be told.
    pub fn sweep(&self, horizon: Instant) -> Option<Overflowed> {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if state.due.take_if(|due| *due < horizon).is_some() {
            wakes.add(state.driver_if(self.signal.raise_due(&state.locked)));
        }
        let lost = state.take_loss();
        drop(state);
        wakes.wake();
        lost
    }
}

impl<D> DriverSide<D> {
    /// Counts a Ping that came.
    #[cold]
    #[inline(never)]
    pub fn pinged(&self) {
        let mut state = lock(&self.mailbox.state);
        state.events = state.events.wrapping_add(1);
    }

    /// Asks the sweep to wake the driver at `due`, or a little before. Returns false if no sweep looks at this outbox.
    pub fn wake_by(&self, due: Instant) -> bool {
        let mut state = lock(&self.mailbox.state);
        if state.is_swept {
            state.due = Some(due);
        }
        state.is_swept
    }
}
