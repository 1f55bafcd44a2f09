//! What `on_opening` tells of each part of opening a connection, and that secrets are marked wherever fields are shown.
#![allow(
    clippy::large_futures,
    clippy::unwrap_used,
    reason = "both ends in one future, on the loopback"
)]

use std::sync::{Arc, Mutex};

use http::{HeaderValue, Request, header};
use sockeye::client::{ConnectError, OpeningEvent, Proxy, ProxyError, Target};
use sockeye::endpoint::{Handshake, Incoming, Reply};
use sockeye::{Client, Endpoint, HandlerResult, Server, Session, blocking, endpoint};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::support::{Raw, serve, soon};

/// A line for each event.
type Told = Arc<Mutex<Vec<String>>>;

fn note(told: &Told) -> impl Fn(OpeningEvent<'_>) + Send + Sync + 'static {
    let told = Arc::clone(told);
    move |event| {
        let line = match event {
            OpeningEvent::Request(request) => {
                format!("> {} {}", request.method(), request.uri())
            }
            OpeningEvent::Response(response) => format!("< {}", response.status().as_u16()),
            OpeningEvent::Unreadable(bytes) => {
                format!("< {:?}", String::from_utf8_lossy(bytes))
            }
            _ => unreachable!(),
        };
        told.lock().unwrap().push(line);
    }
}

fn taken(told: &Told) -> Vec<String> {
    std::mem::take(&mut told.lock().unwrap())
}

/// A server of two connections that gives each this answer, and ends it.
async fn answering(answer: &'static [u8]) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        for _ in 0..2 {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut peer = Raw::new(tcp);
            peer.head().await.unwrap();
            peer.write(answer).await;
        }
    });
    (url, serving)
}

/// Returns the error of both clients, and their events, which are the same.
async fn failed(answer: &'static [u8]) -> (ConnectError, Vec<String>) {
    let (url, serving) = answering(answer).await;
    let told = Told::default();
    let client = Client::builder().on_opening(note(&told)).build();
    let error = soon(client.connect(&url)).await.unwrap_err();
    let lines = taken(&told);
    let client = blocking::Client::builder().on_opening(note(&told)).build();
    let connecting = spawn_blocking(move || client.connect(&url).unwrap_err());
    soon(connecting).await.unwrap();
    assert_eq!(taken(&told), lines);
    soon(serving).await.unwrap();
    (error, lines)
}

#[tokio::test]
async fn each_side_of_a_handshake_that_fails_is_told_as_far_as_it_came() {
    for (answer, line) in [
        (
            &b"HTTP/1.1 101 Switching Protocols\r\n\r\n"[..],
            Some("< 101"),
        ),
        (
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            Some("< 403"),
        ),
        (b"HTTP/1.1 101 Sw", Some("< \"HTTP/1.1 101 Sw\"")),
        (b"SSH-2.0-x\r\n", Some("< \"SSH-2.0-x\\r\\n\"")),
        (b"", None),
    ] {
        let (_, lines) = failed(answer).await;
        let expected: Vec<_> = ["> GET /"].into_iter().chain(line).collect();
        assert_eq!(lines, expected);
    }
}

#[tokio::test]
async fn a_server_that_answers_with_tls_is_told_as_such_and_final() {
    // A fatal alert: unexpected_message.
    let (error, _) = failed(b"\x15\x03\x01\x00\x02\x02\x0a").await;
    assert!(matches!(error, ConnectError::TlsExpected), "{error:?}");
    assert!(!error.is_transient());
    let (url, serving) = answering(b"\x15\x03\x03\x00\x02\x02\x0a").await;
    let proxy: Proxy = url.replace("ws://", "http://").parse().unwrap();
    let client = Client::builder().proxy(proxy.clone()).build();
    let error = soon(client.connect("ws://host.invalid/"))
        .await
        .unwrap_err();
    let is_told = |error: &ConnectError| {
        matches!(error, ConnectError::Proxy(ProxyError::TlsExpected)) && !error.is_transient()
    };
    assert!(is_told(&error), "{error:?}");
    let client = blocking::Client::builder().proxy(proxy).build();
    let connecting = spawn_blocking(move || client.connect("ws://host.invalid/").unwrap_err());
    let error = soon(connecting).await.unwrap();
    assert!(is_told(&error), "{error:?}");
    soon(serving).await.unwrap();
}

struct Quiet;

impl Endpoint for Quiet {
    async fn on_message<'m>(&mut self, _: &Session, _: Incoming<'m>) -> HandlerResult<Reply<'m>> {
        Ok(Reply::None)
    }
}

#[tokio::test]
async fn proxies_and_redirects_are_told_in_their_order() {
    let addr = serve(Server::builder().endpoint(endpoint("/", |_: &Handshake| Quiet))).await;
    let (proxy, _asked) = crate::support::proxy::http_proxy(addr).await;
    let told = Told::default();
    let client = Client::builder()
        .proxy(format!("http://{proxy}").parse().unwrap())
        .on_opening(note(&told))
        .build();
    soon(client.connect(format!("ws://{addr}/"))).await.unwrap();
    let connect = format!("> CONNECT {addr}");
    let lines = [&connect, "< 200", "> GET /", "< 101"];
    assert_eq!(taken(&told), lines);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let from = format!("ws://{}/from", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut peer = Raw::new(tcp);
        peer.head().await.unwrap();
        let answer = format!("HTTP/1.1 307 There\r\nLocation: ws://{addr}/\r\n\r\n");
        peer.write(answer.as_bytes()).await;
    });
    let client = Client::builder()
        .redirects(1)
        .on_opening(note(&told))
        .build();
    soon(client.connect(&from)).await.unwrap();
    assert_eq!(taken(&told), ["> GET /from", "< 307", "> GET /", "< 101"]);
}

#[tokio::test]
async fn no_debug_output_shows_a_secret() {
    let secret = || HeaderValue::from_static("s3cret");
    let client = Client::builder()
        .header(header::COOKIE, secret())
        .header(header::HeaderName::from_static("x-api-key"), secret())
        .proxy("http://user:s3cret@proxy".parse().unwrap())
        .build();
    let request = Request::get("ws://me:s3cret@host/").header("authorization", "s3cret");
    let target = Target::try_from(request.body(()).unwrap()).unwrap();
    let blocking = blocking::Client::builder()
        .header(header::COOKIE, secret())
        .build();
    let shown = format!("{client:?} {target:?} {blocking:?}");
    assert!(!shown.contains("s3cret"), "{shown}");

    // Fields that the server sends, in an error and in an open connection.
    let (error, _) =
        failed(b"HTTP/1.1 403 No\r\nSet-Cookie: s3cret\r\nContent-Length: 0\r\n\r\n").await;
    let shown = format!("{error:?}");
    assert!(
        shown.contains("set-cookie") && !shown.contains("s3cret"),
        "{shown}"
    );

    // And what it is sent.
    let shown = Arc::new(Mutex::new(String::new()));
    let server = {
        let shown = Arc::clone(&shown);
        Server::builder().endpoint(endpoint("/", move |handshake: &Handshake| {
            *shown.lock().unwrap() = format!("{handshake:?}");
            Quiet
        }))
    };
    let addr = serve(server).await;
    let client = Client::builder().header(header::COOKIE, secret()).build();
    let ws = soon(client.connect(format!("ws://{addr}/"))).await.unwrap();
    let opening = format!("{:?}", ws.opening().unwrap());
    assert!(
        opening.contains("cookie") && !opening.contains("s3cret"),
        "{opening}"
    );
    let shown = shown.lock().unwrap();
    assert!(
        shown.contains("cookie") && !shown.contains("s3cret"),
        "{shown}"
    );
}
