//! Members that are gone without an event, as after the end of their node. A room that many nodes share looks for them.
//!
//! Each member is also present in a topic of its own kind, `here/{id}`, under its id. Clients have no rights there, so only
//! the server decides who is present. The presence of a node ends 15 s after its last word. Each node reads it every 2 s. If
//! a member is missing in two readings, the node reads the events of the room, because the member may have left in order.
//! If the member has not, the node publishes `left`. So all lists converge by the events alone: those of pages, of nodes,
//! and of nodes that open the room later.
//!
//! Several nodes may find the same member missing. They publish `left` with one key, made of the id and the position of the
//! last event that named the member, so the topic has it once.
//!
//! A node that was frozen or cut off may find that its own member has left. Then it publishes `joined` for the member, with
//! the next event of the room on that node.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::room::Room;
use super::seat::Seat;

/// The time between two readings.
const PERIOD: Duration = Duration::from_secs(2);

/// What the last reading has shown: ids of members.
#[derive(Default)]
struct Reading {
    present: HashSet<String>,
    missing: HashSet<String>,
}

impl<S: Seat> Room<S> {
    /// Starts the task that looks for members that are gone. It ends when the room is closed.
    pub(super) fn watch(self: &Arc<Self>) {
        let room = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut last = Reading::default();
            loop {
                sleep(PERIOD).await;
                let Some(room) = room.upgrade().filter(|room| !room.state.lock().closed) else {
                    return;
                };
                room.read_present(&mut last).await;
            }
        });
    }

    async fn read_present(self: &Arc<Self>, last: &mut Reading) {
        let (seat, mut known) = {
            let state = self.state.lock();
            let others: HashSet<String> = state.others.ids().map(str::to_owned).collect();
            (state.seat(), others)
        };
        let Some(seat) = seat else {
            return;
        };
        // A member that joins from here on is not known, so it is not missed.
        known.extend(last.present.drain());
        known.extend(last.missing.iter().cloned());
        let Some(present) = seat.present(&self.presence_topic()).await else {
            last.present = known;
            return;
        };
        let missing = known.difference(&present).cloned();
        let (gone, missing) = missing.partition(|id| last.missing.contains(id));
        *last = Reading { present, missing };
        self.remove_gone(gone).await;
    }

    async fn remove_gone(self: &Arc<Self>, gone: HashSet<String>) {
        if gone.is_empty() {
            return;
        }
        let _order = self.order.lock().await;
        self.catch_up().await;
        for id in gone {
            let left = self.state.lock().remove_gone(&id, Instant::now());
            if let Some((left, key)) = left
                && let Err(error) = self.publish_once(left, Some(key)).await
            {
                tracing::debug!(%error, "cannot tell that a member is gone");
            }
        }
        self.finish();
    }
}

#[cfg(test)]
mod tests;
