//! §5.5.2, §5.5.3: Pings and Pongs.

use super::*;

#[test]
fn a_ping_is_answered_by_a_pong_with_its_payload() {
    for role in ROLES {
        for payload in [&b""[..], b"Hello", &[0xff; 125]] {
            let mut end = End::of(role);
            let seen = end.reads_frame(PING, payload);
            assert_eq!(seen, [Seen::Ping(payload.to_vec())]);
            assert_eq!(end.writes(), [(PONG, payload.to_vec())]);
        }
    }
}

#[test]
fn a_ping_between_fragments_is_answered_before_the_message_ends() {
    for role in ROLES {
        let mut end = End::of(role);
        end.reads_frame(TEXT_STARTS, b"a");
        assert_eq!(end.reads_frame(PING, b"p"), [Seen::Ping(b"p".to_vec())]);
        assert_eq!(end.writes(), [(PONG, b"p".to_vec())]);
        assert_eq!(end.reads_frame(ENDS, b"b"), [chunk(b"b"), Seen::End]);
    }
}

#[test]
fn a_pong_between_fragments_leaves_the_message_alone() {
    for role in ROLES {
        let mut end = End::of(role);
        end.reads_frame(BINARY_STARTS, b"a");
        assert_eq!(end.reads_frame(PONG, b"p"), [Seen::Pong(b"p".to_vec())]);
        assert_eq!(end.reads_frame(ENDS, b"b"), [chunk(b"b"), Seen::End]);
    }
}

#[test]
fn a_pong_that_nobody_asked_for_gets_no_reply() {
    for role in ROLES {
        let mut end = End::of(role);
        assert_eq!(end.reads_frame(PONG, b"hi"), [Seen::Pong(b"hi".to_vec())]);
        assert_eq!(end.writes(), []);
    }
}

#[test]
fn pings_may_be_answered_between_the_parts_of_a_message_being_sent() {
    for role in ROLES {
        let mut end = End::of(role);
        end.machine
            .send_part(MessageKind::Text, b"a", false, Cause::Push)
            .unwrap();
        end.reads_frame(PING, b"p");
        end.machine
            .send_part(MessageKind::Text, b"b", true, Cause::Push)
            .unwrap();
        assert_eq!(
            end.writes(),
            [
                (TEXT_STARTS, b"a".to_vec()),
                (PONG, b"p".to_vec()),
                (ENDS, b"b".to_vec())
            ]
        );
    }
}

#[test]
fn a_ping_behind_our_close_is_an_event_without_an_answer() {
    for role in ROLES {
        let mut end = End::of(role);
        end.sends_close(1000, "");
        assert_eq!(end.writes().len(), 1);
        assert_eq!(end.reads_frame(PING, b"p"), [Seen::Ping(b"p".to_vec())]);
        assert_eq!(end.writes(), []);
    }
}

#[test]
fn a_ping_behind_the_peers_close_is_discarded() {
    for role in ROLES {
        let mut end = End::of(role);
        end.arrives(end.close_frame(1000, ""));
        end.arrives(end.frame(PING, b"p"));
        assert_eq!(end.pull(), Some(Seen::Close(1000, String::new())));
        assert_eq!(end.pull(), None);
        assert_eq!(end.writes(), [(CLOSE, close_body(1000, ""))]);
    }
}

// A peer that pings and does not read

#[test]
fn behind_a_full_output_64_pongs_wait_and_the_newest_win() {
    for role in ROLES {
        let mut end = End::of(role);
        fill_output(&mut end);
        for count in 0..1000_u32 {
            let payload = count.to_be_bytes().to_vec();
            assert_eq!(end.reads_frame(PING, &payload), [Seen::Ping(payload)]);
        }
        let newest: Vec<_> = (1000 - 64..1000_u32)
            .map(|count| (PONG, count.to_be_bytes().to_vec()))
            .collect();
        assert_eq!(end.writes().len(), 1, "what filled the output");
        assert_eq!(end.writes(), newest);
    }
}

#[test]
fn pongs_that_wait_keep_their_order_with_those_that_follow() {
    for role in ROLES {
        let mut end = End::of(role);
        fill_output(&mut end);
        end.reads_frame(PING, b"1");
        let half = end.machine.output().remaining() / 2;
        end.machine.output().advance(half);
        end.reads_frame(PING, b"2");
        let rest = end.machine.output().remaining();
        let pongs = end.machine.output().copy_to_bytes(rest).slice(half..);
        let pongs: Vec<_> = frames(&pongs)
            .into_iter()
            .map(|pong| pong.payload)
            .collect();
        assert_eq!(pongs, [b"1", b"2"]);
    }
}

#[test]
fn pongs_that_wait_go_out_before_our_close() {
    for role in ROLES {
        let mut end = End::of(role);
        fill_output(&mut end);
        end.reads_frame(PING, b"p");
        end.sends_close(1000, "");
        let mut written = end.writes();
        assert_eq!(written.pop(), Some((CLOSE, close_body(1000, ""))));
        assert_eq!(written.pop(), Some((PONG, b"p".to_vec())));
    }
}

#[test]
fn output_buffers_are_not_taken_away_while_pongs_wait() {
    let mut end = End::server();
    fill_output(&mut end);
    end.reads_frame(PING, b"p");
    let waiting = end.machine.output().remaining();
    end.machine.output().advance(waiting);
    assert!(end.machine.take_output().is_none());
    assert_eq!(end.writes(), [(PONG, b"p".to_vec())]);
    assert!(end.machine.take_output().is_some());
}

/// Pushes as much as makes pongs wait.
fn fill_output(end: &mut End) {
    end.machine
        .send_binary(&[0; Output::SHARED_FROM], Cause::Push)
        .unwrap();
}
