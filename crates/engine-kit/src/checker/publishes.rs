//! Rules 2, 6 and 7 in the engine: confirmed messages are stored, unsent ones are not, and none is stored twice.

use std::ptr;

use sockeye_pubsub::Kept;

use super::findings::Findings;
use super::index::{Index, Publish};
use super::logs::{Publisher, Stamp, Stored};
use super::violation::Rule;

/// Judges the entries that the observer found, and the outcomes that the publishers noted.
pub(super) fn check(index: &Index<'_>, findings: &mut Findings<'_>) {
    entries(index, findings);
    for publisher in (0..).map(Publisher).take(index.logs.publishers.len()) {
        confirmed(index, findings, publisher);
    }
}

/// Judges each entry: its publish may have stored it, in time, and once in a branch.
fn entries(index: &Index<'_>, findings: &mut Findings<'_>) {
    // For each message the entry that was found last.
    let mut found: Vec<Option<&Stored>> = vec![None; index.publishes().len()];
    for entry in &index.logs.stored {
        let Stored { topic, stamp, .. } = *entry;
        let at = entry.position;
        // Several servers may have the entry.
        let first = index.entry(topic, at).unwrap_or(entry);
        if !ptr::eq(first, entry) {
            if first.stamp != stamp {
                findings.topic(Rule::Agreement, topic, || {
                    format!("at {at} stands {stamp}, and elsewhere {}", first.stamp)
                });
            }
            continue;
        }
        let (Some(publish), Some(place)) = (index.publish(stamp), index.place(stamp)) else {
            findings.topic(Rule::Outcome, topic, || {
                format!("{stamp} stands at {at}, and was never published")
            });
            continue;
        };
        let sent = publish.first_sent.map_or(0, |sent| sent.index as usize);
        let mut find = |rule, reason: &dyn Fn() -> String| {
            findings.publisher(rule, stamp.publisher, topic, sent, reason);
        };
        if publish.is_unsent() {
            find(Rule::Outcome, &|| {
                format!("{stamp} was reported as not published, and stands at {at}")
            });
        }
        let by = publish.last_sent + index.bounds.deadline + index.bounds.late + index.bounds.skew;
        if publish.is_unknown() && entry.time > by {
            find(Rule::Outcome, &|| {
                let time = entry.time;
                format!("{stamp} is unknown, and was stored at {time} ms, after {by} ms")
            });
        }
        if let Some(other) = found[place].filter(|_| publish.copies() == 1) {
            let is_behind = |later, earlier| index.is_behind(topic, later, earlier);
            if is_behind(at, other.position) || is_behind(other.position, at) {
                find(rule_of_copies(publish), &|| {
                    let other = other.position;
                    format!("{stamp} stands twice on one branch: at {other} and at {at}")
                });
            }
        }
        found[place] = Some(entry);
    }
}

/// Returns the rule that a message breaks which stands twice on one branch.
fn rule_of_copies(publish: &Publish) -> Rule {
    if publish.is_unknown() || publish.sends > 1 {
        Rule::Outcome
    } else {
        Rule::Duplicate
    }
}

/// Judges each confirmed message of a publisher: a window has it.
fn confirmed(index: &Index<'_>, findings: &mut Findings<'_>, publisher: Publisher) {
    let stamps = (0..).map(|n| Stamp { publisher, n });
    for (stamp, place) in stamps.map_while(|stamp| Some((stamp, index.place(stamp)?))) {
        let publish = &index.publishes()[place];
        let (Some(topic), Some(ok)) = (publish.topic, publish.ok) else {
            continue;
        };
        if !matches!(index.kept(topic), Kept::Window { .. }) {
            continue;
        }
        let event = ok.index as usize;
        let Some(at) = publish.at else {
            findings.publisher(Rule::Acknowledged, publisher, topic, event, || {
                format!("{stamp} was confirmed without a position")
            });
            continue;
        };
        let Some(entry) = index.entry(topic, at) else {
            if !index.may_forget {
                findings.publisher(Rule::Acknowledged, publisher, topic, event, || {
                    format!("{stamp} was confirmed at {at}, and is not stored")
                });
            }
            continue;
        };
        if entry.stamp != stamp {
            findings.publisher(Rule::Acknowledged, publisher, topic, event, || {
                format!(
                    "{stamp} was confirmed at {at}, and {} is stored there",
                    entry.stamp
                )
            });
        }
        if !index.may_forget && was_left(index, entry) {
            findings.publisher(Rule::Acknowledged, publisher, topic, event, || {
                format!("{stamp} was confirmed at {at}, and the engine has left that branch")
            });
        }
    }
}

/// Returns whether the engine ended on a branch without this entry.
fn was_left(index: &Index<'_>, entry: &Stored) -> bool {
    let Some((read, _)) = index.last_top(entry.topic) else {
        return false;
    };
    entry.time < read && index.on_branch(entry.topic, entry.position).is_none()
}
