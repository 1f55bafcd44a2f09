//! What cases ask for in the logs of nodes and servers, and of the clients of nodes that were not hit.

use sockeye_engine_kit::checker::{ClientEvent, Millis, PresenceEvent};

use super::{Faults, SHOWN, fault, is_own_cut};
use crate::faults::evidence::{Evidence, Story};

/// Each node said within this time of the first fault that it lost the server, and later that it was connected.
pub(in crate::faults) fn each_node_says_down(evidence: &Evidence, limit: Millis) -> Faults {
    let Some(fault) = fault(evidence) else {
        return vec!["there was no fault".to_owned()];
    };
    let mut faults = Vec::new();
    for node in 0..NODES {
        let said = |words: &str, from: Millis| {
            let mut lines = evidence.said.iter();
            let line =
                lines.find(|(time, of, line)| *of == node && *time >= from && line.contains(words));
            line.map(|(time, ..)| *time)
        };
        match said(DOWN, fault.from) {
            Some(down) if down <= fault.from + limit => {
                if said(READY, down).is_none() {
                    faults.push(format!(
                        "node {node} did not say that it was connected again"
                    ));
                }
            }
            Some(down) => {
                let took = down - fault.from;
                faults.push(format!(
                    "node {node} said `Down` after {took} ms, not {limit} ms"
                ));
            }
            None => faults.push(format!("node {node} did not say `Down`")),
        }
    }
    faults
}

/// The nodes that no fault hit kept their server, and their clients heard no `lost` and kept their connections.
pub(in crate::faults) fn others_see_nothing(evidence: &Evidence) -> Faults {
    let (Some(fault), Some(settled)) = (fault(evidence), evidence.settled.first()) else {
        return vec!["there was no fault, or the run did not settle".to_owned()];
    };
    let during = fault.from..*settled;
    let is_other = |node: &usize| !evidence.struck.contains(node);
    let mut faults = Vec::new();
    for (time, node, line) in &evidence.said {
        let is_trouble = TROUBLE.iter().any(|words| line.contains(words));
        if is_trouble && is_other(node) && during.contains(time) {
            faults.push(format!("node {node} was not hit, and said:{line}"));
        }
    }
    for story in &evidence.clients {
        for (time, event) in &story.events {
            let is_notice = match event {
                ClientEvent::Lost { .. } => true,
                ClientEvent::Disconnected => !is_own_cut(story, *time),
                _ => false,
            };
            let node = node_at(story, *time);
            if is_notice && during.contains(time) && node.as_ref().is_some_and(is_other) {
                let since = time.saturating_sub(evidence.begin);
                faults.push(format!(
                    "{}: {event:?} at {since} ms, at a node that was not hit",
                    story.name
                ));
            }
        }
    }
    faults.truncate(SHOWN);
    faults
}

/// Returns the node that a client was connected to.
fn node_at(story: &Story<ClientEvent>, time: Millis) -> Option<usize> {
    let mut nodes = story.nodes.iter().rev();
    let (_, node) = nodes.find(|(since, _)| *since <= time)?;
    Some(*node)
}

/// Some server logged these words: else the fault did not happen.
pub(in crate::faults) fn a_server_says(evidence: &Evidence, words: &str) -> Faults {
    match evidence.server_logs.iter().any(|log| log.contains(words)) {
        true => Vec::new(),
        false => vec![format!("no server said `{words}`")],
    }
}

/// Returns how long after the death of its node a member was last listed, in a sentence. `None` if no node died.
pub(in crate::faults) fn longest_ghost(evidence: &Evidence) -> Option<String> {
    let mut longest = None;
    for (died, event) in &evidence.presence {
        let PresenceEvent::Died { node: dead } = event else {
            continue;
        };
        let listings = evidence.presence.iter().filter(|(time, event)| {
            let PresenceEvent::Members { topic, members, .. } = event else {
                return false;
            };
            *time > *died
                && evidence
                    .presence
                    .iter()
                    .any(|(entered, event)| match event {
                        PresenceEvent::Entered {
                            topic: of,
                            member,
                            node,
                        } => {
                            node == dead
                                && of == topic
                                && entered < died
                                && members.contains(member)
                        }
                        _ => false,
                    })
        });
        let last = listings.map(|(time, _)| time - died).max().unwrap_or(0);
        longest = longest.max(Some(last));
    }
    longest.map(|last| {
        format!("members of a dead node were last listed {last} ms after its death, at a look each second")
    })
}

const NODES: usize = 3;
const DOWN: &str = "lost the server";
const READY: &str = "connected server=";
/// What a node says when something is wrong between it and its server.
const TROUBLE: [&str; 4] = [
    DOWN,
    "messages of other nodes do not come",
    "topics are being subscribed again",
    "cannot connect again",
];
