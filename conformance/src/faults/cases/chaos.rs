//! The chaos: cases of one server in a random order, 5 to 15 s apart.

use super::{feed, freeze, memory, network, node, server};
use crate::faults::case::{Case, Ground, Run, Script};

pub(super) const CASES: &[Case] = &[Case {
    id: "F18",
    title: "chaos",
    run: Run::Long,
    ground: Ground::Server(&["appendonly yes", "appendfsync always"]),
    is_long: true,
    script: |chance, length| {
        let until = u64::try_from(length.chaos.as_millis()).unwrap_or(u64::MAX);
        let all = [
            node::CASES,
            server::CASES,
            feed::CASES,
            freeze::CASES,
            memory::CASES,
            network::CASES,
        ]
        .concat();
        // A case with lines of its own in the configuration needs a server of its own.
        let fits = |case: &&Case| matches!(case.ground, Ground::Server([]));
        let cases: Vec<&Case> = all.iter().filter(fits).collect();
        let mut script = Script::default();
        while script.end() < until {
            let Some(case) = chance.pick(&cases) else {
                break;
            };
            let pause = chance.between(PAUSES);
            let next = (case.script)(chance, length);
            script = script.clone().and_later(script.end() + pause, &next);
        }
        script
    },
    judge: |_| Vec::new(),
}];

/// The shortest and the longest pause between two cases, in milliseconds.
const PAUSES: (u64, u64) = (5_000, 15_000);
