//! Rule 4 at its begin: what the answer to a join, or a `lost`, may say.

use sockeye_pubsub::{Kept, Position};

use super::findings::Findings;
use super::index::Index;
use super::logs::{Client, Millis, Topic};
use super::needless;
use super::standing::Standing;
use super::violation::Rule;

/// What a client was answered when it subscribed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) after: Option<Position>,
    pub(super) at: Option<Position>,
    pub(super) recovered: Option<bool>,
    pub(super) missed: u32,
}

/// The event at which a client was told something about a topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) client: Client,
    pub(super) topic: Topic,
    pub(super) event: usize,
    pub(super) time: Millis,
}

impl Told {
    fn find(self, findings: &mut Findings<'_>, rule: Rule, reason: impl FnOnce() -> String) {
        findings.client(rule, self.client, self.topic, self.event, reason);
    }
}

/// Judges the answer to a join.
pub(super) fn check(index: &Index<'_>, findings: &mut Findings<'_>, told: Told, answer: Answer) {
    let Answer {
        after,
        recovered,
        missed,
        ..
    } = answer;
    match index.kept(told.topic) {
        Kept::Off => return,
        Kept::Latest { .. } => {
            if missed > 1 {
                told.find(findings, Rule::FalseRecovered, || {
                    format!("`missed` is {missed}, and the topic keeps one message")
                });
            }
            return;
        }
        Kept::Window { .. } => {}
    }
    let false_recovered = Rule::FalseRecovered;
    match (after, recovered) {
        (Some(after), Some(true)) => check_recovered(index, findings, told, answer, after),
        (Some(after), Some(false)) => {
            if missed > 0 {
                told.find(findings, false_recovered, || {
                    format!("`missed` is {missed}, and the position was lost")
                });
            }
            check_needless(index, findings, told, after);
        }
        (None, None) => {}
        (Some(_), None) => told.find(findings, false_recovered, || {
            "the answer does not say whether the position was recovered".to_owned()
        }),
        (None, Some(_)) => told.find(findings, false_recovered, || {
            "the client gave no position, and the answer says whether it was recovered".to_owned()
        }),
    }
    if recovered != Some(true) {
        check_position(index, findings, told, answer.at, "the answer");
    }
}

fn check_recovered(
    index: &Index<'_>,
    findings: &mut Findings<'_>,
    told: Told,
    answer: Answer,
    after: Position,
) {
    if answer.at != Some(after) {
        told.find(findings, Rule::FalseRecovered, || {
            let at = answer.at.map(|at| at.to_string());
            let at = at.as_deref().unwrap_or("missing");
            format!("recovered from {after}, and `at` is {at}")
        });
    }
    if !is_known(index, told.topic, after) {
        told.find(findings, Rule::FalseRecovered, || {
            format!("recovered from {after}, which the engine never stored")
        });
    }
}

/// Judges a `lost`. `before` is where the client stood.
pub(super) fn check_lost(
    index: &Index<'_>,
    findings: &mut Findings<'_>,
    told: Told,
    at: Option<Position>,
    before: &Standing,
) {
    if !before.is_subscribed {
        told.find(findings, Rule::Gap, || {
            "`lost` came without a subscription".to_owned()
        });
    }
    if before.replay > 0 {
        told.find(findings, Rule::FalseRecovered, || {
            let came = before.missed - before.replay;
            format!(
                "`missed` is {}, and {came} messages were replayed",
                before.missed
            )
        });
    }
    if matches!(index.kept(told.topic), Kept::Window { .. }) {
        check_position(index, findings, told, at, "`lost`");
        if let Some(from) = before.at {
            check_needless(index, findings, told, from);
        }
    }
}

/// Judges a position that a client was told without a message.
fn check_position(
    index: &Index<'_>,
    findings: &mut Findings<'_>,
    told: Told,
    at: Option<Position>,
    what: &str,
) {
    let Some(at) = at else {
        told.find(findings, Rule::Gap, || format!("{what} has no position"));
        return;
    };
    if !is_known(index, told.topic, at) {
        told.find(findings, Rule::Gap, || {
            format!("{what} names {at}, which the engine never stored")
        });
    }
}

fn is_known(index: &Index<'_>, topic: Topic, position: Position) -> bool {
    position.offset == 0 || index.entry(topic, position).is_some()
}

fn check_needless(index: &Index<'_>, findings: &mut Findings<'_>, told: Told, from: Position) {
    if let Some(missing) = needless::kept_behind(index, told.topic, told.time, from) {
        told.find(findings, Rule::NeedlessLost, || {
            format!(
                "the client was told `lost`, and the engine kept the {missing} messages behind {from}"
            )
        });
    }
}
