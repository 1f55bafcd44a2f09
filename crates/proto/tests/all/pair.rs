//! A client and a server, joined by two queues of bytes. The tests take each path through the closing handshake (RFC 6455
//! §7), send messages of all lengths, let the keep-alive work, and let both ends push at each other. The clock is a
//! number; the masking keys and the sizes of the reads come from a seed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Buf;
use sockeye_proto::{
    Cause, CloseCode, CloseReason, Config, Connection, Event, Expired, MaskingKey, Message,
    MessageAssembler, MessageKind, ProtocolError, Role, SendError,
};

// The pair

/// A client and a server, and the time for both.
struct Pair {
    client: End,
    server: End,
    now: Instant,
    random: Random,
}

/// One end, and the caller's part of the contract.
struct End {
    connection: Connection,
    /// The bytes that the peer wrote and this end has not read.
    incoming: VecDeque<u8>,
    unread: Vec<u8>,
    assembler: MessageAssembler,
    /// The events, in order.
    log: Vec<Happened>,
    /// Whether each message is sent back.
    echoes: bool,
    /// Whether it reads and writes at all.
    silent: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Happened {
    Message(Message),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    Failed(ProtocolError),
}

impl Pair {
    fn new() -> Self {
        Self::with(Config::new(Role::Client), Config::new(Role::Server))
    }

    fn with(client: Config, server: Config) -> Self {
        let now = start();
        let mut keys = Random(7);
        let key = move || MaskingKey::new(keys.next().to_be_bytes());
        Self {
            client: End::new(Connection::client(client, Box::new(key), now)),
            server: End::new(Connection::server(server, now)),
            now,
            random: Random(42),
        }
    }

    /// Lets bytes go to and fro until nothing moves.
    fn drive(&mut self) {
        while self.step() {}
    }

    /// Each end writes what it has, and reads a piece of what the other wrote.
    fn step(&mut self) -> bool {
        let Self {
            client,
            server,
            now,
            random,
        } = self;
        let written = client.write(&mut server.incoming) | server.write(&mut client.incoming);
        written | client.read(random.size(), *now) | server.read(random.size(), *now)
    }

    /// Turns the clock, and does at each end what falls due, in order.
    fn wait(&mut self, duration: Duration) -> Vec<(Role, Expired)> {
        let until = self.now + duration;
        let mut expired = Vec::new();
        loop {
            self.drive();
            let due = [&self.client, &self.server]
                .iter()
                .filter_map(|end| end.connection.poll_timeout())
                .min();
            self.now = due.unwrap_or(until).min(until);
            for end in [&mut self.client, &mut self.server] {
                let why = end.connection.handle_timeout(self.now);
                expired.extend(why.map(|why| (end.connection.role(), why)));
            }
            if due.is_none_or(|due| due > until) {
                return expired;
            }
        }
    }

    fn end(&mut self, role: Role) -> &mut End {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    fn close(&mut self, role: Role, code: u16, reason: &str) {
        let now = self.now;
        let reason = close_reason(code, reason);
        let end = self.end(role);
        end.connection.send_close(&reason, now).unwrap();
    }
}

impl End {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            incoming: VecDeque::new(),
            unread: Vec::new(),
            assembler: MessageAssembler::default(),
            log: Vec::new(),
            echoes: false,
            silent: false,
        }
    }

    fn write(&mut self, to: &mut VecDeque<u8>) -> bool {
        let output = self.connection.output();
        if self.silent || output.is_empty() {
            return false;
        }
        while output.has_remaining() {
            let chunk = output.chunk();
            to.extend(chunk);
            let written = chunk.len();
            output.advance(written);
        }
        true
    }

    /// Reads `count` bytes at most, unless events wait for output to drain, and takes all events.
    fn read(&mut self, count: usize, now: Instant) -> bool {
        if self.silent || self.connection.is_gated() {
            return false;
        }
        let count = count.min(self.incoming.len());
        self.unread.extend(self.incoming.drain(..count));
        let unread = self.unread.len();
        self.take_events(now);
        count > 0 || self.unread.len() < unread
    }

    fn take_events(&mut self, now: Instant) {
        let mut bytes = std::mem::take(&mut self.unread);
        let mut input = &mut bytes[..];
        while let Some(event) = self.connection.receive(&mut input, now).transpose() {
            let happened = match event {
                Err(error) => Happened::Failed(error),
                Ok(Event::Text(text)) => Happened::Message(Message::text(text)),
                Ok(Event::Binary(bytes)) => Happened::Message(Message::from(bytes)),
                Ok(Event::Ping(payload)) => Happened::Ping(payload.to_vec()),
                Ok(Event::Pong(payload)) => Happened::Pong(payload.to_vec()),
                Ok(Event::Close(reason)) => {
                    Happened::Close(reason.code().get(), reason.reason().to_owned())
                }
                Ok(Event::MessageEnd) => Happened::Message(self.assembler.end().unwrap().into()),
                Ok(Event::MessageStart(kind)) => {
                    self.assembler.start(kind, Vec::new());
                    continue;
                }
                Ok(Event::Chunk(chunk)) => {
                    self.assembler.chunk(chunk);
                    continue;
                }
                Ok(event) => unreachable!("{event:?}"),
            };
            if self.echoes
                && let Happened::Message(message) = &happened
            {
                let reply = self.connection.send_message(message, Cause::Input);
                reply.unwrap();
            }
            self.log.push(happened);
        }
        self.unread = input.to_vec();
    }

    /// Puts bytes that no Sockeye would send in front of this end.
    fn injected(&mut self, bytes: &[u8]) {
        self.incoming.extend(bytes);
    }

    fn messages(&self) -> Vec<&Message> {
        let mut messages = Vec::new();
        for happened in &self.log {
            if let Happened::Message(message) = happened {
                messages.push(message);
            }
        }
        messages
    }

    /// The code and text that §7.1.5 and §7.1.6 report.
    fn reported(&self) -> (u16, &str) {
        match self.connection.close_received() {
            Some(reason) => (reason.code().get(), reason.reason()),
            None => (1006, ""),
        }
    }
}

fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

fn close_reason(code: u16, reason: &str) -> CloseReason {
    CloseReason::new(CloseCode::try_from(code).unwrap(), reason).unwrap()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// xorshift32: any sequence will do, as long as it is the same each time.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// The size of one read: often small, sometimes large.
    fn size(&mut self) -> usize {
        let most = if self.next().is_multiple_of(4) {
            200_000
        } else {
            40_000
        };
        1 + self.next() as usize % most
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
fn start() -> Instant {
    Instant::now()
}

const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// An unfinished text frame, or a masked one: either is wrong to a client and to a server.
const GARBAGE: &[u8] = &[0xff, 0xff];

// Messages

#[test]
fn messages_around_each_form_of_length_come_back_as_they_went() {
    for role in ROLES {
        let mut pair = Pair::new();
        pair.end(other(role)).echoes = true;
        let mut sent = Vec::new();
        for len in [
            0, 1, 124, 125, 126, 127, 65_534, 65_535, 65_536, 65_537, 1_000_000,
        ] {
            let text: String = "grüezi ".chars().cycle().take(len * 7 / 8).collect();
            let bytes: Vec<u8> = (0..=255).cycle().take(len).collect();
            sent.push(Message::text(text));
            sent.push(Message::binary(bytes));
        }
        for message in &sent {
            let connection = &mut pair.end(role).connection;
            connection.send_message(message, Cause::Push).unwrap();
        }
        pair.drive();
        let sent: Vec<_> = sent.iter().collect();
        assert!(pair.end(other(role)).messages() == sent);
        assert!(pair.end(role).messages() == sent);
    }
}

#[test]
fn a_message_in_parts_arrives_as_one_with_the_ping_between_them_answered() {
    for role in ROLES {
        let mut pair = Pair::new();
        let connection = &mut pair.end(role).connection;
        let parts = ["gr".as_bytes(), &[0xc3], &[0xbc], &[], b"ezi"];
        for (i, part) in parts.into_iter().enumerate() {
            connection.send_ping(&[u8::try_from(i).unwrap()]).unwrap();
            let last = i == parts.len() - 1;
            connection
                .send_part(MessageKind::Text, part, last, Cause::Push)
                .unwrap();
        }
        pair.drive();
        let pings = (0..5).map(|i| Happened::Ping(vec![i]));
        let message = Happened::Message(Message::text("grüezi"));
        let expected: Vec<_> = pings.chain([message]).collect();
        assert_eq!(pair.end(other(role)).log, expected);
        let pongs: Vec<_> = (0..5).map(|i| Happened::Pong(vec![i])).collect();
        assert_eq!(pair.end(role).log, pongs);
    }
}

#[test]
fn two_ends_that_push_8_mib_at_each_other_both_finish() {
    const COUNT: usize = 128;
    let payload = Message::binary(vec![7; 65_536]);
    let mut pair = Pair::new();
    for role in ROLES {
        for _ in 0..COUNT {
            let connection = &mut pair.end(role).connection;
            connection.send_message(&payload, Cause::Push).unwrap();
        }
    }
    pair.drive();
    for role in ROLES {
        assert_eq!(pair.end(role).messages().len(), COUNT);
    }
}

#[test]
fn an_end_that_does_not_read_its_echoes_stops_the_other_and_loses_nothing() {
    const COUNT: usize = 100;
    let mut pair = Pair::new();
    pair.server.echoes = true;
    let asked = Message::binary(vec![7; 10_000]);
    for _ in 0..COUNT {
        let connection = &mut pair.client.connection;
        connection.send_message(&asked, Cause::Push).unwrap();
    }
    // The client writes, but reads nothing.
    pair.client.write(&mut pair.server.incoming);
    while pair.server.read(100_000, pair.now) {}
    assert!(pair.server.connection.is_gated());
    assert_eq!(pair.server.messages().len(), 27);
    assert!(pair.server.connection.retained_bytes() < 1 << 20);
    // It reads at last.
    pair.drive();
    assert_eq!(pair.server.messages().len(), COUNT);
    assert_eq!(pair.client.messages().len(), COUNT);
}

// §7: closing

#[test]
fn either_side_closes_and_both_report_the_others_close() {
    for role in ROLES {
        let mut pair = Pair::new();
        pair.close(role, 4000, "bye");
        pair.drive();
        let answer = Happened::Close(4000, "bye".to_owned());
        assert_eq!(pair.end(role).log, std::slice::from_ref(&answer));
        assert_eq!(pair.end(other(role)).log, [answer]);
        for end in [&pair.client, &pair.server] {
            assert!(end.connection.is_finished());
            assert_eq!(end.reported(), (4000, "bye"));
        }
    }
}

#[test]
fn closes_that_cross_answer_each_other() {
    let mut pair = Pair::new();
    pair.close(Role::Client, 4000, "client");
    pair.close(Role::Server, 4001, "server");
    pair.drive();
    assert_eq!(
        pair.client.log,
        [Happened::Close(4001, "server".to_owned())]
    );
    assert_eq!(
        pair.server.log,
        [Happened::Close(4000, "client".to_owned())]
    );
    assert_eq!(pair.client.reported(), (4001, "server"));
    assert_eq!(pair.server.reported(), (4000, "client"));
    assert!(pair.client.connection.is_finished() && pair.server.connection.is_finished());
}

#[test]
fn a_close_without_a_code_is_1005_on_both_sides() {
    for role in ROLES {
        let mut pair = Pair::new();
        let now = pair.now;
        let none = CloseReason::no_status();
        pair.end(role).connection.send_close(&none, now).unwrap();
        pair.drive();
        assert_eq!(pair.client.reported(), (1005, ""));
        assert_eq!(pair.server.reported(), (1005, ""));
    }
}

#[test]
fn messages_on_their_way_arrive_before_the_close_and_are_answered() {
    for role in ROLES {
        let mut pair = Pair::new();
        pair.end(other(role)).echoes = true;
        let messages: Vec<_> = (0..20).map(|i| Message::text(format!("{i}"))).collect();
        for message in &messages {
            let connection = &mut pair.end(role).connection;
            connection.send_message(message, Cause::Push).unwrap();
        }
        pair.close(role, 1000, "");
        pair.drive();
        let close = Happened::Close(1000, String::new());
        let expected: Vec<_> = messages
            .into_iter()
            .map(Happened::Message)
            .chain([close])
            .collect();
        assert_eq!(pair.end(other(role)).log, expected);
        assert_eq!(pair.end(role).log, expected, "20 replies, then the Close");
    }
}

#[test]
fn what_the_peer_sends_until_it_reads_our_close_is_received() {
    for role in ROLES {
        let mut pair = Pair::new();
        pair.close(role, 1000, "");
        let connection = &mut pair.end(other(role)).connection;
        connection.send_text("crossing", Cause::Push).unwrap();
        pair.drive();
        let expected = [
            Happened::Message(Message::text("crossing")),
            Happened::Close(1000, String::new()),
        ];
        assert_eq!(pair.end(role).log, expected);
    }
}

#[test]
fn a_message_in_parts_that_a_close_cuts_short_is_not_delivered() {
    for role in ROLES {
        let mut pair = Pair::new();
        let connection = &mut pair.end(role).connection;
        connection
            .send_part(MessageKind::Text, b"half", false, Cause::Push)
            .unwrap();
        pair.close(role, 1001, "");
        pair.drive();
        let close = Happened::Close(1001, String::new());
        assert_eq!(pair.end(other(role)).log, [close]);
    }
}

#[test]
fn a_close_waits_behind_the_message_that_is_being_written_and_never_inside() {
    for role in ROLES {
        let mut pair = Pair::new();
        let large = Message::binary(vec![7; 256 * 1024]);
        let connection = &mut pair.end(role).connection;
        connection.send_message(&large, Cause::Push).unwrap();
        pair.close(other(role), 1000, "");
        pair.drive();
        let close = Happened::Close(1000, String::new());
        let expected = [Happened::Message(large), close.clone()];
        assert_eq!(pair.end(other(role)).log, expected);
        assert_eq!(pair.end(role).log, [close]);
    }
}

#[test]
fn after_the_closes_neither_side_sends() {
    for role in ROLES {
        let mut pair = Pair::new();
        pair.close(role, 1000, "");
        pair.drive();
        for role in ROLES {
            let connection = &mut pair.end(role).connection;
            let refused = connection.send_text("late", Cause::Push);
            assert_eq!(refused, Err(SendError::Closed));
        }
        assert!(!pair.step());
    }
}

// The peer is silent, or keeps the transport

#[test]
fn a_peer_that_never_answers_our_close_is_1006_after_5_seconds() {
    for role in ROLES {
        let mut pair = Pair::new();
        pair.end(other(role)).silent = true;
        pair.close(role, 1000, "");
        assert_eq!(pair.wait(seconds(4)), []);
        let expired = pair.wait(seconds(2));
        assert_eq!(expired, [(role, Expired::CloseTimeout)]);
        assert_eq!(pair.end(role).reported(), (1006, ""));
    }
}

#[test]
fn a_transport_that_nobody_ends_is_dropped_after_5_seconds_and_the_close_stays_clean() {
    let mut pair = Pair::new();
    pair.close(Role::Client, 1000, "");
    let expired = pair.wait(seconds(10));
    let timeout = Expired::CloseTimeout;
    assert_eq!(expired, [(Role::Client, timeout), (Role::Server, timeout)]);
    assert_eq!(pair.client.reported(), (1000, ""));
    assert_eq!(pair.server.reported(), (1000, ""));
}

#[test]
fn two_idle_ends_keep_each_other_alive() {
    let mut pair = Pair::new();
    assert_eq!(pair.wait(seconds(24 * 3600)), []);
    assert!(pair.client.connection.can_send() && pair.server.connection.can_send());
    assert!(pair.client.messages().is_empty());
    let pongs = |end: &End| end.log.iter().any(|h| matches!(h, Happened::Pong(_)));
    assert!(!pongs(&pair.client) && !pongs(&pair.server));
}

#[test]
fn a_vanished_peer_is_noticed_after_40_seconds() {
    for role in ROLES {
        let mut pair = Pair::new();
        pair.wait(seconds(100));
        let before = pair.now;
        pair.end(other(role)).silent = true;
        let expired = pair.wait(seconds(41));
        assert!(expired.contains(&(role, Expired::PeerDead)));
        assert_eq!(pair.end(role).reported(), (1006, ""));
        assert!(pair.now <= before + seconds(41));
    }
}

// The transport ends

#[test]
fn the_transport_may_end_in_each_state() {
    type Step = fn(&mut Pair, Role);
    // The steps before the end, and the code that is then reported.
    let cases: [(Step, u16); 6] = [
        (|_, _| {}, 1006),
        (|pair, role| pair.close(role, 1000, ""), 1006),
        (
            |pair, role| {
                pair.close(other(role), 4000, "");
                pair.drive();
            },
            4000,
        ),
        (
            |pair, role| {
                pair.close(role, 1000, "");
                pair.drive();
            },
            1000,
        ),
        (
            |pair, role| {
                pair.end(role).injected(GARBAGE);
                pair.drive();
            },
            1006,
        ),
        (
            |pair, role| {
                pair.close(role, 1000, "");
                pair.end(role).injected(GARBAGE);
                pair.drive();
            },
            1006,
        ),
    ];
    for role in ROLES {
        for (number, (before, code)) in cases.iter().enumerate() {
            let mut pair = Pair::new();
            before(&mut pair, role);
            let end = pair.end(role);
            end.connection.handle_end();
            assert!(end.connection.is_finished());
            assert_eq!(end.reported().0, *code, "case {number}");
            assert!(end.connection.output().is_empty());
            assert_eq!(end.connection.poll_timeout(), None);
        }
    }
}

// A rule is broken

#[test]
fn a_failure_is_the_peers_close_and_its_answer_is_not_read() {
    for role in ROLES {
        let mut pair = Pair::new();
        pair.end(role).injected(GARBAGE);
        pair.drive();
        let error = ProtocolError::ReservedOpCode { opcode: 0xf };
        assert_eq!(pair.end(role).log, [Happened::Failed(error)]);
        assert_eq!(pair.end(role).reported(), (1006, ""));
        assert_eq!(pair.end(role).connection.failure(), Some(error));
        assert_eq!(pair.end(other(role)).reported().0, 1002);
        assert!(pair.end(other(role)).connection.is_finished());
    }
}

#[test]
fn a_message_beyond_the_peers_limit_is_1009() {
    for role in ROLES {
        let small = |role| Config::new(role).max_message(1000);
        let mut pair = Pair::with(small(Role::Client), small(Role::Server));
        let sender = &mut pair.end(role).connection;
        sender.send_binary(&[7; 1000], Cause::Push).unwrap();
        sender.send_binary(&[7; 1001], Cause::Push).unwrap();
        sender.send_text("late", Cause::Push).unwrap();
        pair.drive();
        let receiver = pair.end(other(role));
        assert_eq!(receiver.messages().len(), 1);
        let error = ProtocolError::MessageTooBig {
            size: 1001,
            limit: 1000,
        };
        assert_eq!(receiver.connection.failure(), Some(error));
        assert_eq!(pair.end(role).reported(), (1009, &*error.to_string()));
    }
}

#[test]
fn two_failures_at_once_end_both_sides() {
    let mut pair = Pair::new();
    pair.client.injected(GARBAGE);
    pair.server.injected(GARBAGE);
    pair.drive();
    for end in [&pair.client, &pair.server] {
        assert!(end.connection.is_finished());
        assert!(end.connection.failure().is_some());
        assert_eq!(end.log.len(), 1);
    }
}
