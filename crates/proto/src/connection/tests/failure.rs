//! §7.1.7: each rule that a peer can break, and what follows.

use super::*;

/// The number of a variant; a new one does not compile until it has a number, and a case below.
fn number(error: ProtocolError) -> usize {
    match error {
        ProtocolError::CloseBodyTooShort => 0,
        ProtocolError::ControlFrameFragmented => 1,
        ProtocolError::ControlFrameTooLong => 2,
        ProtocolError::ExpectedContinuation { .. } => 3,
        ProtocolError::InvalidCloseCode { .. } => 4,
        ProtocolError::InvalidUtf8 => 5,
        ProtocolError::InvalidUtf8InCloseReason => 6,
        ProtocolError::LengthNotMinimal => 7,
        ProtocolError::LengthOutOfRange => 8,
        ProtocolError::MaskedFrame => 9,
        ProtocolError::MessageTooBig { .. } => 10,
        ProtocolError::ReservedBit => 11,
        ProtocolError::ReservedOpCode { .. } => 12,
        ProtocolError::TooManyFragments { .. } => 13,
        ProtocolError::UnexpectedContinuation => 14,
        ProtocolError::UnmaskedFrame => 15,
        // Where compression was agreed on: see tests/all/deflate.rs.
        ProtocolError::InvalidDeflate => 16,
        // By time, not by bytes: see deadline.rs.
        ProtocolError::MessageStalled { .. } => 17,
        ProtocolError::MessageTooSlow { .. } => 18,
        // By the caller, for other connections: see below.
        ProtocolError::MessageGivenUp => 19,
    }
}

const RULES: usize = 16;

/// Bytes for a client, the rule that they break, its close code and its section.
fn to_client() -> Vec<(Vec<u8>, ProtocolError, u16, &'static str)> {
    use ProtocolError::*;
    vec![
        (hex("88 01 03"), CloseBodyTooShort, 1002, "5.5.1"),
        (hex("09 00"), ControlFrameFragmented, 1002, "5.5"),
        (hex("08 02 03 e8"), ControlFrameFragmented, 1002, "5.5"),
        (hex("0a 00"), ControlFrameFragmented, 1002, "5.5"),
        (hex("89 7e 00 7e"), ControlFrameTooLong, 1002, "5.5"),
        (hex("88 7f"), ControlFrameTooLong, 1002, "5.5"),
        (
            hex("01 00  81 00"),
            ExpectedContinuation { opcode: 1 },
            1002,
            "5.4",
        ),
        (
            hex("88 02 03 ee"),
            InvalidCloseCode { code: 1006 },
            1002,
            "7.4",
        ),
        (hex("81 01 ff"), InvalidUtf8, 1007, "8.1"),
        (
            hex("88 04 03 e8 c3 28"),
            InvalidUtf8InCloseReason,
            1007,
            "8.1",
        ),
        (hex("82 7e 00 7d"), LengthNotMinimal, 1002, "5.2"),
        (
            hex("82 7f 00 00 00 00 00 00 ff ff"),
            LengthNotMinimal,
            1002,
            "5.2",
        ),
        (
            hex("82 7f 80 00 00 00 00 00 00 00"),
            LengthOutOfRange,
            1002,
            "5.2",
        ),
        (hex("81 80 00 00 00 00"), MaskedFrame, 1002, "5.1"),
        (
            hex("82 7e 03 e9"),
            MessageTooBig {
                size: 1001,
                limit: 1000,
            },
            1009,
            "10.4",
        ),
        (hex("c1 00"), ReservedBit, 1002, "5.2"),
        (hex("a1 00"), ReservedBit, 1002, "5.2"),
        (hex("91 00"), ReservedBit, 1002, "5.2"),
        (hex("c9 00"), ReservedBit, 1002, "5.2"),
        (hex("83 00"), ReservedOpCode { opcode: 3 }, 1002, "5.2"),
        (hex("8b 00"), ReservedOpCode { opcode: 11 }, 1002, "5.2"),
        (
            hex("01 00  00 00  00 00"),
            TooManyFragments { limit: 2 },
            1008,
            "10.4",
        ),
        (hex("80 00"), UnexpectedContinuation, 1002, "5.4"),
    ]
}

/// The same for a server: the frames are masked, but for one.
fn to_server() -> Vec<(Vec<u8>, ProtocolError, u16, &'static str)> {
    let mut cases: Vec<_> = to_client()
        .into_iter()
        .filter(|(_, error, ..)| *error != ProtocolError::MaskedFrame)
        .map(|(bytes, error, code, section)| (masked(&bytes), error, code, section))
        .collect();
    let unmasked = ProtocolError::UnmaskedFrame;
    cases.push((hex("81 05 48 65 6c 6c 6f"), unmasked, 1002, "5.1"));
    cases
}

/// The frames with their mask bits set and keys of zeros.
fn masked(mut bytes: &[u8]) -> Vec<u8> {
    let mut masked = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let (extended, rest) = rest.split_at(extended.min(rest.len()));
        masked.extend([*first, second | 0x80]);
        masked.extend_from_slice(extended);
        masked.extend([0; 4]);
        let payload = usize::from(second & 0x7f).min(rest.len());
        masked.extend_from_slice(&rest[..payload]);
        bytes = &rest[payload..];
    }
    masked
}

fn cases() -> Vec<(Role, Vec<u8>, ProtocolError, u16, &'static str)> {
    let cases = |role, cases: Vec<(Vec<u8>, ProtocolError, u16, &'static str)>| {
        cases
            .into_iter()
            .map(move |(bytes, error, code, section)| (role, bytes, error, code, section))
    };
    cases(Role::Client, to_client())
        .chain(cases(Role::Server, to_server()))
        .collect()
}

fn strict(role: Role) -> End {
    let config = Config::new(role).max_message(1000).max_fragments(2);
    End::with(config, role)
}

#[test]
fn each_rule_is_broken_by_one_of_the_cases() {
    let mut broken: Vec<_> = cases()
        .into_iter()
        .map(|(_, _, error, ..)| number(error))
        .collect();
    broken.sort_unstable();
    broken.dedup();
    assert_eq!(broken, (0..RULES).collect::<Vec<_>>());
}

#[test]
fn each_rule_has_its_close_code_its_section_and_its_sentence() {
    for (role, bytes, error, code, section) in cases() {
        let mut end = strict(role);
        let seen = end.reads(&bytes);
        assert_eq!(seen.last(), Some(&Seen::Failed(error)), "{bytes:02x?}");
        assert_eq!(error.section(), format!("RFC 6455 §{section}"));
        assert_eq!(error.close_code().get(), code);
        assert_eq!(end.pull(), None);
        let body = close_body(code, &error.to_string());
        assert_eq!(end.writes(), [(CLOSE, body)], "{bytes:02x?}");
    }
}

#[test]
fn the_rule_is_the_same_when_the_bytes_come_one_at_a_time() {
    for (role, bytes, error, ..) in cases() {
        let mut end = strict(role);
        let seen: Vec<_> = bytes
            .iter()
            .flat_map(|byte| match end.machine.failure() {
                None => end.reads([*byte]),
                Some(_) => vec![],
            })
            .collect();
        assert_eq!(seen.last(), Some(&Seen::Failed(error)), "{bytes:02x?}");
    }
}

#[test]
fn a_failed_connection_remembers_why_and_delivers_nothing_more() {
    for (role, bytes, error, ..) in cases() {
        let mut end = strict(role);
        end.reads(&bytes);
        for late in [TEXT, BINARY, PING, PONG, CLOSE, ENDS] {
            assert_eq!(end.reads_frame(late, b""), []);
        }
        end.machine.handle_end();
        assert_eq!(end.machine.failure(), Some(error));
        assert_eq!(end.reads_frame(TEXT, b"late"), []);
    }
}

#[test]
fn the_message_before_a_broken_rule_is_delivered_and_the_open_one_is_not() {
    for (role, bytes, error, ..) in cases() {
        let mut end = strict(role);
        end.arrives(end.frame(TEXT, b"before"));
        end.arrives(&bytes);
        assert_eq!(end.pull(), Some(text("before")));
        let seen = end.reads([]);
        assert_eq!(seen.last(), Some(&Seen::Failed(error)));
        let whole = |event: &Seen| matches!(event, Seen::End | Seen::Text(_) | Seen::Binary(_));
        assert!(!seen.iter().any(whole));
    }
}

#[test]
fn an_error_names_the_size_or_the_opcode_that_came_and_what_was_expected() {
    for (error, text) in [
        (
            ProtocolError::MessageTooBig {
                size: 1001,
                limit: 1000,
            },
            "message of at least 1001 bytes: the limit is 1000",
        ),
        (
            ProtocolError::ExpectedContinuation { opcode: 2 },
            "opcode 0x2 inside a fragmented message: expected a continuation (0x0)",
        ),
        (
            ProtocolError::ReservedOpCode { opcode: 11 },
            "reserved opcode 0xb",
        ),
        (
            ProtocolError::InvalidCloseCode { code: 1006 },
            "Close frame with the reserved code 1006",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn the_longest_text_of_an_error_fits_a_close_frame() {
    let error = ProtocolError::MessageTooBig {
        size: u64::MAX,
        limit: u64::MAX - 1,
    };
    assert_eq!(error.close_reason().reason(), error.to_string());
}

#[test]
fn a_message_that_the_caller_gives_up_ends_with_1013() {
    for role in ROLES {
        let mut end = End::of(role);
        end.reads_frame(TEXT_STARTS, b"begun");
        let error = end.machine.give_up_message(end.now);
        assert_eq!(error, ProtocolError::MessageGivenUp);
        assert_eq!(end.machine.failure(), Some(error));
        assert_eq!(error.close_code().get(), 1013);
        assert!(end.machine.owes_close());
        assert_eq!(end.reads_frame(ENDS, b"too late"), []);
        assert!(end.machine.is_finished());
    }
}
