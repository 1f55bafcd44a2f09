//! A recorded run of the bench of faults, in which the feeds of three nodes were cut four times. The checker accepts it, and
//! refuses it with one planted violation, each time for the right reason.
//!
//! `cargo xtask faults --quick --case F8 --engine redis --record` leaves such a run in `recording.txt`.

use sockeye_engine_kit::checker::{Bounds, Rule, Violation, check};

use super::text;
use crate::recording::logs;

const RECORDED: &str = include_str!("recorded.txt");

/// The bounds of the bench.
const BOUNDS: Bounds = Bounds {
    deadline: 2_000,
    late: 3_000,
    lease: 30_000,
    beat: 5_000,
    settle: 15_000,
    delivery: 2_000,
    skew: 50,
};

/// Takes lines of the run away, and puts others in their places. A line stands once in it.
fn planted(changes: &[(&str, &str)]) -> Vec<Violation> {
    let mut run = format!("\n{RECORDED}");
    for (old, new) in changes {
        let old = format!("\n{old}\n");
        assert_eq!(run.matches(&old).count(), 1, "{old}");
        run = run.replace(&old, &format!("\n{new}\n"));
    }
    check(&logs(&run), &BOUNDS)
}

/// Checks that the changes break this rule and no other, with this text in each reason.
#[track_caller]
fn refuses(changes: &[(&str, &str)], rule: Rule, reason: &str) {
    let found = planted(changes);
    let is_right =
        |violation: &Violation| violation.rule == rule && violation.reason.contains(reason);
    assert!(
        !found.is_empty() && found.iter().all(is_right),
        "expected {rule} with \"{reason}\", found:\n{}",
        text(&found)
    );
}

#[test]
fn the_run_itself_is_good() {
    let found = planted(&[]);
    assert!(found.is_empty(), "{}", text(&found));
}

#[test]
fn a_subscriber_that_stalls() {
    refuses(
        &[
            ("15686 @c9 msg window 2:7:f p1/47 live", ""),
            (
                "24562 @c9 sub window at 2:7:f after 2:7:f recovered missed 0",
                "24562 @c9 sub window at 2:6:d after 2:6:d recovered missed 1\n\
                 24562 @c9 msg window 2:7:f p1/47 replay",
            ),
        ],
        Rule::Stall,
        "the client stands at",
    );
}

#[test]
fn a_hub_that_never_delivers_without_history() {
    refuses(
        &[("27343 @c4 msg off - p2/52 live", "")],
        Rule::Acknowledged,
        "did not come by",
    );
}

#[test]
fn a_missed_that_is_too_large() {
    refuses(
        &[(
            "9670 @c10 sub short at 1:7:5 after 1:7:5 recovered missed 1",
            "9670 @c10 sub short at 1:7:5 after 1:7:5 recovered missed 2",
        )],
        Rule::FalseRecovered,
        "`missed` is 2, and 1 messages were replayed",
    );
}

#[test]
fn a_missed_that_is_too_small() {
    refuses(
        &[(
            "9670 @c10 sub short at 1:7:5 after 1:7:5 recovered missed 1",
            "9670 @c10 sub short at 1:7:5 after 1:7:5 recovered missed 0",
        )],
        Rule::FalseRecovered,
        "`missed` is 0, and more messages were replayed",
    );
}

#[test]
fn a_message_that_comes_twice() {
    refuses(
        &[(
            "7027 @c9 msg window 2:4:1c p3/21 live",
            "7027 @c9 msg window 2:4:1c p3/21 live\n7027 @c9 msg window 2:4:1c p3/21 live",
        )],
        Rule::Duplicate,
        "which came before",
    );
}

#[test]
fn a_message_that_is_left_out() {
    refuses(
        &[("7028 @c5 msg window 2:4:1c p3/21 live", "")],
        Rule::Gap,
        "which leaves messages out",
    );
}

#[test]
fn two_messages_that_change_places() {
    refuses(
        &[
            (
                "12704 @c2 msg present 3:3:19 p2/38 live",
                "12704 @c2 msg present 3:4:1a p2/41 live",
            ),
            (
                "13711 @c2 msg present 3:4:1a p2/41 live",
                "13711 @c2 msg present 3:3:19 p2/38 live",
            ),
        ],
        Rule::Order,
        " came ",
    );
}

#[test]
fn a_recovered_that_leaves_a_message_out() {
    refuses(
        &[
            (
                "9670 @c10 sub short at 1:7:5 after 1:7:5 recovered missed 1",
                "9670 @c10 sub short at 1:7:5 after 1:7:5 recovered missed 0",
            ),
            ("9670 @c10 msg short 1:8:1e p3/28 replay", ""),
        ],
        Rule::FalseRecovered,
        "which does not follow, and the client was told `recovered`",
    );
}

#[test]
fn a_recovered_from_a_position_of_another_log() {
    refuses(
        &[(
            "4846 @c8 sub short at 1:3:1b after 1:3:1b recovered missed 0",
            "4846 @c8 sub short at 1:3:ff after 1:3:ff recovered missed 0",
        )],
        Rule::FalseRecovered,
        "recovered",
    );
}

#[test]
fn another_message_at_a_position() {
    refuses(
        &[(
            "15695 @c11 msg window 2:7:f p1/47 live",
            "15695 @c11 msg window 2:7:f p2/9 live",
        )],
        Rule::Agreement,
        "the client has message 9 of publisher 2",
    );
}

#[test]
fn a_confirmed_message_that_the_engine_does_not_have() {
    refuses(
        &[
            ("27686 engine stored window 2:8:8 after f p0/53", ""),
            ("27699 @c9 msg window 2:8:8 p0/53 live", ""),
            ("27702 @c11 msg window 2:8:8 p0/53 live", ""),
            ("27822 engine top window 2:8:8", ""),
            ("30312 engine top window 2:8:8", ""),
            ("30812 engine top window 2:8:8", ""),
            ("30828 engine top window 2:8:8", ""),
        ],
        Rule::Acknowledged,
        "is not stored",
    );
}

#[test]
fn an_unsent_message_that_appears() {
    refuses(
        &[("15034 p1 ok 45 2:6:d", "15034 p1 unsent 45")],
        Rule::Outcome,
        "reported as not published",
    );
}

#[test]
fn an_unknown_message_that_appears_after_its_deadline() {
    refuses(
        &[
            ("15022 p1 sent 45 window", "9022 p1 sent 45 window"),
            ("15034 p1 ok 45 2:6:d", "11022 p1 unknown 45"),
        ],
        Rule::Outcome,
        "is unknown, and was stored at 15030 ms",
    );
}

#[test]
fn a_latest_value_that_is_old() {
    refuses(
        &[
            ("16597 @c0 msg latest 4:3:10 p1/49 live", ""),
            (
                "24621 @c0 sub latest at 4:3:10 after 4:3:10 recovered missed 0",
                "24621 @c0 sub latest at 4:2:16 after 4:2:16 recovered missed 0",
            ),
        ],
        Rule::Latest,
        "the client has the value",
    );
}

#[test]
fn a_ghost_member() {
    refuses(
        &[(
            "27315 presence members present 3 settled",
            "27315 presence members present 1,3 settled",
        )],
        Rule::Presence,
        "is listed, and has no live session",
    );
}

#[test]
fn a_needless_lost() {
    refuses(
        &[(
            "5672 @c5 msg window 2:3:13 p2/16 live",
            "5672 @c5 lost window 2:3:13",
        )],
        Rule::NeedlessLost,
        "the engine kept the 1 messages behind",
    );
}

#[test]
fn a_join_that_is_never_answered() {
    refuses(
        &[(
            "13106 @c0 ask latest",
            "13106 @c0 ask latest\n13106 @c0 ask window",
        )],
        Rule::Stall,
        "has no answer",
    );
}
