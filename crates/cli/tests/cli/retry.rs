//! `sockeye connect --retry`.

use std::net::TcpListener;

use crate::peer::serve_once;
use crate::program::{Program, Server};

#[test]
fn a_server_that_says_it_will_be_back_is_connected_to_again() {
    let server = Server::start(&[]);
    let mut client = Program::start(&["connect", "--retry", &server.url("/echo")]);
    for round in ["one", "two", "three"] {
        client.say(&format!("{round}\n"));
        assert_eq!(client.line(), round);
        client.say("close 1012 soon back\n");
        let said = client.log_line("again in");
        let start = "sockeye: the peer closed with 1012 soon back; again in ";
        assert!(said.starts_with(start), "{said}");
    }
    client.say("four\n");
    assert_eq!(client.line(), "four");
    client.end_input();
    let ended = client.wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_final_code_ends_it() {
    let server = Server::start(&[]);
    for (code, exit) in [(1000, 0), (1008, 4), (4001, 4)] {
        let mut client = Program::start(&["connect", "--retry", &server.url("/echo")]);
        client.say(&format!("close {code} enough\n"));
        let ended = client.wait();
        assert_eq!(ended.code, Some(exit), "{code}");
        assert!(!ended.stderr.contains("again"), "{}", ended.stderr);
    }
}

#[test]
fn a_server_that_is_not_there_is_tried_as_often_as_was_said() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("bound"));
    drop(listener);
    let ended = Program::run(&["connect", "--retry=2", &url], "");
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended.stderr.matches("; again in ").count(),
        2,
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.lines().last() != Some(""), "{}", ended.stderr);
}

#[test]
fn a_server_may_say_until_which_date_to_wait() {
    // The clock of the server counts: the dates in the response are half a minute apart.
    let (url, served) = serve_once(
        b"HTTP/1.1 503 Service Unavailable\r\nDate: Sun, 06 Nov 1994 08:49:07 GMT\r\n\
          Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n",
    );
    let mut client = Program::start(&["connect", "--retry", &url]);
    let said = client.log_line("again in");
    assert!(said.ends_with("; again in 30.0 s"), "{said}");
    served.join().expect("no panic");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_pause() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("bound"));
    drop(listener);
    let mut client = Program::start(&["connect", "--retry", &url]);
    client.log_line("again in");
    client.signal("INT");
    assert_eq!(client.wait().code, Some(130));
}
