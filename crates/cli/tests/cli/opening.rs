//! The output of `sockeye connect -v` about the opening, and the secrets that it hides.

use std::fs;

use rcgen::generate_simple_self_signed;

use crate::peer::serve_once;
use crate::program::{Ended, Program, Server};

/// Runs the client with `-v` against a server that sends this response.
fn verbose(answer: &[u8]) -> Ended {
    let (url, served) = serve_once(answer);
    let ended = Program::run(&["connect", "-v", "-m", "hi", &url], "");
    served.join().expect("no panic");
    ended
}

fn assert_lines(ended: &Ended, lines: &[&str]) {
    for line in lines {
        let said = ended.stderr.lines().any(|said| said == *line);
        assert!(said, "{line}: {}", ended.stderr);
    }
}

#[test]
fn both_sides_of_a_handshake_that_fails_are_shown() {
    for (answer, exit, lines, error) in [
        (
            &b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
               Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"[..],
            1,
            &[
                "< HTTP/1.1 101 Switching Protocols",
                "< sec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            ][..],
            "does not match the key",
        ),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nServer: x\r\n\r\n",
            1,
            &["< HTTP/1.1 101 Switching Protocols", "< server: x"],
            "Upgrade field is not websocket",
        ),
        (
            b"HTTP/1.1 404 Not Found\r\nX-Why: no\r\nContent-Length: 0\r\n\r\n",
            3,
            &["< HTTP/1.1 404 Not Found", "< x-why: no"],
            "the server refused the handshake",
        ),
        (
            b"HTTP/1.1 302 Found\r\nLocation: https://other.example/?token=s3cret\r\n\
              Content-Length: 0\r\n\r\n",
            3,
            &[
                "< HTTP/1.1 302 Found",
                "< location: https://other.example/?token=(not shown)",
            ],
            "write wss://",
        ),
        // The response ends in the middle.
        (
            b"HTTP/1.1 101 Switching Protocols\r\nServer: x\r\nSet-Cookie: s3cret",
            1,
            &[
                "< HTTP/1.1 101 Switching Protocols",
                "< Server: x",
                "< Set-Cookie: (not shown)",
                "* no complete response; its first 63 bytes are above",
            ],
            "without an answer",
        ),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            1,
            &[
                "< SSH-2.0-OpenSSH_9.2",
                "* no complete response; its first 21 bytes are above",
            ],
            "the handshake failed",
        ),
        (
            b"220 \x1b[2Jmail\r\n",
            1,
            &["< 220 \\u{1b}[2Jmail"],
            "the handshake failed",
        ),
        // A TLS alert: unexpected_message.
        (b"\x15\x03\x01\x00\x02\x02\x0a", 1, &[], "write wss://"),
        (b"", 1, &[], "without an answer"),
    ] {
        let ended = verbose(answer);
        assert_eq!(ended.code, Some(exit), "{}", ended.stderr);
        assert_lines(&ended, &["> GET / HTTP/1.1", "> upgrade: websocket"]);
        assert_lines(&ended, lines);
        assert!(ended.stderr.contains(error), "{error}: {}", ended.stderr);
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
        assert_eq!(ended.stderr.matches("> GET ").count(), 1);
    }
}

#[cfg(unix)]
#[test]
fn a_handshake_that_is_given_up_is_shown_as_far_as_it_came() {
    let (url, served) = crate::peer::serve(|mut peer| {
        peer.read_head();
        peer.write(b"HTTP/1.1 101 Switch");
        peer.read_to_end();
    });
    let mut client = Program::start(&["connect", "-v", "--wait", &url]);
    // The request is shown while the client waits.
    client.log_line("> GET / HTTP/1.1");
    client.signal("INT");
    let ended = client.wait();
    served.join().expect("no panic");
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
}

#[test]
fn what_is_said_to_a_proxy_is_shown_and_its_password_is_not() {
    let (proxy, served) =
        serve_once(b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n");
    let proxy = proxy.replace("ws://", "http://user:s3cret@");
    let url = "ws://host.invalid/";
    let ended = Program::run(&["connect", "-v", "--proxy", &proxy, url], "");
    served.join().expect("no panic");
    assert_eq!(ended.code, Some(1));
    assert_lines(
        &ended,
        &[
            "> CONNECT host.invalid:80 HTTP/1.1",
            "> proxy-authorization: (not shown)",
            "< HTTP/1.1 407 Proxy Authentication Required",
            "< proxy-authenticate: Basic",
        ],
    );
    assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    assert!(
        !ended.stderr.contains("dXNlcjpzM2NyZXQ="),
        "{}",
        ended.stderr
    );
}

#[test]
fn secrets_of_the_command_line_and_of_the_answer_are_not_shown() {
    let (url, served) = serve_once(
        b"HTTP/1.1 403 Forbidden\r\nSet-Cookie: id=s3cret\r\nX-Auth-Token: s3cret\r\n\
          Server: x\r\nContent-Length: 0\r\n\r\n",
    );
    let url = url.replace("ws://", "ws://me:s3cret@") + "?room=1&api_key=s3cret";
    let ended = Program::run(
        &[
            "connect",
            "-v",
            "-H",
            "Cookie: id=s3cret",
            "-H",
            "Proxy-Authorization: Basic s3cret",
            "-H",
            "X-Api-Key: s3cret",
            "-H",
            "X-Room: river",
            "--subprotocol",
            "bearer",
            "--subprotocol",
            "s3cret",
            &url,
        ],
        "",
    );
    let request = served.join().expect("no panic");
    assert!(request.contains("cookie: id=s3cret\r\n"), "{request}");
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert_lines(
        &ended,
        &[
            "> GET /?room=1&api_key=(not shown) HTTP/1.1",
            "> authorization: (not shown)",
            "> cookie: (not shown)",
            "> proxy-authorization: (not shown)",
            "> x-api-key: (not shown)",
            "> x-room: river",
            "> sec-websocket-protocol: bearer, (not shown)",
            "< set-cookie: (not shown)",
            "< x-auth-token: (not shown)",
            "< server: x",
            // The refusal is reported in the same way without -v.
            "set-cookie: (not shown)",
        ],
    );
    assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
}

#[test]
fn what_is_refused_of_the_command_line_is_not_repeated_where_it_may_be_a_secret() {
    for (arguments, said) in [
        (&["-H", "Cookie s3cret", "ws://a/"][..], "no colon"),
        (
            &["-H", "a b s3cret: x", "ws://a/"],
            "not a valid field name",
        ),
        (
            &["-H", "Cookie: s3cret\u{1}", "ws://a/"],
            "control characters",
        ),
        (
            &["-H", "Authorization:", "Bearer", "s3cret", "ws://a/"],
            "put it in quotes",
        ),
        (
            &["--header", "Authorization:", "s3cret", "ws://a/"],
            "put it in quotes",
        ),
        (
            &["--proxy", "ftp://u:s3cret@p", "ws://a/"],
            "not a proxy URL",
        ),
        (
            &["--subprotocol", "bearer.s3cret==", "ws://a/"],
            "is not a token",
        ),
    ] {
        let ended = Program::run(&[&["connect"], arguments].concat(), "");
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    }
}

#[test]
fn a_command_line_that_is_almost_right_is_mended() {
    for (arguments, exit, tip) in [
        (
            &["http://127.0.0.1:1/"][..],
            2,
            "write ws:// in place of http://",
        ),
        (
            &["https://127.0.0.1:1/"],
            2,
            "write wss:// in place of https://",
        ),
        (&["127.0.0.1:8080"], 2, "write ws:// before the host"),
        (&["localhost:8080/echo"], 2, "write ws:// before the host"),
        (&["--wait", "5s", "ws://a/"], 2, "--wait=5s"),
        (&["ws://a/", "--wait", "5s"], 2, "--wait=5s"),
        (&["ws://a/", "--wait", "forever"], 2, "--wait=forever"),
        (&["--wait", "5s"], 2, "--wait=5s"),
        (&["--retry", "3", "ws://a/"], 2, "--retry=3"),
        (&["ws://127.0.0.1:1/"], 1, "check that the server runs"),
    ] {
        let ended = Program::run(&[&["connect"], arguments].concat(), "");
        assert_eq!(ended.code, Some(exit), "{}", ended.stderr);
        let last = ended
            .stderr
            .lines()
            .find(|line| line.starts_with("  tip: "));
        let last = last.unwrap_or_default();
        assert!(last.contains(tip), "{tip}: {}", ended.stderr);
    }
}

#[test]
fn the_wrong_scheme_for_a_port_is_told_with_the_right_one() {
    // `wss:` at a server without TLS.
    let server = Server::start(&[]);
    let url = server.url("/echo").replace("ws://", "wss://");
    let ended = Program::run(&["connect", &url], "");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("does not speak TLS on this port"));
    assert_lines(
        &ended,
        &["  tip: if the server does not speak TLS on this port, write ws://"],
    );
    // `ws:` at a server with TLS.
    let names = ["localhost".to_owned()];
    let identity = generate_simple_self_signed(names).expect("a name");
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = |end| folder.join(format!("opening-{}.{end}", std::process::id()));
    let (cert, key) = (path("pem"), path("key"));
    fs::write(&cert, identity.cert.pem()).expect("cargo makes the folder");
    fs::write(&key, identity.signing_key.serialize_pem()).expect("cargo makes the folder");
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (cert_text, key_text) = (text(&cert), text(&key));
    let listen = ["serve", "--listen", "127.0.0.1:0"];
    let identity = ["--cert", &cert_text, "--key", &key_text];
    let mut server = Program::start(&[&listen[..], &identity].concat());
    let line = server.line();
    let ended = Program::run(&["connect", &line.replace("https://", "ws://")], "");
    assert_eq!(ended.code, Some(1));
    assert!(
        ended
            .stderr
            .contains("the server speaks TLS on this port: write wss:// in place of ws://"),
        "{}",
        ended.stderr
    );
    // `wss:` at a server whose authority is unknown.
    let ended = Program::run(&["connect", &line.replace("https://", "wss://")], "");
    assert_lines(
        &ended,
        &[
            "  tip: --cacert FILE trusts the certificates in a file, and --insecure accepts any certificate",
        ],
    );
    let _ = (fs::remove_file(cert), fs::remove_file(key));
}

#[test]
fn a_message_over_the_limit_is_told_with_the_option_that_raises_it() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let ended = Program::run(&["connect", "--max-size", "3", "-m", "four", &url], "");
    assert_eq!(ended.code, Some(4));
    assert_lines(
        &ended,
        &["  tip: --max-size accepts longer messages, for example --max-size=64MiB"],
    );
}
