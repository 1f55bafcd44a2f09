//! What a run leaves: the stories of clients and publishers, and what the observers found. The checker and the cases judge it.

use std::collections::{BTreeMap, HashMap};

use sockeye_engine_kit::checker::{
    ClientEvent, Fault, Logs, Millis, PresenceEvent, PublisherEvent, Topic,
};
use sockeye_pubsub::{Kept, Position};

use super::engine::Found;
use super::line::{Line, Noted};
use super::topics;
use crate::error::Result;

/// What a run leaves. All times are in milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// When the load began.
    pub(super) begin: Millis,
    pub(super) clients: Vec<Story<ClientEvent>>,
    pub(super) publishers: Vec<Story<PublisherEvent>>,
    pub(super) found: Found,
    pub(super) presence: Vec<(Millis, PresenceEvent)>,
    pub(super) faults: Vec<Fault>,
    pub(super) settled: Vec<Millis>,
    /// The ids of a server's connections that subscribe, each time that the script asked.
    pub(super) feeds: Vec<Vec<u64>>,
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
            });
            let ended = match noted {
                Noted::Cut => {
                    story.cuts.push(*time);
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

    /// Returns the last top of a topic that the observer read.
    pub(super) fn top(&self, topic: Topic) -> Option<Position> {
        let tops = self.found.tops.iter().filter(|(_, of, _)| *of == topic);
        tops.max_by_key(|(time, ..)| *time).and_then(|(.., top)| *top)
    }
}

/// The number in the name of a node.
fn node_number(name: &str) -> Result<u32> {
    let number = name.strip_prefix(NODE_PREFIX).and_then(|it| it.parse().ok());
    number.ok_or_else(|| format!("no node is called `{name}`").into())
}

/// Returns the name of a node.
pub(super) fn node_name(number: usize) -> String {
    format!("{NODE_PREFIX}{number}")
}

const NODE_PREFIX: &str = "node-";
