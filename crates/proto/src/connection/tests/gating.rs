//! Output that input causes holds up input; output that is pushed does not.

use super::*;

const MARK: usize = 1000;

fn marked(role: Role) -> End {
    End::with(Config::new(role).output_mark(MARK), role)
}

/// Leaves `count` bytes of the output.
fn drain_to(end: &mut End, count: usize) {
    let waiting = end.machine.output().remaining();
    end.machine.output().advance(waiting - count);
}

#[test]
fn replies_beyond_the_mark_hold_up_events_until_they_drain() {
    for role in ROLES {
        let mut end = marked(role);
        let ask = end.frame(TEXT, b"ask");
        end.arrives(&ask);
        end.arrives(&ask);
        end.arrives(&ask);
        assert_eq!(end.pull(), Some(text("ask")));
        end.machine.send_binary(&[7; MARK], Cause::Input).unwrap();
        assert!(end.machine.is_gated());
        let unread = end.unread.clone();
        assert_eq!(end.pull(), None);
        assert_eq!(end.unread, unread, "nothing is consumed");
        drain_to(&mut end, MARK + 1);
        assert!(end.machine.is_gated());
        assert_eq!(end.pull(), None);
        drain_to(&mut end, MARK);
        assert!(!end.machine.is_gated(), "the mark is inclusive");
        assert_eq!(end.pull(), Some(text("ask")));
        assert_eq!(end.pull(), Some(text("ask")));
        assert_eq!(end.pull(), None);
    }
}

#[test]
fn pushed_output_never_holds_up_events() {
    for role in ROLES {
        let mut end = marked(role);
        let large = Message::binary(vec![7; 100 * MARK]);
        end.machine.send_message(&large, Cause::Push).unwrap();
        end.machine.send_text("x", Cause::Push).unwrap();
        end.machine.send_ping(&[7; 125]).unwrap();
        end.machine
            .send_message(PreparedMessage::new(large), Cause::Push)
            .unwrap();
        end.machine
            .send_part(MessageKind::Binary, &[7; 100 * MARK], true, Cause::Push)
            .unwrap();
        assert!(!end.machine.is_gated());
        assert_eq!(end.reads_frame(TEXT, b"ask"), [text("ask")]);
    }
}

#[test]
fn each_way_to_reply_counts() {
    let large = Message::binary(vec![7; 100_000]);
    let prepared = PreparedMessage::new(large.clone());
    type Send<'a> = &'a dyn Fn(&mut Connection) -> Result<(), SendError>;
    let sends: [Send<'_>; 4] = [
        &|end| end.send_message(&large, Cause::Input),
        &|end| end.send_text(&"x".repeat(MARK), Cause::Input),
        &|end| end.send_message(&prepared, Cause::Input),
        &|end| end.send_part(MessageKind::Text, &[b'x'; MARK], false, Cause::Input),
    ];
    for role in ROLES {
        for send in sends {
            let mut end = marked(role);
            send(&mut end.machine).unwrap();
            assert!(end.machine.is_gated());
            drain_to(&mut end, 0);
            assert!(!end.machine.is_gated());
        }
    }
}

#[test]
fn replies_between_pushes_are_counted_as_they_drain() {
    let mut end = marked(Role::Server);
    end.machine.send_binary(&[7; 998], Cause::Push).unwrap();
    end.machine.send_binary(&[7; 998], Cause::Input).unwrap();
    end.machine.send_binary(&[7; 998], Cause::Push).unwrap();
    assert_eq!(end.machine.output().caused_by_input(), 1002);
    drain_to(&mut end, 2003);
    assert!(end.machine.is_gated());
    drain_to(&mut end, 2002);
    assert_eq!(end.machine.output().caused_by_input(), 1000);
    assert!(!end.machine.is_gated());
    drain_to(&mut end, 1002);
    assert_eq!(end.machine.output().caused_by_input(), 0);
}

#[test]
fn pongs_beyond_the_mark_hold_up_the_pings_behind_them() {
    for role in ROLES {
        let mut end = marked(role);
        let ping = end.frame(PING, &[7; 125]);
        for _ in 0..100 {
            end.arrives(&ping);
        }
        let mut answered = 0;
        while end.pull().is_some() {
            answered += 1;
        }
        assert!(end.machine.is_gated());
        assert_eq!(answered, MARK / (end.machine.output().len() / answered) + 1);
        while !end.unread.is_empty() {
            let pongs = end.writes();
            assert!(!pongs.is_empty());
            answered += end.reads([]).len();
        }
        assert_eq!(answered, 100);
    }
}

#[test]
fn a_peer_that_closes_is_answered_behind_what_held_it_up() {
    for role in ROLES {
        let mut end = marked(role);
        end.machine
            .send_binary(&[7; 2 * MARK], Cause::Input)
            .unwrap();
        end.arrives(end.close_frame(1000, ""));
        assert_eq!(end.pull(), None);
        drain_to(&mut end, 0);
        assert_eq!(end.pull(), Some(Seen::Close(1000, String::new())));
        end.machine
            .send_binary(&[7; 2 * MARK], Cause::Input)
            .unwrap();
        assert_eq!(end.pull(), None);
        let written = end.writes();
        assert_eq!(written.len(), 2);
        assert_eq!(written[1], (CLOSE, close_body(1000, "")));
    }
}

#[test]
fn after_our_close_input_causes_nothing_and_nothing_holds_it_up() {
    for role in ROLES {
        let mut end = marked(role);
        end.machine
            .send_binary(&[7; 2 * MARK], Cause::Input)
            .unwrap();
        end.sends_close(1000, "");
        assert!(!end.machine.is_gated());
        assert_eq!(end.reads_frame(TEXT, b"late"), [text("late")]);
        let seen = end.reads(end.close_frame(1000, ""));
        assert_eq!(seen, [Seen::Close(1000, String::new())]);
    }
}

#[test]
fn a_large_reply_keeps_its_count_while_it_is_written_in_small_steps() {
    let mut server = End::server();
    let large = Message::binary(vec![7; 1 << 20]);
    server.machine.send_message(&large, Cause::Input).unwrap();
    let mut waiting = server.machine.output().remaining();
    while waiting > 0 {
        let step = waiting.min(10_000);
        server.machine.handle_written(step, server.now);
        waiting -= step;
        assert_eq!(server.machine.output().caused_by_input(), waiting);
    }
}
