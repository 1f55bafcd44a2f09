//! Cases of the server's memory: full, emptied with the links up, or set back to an older state.

use sockeye_engine_kit::checker::Harm;

use crate::faults::case::{Action, Case, Ground, Run, Script, WARM};
use crate::faults::proof;

pub(super) const CASES: &[Case] = &[
    Case {
        id: "F14a",
        title: "the server has no memory left, and evicts nothing",
        run: Run::Full,
        ground: Ground::Server(&["maxmemory-policy noeviction"]),
        is_long: false,
        script: |chance, _| {
            let from = chance.between(WARM);
            Script::default()
                .fault(from, from + 6_000, ("out of memory", Harm::Nothing))
                .at(from, FULL)
                .at(from + 6_000, ROOMY)
        },
        judge: |evidence| {
            [
                proof::none_is_stored_meanwhile(evidence),
                proof::sockets_stay(evidence),
            ]
            .concat()
        },
    },
    Case {
        id: "F14b",
        title: "the server has no memory left, and evicts topics",
        run: Run::Full,
        ground: Ground::Server(&["maxmemory-policy allkeys-lru"]),
        is_long: false,
        script: |chance, _| {
            let from = chance.between(WARM);
            let script = Script::default()
                .fault(from, from + 4_000, ("topics evicted", Harm::Confirmed))
                .at(from + 4_000, ROOMY);
            // Each time the server is full for a moment, so that publishes go on between.
            (from..from + 4_000)
                .step_by(1_000)
                .fold(script, |script, at| script.at(at, FULL).at(at + 200, ROOMY))
        },
        judge: |evidence| {
            [
                proof::some_are_told_lost(evidence, true),
                proof::sockets_stay(evidence),
            ]
            .concat()
        },
    },
    Case {
        id: "F23a",
        title: "the server forgets everything while the links are up",
        run: Run::Full,
        ground: Ground::Server(&[]),
        is_long: false,
        script: |chance, _| {
            let rest = chance.between(WARM);
            let from = rest + 1_000;
            // Nothing comes that shows what is missing: only the beat can find it.
            Script::default()
                .at(rest, Action::Publish(false))
                .at(rest, Action::Calm)
                .fault(from, from, ("server emptied", Harm::Confirmed))
                .at(from, Action::Ask(0, &["FLUSHALL"]))
        },
        judge: |evidence| {
            [
                proof::each_window_is_told_lost(evidence),
                proof::sockets_stay(evidence),
            ]
            .concat()
        },
    },
    Case {
        id: "F23b",
        title: "the server forgets the scripts while the links are up",
        run: Run::Full,
        ground: Ground::Server(&[]),
        is_long: false,
        script: |chance, _| {
            let from = chance.between(WARM);
            Script::default()
                .fault(from, from, ("scripts forgotten", Harm::Nothing))
                .at(from, Action::Ask(0, &["SCRIPT", "FLUSH"]))
        },
        judge: |evidence| proof::sockets_stay(evidence),
    },
    Case {
        id: "F23c",
        title: "the server goes back to an older state while the links are up",
        run: Run::Full,
        ground: Ground::Server(&[]),
        is_long: false,
        script: |chance, _| {
            let saved = chance.between(WARM);
            let from = saved + chance.between((500, 4_000));
            Script::default()
                .at(saved, Action::Ask(0, &["SAVE"]))
                .fault(from, from, ("server set back", Harm::Confirmed))
                .at(from, Action::Ask(0, &["DEBUG", "RELOAD", "NOSAVE"]))
        },
        judge: |evidence| {
            [
                proof::some_are_told_lost(evidence, true),
                proof::sockets_stay(evidence),
            ]
            .concat()
        },
    },
];

const FULL: Action = Action::Ask(0, &["CONFIG", "SET", "maxmemory", "1mb"]);
const ROOMY: Action = Action::Ask(0, &["CONFIG", "SET", "maxmemory", "0"]);
