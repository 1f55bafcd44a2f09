//! §6.1: what may be sent, and when.

use super::*;

type Send = fn(&mut Connection) -> Result<(), SendError>;

/// Each way to send something, but for the Close.
const SENDS: [Send; 7] = [
    |end| end.send_message("a", Cause::Push),
    |end| end.send_text("a", Cause::Push),
    |end| end.send_binary(b"a", Cause::Push),
    |end| end.send_message(PreparedMessage::new("a"), Cause::Push),
    |end| end.send_part(MessageKind::Text, b"a", true, Cause::Push),
    |end| end.send_ping(b"a"),
    |end| end.send_pong(b"a"),
];

fn part(end: &mut End, kind: MessageKind, payload: &[u8], last: bool) -> Result<(), SendError> {
    end.machine.send_part(kind, payload, last, Cause::Push)
}

#[test]
fn each_message_is_one_frame_with_the_opcode_of_its_kind() {
    for role in ROLES {
        let mut end = End::of(role);
        let all: Vec<_> = SENDS
            .iter()
            .map(|send| {
                send(&mut end.machine).unwrap();
                end.writes()
            })
            .collect();
        let kinds = [TEXT, TEXT, BINARY, TEXT, TEXT, PING, PONG];
        let expected: Vec<_> = kinds.map(|kind| vec![(kind, b"a".to_vec())]).to_vec();
        assert_eq!(all, expected);
    }
}

#[test]
fn a_large_message_is_one_frame_too() {
    for role in ROLES {
        for payload in ["x".repeat(Output::SHARED_FROM), "x".repeat(100_000)] {
            let mut end = End::of(role);
            end.machine
                .send_message(payload.as_str(), Cause::Push)
                .unwrap();
            end.machine
                .send_message(Message::binary(payload.clone()), Cause::Push)
                .unwrap();
            end.machine.send_text("behind", Cause::Push).unwrap();
            assert_eq!(
                end.writes(),
                [
                    (TEXT, payload.clone().into_bytes()),
                    (BINARY, payload.into_bytes()),
                    (TEXT, b"behind".to_vec())
                ]
            );
        }
    }
}

#[test]
fn a_prepared_message_is_the_frame_that_each_role_would_send() {
    for role in ROLES {
        for payload in [vec![], vec![7; 200], vec![7; 100_000]] {
            let prepared = PreparedMessage::new(payload.clone());
            assert_eq!(prepared.message().as_bytes(), payload);
            let mut end = End::of(role);
            end.machine.send_message(&prepared, Cause::Push).unwrap();
            end.machine.send_message(&prepared, Cause::Push).unwrap();
            let expected = (BINARY, payload);
            assert_eq!(end.writes(), [expected.clone(), expected]);
        }
    }
}

#[test]
fn frames_made_before_go_out_as_they_are() {
    let mut frames = Vec::new();
    for payload in ["", "a", &"b".repeat(200), &"c".repeat(70_000)] {
        PreparedMessage::new(payload).write_frame(&mut frames);
    }
    let mut server = End::of(Role::Server);
    server.machine.send_text("first", Cause::Push).unwrap();
    server.machine.send_frames(&frames, Cause::Push).unwrap();
    let expected = ["first", "", "a", &"b".repeat(200), &"c".repeat(70_000)];
    let expected: Vec<_> = expected.map(|text| (TEXT, text.into())).into();
    assert_eq!(server.writes(), expected);

    let mut client = End::of(Role::Client);
    let sent = client.machine.send_frames(&frames, Cause::Push);
    assert_eq!(sent, Err(SendError::Unmasked));
}

#[test]
fn frames_made_before_go_neither_into_a_message_nor_behind_a_close() {
    let mut end = End::of(Role::Server);
    part(&mut end, MessageKind::Text, b"a", false).unwrap();
    let sent = end.machine.send_frames(b"\x81\x00", Cause::Push);
    assert_eq!(sent, Err(SendError::MessageOpen));
    let now = end.now;
    end.machine
        .send_close(&CloseReason::no_status(), now)
        .unwrap();
    let sent = end.machine.send_frames(b"\x81\x00", Cause::Push);
    assert_eq!(sent, Err(SendError::Closed));
}

// Parts

#[test]
fn parts_are_the_fragments_of_one_message() {
    for role in ROLES {
        let mut end = End::of(role);
        part(&mut end, MessageKind::Binary, b"a", false).unwrap();
        part(&mut end, MessageKind::Binary, b"", false).unwrap();
        part(&mut end, MessageKind::Binary, b"c", true).unwrap();
        part(&mut end, MessageKind::Text, b"next", true).unwrap();
        assert_eq!(
            end.writes(),
            [
                (BINARY_STARTS, b"a".to_vec()),
                (GOES_ON, vec![]),
                (ENDS, b"c".to_vec()),
                (TEXT, b"next".to_vec())
            ]
        );
    }
}

#[test]
fn only_control_frames_and_parts_of_the_same_kind_go_between_parts() {
    for role in ROLES {
        let mut end = End::of(role);
        part(&mut end, MessageKind::Text, b"a", false).unwrap();
        for send in &SENDS[..4] {
            assert_eq!(send(&mut end.machine), Err(SendError::MessageOpen));
        }
        let other = part(&mut end, MessageKind::Binary, b"b", true);
        assert_eq!(other, Err(SendError::MessageOpen));
        end.machine.send_ping(b"ping").unwrap();
        end.machine.send_pong(b"pong").unwrap();
        part(&mut end, MessageKind::Text, b"b", true).unwrap();
        end.machine.send_binary(b"next", Cause::Push).unwrap();
        assert_eq!(
            end.writes(),
            [
                (TEXT_STARTS, b"a".to_vec()),
                (PING, b"ping".to_vec()),
                (PONG, b"pong".to_vec()),
                (ENDS, b"b".to_vec()),
                (BINARY, b"next".to_vec())
            ]
        );
    }
}

// The other refusals

#[test]
fn control_payloads_have_125_bytes_at_most() {
    for role in ROLES {
        let mut end = End::of(role);
        let too_long = Err(SendError::ControlPayloadTooLong { len: 126 });
        assert_eq!(end.machine.send_ping(&[7; 126]), too_long);
        assert_eq!(end.machine.send_pong(&[7; 126]), too_long);
        assert_eq!(end.writes(), []);
        end.machine.send_ping(&[7; 125]).unwrap();
        assert_eq!(end.writes(), [(PING, vec![7; 125])]);
    }
}

#[test]
fn a_close_of_1006_is_refused_and_changes_nothing() {
    for role in ROLES {
        let mut end = End::of(role);
        assert_eq!(
            end.machine.send_close(&CloseReason::abnormal(""), end.now),
            Err(SendError::CloseCode { code: 1006 })
        );
        assert!(end.machine.can_send());
        assert_eq!(end.writes(), []);
    }
}

#[test]
fn after_our_close_nothing_more_is_sent() {
    for role in ROLES {
        let mut close_sent = End::of(role);
        close_sent.sends_close(1000, "");
        let mut closed = End::of(role);
        closed.reads(closed.close_frame(1000, ""));
        let mut failed = End::of(role);
        failed.reads([0xff]);
        failed.pull();
        let mut failed_behind_close = End::of(role);
        failed_behind_close.sends_close(1000, "");
        failed_behind_close.reads([0xff]);
        for mut end in [close_sent, closed, failed, failed_behind_close] {
            assert_eq!(end.writes().len(), 1, "the Close");
            for send in SENDS {
                assert_eq!(send(&mut end.machine), Err(SendError::Closed));
            }
            assert_eq!(
                end.machine.send_close(&close_reason(1000, ""), end.now),
                Err(SendError::Closed)
            );
            assert_eq!(end.writes(), []);
        }
    }
}

#[test]
fn while_a_close_is_owed_everything_may_still_be_sent() {
    for role in ROLES {
        let mut answering = End::of(role);
        answering.arrives(answering.close_frame(1000, ""));
        answering.pull();
        let mut failing = End::of(role);
        failing.reads([0xff]);
        for mut end in [answering, failing] {
            for send in SENDS {
                send(&mut end.machine).unwrap();
            }
            end.machine.conclude(end.now);
            let written = end.writes();
            assert_eq!(written.len(), SENDS.len() + 1);
            assert_eq!(written.last().map(|(first, _)| *first), Some(CLOSE));
        }
    }
}
