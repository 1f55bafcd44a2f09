//! The checker accepts good logs, and refuses each log with one planted violation for the right reason.

mod good;
mod planted;
mod recorded;
mod world;

use sockeye_engine_kit::checker::{Bounds, Rule, Violation, check, check_rule};

use crate::recording::logs;

/// A window with four messages, one each 10 ms, and what the engine ended on.
const FOUR: &str = "
    topic room window 100 60000 500000
    10 publish room 7:1:a after 0 p/1
    20 publish room 7:2:b after a p/2
    30 publish room 7:3:c after b p/3
    40 publish room 7:4:d after c p/4
    50 engine top room 7:4:d
    60 settled
";

fn violations(parts: &[&str]) -> Vec<Violation> {
    check(&logs(&parts.concat()), &Bounds::default())
}

#[track_caller]
fn accepts(parts: &[&str]) {
    let found = violations(parts);
    assert!(found.is_empty(), "{}", text(&found));
}

/// Checks that the log breaks this rule and no other, with this text in the reason.
#[track_caller]
fn refuses(parts: &[&str], rule: Rule, reason: &str) {
    let found = violations(parts);
    let is_right =
        |violation: &Violation| violation.rule == rule && violation.reason.contains(reason);
    assert!(
        !found.is_empty() && found.iter().all(is_right),
        "expected {rule} with \"{reason}\", found:\n{}",
        text(&found)
    );
    let alone = check_rule(rule, &logs(&parts.concat()), &Bounds::default());
    assert_eq!(alone, found);
}

fn text(found: &[Violation]) -> String {
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn a_violation_shows_the_events_around_it() {
    let found = violations(&[
        FOUR,
        "5 @ann sub room at 7:0:0
        11 @ann msg room 7:1:a p/1
        31 @ann msg room 7:3:c p/3
        41 @ann msg room 7:4:d p/4",
    ]);
    let text = found[0].to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("rule 3, no gap: ann: room: behind "),
        "{text}"
    );
    assert_eq!(lines.len(), 5, "{text}");
    assert!(
        lines[3].starts_with("  > 31 ms  message 3 of publisher 0 in topic 0 at "),
        "{text}"
    );
}
