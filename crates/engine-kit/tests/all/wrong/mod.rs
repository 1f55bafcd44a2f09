//! Wrong engines: each does one thing wrong, and a check must find it, for the right reason.

mod common;
mod engine;
mod events;
mod mutant;
mod presence;
mod read;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sockeye_engine_kit::checks::{CHECKS, Check, Outcome, check_engine};
use sockeye_engine_kit::{Backend, Capability, Wait};
use sockeye_pubsub::Engine;
use sockeye_pubsub::engine::NodeId;

use self::common::Common;
use self::engine::Wrong;
use self::mutant::{ALL, Mutant};
use crate::cluster::Cluster;
use crate::run::run;

/// A right backend whose engines do one thing wrong.
struct WrongBackend {
    common: Arc<Common>,
    right: Cluster,
}

impl WrongBackend {
    fn new(mutant: Mutant) -> Self {
        let right = Cluster::new();
        let clock = Arc::clone(right.clock());
        Self {
            common: Arc::new(Common::new(mutant, clock)),
            right,
        }
    }
}

impl Backend for WrongBackend {
    fn capabilities(&self) -> &[Capability] {
        self.right.capabilities()
    }

    fn engine(&self) -> Wait<'_, Arc<dyn Engine>> {
        Box::pin(async {
            let inner = self.right.engine().await;
            let mut known = self.common.known();
            let node = known.engines.len() % 2;
            known.engines.push(Arc::clone(&inner));
            drop(known);
            let engine: Arc<dyn Engine> = Arc::new(Wrong {
                common: Arc::clone(&self.common),
                inner,
                node,
            });
            engine
        })
    }

    fn pass(&self, time: Duration) -> Wait<'_> {
        self.right.pass(time)
    }

    fn overdue(&self) -> Wait<'_> {
        self.right.overdue()
    }

    fn quiet(&self) -> Wait<'_> {
        self.right.quiet()
    }

    fn forget(&self) -> Wait<'_> {
        self.right.forget()
    }

    fn cut(&self, node: NodeId) -> Wait<'_> {
        self.right.cut(node)
    }

    fn kill(&self, node: NodeId) -> Wait<'_> {
        if matches!(
            self.common.mutant,
            Mutant::KeepsMembersOfKilled | Mutant::KeepsCountsOfKilled
        ) {
            let mut known = self.common.known();
            known.gone = known.ids.get(&node).copied();
        }
        self.right.kill(node)
    }

    fn freeze(&self) -> Wait<'_> {
        self.right.freeze()
    }

    fn thaw(&self) -> Wait<'_> {
        self.right.thaw()
    }

    fn delay(&self, node: NodeId, time: Duration) -> Wait<'_> {
        if self.common.mutant == Mutant::AcceptsLatePublishes {
            return self.right.pass(time);
        }
        self.right.delay(node, time)
    }
}

#[test]
fn each_check_finds_what_its_wrong_engine_does_wrong() {
    let mut wrong = Vec::new();
    for (mutant, name, reason) in ALL {
        let check = Check::named(name).expect("the name of a check");
        let outcome = run(check.run(&WrongBackend::new(*mutant)));
        let is_found = match &outcome {
            Outcome::Failed(failure) => failure.reason().contains(reason),
            _ => false,
        };
        if !is_found {
            wrong.push(format!("{mutant:?}, {name}, \"{reason}\": {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_check_has_a_wrong_engine() {
    let found: BTreeSet<&str> = ALL.iter().map(|(_, check, _)| *check).collect();
    let without = CHECKS.iter().filter(|check| !found.contains(check.name));
    let without: Vec<&str> = without.map(|check| check.name).collect();
    assert_eq!(without, [] as [&str; 0]);
}

#[test]
fn a_wrong_engine_that_does_nothing_wrong_passes_each_check() {
    let report = run(check_engine(&WrongBackend::new(Mutant::Right)));
    assert_eq!(report.failures().count(), 0, "{report}");
}
