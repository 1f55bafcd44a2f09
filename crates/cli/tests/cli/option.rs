//! The options of `sockeye connect`.

use std::fs;
use std::path::PathBuf;

use crate::connect::connect;
use crate::peer::serve_once;
use crate::program::{Ended, Program, Server};

/// The error when the connection ends before the goal of `--count` or `--expect` is reached.
pub(crate) const GOAL_MISSED: &str =
    "sockeye: closed before the goal of --count or --expect was reached\n";

/// A file of one test. The end of the test deletes it.
pub(crate) struct TestFile(PathBuf);

impl TestFile {
    pub(crate) fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        Self(folder.join(format!("{name}-{}", std::process::id())))
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }

    pub(crate) fn read(&self) -> String {
        fs::read_to_string(&self.0).expect("it is written")
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs the client against `/echo` with these options.
fn echo(options: &[&str], input: &str) -> Ended {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    Program::run(&[&["connect", &url], options].concat(), input)
}

/// Returns the request of a client with these options.
fn request(options: &[&str], variables: &[(&str, &str)]) -> String {
    let (url, served) = serve_once(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let arguments = [&["connect", &url], options].concat();
    let ended = Program::start_with(&arguments, variables).wait();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    served.join().expect("no panic")
}

#[test]
fn given_messages_are_sent_in_place_of_stdin() {
    let ended = echo(&["-m", "one", "--message", "", "-m", "three"], "not this\n");
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "one\n\nthree\n")
    );
}

#[test]
fn a_value_may_begin_with_a_hyphen() {
    let ended = echo(&["-m", "-5", "-m", "--", "--message", "--json", "-m-x"], "");
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "-5\n--\n--json\n-x\n")
    );
    let ended = echo(&["--expect", "-1$"], "1\n-1\n2\n");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "1\n-1\n"));
    let sent = request(
        &["--bearer", "-a", "-H", "-x: -y", "--subprotocol", "-z"],
        &[],
    );
    for field in [
        "authorization: bearer -a",
        "-x: -y",
        "sec-websocket-protocol: -z",
    ] {
        assert!(
            sent.to_lowercase().contains(&format!("\r\n{field}\r\n")),
            "{sent}"
        );
    }
    let sent = request(&["--basic", "-a:b"], &[]);
    assert!(sent.contains("Basic LWE6Yg=="), "{sent}");
    for options in [
        &["--cacert", "-none/file"][..],
        &["--cert", "-none/file", "--key", "-none/file"],
        &["--unix", "-none/file"],
        &["--record", "-none/file"],
    ] {
        let ended = Program::run(&[&["connect", "wss://127.0.0.1:1/"], options].concat(), "");
        assert_eq!(ended.code, Some(1), "{options:?}: {}", ended.stderr);
    }
    // The error is about the value.
    for option in ["--count", "--close-timeout", "--ping", "--max-size"] {
        let ended = Program::run(&["connect", "ws://a/", option, "-5"], "");
        assert_eq!(ended.code, Some(2));
        let said = format!("invalid value '-5' for '{option} <");
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    }
}

#[test]
fn lines_of_messages_are_escaped_so_that_each_has_its_own() {
    let ended = echo(&["-m", "a\nb\u{1b}[2J\tc"], "");
    assert_eq!(ended.stdout, "a\\nb\\u{1b}[2J\tc\n");
}

#[test]
fn bytes_go_in_and_come_out_as_they_were_asked_for() {
    for (options, input, output) in [
        (&["--input", "hex"][..], "00ff\n", "AP8=\n"),
        (
            &["--input", "base64", "--binary", "hex"],
            "AP8=\n",
            "00ff\n",
        ),
        (&["--input", "hex", "--binary", "raw"], "610a\n62\n", "a\nb"),
        (
            &["--input", "hex", "--json"],
            "00ff\n",
            "{\"binary\":\"AP8=\"}\n",
        ),
    ] {
        let ended = echo(options, input);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(0), output),
            "{options:?}"
        );
    }
    let ended = echo(&["--input", "hex"], "00\nxy\n");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), "AA==\n"));
    assert_eq!(
        ended.stderr,
        "sockeye: line 2 of stdin is not hexadecimal\n"
    );
    let ended = echo(&["--input", "hex", "-m", "xy"], "");
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
}

#[test]
fn json_is_one_value_a_line() {
    let ended = echo(&["--json"], "{ \"a\": [1, 2.50] }\nhello\n");
    assert_eq!(ended.stdout, "{\"a\":[1,2.50]}\n\"hello\"\n");
}

#[test]
fn a_count_closes_when_so_many_have_come() {
    let server = Server::start(&[]);
    let ended = Program::run(&["connect", "--count", "2", &server.url("/push")], "");
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 2));
    let ended = echo(&["--count", "3", "--wait=0s"], "one\ntwo\n");
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert_eq!(ended.stderr, GOAL_MISSED);
}

#[test]
fn what_is_expected_ends_the_talk_with_success() {
    let ended = echo(&["--expect", "^tw[aeiou]$"], "one\ntwo\nthree\n");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "one\ntwo\n"));
    let ended = echo(&["--expect", "four", "--count", "2"], "one\ntwo\nthree\n");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(5), "one\ntwo\n"));
    let ended = echo(&["--expect", "four"], "close 1000\n");
    assert_eq!(ended.code, Some(5));
    let ended = echo(&["--expect", "four"], "close 4001\n");
    assert_eq!(ended.code, Some(4));
    let ended = echo(&["--expect", "("], "");
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
}

#[test]
fn it_stays_when_the_input_has_ended_as_it_was_told() {
    let server = Server::start(&[]);
    let mut client = Program::start(&["connect", "--wait", &server.url("/push")]);
    client.end_input();
    // The server sends the first time before it can see the end of the input. The second one shows that the client stays.
    client.line();
    client.line();
    drop(server);
    assert_eq!(client.wait().code, Some(4));
}

#[test]
fn a_record_has_what_was_said_and_how_it_ended() {
    let file = TestFile::new("record");
    let ended = echo(
        &["--record", file.path(), "--wait"],
        "hello\nclose 4001 enough\n",
    );
    assert_eq!(ended.code, Some(4));
    let record = file.read();
    let lines = record.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let part = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        (part("event"), part("text"), part("reason"))
    });
    let mut lines: Vec<_> = lines.collect();
    let line = |event: &str, text: &str, reason: &str| {
        (event.to_owned(), text.to_owned(), reason.to_owned())
    };
    // The echo may come before or after the second line is sent.
    lines[1..4].sort();
    let expected = [
        line("opened", "", ""),
        line("received", "hello", ""),
        line("sent", "close 4001 enough", ""),
        line("sent", "hello", ""),
        line("closed", "", "enough"),
    ];
    assert_eq!(lines, expected);
    let ended = echo(&["--record", "/no/such/folder/file"], "");
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("cannot write /no/such/folder/file: "),
        "{}",
        ended.stderr
    );
}

#[test]
fn both_handshakes_are_shown_without_secrets() {
    let ended = echo(
        &["-v", "--deflate", "off", "--bearer", "s3cret", "-m", "hi"],
        "",
    );
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "hi\n"));
    for line in [
        "> GET /echo HTTP/1.1",
        "> authorization: (not shown)",
        "< HTTP/1.1 101 Switching Protocols",
        "* subprotocol: none",
        "* extensions: none",
    ] {
        assert!(
            ended.stderr.lines().any(|said| said == line),
            "{line}: {}",
            ended.stderr
        );
    }
    assert!(!ended.stderr.contains("s3cret"));
}

#[test]
fn the_times_of_connecting_and_of_the_first_message_are_shown_once() {
    let ended = echo(&["-w"], "one\ntwo\n");
    let names = ended
        .stderr
        .lines()
        .map(|line| line.split("  ").next().unwrap_or(line));
    let expected = ["DNS", "TCP", "proxy", "TLS", "upgrade", "first message"];
    assert_eq!(names.collect::<Vec<_>>(), expected);
    // Without a message the times are shown, too.
    let ended = echo(&["-w"], "");
    let last = ended.stderr.lines().last();
    assert!(
        last.is_some_and(|line| line.ends_with(" -")),
        "{}",
        ended.stderr
    );
}

#[test]
fn pings_tell_how_long_their_answer_took() {
    let server = Server::start(&[]);
    let mut client = Program::start(&["connect", "--ping", "1ms", "--wait", &server.url("/echo")]);
    for _ in 0..3 {
        let said = client.log_line("ping");
        let time = said
            .strip_prefix("sockeye: ping: ")
            .expect("nothing else is said");
        assert!(time.ends_with('s'), "{said}");
    }
    client.end_input();
}

#[test]
fn a_secret_comes_from_the_command_line_a_file_or_the_environment() {
    let file = TestFile::new("token");
    fs::write(&file.0, "filed\r\n").expect("cargo makes the folder");
    let at_file = format!("@{}", file.path());
    let environment = [("SOCKEYE_BEARER", "from-env"), ("SOCKEYE_BASIC", "a:b")];
    // Options, variables, and the resulting field.
    for (options, variables, sent) in [
        (&["--bearer", "given"][..], &environment[..], "Bearer given"),
        (&["--bearer", &at_file], &[], "Bearer filed"),
        (
            &["--basic", "Aladdin:open sesame"],
            &environment,
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
        (&[], &environment, "Bearer from-env"),
        (&[], &environment[1..], "Basic YTpi"),
    ] {
        let request = request(options, variables);
        assert!(
            request.contains(&format!("\r\nauthorization: {sent}\r\n")),
            "{request}"
        );
    }
    assert!(!request(&[], &[]).contains("authorization"));
    for (options, said) in [
        (&["--basic", "user"][..], "USER:PASSWORD"),
        (&["--bearer", "a\nb"], "a header field cannot hold"),
        (&["--bearer", "a", "--basic", "b:c"], "cannot be used with"),
    ] {
        let ended = Program::run(&[&["connect", "ws://a/"], options].concat(), "");
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    let ended = Program::run(&["connect", "ws://a/", "--bearer", "@/no/such/file"], "");
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("cannot read /no/such/file: "),
        "{}",
        ended.stderr
    );
}

#[test]
fn an_origin_and_what_is_offered_about_compression_are_in_the_request() {
    let offered = |options: &[&str]| request(options, &[]);
    assert!(
        offered(&["--origin", "https://page.example"]).contains("origin: https://page.example\r\n")
    );
    let extensions = "sec-websocket-extensions: permessage-deflate";
    assert!(offered(&[]).contains(extensions));
    assert!(offered(&[]).contains("no_context_takeover"));
    let takeover = offered(&["--deflate", "takeover"]);
    assert!(takeover.contains(extensions) && !takeover.contains("no_context_takeover"));
    assert!(!offered(&["--deflate", "off"]).contains(extensions));
}

#[test]
fn a_host_may_be_given_an_address_and_a_family() {
    let server = Server::start(&[]);
    let port = server.addr.rsplit(':').next().expect("a port");
    // On a loopback address the server accepts only names of the loopback in `Host`.
    let url = format!("ws://river.localhost:{port}/echo");
    let resolve = ["--resolve", "river.localhost:127.0.0.1"];
    let run =
        |more: &[&str]| Program::run(&[&["connect", &url], &resolve[..], more].concat(), "hi\n");
    for more in [
        &[][..],
        &["-4"],
        &["--resolve", "river.localhost:[::1]", "-4"],
    ] {
        let ended = run(more);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(0), "hi\n"),
            "{}",
            ended.stderr
        );
    }
    assert_eq!(run(&["-6"]).code, Some(1));
    assert_eq!(run(&["-6", "-4"]).code, Some(2));
}

#[test]
fn a_proxy_is_the_one_given_or_that_of_the_environment_or_none() {
    let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let (proxy, asked) = serve_once(refusal);
    let proxy = proxy.replace("ws://", "http://");
    let ended = Program::run(&["connect", "--proxy", &proxy, &url], "");
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("the proxy refused to connect: 403"),
        "{}",
        ended.stderr
    );
    let asked = asked.join().expect("no panic");
    assert!(
        asked.starts_with(&format!("CONNECT {} HTTP/1.1\r\n", server.addr)),
        "{asked}"
    );

    let (proxy, asked) = serve_once(refusal);
    let proxy = proxy.replace("ws://", "http://");
    let variables = [("http_proxy", proxy.as_str())];
    let run = |more: &[&str]| {
        let arguments = [&["connect", "-m", "hi", &url], more].concat();
        Program::start_with(&arguments, &variables).wait()
    };
    assert_eq!(run(&["--proxy", "none"]).stdout, "hi\n");
    assert_eq!(run(&[]).code, Some(1));
    asked.join().expect("no panic");
    assert_eq!(run(&["--proxy", "ftp://a"]).code, Some(2));
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_connected_to_in_place_of_the_host() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    let file = TestFile::new("socket");
    let listener = UnixListener::bind(&file.0).expect("a path that is free");
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut start = [0; 16];
        stream.read_exact(&mut start).expect("a request");
        let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).expect("it reads");
        // Reads until the client is gone.
        let _ = stream.read_to_end(&mut Vec::new());
        start
    });
    let ended = Program::run(&["connect", "--unix", file.path(), "ws://any.invalid/"], "");
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert_eq!(&serving.join().expect("no panic"), b"GET / HTTP/1.1\r\n");
}

#[test]
fn an_orderly_close_is_not_reported_without_an_option() {
    let server = Server::start(&[]);
    let ended = connect(&server, "/echo", "hi\n");
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("hi\n", ""));
}
