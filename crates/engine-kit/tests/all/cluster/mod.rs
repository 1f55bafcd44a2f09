//! A right engine of several nodes: nodes that share one memory engine, with a lease for each node. Its futures need three
//! polls, so that a check can drop them half way.

mod engine;
mod state;

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sockeye_engine_kit::checks::check_engine;
use sockeye_engine_kit::{Backend, Capability, Wait};
use sockeye_pubsub::engine::{NodeId, NodeInfo};
use sockeye_pubsub::{Engine, MemoryEngine, MemoryLimits, Surroundings};

use self::engine::ClusterEngine;
use self::state::{Dispatcher, Shared};
use crate::clock::Clock;
use crate::run::run;

/// Nodes that share one memory engine.
pub(crate) struct Cluster {
    clock: Arc<Clock>,
    core: Arc<MemoryEngine>,
    shared: Arc<Shared>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(Clock::new());
        let limits = MemoryLimits::default();
        let core = Arc::new(MemoryEngine::new(limits, Arc::<Clock>::clone(&clock)));
        let shared = Arc::new(Shared::default());
        let node = NodeInfo {
            id: NodeId(0),
            name: "core".into(),
            fingerprint: 0,
        };
        core.begin(node, Arc::new(Dispatcher(Arc::clone(&shared))))
            .expect("the engine is new");
        Self {
            clock,
            core,
            shared,
        }
    }

    pub(crate) fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    fn let_pass(&self, time: Duration) {
        self.clock.pass(time);
        self.core.prune(self.clock.now());
        self.shared.expire(self.clock.now());
    }
}

impl Backend for Cluster {
    fn capabilities(&self) -> &[Capability] {
        &[
            Capability::Nodes,
            Capability::Clock,
            Capability::Presence,
            Capability::Forget,
            Capability::Cut,
            Capability::Kill,
            Capability::Delay,
            Capability::Freeze,
        ]
    }

    fn engine(&self) -> Wait<'_, Arc<dyn Engine>> {
        let engine: Arc<dyn Engine> = Arc::new(ClusterEngine::new(
            Arc::clone(&self.clock),
            Arc::clone(&self.core),
            Arc::clone(&self.shared),
        ));
        Box::pin(ready(engine))
    }

    fn pass(&self, time: Duration) -> Wait<'_> {
        self.let_pass(time);
        Box::pin(ready(()))
    }

    fn overdue(&self) -> Wait<'_> {
        Box::pin(ready(()))
    }

    fn quiet(&self) -> Wait<'_> {
        Box::pin(ready(()))
    }

    fn forget(&self) -> Wait<'_> {
        self.let_pass(Duration::from_secs(30 * 24 * 3600));
        Box::pin(ready(()))
    }

    fn cut(&self, node: NodeId) -> Wait<'_> {
        self.shared.cut(node);
        Box::pin(ready(()))
    }

    fn kill(&self, node: NodeId) -> Wait<'_> {
        self.shared.kill(node, self.clock.now());
        Box::pin(ready(()))
    }

    fn freeze(&self) -> Wait<'_> {
        self.shared.is_silent.store(true, Ordering::Relaxed);
        Box::pin(ready(()))
    }

    fn thaw(&self) -> Wait<'_> {
        self.shared.is_silent.store(false, Ordering::Relaxed);
        self.clock.pass(Duration::ZERO);
        Box::pin(ready(()))
    }

    fn delay(&self, node: NodeId, time: Duration) -> Wait<'_> {
        self.shared.node(node, |node| node.delay = Some(time));
        Box::pin(ready(()))
    }
}

#[test]
fn a_right_engine_of_two_nodes_passes_each_check() {
    let report = run(check_engine(&Cluster::new()));
    assert_eq!(report.failures().count(), 0, "{report}");
    assert_eq!(report.skipped().count(), 0, "{report}");
}
