//! `sockeye publish` and `sockeye connect --topics`, against `sockeye serve`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use crate::program::{Ended, Program, Server};

/// Starts a subscriber of a topic of the server, and waits until its subscription is live.
fn subscriber(server: &Server, topic: &str, options: &[&str]) -> Program {
    let url = server.url("/topics");
    let arguments = [&["connect", "-v", "--topics", topic, &url], options].concat();
    let mut program = Program::start(&arguments);
    program.log_line(": subscribed");
    program
}

fn publish(server: &Server, arguments: &[&str], input: &str) -> Ended {
    let url = server.url("/topics");
    Program::run(&[&["publish", &url], arguments].concat(), input)
}

fn is_done(ended: &Ended) {
    let shown = (ended.code, ended.stdout.as_str(), ended.stderr.as_str());
    assert_eq!(shown, (Some(0), "", ""));
}

#[test]
fn messages_of_the_command_line_and_of_stdin_are_printed_behind_their_topic() {
    let server = Server::start(&[]);
    let mut listener = subscriber(&server, "demo/1,demo/2", &["--count", "6"]);
    listener.log_line("demo/2: subscribed");
    is_done(&publish(&server, &["demo/1", "one", "-2", "a\nb"], ""));
    is_done(&publish(&server, &["demo/2"], "three\nfour\n"));
    is_done(&publish(&server, &["demo/2", "--input", "hex", "009f"], ""));
    for line in [
        "demo/1\tone",
        "demo/1\t-2",
        "demo/1\ta\\nb",
        "demo/2\tthree",
        "demo/2\tfour",
        "demo/2\tAJ8=",
    ] {
        assert_eq!(listener.line(), line);
    }
    assert_eq!(listener.wait().code, Some(0));
}

#[test]
fn with_json_a_message_is_an_object_with_its_topic_and_its_position() {
    let server = Server::start(&[]);
    let published = publish(&server, &["-v", "demo/1"], "{\"n\": 1}\ntext\n");
    assert_eq!(published.code, Some(0), "{}", published.stderr);
    // The opening handshake is on stderr, in order.
    let response = published
        .stderr
        .find("< HTTP/1.1 101 ")
        .expect("a response");
    let agreed = published.stderr.find("* subprotocol: sockeye.topics.v0");
    assert!(agreed > Some(response), "{}", published.stderr);
    let positions: Vec<_> = published.stdout.lines().collect();
    assert_eq!(positions.len(), 2, "{positions:?}");
    let url = server.url("/topics");
    let ended = Program::run(
        &[
            "connect", "--topics", "demo/1", "--recent", "5", "--json", "--count", "2", &url,
        ],
        "",
    );
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let expected = format!(
        "{{\"topic\":\"demo/1\",\"at\":\"{}\",\"message\":{{\"n\":1}}}}\n\
         {{\"topic\":\"demo/1\",\"at\":\"{}\",\"message\":\"text\"}}\n",
        positions[0], positions[1]
    );
    assert_eq!(ended.stdout, expected);
}

#[test]
fn the_newest_messages_come_first_if_they_are_asked_for() {
    let server = Server::start(&[]);
    is_done(&publish(&server, &["demo/1", "one", "two", "three"], ""));
    let url = server.url("/topics");
    let recent = Program::run(
        &[
            "connect",
            "--topics",
            "demo/1",
            "--recent=2",
            "--expect",
            "three",
            &url,
        ],
        "",
    );
    let shown = (recent.code, recent.stdout.as_str(), recent.stderr.as_str());
    assert_eq!(shown, (Some(0), "demo/1\ttwo\ndemo/1\tthree\n", ""));
    let live = Program::run(
        &[
            "connect",
            "--topics",
            "demo/1",
            "--count=1",
            "--wait=50ms",
            &url,
        ],
        "",
    );
    assert_eq!((live.code, live.stdout.as_str()), (Some(5), ""));
    let goal = "closed before the goal of --count or --expect was reached";
    assert!(live.stderr.contains(goal), "{}", live.stderr);
}

#[test]
fn a_topic_or_a_message_that_the_server_refuses_is_named() {
    let server = Server::start(&[]);
    let refused = publish(&server, &["room/1", "forged"], "");
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(5), ""));
    let text = "sockeye: not published: denied: ";
    assert!(refused.stderr.starts_with(text), "{}", refused.stderr);
    let url = server.url("/topics");
    let refused = Program::run(&["connect", "--topics", "nowhere/1", &url], "");
    assert_eq!(refused.code, Some(5));
    let (first, rest) = refused.stderr.split_once('\n').expect("two lines");
    let text = "sockeye: nowhere/1: the subscription ended: denied";
    assert!(first.starts_with(text), "{first}");
    assert_eq!(rest, "sockeye: the server ended all subscriptions\n");
}

#[test]
fn an_endpoint_that_does_not_speak_topics_is_said_to_be_none() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    for arguments in [
        &["publish", &url, "demo/1", "x"][..],
        &["connect", "--topics", "demo/1", &url],
    ] {
        let ended = Program::run(arguments, "");
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
        let text = "sockeye: the server did not agree to the subprotocol of topics\n  tip: ";
        assert!(ended.stderr.starts_with(text), "{}", ended.stderr);
    }
}

#[test]
fn a_name_that_no_topic_can_have_is_an_error_of_the_command_line() {
    let ended = Program::run(&["publish", "ws://127.0.0.1:9/", "a//b", "x"], "");
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("a//b: "), "{}", ended.stderr);
    let ended = Program::run(&["connect", "--topics", "$a", "ws://127.0.0.1:9/"], "");
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let ended = Program::run(
        &["connect", "--topics", "a", "-m", "x", "ws://127.0.0.1:9/"],
        "",
    );
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
}

#[test]
fn a_server_that_is_not_there_is_reported_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("bound"));
    drop(listener);
    for arguments in [
        &["publish", &url, "demo/1", "x"][..],
        &["connect", "--topics", "demo/1", &url],
    ] {
        let ended = Program::run(arguments, "");
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
        let lines = ended
            .stderr
            .lines()
            .filter(|line| line.contains("cannot connect"));
        assert_eq!(lines.count(), 1, "{}", ended.stderr);
    }
}

#[test]
fn after_a_restart_of_the_server_a_subscriber_hears_that_messages_may_be_missing() {
    let server = Server::start(&[]);
    let mut listener = subscriber(&server, "demo/1", &["--retry"]);
    let addr = server.addr.clone();
    drop(server);
    listener.log_line("again in");
    let server = Server::start_at(&addr, &[]);
    listener.log_line("demo/1: messages may be missing");
    is_done(&publish(&server, &["demo/1", "here"], ""));
    assert_eq!(listener.line(), "demo/1\there");
}

#[cfg(unix)]
#[test]
fn a_signal_closes_the_connection_of_a_subscriber() {
    let server = Server::start(&[]);
    let listener = subscriber(&server, "demo/1", &[]);
    listener.signal("INT");
    let ended = listener.wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_publish_whose_connection_is_lost_is_sent_again_and_published_once() {
    for (options, code) in [(&["--retry"][..], 0), (&[], 4)] {
        let server = Server::start(&[]);
        let mut listener = subscriber(&server, "demo/1", &[]);
        let url = losing_answers(&server.addr);
        let arguments = [&["publish"], options, &["-v", &url, "demo/1", "once"]].concat();
        let mut program = Program::start(&arguments);
        // The message is published, and its publisher does not know it.
        assert_eq!(listener.line(), "demo/1\tonce");
        let outcome = match code {
            0 => "; again in ",
            _ => "sockeye: not published: the message may have been published",
        };
        program.log_line(outcome);
        let ended = program.wait();
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        is_done(&publish(&server, &["demo/1", "last"], ""));
        assert_eq!(listener.line(), "demo/1\tlast");
    }
}

/// Starts a relay to a server. On the first connection it cuts the link when the client has published: the message gets to
/// the server, and the answer does not get back. Later connections pass. Returns the URL of the topics through the relay.
fn losing_answers(server: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/topics", listener.local_addr().expect("bound"));
    let server = server.to_owned();
    thread::spawn(move || {
        let mut is_first = true;
        while let Ok((client, _)) = listener.accept() {
            let server = TcpStream::connect(&server).expect("it listens");
            let (to_server, to_client) = (clone(&server), clone(&client));
            thread::spawn(move || relay(server, to_client));
            thread::spawn(move || match is_first {
                true => lose_answer(client, to_server),
                false => relay(client, to_server),
            });
            is_first = false;
        }
    });
    url
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor")
}

fn relay(mut from: TcpStream, mut to: TcpStream) {
    // Either end may be gone.
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

/// Passes the head and the frame of the subscription on. Cuts the client off before it passes the frame of the publish on.
fn lose_answer(mut client: TcpStream, mut server: TcpStream) {
    let mut pass = |bytes: &[u8]| server.write_all(bytes).expect("it reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("a request");
        head.extend(byte);
    }
    pass(&head);
    for is_publish in [false, true] {
        // The frames are short.
        let mut frame = vec![0; 6];
        client.read_exact(&mut frame).expect("a frame");
        let len = frame[1] & 0x7f;
        frame.resize(6 + usize::from(len), 0);
        client.read_exact(&mut frame[6..]).expect("a payload");
        if is_publish {
            let _ = client.shutdown(Shutdown::Both);
        }
        pass(&frame);
    }
    // Dropping the stream would reset it before the server has read the publish.
    let _ = server.shutdown(Shutdown::Write);
}
