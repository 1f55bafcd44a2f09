//! Properties that hold for any input, however it is cut, and for anything that is sent.

use std::time::{Duration, Instant};

use bytes::Buf;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use sockeye_proto::{
    Cause, CloseCode, CloseReason, Config, Connection, Event, MaskingKey, Message,
    MessageAssembler, MessageKind, Output, PreparedMessage, ProtocolError, Role, SendError,
    WholeMessage,
};

use crate::wire::{Frame, KEY, frame, frames};

/// An event, without the places where the input was cut: a whole message, a control frame, the end.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Message(Message),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    Failed(ProtocolError),
}

/// One end, and the caller's part of the contract.
struct End {
    connection: Connection,
    now: Instant,
    unread: Vec<u8>,
    assembler: MessageAssembler,
    seen: Vec<Seen>,
    output: Vec<u8>,
    answers: Answers,
}

/// Whether each message is sent back, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answers {
    None,
    Echo,
    /// Each message is sent back by an exchange that ends when this much output waits.
    Exchange(usize),
}

const MAX_MESSAGE: usize = 200_000;
const MAX_FRAGMENTS: u32 = 6;
const OUTPUT_MARK: usize = 2000;

impl End {
    fn new(role: Role) -> Self {
        let config = Config::new(role)
            .max_message(MAX_MESSAGE as u64)
            .max_fragments(MAX_FRAGMENTS)
            .output_mark(OUTPUT_MARK);
        let now = start();
        let connection = match role {
            Role::Client => Connection::client(config, Box::new(|| MaskingKey::new(KEY)), now),
            Role::Server => Connection::server(config, now),
        };
        Self {
            connection,
            now,
            unread: Vec::new(),
            assembler: MessageAssembler::default(),
            seen: Vec::new(),
            output: Vec::new(),
            answers: Answers::None,
        }
    }

    fn answering(role: Role, answers: Answers) -> Self {
        Self {
            answers,
            ..Self::new(role)
        }
    }

    /// Reads all of `bytes` in pieces that end at `cuts`, and writes what this causes.
    fn reads(&mut self, bytes: &[u8], cuts: &[Index]) {
        for piece in pieces(bytes, cuts) {
            self.unread.extend_from_slice(piece);
            loop {
                let unread = self.unread.len();
                self.take_events();
                self.write(usize::MAX);
                if self.unread.len() == unread {
                    break;
                }
            }
        }
    }

    /// Takes the events that there are.
    fn take_events(&mut self) {
        let mut bytes = std::mem::take(&mut self.unread);
        let mut input = &mut bytes[..];
        loop {
            if let Answers::Exchange(until) = self.answers {
                self.exchange(&mut input, until);
            }
            let event = self.connection.receive(&mut input, self.now);
            let Some(event) = event.transpose() else {
                break;
            };
            let seen = match event {
                Err(error) => Seen::Failed(error),
                Ok(Event::Text(text)) => Seen::Message(Message::text(text)),
                Ok(Event::Binary(bytes)) => Seen::Message(Message::from(bytes)),
                Ok(Event::Ping(payload)) => Seen::Ping(payload.to_vec()),
                Ok(Event::Pong(payload)) => Seen::Pong(payload.to_vec()),
                Ok(Event::Close(reason)) => {
                    Seen::Close(reason.code().get(), reason.reason().to_owned())
                }
                Ok(Event::MessageEnd) => Seen::Message(self.assembler.end().unwrap().into()),
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
            if let Seen::Message(message) = &seen
                && self.answers != Answers::None
            {
                // After a Close nothing is sent.
                let _ = self.connection.send_message(message, Cause::Input);
            }
            self.seen.push(seen);
        }
        let left = input.len();
        assert!(
            left <= 130 || self.connection.is_gated(),
            "{left} bytes left"
        );
        self.unread = input.to_vec();
    }

    /// Takes the messages that an exchange gives, and sends each back.
    fn exchange(&mut self, input: &mut &mut [u8], until: usize) {
        let exchange = self.connection.exchange(input, until, self.now);
        let Some(mut exchange) = exchange else {
            return;
        };
        while let Some(message) = exchange.receive(input) {
            let (message, sent) = match message {
                WholeMessage::Text(text) => (Message::text(text), exchange.send_text(text)),
                WholeMessage::Binary(bytes) => (Message::from(bytes), exchange.send_binary(bytes)),
            };
            sent.unwrap();
            self.seen.push(Seen::Message(message));
        }
    }

    /// Writes `count` bytes at most.
    fn write(&mut self, count: usize) {
        let mut left = count;
        // Pongs may wait behind what is written.
        while left > 0 && !self.connection.output().is_empty() {
            let output = self.connection.output();
            let chunk = output.chunk();
            let written = chunk.len().min(left);
            self.output.extend_from_slice(&chunk[..written]);
            self.connection.handle_written(written, self.now);
            left -= written;
        }
    }

    fn peer_key(&self) -> Option<[u8; 4]> {
        (self.connection.role() == Role::Server).then_some(KEY)
    }
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(bytes.len());
    let mut from = 0;
    cuts.into_iter()
        .map(|cut| &bytes[std::mem::replace(&mut from, cut)..cut])
        .collect()
}

/// Checks the output of an end: whole legal frames, fragments in sequence, at most one Close, and nothing behind it.
/// Returns the frames.
fn assert_legal(role: Role, output: &[u8]) -> Vec<Frame> {
    let key = (role == Role::Client).then_some(KEY);
    let sent = frames(output);
    let mut open = false;
    for (i, frame) in sent.iter().enumerate() {
        assert_eq!(frame.key, key);
        match frame.first {
            0x01 | 0x02 | 0x81 | 0x82 => {
                assert!(!open, "a message inside a message");
                open = frame.first < 0x80;
            }
            0x00 | 0x80 => {
                assert!(open, "a continuation of nothing");
                open = frame.first < 0x80;
            }
            0x88 => assert_eq!(i, sent.len() - 1, "something behind the Close"),
            first => assert!(first == 0x89 || first == 0x8a, "{first:x}"),
        }
        assert!(frame.first & 0x8 == 0 || frame.payload.len() <= 125);
    }
    sent
}

// The input of peers

/// A frame as a peer may choose it: the first byte and the payload.
type Choice = (u8, Vec<u8>);

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => "\\PC{0,12}".prop_map(String::into_bytes),
        4 => vec(any::<u8>(), 0..20),
        1 => vec(any::<u8>(), 120..132),
        1 => Just(vec![b'x'; 70_000]),
    ]
}

/// A message in fragments, with control frames between them.
fn message() -> impl Strategy<Value = Vec<Choice>> {
    let fragment = (payload(), prop::option::weighted(0.2, control()));
    (any::<bool>(), vec(fragment, 1..5)).prop_map(|(text, fragments)| {
        let last = fragments.len() - 1;
        let mut choices = Vec::new();
        for (i, (payload, control)) in fragments.into_iter().enumerate() {
            let opcode = match (i, text) {
                (0, true) => 0x01,
                (0, false) => 0x02,
                _ => 0x00,
            };
            let fin = if i == last { 0x80 } else { 0 };
            choices.push((fin | opcode, payload));
            choices.extend(control);
        }
        choices
    })
}

fn control() -> impl Strategy<Value = Choice> {
    let first = prop::sample::select(vec![0x89_u8, 0x8a]);
    (first, vec(any::<u8>(), 0..126))
}

fn close() -> impl Strategy<Value = Choice> {
    let body = prop_oneof![
        Just(vec![]),
        (1000..1016_u16, "\\PC{0,5}")
            .prop_map(|(code, reason)| { [&code.to_be_bytes(), reason.as_bytes()].concat() }),
        vec(any::<u8>(), 0..5),
    ];
    body.prop_map(|body| (0x88, body))
}

/// Mostly legal: messages and control frames, now and then a Close, then something like what came
/// before, with some bytes changed, added or taken away.
fn input(role: Role) -> impl Strategy<Value = Vec<u8>> {
    let key = (role == Role::Server).then_some(KEY);
    let choices = prop_oneof![
        4 => message(),
        2 => control().prop_map(|control| vec![control]),
        1 => close().prop_map(|close| vec![close]),
        1 => (any::<u8>(), payload()).prop_map(|choice| vec![choice]),
    ];
    let mutation = (any::<Index>(), any::<u8>(), 0..4_u8);
    (vec(choices, 0..6), vec(mutation, 0..3)).prop_map(move |(choices, mutations)| {
        let mut bytes: Vec<u8> = choices
            .concat()
            .iter()
            .flat_map(|(first, payload)| frame(*first, payload, key))
            .collect();
        for (at, byte, what) in mutations {
            let at = at.index(bytes.len() + 1);
            match what {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(at),
                2 if at < bytes.len() => bytes[at] ^= byte,
                3 if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        bytes
    })
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

fn role_and_input() -> impl Strategy<Value = (Role, Vec<u8>)> {
    role().prop_flat_map(|role| {
        let any = prop_oneof![
            3 => input(role).boxed(),
            1 => vec(any::<u8>(), 0..300).boxed(),
        ];
        (Just(role), any)
    })
}

// The commands of applications

#[derive(Clone, Debug)]
enum Command {
    Message(Message),
    Prepared(Message),
    Parts(bool, String, Vec<Index>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn any_message() -> impl Strategy<Value = Message> {
    let len = prop_oneof![
        6 => 0..200_usize,
        2 => 120..130_usize,
        1 => 65_530..65_540_usize,
    ];
    prop_oneof![
        any::<String>().prop_map(Message::text),
        (len.clone(), any::<u8>()).prop_map(|(len, byte)| Message::binary(vec![byte; len])),
        len.prop_map(|len| Message::text("x".repeat(len))),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        any_message().prop_map(Command::Message),
        any_message().prop_map(Command::Prepared),
        (any::<bool>(), any::<String>(), vec(any::<Index>(), 0..5))
            .prop_map(|(text, payload, cuts)| Command::Parts(text, payload, cuts)),
        vec(any::<u8>(), 0..126).prop_map(Command::Ping),
        vec(any::<u8>(), 0..126).prop_map(Command::Pong),
    ]
}

/// Sends what `command` says, and says what the peer is to see of it.
fn send(connection: &mut Connection, command: &Command, cause: Cause) -> Result<Seen, SendError> {
    Ok(match command {
        Command::Message(message) => {
            connection.send_message(message, cause)?;
            Seen::Message(message.clone())
        }
        Command::Prepared(message) => {
            connection.send_message(PreparedMessage::new(message), cause)?;
            Seen::Message(message.clone())
        }
        Command::Parts(text, payload, cuts) => {
            let kind = if *text {
                MessageKind::Text
            } else {
                MessageKind::Binary
            };
            let parts = pieces(payload.as_bytes(), cuts);
            for (i, part) in parts.iter().enumerate() {
                connection.send_part(kind, part, i == parts.len() - 1, cause)?;
            }
            Seen::Message(match kind {
                MessageKind::Text => Message::text(payload.as_str()),
                MessageKind::Binary => Message::from(payload.as_bytes()),
            })
        }
        Command::Ping(payload) => {
            connection.send_ping(payload)?;
            Seen::Ping(payload.clone())
        }
        Command::Pong(payload) => {
            connection.send_pong(payload)?;
            Seen::Pong(payload.clone())
        }
    })
}

// Everything that can be done to a connection

#[derive(Clone, Debug)]
enum Step {
    Read(Vec<u8>),
    Send(Command, bool),
    Part(bool, bool),
    Close(u16),
    Conclude,
    Write(usize),
    Wait(u64),
    Pause,
    Resume,
    End,
}

fn step(role: Role) -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => input(role).prop_map(Step::Read),
        4 => vec(any::<u8>(), 0..20).prop_map(Step::Read),
        6 => (command(), any::<bool>()).prop_map(|(command, input)| Step::Send(command, input)),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(text, last)| Step::Part(text, last)),
        1 => (1000..1004_u16).prop_map(Step::Close),
        1 => Just(Step::Conclude),
        8 => prop_oneof![0..100_usize, Just(100_000)].prop_map(Step::Write),
        3 => (0..30_u64).prop_map(Step::Wait),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        1 => Just(Step::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_cut_of_the_input_gives_the_same_events_and_output(
        (role, bytes) in role_and_input(),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let mut whole = End::new(role);
        whole.reads(&bytes, &[]);
        let mut cut = End::new(role);
        cut.reads(&bytes, &cuts);
        prop_assert_eq!(&cut.seen, &whole.seen);
        prop_assert_eq!(&cut.output, &whole.output);
        prop_assert_eq!(&cut.unread, &whole.unread);
        prop_assert_eq!(cut.connection.failure(), whole.connection.failure());
    }

    #[test]
    fn short_input_gives_the_same_byte_by_byte(
        (role, bytes) in role_and_input(),
    ) {
        let bytes = &bytes[..bytes.len().min(2000)];
        let mut whole = End::new(role);
        whole.reads(bytes, &[]);
        let mut end = End::new(role);
        for byte in bytes {
            end.reads(&[*byte], &[]);
        }
        prop_assert_eq!(&end.seen, &whole.seen);
        prop_assert_eq!(&end.output, &whole.output);
        prop_assert_eq!(&end.unread, &whole.unread);
    }

    #[test]
    fn an_exchange_is_what_one_message_after_the_other_is(
        (role, bytes) in role_and_input(),
        cuts in vec(any::<Index>(), 0..8),
        until in prop_oneof![0..300_usize, Just(usize::MAX)],
    ) {
        let mut single = End::answering(role, Answers::Echo);
        single.reads(&bytes, &cuts);
        let mut exchanging = End::answering(role, Answers::Exchange(until));
        exchanging.reads(&bytes, &cuts);
        prop_assert_eq!(&exchanging.seen, &single.seen);
        prop_assert_eq!(&exchanging.output, &single.output);
        prop_assert_eq!(&exchanging.unread, &single.unread);
        prop_assert_eq!(exchanging.connection.failure(), single.connection.failure());
        let received = exchanging.connection.frames_received();
        prop_assert_eq!(received, single.connection.frames_received());
    }

    #[test]
    fn after_a_close_or_a_failure_nothing_is_delivered_and_one_close_is_sent(
        (role, bytes) in role_and_input(),
        cuts in vec(any::<Index>(), 0..8),
        late in vec(any::<u8>(), 0..50),
    ) {
        let mut end = End::new(role);
        end.reads(&bytes, &cuts);
        let over = |seen: &Seen| matches!(seen, Seen::Close(..) | Seen::Failed(_));
        let ended = end.seen.iter().position(over);
        let sent = assert_legal(role, &end.output);
        let closes = sent.iter().filter(|frame| frame.first == 0x88).count();
        prop_assert_eq!(closes, usize::from(ended.is_some()));
        if let Some(ended) = ended {
            prop_assert_eq!(ended, end.seen.len() - 1);
            end.reads(&late, &[]);
            end.reads(&frame(0x81, b"late", end.peer_key()), &[]);
            prop_assert_eq!(ended, end.seen.len() - 1);
            prop_assert_eq!(frames(&end.output), sent);
            prop_assert!(end.connection.is_finished());
        }
    }

    #[test]
    fn each_ping_is_answered_in_order_until_the_close(
        (role, bytes) in role_and_input(),
    ) {
        let mut end = End::new(role);
        end.reads(&bytes, &[]);
        let pings = end.seen.iter().filter_map(|seen| match seen {
            Seen::Ping(payload) => Some(&payload[..]),
            _ => None,
        });
        let sent = frames(&end.output);
        let pongs = sent.iter().filter(|frame| frame.first == 0x8a);
        prop_assert!(pings.eq(pongs.map(|frame| &frame.payload[..])));
    }

    #[test]
    fn what_one_end_sends_the_other_receives(
        sender in role(),
        commands in vec(command(), 0..8),
        close in any::<Option<String>>(),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let receiver = match sender {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        let (mut sender, mut receiver) = (End::new(sender), End::new(receiver));
        let mut expected = Vec::new();
        for command in &commands {
            expected.push(send(&mut sender.connection, command, Cause::Push).unwrap());
        }
        if let Some(reason) = close {
            let reason: String = reason.chars().take(30).collect();
            expected.push(Seen::Close(1001, reason.clone()));
            let reason = CloseReason::new(CloseCode::GOING_AWAY, &reason).unwrap();
            sender.connection.send_close(&reason, sender.now).unwrap();
        }
        sender.write(usize::MAX);
        assert_legal(sender.connection.role(), &sender.output);
        receiver.reads(&sender.output, &cuts);
        prop_assert_eq!(receiver.unread.len(), 0);
        prop_assert_eq!(receiver.seen, expected);
    }

    #[test]
    fn whatever_is_done_there_is_no_panic_no_illegal_output_and_no_growth(
        (role, steps) in role().prop_flat_map(|role| (Just(role), vec(step(role), 0..40))),
    ) {
        let mut end = End::new(role);
        // The application itself has to bound its pushed output.
        let mut pushed = 0;
        let mut over = false;
        // The transport's end may cut a frame off.
        let mut ended = false;
        for step in steps {
            let seen = end.seen.len();
            let waiting = end.connection.output().len();
            match step {
                Step::Read(bytes) => {
                    end.unread.extend_from_slice(&bytes);
                    end.take_events();
                    prop_assert!(!over || end.seen.len() == seen);
                    over |= end.seen.iter().any(|seen| matches!(seen, Seen::Close(..) | Seen::Failed(_)));
                }
                Step::Send(command, input) => {
                    let cause = if input { Cause::Input } else { Cause::Push };
                    let _ = send(&mut end.connection, &command, cause);
                    pushed += end.connection.output().len() - waiting;
                }
                Step::Part(text, last) => {
                    let kind = if text { MessageKind::Text } else { MessageKind::Binary };
                    let _ = end.connection.send_part(kind, b"part", last, Cause::Push);
                    pushed += end.connection.output().len() - waiting;
                }
                Step::Close(code) => {
                    let reason = CloseReason::new(code.try_into().unwrap(), "").unwrap();
                    let open = end.connection.can_send();
                    let sent = end.connection.send_close(&reason, end.now);
                    prop_assert_eq!(sent.is_ok(), open);
                    prop_assert!(!end.connection.can_send());
                }
                Step::Conclude => {
                    end.connection.conclude(end.now);
                    prop_assert!(!end.connection.owes_close());
                }
                Step::Write(count) => end.write(count),
                Step::Wait(seconds) => {
                    end.now += Duration::from_secs(seconds);
                    let due = end.connection.poll_timeout();
                    let expired = end.connection.handle_timeout(end.now);
                    prop_assert!(expired.is_none() || due.is_some_and(|due| due <= end.now));
                    prop_assert!(expired.is_none() || end.connection.is_finished());
                    if expired.is_some() {
                        ended = true;
                        break;
                    }
                }
                Step::Pause => end.connection.pause_reading(end.now),
                Step::Resume => end.connection.resume_reading(end.now),
                Step::End => {
                    end.connection.handle_end();
                    ended = true;
                    break;
                }
            }
            let pongs = Connection::MAX_PONGS * 160;
            let bound = 2 * (Output::SHARED_FROM + OUTPUT_MARK + pushed) + pongs + 8192;
            let retained = end.connection.retained_bytes();
            prop_assert!(retained <= bound, "{} of {}", retained, bound);
        }
        if ended {
            prop_assert!(end.connection.is_finished());
            prop_assert!(end.connection.output().is_empty());
            prop_assert_eq!(end.connection.poll_timeout(), None);
        } else {
            end.write(usize::MAX);
            assert_legal(role, &end.output);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
fn start() -> Instant {
    Instant::now()
}
