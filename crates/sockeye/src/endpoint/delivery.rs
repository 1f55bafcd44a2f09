//! Who writes what was said to all sessions of an endpoint, to those that have nothing else to do. A session's own
//! task would be woken, look at all that it might have to do, and write the same: that costs several times what is
//! spent here.

use std::ops::Range;
use std::sync::Weak;

use tokio::sync::Notify;

use super::open_sessions::Room;
use crate::connection::log::Copied;
use crate::sync::Arc;

/// The task of an endpoint that delivers, until nobody has the endpoint's sessions any more.
pub(super) struct Delivery {
    room: Weak<Room>,
    said: Arc<Notify>,
}

impl Delivery {
    /// So many places are one task's, so that a runtime of several threads shares them.
    const SHARE: usize = 256;
    /// After so many the others' tasks have their turn.
    const MANY: usize = 32;

    pub(super) fn new(room: Weak<Room>, said: Arc<Notify>) -> Self {
        Self { room, said }
    }

    pub(super) async fn run(self) {
        loop {
            self.said.notified().await;
            let Some(room) = self.room.upgrade() else {
                return;
            };
            // Who comes later hears of what is said later.
            let len = room.len();
            for start in (Self::SHARE..len).step_by(Self::SHARE) {
                tokio::spawn(deliver(Arc::clone(&room), start..start + Self::SHARE));
            }
            deliver(room, 0..Self::SHARE).await;
        }
    }
}

/// Writes to those at these places.
async fn deliver(room: Arc<Room>, places: Range<usize>) {
    let mut copied = Copied::default();
    for start in places.clone().step_by(Delivery::MANY) {
        let end = places.end.min(start + Delivery::MANY);
        let outboxes = room.outboxes(start..end);
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
        if let Some(room) = self.room.upgrade() {
            room.end_delivery();
        }
    }
}
