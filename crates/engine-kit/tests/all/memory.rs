//! The memory engine passes all checks.

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye_engine_kit::checks::check_engine;
use sockeye_engine_kit::{Backend, Capability, Wait};
use sockeye_pubsub::{Engine, MemoryEngine, MemoryLimits, Surroundings};

use crate::clock::Clock;
use crate::run::run;

/// Memory engines with a clock. Each engine is a backend of its own.
struct Memory {
    clock: Arc<Clock>,
    engine: Mutex<Option<Arc<MemoryEngine>>>,
}

impl Memory {
    fn new() -> Self {
        Self {
            clock: Arc::new(Clock::new()),
            engine: Mutex::default(),
        }
    }

    /// Lets the engine drop what is too old, as its owner does.
    fn prune(&self) {
        let now = self.clock.now();
        if let Some(engine) = &*self.engine.lock().expect("no test panics with the lock") {
            engine.prune(now);
        }
    }
}

impl Backend for Memory {
    fn capabilities(&self) -> &[Capability] {
        &[Capability::Clock, Capability::Presence, Capability::Forget]
    }

    fn engine(&self) -> Wait<'_, Arc<dyn Engine>> {
        let clock = Arc::clone(&self.clock);
        let engine = Arc::new(MemoryEngine::new(MemoryLimits::default(), clock));
        *self.engine.lock().expect("no test panics with the lock") = Some(Arc::clone(&engine));
        let engine: Arc<dyn Engine> = engine;
        Box::pin(ready(engine))
    }

    fn pass(&self, time: Duration) -> Wait<'_> {
        self.clock.pass(time);
        self.prune();
        Box::pin(ready(()))
    }

    fn overdue(&self) -> Wait<'_> {
        Box::pin(ready(()))
    }

    fn quiet(&self) -> Wait<'_> {
        Box::pin(ready(()))
    }

    /// Waits for so long that the engine forgets each topic that nothing listens to.
    fn forget(&self) -> Wait<'_> {
        self.clock.pass(Duration::from_secs(30 * 24 * 3600));
        self.prune();
        Box::pin(ready(()))
    }
}

#[test]
fn the_memory_engine_passes_each_check() {
    let report = run(check_engine(&Memory::new()));
    assert_eq!(report.failures().count(), 0, "{report}");
}

#[test]
fn only_checks_of_several_nodes_and_of_links_do_not_concern_the_memory_engine() {
    let report = run(check_engine(&Memory::new()));
    let skipped: Vec<&str> = report.skipped().collect();
    assert_eq!(
        skipped,
        [
            "unlisten_leaves_other_nodes",
            "a_cut_feed_reports_a_gap",
            "a_cut_feed_loses_signals",
            "a_late_publish_is_refused",
            "calls_end_while_the_backend_is_silent",
            "a_killed_node_is_not_live",
            "members_of_all_nodes_are_listed",
            "a_stopped_node_leaves_no_members",
            "a_killed_node_leaves_no_members",
        ],
        "{report}"
    );
}
