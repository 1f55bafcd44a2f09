//! Cases of the feed alone: commands work, and messages do not come.

use sockeye_engine_kit::checker::Harm;

use crate::faults::case::{Action, Case, Ground, Run, Script, WARM};
use crate::faults::proof;

pub(super) const CASES: &[Case] = &[Case {
    id: "F8",
    title: "the feeds are cut each two seconds",
    run: Run::Quick,
    ground: Ground::Server(&[]),
    is_long: false,
    script: |chance, length| {
        let from = chance.between(WARM);
        let cuts = if length.run == Run::Quick { 4 } else { 15 };
        let kill = Action::Ask(0, &["CLIENT", "KILL", "TYPE", "pubsub"]);
        let until = from + 2_000 * (cuts - 1);
        let script = Script::default().fault(from, until, ("feeds cut", Harm::Nothing));
        (0..cuts).fold(script, |script, cut| {
            script.at(from + 2_000 * cut, kill.clone())
        })
    },
    judge: |evidence| {
        [
            proof::some_are_told_lost(evidence, false),
            proof::sockets_stay(evidence),
        ]
        .concat()
    },
}];
