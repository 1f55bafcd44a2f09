//! A run as text: the logs of a few topics in the form that the tests of the engine kit read. They plant a violation in it.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::hash::Hash;

use sockeye_engine_kit::checker::{ClientEvent, Harm, Kept, PresenceEvent, PublisherEvent, Topic};
use sockeye_pubsub::{MessageId, Position};

use super::evidence::Evidence;
use super::topics;

/// Writes what the evidence has on one topic of each kind. Ids, epochs and members get small numbers.
pub(super) fn text(evidence: &Evidence) -> Result<String, fmt::Error> {
    let mut recording = Recording {
        evidence,
        names: HashMap::new(),
        ids: Numbers::default(),
        epochs: Numbers::default(),
        members: Numbers::default(),
        text: String::new(),
    };
    recording.topics()?;
    recording.faults()?;
    recording.publishers()?;
    recording.engine()?;
    recording.clients()?;
    recording.presence()?;
    for time in &evidence.settled {
        writeln!(recording.text, "{} settled", recording.since(*time))?;
    }
    Ok(recording.text)
}

struct Recording<'a> {
    evidence: &'a Evidence,
    /// The topics that are written.
    names: HashMap<Topic, &'static str>,
    ids: Numbers<MessageId>,
    epochs: Numbers<u64>,
    members: Numbers<u64>,
    text: String,
}

impl Recording<'_> {
    fn since(&self, time: u64) -> u64 {
        time.saturating_sub(self.evidence.begin)
    }

    fn topics(&mut self) -> fmt::Result {
        for (number, topic) in (0..).zip(topics::all()) {
            let name = WRITTEN.iter().find(|(full, _)| *full == topic.name);
            let Some((_, name)) = name else { continue };
            self.names.insert(Topic(number), name);
            let kept = match topic.history.kept() {
                Kept::Off => "off".to_owned(),
                Kept::Latest { .. } => "latest".to_owned(),
                Kept::Window { count, age, bytes } => {
                    format!("window {count} {} {bytes}", age.as_millis())
                }
            };
            let brief = if topic.is_short { " brief" } else { "" };
            writeln!(self.text, "topic {name} {kept}{brief}")?;
        }
        Ok(())
    }

    fn faults(&mut self) -> fmt::Result {
        for fault in &self.evidence.faults {
            let (from, until) = (self.since(fault.from), self.since(fault.until));
            let harm = match fault.harm {
                Harm::Nothing => "nothing",
                Harm::Continuity => "continuity",
                Harm::Confirmed => "confirmed",
            };
            let name = fault.name.replace(' ', "-");
            writeln!(self.text, "fault {name} {from} {until} {harm}")?;
        }
        Ok(())
    }

    fn publishers(&mut self) -> fmt::Result {
        for (number, story) in self.evidence.publishers.iter().enumerate() {
            let mut topics = HashMap::new();
            for (time, event) in &story.events {
                if let PublisherEvent::Sent { n, topic, .. } = event {
                    topics.insert(*n, *topic);
                }
                let n = match event {
                    PublisherEvent::Sent { n, .. }
                    | PublisherEvent::Ok { n, .. }
                    | PublisherEvent::Unsent { n }
                    | PublisherEvent::Unknown { n } => n,
                };
                let name = topics
                    .get(n)
                    .and_then(|topic| self.names.get(topic).copied());
                let Some(name) = name else { continue };
                let event = match *event {
                    PublisherEvent::Sent { keyed: true, .. } => format!("sent {n} {name} key"),
                    PublisherEvent::Sent { .. } => format!("sent {n} {name}"),
                    PublisherEvent::Ok { at, .. } => format!("ok {n} {}", self.at(at)),
                    PublisherEvent::Unsent { .. } => format!("unsent {n}"),
                    PublisherEvent::Unknown { .. } => format!("unknown {n}"),
                };
                writeln!(self.text, "{} p{number} {event}", self.since(*time))?;
            }
        }
        Ok(())
    }

    fn engine(&mut self) -> fmt::Result {
        for entry in &self.evidence.found.stored {
            let Some(name) = self.names.get(&entry.topic).copied() else {
                continue;
            };
            let at = self.at(Some(entry.position));
            let previous = self.id(entry.previous);
            let (time, stamp) = (self.since(entry.time), entry.stamp);
            let stamp = format!("p{}/{}", stamp.publisher.0, stamp.n);
            writeln!(
                self.text,
                "{time} engine stored {name} {at} after {previous} {stamp}"
            )?;
        }
        let mut looks: Vec<_> = self.evidence.found.tops.iter().collect();
        looks.sort_by_key(|(time, ..)| *time);
        let mut tops = HashMap::new();
        for (time, topic, top) in looks {
            let Some(name) = self.names.get(topic).copied() else {
                continue;
            };
            let at = self.at(*top);
            // The last look before a mark counts, and each change.
            let is_mark = self
                .evidence
                .settled
                .iter()
                .any(|mark| time <= mark && *mark < time + 1_000);
            if tops.insert(*topic, *top) != Some(*top) || is_mark {
                writeln!(self.text, "{} engine top {name} {at}", self.since(*time))?;
            }
        }
        Ok(())
    }

    fn clients(&mut self) -> fmt::Result {
        for (number, story) in self.evidence.clients.iter().enumerate() {
            for (time, event) in &story.events {
                let Some(event) = self.event(event) else {
                    continue;
                };
                writeln!(self.text, "{} @c{number} {event}", self.since(*time))?;
            }
        }
        Ok(())
    }

    /// Returns the words of an event. `None` if its topic is not written.
    fn event(&mut self, event: &ClientEvent) -> Option<String> {
        let named = |of: &Self, topic: &Topic| of.names.get(topic).copied();
        Some(match event {
            ClientEvent::Connected => "connected".to_owned(),
            ClientEvent::Disconnected => "disconnected".to_owned(),
            ClientEvent::Asked { topic } => format!("ask {}", named(self, topic)?),
            ClientEvent::Refused { topic } => format!("refused {}", named(self, topic)?),
            ClientEvent::Ended { topic } => format!("end {}", named(self, topic)?),
            ClientEvent::Lost { topic, at } => {
                format!("lost {} {}", named(self, topic)?, self.at(*at))
            }
            ClientEvent::Subscribed {
                topic,
                after,
                at,
                recovered,
                missed,
            } => {
                let mut words = format!("sub {} at {}", named(self, topic)?, self.at(*at));
                if after.is_some() {
                    words += &format!(" after {}", self.at(*after));
                }
                words += match recovered {
                    Some(true) => " recovered",
                    Some(false) => " lost",
                    None => "",
                };
                words + &format!(" missed {missed}")
            }
            ClientEvent::Message {
                topic,
                at,
                stamp,
                replayed,
                ..
            } => {
                let replayed = match replayed {
                    Some(true) => " replay",
                    Some(false) => " live",
                    None => "",
                };
                let (name, publisher) = (named(self, topic)?, stamp.publisher.0);
                format!(
                    "msg {name} {} p{publisher}/{}{replayed}",
                    self.at(*at),
                    stamp.n
                )
            }
        })
    }

    fn presence(&mut self) -> fmt::Result {
        let mut events: Vec<_> = self.evidence.presence.iter().collect();
        events.sort_by_key(|(time, _)| *time);
        for (time, event) in events {
            let words = match event {
                PresenceEvent::Entered {
                    topic,
                    member,
                    node,
                } => self
                    .names
                    .get(topic)
                    .map(|name| format!("entered {name} {} node {node}", self.members.of(*member))),
                PresenceEvent::Left { topic, member } => self
                    .names
                    .get(topic)
                    .map(|name| format!("left {name} {}", self.members.of(*member))),
                PresenceEvent::Died { node } => Some(format!("died node {node}")),
                PresenceEvent::Members {
                    topic,
                    members,
                    settled: true,
                } if !members.is_empty() => self.names.get(topic).map(|name| {
                    let members = members.iter().map(|member| self.members.of(*member));
                    let members: Vec<String> = members.map(|it| it.to_string()).collect();
                    format!("members {name} {} settled", members.join(","))
                }),
                PresenceEvent::Members { .. } | PresenceEvent::Count { .. } => None,
            };
            if let Some(words) = words {
                writeln!(self.text, "{} presence {words}", self.since(*time))?;
            }
        }
        Ok(())
    }

    fn at(&mut self, position: Option<Position>) -> String {
        let Some(position) = position else {
            return "-".to_owned();
        };
        let epoch = self.epochs.of(position.epoch.get());
        format!("{epoch}:{}:{}", position.offset, self.id(position.id))
    }

    fn id(&mut self, id: Option<MessageId>) -> String {
        id.map_or("0".to_owned(), |id| format!("{:x}", self.ids.of(id)))
    }
}

/// Small numbers in the order in which things are met, from 1.
struct Numbers<T>(HashMap<T, usize>);

impl<T: Eq + Hash> Numbers<T> {
    fn of(&mut self, thing: T) -> usize {
        let next = self.0.len() + 1;
        *self.0.entry(thing).or_insert(next)
    }
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

/// The topics that are written, and their names in the text.
const WRITTEN: [(&str, &str); 5] = [
    ("window/0", "window"),
    ("short/0", "short"),
    ("latest/0", "latest"),
    ("off/0", "off"),
    ("present/0", "present"),
];
