//! Cases of a server or a node that is frozen for a while: it is alive, and answers late or not at all.

use sockeye_engine_kit::checker::Harm;

use crate::faults::case::{Action, Case, Ground, Run, Script, WARM};
use crate::faults::proof;

pub(super) const CASES: &[Case] = &[
    Case {
        id: "F4",
        title: "the server is frozen, and goes on",
        run: Run::Quick,
        ground: Ground::Server(&[]),
        is_long: false,
        script: |chance, length| {
            let from = chance.between(WARM);
            let script = Script::default()
                .at(from - 1, Action::NoteFeeds(0))
                .fault(from, from + 6_000, ("server frozen", Harm::Nothing))
                .at(from, Action::FreezeServer(0))
                .at(from + 6_000, Action::ThawServer(0))
                .at(from + 9_000, Action::NoteFeeds(0));
            if length.run == Run::Quick {
                return script;
            }
            let again = from + 20_000;
            script
                .fault(
                    again,
                    again + 20_000,
                    ("server frozen for long", Harm::Nothing),
                )
                .at(again, Action::FreezeServer(0))
                .at(again + 20_000, Action::ThawServer(0))
        },
        judge: |evidence| {
            [
                proof::publishes_end_within(evidence, PUBLISH),
                proof::memory_grows_at_most(evidence, 20_000_000),
                proof::sockets_stay(evidence),
                proof::feeds_stay(evidence),
                proof::none_is_confirmed_meanwhile(evidence),
            ]
            .concat()
        },
    },
    Case {
        id: "F21a",
        title: "the server is stopped for 90 % of each second",
        run: Run::Full,
        ground: Ground::Server(&[]),
        is_long: false,
        script: |chance, _| {
            let from = chance.between(WARM);
            let until = from + 60_000;
            let script = Script::default()
                .at(from - 1, Action::NoteFeeds(0))
                .fault(from, until, ("server slow", Harm::Nothing))
                .at(until, Action::NoteFeeds(0));
            (from..until).step_by(1_000).fold(script, |script, at| {
                script
                    .at(at, Action::FreezeServer(0))
                    .at(at + 900, Action::ThawServer(0))
            })
        },
        judge: |evidence| {
            [
                proof::publishes_end_within(evidence, PUBLISH),
                proof::sockets_stay(evidence),
                proof::feeds_stay(evidence),
            ]
            .concat()
        },
    },
    Case {
        id: "F27",
        title: "a node is stopped past its lease",
        run: Run::Long,
        ground: Ground::Server(&[]),
        is_long: false,
        script: |chance, _| {
            let node = usize::try_from(chance.below(3)).unwrap_or_default();
            let from = chance.between(WARM);
            Script::default()
                .fault(from, from + 20_000, ("node stopped", Harm::Continuity))
                .at(from, Action::FreezeNode(node))
                .at(from + 20_000, Action::ThawNode(node))
        },
        judge: |_| Vec::new(),
    },
];

/// The time of a publish, in milliseconds: twice what is promised, for a loaded machine.
const PUBLISH: u64 = 4_000;
