//! The sweeper: one task for a runtime, which looks at all sessions each second. It wakes sessions whose deadlines are
//! near, and closes sessions that were idle for too long. So an idle session needs no timer of its own.
//!
//! ```text
//!   a set gets its first session ─▶ watched ─▶ a look finds no session in it ─▶ forgotten
//!   the first set is watched ─▶ the sweeper starts ─▶ it has forgotten all sets ─▶ the sweeper ends
//! ```

use std::ops::Range;
use std::sync::Weak;
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::time::{Instant, MissedTickBehavior};

use crate::sync::{Mutex, lock};

/// A set of sessions that a sweeper watches.
pub(crate) trait Swept: Send + Sync {
    /// Looks at the sessions in these slots: wakes those whose deadline comes before `horizon`, and closes those that were
    /// idle for too long. `elapsed` is the time since the last look. Returns whether there are more slots.
    fn sweep_slots(&self, slots: Range<usize>, horizon: Instant, elapsed: Duration) -> bool;

    /// Leaves the sweeper if no session is open. The next session joins a sweeper again.
    fn leave_sweeper_if_empty(&self) -> bool;

    /// Marks that no sweeper watches the set: the next session joins one again.
    fn leave_sweeper(&self);
}

/// The sets of sessions that the sweeper of one runtime watches.
struct Watched {
    runtime: runtime::Id,
    sets: Vec<Weak<dyn Swept>>,
}

// Each runtime with open sessions has an entry, and a sweeper. Lock order: this, then the slots of a set.
static WATCHED: Mutex<Vec<Watched>> = Mutex::new(Vec::new());

/// Lets the sweeper of the current runtime watch a set, until a look finds no session in it.
pub(crate) fn watch(set: Weak<dyn Swept>) {
    let handle = Handle::current();
    let runtime = handle.id();
    let mut watched = lock(&WATCHED);
    if let Some(known) = watched.iter_mut().find(|known| known.runtime == runtime) {
        known.sets.push(set);
        return;
    }
    let sets = vec![set];
    watched.push(Watched { runtime, sets });
    drop(watched);
    // Spawned without the lock: a runtime that shuts down drops the task at once, and the drop takes the lock.
    handle.spawn(Sweeper(runtime).run());
}

/// The task that looks at the sessions of one runtime.
struct Sweeper(runtime::Id);

impl Sweeper {
    /// The time between two looks. A session is woken at most [`HORIZON`](Self::HORIZON) before its deadline.
    const PERIOD: Duration = Duration::from_secs(1);
    /// How far a look sees ahead: one period, and half of one more, because a tick may be late.
    const HORIZON: Duration = Duration::from_millis(1_500);
    /// The number of slots that are examined under one lock.
    const BATCH: usize = 256;

    /// Runs until the runtime has no open session.
    async fn run(self) {
        let mut ticks = tokio::time::interval(Self::PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked = Instant::now();
        loop {
            ticks.tick().await;
            // A late tick counts as no idle time: the process was stopped or busy, and input of that time may be
            // unread.
            let now = Instant::now();
            let elapsed = match now - looked {
                elapsed if elapsed < 2 * Self::PERIOD => elapsed,
                _ => Duration::ZERO,
            };
            looked = now;
            for set in self.sets() {
                look(&set, now + Self::HORIZON, elapsed).await;
            }
            if self.forget_empty_sets() {
                return;
            }
        }
    }

    fn sets(&self) -> Vec<Weak<dyn Swept>> {
        let watched = lock(&WATCHED);
        let own = watched.iter().find(|watched| watched.runtime == self.0);
        own.map(|own| own.sets.clone()).unwrap_or_default()
    }

    /// Forgets the sets without an open session. Returns whether none is left: then the next set starts another sweeper.
    fn forget_empty_sets(&self) -> bool {
        let mut watched = lock(&WATCHED);
        let Some(at) = watched.iter().position(|own| own.runtime == self.0) else {
            return true;
        };
        let sets = &mut watched[at].sets;
        sets.retain(|set| {
            set.upgrade()
                .is_some_and(|set| !set.leave_sweeper_if_empty())
        });
        let is_done = sets.is_empty();
        if is_done {
            watched.swap_remove(at);
        }
        is_done
    }
}

/// Looks at the sessions of one set, some at a time.
async fn look(set: &Weak<dyn Swept>, horizon: Instant, elapsed: Duration) {
    let mut start = 0;
    while let Some(sessions) = set.upgrade()
        && sessions.sweep_slots(start..start + Sweeper::BATCH, horizon, elapsed)
    {
        drop(sessions);
        start += Sweeper::BATCH;
        tokio::task::yield_now().await;
    }
}

impl Drop for Sweeper {
    /// The runtime may end before the endpoints, which may then run on another runtime.
    fn drop(&mut self) {
        let mut watched = lock(&WATCHED);
        let at = watched.iter().position(|own| own.runtime == self.0);
        let left = at
            .map(|at| watched.swap_remove(at).sets)
            .unwrap_or_default();
        left.iter()
            .filter_map(Weak::upgrade)
            .for_each(|set| set.leave_sweeper());
    }
}
