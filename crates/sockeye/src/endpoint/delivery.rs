//! Who writes what was said to all sessions of an endpoint, to those that have nothing else to do. A session's own
//! task would be woken, look at all that it might have to do, and write the same: that costs several times what is
//! spent here.

use std::ops::Range;
use std::sync::Weak;

use tokio::sync::Notify;

use super::open_sessions::SessionSet;
use crate::connection::log::Copied;
use crate::sync::Arc;

/// The task of an endpoint that delivers, until nobody has the endpoint's sessions any more.
pub(super) struct Delivery {
    sessions: Weak<SessionSet>,
    delivery_wanted: Arc<Notify>,
}

impl Delivery {
    /// So many places are one task's, so that a runtime of several threads shares them.
    const SLOTS_PER_TASK: usize = 256;
    /// After so many the others' tasks have their turn.
    const BATCH: usize = 32;

    pub(super) fn new(sessions: Weak<SessionSet>, delivery_wanted: Arc<Notify>) -> Self {
        Self {
            sessions,
            delivery_wanted,
        }
    }

    pub(super) async fn run(self) {
        loop {
            self.delivery_wanted.notified().await;
            let Some(sessions) = self.sessions.upgrade() else {
                return;
            };
            // Who comes later hears of what is said later.
            let len = sessions.len();
            for start in (Self::SLOTS_PER_TASK..len).step_by(Self::SLOTS_PER_TASK) {
                tokio::spawn(deliver(
                    Arc::clone(&sessions),
                    start..start + Self::SLOTS_PER_TASK,
                ));
            }
            deliver(sessions, 0..Self::SLOTS_PER_TASK).await;
        }
    }
}

/// Writes to those at these places.
async fn deliver(sessions: Arc<SessionSet>, slots: Range<usize>) {
    let mut copied = Copied::default();
    for start in slots.clone().step_by(Delivery::BATCH) {
        let end = slots.end.min(start + Delivery::BATCH);
        let outboxes = sessions.outboxes(start..end);
        if outboxes.is_empty() {
            continue;
        }
        for outbox in outboxes {
            outbox.deliver(&mut copied);
        }
        tokio::task::yield_now().await;
    }
}

impl Drop for Delivery {
    /// The runtime may end before the sessions do.
    fn drop(&mut self) {
        if let Some(sessions) = self.sessions.upgrade() {
            sessions.end_delivery();
        }
    }
}
