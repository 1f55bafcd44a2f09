//! The end of the input of `sockeye connect`: the Ping, the grace for a server that answers late, and servers that
//! cannot take a Ping.

use std::io;
use std::time::Duration;

use crate::option::GOAL_MISSED;
use crate::peer::{self, Peer};
use crate::program::{Program, Server};

const CLOSE: &[u8] = b"\x88\x02\x03\xe8";
const SILENCE: &str = "sockeye: no message arrived after the last one was sent";

/// Reads a message and the Ping after it, and answers only the Ping.
fn answer_ping(peer: &mut Peer) {
    assert_eq!(peer.read_frame(), (0x81, b"hi".to_vec()));
    let (kind, payload) = peer.read_frame();
    assert_eq!(kind, 0x89);
    let len = u8::try_from(payload.len()).expect("125 at most");
    peer.write(&[&[0x8a, len], &payload[..]].concat());
}

fn answer_close(peer: &mut Peer) {
    assert_eq!(peer.read_frame(), (0x88, vec![3, 232]));
    peer.write(CLOSE);
}

#[test]
fn a_server_that_answers_a_ping_first_has_the_grace_to_answer_the_message() {
    let (url, serving) = peer::serve(|mut peer| {
        peer.open();
        answer_ping(&mut peer);
        // The server needs some time. A Close would arrive meanwhile.
        let close = peer.wait_for_byte(Duration::from_millis(50));
        assert_eq!(
            close.map_err(|error| error.kind()),
            Err(io::ErrorKind::WouldBlock)
        );
        peer.write(b"\x81\x02yo");
        answer_close(&mut peer);
    });
    let mut program = Program::start(&["connect", "--grace", "1h", "-m", "hi", &url]);
    assert_eq!(program.line(), "yo");
    program.signal("INT");
    let ended = program.wait();
    serving.join().expect("no panic");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn the_grace_ends_and_silence_is_a_line_on_stderr() {
    for (options, hint) in [
        (&["--grace", "20ms"][..], Some("; --wait=5s waits longer\n")),
        (&["--grace", "0"], None),
    ] {
        for arguments in [&["-m", "hi"][..], &[]] {
            let (url, serving) = peer::serve(|mut peer| {
                peer.open();
                answer_ping(&mut peer);
                answer_close(&mut peer);
            });
            let all = [&["connect", &url], options, arguments].concat();
            let ended = Program::run(&all, "hi\n");
            serving.join().expect("no panic");
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
            let said = hint.map_or(String::new(), |hint| format!("{SILENCE}{hint}"));
            assert_eq!(ended.stderr, said);
        }
    }
}

#[test]
fn a_server_that_closes_without_an_answer_is_silent_too() {
    let (url, serving) = peer::serve(|mut peer| {
        peer.open();
        answer_ping(&mut peer);
        peer.write(CLOSE);
        peer.read_to_end();
    });
    let ended = Program::run(&["connect", "--grace", "1h", "-m", "hi", &url], "");
    serving.join().expect("no panic");
    assert_eq!(
        (ended.code, ended.stderr),
        (Some(0), format!("{SILENCE}\n"))
    );
}

#[test]
fn there_is_no_grace_where_an_answer_has_come_or_nothing_was_sent() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    for (input, output) in [("hi\n", "hi\n"), ("", "")] {
        let ended = Program::run(&["connect", "--grace", "1h", &url], input);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), output));
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn silence_is_exit_code_5_only_where_something_was_asked_for() {
    let (url, serving) = peer::serve(|mut peer| {
        peer.open();
        assert_eq!(peer.read_frame(), (0x81, b"hi".to_vec()));
        answer_close(&mut peer);
    });
    let arguments = ["connect", "--count", "1", "--wait=0s", "-m", "hi", &url];
    let ended = Program::run(&arguments, "");
    serving.join().expect("no panic");
    let said = GOAL_MISSED;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(5), said));
}

#[test]
fn without_pings_the_grace_begins_when_all_is_sent() {
    let (url, serving) = peer::serve(|mut peer| {
        peer.open();
        assert_eq!(peer.read_frame(), (0x81, b"hi".to_vec()));
        peer.write(b"\x81\x01a");
        peer.write(b"\x81\x01b");
        // No Ping comes before the Close.
        answer_close(&mut peer);
    });
    let arguments = ["connect", "--no-ping", "--grace", "1h", "-m", "hi", &url];
    let mut program = Program::start(&arguments);
    // The first answer does not end the grace.
    assert_eq!(
        (program.line(), program.line()),
        ("a".to_owned(), "b".to_owned())
    );
    program.signal("INT");
    let ended = program.wait();
    serving.join().expect("no panic");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let ended = Program::run(&["connect", "--no-ping", "--ping", "1s", "ws://a/"], "");
    assert_eq!(ended.code, Some(2));
}

#[test]
fn what_came_before_a_server_dies_from_a_ping_is_printed() {
    // The server ends by a reset, without a Close, and with a Close that reports an error.
    for (last, ends) in [(&b""[..], false), (b"", true), (b"\x88\x02\x03\xea", true)] {
        let (url, serving) = peer::serve(move |mut peer| {
            peer.open();
            assert_eq!(peer.read_frame(), (0x81, b"hi".to_vec()));
            peer.write(b"\x81\x01a\x81\x01b");
            if ends {
                assert_eq!(peer.read_frame().0, 0x89);
                peer.write(last);
            } else {
                // A connection that ends with bytes unread is reset.
                peer.wait_for_byte(Duration::from_secs(60)).expect("a Ping");
            }
        });
        let ended = Program::run(&["connect", "-m", "hi", &url], "");
        serving.join().expect("no panic");
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), "a\nb\n"));
        let hint = "sockeye: the connection ended after a Ping; --no-ping sends no Ping\n";
        assert!(ended.stderr.starts_with(hint), "{}", ended.stderr);
    }
}
