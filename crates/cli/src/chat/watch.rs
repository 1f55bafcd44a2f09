//! Members that are gone without an event, as after the end of their node. A room that many nodes share looks for them.
//!
//! Each member is also present in a topic of its own kind, `here/{id}`, under its id and with its name. Clients have no rights
//! there, so only the server decides who is present. A node that opens a room also reads there who has said nothing for
//! longer than the room's topic keeps events. The presence of a node ends 15 s after its last word. Each node reads it every 2 s. If
//! a member is missing in two readings, the node reads the events of the room, because the member may have left in order.
//! If the member has not, the node publishes `left`. So all lists converge by the events alone: those of pages, of nodes,
//! and of nodes that open the room later.
//!
//! Several nodes may find the same member missing. They publish `left` with one key, made of the id and the position of the
//! last event that named the member, so the topic has it once.
//!
//! A node that was frozen or cut off may find that its own member has left. Then it publishes `joined` for the member, with
//! the next event of the room on that node, or once the node can read the presence again.
//!
//! After trouble a node doubts five readings. Trouble is a presence that cannot be read, and a reading that is late. Trouble
//! is also a member of the node itself that is no longer present, and an engine that has lost the events of the room. In
//! doubt a node takes no member for gone, because other nodes may still connect to the engine. It reads the room's events
//! instead, for its own members.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::room::{HistoryLost, Room};
use super::seat::{Present, Seat};

/// The time between two readings.
const PERIOD: Duration = Duration::from_secs(2);

/// The number of readings that a node doubts after trouble. Nodes connect to the engine again within 5 s.
const DOUBTED: u32 = 5;

/// What the last reading has shown: ids of members.
struct Reading {
    at: Instant,
    present: HashSet<String>,
    missing: HashSet<String>,
    /// The number of further readings that are in doubt.
    doubted: u32,
}

impl Reading {
    fn new(present: HashSet<String>, missing: HashSet<String>) -> Self {
        Self {
            at: Instant::now(),
            present,
            missing,
            doubted: 0,
        }
    }

    /// Makes a reading in which no member is missing.
    fn in_doubt(present: HashSet<String>, doubted: u32) -> Self {
        Self {
            doubted,
            ..Self::new(present, HashSet::new())
        }
    }
}

impl<S: Seat> Room<S> {
    /// Starts the task that looks for members that are gone. It ends when the room is closed.
    pub(super) fn watch(self: &Arc<Self>) {
        let room = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut last = Reading::new(HashSet::new(), HashSet::new());
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
        let (seat, own, mut known) = {
            let state = self.state.lock();
            let own: Vec<String> = state.ids().map(str::to_owned).collect();
            let others: HashSet<String> = state.others.ids().map(str::to_owned).collect();
            (state.seat(), own, others)
        };
        let Some(seat) = seat else {
            return;
        };
        let is_late = last.at.elapsed() > 3 * PERIOD;
        // A member that joins from here on is not known, so it is not missed.
        known.extend(last.present.drain());
        known.extend(last.missing.iter().cloned());
        let present = seat.present(&self.presence_topic()).await;
        let ids = |present: Vec<Present>| present.into_iter().map(|member| member.id).collect();
        let present: Option<HashSet<String>> = present.map(ids);
        // A member that has just joined may not be present yet.
        let has_lost = |present: &HashSet<String>| {
            own.iter()
                .any(|id| known.contains(id) && !present.contains(id))
        };
        let Some(present) = present.filter(|present| !is_late && !has_lost(present)) else {
            *last = Reading::in_doubt(known, DOUBTED);
            return;
        };
        if let Some(doubted) = last.doubted.checked_sub(1) {
            *last = Reading::in_doubt(known, doubted);
            return self.bring_back().await;
        }
        let missing = known.difference(&present).cloned();
        let (gone, missing) = missing.partition(|id| last.missing.contains(id));
        *last = match self.remove_gone(gone).await {
            Ok(()) => Reading::new(present, missing),
            Err(HistoryLost) => Reading::in_doubt(known, DOUBTED),
        };
    }

    async fn remove_gone(self: &Arc<Self>, gone: HashSet<String>) -> Result<(), HistoryLost> {
        if gone.is_empty() {
            return Ok(());
        }
        let _order = self.order.lock().await;
        self.catch_up().await?;
        for id in gone {
            let left = self.state.lock().remove_gone(&id, Instant::now());
            if let Some((left, key)) = left
                && let Err(error) = self.publish_once(left, Some(key)).await
            {
                tracing::debug!(%error, "cannot tell that a member is gone");
            }
        }
        self.finish();
        Ok(())
    }

    /// Tells that members on this node are here, if other nodes took them for gone.
    async fn bring_back(self: &Arc<Self>) {
        let _order = self.order.lock().await;
        // The next reading is in doubt, too.
        let _ = self.catch_up().await;
        let joined = self.state.lock().take_denied(Instant::now());
        for event in joined {
            if let Err(error) = self.publish_once(event, None).await {
                tracing::debug!(%error, "cannot tell that a member is here");
            }
        }
        self.finish();
    }
}

#[cfg(test)]
mod tests;
