//! Cases of the server: killed, frozen.

use sockeye_engine_kit::checker::Harm;

use super::WARM;
use crate::engines::server::Data;
use crate::faults::case::{Action, Case, Ground, Run, Script};
use crate::faults::proof;

pub(super) const CASES: &[Case] = &[
    Case {
        id: "F2",
        title: "the server is killed, and starts empty",
        run: Run::Quick,
        ground: Ground::Server(&[]),
        script: |chance, _| {
            let from = chance.between(WARM);
            Script::default()
                .fault(from, from + 5_000, ("server emptied", Harm::Confirmed))
                .at(from, Action::KillServer(0))
                .at(from + 5_000, Action::StartServer(0, Data::Empty))
        },
        judge: |evidence| {
            [
                proof::none_is_confirmed_meanwhile(evidence),
                proof::each_window_is_told_lost(evidence),
                proof::sockets_stay(evidence),
            ]
            .concat()
        },
    },
    Case {
        id: "F4",
        title: "the server is frozen, and goes on",
        run: Run::Quick,
        ground: Ground::Server(&[]),
        script: |chance, run| {
            let from = chance.between(WARM);
            let script = Script::default()
                .at(from - 1, Action::NoteFeeds(0))
                .fault(from, from + 6_000, ("server frozen", Harm::Nothing))
                .at(from, Action::FreezeServer(0))
                .at(from + 6_000, Action::ThawServer(0))
                .at(from + 9_000, Action::NoteFeeds(0));
            if run == Run::Quick {
                return script;
            }
            let again = from + 20_000;
            script
                .fault(again, again + 20_000, ("server frozen for long", Harm::Nothing))
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
];

/// The time of a publish, in milliseconds: twice what is promised, for a loaded machine.
const PUBLISH: u64 = 4_000;
