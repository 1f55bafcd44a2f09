//! The opening handshake over TCP: the real server against raw requests. The rules of the protocol have their tests in
//! `sockeye-proto`; these tests show what stands around them.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::Value;
use sockeye::proto::handshake::{Origin, OriginPolicy};
use sockeye::proto::{Config, Role};
use sockeye::server::{BindError, ServerBuilder};
use sockeye::{Client, Server, endpoint};
use tokio::net::TcpListener;

use crate::support::label::{Label, label};
use crate::support::{FIELDS, Raw, Stoppable, TEXT, request, serve, soon};

pub(super) fn records(side: &str) -> Vec<Value> {
    let fixtures = include_str!("../../../proto/tests/fixtures/handshakes.jsonl");
    let records = fixtures
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let records: Vec<Value> = records
        .filter(|record: &Value| record["side"] == side)
        .collect();
    assert!(records.len() > 10);
    records
}

pub(super) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    let bytes = digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
    bytes.collect::<Option<_>>().expect("hexadecimal")
}

#[tokio::test]
async fn every_bad_handshake_of_the_fixtures_is_refused_with_a_reason_and_the_connection_ends() {
    let addr = serve(Server::builder().endpoint(label("/")).any_host()).await;
    for record in records("S") {
        let id = &record["id"];
        let mut peer = Raw::connect(addr).await;
        let mut bytes = unhex(record["wire"].as_str().expect("bytes"));
        // The bytes behind a refused request may be meant as frames, so they are never read as a request.
        bytes.extend(crate::support::masked(TEXT, b"GET / HTTP/1.1\r\n\r\n"));
        peer.write(&bytes).await;
        let answer = peer.answer().await;
        let expected = record["expect"]["status"].as_array().expect("statuses");
        assert!(expected.contains(&answer.status.into()), "{id}: {answer:?}");
        assert!(
            answer.body.ends_with('\n') && answer.body.len() > 10,
            "{id}: {answer:?}"
        );
        match answer.status {
            405 => assert_eq!(answer.field("allow"), Some("GET"), "{id}"),
            426 => {
                assert_eq!(answer.field("sec-websocket-version"), Some("13"), "{id}");
                assert_eq!(answer.field("upgrade"), Some("websocket"), "{id}");
            }
            _ => {}
        }
        peer.recv_end().await;
    }
}

/// A request of a browser's page.
fn from_origin(addr: SocketAddr, origin: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {addr}\r\n{FIELDS}Origin: {origin}\r\n\r\n")
}

async fn status(addr: SocketAddr, request: &str) -> u16 {
    let mut peer = Raw::connect(addr).await;
    let answer = peer.request(request).await;
    if answer.status != 101 {
        assert!(answer.body.len() > 10, "no reason: {answer:?}");
    }
    answer.status
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_with_403_unless_the_policy_says_otherwise() {
    let same = serve(Server::builder().endpoint(label("/"))).await;
    let here = same.to_string();
    assert_eq!(
        status(same, &from_origin(same, &format!("http://{here}"))).await,
        101
    );
    for origin in [
        "http://evil.example",
        "http://127.0.0.1:1",
        "null",
        "https://",
    ] {
        assert_eq!(
            status(same, &from_origin(same, origin)).await,
            403,
            "{origin}"
        );
    }

    let page: Origin = "https://chat.example".parse().unwrap();
    let listed = Server::builder().origins(OriginPolicy::List(vec![page]));
    let listed = serve(listed.endpoint(label("/"))).await;
    for (origin, expected) in [
        ("https://chat.example", 101),
        ("http://chat.example", 403),
        ("null", 403),
    ] {
        let request = from_origin(listed, origin);
        assert_eq!(status(listed, &request).await, expected, "{origin}");
    }
    // No page at all.
    assert_eq!(status(listed, &request(listed, "/", "")).await, 101);

    let any = Server::builder()
        .origins(OriginPolicy::Any)
        .endpoint(label("/"));
    let any = serve(any).await;
    let request = from_origin(any, "null");
    assert_eq!(status(any, &request).await, 101);
}

#[tokio::test]
async fn bound_to_the_loopback_a_server_takes_only_its_names_unless_it_takes_any() {
    async fn of_host(addr: SocketAddr, host: &str) -> u16 {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{FIELDS}\r\n");
        status(addr, &request).await
    }
    let loopback = serve(Server::builder().endpoint(label("/"))).await;
    for host in [
        "127.0.0.1",
        "localhost:80",
        "LOCALHOST",
        "[::1]:8080",
        "127.0.0.9",
    ] {
        assert_eq!(of_host(loopback, host).await, 101, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1"] {
        assert_eq!(of_host(loopback, host).await, 403, "{host}");
    }
    // The absolute target's host counts, if there is one.
    let request = format!("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n{FIELDS}\r\n");
    assert_eq!(status(loopback, &request).await, 403);

    let any = serve(Server::builder().endpoint(label("/")).any_host()).await;
    assert_eq!(of_host(any, "evil.example").await, 101);

    // Bound to all addresses, it is reached over the loopback by a proxy, too.
    let server = Server::builder()
        .endpoint(label("/"))
        .bind("0.0.0.0:0")
        .await
        .unwrap();
    let addr = SocketAddr::from(([127, 0, 0, 1], server.local_addr().port()));
    tokio::spawn(server.serve());
    assert_eq!(of_host(addr, "chat.example").await, 101);
}

#[tokio::test]
async fn an_endpoint_is_told_the_addresses_of_both_ends_whatever_its_server_is_bound_to() {
    for bound in ["127.0.0.1:0", "0.0.0.0:0"] {
        let (tell, mut told) = tokio::sync::mpsc::channel(1);
        let asking = endpoint("/", move |handshake| {
            let ends = (handshake.peer_addr(), handshake.local_addr());
            tell.try_send(ends).unwrap();
            Label(String::new())
        });
        let server = Server::builder().endpoint(asking).bind(bound).await;
        let server = server.unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], server.local_addr().port()));
        tokio::spawn(server.serve());
        let mut peer = Raw::connect(addr).await;
        peer.write(request(addr, "/", "").as_bytes()).await;
        let ends = (peer.stream.local_addr().ok(), Some(addr));
        assert_eq!(soon(told.recv()).await, Some(ends));
    }
}

#[tokio::test]
async fn what_is_no_handshake_is_told_what_to_do_at_an_endpoints_path_and_404_elsewhere() {
    let addr = serve(Server::builder().endpoint(label("/here"))).await;
    let mut peer = Raw::connect(addr).await;
    let answer = peer
        .request("GET /there HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.body, "there is no endpoint at this path\n");
    assert_eq!(answer.field("connection"), None);
    // The connection goes on after a 404 of HTTP.
    let answer = peer
        .request("GET /here HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(answer.status, 426);
    assert_eq!(answer.field("upgrade"), Some("websocket"));
    assert_eq!(answer.field("sec-websocket-version"), Some("13"));

    let mut peer = Raw::connect(addr).await;
    let answer = peer
        .request("POST /here HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!((answer.status, answer.field("allow")), (405, Some("GET")));

    let mut peer = Raw::connect(addr).await;
    let answer = peer.request(&request(addr, "/there", "")).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.body, "there is no endpoint at this path\n");
    // The bytes behind a refused handshake may be meant as frames, so the connection ends.
    assert_eq!(answer.field("connection"), Some("close"));
    for target in ["*", "/here/", "/here/%2e%2e/here", "//here", "/%68ere/x"] {
        let request = request(addr, target, "").replace("GET *", "OPTIONS *");
        assert_eq!(status(addr, &request).await, 404, "{target}");
    }
    // Nor does a CONNECT open anything.
    let mut peer = Raw::connect(addr).await;
    peer.write(b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n")
        .await;
    let answer = peer.try_answer().await;
    assert!(answer.is_none_or(|answer| answer.status >= 400));
}

#[tokio::test]
async fn absolute_targets_route_by_their_path() {
    let addr = serve(Server::builder().endpoint(label("/room/{name}"))).await;
    for (target, label) in [
        (format!("ws://{addr}/room/a?q"), "/room/{name} name=a ?q"),
        (format!("http://{addr}/room/a"), "/room/{name} name=a"),
        ("http://localhost/room/a".to_owned(), "/room/{name} name=a"),
    ] {
        let mut peer = Raw::open(addr, &target).await;
        assert_eq!(peer.recv_text().await, label, "{target}");
    }
    let elsewhere = request(addr, "http://localhost/elsewhere/room/a", "");
    assert_eq!(status(addr, &elsewhere).await, 404);
}

#[tokio::test]
async fn the_http_service_gets_whatever_asks_for_no_websocket_with_its_body() {
    const LIMIT: usize = 1 << 20;
    async fn page(request: Request<Bytes>) -> Response<Bytes> {
        let text = format!(
            "{} {} {}",
            request.method(),
            request.uri(),
            request.body().len()
        );
        let mut response = Response::new(text.into());
        *response.status_mut() = StatusCode::ACCEPTED;
        response
    }
    let addr = serve(Server::builder().endpoint(label("/room")).http(page)).await;
    let mut peer = Raw::connect(addr).await;
    for path in ["/", "/page?q", "/room"] {
        let answer = peer
            .request(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .await;
        assert_eq!(answer.status, 202);
        assert_eq!(answer.body, format!("GET {path} 0"));
    }
    // A body as large as the limit, with `Content-Length` and in chunks.
    let body = "x".repeat(LIMIT);
    let post = "POST /form HTTP/1.1\r\nHost: localhost\r\n";
    let answer = peer
        .request(&format!("{post}Content-Length: {LIMIT}\r\n\r\n{body}"))
        .await;
    assert_eq!(answer.body, format!("POST /form {LIMIT}"));
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    let answer = peer
        .request(&format!("{chunked}{LIMIT:x}\r\n{body}\r\n0\r\n\r\n"))
        .await;
    assert_eq!(answer.body, format!("POST /form {LIMIT}"));
    // The handshake goes on where it went before, and to no other path.
    let mut session = Raw::open(addr, "/room").await;
    assert_eq!(session.recv_text().await, "/room");
    assert_eq!(status(addr, &request(addr, "/page", "")).await, 404);
    // One byte more: refused by its length before it is read, and as it comes.
    let mut peer = Raw::connect(addr).await;
    let answer = peer
        .request(&format!("{post}Content-Length: {}\r\n\r\n", LIMIT + 1))
        .await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (413, "the request body is too large: the limit is 1 MiB\n")
    );
    let mut peer = Raw::connect(addr).await;
    let answer = peer
        .request(&format!("{chunked}{:x}\r\n{body}x\r\n", LIMIT + 1))
        .await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_in_time_ends_however_it_comes() {
    let timeout = Duration::from_millis(200);
    let builder = Server::builder()
        .endpoint(label("/"))
        .handshake_timeout(timeout);
    let addr = serve(builder).await;
    // Nothing at all, and nothing after an answer.
    let mut silent = Raw::connect(addr).await;
    let mut kept = Raw::connect(addr).await;
    let answer = kept
        .request("GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(answer.status, 404);
    // Byte after byte, for ever, each much sooner than the timeout.
    let mut slow = Raw::connect(addr).await;
    slow.write(b"GET / HTTP/1.1\r\nX-Slow: ").await;
    let mut pace = tokio::time::interval(timeout / 10);
    let ended = soon(async {
        loop {
            let mut byte = [0];
            tokio::select! {
                read = tokio::io::AsyncReadExt::read(&mut slow.stream, &mut byte) => break read,
                _ = pace.tick() => {
                    if tokio::io::AsyncWriteExt::write_all(&mut slow.stream, b"x").await.is_err() {
                        break Ok(0);
                    }
                }
            }
        }
    })
    .await;
    assert!(matches!(ended, Ok(0) | Err(_)));
    silent.recv_end().await;
    kept.recv_end().await;
    // A connection that came in time stays.
    let mut peer = Raw::open(addr, "/").await;
    assert_eq!(peer.recv_text().await, "/");
}

#[tokio::test]
async fn silent_peers_do_not_keep_others_waiting() {
    let builder = Server::builder()
        .endpoint(label("/"))
        .max_pending_handshakes(2)
        .handshake_timeout(Duration::from_secs(2));
    let addr = serve(builder).await;
    let mut silent = [Raw::connect(addr).await, Raw::connect(addr).await];
    let mut peer = Raw::open(addr, "/").await;
    assert_eq!(peer.recv_text().await, "/");
    for silent in &mut silent {
        silent.recv_end().await;
    }
}

#[tokio::test]
async fn who_comes_beyond_the_most_connections_is_told_so_and_may_come_back() {
    let builder = Server::builder().endpoint(label("/")).max_connections(2);
    let addr = serve(builder).await;
    let first = Raw::open(addr, "/").await;
    let mut second = Raw::open(addr, "/").await;
    let mut third = Raw::connect(addr).await;
    let answer = third.request(&request(addr, "/", "")).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.field("connection"), Some("close"));
    third.recv_end().await;
    // The connections that are open are served.
    assert_eq!(second.recv_text().await, "/");
    first.close().await;
    // The server knows of the end a little later than the peer.
    soon(async {
        loop {
            let mut again = Raw::connect(addr).await;
            let answer = again.request(&request(addr, "/", "")).await;
            if answer.status == 101 {
                break;
            }
            assert_eq!(answer.status, 503);
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_not_read_is_given_up_at_the_write_timeout() {
    const LARGE: usize = 64 << 20;
    let config = Config::new(Role::Server).write_timeout(Duration::from_millis(100));
    let builder = Server::builder()
        .http(async |_| Response::new(Bytes::from(vec![0; LARGE])))
        .config(config)
        .max_connections(1);
    let addr = serve(builder).await;
    let mut greedy = Raw::connect(addr).await;
    greedy
        .write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    // There is room for the next when it is gone.
    soon(async {
        loop {
            let mut next = Raw::connect(addr).await;
            next.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .await;
            let head = next.head().await.expect("an answer");
            if head.starts_with("HTTP/1.1 200 ") {
                break;
            }
            assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_timeout_beyond_the_clock_is_never_over() {
    let never = Duration::MAX;
    let config = Config::new(Role::Server).write_timeout(never);
    let builder = Server::builder()
        .endpoint(label("/"))
        .config(config)
        .handshake_timeout(never)
        .stop_timeout(never);
    let mut server = Stoppable::serve(builder).await;
    let client = Client::builder()
        .connect_timeout(never)
        .handshake_timeout(never)
        .build();
    let mut ws = soon(client.connect(&format!("ws://{}/", server.addr)))
        .await
        .unwrap();
    assert_eq!(soon(ws.recv()).await.unwrap(), Some("/".into()));
    let answer = status(server.addr, "GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(answer, 404);
    server.stop();
    assert_eq!(soon(ws.recv()).await.unwrap(), None);
    server.done().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_before_it_is_read() {
    let addr = serve(Server::builder().endpoint(label("/"))).await;
    let mut peer = Raw::connect(addr).await;
    peer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        .await;
    // 20 MB: the transport breaks when what it holds in advance is used up.
    let chunk = vec![b'x'; 64 << 10];
    let mut written = 0;
    soon(async {
        while written < 20 << 20 {
            if tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &chunk)
                .await
                .is_err()
            {
                return;
            }
            written += chunk.len();
        }
    })
    .await;
    assert!(written < 20 << 20, "all of it was read");

    // 100 fields, of which five are there; 16 KiB.
    let fields = |count: usize| request(addr, "/", &"X: y\r\n".repeat(count));
    let bytes = |len: usize| {
        let field = |len: usize| request(addr, "/", &format!("X: {}\r\n", "y".repeat(len)));
        field(len - field(0).len())
    };
    for (allowed, more) in [(fields(95), fields(96)), (bytes(16_384), bytes(16_385))] {
        assert_eq!(status(addr, &allowed).await, 101, "{} bytes", allowed.len());
        let answer = Raw::connect(addr).await.request(&more).await;
        assert_eq!(answer.status, 431, "{} bytes", more.len());
    }
}

#[tokio::test]
async fn frames_right_behind_the_request_are_delivered() {
    let addr = serve(Server::builder().endpoint(label("/"))).await;
    let mut bytes = request(addr, "/", "").into_bytes();
    for number in 0..100 {
        bytes.extend(crate::support::masked(TEXT, format!("{number}").as_bytes()));
    }
    let last = crate::support::masked(TEXT, b"the last");
    let (half, rest) = last.split_at(5);
    bytes.extend(half);
    let mut peer = Raw::connect(addr).await;
    peer.write(&bytes).await;
    assert_eq!(peer.answer().await.status, 101);
    assert_eq!(peer.recv_text().await, "/");
    for number in 0..100 {
        assert_eq!(peer.recv_text().await, number.to_string());
    }
    peer.write(rest).await;
    assert_eq!(peer.recv_text().await, "the last");
}

/// §4.2.2: behind the 101 a server waits for nothing.
#[tokio::test]
async fn a_server_may_send_first() {
    let addr = serve(Server::builder().endpoint(label("/first"))).await;
    let mut peer = Raw::open(addr, "/first").await;
    assert_eq!(peer.recv_text().await, "/first");
}

#[tokio::test]
async fn endpoints_that_contradict_each_other_are_not_deployed() {
    async fn refused(builder: ServerBuilder) -> String {
        match builder.bind("127.0.0.1:0").await {
            Err(BindError::Deployment(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }
    for (one, other) in [
        ("/a/b/c", "/a/b/c"),
        ("/a/{b}", "/a/{b}"),
        ("/a/{b}", "/a/{c}"),
    ] {
        let builder = Server::builder()
            .endpoint(label(one))
            .endpoint(label(other));
        let error = refused(builder).await;
        assert!(error.contains(one) && error.contains(other), "{error}");
    }
    for template in ["", "a", "/a//b", "/x{a}", "/{a}/{a}", "/a/../b"] {
        let error = refused(Server::builder().endpoint(label(template))).await;
        assert!(error.contains(template), "{error}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap();
    let error = Server::builder().bind(addr).await.unwrap_err();
    assert!(matches!(error, BindError::Io(_)), "{error:?}");
    let told = sockeye::error::ErrorChain::new(&error).to_string();
    assert!(told.starts_with("cannot bind: "), "{told}");
    // A listener that is bound already is served on.
    let server = Server::builder()
        .endpoint(label("/"))
        .listen(taken)
        .unwrap();
    assert_eq!(server.local_addr(), addr);
    tokio::spawn(server.serve());
    let mut peer = Raw::open(addr, "/").await;
    assert_eq!(peer.recv_text().await, "/");
}

/// A handshake whose head has this number of bytes and of header fields.
fn with_head(addr: SocketAddr, bytes: usize, fields: usize) -> String {
    let known = FIELDS.lines().count() + 1;
    let mut request = format!("GET / HTTP/1.1\r\nHost: {addr}\r\n{FIELDS}");
    for _ in known + 1..fields {
        request += "X: y\r\n";
    }
    let filling = bytes - request.len() - "Cookie: \r\n\r\n".len();
    request + &format!("Cookie: {}\r\n\r\n", "a".repeat(filling))
}

#[tokio::test]
async fn a_head_of_exactly_the_limit_passes_and_a_larger_one_is_told_what_was_too_large() {
    let builder = || Server::builder().endpoint(label("/"));
    let larger = || builder().max_head(64 * 1024).max_header_fields(300);
    let smaller = || builder().max_head(1_000).max_header_fields(10);
    for (builder, bytes, fields) in [
        (builder(), 16 * 1024, 100),
        (larger(), 64 * 1024, 300),
        (smaller(), 1_000, 10),
    ] {
        let addr = serve(builder).await;
        let some = bytes - 100;
        assert_eq!(status(addr, &with_head(addr, bytes, 10)).await, 101);
        assert_eq!(
            status(addr, &with_head(addr, some.max(bytes / 2), fields)).await,
            101
        );
        for (request, told) in [
            (
                with_head(addr, bytes + 1, 10),
                format!("too large: the limit is {bytes} bytes"),
            ),
            (
                with_head(addr, 10 * bytes, 10),
                format!("too large: the limit is {bytes} bytes"),
            ),
            (
                with_head(addr, some, fields + 1),
                format!("header fields: the limit is {fields}"),
            ),
        ] {
            let mut peer = Raw::connect(addr).await;
            let answer = peer.request(&request).await;
            assert_eq!(answer.status, 431, "{answer:?}");
            assert!(answer.body.contains(&told), "{answer:?}");
            assert_eq!(answer.field("connection"), Some("close"));
            peer.fin().await;
            peer.recv_end().await;
        }
    }
}

#[tokio::test]
async fn what_is_no_http_is_told_so() {
    let addr = serve(Server::builder().endpoint(label("/"))).await;
    let mut peer = Raw::connect(addr).await;
    let answer = peer.request("\0\r\n\r\n").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(
        answer.body.contains("cannot read the request"),
        "{answer:?}"
    );
    peer.fin().await;
    peer.recv_end().await;
}
