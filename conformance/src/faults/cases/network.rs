//! Cases of the network between a node and its server: nothing passes, one way is cut, links end after some bytes.

use std::time::Duration;

use sockeye_engine_kit::checker::Harm;
use sockeye_engine_kit::schedule::Chance;

use crate::faults::case::{Action, Case, Ground, Run, Script, WARM};
use crate::faults::proof;
use crate::relay::{Links, Pace, Way};

pub(super) const CASES: &[Case] = &[
    Case {
        id: "F5",
        title: "nothing passes between a node and its server",
        run: Run::Full,
        ground: Ground::Server(&[]),
        is_long: false,
        script: |chance, _| {
            let node = any_node(chance);
            let from = chance.between(WARM);
            let again = from + 8_000 + 16_000;
            let script = Script::default();
            let script = held(script, (from, from + 8_000), node, Links::All, Way::Both);
            held(script, (again, again + 40_000), node, Links::All, Way::Both)
        },
        judge: |evidence| proof::others_see_nothing(evidence),
    },
    Case {
        id: "F6",
        title: "the feed of a node passes nothing, and then its commands",
        run: Run::Full,
        ground: Ground::Server(&[]),
        is_long: false,
        script: |chance, _| {
            let node = any_node(chance);
            let from = chance.between(WARM);
            let again = from + 20_000 + 16_000;
            let script = Script::default();
            let script = held(script, (from, from + 20_000), node, Links::Feeds, Way::Down);
            held(
                script,
                (again, again + 20_000),
                node,
                Links::Commands,
                Way::Down,
            )
        },
        judge: |evidence| proof::others_see_nothing(evidence),
    },
    Case {
        id: "F9",
        title: "the server cuts the feed of a node that reads too slowly",
        run: Run::Full,
        ground: Ground::Server(&["client-output-buffer-limit pubsub 64kb 64kb 5"]),
        is_long: false,
        script: |chance, _| {
            let node = any_node(chance);
            let from = chance.between(WARM);
            let until = from + 30_000;
            let slow = Pace::Slow(2_000);
            Script::default()
                // So many bytes that the buffers between them do not hold them.
                .padding(5_000)
                .fault(from, until, ("slow node", Harm::Continuity))
                .at(from, Action::Pace(node, Links::Feeds, Way::Down, slow))
                .at(
                    until,
                    Action::Pace(node, Links::Feeds, Way::Down, Pace::Pass),
                )
        },
        judge: |evidence| {
            [
                proof::a_server_says(evidence, "overcoming of output buffer limits"),
                proof::others_see_nothing(evidence),
            ]
            .concat()
        },
    },
    Case {
        id: "F21b",
        title: "the server is far away",
        run: Run::Full,
        ground: Ground::Server(&[]),
        is_long: false,
        script: |chance, _| {
            let from = chance.between(WARM);
            let until = from + 20_000;
            let late = Pace::Delay(Duration::from_millis(chance.between((50, 400))));
            let script = Script::default()
                .at(from - 1, Action::NoteFeeds(0))
                .fault(from, until, ("server far away", Harm::Nothing))
                .at(until, Action::NoteFeeds(0));
            (0..3).fold(script, |script, node| {
                script
                    .at(from, Action::Pace(node, Links::All, Way::Both, late))
                    .at(until, Action::Pace(node, Links::All, Way::Both, Pace::Pass))
            })
        },
        judge: |evidence| [proof::sockets_stay(evidence), proof::feeds_stay(evidence)].concat(),
    },
    Case {
        id: "F24",
        title: "the links of a node end after some bytes",
        run: Run::Full,
        ground: Ground::Server(&[]),
        is_long: false,
        script: |chance, length| {
            let node = any_node(chance);
            let from = chance.between(WARM);
            let cuts = if length.run == Run::Full { 15 } else { 60 };
            let until = from + 2_000 * cuts;
            let script = Script::default().fault(from, until, ("links cut", Harm::Nothing));
            (0..cuts).fold(script, |script, cut| {
                let at = from + 2_000 * cut;
                let links = [Links::Feeds, Links::Commands][usize::from(chance.one_in(2))];
                let way = [Way::Up, Way::Down][usize::from(chance.one_in(2))];
                let pace = match chance.below(4) {
                    0 => Pace::HalfClose,
                    _ => Pace::CutAfter(chance.between((1, 2_000))),
                };
                script
                    .at(at, Action::Pace(node, links, way, pace))
                    .at(at + 500, Action::Pace(node, links, way, Pace::Pass))
            })
        },
        judge: |_| Vec::new(),
    },
];

fn any_node(chance: &mut Chance) -> usize {
    usize::try_from(chance.below(3)).unwrap_or_default()
}

/// Holds links for some time.
fn held(script: Script, (from, until): (u64, u64), node: usize, links: Links, way: Way) -> Script {
    script
        .fault(from, until, ("links held", Harm::Continuity))
        .at(from, Action::Pace(node, links, way, Pace::Hold))
        .at(until, Action::Pace(node, links, way, Pace::Pass))
}
