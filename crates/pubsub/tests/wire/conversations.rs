//! The conversations of `conversations.json` with the client's machine. The tests of the JavaScript client read the same
//! file, so both clients behave alike. The file explains its steps.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sockeye_proto::{CloseCode, Message};
use sockeye_pubsub::Position;
use sockeye_pubsub::hub::{Recovery, Wants};
use sockeye_pubsub::wire::{ClientEvent, ClientMachine, PublishFailure, SUBPROTOCOLS};

use crate::support::{fixture, topic};

#[test]
fn each_conversation_of_the_fixture_goes_as_it_says() {
    let fixture = fixture("conversations.json");
    let conversations = fixture["conversations"].as_array().unwrap();
    assert!(!conversations.is_empty());
    for conversation in conversations {
        let name = conversation["name"].as_str().unwrap();
        let mut world = World::new(name);
        for step in conversation["steps"].as_array().unwrap() {
            world.step(step);
        }
        world.expect_silence();
    }
}

/// A client, and what came out of it since the last look.
struct World {
    name: String,
    client: ClientMachine,
    now: Instant,
    random: f64,
    keys: u128,
    sent: Vec<Message>,
    /// The code with which the client left, and the pause that follows; `None` at the end.
    left: Option<(u16, Option<Duration>)>,
    /// What stands for a text that the fixture does not know.
    bound: HashMap<String, Value>,
}

impl World {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            client: ClientMachine::default(),
            now: Instant::now(),
            random: 0.0,
            keys: 0,
            sent: Vec::new(),
            left: None,
            bound: HashMap::new(),
        }
    }

    fn step(&mut self, step: &Value) {
        let (action, value) = step.as_object().unwrap().iter().next().unwrap();
        match action.as_str() {
            "sent" => return self.expect_sent(value),
            "events" => return self.expect_events(value),
            "positions" => return self.expect_positions(value),
            "left" => return self.expect_left(value),
            "subscribe" => {
                let wants = match (value.get("after"), value.get("recent")) {
                    (Some(after), _) => Wants::After(after.as_str().unwrap().parse().unwrap()),
                    (_, Some(recent)) => {
                        Wants::Recent(u32::try_from(recent.as_u64().unwrap()).unwrap())
                    }
                    _ => Wants::Live,
                };
                let member = value.get("member").map(Value::to_string);
                self.client
                    .subscribe(topic(name(value)), wants, member.as_deref())
                    .unwrap();
            }
            "unsubscribe" => assert!(self.client.unsubscribe(&topic(value.as_str().unwrap()))),
            "publish" => {
                self.keys += 1;
                let message = message(&value["body"]);
                self.client
                    .publish(topic(name(value)), message, self.keys)
                    .unwrap();
            }
            "members" => {
                let max = value
                    .get("max")
                    .map(|max| u32::try_from(max.as_u64().unwrap()).unwrap());
                self.client.members(topic(name(value)), max).unwrap();
            }
            "count" => {
                self.client.count(topic(value.as_str().unwrap())).unwrap();
            }
            "send" => self.client.send(message(value)).unwrap(),
            "open" => self
                .client
                .connected(Some(SUBPROTOCOLS[0]), self.now)
                .unwrap(),
            "receive" => {
                let parts = value.as_array().unwrap();
                let header = match &parts[0] {
                    Value::String(raw) => raw.clone(),
                    header => header.to_string(),
                };
                let body = parts.get(1).map_or(Message::text(""), message);
                self.client.received(&framed(&header, &body), self.now);
            }
            "receive_raw" => self.client.received(&message(value), self.now),
            "random" => self.random = value.as_f64().unwrap(),
            "pass" => self.pass(Duration::from_millis(value.as_u64().unwrap())),
            "close" => {
                let code = code(u16::try_from(value.as_u64().unwrap()).unwrap());
                self.leave(code);
            }
            other => panic!("{}: {other}", self.name),
        }
        self.pump();
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.client.next_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.client.handle_timeout(at);
            self.pump();
        }
        self.now = end;
    }

    /// Sends what waits, and closes the connection if the client asks for it.
    fn pump(&mut self) {
        while let Some(frame) = self.client.next_frame(self.now) {
            self.sent.push(frame.message().clone());
        }
        if let Some(reason) = self.client.wants_close() {
            self.leave(reason.code());
        }
    }

    fn leave(&mut self, code: CloseCode) {
        let pause = self.client.closed(code, self.now, self.random);
        self.left = Some((code.get(), pause));
    }

    fn expect_sent(&mut self, expected: &Value) {
        let sent: Vec<_> = self.sent.drain(..).map(|frame| written(&frame)).collect();
        self.expect("sent", &Value::from(sent), expected);
    }

    fn expect_events(&mut self, expected: &Value) {
        let events: Vec<_> = std::iter::from_fn(|| self.client.next_event())
            .map(event)
            .collect();
        self.expect("events", &Value::from(events), expected);
    }

    fn expect_positions(&mut self, expected: &Value) {
        let positions = self.client.positions();
        let positions: BTreeMap<_, _> = positions
            .map(|(topic, at)| (topic.to_string(), at.to_string()))
            .collect();
        self.expect("positions", &json!(positions), expected);
    }

    fn expect_left(&mut self, expected: &Value) {
        let (code, pause) = self
            .left
            .take()
            .unwrap_or_else(|| panic!("{}: the client stays", self.name));
        let pause = pause.map(|pause| u64::try_from(pause.as_millis()).unwrap());
        self.expect("left", &json!({ "code": code, "pause": pause }), expected);
    }

    /// Compares, after a text of `expected` that begins with `$` was bound to what stands in its place.
    fn expect(&mut self, what: &str, actual: &Value, expected: &Value) {
        let expected = self.bind(actual, expected);
        assert_eq!(*actual, expected, "{what} in: {}", self.name);
    }

    fn bind(&mut self, actual: &Value, expected: &Value) -> Value {
        match expected {
            Value::String(name) if name.starts_with('$') => self
                .bound
                .entry(name.clone())
                .or_insert_with(|| actual.clone())
                .clone(),
            Value::Array(items) => {
                let bound = items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| self.bind(&actual[at], item));
                bound.collect()
            }
            Value::Object(fields) => {
                let bound = fields
                    .iter()
                    .map(|(name, field)| (name.clone(), self.bind(&actual[name], field)));
                Value::Object(bound.collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }

    fn expect_silence(&mut self) {
        self.expect_sent(&json!([]));
        self.expect_events(&json!([]));
        assert_eq!(self.left, None, "{}", self.name);
    }
}

fn name(value: &Value) -> &str {
    value["topic"].as_str().unwrap()
}

/// Returns a close code, also one that stands for no Close frame.
fn code(code: u16) -> CloseCode {
    match code {
        1005 => CloseCode::NO_STATUS,
        1006 => CloseCode::ABNORMAL,
        code => CloseCode::try_from(code).unwrap(),
    }
}

/// A text is a text message; `{"base64": …}` is a binary one.
fn message(value: &Value) -> Message {
    match value {
        Value::String(text) => Message::text(text.clone()),
        value => Message::binary(STANDARD.decode(value["base64"].as_str().unwrap()).unwrap()),
    }
}

fn body(message: &Message) -> Value {
    match message.as_text() {
        Some(text) => text.into(),
        None => json!({ "base64": STANDARD.encode(message.as_bytes()) }),
    }
}

fn framed(header: &str, body: &Message) -> Message {
    match body.as_text() {
        Some(text) => Message::text(format!("{header}\n{text}")),
        None => Message::binary([header.as_bytes(), b"\n", body.as_bytes()].concat()),
    }
}

/// Returns a frame as the fixture writes it: the header, and the body if there is one.
fn written(frame: &Message) -> Value {
    let bytes = frame.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    let header = match end {
        0 => Value::from(""),
        end => serde_json::from_slice(&bytes[..end]).unwrap(),
    };
    let content = match frame.as_text() {
        Some(text) => Message::text(&text[end + 1..]),
        None => Message::from(&bytes[end + 1..]),
    };
    match content.as_bytes() {
        [] => json!([header]),
        _ => json!([header, body(&content)]),
    }
}

fn place(at: Option<Position>) -> Value {
    at.map(|at| at.to_string()).into()
}

fn millis(time: Option<Duration>) -> Value {
    time.map(|time| u64::try_from(time.as_millis()).unwrap())
        .into()
}

/// Returns an event as the fixture writes it.
fn event(event: ClientEvent) -> Value {
    match event {
        ClientEvent::Subscribed {
            topic,
            recovery,
            replay,
            position,
        } => json!({
            "subscribed": *topic,
            "recovered": matches!(recovery, Recovery::Recovered { .. }),
            "missed": replay,
            "position": place(position),
        }),
        ClientEvent::Delayed {
            topic,
            failure,
            retry,
        } => {
            json!({ "delayed": *topic, "code": failure.code.as_str(), "retry": millis(Some(retry)) })
        }
        ClientEvent::Message {
            topic,
            message,
            position,
            ..
        } => json!({ "message": *topic, "body": body(&message), "position": place(position) }),
        ClientEvent::Lost { topic, .. } => json!({ "lost": *topic }),
        ClientEvent::Stir { topic } => json!({ "stir": *topic }),
        ClientEvent::Ended { topic, failure } => {
            json!({ "ended": *topic, "code": failure.code.as_str() })
        }
        ClientEvent::Published { number, stored, .. } => {
            json!({ "published": number.0, "stored": place(stored) })
        }
        ClientEvent::PublishFailed {
            number, failure, ..
        } => {
            let (code, retry) = match failure {
                PublishFailure::Refused(refused) => (refused.code.as_str(), refused.retry),
                PublishFailure::Unconfirmed => ("unknown", None),
                PublishFailure::Unsent => ("closed", None),
                other => panic!("{other}"),
            };
            json!({ "failed": number.0, "code": code, "retry": millis(retry) })
        }
        ClientEvent::Members {
            number,
            members,
            all,
            ..
        } => {
            json!({ "members": number.0, "list": serde_json::from_str::<Value>(&members).unwrap(), "all": all })
        }
        ClientEvent::Count { number, count, .. } => json!({ "count": number.0, "is": count }),
        ClientEvent::QueryFailed {
            number, failure, ..
        } => {
            let code = failure
                .as_ref()
                .map_or("closed", |failure| failure.code.as_str());
            let retry = failure.as_ref().and_then(|failure| failure.retry);
            json!({ "failed": number.0, "code": code, "retry": millis(retry) })
        }
        ClientEvent::App(message) => json!({ "app": body(&message) }),
        other => panic!("{other:?}"),
    }
}
