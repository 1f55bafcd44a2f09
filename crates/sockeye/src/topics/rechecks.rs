//! The rounds in which a node asks again about all clients, and the subscriptions that came too late for a round.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::endings::Ending;
use crate::sync::{Mutex, lock};

/// The rounds in which a node asks again about all clients.
#[derive(Default)]
pub(super) struct Rechecks {
    // The number of the newest round. It changes under the lock.
    round: AtomicU32,
    // Lock order: a shard of the hub, then the memberships of a session, then this.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of the last round that the task has begun.
    begun: u32,
    /// The subscriptions that came about by a permission from before the newest round.
    late: Vec<Ending>,
    has_task: bool,
}

/// What the task does next.
pub(super) enum Next {
    Round,
    Late(Vec<Ending>),
}

impl Rechecks {
    /// Returns the number of the newest round. A permission notes it before it is asked for.
    pub(super) fn round(&self) -> u32 {
        self.round.load(Acquire)
    }

    /// Adds a subscription whose permission is older than the newest round.
    #[cold]
    pub(super) fn add_late(&self, subscription: Ending) {
        lock(&self.state).late.push(subscription);
    }

    pub(super) fn add_round(&self) {
        let _state = lock(&self.state);
        self.round.store(self.round().wrapping_add(1), Release);
    }

    /// Returns whether the caller has to start the task: there is something to ask, and no task.
    pub(super) fn begin(&self) -> bool {
        let mut state = lock(&self.state);
        let is_idle = state.begun == self.round() && state.late.is_empty();
        !is_idle && !std::mem::replace(&mut state.has_task, true)
    }

    /// Returns what the task does next. `None` ends the task.
    pub(super) fn next(&self) -> Option<Next> {
        let mut state = lock(&self.state);
        let round = self.round();
        if state.begun != round {
            state.begun = round;
            return Some(Next::Round);
        }
        if state.late.is_empty() {
            state.has_task = false;
            return None;
        }
        Some(Next::Late(std::mem::take(&mut state.late)))
    }

    /// The task has ended, perhaps with its runtime: the next loss starts another one.
    pub(super) fn task_ended(&self) {
        lock(&self.state).has_task = false;
    }
}
