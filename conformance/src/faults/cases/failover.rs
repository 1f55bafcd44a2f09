//! Cases of two servers: the replica takes over, and what the primary had confirmed last is lost.

use sockeye_engine_kit::checker::Harm;

use crate::faults::case::{Action, Case, Ground, Run, Script, WARM};
use crate::faults::proof;
use crate::relay::Links;

pub(super) const CASES: &[Case] = &[
    Case {
        id: "F7",
        title: "failover: the newest confirmed messages are lost",
        run: Run::Quick,
        ground: Ground::Replica,
        is_long: false,
        script: |chance, _| {
            let first = usize::try_from(chance.below(3)).unwrap_or_default();
            let from = chance.between(WARM);
            let dies = from + chance.between((100, 500));
            let promoted = dies + chance.between((50, 500));
            // One node publishes about as much as was lost. The others find a log of the same length, and nothing comes
            // behind it: they know by the id alone that it is another one.
            let rest = promoted + chance.between((800, 1_600));
            let until = rest + 500;
            let script = Script::default()
                .fault(from, until, ("failover", Harm::Confirmed))
                .at(from, Action::Replicate(false))
                .at(dies, Action::KillServer(0))
                .at(promoted, PROMOTE)
                .at(promoted, Action::Lead(1))
                .at(promoted, Action::Point(first, 1))
                .at(rest, Action::Publish(false));
            let others = (0..3).filter(|node| *node != first);
            others.fold(script, |script, node| {
                script.at(until, Action::Point(node, 1))
            })
        },
        judge: |evidence| proof::some_are_told_lost(evidence, true),
    },
    Case {
        id: "F7b",
        title: "another log takes the place of the newest messages while all links are up",
        run: Run::Full,
        ground: Ground::Replica,
        is_long: false,
        script: |chance, _| {
            let first = chance.between(WARM);
            // No member comes or goes: no beat shows that members were lost, and nothing else does.
            let calm = Script::default().at(first - 1_000, Action::Calm);
            (0..4).fold(calm, |script, round| {
                let apart = usize::try_from(chance.below(3)).unwrap_or_default();
                let from = first + 9_000 * round;
                // The node that is apart connects within this time.
                let on = from + 1_600;
                let until = on + chance.between((400, 900));
                // Both logs get about as many messages, so that most topics show the other log by its ids alone.
                script
                    .fault(from, until, ("log replaced", Harm::Confirmed))
                    .at(from, Action::Publish(false))
                    .at(on, Action::Publish(true))
                    .at(from, Action::Replicate(false))
                    .at(from, PROMOTE)
                    .at(from, Action::Point(apart, 1))
                    .at(from, Action::Reset(apart, Links::All))
                    .at(until, Action::Restore(0, 1))
                    .at(until, Action::Point(apart, 0))
                    .at(until, Action::Reset(apart, Links::All))
                    .at(until + 2_000, Action::Replicate(true))
                    .at(until + 2_000, Action::Follow(1, 0))
            })
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
        id: "F19",
        title: "both links of a node stay at a demoted server",
        run: Run::Quick,
        ground: Ground::Replica,
        is_long: false,
        script: |chance, _| {
            let stays = usize::try_from(chance.below(3)).unwrap_or_default();
            let from = chance.between(WARM);
            let until = from + 8_000;
            let mut script = Script::default()
                .fault(from, until, ("demoted server", Harm::Confirmed))
                .at(from, Action::Replicate(false))
                .at(from, PROMOTE)
                .at(from, Action::Lead(1))
                // The relay of replication refuses, so the old server never gets what the new one has.
                .at(from, Action::Follow(0, 1))
                .at(until, Action::Point(stays, 1));
            for node in (0..3).filter(|node| *node != stays) {
                script = script
                    .at(from, Action::Point(node, 1))
                    .at(from, Action::Reset(node, Links::All));
            }
            script
        },
        judge: |evidence| proof::sockets_stay(evidence),
    },
    Case {
        id: "F20",
        title: "two primaries, and one of them gives way",
        run: Run::Full,
        ground: Ground::Replica,
        is_long: false,
        script: |chance, _| {
            let apart = usize::try_from(chance.below(3)).unwrap_or_default();
            let from = chance.between(WARM);
            let until = from + 10_000;
            Script::default()
                .fault(from, until, ("two primaries", Harm::Confirmed))
                .at(from, Action::Replicate(false))
                .at(from, PROMOTE)
                .at(from, Action::Point(apart, 1))
                .at(from, Action::Reset(apart, Links::All))
                .at(until, Action::Replicate(true))
                .at(until, Action::Follow(1, 0))
                .at(until, Action::Point(apart, 0))
                .at(until, Action::Reset(apart, Links::All))
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
        id: "F30",
        title: "the way to the server leads to another server",
        run: Run::Long,
        ground: Ground::Replica,
        is_long: false,
        script: |chance, _| {
            let cut = chance.between(WARM);
            let from = cut + chance.between((500, 2_000));
            let script = Script::default()
                .fault(cut, from, ("server switched", Harm::Confirmed))
                .at(cut, Action::Replicate(false))
                .at(from, PROMOTE)
                .at(from, Action::Lead(1));
            (0..3).fold(script, |script, node| {
                script
                    .at(from, Action::Point(node, 1))
                    .at(from, Action::Reset(node, Links::All))
            })
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

const PROMOTE: Action = Action::Ask(1, &["REPLICAOF", "NO", "ONE"]);
