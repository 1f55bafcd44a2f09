//! The opening handshake over TCP: the real client against raw answers.

use std::time::Duration;

use sockeye::client::ConnectError;
use sockeye::proto::handshake::{OfferError, ResponseError, UriError};
use sockeye::{Client, Message, Server};
use tokio::net::TcpListener;

use super::handshake::{records, unhex};
use crate::support::label::label;
use crate::support::{Raw, TEXT, accept, raw_server, serve, soon};

#[tokio::test]
async fn the_client_opens_on_no_bad_answer_of_the_fixtures_and_sends_no_frame() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    for record in records("C") {
        let id = &record["id"];
        let mut client = Client::builder();
        if let Some(offer) = record["offer"].as_str() {
            client = client.subprotocols([offer.strip_prefix("proto:").expect("a subprotocol")]);
        }
        let client = client.build();
        let server = async {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut peer = Raw::new(tcp);
            let request = peer.head().await.expect("a request");
            let answer = record["response"].as_str().expect("an answer");
            let mut bytes = answer
                .replace("{ACCEPT}", &crate::support::accept_value(&request))
                .into_bytes();
            bytes.extend(unhex(record["tail"].as_str().unwrap_or_default()));
            peer.write(&bytes).await;
            peer
        };
        let (connected, mut peer) =
            soon(async { tokio::join!(client.connect(&url), server) }).await;
        if record["expect"]["open"] == true {
            let mut ws = connected.unwrap_or_else(|error| panic!("{id}: {error}"));
            soon(ws.send("open")).await.unwrap();
            assert_eq!(peer.recv_text().await, "open", "{id}");
        } else {
            let error = connected.expect_err("it must not open");
            let told = matches!(error, ConnectError::Refused(_) | ConnectError::Response(_));
            assert!(told, "{id}: {error:?}");
            peer.recv_end().await;
        }
    }
}

#[tokio::test]
async fn frames_right_behind_the_101_reach_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let mut tail = crate::support::unmasked(TEXT, b"first");
    tail.extend(crate::support::unmasked(TEXT, &b"x".repeat(10_000)));
    let last = crate::support::unmasked(TEXT, b"last");
    let (half, rest) = last.split_at(3);
    tail.extend(half);
    let server = raw_server(&listener, "", &tail);
    let (ws, mut peer) = tokio::join!(sockeye::connect(&url), server);
    let mut ws = ws.unwrap();
    assert_eq!(soon(ws.recv()).await.unwrap(), Some(Message::text("first")));
    assert_eq!(
        soon(ws.recv()).await.unwrap(),
        Some(Message::text("x".repeat(10_000)))
    );
    peer.write(rest).await;
    assert_eq!(soon(ws.recv()).await.unwrap(), Some(Message::text("last")));
}

/// §4.1: the nonce is drawn anew for each connection.
#[tokio::test]
async fn a_client_draws_a_new_key_for_each_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let client = Client::new();
    let mut keys = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let asked = async {
            let (tcp, _) = listener.accept().await.unwrap();
            Raw::new(tcp).head().await.expect("a request")
        };
        let (_, request) = soon(async { tokio::join!(client.connect(&url), asked) }).await;
        let fields = request.lines().filter_map(|line| line.split_once(": "));
        let mut of_key = fields.filter(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Key"));
        let (_, key) = of_key.next().expect("a key");
        assert_eq!(key.len(), 24, "{request}");
        assert!(keys.insert(key.to_owned()), "{key} came twice");
    }
}

#[tokio::test]
async fn the_client_asks_as_it_was_told_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let client = Client::builder()
        .subprotocols(["one", "two"])
        .header(
            http::header::ORIGIN,
            "https://page.example".parse().unwrap(),
        )
        .build();
    let url = format!("WS://127.0.0.1:{}/ä b?c={{d}}", addr.port());
    let server = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut peer = Raw::new(tcp);
        let request = peer.head().await.expect("a request");
        let answer = accept(&request, "Sec-WebSocket-Protocol: two\r\n");
        peer.write(answer.as_bytes()).await;
        (request, peer)
    };
    let (ws, (request, _peer)) = soon(async { tokio::join!(client.connect(&url), server) }).await;
    assert_eq!(ws.unwrap().subprotocol(), Some("two"));
    let request = request.to_ascii_lowercase();
    assert!(
        request.starts_with("get /%c3%a4%20b?c={d} http/1.1\r\n"),
        "{request}"
    );
    for line in [
        format!("host: {addr}"),
        "upgrade: websocket".to_owned(),
        "connection: upgrade".to_owned(),
        "sec-websocket-version: 13".to_owned(),
        "origin: https://page.example".to_owned(),
    ] {
        assert_eq!(
            request.matches(&format!("\r\n{line}\r\n")).count(),
            1,
            "{line} in {request}"
        );
    }
    assert!(
        request.contains("sec-websocket-protocol: one, two"),
        "{request}"
    );
}

/// Returns the error of connecting to a server that answers with `answer`, and closes or not.
async fn answered(client: &Client, answer: &str, closes: bool) -> ConnectError {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("bound"));
    let server = async {
        let (tcp, _) = listener.accept().await.expect("a client");
        let mut peer = Raw::new(tcp);
        peer.head().await.expect("a request");
        peer.write(answer.as_bytes()).await;
        if closes {
            peer.fin().await;
        }
        peer
    };
    let (connected, _peer) = soon(async { tokio::join!(client.connect(&url), server) }).await;
    connected.expect_err("it must not open")
}

#[tokio::test]
async fn a_refusal_is_told_whole_however_the_server_ends_it() {
    let client = Client::new();
    for (answer, closes, status, body) in [
        ("403 Forbidden\r\nContent-Length: 0\r\n\r\n", false, 403, ""),
        (
            "403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            false,
            403,
            "",
        ),
        (
            "403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            true,
            403,
            "",
        ),
        (
            "401 Unauthorized\r\nContent-Length: 5\r\n\r\nwhoa!",
            false,
            401,
            "whoa!",
        ),
        (
            "401 Unauthorized\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwhoa!",
            true,
            401,
            "whoa!",
        ),
        ("500 Oh\r\n\r\nuntil the end", true, 500, "until the end"),
        ("500 Oh\r\nContent-Length: 99\r\n\r\ncut", true, 500, "cut"),
        (
            "502 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n",
            false,
            502,
            "onetwo",
        ),
        (
            "301 Moved\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n",
            false,
            301,
            "",
        ),
        ("200 OK\r\nContent-Length: 2\r\n\r\nhi", true, 200, "hi"),
    ] {
        // Which of two ends is seen first must not decide.
        for _ in 0..10 {
            let error = answered(&client, &format!("HTTP/1.1 {answer}"), closes).await;
            assert_eq!(
                error.status().map(|status| status.as_u16()),
                Some(status),
                "{answer}: {error}"
            );
            let ConnectError::Refused(response) = error else {
                panic!("{error:?}");
            };
            assert_eq!(response.body(), body, "{answer}");
        }
    }
    let long = format!(
        "HTTP/1.1 404 No\r\nContent-Length: 9000\r\n\r\n{}",
        "x".repeat(9000)
    );
    let ConnectError::Refused(response) = answered(&client, &long, false).await else {
        panic!("refused");
    };
    assert_eq!(response.body().len(), 4096);
    // A body that does not come does not hide the status.
    let stuck = "HTTP/1.1 404 No\r\nContent-Length: 9\r\nX-Why: this\r\n\r\npart";
    let ConnectError::Refused(response) = answered(&client, stuck, false).await else {
        panic!("refused");
    };
    assert_eq!(response.headers()["x-why"], "this");
    assert_eq!(response.body(), "part");
}

#[tokio::test]
async fn an_answer_that_is_no_http_or_none_at_all_is_told_as_such() {
    let client = Client::new();
    let error = answered(&client, "SSH-2.0-sshd\r\n\r\n", false).await;
    assert!(matches!(error, ConnectError::Http(_)), "{error:?}");
    let error = answered(&client, "", true).await;
    assert!(matches!(error, ConnectError::NoResponse), "{error:?}");
    let error = answered(&client, "HTTP/1.1 101 Swit", true).await;
    assert!(matches!(error, ConnectError::NoResponse), "{error:?}");
    let too_large = format!("HTTP/1.1 101 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let error = answered(&client, &too_large, false).await;
    assert!(matches!(error, ConnectError::Http(_)), "{error:?}");
    let brief = Duration::from_millis(10);
    let client = Client::builder().handshake_timeout(brief).build();
    let error = answered(&client, "HTTP/1.1 101", false).await;
    assert!(
        matches!(error, ConnectError::HandshakeTimeout(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_connected_to_is_told_before_or_by_tcp() {
    let url = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("ws://{}/", listener.local_addr().unwrap())
    };
    let error = sockeye::connect(&url).await.unwrap_err();
    assert!(matches!(error, ConnectError::Connect(_)), "{error:?}");
    assert_eq!(error.to_string(), "cannot connect");
    let told = sockeye::error::ErrorChain::new(&error).to_string();
    assert!(told.starts_with("cannot connect: "), "{told}");
    assert_eq!(error.status(), None);

    #[cfg(not(feature = "tls"))]
    {
        let error = sockeye::connect("wss://127.0.0.1/").await.unwrap_err();
        assert!(matches!(error, ConnectError::TlsUnsupported), "{error:?}");
    }
    let error = sockeye::connect("ws://[::1").await.unwrap_err();
    assert!(matches!(error, ConnectError::Url(_)), "{error:?}");
    for (url, expected) in [
        ("chat", UriError::Scheme),
        ("127.0.0.1:8080", UriError::Scheme),
        ("localhost:8080", UriError::Scheme),
        ("http://127.0.0.1/", UriError::Scheme),
        ("ws://127.0.0.1/#", UriError::Fragment),
    ] {
        let error = sockeye::connect(url).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::WebSocketUri(found) if found == expected),
            "{error:?}"
        );
    }
    let client = Client::builder().subprotocols(["one", "one"]).build();
    let error = client.connect("ws://127.0.0.1/").await.unwrap_err();
    let repeated = OfferError::SubprotocolRepeated("one".to_owned());
    assert!(
        matches!(&error, ConnectError::Offer(found) if *found == repeated),
        "{error:?}"
    );
    let client = Client::builder()
        .header(http::header::HOST, "elsewhere".parse().unwrap())
        .build();
    let error = client.connect("ws://127.0.0.1/").await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Offer(OfferError::FieldReserved(_))),
        "{error:?}"
    );
}

/// A listener whose queue is full answers no more: elsewhere than on Linux it may refuse.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_host_that_does_not_answer_is_given_up_at_the_connect_timeout() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    let patience = Duration::from_millis(50);
    while let Ok(tcp) = tokio::time::timeout(patience, tokio::net::TcpStream::connect(addr)).await {
        queued.push(tcp.unwrap());
    }
    let client = Client::builder().connect_timeout(patience).build();
    let error = client.connect(format!("ws://{addr}")).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::ConnectTimeout(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_client_that_requires_a_subprotocol_fails_without_one() {
    let addr = serve(Server::builder().endpoint(label("/"))).await;
    let offering = Client::builder().subprotocols(["chat"]);
    let url = format!("ws://{addr}");
    let client = offering.clone().build();
    let opened = soon(client.connect(&url)).await.unwrap();
    assert_eq!(opened.subprotocol(), None);
    let client = offering.require_subprotocol(true).build();
    let error = soon(client.connect(&url)).await.unwrap_err();
    let missing = ResponseError::SubprotocolMissing;
    assert!(
        matches!(&error, ConnectError::Response(found) if *found == missing),
        "{error:?}"
    );
}
