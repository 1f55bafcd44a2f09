//! `sockeye serve` with a log or a stdout that is not read.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Stdio};

use crate::program::command;

/// Starts a server whose stderr is a pipe. The test may read it.
fn start(variables: &[(&str, &str)], stdout: Stdio) -> Child {
    let mut command = command(&["serve", "--listen", "127.0.0.1:0"]);
    command.envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(stdout);
    let child = command.stderr(Stdio::piped()).spawn();
    child.expect("the program starts")
}

fn terminate(child: &mut Child) -> Option<i32> {
    let id = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
    child.wait().expect("it ends").code()
}

/// Returns the response to a refused handshake, which is a log line at `debug`.
fn refused(addr: &str) -> String {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    write!(
        stream,
        "GET /echo HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 12\r\n\r\n"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("UTF-8");
    answer
}

#[test]
fn a_server_whose_stderr_is_not_read_goes_on_and_ends_at_sigterm() {
    let mut child = start(&[("SOCKEYE_LOG", "debug")], Stdio::piped());
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut url = String::new();
    stdout.read_line(&mut url).expect("UTF-8");
    let addr = url
        .trim()
        .trim_start_matches("http://")
        .trim_end_matches('/');
    // A pipe has 16 pages. A write that does not fit into the rest of a page begins the next one, so each page of a full
    // pipe is at least half full. All refusals are 150 KB.
    const LEAST: usize = 16 * 4096 / 2;
    for _ in 0..1_500 {
        assert!(refused(addr).starts_with("HTTP/1.1 4"));
    }
    assert_eq!(terminate(&mut child), Some(0));
    let mut log = String::new();
    let mut stderr: ChildStderr = child.stderr.take().expect("piped");
    stderr.read_to_string(&mut log).expect("a pipe");
    assert!(log.len() >= LEAST, "the pipe was not full: {}", log.len());
    assert!(log.lines().count() < 1_500, "the pipe took everything");
}

#[test]
fn a_server_whose_stdout_is_full_serves_and_ends_at_sigterm() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    rustix::io::ioctl_fionbio(&writer, true).expect("a pipe");
    let mut filling = writer.try_clone().expect("a descriptor");
    while filling.write(&[b'x'; 4096]).is_ok() {}
    drop(filling);
    rustix::io::ioctl_fionbio(&writer, false).expect("a pipe");

    let mut child = start(&[("SOCKEYE_LOG", "debug")], writer.into());
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("listening") {
        line.clear();
        assert!(stderr.read_line(&mut line).expect("UTF-8") > 0);
    }
    let addr = line.trim().rsplit_once("addr=").expect("the address").1;
    assert!(refused(addr).starts_with("HTTP/1.1 4"));
    assert_eq!(terminate(&mut child), Some(0));
    drop(reader);
}

#[test]
fn a_log_line_is_one_line_for_any_bytes_of_a_peer() {
    let mut child = start(&[], Stdio::piped());
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut url = String::new();
    stdout.read_line(&mut url).expect("UTF-8");
    let addr = url
        .trim()
        .trim_start_matches("http://")
        .trim_end_matches('/');
    for _ in 0..3 {
        let mut stream = TcpStream::connect(addr).expect("it listens");
        write!(
            stream,
            "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://\u{9b}2J\u{202e}\r\n\r\n"
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("UTF-8");
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    assert_eq!(terminate(&mut child), Some(0));
    let mut log = String::new();
    let mut stderr: ChildStderr = child.stderr.take().expect("piped");
    stderr.read_to_string(&mut log).expect("UTF-8");
    let refusals: Vec<_> = log
        .lines()
        .filter(|line| line.contains("origin="))
        .collect();
    let [line] = &refusals[..] else {
        panic!("one line: {log}")
    };
    assert!(line.contains("INFO"), "{line}");
    assert!(
        line.contains(r#"origin="http://\u{9b}2J\u{202e}" host="localhost""#),
        "{line}"
    );
}
