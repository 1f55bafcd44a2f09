//! What a run leaves: the stories of clients and publishers, and what the observers found. The checker and the cases judge it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write;
use std::path::Path;

use sockeye_engine_kit::checker::{
    ClientEvent, Fault, Logs, Millis, PresenceEvent, PublisherEvent, Stored, Topic,
};
use sockeye_pubsub::Kept;

use super::engine::Found;
use super::hit::{Hit, Outcomes};
use super::line::{Line, Noted};
use super::topics;
use crate::error::Result;
use crate::judges;

/// What a run leaves. All times are in milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// When the load began.
    pub(super) begin: Millis,
    pub(super) clients: Vec<Story<ClientEvent>>,
    pub(super) publishers: Vec<Story<PublisherEvent>>,
    pub(super) found: Found,
    /// What was heard at each server.
    pub(super) heard: Vec<Vec<Stored>>,
    /// The faults that hit servers.
    pub(super) hits: Vec<Hit>,
    pub(super) presence: Vec<(Millis, PresenceEvent)>,
    pub(super) faults: Vec<Fault>,
    pub(super) settled: Vec<Millis>,
    /// The ids of a server's connections that subscribe, each time that the script asked.
    pub(super) feeds: Vec<Vec<u64>>,
    /// The nodes whose processes or links were hit.
    pub(super) struck: BTreeSet<usize>,
    /// What nodes logged: the time, the number of the node, and the line.
    pub(super) said: Vec<(Millis, usize, String)>,
    /// What each server logged.
    pub(super) server_logs: Vec<String>,
    /// The resident bytes of nodes, each second: the time, the number of the node, and its memory.
    pub(super) memory: Vec<(Millis, usize, u64)>,
}

/// What one party noted.
#[derive(Debug)]
pub(super) struct Story<E> {
    pub(super) name: String,
    pub(super) events: Vec<(Millis, E)>,
    /// When the party cut its own connection.
    pub(super) cuts: Vec<Millis>,
    /// The numbers of the nodes that the party was connected to, each with the time since when.
    pub(super) nodes: Vec<(Millis, usize)>,
}

impl Evidence {
    /// Adds the log of a process of clients, and what it says about members.
    pub(super) fn add_party(&mut self, name: &str, lines: &[Line]) -> Result<()> {
        let mut clients: BTreeMap<usize, Story<ClientEvent>> = BTreeMap::new();
        // The member that a client is in each topic.
        let mut members: HashMap<(usize, Topic), u64> = HashMap::new();
        for Line {
            time,
            client,
            noted,
        } in lines
        {
            let story = clients.entry(*client).or_insert_with(|| Story {
                name: format!("{name} client {client}"),
                events: Vec::new(),
                cuts: Vec::new(),
                nodes: Vec::new(),
            });
            let ended = match noted {
                Noted::Cut => {
                    story.cuts.push(*time);
                    continue;
                }
                Noted::At { node } => {
                    story.nodes.push((*time, node_number(node)? as usize));
                    continue;
                }
                Noted::Entered {
                    topic,
                    member,
                    node,
                } => {
                    members.insert((*client, *topic), *member);
                    let entered = PresenceEvent::Entered {
                        topic: *topic,
                        member: *member,
                        node: node_number(node)?,
                    };
                    self.presence.push((*time, entered));
                    continue;
                }
                Noted::Event(event) => event,
            };
            let is_ended = |topic: Topic| match ended {
                ClientEvent::Ended { topic: of } => *of == topic,
                ClientEvent::Disconnected => true,
                _ => false,
            };
            members.retain(|(of, topic), member| {
                let has_left = *of == *client && is_ended(*topic);
                if has_left {
                    let left = PresenceEvent::Left {
                        topic: *topic,
                        member: *member,
                    };
                    self.presence.push((*time, left));
                }
                !has_left
            });
            story.events.push((*time, *ended));
        }
        self.clients.extend(clients.into_values());
        Ok(())
    }

    /// Counts what was heard at a server as stored, where a fault took it before the observer read again.
    pub(super) fn keep_heard(&mut self) {
        let outcomes = Outcomes::of(&self.publishers);
        let stored = self.found.stored.iter();
        let mut known: HashSet<_> = stored.map(|it| (it.topic, it.position)).collect();
        for (server, heard) in self.heard.iter().enumerate() {
            for entry in heard {
                let is_new = !known.contains(&(entry.topic, entry.position));
                if is_new && outcomes.keep(entry, server, &self.hits) {
                    known.insert((entry.topic, entry.position));
                    self.found.stored.push(*entry);
                }
            }
        }
    }

    /// Returns the logs for the checker. Their times begin with the load.
    pub(super) fn logs(&self) -> Logs {
        let since = |time: Millis| time.saturating_sub(self.begin);
        let mut logs = Logs::new();
        for topic in topics::all() {
            let number = logs.topic(topic.name, topic.history.kept());
            if topic.is_short {
                logs.may_lose(number);
            }
        }
        for story in &self.clients {
            let client = logs.client(&*story.name);
            for (time, event) in &story.events {
                logs.note(client, since(*time), *event);
            }
        }
        for story in &self.publishers {
            let publisher = logs.publisher(&*story.name);
            for (time, event) in &story.events {
                logs.published(publisher, since(*time), *event);
            }
        }
        for entry in &self.found.stored {
            let mut entry = *entry;
            entry.time = since(entry.time);
            logs.stored(entry);
        }
        let mut tops = self.found.tops.clone();
        tops.sort_by_key(|(time, ..)| *time);
        for (time, topic, top) in tops {
            logs.top(since(time), topic, top);
        }
        let mut presence: Vec<_> = self.presence.iter().collect();
        presence.sort_by_key(|(time, _)| *time);
        for (time, event) in presence {
            logs.presence(since(*time), event.clone());
        }
        for fault in &self.faults {
            let mut fault = fault.clone();
            (fault.from, fault.until) = (since(fault.from), since(fault.until));
            logs.fault(fault);
        }
        for time in &self.settled {
            logs.settled(since(*time));
        }
        logs
    }

    /// Writes the logs that no process has written: those of the publishers, and what was found at the servers.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let since = |time: Millis| time.saturating_sub(self.begin);
        let mut text = String::new();
        for story in &self.publishers {
            for (time, event) in &story.events {
                writeln!(text, "{:>6} ms  {}: {event}", since(*time), story.name)?;
            }
        }
        judges::write(&folder.join("publishers.log"), &text)?;
        text.clear();
        for entry in &self.found.stored {
            let Stored {
                topic,
                position,
                previous,
                stamp,
                time,
                ..
            } = entry;
            let before = previous.map(|id| id.to_string());
            let before = before.as_deref().unwrap_or("nothing");
            let since = since(*time);
            writeln!(
                text,
                "{since:>6} ms  {topic} {position} behind {before}: {stamp}"
            )?;
        }
        judges::write(&folder.join("stored.log"), &text)
    }

    /// Returns what the engine keeps of a topic.
    pub(super) fn kept(topic: Topic) -> Kept {
        let topics = topics::all();
        let topic = topics.get(topic.0 as usize);
        topic.map_or(Kept::Off, |topic| topic.history.kept())
    }

    /// Returns the number of events, and of messages among them.
    pub(super) fn counts(&self) -> (usize, usize) {
        let events = self.clients.iter().flat_map(|story| &story.events);
        let messages = events
            .clone()
            .filter(|(_, event)| matches!(event, ClientEvent::Message { .. }));
        (events.count(), messages.count())
    }
}

/// The number in the name of a node.
fn node_number(name: &str) -> Result<u32> {
    let number = name
        .strip_prefix(NODE_PREFIX)
        .and_then(|it| it.parse().ok());
    number.ok_or_else(|| format!("no node is called `{name}`").into())
}

/// Returns the name of a node.
pub(super) fn node_name(number: usize) -> String {
    format!("{NODE_PREFIX}{number}")
}

const NODE_PREFIX: &str = "node-";

#[cfg(test)]
mod tests {
    use super::*;

    fn line(client: usize, time: Millis, noted: Noted) -> Line {
        Line {
            time,
            client,
            noted,
        }
    }

    #[test]
    fn a_member_leaves_with_its_subscription_or_its_connection() {
        let entered = |member| Noted::Entered {
            topic: Topic(25),
            member,
            node: node_name(2),
        };
        let lines = [
            line(0, 1, Noted::Event(ClientEvent::Connected)),
            line(0, 2, entered(7)),
            line(1, 3, entered(8)),
            line(0, 4, Noted::Event(ClientEvent::Disconnected)),
            line(1, 5, Noted::Event(ClientEvent::Ended { topic: Topic(24) })),
            line(1, 6, Noted::Event(ClientEvent::Ended { topic: Topic(25) })),
            line(1, 7, Noted::Cut),
        ];
        let mut evidence = Evidence::default();
        evidence.add_party("rust", &lines).unwrap();
        let topic = Topic(25);
        let enters = |member| PresenceEvent::Entered {
            topic,
            member,
            node: 2,
        };
        let leaves = |member| PresenceEvent::Left { topic, member };
        let expected = [
            (2, enters(7)),
            (3, enters(8)),
            (4, leaves(7)),
            (6, leaves(8)),
        ];
        assert_eq!(evidence.presence, expected);
        assert_eq!(evidence.clients[1].cuts, [7]);
        assert_eq!(evidence.counts(), (4, 0));
    }
}
