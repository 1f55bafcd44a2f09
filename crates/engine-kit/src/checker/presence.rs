//! Rule 9: the members of a topic are its live sessions, and the members of a dead node are gone in time.

use std::collections::{BTreeMap, BTreeSet};

use super::findings::Findings;
use super::index::Index;
use super::logs::{Millis, PresenceEvent, Topic};

/// Judges what the readers of presence were answered.
pub(super) fn check(index: &Index<'_>, findings: &mut Findings<'_>) {
    let mut sessions = Sessions::default();
    let patience = index.bounds.lease + index.bounds.beat;
    for (number, (time, event)) in index.logs.presence.iter().enumerate() {
        match event {
            PresenceEvent::Entered {
                topic,
                member,
                node,
            } => {
                sessions.dead.remove(&(*topic, *member));
                sessions.live.insert((*topic, *member), *node);
            }
            PresenceEvent::Left { topic, member } => {
                sessions.live.remove(&(*topic, *member));
            }
            PresenceEvent::Died { node } => sessions.died(*node, *time),
            PresenceEvent::Members {
                topic,
                members,
                settled,
            } => {
                for member in members {
                    let dead = sessions.dead.get(&(*topic, *member));
                    if dead.is_some_and(|since| since + patience < *time) {
                        findings.presence(*topic, number, || {
                            format!("at {time} ms member {member} of a dead node is listed")
                        });
                    }
                }
                if *settled {
                    let listed = members.iter().copied().collect();
                    exact(
                        findings,
                        (*topic, number),
                        *time,
                        &sessions.of(*topic),
                        &listed,
                    );
                }
            }
            PresenceEvent::Count {
                topic,
                count,
                settled,
            } => {
                let live = sessions.of(*topic).len() as u64;
                if *settled && live != *count {
                    findings.presence(*topic, number, || {
                        format!("at {time} ms the count is {count}, and {live} sessions are live")
                    });
                }
            }
        }
    }
}

/// The sessions that are members of topics.
#[derive(Debug, Default)]
struct Sessions {
    /// The node of each live member.
    live: BTreeMap<(Topic, u64), u32>,
    /// When the node of a member died.
    dead: BTreeMap<(Topic, u64), Millis>,
}

impl Sessions {
    fn of(&self, topic: Topic) -> BTreeSet<u64> {
        let of_topic = self.live.range((topic, 0)..=(topic, u64::MAX));
        of_topic.map(|((_, member), _)| *member).collect()
    }

    fn died(&mut self, node: u32, time: Millis) {
        let dead = &mut self.dead;
        self.live.retain(|member, of| {
            if *of == node {
                dead.insert(*member, time);
            }
            *of != node
        });
    }
}

fn exact(
    findings: &mut Findings<'_>,
    (topic, number): (Topic, usize),
    time: Millis,
    live: &BTreeSet<u64>,
    listed: &BTreeSet<u64>,
) {
    if let Some(ghost) = listed.difference(live).next() {
        findings.presence(topic, number, || {
            format!("at {time} ms member {ghost} is listed, and has no live session")
        });
    }
    if let Some(missing) = live.difference(listed).next() {
        findings.presence(topic, number, || {
            format!("at {time} ms member {missing} is not listed, and has a live session")
        });
    }
}
