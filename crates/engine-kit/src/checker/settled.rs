//! Rules 8 and 11, and what of rule 6 shows when a run has settled: each client stands where the engine stands.

use sockeye_pubsub::Kept;

use super::findings::Findings;
use super::index::Index;
use super::logs::{Client, Millis, Topic};
use super::standing::Standing;
use super::violation::Rule;

/// A client and a topic when the run has settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) client: Client,
    pub(super) topic: Topic,
    /// The client's first event behind the mark.
    pub(super) event: usize,
    /// The number of the mark.
    pub(super) number: usize,
    /// When the run had settled.
    pub(super) mark: Millis,
}

/// Judges where a connected client stands in one topic.
pub(super) fn check(
    index: &Index<'_>,
    findings: &mut Findings<'_>,
    place: Place,
    standing: &Standing,
) {
    let Place {
        client,
        topic,
        event,
        number,
        mark,
    } = place;
    let mut find =
        |rule, reason: &dyn Fn() -> String| findings.client(rule, client, topic, event, reason);
    if let Some(asked) = standing.asked {
        find(Rule::Stall, &|| {
            format!("a join of {asked} ms has no answer at {mark} ms")
        });
    }
    if !standing.is_subscribed {
        return;
    }
    if standing.replay > 0 {
        find(Rule::FalseRecovered, &|| {
            format!(
                "`missed` is {}, and {} messages had come at {mark} ms",
                standing.missed,
                standing.missed - standing.replay
            )
        });
    }
    let Some(top) = index.top_at(topic, number) else {
        return;
    };
    match index.kept(topic) {
        Kept::Off => {}
        Kept::Latest { .. } => {
            let newest = top.and_then(|top| top.id);
            let has = standing.at.and_then(|at| at.id);
            if let Some(top) = top.filter(|_| newest.is_some() && newest != has) {
                find(Rule::Latest, &|| {
                    let has = standing.at.map(|at| at.to_string());
                    format!("the client has the value {has:?}, and the engine {top}")
                });
            }
        }
        Kept::Window { .. } if standing.at == top => {}
        Kept::Window { .. } => {
            let is_left =
                |at| index.entry(topic, at).is_some() && index.on_branch(topic, at).is_none();
            let at = standing.at.map(|at| at.to_string());
            let at = at.as_deref().unwrap_or("nowhere");
            let top = top.map(|top| top.to_string());
            let top = top.as_deref().unwrap_or("nowhere");
            let reason =
                || format!("at {mark} ms the client stands at {at}, and the engine at {top}");
            match standing.at {
                Some(at) if is_left(at) && standing.is_recovering() => {
                    find(Rule::FalseRecovered, &|| {
                        format!(
                            "{}: it was told `recovered` on a branch that was lost",
                            reason()
                        )
                    });
                }
                Some(at) if is_left(at) => find(Rule::Acknowledged, &|| {
                    format!(
                        "{}: the client holds a lost message, and was not told",
                        reason()
                    )
                }),
                _ => find(Rule::Stall, &reason),
            }
        }
    }
}
