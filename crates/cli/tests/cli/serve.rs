//! `sockeye serve`, started as from a shell.

use std::fs;
use std::net::TcpListener;

use crate::option::TestFile;
use crate::program::{Program, Server};

/// Returns the values of these fields of a response, without those that are missing.
fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value))
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

#[test]
fn the_page_and_its_parts_are_served_with_their_types_and_a_policy() {
    let server = Server::start(&[]);
    for (path, kind, content) in [
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
        (
            "/?room=a&name=b",
            "text/html; charset=utf-8",
            "<!doctype html>",
        ),
        ("/base.css", "text/css; charset=utf-8", "color-scheme"),
        ("/chat.css", "text/css; charset=utf-8", "--mine"),
        ("/chat.js", "text/javascript; charset=utf-8", "/sockeye.js"),
        ("/icon.svg", "image/svg+xml", "<svg"),
        ("/sockeye.js", "text/javascript; charset=utf-8", "subscribe"),
        ("/drawboard", "text/html; charset=utf-8", "Drawboard"),
        ("/drawboard.js", "text/javascript; charset=utf-8", "stroke"),
        ("/snake", "text/html; charset=utf-8", "Snake"),
        ("/snake.js", "text/javascript; charset=utf-8", "turn"),
        ("/push-or-poll", "text/html; charset=utf-8", "Push or poll"),
        ("/compare.js", "text/javascript; charset=utf-8", "/time"),
        ("/play.css", "text/css; charset=utf-8", "--cell"),
        ("/play.js", "text/javascript; charset=utf-8", "WebSocket"),
    ] {
        let answer = server.http("GET", path, "");
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n"),
            "{path}: {answer}"
        );
        assert_eq!(field(&answer, "content-type"), Some(kind), "{path}");
        assert!(body(&answer).contains(content), "{path}");
        let policy = field(&answer, "content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert_eq!(field(&answer, "x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn a_page_that_the_browser_has_is_not_sent_again() {
    let server = Server::start(&[]);
    let answer = server.http("GET", "/chat.js", "");
    assert_eq!(field(&answer, "cache-control"), Some("no-cache"));
    let tag = field(&answer, "etag").expect("a tag");
    for known in [tag, "*", &format!("\"other\", W/{tag}")] {
        let answer = server.http("GET", "/chat.js", &format!("If-None-Match: {known}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 304 "), "{known}: {answer}");
        assert_eq!(body(&answer), "");
    }
    let answer = server.http("GET", "/chat.js", "If-None-Match: \"other\"\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "));
}

#[test]
fn the_page_is_read_only() {
    let server = Server::start(&[]);
    let head = server.http("HEAD", "/", "");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(body(&head), "");
    assert_ne!(field(&head, "content-length"), Some("0"));
    let post = server.http("POST", "/", "Content-Length: 0\r\n");
    assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
    assert_eq!(field(&post, "allow"), Some("GET, HEAD"));
}

#[test]
fn what_is_not_there_is_404_and_an_endpoint_without_upgrade_426() {
    let server = Server::start(&[]);
    for path in ["/nothing", "/chat", "/chat/", "/chat/a/b", "/echo/"] {
        assert!(
            server.http("GET", path, "").starts_with("HTTP/1.1 404 "),
            "{path}"
        );
    }
    for path in ["/chat/river", "/echo", "/push"] {
        let answer = server.http("GET", path, "");
        assert!(answer.starts_with("HTTP/1.1 426 "), "{path}: {answer}");
        assert_eq!(field(&answer, "upgrade"), Some("websocket"));
        assert_eq!(field(&answer, "sec-websocket-version"), Some("13"));
    }
}

#[test]
fn the_index_leads_to_every_page() {
    let server = Server::start(&[]);
    let index = server.http("GET", "/", "");
    for page in ["/drawboard", "/snake", "/push-or-poll"] {
        assert!(index.contains(&format!("href=\"{page}\"")), "{page}");
    }
}

#[test]
fn a_poll_gets_the_time_and_no_cache_keeps_it() {
    let server = Server::start(&[]);
    let answer = server.http("GET", "/time", "");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(field(&answer, "cache-control"), Some("no-store"));
    let time = body(&answer);
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
}

#[test]
fn a_stroke_is_sent_back_to_its_drawer_and_an_invalid_one_is_refused() {
    let server = Server::start(&[]);
    let mut client = Program::start(&["connect", &server.url("/drawboard")]);
    assert!(client.line().contains(r#""type":"welcome""#));
    client.say("{\"type\":\"draw\",\"color\":2,\"width\":6,\"points\":[10,20],\"tag\":7}\n");
    assert_eq!(
        client.line().trim_end(),
        r#"{"type":"drawn","by":0,"tag":7,"color":2,"width":6,"points":[10,20],"dropped":0}"#
    );
    client.say("{\"type\":\"draw\",\"color\":9,\"width\":6,\"points\":[10,20]}\n");
    assert_eq!(
        client.line().trim_end(),
        r#"{"type":"error","message":"expected a colour from 0 to 8"}"#
    );
    // A later client gets the picture so far.
    let mut late = Program::start(&["connect", &server.url("/drawboard")]);
    assert!(
        late.line()
            .contains(r#""strokes":[{"color":2,"width":6,"points":[10,20]}]"#)
    );
    assert_eq!(client.line().trim_end(), r#"{"type":"people","people":2}"#);
    client.say("{\"type\":\"clear\"}\n");
    assert_eq!(late.line().trim_end(), r#"{"type":"cleared","by":0}"#);
}

#[test]
fn a_snake_is_told_of_itself_and_of_the_field() {
    let server = Server::start(&[]);
    let mut client = Program::start(&["connect", &server.url("/snake")]);
    assert_eq!(
        client.line().trim_end(),
        r#"{"type":"welcome","width":40,"height":30,"you":1}"#
    );
    assert!(client.line().contains(r#""snakes":[{"id":1,"#));
}

/// Returns the status of a handshake with this Host and this Origin.
fn handshake(server: &Server, host: &str, origin: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(&server.addr).expect("it listens");
    write!(
        stream,
        "GET /echo HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .expect("it reads");
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("an answer");
    String::from_utf8_lossy(&status[9..]).into_owned()
}

#[test]
fn pages_of_other_origins_connect_where_an_option_says_so() {
    let (own, dev, other) = (
        "http://localhost:1",
        "http://localhost:3000",
        "http://a.example",
    );
    for (options, expected) in [
        (&[][..], ["101", "403", "403"]),
        (&["--origin", dev], ["101", "101", "403"]),
        (&["--origin", dev, "--origin", other], ["101", "101", "101"]),
        (&["--origin", dev, "--origin=any"], ["101", "101", "101"]),
    ] {
        let server = Server::start(options);
        let statuses = [own, dev, other].map(|origin| handshake(&server, "localhost:1", origin));
        assert_eq!(statuses, expected, "{options:?}");
    }
    for (text, told) in [
        ("null", "not an origin"),
        ("localhost:3000", "not an origin"),
    ] {
        let ended = Program::run(&["serve", "--origin", text], "");
        assert_eq!(ended.code, Some(2), "{text}");
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
    }
}

#[test]
fn a_larger_head_is_taken_where_an_option_says_so() {
    let cookie = format!("Cookie: {}\r\n", "a".repeat(20_000));
    let server = Server::start(&[]);
    let answer = server.http("GET", "/", &cookie);
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(body(&answer).contains("16384 bytes"), "{answer}");
    let server = Server::start(&["--max-head", "32KiB"]);
    assert!(
        server
            .http("GET", "/", &cookie)
            .starts_with("HTTP/1.1 200 ")
    );
}

#[test]
fn a_host_that_a_proxy_passes_on_is_taken_where_an_option_says_so() {
    let page = "https://chat.example";
    for (options, expected) in [(&[][..], "403"), (&["--any-host"], "101")] {
        let server = Server::start(options);
        assert_eq!(handshake(&server, "chat.example", page), expected);
    }
    // With a proxy that changes Host, the page has another origin.
    for (options, expected) in [(&[][..], "403"), (&["--origin", page], "101")] {
        let server = Server::start(options);
        assert_eq!(handshake(&server, &server.addr, page), expected);
    }
}

#[test]
fn a_port_in_use_is_told_with_exit_code_1() {
    let server = Server::start(&[]);
    let ended = Program::run(&["serve", "--listen", &server.addr], "");
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stdout, "");
    let said = format!(
        "sockeye: cannot listen on {}: the address is in use",
        server.addr
    );
    assert!(ended.stderr.starts_with(&said), "{}", ended.stderr);
}

#[test]
fn a_bad_command_line_is_told_with_exit_code_2() {
    for (arguments, said) in [
        (
            &["serve", "--listen", "8080"][..],
            "no port; write HOST:PORT",
        ),
        (&["serve", "--listen", "127.0.0.1:x"], "not a port: `x`"),
        (&["serve", "--max-message", "1XB"], "units B, kB"),
        (&["serve", "--stop-timeout", "soon"], "invalid digit"),
        (&["serve", "here"], "unexpected argument"),
        (&["sevre"], "unrecognized subcommand"),
        (&[], "Usage: sockeye"),
    ] {
        let ended = Program::run(arguments, "");
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(
            ended.stderr.contains(said),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn help_fits_80_columns_and_tells_the_exit_codes() {
    for (arguments, told) in [
        (&["--help"][..], "Examples:"),
        (&["serve", "--help"], "Exit codes:"),
        (&["connect", "--help"], "Exit codes:"),
    ] {
        let ended = Program::run(arguments, "");
        assert_eq!(ended.code, Some(0));
        assert!(ended.stdout.contains(told), "{}", ended.stdout);
        let longest = ended.stdout.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(80), "{arguments:?}: {longest:?}");
    }
    let version = Program::run(&["--version"], "").stdout;
    assert_eq!(
        version.trim_end(),
        concat!("sockeye ", env!("CARGO_PKG_VERSION"))
    );
}

#[cfg(unix)]
#[test]
fn a_signal_stops_in_order_and_tells_every_session() {
    for signal in ["INT", "TERM"] {
        let server = Server::start(&[]);
        let mut client = Program::start(&["connect", &server.url("/push")]);
        client.line();
        server.program.signal(signal);
        // 1001 is an orderly code.
        let ended = client.wait();
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{signal}"
        );
        let ended = server.program.wait();
        assert_eq!(ended.code, Some(0), "{signal}: {}", ended.stderr);
        assert!(ended.stderr.contains("stopped"), "{}", ended.stderr);
    }
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_at_once() {
    let mut server = Server::start(&["--stop-timeout", "4000000000"]);
    // The peer of this session answers nothing, so only the stop timeout would end it.
    let silent = silent_session(&server.addr);
    server.program.signal("INT");
    server.program.log_line("stopping");
    server.program.signal("INT");
    assert_eq!(server.program.wait().code, Some(130));
    drop(silent);
}

/// Opens a connection that then neither reads nor writes.
#[cfg(unix)]
fn silent_session(addr: &str) -> std::net::TcpStream {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(addr).expect("it listens");
    write!(
        stream,
        "GET /echo HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .expect("it reads");
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 101");
    stream
}

#[test]
fn a_redis_url_that_cannot_be_used_is_an_error_of_the_command_line() {
    for url in [
        "http://127.0.0.1/",
        "redis-cluster://127.0.0.1/",
        "redis://user:s3cret@/x",
    ] {
        let ended = Program::run(&["serve", "--listen", "127.0.0.1:0", "--redis", url], "");
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{url}");
        assert!(
            ended.stderr.starts_with("sockeye: --redis: "),
            "{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    }
}

#[test]
fn the_redis_url_comes_from_the_command_line_a_file_or_the_environment() {
    let file = TestFile::new("redis-url");
    fs::write(file.path(), "http://user:s3cret@from-file/\n").expect("cargo makes the folder");
    let at_file = format!("@{}", file.path());
    // Options, the variable, and how the error begins: each URL has a scheme that is refused.
    for (options, variable, said) in [
        (&["--redis", &at_file][..], "", "sockeye: --redis: "),
        (
            &["--redis", &at_file],
            "redis://other/",
            "sockeye: --redis: ",
        ),
        (
            &[],
            "http://user:s3cret@from-env/",
            "sockeye: SOCKEYE_REDIS: ",
        ),
    ] {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"], options].concat();
        let ended = Program::start_with(&arguments, &[("SOCKEYE_REDIS", variable)]).wait();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
        assert!(ended.stderr.starts_with(said), "{}", ended.stderr);
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    }
    let ended = Program::run(&["serve", "--redis", "@/no/such/file"], "");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let said = "sockeye: cannot read the URL of the Redis server: cannot read /no/such/file: ";
    assert!(ended.stderr.starts_with(said), "{}", ended.stderr);
}

#[test]
fn a_redis_server_that_is_not_there_ends_the_program() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("redis://{}/", listener.local_addr().expect("bound"));
    drop(listener);
    let ended = Program::run(&["serve", "--listen", "127.0.0.1:0", "--redis", &url], "");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let text = "sockeye: cannot share the topics: ";
    assert!(ended.stderr.contains(text), "{}", ended.stderr);
}
