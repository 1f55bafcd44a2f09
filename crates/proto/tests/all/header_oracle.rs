//! The first two bytes of a frame, exhaustively: 65,536 values, for each role, inside and outside of a fragmented
//! message, in each state of the closing handshake. The outcome is compared with that of an oracle. The oracle is written
//! from RFC 6455 §5.2, §5.4, §5.5 and §7.1, bit by bit, and does not use the crate's own parser.
//!
//! Each header is shown twice: the two bytes alone, then with all that they ask for behind them.

use std::time::Instant;

use sockeye_proto::{
    CloseCode, CloseReason, Config, Connection, Event, MaskingKey, MessageKind, ProtocolError, Role,
};

/// The message that is open when the header comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fragment {
    None,
    Text,
    Binary,
}

/// The state of the closing handshake when the header comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Closing {
    Open,
    CloseSent,
    CloseReceived,
    Failed,
}

const FRAGMENTS: [Fragment; 3] = [Fragment::None, Fragment::Text, Fragment::Binary];

/// An outcome of a header at the connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Text,
    Binary,
    Start(MessageKind),
    Chunk,
    End,
    Close(u16),
    Ping,
    Pong,
    Broken(ProtocolError),
    /// No event; the bytes are left, or taken.
    Nothing {
        left: bool,
    },
}

// The oracle

/// The rule that the two bytes break, if they do: those of the first byte before those of the second.
fn broken(first: u8, second: u8, role: Role, fragment: Fragment) -> Option<ProtocolError> {
    let fin = first >= 0x80;
    let control = first & 0x0f >= 0x8;
    match first & 0x0f {
        opcode @ (0x3..=0x7 | 0xb..=0xf) => return Some(ProtocolError::ReservedOpCode { opcode }),
        _ if first & 0x70 != 0 => return Some(ProtocolError::ReservedBit),
        0x8..=0xa if !fin => return Some(ProtocolError::ControlFrameFragmented),
        0x0 if fragment == Fragment::None => return Some(ProtocolError::UnexpectedContinuation),
        opcode @ (0x1 | 0x2) if fragment != Fragment::None => {
            return Some(ProtocolError::ExpectedContinuation { opcode });
        }
        _ => {}
    }
    match (role, second >= 0x80) {
        (Role::Server, false) => return Some(ProtocolError::UnmaskedFrame),
        (Role::Client, true) => return Some(ProtocolError::MaskedFrame),
        _ => {}
    }
    (control && second & 0x7f > 125).then_some(ProtocolError::ControlFrameTooLong)
}

/// The outcome of the two bytes alone.
fn of_two_bytes(first: u8, second: u8, role: Role, fragment: Fragment) -> Outcome {
    if let Some(error) = broken(first, second, role, fragment) {
        return Outcome::Broken(error);
    }
    // A key follows, or more of the length.
    if role == Role::Server || second & 0x7f > 125 {
        return Outcome::Nothing { left: true };
    }
    let empty = second & 0x7f == 0;
    match (first & 0x0f, first >= 0x80) {
        // A control frame is taken as a whole.
        (0x8..=0xa, _) if !empty => Outcome::Nothing { left: true },
        (0x8, _) => Outcome::Close(1005),
        (0x9, _) => Outcome::Ping,
        (0xa, _) => Outcome::Pong,
        (0x0, true) if empty => Outcome::End,
        (0x0, _) => Outcome::Nothing { left: false },
        (0x1, true) if empty => Outcome::Text,
        (_, true) if empty => Outcome::Binary,
        (0x1, _) => Outcome::Start(MessageKind::Text),
        _ => Outcome::Start(MessageKind::Binary),
    }
}

/// Returns the outcomes of the two bytes with the rest of the frame behind them; at most two. The rest is the length in
/// the shortest form, a key, and a payload of zeros. A Close has code 1000 before the zeros.
fn of_whole_frame(first: u8, second: u8, role: Role, fragment: Fragment) -> [Outcome; 2] {
    let nothing = Outcome::Nothing { left: false };
    if let Some(error) = broken(first, second, role, fragment) {
        return [Outcome::Broken(error), nothing];
    }
    let payload = second & 0x7f;
    match (first & 0x0f, first >= 0x80) {
        (0x8, _) => match payload {
            0 => [Outcome::Close(1005), nothing],
            1 => [Outcome::Broken(ProtocolError::CloseBodyTooShort), nothing],
            _ => [Outcome::Close(1000), nothing],
        },
        (0x9, _) => [Outcome::Ping, nothing],
        (0xa, _) => [Outcome::Pong, nothing],
        (0x0, true) if payload == 0 => [Outcome::End, nothing],
        (0x0, true) => [Outcome::Chunk, Outcome::End],
        (0x0, false) if payload == 0 => [nothing, nothing],
        (0x0, false) => [Outcome::Chunk, nothing],
        (0x1, true) => [Outcome::Text, nothing],
        (_, true) => [Outcome::Binary, nothing],
        (opcode, false) => {
            let kind = if opcode == 0x1 {
                MessageKind::Text
            } else {
                MessageKind::Binary
            };
            let chunk = if payload == 0 {
                nothing
            } else {
                Outcome::Chunk
            };
            [Outcome::Start(kind), chunk]
        }
    }
}

// The connection under test

/// A connection in the state in which the header is to be read, and the means to make another.
fn connection(role: Role, fragment: Fragment, closing: Closing, now: Instant) -> Connection {
    let config = Config::new(role);
    let mut connection = match role {
        Role::Client => Connection::client(config, Box::new(MaskingKey::default), now),
        Role::Server => Connection::server(config, now),
    };
    let first = match fragment {
        Fragment::None => None,
        Fragment::Text => Some(0x01),
        Fragment::Binary => Some(0x02),
    };
    if let Some(first) = first {
        read(&mut connection, first, &[], now);
    }
    match closing {
        Closing::Open => {}
        Closing::CloseSent => {
            let reason = CloseReason::no_status();
            connection.send_close(&reason, now).unwrap();
        }
        Closing::CloseReceived => read(&mut connection, 0x88, &[], now),
        Closing::Failed => {
            let mut bad = [0xff];
            connection.receive(&mut &mut bad[..], now).unwrap_err();
        }
    }
    connection
}

/// Reads one frame of the peer's, masked with zeros where it has to be.
fn read(connection: &mut Connection, first: u8, payload: &[u8], now: Instant) {
    let mask = connection.role() == Role::Server;
    let mut bytes = vec![first, if mask { 0x80 } else { 0 }];
    bytes.extend_from_slice(if mask { &[0; 4] } else { &[] });
    bytes.extend_from_slice(payload);
    connection.receive(&mut &mut bytes[..], now).unwrap();
}

fn pull(connection: &mut Connection, input: &mut &mut [u8], now: Instant) -> Outcome {
    match connection.receive(input, now) {
        Ok(Some(event)) => outcome(&event),
        Ok(None) => Outcome::Nothing {
            left: !input.is_empty(),
        },
        Err(error) => Outcome::Broken(error),
    }
}

fn outcome(event: &Event<'_>) -> Outcome {
    match event {
        Event::Binary(_) => Outcome::Binary,
        Event::Chunk(_) => Outcome::Chunk,
        Event::Close(reason) => Outcome::Close(reason.code().get()),
        Event::MessageEnd => Outcome::End,
        Event::MessageStart(kind) => Outcome::Start(*kind),
        Event::Ping(_) => Outcome::Ping,
        Event::Pong(_) => Outcome::Pong,
        Event::Text(_) => Outcome::Text,
        event => unreachable!("{event:?}"),
    }
}

/// The state that follows, as the getters tell it: whether a Close is owed, and whether all is done.
fn check_state(connection: &Connection, closing: Closing, outcome: Outcome) {
    let ended = matches!(outcome, Outcome::Broken(_) | Outcome::Close(_));
    let owes = ended && closing == Closing::Open;
    assert_eq!(connection.owes_close(), owes, "{connection:?}");
    assert_eq!(connection.can_receive(), !ended);
    assert_eq!(connection.can_send(), closing == Closing::Open);
    let failure = match outcome {
        Outcome::Broken(error) => Some(error),
        _ => None,
    };
    assert_eq!(connection.failure(), failure);
    let received = match outcome {
        Outcome::Close(code) => Some(code),
        _ => None,
    };
    let reported = connection.close_received().map(CloseReason::code);
    assert_eq!(reported.map(CloseCode::get), received);
}

/// The rest of the frame that two bytes start, in `frame` behind them.
fn complete(frame: &mut Vec<u8>, first: u8, second: u8, role: Role) -> &mut [u8] {
    frame.clear();
    frame.extend([first, second]);
    let payload_len = match second & 0x7f {
        126 => {
            frame.extend(126_u16.to_be_bytes());
            126
        }
        127 => {
            frame.extend(65_536_u64.to_be_bytes());
            65_536
        }
        len => usize::from(len),
    };
    if role == Role::Server {
        frame.extend([0; 4]);
    }
    let payload_start = frame.len();
    frame.resize(payload_start + payload_len, 0);
    if first & 0x0f == 0x8 && payload_len >= 2 {
        frame[payload_start..payload_start + 2].copy_from_slice(&1000_u16.to_be_bytes());
    }
    frame
}

/// Judges all 65,536 headers where headers still count.
fn judge(role: Role, closing: Closing) {
    let now = start();
    let mut frame = Vec::new();
    for fragment in FRAGMENTS {
        // If a header did not change the connection, the connection is used for the next header.
        let mut connection = connection(role, fragment, closing, now);
        for header in 0..=u16::MAX {
            let [first, second] = header.to_be_bytes();
            let context = || format!("{first:02x} {second:02x} {fragment:?}");

            let mut bytes = [first, second];
            let mut input = &mut bytes[..];
            let found = pull(&mut connection, &mut input, now);
            let expected = of_two_bytes(first, second, role, fragment);
            assert_eq!(found, expected, "{}", context());
            check_state(&connection, closing, found);
            if found != (Outcome::Nothing { left: true }) {
                connection = self::connection(role, fragment, closing, now);
            }

            let expected = of_whole_frame(first, second, role, fragment);
            if matches!(found, Outcome::Broken(_)) {
                // Decided: what follows cannot change it.
                assert_eq!(expected[0], found, "{}", context());
                continue;
            }
            let mut input = complete(&mut frame, first, second, role);
            for expected in expected {
                let found = pull(&mut connection, &mut input, now);
                assert_eq!(found, expected, "{}", context());
                if found == (Outcome::Nothing { left: false }) {
                    break;
                }
                check_state(&connection, closing, found);
                if let Outcome::Broken(_) | Outcome::Close(_) = found {
                    break;
                }
            }
            assert!(input.is_empty(), "{}", context());
            connection = self::connection(role, fragment, closing, now);
        }
    }
}

/// Shows all 65,536 headers where none counts any more: nothing is made of them.
fn judge_discarding(role: Role, closing: Closing) {
    let now = start();
    for fragment in FRAGMENTS {
        let mut connection = connection(role, fragment, closing, now);
        let failure = connection.failure();
        let received = connection.close_received().cloned();
        for header in 0..=u16::MAX {
            let mut bytes = header.to_be_bytes();
            let mut input = &mut bytes[..];
            let found = pull(&mut connection, &mut input, now);
            assert_eq!(found, Outcome::Nothing { left: false }, "{header:04x}");
        }
        assert!(connection.is_finished());
        assert_eq!(connection.failure(), failure);
        assert_eq!(connection.close_received(), received.as_ref());
    }
}

#[test]
fn server_open() {
    judge(Role::Server, Closing::Open);
}

#[test]
fn client_open() {
    judge(Role::Client, Closing::Open);
}

#[test]
fn server_with_its_close_sent() {
    judge(Role::Server, Closing::CloseSent);
}

#[test]
fn client_with_its_close_sent() {
    judge(Role::Client, Closing::CloseSent);
}

#[test]
fn either_with_the_peers_close_received() {
    judge_discarding(Role::Server, Closing::CloseReceived);
    judge_discarding(Role::Client, Closing::CloseReceived);
}

#[test]
fn either_failed() {
    judge_discarding(Role::Server, Closing::Failed);
    judge_discarding(Role::Client, Closing::Failed);
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
fn start() -> Instant {
    Instant::now()
}
