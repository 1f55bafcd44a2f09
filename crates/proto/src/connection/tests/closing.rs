//! §5.5.1, §7: the closing handshake, arrow by arrow of the graph in `connection/mod.rs`.

use super::*;

const OPEN: &str = "can send, can receive";
const CLOSE_SENT: &str = "can receive";
const CLOSE_OWED: &str = "can send, owes a Close";
const FINISHED: &str = "finished";

/// The names of the getters that are true.
fn state(end: &End) -> String {
    let machine = &end.machine;
    let all = [
        (machine.can_send(), "can send"),
        (machine.can_receive(), "can receive"),
        (machine.owes_close(), "owes a Close"),
        (machine.is_finished(), "finished"),
    ];
    let names: Vec<_> = all
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, name)| *name)
        .collect();
    names.join(", ")
}

/// An end whose peer has sent a Close that is not answered yet.
fn close_received(role: Role) -> End {
    let mut end = End::of(role);
    end.arrives(end.close_frame(4000, "bye"));
    assert_eq!(end.pull(), Some(Seen::Close(4000, "bye".to_owned())));
    assert_eq!(state(&end), CLOSE_OWED);
    assert_eq!(end.writes(), []);
    end
}

/// An end whose peer broke a rule, about which no Close was sent yet.
fn failing(role: Role) -> End {
    let mut end = End::of(role);
    let failed = Seen::Failed(ProtocolError::UnexpectedContinuation);
    assert_eq!(end.reads_frame(ENDS, b""), [failed]);
    assert_eq!(state(&end), CLOSE_OWED);
    assert_eq!(end.writes(), []);
    end
}

fn failure_close() -> (u16, Vec<u8>) {
    let reason = ProtocolError::UnexpectedContinuation.to_string();
    (1002, close_body(1002, &reason))
}

// We close

#[test]
fn the_close_that_is_sent_has_exactly_the_code_and_the_reason_given() {
    for role in ROLES {
        let mut end = End::of(role);
        assert_eq!(state(&end), OPEN);
        end.sends_close(4000, "grüezi");
        assert_eq!(state(&end), CLOSE_SENT);
        assert_eq!(end.writes(), [(CLOSE, close_body(4000, "grüezi"))]);
        assert_eq!(end.close_received(), None);
    }
}

#[test]
fn a_close_without_a_code_has_no_body() {
    for role in ROLES {
        let mut end = End::of(role);
        let none = CloseReason::no_status();
        end.machine.send_close(&none, end.now).unwrap();
        assert_eq!(end.writes(), [(CLOSE, vec![])]);
    }
}

#[test]
fn the_peers_close_behind_ours_closes_without_another() {
    for role in ROLES {
        let mut end = End::of(role);
        end.sends_close(1000, "ours");
        end.writes();
        let seen = end.reads(end.close_frame(1001, "theirs"));
        assert_eq!(seen, [Seen::Close(1001, "theirs".to_owned())]);
        assert_eq!(state(&end), FINISHED);
        assert_eq!(end.close_received(), Some((1001, "theirs")));
        assert_eq!(end.writes(), []);
    }
}

#[test]
fn messages_behind_our_close_are_received_until_the_peers() {
    for role in ROLES {
        let mut end = End::of(role);
        end.sends_close(1000, "");
        assert_eq!(end.reads_frame(TEXT, b"late"), [text("late")]);
        end.reads_frame(TEXT_STARTS, b"a");
        assert_eq!(end.reads_frame(ENDS, b"b"), [chunk(b"b"), Seen::End]);
        assert_eq!(end.reads_frame(PONG, b""), [Seen::Pong(vec![])]);
        assert_eq!(state(&end), CLOSE_SENT);
    }
}

#[test]
fn a_message_sent_in_parts_is_left_unfinished_by_our_close() {
    for role in ROLES {
        let mut end = End::of(role);
        end.machine
            .send_part(MessageKind::Text, b"a", false, Cause::Push)
            .unwrap();
        end.sends_close(1001, "");
        let refused = end
            .machine
            .send_part(MessageKind::Text, b"b", true, Cause::Push);
        assert_eq!(refused, Err(SendError::Closed));
        assert_eq!(
            end.writes(),
            [(TEXT_STARTS, b"a".to_vec()), (CLOSE, close_body(1001, ""))]
        );
    }
}

// The peer closes: the answer is owed until the caller says that it has handled the messages before it

#[test]
fn the_answer_goes_out_when_the_next_event_is_asked_for() {
    for role in ROLES {
        let mut end = close_received(role);
        assert_eq!(end.pull(), None);
        assert_eq!(state(&end), FINISHED);
        assert_eq!(end.writes(), [(CLOSE, close_body(4000, "bye"))]);
        assert_eq!(end.close_received(), Some((4000, "bye")));
    }
}

#[test]
fn the_answer_goes_out_when_the_caller_concludes() {
    for role in ROLES {
        let mut end = close_received(role);
        end.machine.conclude(end.now);
        end.machine.conclude(end.now);
        assert_eq!(state(&end), FINISHED);
        assert_eq!(end.writes(), [(CLOSE, close_body(4000, "bye"))]);
    }
}

#[test]
fn the_answer_may_have_a_reason_of_the_callers_own() {
    for role in ROLES {
        let mut end = close_received(role);
        end.sends_close(4001, "mine");
        assert_eq!(state(&end), FINISHED);
        assert_eq!(end.writes(), [(CLOSE, close_body(4001, "mine"))]);
        assert_eq!(end.close_received(), Some((4000, "bye")), "§7.1.5");
    }
}

#[test]
fn the_answer_goes_out_when_the_close_timeout_has_passed() {
    for role in ROLES {
        let mut end = close_received(role);
        let due = end.now + end.machine.config().close_timeout;
        assert_eq!(end.machine.poll_timeout(), Some(due));
        end.now = due;
        assert_eq!(end.machine.handle_timeout(due), None);
        assert_eq!(state(&end), FINISHED);
        assert_eq!(end.writes(), [(CLOSE, close_body(4000, "bye"))]);
    }
}

#[test]
fn a_reply_to_the_message_before_a_close_leaves_before_the_answer() {
    for role in ROLES {
        let mut end = End::of(role);
        end.arrives(end.frame(TEXT, b"ask"));
        end.arrives(end.close_frame(1000, ""));
        assert_eq!(end.pull(), Some(text("ask")));
        assert_eq!(end.pull(), Some(Seen::Close(1000, String::new())));
        end.machine.send_text("reply", Cause::Input).unwrap();
        assert_eq!(end.pull(), None);
        assert_eq!(
            end.writes(),
            [(TEXT, b"reply".to_vec()), (CLOSE, close_body(1000, ""))]
        );
    }
}

#[test]
fn a_close_without_a_body_is_reported_as_1005_and_answered_without_one() {
    for role in ROLES {
        let mut end = End::of(role);
        let seen = end.reads_frame(CLOSE, b"");
        assert_eq!(seen, [Seen::Close(1005, String::new())]);
        assert_eq!(end.close_received(), Some((1005, "")));
        assert_eq!(end.writes(), [(CLOSE, vec![])]);
    }
}

#[test]
fn each_legal_code_is_echoed_and_each_other_fails_the_connection() {
    for code in 0..=u16::MAX {
        let legal = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let mut client = End::client();
        let seen = client.reads(client.close_frame(code, ""));
        let expected = if legal {
            Seen::Close(code, String::new())
        } else {
            Seen::Failed(ProtocolError::InvalidCloseCode { code })
        };
        assert_eq!(seen, [expected]);
        client.pull();
        let written = client.writes();
        let echoed = if legal { code } else { 1002 };
        assert_eq!(written.len(), 1);
        assert!(written[0].1.starts_with(&echoed.to_be_bytes()), "{code}");
    }
}

#[test]
fn a_reason_may_have_123_bytes() {
    for role in ROLES {
        let mut end = End::of(role);
        let reason = "x".repeat(123);
        end.reads(end.close_frame(1000, &reason));
        assert_eq!(end.writes(), [(CLOSE, close_body(1000, &reason))]);
    }
}

#[test]
fn a_close_between_fragments_leaves_the_message_undelivered() {
    for role in ROLES {
        let mut end = End::of(role);
        end.reads_frame(TEXT_STARTS, b"a");
        let seen = end.reads(end.close_frame(1000, ""));
        assert_eq!(seen, [Seen::Close(1000, String::new())]);
        assert_eq!(end.reads_frame(ENDS, b"b"), []);
    }
}

#[test]
fn nothing_behind_the_peers_close_is_read_be_it_legal_or_not() {
    for role in ROLES {
        for late in [
            frame(TEXT, b"late", (role == Role::Server).then_some(KEY)),
            frame(TEXT, b"late", (role == Role::Client).then_some(KEY)),
            vec![0xff; 1000],
        ] {
            let mut end = End::of(role);
            end.arrives(end.close_frame(1000, ""));
            end.arrives(&late);
            assert_eq!(end.pull(), Some(Seen::Close(1000, String::new())));
            assert_eq!(end.pull(), None);
            assert_eq!(end.reads(late), []);
            assert!(end.unread.is_empty());
            assert_eq!(end.machine.failure(), None);
            assert_eq!(end.writes().len(), 1);
        }
    }
}

#[test]
fn of_two_closes_the_first_counts_and_one_answer_is_sent() {
    for role in ROLES {
        let mut end = End::of(role);
        end.arrives(end.close_frame(1000, ""));
        end.arrives(end.close_frame(1001, ""));
        assert_eq!(end.reads([]), [Seen::Close(1000, String::new())]);
        assert_eq!(end.close_received(), Some((1000, "")));
        assert_eq!(end.writes(), [(CLOSE, close_body(1000, ""))]);
    }
}

// A rule is broken

#[test]
fn a_failure_is_told_to_the_peer_when_the_next_event_is_asked_for() {
    for role in ROLES {
        let mut end = failing(role);
        assert_eq!(end.pull(), None);
        assert_eq!(state(&end), FINISHED);
        let (_, body) = failure_close();
        assert_eq!(end.writes(), [(CLOSE, body)]);
    }
}

#[test]
fn a_failure_is_told_to_the_peer_when_the_caller_concludes() {
    for role in ROLES {
        let mut end = failing(role);
        end.machine.conclude(end.now);
        assert_eq!(state(&end), FINISHED);
        let (_, body) = failure_close();
        assert_eq!(end.writes(), [(CLOSE, body)]);
    }
}

#[test]
fn a_failure_is_told_to_the_peer_as_such_whatever_reason_the_caller_gives() {
    for role in ROLES {
        let mut end = failing(role);
        end.sends_close(1000, "all is well");
        assert_eq!(state(&end), FINISHED);
        let (_, body) = failure_close();
        assert_eq!(end.writes(), [(CLOSE, body)]);
    }
}

#[test]
fn a_failure_is_told_to_the_peer_when_the_close_timeout_has_passed() {
    for role in ROLES {
        let mut end = failing(role);
        let due = end.now + end.machine.config().close_timeout;
        assert_eq!(end.machine.poll_timeout(), Some(due));
        assert_eq!(end.machine.handle_timeout(due), None);
        assert_eq!(state(&end), FINISHED);
        let (_, body) = failure_close();
        assert_eq!(end.writes(), [(CLOSE, body)]);
    }
}

#[test]
fn a_reply_to_the_message_before_a_failure_leaves_before_its_close() {
    for role in ROLES {
        let mut end = End::of(role);
        end.arrives(end.frame(TEXT, b"ask"));
        end.arrives([0xff]);
        assert_eq!(end.pull(), Some(text("ask")));
        assert_eq!(end.writes(), []);
        let error = ProtocolError::ReservedOpCode { opcode: 0xf };
        assert_eq!(end.pull(), Some(Seen::Failed(error)));
        end.machine.send_text("reply", Cause::Input).unwrap();
        end.machine.conclude(end.now);
        let written = end.writes();
        assert_eq!(written[0], (TEXT, b"reply".to_vec()));
        assert_eq!(written[1].0, CLOSE);
        assert_eq!(written.len(), 2);
    }
}

#[test]
fn after_a_failure_no_input_counts_not_even_the_peers_close() {
    for role in ROLES {
        let mut end = failing(role);
        assert_eq!(end.reads(end.close_frame(1000, "")), []);
        assert_eq!(end.reads_frame(TEXT, b"late"), []);
        assert_eq!(end.reads([0xff; 100]), []);
        assert_eq!(end.close_received(), None);
        assert_eq!(
            end.machine.failure(),
            Some(ProtocolError::UnexpectedContinuation)
        );
        assert_eq!(end.writes().len(), 1);
    }
}

#[test]
fn after_a_failure_inside_a_frame_nothing_of_it_is_awaited() {
    for role in ROLES {
        let mut end = End::of(role);
        let bytes = end.frame(TEXT, &[0xff; 100]);
        let failed = Seen::Failed(ProtocolError::InvalidUtf8);
        assert_eq!(end.reads(&bytes[..20]).last(), Some(&failed));
        assert_eq!(end.machine.payload_remaining(), None);
        assert_eq!(end.reads(&bytes[20..]), []);
    }
}

#[test]
fn a_failure_behind_our_close_sends_nothing() {
    for role in ROLES {
        let mut end = End::of(role);
        end.sends_close(1000, "");
        assert_eq!(end.writes().len(), 1);
        let failed = Seen::Failed(ProtocolError::UnexpectedContinuation);
        assert_eq!(end.reads_frame(ENDS, b""), [failed]);
        assert!(!end.machine.can_send());
        assert!(!end.machine.owes_close());
        assert_eq!(
            end.machine.send_close(&close_reason(1000, ""), end.now),
            Err(SendError::Closed)
        );
        assert_eq!(end.pull(), None);
        assert_eq!(state(&end), FINISHED);
        assert_eq!(end.writes(), []);
        assert_eq!(
            end.machine.failure(),
            Some(ProtocolError::UnexpectedContinuation)
        );
    }
}

// The transport ends

#[test]
fn an_end_without_a_close_received_is_1006_whatever_was_sent() {
    for role in ROLES {
        let mut open = End::of(role);
        open.machine.send_text("unwritten", Cause::Push).unwrap();
        let mut close_sent = End::of(role);
        close_sent.sends_close(1000, "");
        for mut end in [open, close_sent] {
            end.machine.handle_end();
            assert_eq!(state(&end), FINISHED);
            assert_eq!(end.close_received(), None);
            assert_eq!(end.machine.failure(), None);
            assert_eq!(end.writes(), []);
            assert_eq!(end.machine.poll_timeout(), None);
        }
    }
}

#[test]
fn an_end_behind_the_peers_close_keeps_its_code() {
    for role in ROLES {
        let owed = close_received(role);
        let mut closed = close_received(role);
        closed.pull();
        for mut end in [owed, closed] {
            end.machine.handle_end();
            assert_eq!(state(&end), FINISHED);
            assert_eq!(end.close_received(), Some((4000, "bye")));
            assert_eq!(end.writes(), []);
            assert_eq!(end.machine.poll_timeout(), None);
        }
    }
}

#[test]
fn an_end_behind_a_failure_keeps_the_rule_broken() {
    for role in ROLES {
        let owed = failing(role);
        let mut failed = failing(role);
        failed.pull();
        for mut end in [owed, failed] {
            end.machine.handle_end();
            assert_eq!(state(&end), FINISHED);
            assert_eq!(
                end.machine.failure(),
                Some(ProtocolError::UnexpectedContinuation)
            );
            assert_eq!(end.writes(), []);
            assert_eq!(end.machine.poll_timeout(), None);
        }
    }
}

#[test]
fn after_the_end_nothing_is_read_and_nothing_sent() {
    for role in ROLES {
        let mut end = End::of(role);
        end.machine.handle_end();
        end.machine.handle_end();
        assert_eq!(end.reads_frame(TEXT, b"late"), []);
        assert_eq!(end.reads_frame(PING, b""), []);
        assert_eq!(
            end.machine.send_text("late", Cause::Push),
            Err(SendError::Closed)
        );
        end.machine.conclude(end.now);
        assert_eq!(end.writes(), []);
    }
}

#[test]
fn an_end_inside_a_frame_delivers_nothing_of_it() {
    for role in ROLES {
        let mut end = End::of(role);
        let bytes = end.frame(BINARY, &[7; 200]);
        for cut in 0..bytes.len() {
            let mut end = End::of(role);
            let seen = end.reads(&bytes[..cut]);
            let whole = seen
                .iter()
                .any(|event| matches!(event, Seen::End | Seen::Binary(_)));
            assert!(!whole, "{cut}");
            end.machine.handle_end();
            assert_eq!(end.close_received(), None);
        }
        assert_eq!(end.reads(bytes).len(), 1);
    }
}
