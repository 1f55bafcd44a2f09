//! The lines of a client's log: what its process writes, and what the run reads again. The client in Node writes the same.
//!
//! A line is a JSON object: `t` milliseconds since 1970, `c` the number of the client in its process, `e` the event, and
//! what belongs to the event. A topic is its number.

use std::fmt;

use serde_json::{Value, json};
use sockeye_engine_kit::checker::{ClientEvent, Millis, Publisher, Stamp, Topic};
use sockeye_pubsub::{MessageId, Position};

use crate::error::Result;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) time: Millis,
    pub(super) client: usize,
    pub(super) noted: Noted,
}

/// What a client noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// An event that the checker knows.
    Event(ClientEvent),
    /// The client is going to cut its own connection.
    Cut,
    /// The client is connected to this node.
    At { node: String },
    /// The subscription made the client a member.
    Entered {
        topic: Topic,
        member: u64,
        node: String,
    },
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = match &self.noted {
            Noted::Event(event) => value_of(event),
            Noted::Cut => json!({ "e": "cut" }),
            Noted::At { node } => json!({ "e": "at", "node": node }),
            Noted::Entered {
                topic,
                member,
                node,
            } => json!({
                "e": "in",
                "topic": topic.0,
                "me": MessageId::new(*member).to_string(),
                "node": node,
            }),
        };
        value["t"] = self.time.into();
        value["c"] = self.client.into();
        write!(f, "{value}")
    }
}

fn value_of(event: &ClientEvent) -> Value {
    let text = |at: &Option<Position>| at.map(|at| at.to_string());
    match event {
        ClientEvent::Connected => json!({ "e": "open" }),
        ClientEvent::Disconnected => json!({ "e": "shut" }),
        ClientEvent::Asked { topic } => json!({ "e": "ask", "topic": topic.0 }),
        ClientEvent::Refused { topic } => json!({ "e": "refused", "topic": topic.0 }),
        ClientEvent::Ended { topic } => json!({ "e": "end", "topic": topic.0 }),
        ClientEvent::Lost { topic, at } => {
            json!({ "e": "lost", "topic": topic.0, "at": text(at) })
        }
        ClientEvent::Subscribed {
            topic,
            after,
            at,
            recovered,
            missed,
        } => json!({
            "e": "sub",
            "topic": topic.0,
            "after": text(after),
            "at": text(at),
            "recovered": recovered,
            "missed": missed,
        }),
        ClientEvent::Message {
            topic,
            at,
            stamp,
            replayed,
            ..
        } => json!({
            "e": "msg",
            "topic": topic.0,
            "at": text(at),
            "p": stamp.publisher.0,
            "n": stamp.n,
            "replayed": replayed,
        }),
    }
}

impl Line {
    /// Reads a line.
    pub(super) fn read(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text)?;
        read(&value).ok_or_else(|| format!("not a line of a client's log: {text}").into())
    }
}

fn read(value: &Value) -> Option<Line> {
    let position = |name: &str| match &value[name] {
        Value::Null => Some(None),
        Value::String(text) => text.parse::<Position>().ok().map(Some),
        _ => None,
    };
    let number = |name: &str| value[name].as_u64().and_then(|it| u32::try_from(it).ok());
    let topic = || number("topic").map(Topic);
    let event = match value["e"].as_str()? {
        "open" => ClientEvent::Connected,
        "shut" => ClientEvent::Disconnected,
        "ask" => ClientEvent::Asked { topic: topic()? },
        "refused" => ClientEvent::Refused { topic: topic()? },
        "end" => ClientEvent::Ended { topic: topic()? },
        "lost" => ClientEvent::Lost {
            topic: topic()?,
            at: position("at")?,
        },
        "sub" => ClientEvent::Subscribed {
            topic: topic()?,
            after: position("after")?,
            at: position("at")?,
            recovered: value["recovered"].as_bool(),
            missed: number("missed")?,
        },
        "msg" => ClientEvent::Message {
            topic: topic()?,
            at: position("at")?,
            previous: None,
            stamp: Stamp {
                publisher: Publisher(number("p")?),
                n: number("n")?,
            },
            replayed: value["replayed"].as_bool(),
        },
        "cut" => return line(value, Noted::Cut),
        "at" => {
            let node = value["node"].as_str()?.to_owned();
            return line(value, Noted::At { node });
        }
        "in" => {
            let member = value["me"].as_str()?.parse::<MessageId>().ok()?;
            let noted = Noted::Entered {
                topic: topic()?,
                member: member.get(),
                node: value["node"].as_str()?.to_owned(),
            };
            return line(value, noted);
        }
        _ => return None,
    };
    line(value, Noted::Event(event))
}

fn line(value: &Value, noted: Noted) -> Option<Line> {
    Some(Line {
        time: value["t"].as_u64()?,
        client: usize::try_from(value["c"].as_u64()?).ok()?,
        noted,
    })
}

/// Reads the stamp in the body of a message. `None` if it has none.
pub(super) fn stamp(body: &[u8]) -> Option<Stamp> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let number = |name: &str| value[name].as_u64().and_then(|it| u32::try_from(it).ok());
    Some(Stamp {
        publisher: Publisher(number("p")?),
        n: number("n")?,
    })
}

/// Reads the time at which the body of a message was sent. `None` if it has none.
pub(super) fn sent(body: &[u8]) -> Option<Millis> {
    let value: Value = serde_json::from_slice(body).ok()?;
    value["t"].as_u64()
}

/// Writes the body of a message, with so many bytes more.
pub(super) fn body(stamp: Stamp, time: Millis, padding: usize) -> String {
    let Stamp { publisher, n } = stamp;
    let rest = "x".repeat(padding);
    json!({ "p": publisher.0, "n": n, "t": time, "rest": rest }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let at: Position = "AAAAAAAAAAE:1:AAAAAAAAAAo".parse().unwrap();
        let topic = Topic(3);
        let stamp = Stamp {
            publisher: Publisher(1),
            n: 7,
        };
        let events = [
            ClientEvent::Connected,
            ClientEvent::Disconnected,
            ClientEvent::Asked { topic },
            ClientEvent::Refused { topic },
            ClientEvent::Ended { topic },
            ClientEvent::Lost {
                topic,
                at: Some(at),
            },
            ClientEvent::Subscribed {
                topic,
                after: None,
                at: Some(at),
                recovered: Some(false),
                missed: 2,
            },
            ClientEvent::Message {
                topic,
                at: None,
                previous: None,
                stamp,
                replayed: Some(true),
            },
        ];
        let entered = Noted::Entered {
            topic,
            member: 10,
            node: "node-1".to_owned(),
        };
        let at = Noted::At {
            node: "node-2".to_owned(),
        };
        for noted in events
            .map(Noted::Event)
            .into_iter()
            .chain([entered, Noted::Cut, at])
        {
            let line = Line {
                time: 1_700_000_000_123,
                client: 4,
                noted,
            };
            assert_eq!(Line::read(&line.to_string()).unwrap(), line);
        }
    }

    #[test]
    fn a_body_keeps_its_stamp_and_other_text_has_none() {
        let written = Stamp {
            publisher: Publisher(2),
            n: 9,
        };
        assert_eq!(stamp(body(written, 5, 3).as_bytes()), Some(written));
        assert_eq!(sent(body(written, 5, 3).as_bytes()), Some(5));
        for text in ["", "{}", "{\"p\":-1,\"n\":1}", "fish"] {
            assert_eq!(stamp(text.as_bytes()), None, "{text}");
        }
        assert!(Line::read("{\"e\":\"msg\"}").is_err());
    }
}
