//! Endpoints at the client's end, over TCP.

use std::net::SocketAddr;

use crate::support::{Log, log, serve, soon};
use http::{HeaderName, HeaderValue};
use sockeye::client::ConnectError;
use sockeye::endpoint::{Incoming, IncomingKind, Pong, Reply, TextReader};
use sockeye::proto::{Config, DeflateConfig, Role};
use sockeye::{
    Client, CloseCode, CloseReason, Endpoint, Error, HandlerResult, Server, Session,
    client_endpoint, endpoint, server_endpoint,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

/// The server's endpoint: it echoes texts, closes at the text `close me`, and logs the close code.
struct Echo(Log);

#[server_endpoint("/echo/{name}", subprotocols = ["echo"])]
impl Echo {
    #[on_message]
    async fn text(&mut self, text: String, session: &Session) -> HandlerResult<Option<String>> {
        if text == "close me" {
            session.close(CloseCode::try_from(4000)?, "as you wish")?;
            return Ok(None);
        }
        Ok(Some(text))
    }

    #[on_close]
    async fn close(&mut self, reason: CloseReason) {
        self.0.push(format!("server: {}", reason.code()));
    }
}

async fn echo() -> (SocketAddr, crate::support::Events) {
    let (log, events) = log();
    let builder = Server::builder()
        .compression(DeflateConfig::default())
        .endpoint(Echo::endpoint(move |_| Echo(log.clone())));
    (serve(builder).await, events)
}

/// At the client: says what happens to it.
struct Told(Log);

impl Endpoint for Told {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        self.0
            .push(format!("open {}", session.open_sessions().len()));
        session.basic_remote().send_text("hello").await?;
        session.basic_remote().send_ping(b"!").await?;
        Ok(())
    }

    async fn on_message<'m>(
        &mut self,
        _: &Session,
        incoming: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        match incoming {
            Incoming::Text(text) if &*text == "panic" => panic!("of the client's handler"),
            Incoming::Text(text) if &*text == "fail" => Err("as it was told".into()),
            Incoming::Text(text) => {
                self.0.push(format!("text {}", &*text));
                Ok(Reply::None)
            }
            Incoming::Pong(pong) => {
                self.0.push(format!("pong {}", pong_text(&pong)));
                Ok(Reply::None)
            }
            _ => Ok(Reply::None),
        }
    }

    async fn on_error(&mut self, _: &Session, error: &Error) {
        self.0
            .push(format!("error {}", sockeye::error::ErrorChain::new(error)));
    }

    async fn on_close(&mut self, session: &Session, reason: CloseReason) -> HandlerResult {
        let left = session.open_sessions().len();
        self.0.push(format!("close {} {left}", reason.code()));
        Ok(())
    }
}

fn pong_text(pong: &Pong) -> String {
    String::from_utf8_lossy(pong.payload()).into_owned()
}

#[tokio::test]
async fn a_clients_endpoint_lives_as_a_servers_does() {
    let (addr, mut server) = echo().await;
    let (log, mut events) = log();
    let client = Client::new();
    let url = format!("ws://{addr}/echo/me");
    let session = client.connect_endpoint(url, Told(log)).await.unwrap();
    assert_eq!(events.next().await, "open 1");
    assert_eq!(events.next().await, "text hello");
    assert_eq!(events.next().await, "pong !");
    session.basic_remote().send_text("fail").await.unwrap();
    assert_eq!(
        events.next().await,
        "error a handler failed: as it was told"
    );
    session
        .async_remote()
        .send_text("on it goes")
        .unwrap()
        .await
        .unwrap();
    assert_eq!(events.next().await, "text on it goes");
    session.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(events.next().await, "close 1000 0");
    assert_eq!(server.next().await, "server: 1000");
    assert_eq!(soon(session.closed()).await.code(), CloseCode::NORMAL);
}

#[tokio::test]
async fn a_clients_session_tells_what_was_asked_and_agreed_on() {
    let (addr, _server) = echo().await;
    let (log, _events) = log();
    let client = Client::builder()
        .subprotocols(["chat", "echo"])
        .compression(DeflateConfig::default())
        .header(
            HeaderName::from_static("x-token"),
            HeaderValue::from_static("t"),
        )
        .build();
    let url = format!("ws://{addr}/echo/me?q=1");
    let session = client.connect_endpoint(url, Told(log)).await.unwrap();
    session.close(CloseCode::NORMAL, "").unwrap();
    soon(session.closed()).await;
    let request = session.request();
    assert_eq!(
        (request.uri().path(), request.query()),
        ("/echo/me", Some("q=1"))
    );
    assert_eq!(request.headers()["x-token"], "t");
    assert!(!request.is_secure());
    assert_eq!(session.subprotocol(), Some("echo"));
    assert_eq!(session.extensions()[0].name(), "permessage-deflate");
    assert_eq!(session.path_parameter("name"), None);
}

#[tokio::test]
async fn a_servers_close_comes_to_the_clients_on_close_with_its_code() {
    let (addr, mut server) = echo().await;
    let (log, mut events) = log();
    let url = format!("ws://{addr}/echo/me");
    let connected = Client::new().connect_endpoint(url, Told(log)).await;
    let session = connected.unwrap();
    session.basic_remote().send_text("close me").await.unwrap();
    while events.next().await != "close 4000 0" {}
    assert_eq!(server.next().await, "server: 4000");
    assert_eq!(soon(session.closed()).await.reason(), "as you wish");
}

#[tokio::test]
async fn a_panic_in_a_clients_handler_closes_1011() {
    let (addr, mut server) = echo().await;
    let (log, mut events) = log();
    let url = format!("ws://{addr}/echo/me");
    let connected = Client::new().connect_endpoint(url, Told(log)).await;
    connected
        .unwrap()
        .basic_remote()
        .send_text("panic")
        .await
        .unwrap();
    while events.next().await != "close 1011 0" {}
    assert_eq!(server.next().await, "server: 1011");
}

#[tokio::test]
async fn an_annotated_endpoint_serves_at_the_clients_end() {
    let (addr, _server) = echo().await;
    let (log, mut events) = log();
    let url = format!("ws://{addr}/echo/me");
    let client = Client::new();
    let session = client.connect_endpoint(url, Echo(log)).await.unwrap();
    // Both ends echo. So the text goes to and fro, until one end gets `close me`.
    session.basic_remote().send_text("ball").await.unwrap();
    session.basic_remote().send_text("close me").await.unwrap();
    assert_eq!(events.next().await, "server: 4000");
}

/// An annotated endpoint for clients.
struct Annotated(Log);

#[client_endpoint]
impl Annotated {
    #[on_open]
    async fn open(&self, session: &Session) -> HandlerResult {
        self.0.push("open");
        session.basic_remote().send_text("hello").await?;
        session.basic_remote().send_ping(b"!").await?;
        Ok(())
    }

    #[on_message(max = 10)]
    fn text(&self, text: &str) -> HandlerResult {
        self.0.push(format!("text {text}"));
        if text == "fail" {
            return Err("as it was told".into());
        }
        Ok(())
    }

    #[on_message]
    async fn pong(&self, pong: Pong) {
        self.0.push(format!("pong {}", pong_text(&pong)));
    }

    #[on_error]
    fn error(&self, error: &Error) {
        self.0
            .push(format!("error {}", sockeye::error::ErrorChain::new(error)));
    }

    #[on_close]
    fn close(&self, reason: &CloseReason) {
        self.0.push(format!("close {}", reason.code()));
    }
}

#[tokio::test]
async fn an_endpoint_that_is_annotated_for_a_client_is_called_for_what_happens_to_it() {
    let (addr, mut server) = echo().await;
    let (log, mut events) = log();
    let url = format!("ws://{addr}/echo/me");
    let client = Client::new();
    let session = client.connect_endpoint(url, Annotated(log)).await.unwrap();
    for event in ["open", "text hello", "pong !"] {
        assert_eq!(events.next().await, event);
    }
    session.basic_remote().send_text("fail").await.unwrap();
    assert_eq!(events.next().await, "text fail");
    assert_eq!(
        events.next().await,
        "error a handler failed: as it was told"
    );
    // The endpoint has no method for binary messages.
    let binary = session.async_remote().send_binary("?").unwrap();
    binary.await.unwrap();
    assert_eq!(server.next().await, "server: 1003");
    assert_eq!(events.next().await, "close 1003");
}

#[tokio::test]
async fn a_limit_of_a_clients_endpoint_goes_before_the_clients_be_it_more_or_less() {
    /// Takes longer messages than the client of its own.
    struct Long(Log);

    impl Endpoint for Long {
        const MAX_MESSAGES: &'static [(IncomingKind, u64)] = &[(IncomingKind::Text, 300)];

        async fn on_message<'m>(
            &mut self,
            _: &Session,
            text: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            if let Incoming::Text(text) = text {
                self.0.push(format!("{} bytes", text.len()));
            }
            Ok(Reply::None)
        }

        async fn on_close(&mut self, _: &Session, reason: CloseReason) -> HandlerResult {
            self.0.push(format!("close {}", reason.code()));
            Ok(())
        }
    }

    let (addr, mut server) = echo().await;
    let url = format!("ws://{addr}/echo/me");
    for max_message in [100, 1 << 20] {
        let client = Client::builder()
            .config(Config::new(Role::Client).max_message(max_message))
            .build();
        let (log, mut events) = log();
        let endpoint = Annotated(log);
        let session = client.connect_endpoint(&*url, endpoint).await.unwrap();
        for event in ["open", "text hello", "pong !"] {
            assert_eq!(events.next().await, event);
        }
        let remote = session.basic_remote();
        remote.send_text("0123456789").await.unwrap();
        assert_eq!(events.next().await, "text 0123456789");
        remote.send_text("0123456789a").await.unwrap();
        assert!(events.next().await.starts_with("error "));
        assert_eq!(events.next().await, "close 1009");
        assert_eq!(server.next().await, "server: 1009");

        let (log, mut events) = crate::support::log();
        let connection = client.connect(&*url).await.unwrap();
        let session = connection.serve(Long(log));
        let remote = session.basic_remote();
        remote.send_text("x".repeat(300)).await.unwrap();
        assert_eq!(events.next().await, "300 bytes");
        remote.send_text("x".repeat(301)).await.unwrap();
        assert_eq!(events.next().await, "close 1009");
        assert_eq!(server.next().await, "server: 1009");
    }
}

#[tokio::test]
async fn a_clients_endpoint_reads_a_message_as_it_comes() {
    struct Story;

    #[server_endpoint("/story")]
    impl Story {
        #[on_open]
        async fn open(&self, session: &Session) -> HandlerResult {
            let mut message = session.basic_remote().text_writer();
            for number in 0..10_000 {
                message
                    .write_all(format!("line {number}\n").as_bytes())
                    .await?;
            }
            message.shutdown().await?;
            session.close(CloseCode::NORMAL, "")?;
            Ok(())
        }
    }

    struct Reads(Log);

    #[client_endpoint]
    impl Reads {
        #[on_message]
        async fn story(&self, body: TextReader) -> HandlerResult {
            let (mut lines, mut count) = (body.lines(), 0);
            while let Some(line) = lines.next_line().await? {
                assert_eq!(line, format!("line {count}"));
                count += 1;
            }
            self.0.push(format!("{count} lines"));
            Ok(())
        }

        #[on_close]
        fn close(&self, reason: &CloseReason) {
            self.0.push(format!("close {}", reason.code()));
        }
    }

    let builder = Server::builder().compression(DeflateConfig::default());
    let addr = serve(builder.endpoint(Story::endpoint(|_| Story))).await;
    for deflate in [false, true] {
        let (log, mut events) = log();
        let mut client = Client::builder();
        if deflate {
            client = client.compression(DeflateConfig::default());
        }
        let url = format!("ws://{addr}/story");
        let client = client.build();
        client.connect_endpoint(url, Reads(log)).await.unwrap();
        assert_eq!(events.next().await, "10000 lines");
        assert_eq!(events.next().await, "close 1000");
    }
}

#[tokio::test]
async fn a_client_that_is_refused_has_no_session() {
    let addr = serve(Server::builder().endpoint(endpoint("/there", |_| Told(log().0)))).await;
    let (log, mut events) = log();
    let url = format!("ws://{addr}/not-there");
    let connected = Client::new().connect_endpoint(url, Told(log)).await;
    let Err(ConnectError::Refused(response)) = connected else {
        panic!("{connected:?}");
    };
    assert_eq!(response.status(), 404);
    // The endpoint was dropped, and nothing was called.
    assert!(events.is_empty());
}
