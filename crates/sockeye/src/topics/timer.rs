//! When the task of the topics wants to run.

use std::time::Instant;

use tokio::sync::Notify;

use super::surroundings::now;
use crate::sync::{Mutex, lock};

/// When the hub wants to be called.
#[derive(Default)]
pub(super) struct Timer {
    at: Mutex<Option<Instant>>,
    changed: Notify,
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

    /// Completes when the hub wants to be called, has requests, or at the time `other`. It also completes when all topics of
    /// the node are dropped.
    pub(super) async fn wait(&self, other: Option<Instant>) {
        let at = *lock(&self.at);
        let at = at.into_iter().chain(other).min();
        let time = async {
            match at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.changed.notified() => {}
            () = time => {}
        }
        // The hub says anew when it wants to be called.
        lock(&self.at).take_if(|at| *at <= now());
    }
}
