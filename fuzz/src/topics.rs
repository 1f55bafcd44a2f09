//! The subprotocol of topics: what is read is written alike, and no frame brings a machine out of order.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use sockeye_proto::{CloseCode, CloseReason, Message, Outgoing, Text};
use sockeye_pubsub::engine::{Member, MemberId};
use sockeye_pubsub::hub::{Recovery, Wants, Welcome};
use sockeye_pubsub::wire::{
    ClientEvent, ClientFrame, ClientMachine, Content, ErrorCode, Failure, MAX_HEADER, MAX_MEMBER,
    MAX_MEMBERS_HEADER, Reference, Reply, Request, RequestNumber, SUBPROTOCOLS, ServerFrame,
    ServerLimits, ServerMachine, Step, Unusable,
};
use sockeye_pubsub::{Epoch, MessageId, Position, TopicName};

/// Each step is a byte that says what happens, a byte for the length of its bytes, and the bytes. Frames are parsed, and
/// come to both machines; the application and the hub act; time goes on; connections are lost.
pub fn wire(data: &[u8]) {
    let mut world = World::new();
    let mut rest = data;
    while let Some((&[what, len], tail)) = rest.split_first_chunk::<2>() {
        let (bytes, tail) = tail.split_at(usize::from(len).min(tail.len()));
        rest = tail;
        world.step(what, bytes);
        world.check();
    }
    world.client.end();
    world.check();
    assert!(world.waiting.is_empty(), "a request without an outcome");
}

/// A client, a server, and what is on the way between them.
struct World {
    now: Instant,
    server: ServerMachine,
    client: ClientMachine,
    /// The requests that the server's owner works at.
    asked: Vec<Asked>,
    /// The requests of the client without an outcome.
    waiting: HashSet<RequestNumber>,
    to_server: Vec<Message>,
    to_client: Vec<Message>,
    keys: u128,
}

/// A request that the server's owner has not answered yet.
struct Asked {
    reference: Reference,
    answer: Answer,
}

enum Answer {
    Subscription(TopicName, Wants),
    End,
    Stored,
    Members,
    Count,
}

impl World {
    fn new() -> Self {
        Self {
            now: *START,
            server: ServerMachine::new(&ServerLimits::default().topics(4)),
            client: ClientMachine::default(),
            asked: Vec::new(),
            waiting: HashSet::new(),
            to_server: Vec::new(),
            to_client: Vec::new(),
            keys: 0,
        }
    }

    fn step(&mut self, what: u8, bytes: &[u8]) {
        let frame = message(bytes);
        match what % 10 {
            0 => {
                client_frame_round_trip(Content::from(&frame));
                server_frame_round_trip(Content::from(&frame));
            }
            1 => self.server_receives(&frame),
            2 => self.client.received(&frame, self.now),
            3 => self.application(bytes),
            4 => self.time_passes(bytes),
            5 => self.hub_answers(bytes),
            6 => self.client_sends(usize::MAX),
            7 => self.client_sends(1),
            8 => {
                for frame in std::mem::take(&mut self.to_client) {
                    self.client.received(&frame, self.now);
                }
            }
            _ => self.connection_ends(bytes),
        }
    }

    fn server_receives(&mut self, frame: &Message) {
        // The owner stops reading.
        if !self.server.can_take_more() {
            return;
        }
        let pending = self.server.pending();
        let step = self.server.receive(Content::from(frame), self.now);
        match step {
            Step::Wait => {}
            Step::App(body) => assert!(frame.as_bytes().ends_with(body.as_bytes())),
            Step::Subscribe {
                reference,
                topic,
                wants,
                member,
            } => {
                assert!(member.is_none_or(|member| member.len() <= MAX_MEMBER));
                self.ask(reference, Answer::Subscription(topic, wants), pending);
            }
            Step::Unsubscribe { reference, .. } => self.ask(reference, Answer::End, pending),
            Step::Publish(publish) => self.ask(publish.reference, Answer::Stored, pending),
            Step::Who { reference, .. } => self.ask(reference, Answer::Members, pending),
            Step::Count { reference, .. } => self.ask(reference, Answer::Count, pending),
            Step::Reply(reply) => self.reply(reply),
        }
    }

    fn ask(&mut self, reference: Reference, answer: Answer, pending: usize) {
        assert_eq!(self.server.pending(), pending + 1);
        assert!(self.asked.iter().all(|asked| asked.reference != reference));
        self.asked.push(Asked { reference, answer });
    }

    fn reply(&mut self, reply: Reply) {
        self.to_client.extend(reply.frame.map(server_text));
        if let Some(reason) = reply.close {
            assert!(reason.reason().len() <= CloseReason::MAX_REASON);
            assert!(matches!(reason.code().get(), 1008 | 1013));
            assert_eq!(self.server.pending(), 0);
            self.asked.clear();
        }
    }

    fn hub_answers(&mut self, bytes: &[u8]) {
        let [at, how, ..] = *bytes else { return };
        if self.asked.is_empty() {
            return;
        }
        let asked = self.asked.remove(usize::from(at) % self.asked.len());
        let reference = asked.reference;
        if how & 1 != 0 {
            let code = if how & 2 != 0 {
                ErrorCode::Rate
            } else {
                ErrorCode::Denied
            };
            let mut failure = Failure::new(code, "no");
            if how & 4 != 0 {
                failure = failure.retry(Duration::from_millis(how.into()));
            }
            let reply = self.server.failed(reference, failure, self.now);
            self.reply(reply.expect("the request waits"));
        } else {
            let text = match asked.answer {
                Answer::Subscription(topic, wants) => {
                    let recovery = match wants {
                        Wants::After(_) if how & 2 != 0 => Recovery::Lost,
                        Wants::After(_) => Recovery::Recovered { missed: 0 },
                        _ => Recovery::Fresh,
                    };
                    let welcome = Welcome {
                        at: (how & 4 != 0).then(|| position(how)),
                        recovery,
                        replay: &[],
                    };
                    self.server.subscribed(reference, &topic, &welcome)
                }
                Answer::End => self.server.unsubscribed(reference),
                Answer::Stored => self
                    .server
                    .published(reference, (how & 2 != 0).then(|| position(how))),
                Answer::Members => {
                    let member = Member {
                        id: MemberId(how.into()),
                        info: Some("{}".into()),
                        principal: Some(String::from_utf8_lossy(bytes).into()),
                        since: how.into(),
                    };
                    self.server.members(reference, &[member], true)
                }
                Answer::Count => self.server.counted(reference, how.into()),
            };
            self.to_client
                .push(server_text(text.expect("the request waits")));
        }
        // Each request is answered once.
        assert_eq!(self.server.published(reference, None), None);
        while let Some(publish) = self.server.next_publish() {
            self.asked.push(Asked {
                reference: publish.reference,
                answer: Answer::Stored,
            });
        }
    }

    fn application(&mut self, bytes: &[u8]) {
        let [what, name, ..] = *bytes else { return };
        let Ok(topic) = TopicName::new(format!("{}", name % 6)) else {
            unreachable!("a digit is a name");
        };
        let rest = message(&bytes[2..]);
        match what % 8 {
            0 => {
                let _ = self.client.subscribe(topic, Wants::Live, rest.as_text());
            }
            1 => {
                let _ = self
                    .client
                    .subscribe(topic, Wants::Recent(what.into()), None);
            }
            2 => {
                let _ = self
                    .client
                    .subscribe(topic, Wants::After(position(what)), None);
            }
            3 => {
                let _ = self.client.unsubscribe(&topic);
            }
            4 => {
                self.keys += 1;
                let number = self.client.publish(topic, rest, self.keys);
                self.waiting.extend(number);
            }
            5 => self
                .waiting
                .extend(self.client.members(topic, Some(what.into()))),
            6 => self.waiting.extend(self.client.count(topic)),
            _ => {
                let _ = self.client.send(rest);
                self.client.ping();
            }
        }
        assert!(self.waiting.len() <= 200);
    }

    fn time_passes(&mut self, bytes: &[u8]) {
        let tenths = bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let end = self.now + Duration::from_millis(tenths * 100);
        while let Some(at) = self.client.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
            let next = self.client.next_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "time does not go on"
            );
        }
        self.now = self.now.max(end);
    }

    /// Takes frames of the client, and gives them to the server.
    fn client_sends(&mut self, most: usize) {
        for _ in 0..most {
            let Some(frame) = self.client.next_frame(self.now) else {
                break;
            };
            client_frame(&frame);
            self.to_server.push(frame.message().clone());
        }
        for frame in std::mem::take(&mut self.to_server) {
            self.server_receives(&frame);
        }
    }

    fn connection_ends(&mut self, bytes: &[u8]) {
        let [code, random, ..] = *bytes else { return };
        // Mostly codes after which a client comes back.
        let code = match code {
            0..200 => CloseCode::ABNORMAL,
            code => {
                CloseCode::try_from(1000 + u16::from(code - 200)).unwrap_or(CloseCode::NO_STATUS)
            }
        };
        let pause = self
            .client
            .closed(code, self.now, f64::from(random) / 256.0);
        let Some(pause) = pause else { return };
        assert!(pause <= Duration::from_secs(300));
        assert!(!self.client.has_frames(), "a frame of the old connection");
        self.now += pause;
        self.server = ServerMachine::new(&ServerLimits::default().topics(4));
        self.asked.clear();
        self.to_client = vec![server_text(self.server.hello(MemberId(7), "n"))];
        let connected = self.client.connected(Some(SUBPROTOCOLS[0]), self.now);
        assert_eq!(connected, Ok(()));
    }

    /// Takes the events, and compares each outcome with the requests.
    fn check(&mut self) {
        if let Some(reason) = self.client.wants_close() {
            assert!(reason.reason().len() <= CloseReason::MAX_REASON);
            self.client.closed(reason.code(), self.now, 0.5);
        }
        while let Some(event) = self.client.next_event() {
            match event {
                ClientEvent::Published { number, .. }
                | ClientEvent::PublishFailed { number, .. }
                | ClientEvent::Members { number, .. }
                | ClientEvent::Count { number, .. }
                | ClientEvent::QueryFailed { number, .. } => {
                    assert!(self.waiting.remove(&number), "a second outcome");
                }
                _ => {}
            }
        }
    }
}

/// A text if it is one, else bytes.
fn message(bytes: &[u8]) -> Message {
    match std::str::from_utf8(bytes) {
        Ok(text) => Message::text(text),
        Err(_) => Message::from(bytes),
    }
}

fn position(number: u8) -> Position {
    Position {
        epoch: Epoch::new(1),
        offset: number.into(),
        id: (number > 0).then(|| MessageId::new(number.into())),
    }
}

fn header_len(frame: &[u8]) -> usize {
    frame
        .iter()
        .position(|byte| *byte == b'\n')
        .expect("a line feed")
}

/// What a server sends is read as it was written.
fn server_text(text: Text) -> Message {
    let message = Message::Text(text);
    assert_eq!(header_len(message.as_bytes()) + 1, message.as_bytes().len());
    let parsed = ServerFrame::parse(Content::from(&message));
    let (frame, header, _) = parsed.expect("a frame of our own");
    assert!(header <= MAX_HEADER);
    assert_eq!(Message::Text(frame.to_text()), message);
    message
}

/// What a client sends is read as it was written.
fn client_frame(frame: &Outgoing) {
    let content = Content::from(frame);
    assert!(header_len(content.as_bytes()) <= MAX_HEADER);
    let parsed = ClientFrame::parse(content).expect("a frame of our own");
    assert_eq!(parsed.to_message(), *frame.message());
}

fn client_frame_round_trip(frame: Content<'_>) {
    match ClientFrame::parse(frame) {
        Ok(parsed) => {
            if let ClientFrame::Request {
                request: Request::Publish { body, .. },
                ..
            }
            | ClientFrame::App(body) = &parsed
            {
                assert_eq!(body.kind(), frame.kind());
                assert!(frame.as_bytes().ends_with(body.as_bytes()));
            }
            // Escapes that need not be there are longer than the text. So what is written has room.
            let written = parsed.to_message();
            assert!(header_len(written.as_bytes()) <= MAX_HEADER);
            assert_eq!(
                ClientFrame::parse(Content::from(&written)).as_ref(),
                Ok(&parsed)
            );
        }
        Err(Unusable::Refused { failure, .. }) => assert!(failure.message.len() <= 200),
        Err(Unusable::Violation(violation)) => assert!(violation.to_string().len() <= 200),
    }
}

fn server_frame_round_trip(frame: Content<'_>) {
    match ServerFrame::parse(frame) {
        Ok((parsed, header, body)) => {
            assert!(header <= MAX_MEMBERS_HEADER);
            assert_eq!(header + 1 + body.as_bytes().len(), frame.as_bytes().len());
            let written = parsed.to_message(body);
            let (again, _, same_body) =
                ServerFrame::parse(Content::from(&written)).expect("a frame of our own");
            assert_eq!(same_body, body);
            assert_eq!(again, parsed);
        }
        Err(violation) => assert!(violation.to_string().len() <= 200),
    }
}

/// Only differences count.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);
