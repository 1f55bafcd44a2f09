//! Connections to one address are opened one after the other (RFC 6455 section 4.1), as a server sees it that
//! answers when the test wants it to.

use futures_util::FutureExt;
use sockeye::Client;
use sockeye::browser::{ReadyState, WebSocket};
use sockeye::client::{ConnectError, Proxy};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{Raw, accept, soon};

/// A server that accepts what has connected by now.
struct Server(std::net::TcpListener);

impl Server {
    fn bind() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        Self(listener)
    }

    fn url(&self) -> String {
        format!("ws://{}/", self.0.local_addr().expect("bound"))
    }

    fn accept(&self) -> Option<Raw<TcpStream>> {
        let (stream, _) = self.0.accept().ok()?;
        stream.set_nonblocking(true).expect("a socket");
        Some(Raw::new(TcpStream::from_std(stream).expect("a socket")))
    }
}

/// Answers the handshake.
async fn open(peer: &mut Raw<TcpStream>) {
    let request = peer.head().await.expect("a request");
    peer.write(accept(&request, "").as_bytes()).await;
}

/// Polls a future as far as it comes by itself, which is not to its end.
macro_rules! begin {
    ($future:expr) => {{
        let mut future = Box::pin($future);
        assert!((&mut future).now_or_never().is_none());
        future
    }};
}

#[tokio::test]
async fn the_next_connection_to_an_address_begins_when_the_one_before_is_open_or_has_failed() {
    let server = Server::bind();
    let url = server.url();
    let client = Client::new();
    let first = begin!(client.connect(&url));
    let gone = server.accept().expect("the first begins");
    let clone = client.clone();
    let mut second = begin!(clone.connect(&url));
    assert!(server.accept().is_none(), "one at a time");

    // Neither another address waits, nor another client.
    let elsewhere = Server::bind();
    let other_url = elsewhere.url();
    let _other = begin!(client.connect(&other_url));
    assert!(elsewhere.accept().is_some());
    let stranger = Client::new();
    let _stranger = begin!(stranger.connect(&url));
    assert!(server.accept().is_some());

    // A dropped attempt frees its turn.
    drop((first, gone));
    assert!((&mut second).now_or_never().is_none());
    let mut peer = server.accept().expect("the second begins");
    let mut third = begin!(client.connect(&url));
    assert!(server.accept().is_none(), "one at a time");

    // So does a failed attempt.
    let refuse = async {
        peer.head().await.expect("a request");
        peer.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
            .await;
    };
    let (refused, ()) = soon(async { tokio::join!(second, refuse) }).await;
    assert!(matches!(refused, Err(ConnectError::Refused(_))));
    assert!((&mut third).now_or_never().is_none());
    let mut peer = server.accept().expect("the third begins");

    // And so does an open connection.
    let (opened, ()) = soon(async { tokio::join!(third, open(&mut peer)) }).await;
    let _opened = opened.expect("it opens");
    let _fourth = begin!(client.connect(&url));
    assert!(server.accept().is_some());
}

#[tokio::test]
async fn a_client_may_be_told_to_open_all_at_once() {
    let server = Server::bind();
    let url = server.url();
    let client = Client::builder().in_turn(false).build();
    let _first = begin!(client.connect(&url));
    let _second = begin!(client.connect(&url));
    assert!(server.accept().is_some() && server.accept().is_some());
}

#[tokio::test(start_paused = true)]
async fn who_waits_has_all_of_its_own_time_when_its_turn_comes() {
    let server = Server::bind();
    let url = server.url();
    let client = Client::new();
    let started = Instant::now();
    let (first, second) = tokio::join!(client.connect(&url), client.connect(&url));
    for failed in [first, second] {
        assert!(matches!(failed, Err(ConnectError::HandshakeTimeout(_))));
    }
    assert_eq!(started.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_polled_holds_nobody_up_beyond_its_deadlines() {
    let server = Server::bind();
    let url = server.url();
    let client = Client::new();
    let started = Instant::now();
    let _stuck = begin!(client.connect(&url));
    let second = client.connect(&url).await;
    assert!(matches!(second, Err(ConnectError::HandshakeTimeout(_))));
    assert_eq!(started.elapsed().as_secs(), 20 + 10);
}

#[tokio::test]
async fn behind_a_proxy_one_name_has_one_connection_and_another_name_does_not_wait() {
    let proxy = Server::bind();
    let url = proxy.url().replace("ws:", "http:");
    let client = Client::builder()
        .proxy(url.parse::<Proxy>().expect("a proxy"))
        .build();
    let _first = begin!(client.connect("ws://one.invalid/"));
    assert!(proxy.accept().is_some());
    let _second = begin!(client.connect("ws://one.invalid/"));
    assert!(proxy.accept().is_none(), "one at a time");
    let _port = begin!(client.connect("ws://one.invalid:81/"));
    assert!(proxy.accept().is_some());
    let _other = begin!(client.connect("ws://two.invalid/"));
    assert!(proxy.accept().is_some());
}

#[tokio::test]
async fn browsers_objects_take_turns_all_over_the_process() {
    let server = Server::bind();
    let url = server.url();
    let first = WebSocket::new(&url).expect("a URL");
    let mut events = first.events().expect("taken once");
    let mut opening = begin!(events.next());
    let mut peer = server.accept().expect("the first begins");
    let second = WebSocket::new(&url).expect("a URL");
    let mut others = second.events().expect("taken once");
    let mut waiting = begin!(others.next());
    assert!(server.accept().is_none(), "one at a time");
    soon(async { tokio::join!(&mut opening, open(&mut peer)) }).await;
    assert!((&mut waiting).now_or_never().is_none());
    assert!(server.accept().is_some());
    drop((opening, waiting));
    assert_eq!(second.ready_state(), ReadyState::Connecting);
}
