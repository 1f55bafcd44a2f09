//! When the task of the topics wants to run.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use std::time::Instant;

use tokio::sync::Notify;

use super::surroundings::now;
use crate::sync::{Arc, Mutex, lock};

/// When the hub wants to be called.
#[derive(Default)]
pub(super) struct Timer {
    at: Mutex<Option<Instant>>,
    changed: Notify,
    // Whether a task waits for the times.
    is_watched: AtomicBool,
}

/// The right to wait for the times of a timer, for one task. Dropping it lets another task have it.
pub(super) struct Watch(Arc<Timer>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.is_watched.store(false, Release);
    }
}

impl Timer {
    pub(super) fn set(&self, at: Instant) {
        *lock(&self.at) = Some(at);
        self.changed.notify_one();
    }

    /// Lets the task of the topics look at all times again.
    pub(super) fn notify(&self) {
        self.changed.notify_one();
    }

    /// Whether a task waits for the times.
    pub(super) fn is_watched(&self) -> bool {
        self.is_watched.load(Relaxed)
    }

    /// Returns the right to wait for the times. `None` if another task has it.
    pub(super) fn watch(self: &Arc<Self>) -> Option<Watch> {
        let was_watched = self.is_watched.swap(true, AcqRel);
        (!was_watched).then(|| Watch(Arc::clone(self)))
    }
}

impl Watch {
    /// Completes when the hub wants to be called, has requests, or at the time `other`. It also completes when all topics of
    /// the node are dropped.
    pub(super) async fn wait(&self, other: Option<Instant>) {
        let timer = &*self.0;
        let at = *lock(&timer.at);
        let at = at.into_iter().chain(other).min();
        let time = async {
            match at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = timer.changed.notified() => {}
            () = time => {}
        }
        // The hub says anew when it wants to be called.
        lock(&timer.at).take_if(|at| *at <= now());
    }
}
