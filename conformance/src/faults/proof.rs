//! What cases ask for beside the rules of the checker. Each function returns sentences about what is not so.

mod logged;

use std::collections::BTreeMap;

use sockeye_engine_kit::checker::{ClientEvent, Fault, Millis, PublisherEvent, Topic};
use sockeye_pubsub::{Kept, Position};

pub(super) use self::logged::{
    a_server_says, each_node_says_down, longest_ghost, others_see_nothing,
};
use super::evidence::{Evidence, Story};

/// What is not so.
pub(super) type Faults = Vec<String>;

/// Returns the first fault of a run.
fn fault(evidence: &Evidence) -> Option<&Fault> {
    evidence.faults.iter().min_by_key(|fault| fault.from)
}

/// The outcome of each publish came in time. A publish whose connection ended has none.
pub(super) fn publishes_end_within(evidence: &Evidence, limit: Millis) -> Faults {
    let mut faults = Vec::new();
    for story in &evidence.publishers {
        let mut sent: BTreeMap<u32, Millis> = BTreeMap::new();
        for (time, event) in &story.events {
            let n = match event {
                PublisherEvent::Sent { n, .. } => {
                    sent.insert(*n, *time);
                    continue;
                }
                PublisherEvent::Ok { n, .. }
                | PublisherEvent::Unsent { n }
                | PublisherEvent::Unknown { n } => n,
            };
            let took = sent.remove(n).map_or(0, |sent| time - sent);
            if took > limit {
                let name = &story.name;
                faults.push(format!(
                    "{name}: the outcome of message {n} came after {took} ms, and {limit} ms are allowed"
                ));
            }
        }
    }
    faults.truncate(SHOWN);
    faults
}

/// No message was confirmed while the engine was away: else the fault did not happen.
pub(super) fn none_is_confirmed_meanwhile(evidence: &Evidence) -> Faults {
    none_is_confirmed(evidence, Millis::MAX, |_| true)
}

/// No message was confirmed in the first time of the fault.
pub(super) fn none_is_confirmed_within(evidence: &Evidence, time: Millis) -> Faults {
    none_is_confirmed(evidence, time, |_| true)
}

/// No message of a topic with history was confirmed while the engine had no room.
pub(super) fn none_is_stored_meanwhile(evidence: &Evidence) -> Faults {
    none_is_confirmed(evidence, Millis::MAX, Option::is_some)
}

/// Some message of a topic with history was confirmed behind the last fault: else nothing was mended.
pub(super) fn some_is_confirmed_later(evidence: &Evidence) -> Faults {
    let Some(until) = evidence.faults.iter().map(|fault| fault.until).max() else {
        return vec!["there was no fault".to_owned()];
    };
    let mut events = evidence.publishers.iter().flat_map(|story| &story.events);
    let is_stored =
        |event: &PublisherEvent| matches!(event, PublisherEvent::Ok { at: Some(_), .. });
    match events.any(|(time, event)| *time > until && is_stored(event)) {
        true => Vec::new(),
        false => vec!["no message was confirmed after the fault".to_owned()],
    }
}

fn none_is_confirmed(
    evidence: &Evidence,
    time: Millis,
    counts: impl Fn(&Option<Position>) -> bool,
) -> Faults {
    let Some(fault) = fault(evidence) else {
        return vec!["there was no fault".to_owned()];
    };
    // Answers that were under way may come a little later.
    let away = fault.from + 500..fault.until.min(fault.from.saturating_add(time));
    let is_confirmed = |story: &&Story<PublisherEvent>| {
        let mut events = story.events.iter();
        events.any(|(time, event)| match event {
            PublisherEvent::Ok { at, .. } => counts(at) && away.contains(time),
            _ => false,
        })
    };
    let confirmed = evidence.publishers.iter().filter(is_confirmed);
    confirmed
        .map(|story| {
            let name = &story.name;
            format!("{name}: a message was confirmed while the engine was away")
        })
        .collect()
}

/// No connection of a client ends during the faults, but those that clients cut themselves.
pub(super) fn sockets_stay(evidence: &Evidence) -> Faults {
    let mut faults = Vec::new();
    for story in &evidence.clients {
        for (time, event) in &story.events {
            let during = evidence
                .faults
                .iter()
                .any(|fault| (fault.from..=fault.until).contains(time));
            if *event == ClientEvent::Disconnected && during && !is_own_cut(story, *time) {
                let since = time.saturating_sub(evidence.begin);
                faults.push(format!(
                    "{}: the connection ended at {since} ms",
                    story.name
                ));
            }
        }
    }
    faults.truncate(SHOWN);
    faults
}

/// Whether the client itself has just cut its connection.
fn is_own_cut(story: &Story<ClientEvent>, time: Millis) -> bool {
    let mut cuts = story.cuts.iter();
    cuts.any(|cut| (*cut..cut + OWN_CUT).contains(&time))
}

/// A topic of a client while its log is read.
#[derive(Clone, Copy, Debug)]
struct Standing {
    at: Option<Position>,
    /// When the client got the position.
    since: Millis,
}

/// The engine began anew: each client that had a message of a window is told `lost`, and none is told `recovered`.
pub(super) fn each_window_is_told_lost(evidence: &Evidence) -> Faults {
    let (Some(fault), Some(settled)) = (fault(evidence), evidence.settled.first()) else {
        return vec!["there was no fault, or the run did not settle".to_owned()];
    };
    let mut faults = Vec::new();
    for story in &evidence.clients {
        let mut standings: BTreeMap<Topic, Standing> = BTreeMap::new();
        let events = story.events.iter();
        for (time, event) in events.take_while(|(time, _)| time < settled) {
            let (topic, at) = match *event {
                ClientEvent::Subscribed {
                    topic,
                    at,
                    after,
                    recovered,
                    ..
                } => {
                    let old = standings
                        .get(&topic)
                        .is_some_and(|it| it.since < fault.from);
                    let is_window = matches!(Evidence::kept(topic), Kept::Window { .. });
                    let is_false = recovered == Some(true) && *time > fault.until;
                    if is_window && is_false && old {
                        faults.push(format!(
                            "{}: {topic} was recovered from {after:?}, which the engine has forgotten",
                            story.name
                        ));
                    }
                    (topic, at)
                }
                ClientEvent::Message { topic, at, .. } | ClientEvent::Lost { topic, at } => {
                    (topic, at)
                }
                ClientEvent::Ended { topic } => {
                    standings.remove(&topic);
                    continue;
                }
                _ => continue,
            };
            standings.insert(topic, Standing { at, since: *time });
        }
        for (topic, standing) in standings {
            let is_window = matches!(Evidence::kept(topic), Kept::Window { .. });
            let has_message = standing.at.is_some_and(|at| at.offset > 0);
            if is_window && has_message && standing.since < fault.from {
                let name = &story.name;
                faults.push(format!(
                    "{name}: {topic} is lost, and the client was not told"
                ));
            }
        }
    }
    faults.truncate(SHOWN);
    faults
}

/// Some client was told `lost` in a topic of this kind: else the fault did not happen.
pub(super) fn some_are_told_lost(evidence: &Evidence, with_history: bool) -> Faults {
    let is_told = evidence.clients.iter().any(|story| {
        story.events.iter().any(|(_, event)| match event {
            ClientEvent::Lost { topic, at } => {
                let is_off = Evidence::kept(*topic) == Kept::Off;
                is_off != with_history && at.is_some() == with_history
            }
            ClientEvent::Subscribed { recovered, .. } => with_history && *recovered == Some(false),
            _ => false,
        })
    });
    match is_told {
        true => Vec::new(),
        false => vec![format!(
            "no client was told `lost` in a topic {} history",
            if with_history { "with" } else { "without" }
        )],
    }
}

/// Each node has at most so many more bytes during and after the faults than before.
pub(super) fn memory_grows_at_most(evidence: &Evidence, limit: u64) -> Faults {
    let Some(fault) = fault(evidence) else {
        return vec!["there was no fault".to_owned()];
    };
    let mut faults = Vec::new();
    let mut before: BTreeMap<usize, u64> = BTreeMap::new();
    for (time, node, bytes) in &evidence.memory {
        if *time < fault.from {
            before.insert(*node, *bytes);
        } else if let Some(before) = before.get(node)
            && *bytes > before + limit
        {
            faults.push(format!(
                "node {node} has {bytes} bytes, and had {before} before the fault"
            ));
        }
    }
    faults.truncate(SHOWN);
    faults
}

/// The connections that subscribe are the same each time that the script noted them.
pub(super) fn feeds_stay(evidence: &Evidence) -> Faults {
    match &evidence.feeds[..] {
        [first, rest @ ..] if !first.is_empty() && rest.iter().all(|feeds| feeds == first) => {
            Vec::new()
        }
        feeds => vec![format!("the feeds were connected again: {feeds:?}")],
    }
}

const SHOWN: usize = 5;
/// The time in which a client notes that it has cut its connection, in milliseconds.
const OWN_CUT: Millis = 3_000;

#[cfg(test)]
mod tests;
