//! Cases of the server that is killed, and starts again.

use sockeye_engine_kit::checker::Harm;

use crate::engines::server::Data;
use crate::faults::case::{Action, Case, Ground, Run, Script, WARM};
use crate::faults::proof;

pub(super) const CASES: &[Case] = &[
    Case {
        id: "F2",
        title: "the server is killed, and starts empty",
        run: Run::Quick,
        ground: Ground::Server(&[]),
        is_long: false,
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
                proof::each_node_says_down(evidence, 15_000),
                proof::each_window_is_told_lost(evidence),
                proof::sockets_stay(evidence),
            ]
            .concat()
        },
    },
    Case {
        id: "F3",
        title: "the server is killed, and starts with its data",
        run: Run::Full,
        ground: Ground::Server(&["appendonly yes", "appendfsync always"]),
        is_long: false,
        script: |chance, _| {
            let from = chance.between(WARM);
            Script::default()
                .fault(from, from + 5_000, ("server killed", Harm::Nothing))
                .at(from, Action::KillServer(0))
                .at(from + 5_000, Action::StartServer(0, Data::Kept))
        },
        judge: |evidence| {
            [
                proof::none_is_confirmed_meanwhile(evidence),
                proof::sockets_stay(evidence),
            ]
            .concat()
        },
    },
    Case {
        id: "F22",
        title: "the server reads its data for twenty seconds",
        run: Run::Full,
        ground: Ground::Server(&[
            "key-load-delay 1000",
            "loading-process-events-interval-bytes 1024",
        ]),
        is_long: false,
        script: |chance, _| {
            let from = chance.between(WARM);
            Script::default()
                // Each of these keys costs the server a millisecond when it reads them.
                .at(from - 500, Action::Ask(0, &["DEBUG", "POPULATE", "20000"]))
                .fault(from, from + 24_000, ("server loading", Harm::Confirmed))
                .at(from, Action::Ask(0, &["SAVE"]))
                .at(from, Action::KillServer(0))
                .at(from + 1_000, Action::LaunchServer(0, Data::Kept))
        },
        judge: |evidence| {
            [
                proof::none_is_confirmed_within(evidence, 15_000),
                proof::sockets_stay(evidence),
            ]
            .concat()
        },
    },
];
