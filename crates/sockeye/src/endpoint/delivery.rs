//! Writes an endpoint's broadcasts to the sessions that have nothing else to do. To wake each session's own task for
//! the same write would cost several times as much, because that task examines all of its work.

use std::ops::Range;
use std::sync::Weak;

use sockeye_mailbox::Copied;
use tokio::sync::Notify;

use super::open_sessions::SessionSet;
use crate::sync::Arc;

/// The task that delivers an endpoint's broadcasts. It ends when the last handle of the endpoint's sessions is dropped.
pub(super) struct Delivery {
    sessions: Weak<SessionSet>,
    delivery_wanted: Arc<Notify>,
}

impl Delivery {
    /// The number of slots that one task serves, so that the threads of a runtime share the work.
    const SLOTS_PER_TASK: usize = 256;
    /// The number of slots after which the task yields to other tasks.
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
            // A session that opens later reads only later broadcasts.
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

/// Writes to the sessions in these slots.
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
    /// Tells the sessions that the delivery ended: the runtime may end before they do.
    fn drop(&mut self) {
        if let Some(sessions) = self.sessions.upgrade() {
            sessions.end_delivery();
        }
    }
}
