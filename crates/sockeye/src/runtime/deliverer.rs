//! The deliverer: one task for a runtime, which writes the messages of channels to the sessions that have nothing else to
//! do. To wake each session's own task for the same write would cost several times as much, because that task examines
//! all of its work.
//!
//! ```text
//!   the first session that can be delivered to opens ─▶ the deliverer starts
//!   no channel has a session of this runtime any more ─▶ the deliverer ends
//! ```

use std::future::poll_fn;
use std::ops::Range;

use sockeye_mailbox::{Copied, Deliver, Deliverer, Delivery};
use tokio::runtime::{self, Handle};

use crate::sync::{Arc, Mutex, lock};

/// The deliverer of one runtime.
struct Known {
    runtime: runtime::Id,
    deliverer: Arc<Deliverer>,
}

// Each runtime with a channel to deliver has an entry, and a task.
static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// A handle of the deliverer of the current runtime. The deliverer starts if there is none.
pub(crate) fn here() -> Delivery {
    let handle = Handle::current();
    let runtime = handle.id();
    let mut known = lock(&KNOWN);
    if let Some(known) = known.iter().find(|known| known.runtime == runtime) {
        return known.deliverer.handle();
    }
    let deliverer = Arc::new(Deliverer::new());
    let delivery = deliverer.handle();
    known.push(Known {
        runtime,
        deliverer: Arc::clone(&deliverer),
    });
    drop(known);
    // Spawned without the lock: a runtime that shuts down drops the task at once, and the drop takes the lock.
    handle.spawn(Task { deliverer, runtime }.run());
    delivery
}

/// The task of a deliverer.
struct Task {
    deliverer: Arc<Deliverer>,
    runtime: runtime::Id,
}

impl Task {
    /// Runs until no channel has a handle.
    async fn run(self) {
        let mut turn = Turn::default();
        loop {
            let next = poll_fn(|cx| {
                let next = self.deliverer.poll_next(cx);
                if next.is_pending() {
                    turn.visited = 0;
                }
                next
            });
            match next.await {
                Some(channel) => deliver(&channel, &mut turn).await,
                None if self.forget_unused() => return,
                None => {}
            }
        }
    }

    /// Removes the entry, so that the next session starts another deliverer. Returns false if a session was faster.
    fn forget_unused(&self) -> bool {
        let mut known = lock(&KNOWN);
        let is_unused = self.deliverer.is_unused();
        if is_unused {
            known.retain(|known| known.runtime != self.runtime);
        }
        is_unused
    }
}

impl Drop for Task {
    /// The runtime may end before the channels, whose sessions may run on another runtime.
    fn drop(&mut self) {
        lock(&KNOWN).retain(|known| !Arc::ptr_eq(&known.deliverer, &self.deliverer));
        self.deliverer
            .end()
            .for_each(|channel| channel.end_delivery());
    }
}

/// Writes to all sessions of a channel. Tasks of their own serve some sessions each, so that the threads of a runtime
/// share the work.
async fn deliver(channel: &Arc<dyn Deliver>, turn: &mut Turn) {
    // A session that opens later reads only later messages.
    let places = channel.begin_delivery();
    for start in (Round::PLACES..places).step_by(Round::PLACES) {
        let round = Round::new(channel, start, places);
        tokio::spawn(async move { round.run(&mut Turn::default()).await });
    }
    Round::new(channel, 0, places).run(turn).await;
}

/// What a task of a delivery does before it yields to other tasks. It may serve several small channels: a yield asks the
/// system for events, so a yield for each of them would cost a good part of their writes.
#[derive(Default)]
struct Turn {
    // The number of places that it has visited, always below `PLACES`.
    visited: usize,
    // The memory for copied frames: one channel after the other uses it.
    frames: Vec<u8>,
}

impl Turn {
    /// The number of places after which the task yields.
    const PLACES: usize = 32;
}

/// One delivery to some sessions of a channel.
struct Round {
    channel: Arc<dyn Deliver>,
    left: Range<usize>,
}

impl Round {
    /// The number of places that one task serves.
    const PLACES: usize = 256;

    /// The delivery to the places from `start` on. The channel has this many.
    fn new(channel: &Arc<dyn Deliver>, start: usize, places: usize) -> Self {
        Self {
            channel: Arc::clone(channel),
            left: start..places.min(start + Self::PLACES),
        }
    }

    async fn run(mut self, turn: &mut Turn) {
        let mut copied = Copied::new(std::mem::take(&mut turn.frames));
        while !self.left.is_empty() {
            let many = self.left.len().min(Turn::PLACES - turn.visited);
            let end = self.left.start + many;
            if self.channel.deliver(self.left.start..end, &mut copied) {
                turn.visited += many;
            }
            self.left.start = end;
            if turn.visited >= Turn::PLACES {
                turn.visited = 0;
                tokio::task::yield_now().await;
            }
        }
        turn.frames = copied.into_frames();
    }
}

impl Drop for Round {
    /// A runtime that ends drops its tasks: the drivers have to write what is left.
    fn drop(&mut self) {
        if !self.left.is_empty() {
            self.channel.end_delivery();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A channel that notes how many places all such channels were visited at.
    struct Counted {
        places: usize,
        visited: Arc<Mutex<usize>>,
    }

    impl Deliver for Counted {
        fn begin_delivery(&self) -> usize {
            self.places
        }

        fn deliver(&self, places: Range<usize>, _: &mut Copied) -> bool {
            assert!(places.end <= self.places);
            *lock(&self.visited) += places.len();
            true
        }

        fn end_delivery(&self) {}
    }

    /// Delivers to channels with these numbers of places. Returns how many places were visited whenever another task ran.
    async fn visited_at_each_yield(channels: &[usize]) -> Vec<usize> {
        let visited = Arc::new(Mutex::new(0));
        let channels: Vec<Arc<dyn Deliver>> = channels
            .iter()
            .map(|places| {
                let visited = Arc::clone(&visited);
                let places = *places;
                Arc::new(Counted { places, visited }) as Arc<dyn Deliver>
            })
            .collect();
        let delivering = tokio::spawn(async move {
            let mut turn = Turn::default();
            for channel in &channels {
                deliver(channel, &mut turn).await;
            }
        });
        let mut seen = Vec::new();
        while !delivering.is_finished() {
            tokio::task::yield_now().await;
            seen.push(*lock(&visited));
        }
        seen.dedup();
        seen
    }

    #[tokio::test]
    async fn small_channels_share_a_turn_and_a_turn_ends_after_32_places() {
        assert_eq!(visited_at_each_yield(&[10; 7]).await, [32, 64, 70]);
        assert_eq!(visited_at_each_yield(&[1; 40]).await, [32, 40]);
        assert_eq!(visited_at_each_yield(&[70]).await, [32, 64, 70]);
    }
}
