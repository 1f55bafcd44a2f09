//! Cases of nodes: killed, stopped.

use sockeye_engine_kit::checker::Harm;

use crate::faults::case::{Action, Case, Ground, Run, Script, WARM};

pub(super) const CASES: &[Case] = &[Case {
    id: "F1",
    title: "a node is killed, and started again",
    run: Run::Quick,
    ground: Ground::Server(&[]),
    is_long: false,
    script: |chance, length| {
        let node = usize::try_from(chance.below(3)).unwrap_or_default();
        let from = chance.between(WARM);
        let until = from
            + if length.run == Run::Quick {
                5_000
            } else {
                20_000
            };
        Script::default()
            .fault(from, until, ("node killed", Harm::Nothing))
            .at(from, Action::KillNode(node))
            .at(until, Action::StartNode(node))
    },
    judge: |_| Vec::new(),
}];
