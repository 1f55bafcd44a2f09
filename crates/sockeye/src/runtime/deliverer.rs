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
        loop {
            match poll_fn(|cx| self.deliverer.poll_next(cx)).await {
                Some(channel) => deliver(&channel).await,
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
async fn deliver(channel: &Arc<dyn Deliver>) {
    // A session that opens later reads only later messages.
    let places = channel.begin_delivery();
    for start in (Round::PLACES..places).step_by(Round::PLACES) {
        tokio::spawn(Round::new(channel, start).run());
    }
    Round::new(channel, 0).run().await;
}

/// One delivery to some sessions of a channel.
struct Round {
    channel: Arc<dyn Deliver>,
    left: Range<usize>,
}

impl Round {
    /// The number of sessions that one task serves.
    const PLACES: usize = 256;
    /// The number of sessions after which the task yields to other tasks.
    const BATCH: usize = 32;

    fn new(channel: &Arc<dyn Deliver>, start: usize) -> Self {
        Self {
            channel: Arc::clone(channel),
            left: start..start + Self::PLACES,
        }
    }

    async fn run(mut self) {
        let mut copied = Copied::default();
        while !self.left.is_empty() {
            let end = self.left.end.min(self.left.start + Self::BATCH);
            let has_written = self.channel.deliver(self.left.start..end, &mut copied);
            self.left.start = end;
            if has_written {
                tokio::task::yield_now().await;
            }
        }
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
