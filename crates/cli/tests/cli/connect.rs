//! `sockeye connect`, started as from a shell.

use std::io::Write;
use std::net::TcpListener;
use std::thread;

use crate::peer::{self, serve_once};
use crate::program::{Ended, Program, Server};

pub(crate) fn connect(server: &Server, path: &str, input: &str) -> Ended {
    Program::run(&["connect", &server.url(path)], input)
}

#[test]
fn what_is_piped_in_is_echoed_and_the_program_ends() {
    let server = Server::start(&[]);
    let ended = connect(&server, "/echo", "hi\n");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "hi\n"));
    assert_eq!(ended.stderr, "");
    let ended = connect(&server, "/echo", "one\r\n\nthree");
    assert_eq!(ended.stdout, "one\n\nthree\n");
    assert_eq!(connect(&server, "/echo", "").code, Some(0));
}

#[test]
fn a_close_waits_until_a_ping_behind_the_last_line_is_answered() {
    let (url, serving) = peer::serve(|mut peer| {
        peer.open();
        assert_eq!(peer.read_frame(), (0x81, b"hi".to_vec()));
        // No other frame comes before the answer: the Close does not overtake it.
        let (kind, payload) = peer.read_frame();
        assert_eq!(kind, 0x89);
        let len = u8::try_from(payload.len()).expect("125 at most");
        peer.write(&[b"\x81\x02yo\x8a", &[len][..], &payload].concat());
        assert_eq!(peer.read_frame(), (0x88, vec![3, 232]));
        peer.write(b"\x88\x02\x03\xe8");
    });
    let ended = Program::run(&["connect", &url], "hi\n");
    serving.join().expect("no panic");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "yo\n"));
}

#[test]
fn more_than_all_buffers_hold_goes_through_both_ways() {
    let server = Server::start(&[]);
    let line = |number: usize| format!("{number:01000}\n");
    let input: String = (0..20_000).map(line).collect();
    let mut client = Program::start(&["connect", &server.url("/echo")]);
    let mut stdin = client.take_input();
    let text = input.clone();
    let writer = thread::spawn(move || stdin.write_all(text.as_bytes()).expect("it reads"));
    let ended = client.wait();
    writer.join().expect("no panic");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout == input);
}

#[test]
fn two_people_talk_in_a_room() {
    let server = Server::start(&[]);
    let mut ada = Program::start(&["connect", &server.url("/chat/river?name=Ada%20L.")]);
    let welcome = ada.line();
    let start = r#"{"type":"welcome","room":"river","name":"Ada L.","people":["Ada L."],"id":""#;
    assert!(welcome.starts_with(start), "{welcome}");
    assert!(
        welcome.ends_with(r#","history":"room/river"}"#),
        "{welcome}"
    );
    let mut guest = Program::start(&["connect", &server.url("/chat/river")]);
    let welcome = guest.line();
    let start = r#"{"type":"welcome","room":"river","name":"guest-"#;
    assert!(welcome.starts_with(start), "{welcome}");
    assert!(ada.line().starts_with(r#"{"type":"joined","name":"guest-"#));
    guest.say("{\"type\":\"name\",\"name\":\"ada l.\"}\n");
    for person in [&mut ada, &mut guest] {
        assert!(person.line().contains(r#""to":"ada l.-2","id":""#));
    }
    ada.say("{\"type\":\"message\",\"text\":\"Has the run begun?\"}\n");
    for person in [&mut ada, &mut guest] {
        let said = person.line();
        let start = r#"{"type":"message","from":"Ada L.","text":"Has the run begun?","time":"2"#;
        assert!(said.starts_with(start), "{said}");
    }
    guest.end_input();
    assert_eq!(guest.wait().code, Some(0));
    assert!(
        ada.line()
            .starts_with(r#"{"type":"left","name":"ada l.-2","id":""#)
    );
}

#[test]
fn the_last_message_is_answered_before_the_close() {
    let server = Server::start(&[]);
    let ended = connect(
        &server,
        "/chat/river?name=Ada",
        "{\"type\":\"message\",\"text\":\"hi\"}",
    );
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].contains(r#""text":"hi""#));
}

#[test]
fn what_the_chat_refuses_is_told_and_the_connection_stays() {
    let server = Server::start(&[]);
    let say = |text: &str| format!("{{\"type\":\"message\",\"text\":\"{text}\"}}\n");
    let input = [
        "nonsense\n",
        &say(&"x".repeat(4001)),
        &say(" "),
        "{\"type\":\"name\",\"name\":\"\"}\n",
        &say(&"鮭".repeat(4000)),
    ];
    let ended = connect(&server, "/chat/river?name=%1B%5B2J", &input.concat());
    let types: Vec<_> = ended
        .stdout
        .lines()
        .map(|line| line.split('"').nth(7).expect("a second field"))
        .collect();
    let expected = [
        "river",
        "name-unreadable",
        "not-understood",
        "text-too-long",
        "text-empty",
        "name-empty",
    ];
    assert_eq!(types[..6], expected);
    assert!(types[6].starts_with("guest-"));
    let room = "r".repeat(65);
    let ended = connect(&server, &format!("/chat/{room}"), &say("hi"));
    assert_eq!(ended.stdout.matches("room-too-long").count(), 2);
    assert_eq!(ended.code, Some(0));
}

#[test]
fn the_time_is_pushed_unasked() {
    let server = Server::start(&[]);
    let mut client = Program::start(&["connect", &server.url("/push")]);
    let (first, second) = (client.line(), client.line());
    assert!(first < second, "{first} {second}");
    assert_eq!(first.len(), "2026-07-09T16:04:05.678Z".len());
}

#[test]
fn the_exit_code_tells_how_the_server_closed() {
    let server = Server::start(&[]);
    for (code, exit) in [(1000, 0), (1001, 0), (1011, 4), (4001, 4)] {
        let mut client = Program::start(&["connect", &server.url("/echo")]);
        client.say(&format!("close {code} some reason\n"));
        let ended = client.wait();
        assert_eq!(ended.code, Some(exit), "{code}");
        let said = if exit == 0 {
            String::new()
        } else {
            format!("sockeye: closed: {code} some reason\n")
        };
        assert_eq!(ended.stderr, said);
    }
}

#[test]
fn a_message_beyond_the_limit_ends_with_exit_code_4() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let ended = Program::run(
        &["connect", &url, "--max-message", "10"],
        "0123456789\n0123456789x\n",
    );
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(4), "0123456789\n")
    );
    assert!(ended.stderr.contains("connection lost"), "{}", ended.stderr);
    let server = Server::start(&["--max-message", "10"]);
    let ended = connect(&server, "/echo", "0123456789\n0123456789x\n");
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(4), "0123456789\n")
    );
    assert!(
        ended.stderr.starts_with("sockeye: closed: 1009"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_refused_handshake_is_shown_with_exit_code_3() {
    let server = Server::start(&[]);
    let ended = connect(&server, "/", "hi\n");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""));
    let said = ended.stderr;
    assert!(said.contains("\nHTTP/1.1 404 Not Found\n"), "{said}");
    assert!(said.contains("\ncontent-type: text/plain"), "{said}");
    assert!(
        said.contains("\n\nthere is no endpoint at this path\n"),
        "{said}"
    );
}

#[test]
fn a_server_that_cannot_be_reached_is_exit_code_1() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    drop(listener);
    let ended = Program::run(&["connect", &format!("ws://{addr}/")], "");
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.starts_with("sockeye: cannot connect: "),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_server_that_speaks_something_else_is_exit_code_1() {
    for answer in [
        "SSH-2.0-something\r\n",
        "",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        let (url, served) = serve_once(answer.as_bytes());
        let ended = Program::run(&["connect", &url], "");
        assert_eq!(ended.code, Some(1), "{answer:?}: {}", ended.stderr);
        assert!(
            ended.stderr.starts_with("sockeye: the "),
            "{answer:?}: {}",
            ended.stderr
        );
        served.join().expect("no panic");
    }
}

#[test]
fn a_bad_command_line_is_exit_code_2() {
    for (arguments, said) in [
        (&["connect"][..], "required arguments"),
        (&["connect", "127.0.0.1:80"], "not a WebSocket URL"),
        (&["connect", "http://127.0.0.1/"], "ws://"),
        (&["connect", "ws://127.0.0.1/#there"], "ragment"),
        (&["connect", "ws://a/", "-H", "no colon"], "no colon"),
        (
            &["connect", "ws://a/", "-H", "Sec-WebSocket-Key: x"],
            "reserved for the handshake",
        ),
        (
            &["connect", "ws://a/", "--subprotocol", "a b"],
            "not a token",
        ),
        (
            &[
                "connect",
                "ws://a/",
                "--subprotocol",
                "a",
                "--subprotocol",
                "a",
            ],
            "offered twice",
        ),
    ] {
        let ended = Program::run(arguments, "");
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(said),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn header_fields_and_subprotocols_are_sent_as_given() {
    let (url, served) = serve_once(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let ended = Program::run(
        &[
            "connect",
            &url,
            "-H",
            "Cookie: a=1",
            "-H",
            "X-Name:grüße",
            "--subprotocol",
            "one",
            "--subprotocol",
            "two",
        ],
        "",
    );
    assert_eq!(ended.code, Some(3));
    let request = served.join().expect("no panic").to_lowercase();
    for field in [
        "\r\ncookie: a=1\r\n",
        "\r\nx-name: grüße\r\n",
        "\r\nsec-websocket-protocol: one, two\r\n",
    ] {
        assert!(request.contains(field), "{request}");
    }
}

#[test]
fn a_lost_connection_is_exit_code_4() {
    let server = Server::start(&[]);
    let mut client = Program::start(&["connect", &server.url("/push")]);
    client.line();
    drop(server);
    let ended = client.wait();
    assert_eq!(ended.code, Some(4));
    assert!(ended.stderr.contains("connection lost"), "{}", ended.stderr);
}

#[test]
fn input_that_is_no_text_is_exit_code_1_after_what_came_before_it() {
    let server = Server::start(&[]);
    let mut client = Program::start(&["connect", &server.url("/echo")]);
    let mut stdin = client.take_input();
    stdin.write_all(b"one\n\xff\nthree\n").expect("it reads");
    drop(stdin);
    let ended = client.wait();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), "one\n"));
    assert_eq!(ended.stderr, "sockeye: line 2 of stdin is not UTF-8\n");
}

#[test]
fn a_broken_stdout_ends_quietly() {
    let server = Server::start(&[]);
    let mut client = Program::start(&["connect", &server.url("/push")]);
    client.line();
    let ended = client.wait_unread();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[cfg(unix)]
#[test]
fn a_signal_closes_in_order() {
    let (url, serving) = peer::serve(|mut peer| {
        peer.open();
        peer.write(b"\x81\x02hi");
        assert_eq!(peer.read_frame(), (0x88, vec![3, 232]));
        peer.write(b"\x88\x02\x03\xe8");
    });
    let mut client = Program::start(&["connect", "--deflate", "off", &url]);
    client.line();
    client.signal("INT");
    let ended = client.wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    serving.join().expect("no panic");
}
