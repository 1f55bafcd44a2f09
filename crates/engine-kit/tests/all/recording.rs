//! Recorded logs as text, one event a line.
//!
//! ```text
//! topic room window 100 60000 500000          a topic: `window COUNT AGE BYTES`, `latest` or `off`; `brief` behind it leaves it out of rule 10
//! fault freeze 100 200 nothing                a fault: name, begin, end, harm
//! 10 publish room 7:1:a after 0 p/1           sent, stored and confirmed at once; `-` for the position without history
//! 10 p sent 1 room key                        a publisher: sent, ok N POSITION, unsent N, unknown N
//! 10 engine stored room 7:1:a after 0 p/1     the observer: stored, top TOPIC POSITION
//! 10 @ann sub room at 7:0:0                   a client: sub TOPIC at POSITION [after POSITION lost|recovered] [missed N]
//! 11 @ann msg room 7:1:a p/1                  msg TOPIC POSITION STAMP [live|replay|previous ID]; lost TOPIC POSITION
//! 11 @ann end room                            end, ask, refused TOPIC; connected, disconnected
//! 12 presence entered room 5 node 1           entered, left, died, members, count; `settled` behind the last two
//! 20 settled
//! ```
//!
//! A position is `EPOCH:OFFSET:ID` with small numbers in hexadecimal; the id 0 stands before the first message.

use std::collections::HashMap;
use std::time::Duration;

use sockeye_engine_kit::checker::{
    Client, ClientEvent, Fault, Harm, Kept, Logs, Millis, PresenceEvent, Publisher, PublisherEvent,
    Stamp, Stored, Topic,
};
use sockeye_pubsub::{Epoch, MessageId, Position};

/// Reads a recorded log.
pub(crate) fn logs(text: &str) -> Logs {
    let mut reader = Reader::default();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        if !words.is_empty() {
            reader.line(&words);
        }
    }
    reader.logs
}

#[derive(Default)]
struct Reader {
    logs: Logs,
    topics: HashMap<String, Topic>,
    clients: HashMap<String, Client>,
    publishers: HashMap<String, Publisher>,
}

impl Reader {
    fn line(&mut self, words: &[&str]) {
        match words {
            ["topic", name, kept @ ..] => {
                let (kept, is_brief) = match kept {
                    [kept @ .., "brief"] => (kept, true),
                    kept => (kept, false),
                };
                let topic = self.logs.topic(*name, self::kept(kept));
                self.topics.insert((*name).to_owned(), topic);
                if is_brief {
                    self.logs.may_lose(topic);
                }
            }
            ["fault", _, from, until, harm] => {
                let harm = match *harm {
                    "nothing" => Harm::Nothing,
                    "continuity" => Harm::Continuity,
                    "confirmed" => Harm::Confirmed,
                    other => panic!("no harm: {other}"),
                };
                self.logs.fault(Fault {
                    name: "fault",
                    from: number(from),
                    until: number(until),
                    harm,
                });
            }
            [time, "settled"] => self.logs.settled(number(time)),
            [time, "publish", topic, at, rest @ ..] => self.publish(number(time), topic, at, rest),
            [time, "engine", event @ ..] => self.engine(number(time), event),
            [time, "presence", event @ ..] => self.presence(number(time), event),
            [time, party, event @ ..] => match party.strip_prefix('@') {
                Some(client) => self.client(number(time), client, event),
                None => self.publisher(number(time), party, event),
            },
            other => panic!("no line of a log: {other:?}"),
        }
    }

    fn publish(&mut self, time: Millis, topic: &str, at: &str, rest: &[&str]) {
        let stamp = self.stamp(rest.last().expect("a stamp"));
        let (n, topic) = (stamp.n, self.topics[topic]);
        let at = position(at);
        let events = [
            PublisherEvent::Sent {
                n,
                topic,
                keyed: false,
            },
            PublisherEvent::Ok { n, at },
        ];
        for event in events {
            self.logs.published(stamp.publisher, time, event);
        }
        if let (Some(position), ["after", previous, _]) = (at, rest) {
            let previous = id(previous);
            self.logs.stored(Stored {
                topic,
                position,
                previous,
                stamp,
                len: 0,
                time,
            });
        }
    }

    fn engine(&mut self, time: Millis, event: &[&str]) {
        match event {
            ["stored", topic, at, "after", previous, stamp] => {
                let stored = Stored {
                    topic: self.topics[*topic],
                    position: position(at).expect("a position"),
                    previous: id(previous),
                    stamp: self.stamp(stamp),
                    len: 0,
                    time,
                };
                self.logs.stored(stored);
            }
            ["top", topic, at] => {
                let topic = self.topics[*topic];
                self.logs.top(time, topic, position(at));
            }
            other => panic!("no event of the engine: {other:?}"),
        }
    }

    fn presence(&mut self, time: Millis, event: &[&str]) {
        let settled = event.last() == Some(&"settled");
        let event = match event {
            ["entered", topic, member, "node", node] => PresenceEvent::Entered {
                topic: self.topics[*topic],
                member: number(member),
                node: u32::try_from(number(node)).expect("a number of a node"),
            },
            ["left", topic, member] => PresenceEvent::Left {
                topic: self.topics[*topic],
                member: number(member),
            },
            ["died", "node", node] => PresenceEvent::Died {
                node: u32::try_from(number(node)).expect("a number of a node"),
            },
            ["members", topic, members, ..] => PresenceEvent::Members {
                topic: self.topics[*topic],
                members: members.split(',').map(number).collect(),
                settled,
            },
            ["count", topic, count, ..] => PresenceEvent::Count {
                topic: self.topics[*topic],
                count: number(count),
                settled,
            },
            other => panic!("no event of presence: {other:?}"),
        };
        self.logs.presence(time, event);
    }

    fn client(&mut self, time: Millis, name: &str, event: &[&str]) {
        let event = match event {
            ["connected"] => ClientEvent::Connected,
            ["disconnected"] => ClientEvent::Disconnected,
            ["ask", topic] => ClientEvent::Asked {
                topic: self.topics[*topic],
            },
            ["refused", topic] => ClientEvent::Refused {
                topic: self.topics[*topic],
            },
            ["end", topic] => ClientEvent::Ended {
                topic: self.topics[*topic],
            },
            ["lost", topic, at] => ClientEvent::Lost {
                topic: self.topics[*topic],
                at: position(at),
            },
            ["sub", topic, "at", at, rest @ ..] => {
                let (after, rest) = match rest {
                    ["after", after, rest @ ..] => (position(after), rest),
                    rest => (None, rest),
                };
                let (recovered, rest) = match rest {
                    ["recovered", rest @ ..] => (Some(true), rest),
                    ["lost", rest @ ..] => (Some(false), rest),
                    rest => (None, rest),
                };
                let missed = match rest {
                    ["missed", missed] => u32::try_from(number(missed)).expect("a small number"),
                    _ => 0,
                };
                ClientEvent::Subscribed {
                    topic: self.topics[*topic],
                    after,
                    at: position(at),
                    recovered,
                    missed,
                }
            }
            ["msg", topic, at, stamp, rest @ ..] => ClientEvent::Message {
                topic: self.topics[*topic],
                at: position(at),
                previous: match rest {
                    ["previous", previous] => id(previous),
                    _ => None,
                },
                stamp: self.stamp(stamp),
                replayed: match rest {
                    ["replay"] => Some(true),
                    ["live"] => Some(false),
                    _ => None,
                },
            },
            other => panic!("no event of a client: {other:?}"),
        };
        let client = match self.clients.get(name) {
            Some(client) => *client,
            None => {
                let client = self.logs.client(name);
                self.clients.insert(name.to_owned(), client);
                client
            }
        };
        self.logs.note(client, time, event);
    }

    fn publisher(&mut self, time: Millis, name: &str, event: &[&str]) {
        let n = |n: &str| u32::try_from(number(n)).expect("a small number");
        let event = match event {
            ["sent", number, topic, key @ ..] => PublisherEvent::Sent {
                n: n(number),
                topic: self.topics[*topic],
                keyed: !key.is_empty(),
            },
            ["ok", number, at] => PublisherEvent::Ok {
                n: n(number),
                at: position(at),
            },
            ["unsent", number] => PublisherEvent::Unsent { n: n(number) },
            ["unknown", number] => PublisherEvent::Unknown { n: n(number) },
            other => panic!("no event of a publisher: {other:?}"),
        };
        let publisher = self.publisher_of(name);
        self.logs.published(publisher, time, event);
    }

    fn stamp(&mut self, text: &str) -> Stamp {
        let (publisher, n) = text.split_once('/').expect("PUBLISHER/N");
        Stamp {
            publisher: self.publisher_of(publisher),
            n: u32::try_from(number(n)).expect("a small number"),
        }
    }

    fn publisher_of(&mut self, name: &str) -> Publisher {
        if let Some(publisher) = self.publishers.get(name) {
            return *publisher;
        }
        let publisher = self.logs.publisher(name);
        self.publishers.insert(name.to_owned(), publisher);
        publisher
    }
}

fn kept(words: &[&str]) -> Kept {
    match words {
        ["off"] => Kept::Off,
        ["latest"] => Kept::Latest {
            ttl: Duration::from_secs(86_400),
        },
        ["window", count, age, bytes] => Kept::Window {
            count: u32::try_from(number(count)).expect("a small number"),
            age: Duration::from_millis(number(age)),
            bytes: usize::try_from(number(bytes)).expect("a small number"),
        },
        other => panic!("no history: {other:?}"),
    }
}

fn position(text: &str) -> Option<Position> {
    let mut parts = text.split(':');
    let epoch = parts.next().filter(|epoch| *epoch != "-")?;
    let (offset, id) = (parts.next().expect("an offset"), parts.next());
    Some(Position {
        epoch: Epoch::new(number(epoch)),
        offset: number(offset),
        id: self::id(id.expect("an id")),
    })
}

fn id(text: &str) -> Option<MessageId> {
    let id = u64::from_str_radix(text, 16).expect("a hexadecimal number");
    (id != 0).then(|| MessageId::new(id))
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}
