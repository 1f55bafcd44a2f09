//! Endpoints made by `#[server_endpoint]`, from the socket to the method.
#![cfg(feature = "macros")]

use std::num::ParseIntError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{BINARY, Log, PONG, Raw, TEXT, log, serve, soon};
use bytes::Bytes;
use sockeye::endpoint::{Pong, Reply};
use sockeye::error::BoxError;
use sockeye::proto::Text;
use sockeye::{
    Client, CloseCode, CloseReason, Error, HandlerResult, Message, Server, Session, server_endpoint,
};

#[derive(Default)]
struct Borrowing;

#[server_endpoint("/borrowing")]
impl Borrowing {
    #[on_message]
    fn text<'m>(&mut self, text: &'m str) -> &'m str {
        text
    }

    #[on_message]
    fn binary<'m>(&mut self, bytes: &'m [u8]) -> &'m [u8] {
        bytes
    }

    #[on_message]
    fn pong(&mut self, pong: Pong) -> String {
        format!("pong {:?}", &pong.into_bytes()[..])
    }
}

#[derive(Default)]
struct BorrowingAcrossAwait;

#[server_endpoint("/borrowing-across-await")]
impl BorrowingAcrossAwait {
    #[on_message]
    async fn text<'m>(&mut self, text: &'m str) -> Option<&'m str> {
        tokio::task::yield_now().await;
        Some(text)
    }

    #[on_message]
    async fn binary<'m>(&mut self, bytes: &'m [u8]) -> HandlerResult<&'m [u8]> {
        tokio::task::yield_now().await;
        Ok(bytes)
    }

    #[on_message]
    async fn pong(&mut self, pong: Pong) -> Bytes {
        tokio::task::yield_now().await;
        pong.into_bytes()
    }
}

#[derive(Default)]
struct Owning;

#[server_endpoint("/owning")]
impl Owning {
    #[on_message]
    fn text(&self, text: String) -> String {
        text
    }

    #[on_message]
    async fn binary(&self, bytes: Vec<u8>) -> Vec<u8> {
        tokio::task::yield_now().await;
        bytes
    }
}

#[derive(Default)]
struct Sharing;

#[server_endpoint("/sharing")]
impl Sharing {
    #[on_message]
    async fn text(&self, text: Text) -> Text {
        tokio::task::yield_now().await;
        text
    }

    #[on_message]
    fn binary(&self, bytes: Bytes) -> Bytes {
        bytes
    }
}

#[tokio::test]
async fn every_kind_of_argument_comes_whole_and_goes_back() {
    let addr = serve(
        Server::builder()
            .default_endpoint::<Borrowing>()
            .default_endpoint::<BorrowingAcrossAwait>()
            .default_endpoint::<Owning>()
            .default_endpoint::<Sharing>(),
    )
    .await;
    for path in ["borrowing", "borrowing-across-await", "owning", "sharing"] {
        let mut ws = sockeye::connect(format!("ws://{addr}/{path}"))
            .await
            .unwrap();
        // Empty, small, at the borders of the length's forms, and large enough to be taken and not copied.
        for len in [0, 1, 125, 126, 65_535, 65_536, 200_000] {
            let text = "ü".repeat(len / 2) + &"x".repeat(len % 2);
            soon(ws.send(text.as_str())).await.unwrap();
            let echo = soon(ws.recv()).await.unwrap();
            assert_eq!(echo, Some(Message::text(text)), "{path}, {len} bytes");
            let bytes: Vec<u8> = (0..len).map(|index| index as u8).collect();
            soon(ws.send(Message::binary(bytes.clone()))).await.unwrap();
            let echo = soon(ws.recv()).await.unwrap();
            assert_eq!(echo, Some(Message::binary(bytes)), "{path}, {len} bytes");
        }
        soon(ws.close(CloseCode::NORMAL, "")).await.unwrap();
    }
}

#[tokio::test]
async fn a_pong_comes_to_its_method_and_its_reply_is_sent() {
    let addr = serve(
        Server::builder()
            .default_endpoint::<Borrowing>()
            .default_endpoint::<BorrowingAcrossAwait>(),
    )
    .await;
    let mut peer = Raw::open(addr, "/borrowing").await;
    peer.send(PONG, &[1, 2]).await;
    assert_eq!(peer.recv_text().await, "pong [1, 2]");
    let mut peer = Raw::open(addr, "/borrowing-across-await").await;
    peer.send(PONG, &[1, 2]).await;
    assert_eq!(peer.recv_binary().await, [1, 2]);
}

/// Each method answers with another type; what it says is in the message.
#[derive(Default)]
struct Returning;

#[server_endpoint("/returning")]
impl Returning {
    #[on_message]
    fn text(&mut self, text: &str) -> Result<Option<Message>, ParseIntError> {
        let number: u8 = text.parse()?;
        Ok(match number {
            0 => None,
            1 => Some(Message::text("one")),
            number => Some(Message::binary(vec![number])),
        })
    }

    #[on_message]
    fn binary<'m>(&mut self, bytes: &'m [u8]) -> Reply<'m> {
        match bytes {
            [] => Reply::None,
            [b't', text @ ..] => Reply::Text(std::str::from_utf8(text).expect("UTF-8")),
            [b'm', rest @ ..] => Reply::Message(rest.into()),
            bytes => Reply::Binary(bytes),
        }
    }

    #[on_message]
    fn pong(&mut self, _: Pong) {}
}

#[tokio::test]
async fn what_a_method_returns_is_sent_back_and_nothing_is_for_nothing() {
    let addr = serve(Server::builder().default_endpoint::<Returning>()).await;
    let mut peer = Raw::open(addr, "/returning").await;
    // The handler of this Pong returns nothing. If it sent a reply, the next answer would be another one.
    peer.send(PONG, b"").await;
    peer.send(TEXT, b"0").await;
    peer.send(TEXT, b"none").await;
    peer.send(BINARY, b"").await;
    peer.send(TEXT, b"1").await;
    assert_eq!(peer.recv_text().await, "one");
    peer.send(TEXT, b"7").await;
    assert_eq!(peer.recv_binary().await, [7]);
    peer.send(BINARY, b"text").await;
    assert_eq!(peer.recv_text().await, "ext");
    peer.send(BINARY, b"message").await;
    assert_eq!(peer.recv_binary().await, b"essage");
    peer.send(BINARY, b"bytes").await;
    assert_eq!(peer.recv_binary().await, b"bytes");
    peer.close().await;
}

#[derive(Default)]
struct Tally {
    calls: AtomicUsize,
}

#[server_endpoint("/tally")]
impl Tally {
    #[on_message]
    fn count(&self, _text: &str) -> String {
        (self.calls.fetch_add(1, Ordering::Relaxed) + 1).to_string()
    }
}

#[tokio::test]
async fn methods_on_a_shared_self_serve_all_connections_by_one_object() {
    let tally = Arc::new(Tally::default());
    let shared = Arc::clone(&tally);
    let addr =
        serve(Server::builder().endpoint(Tally::endpoint(move |_| Arc::clone(&shared)))).await;
    let mut one = Raw::open(addr, "/tally").await;
    let mut other = Raw::open(addr, "/tally").await;
    for (peer, count) in [(&mut one, "1"), (&mut other, "2")] {
        peer.send(TEXT, b"").await;
        assert_eq!(peer.recv_text().await, count);
    }
    assert_eq!(tally.calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_default_endpoint_has_an_object_for_each_connection() {
    let addr = serve(Server::builder().default_endpoint::<Tally>()).await;
    for _ in 0..2 {
        let mut peer = Raw::open(addr, "/tally").await;
        peer.send(TEXT, b"").await;
        assert_eq!(peer.recv_text().await, "1");
        peer.send(TEXT, b"").await;
        assert_eq!(peer.recv_text().await, "2");
    }
}

struct Seat {
    log: Log,
}

#[server_endpoint("/rooms/{room}/seats/{seat}")]
impl Seat {
    #[on_open]
    async fn open(
        &mut self,
        #[path] seat: i64,
        session: &Session,
        #[path] room: &str,
    ) -> HandlerResult {
        self.log.push(format!("open {room:?} {seat}"));
        session.basic_remote().send_text("open").await?;
        Ok(())
    }

    #[on_message]
    fn text(&mut self, #[path("room")] hall: String, text: &str, #[path] seat: i64) -> String {
        hall + &format!(" {seat} {text}")
    }

    #[on_message]
    fn binary(&mut self, #[path("room")] number: u32, bytes: &[u8]) -> String {
        format!("{number} {bytes:?}")
    }

    #[on_close]
    fn close(&mut self, reason: &CloseReason, #[path] room: &str, #[path] seat: i64) {
        self.log.push(format!("close {room:?} {seat} {reason}"));
    }

    #[on_error]
    fn error(&mut self, #[path] room: &str, error: &Error, session: &Session) {
        self.log.push(format!(
            "error {room:?} {}",
            sockeye::error::ErrorChain::new(error)
        ));
        let _ = session.async_remote().send_text("error");
    }
}

#[tokio::test]
async fn path_parameters_come_decoded_and_parsed_to_every_callback() {
    let (log, mut events) = log();
    let endpoint = Seat::endpoint(move |_| Seat { log: log.clone() });
    let addr = serve(Server::builder().endpoint(endpoint)).await;
    let mut peer = Raw::open(addr, "/rooms/caf%C3%A9%2Fbar%20%25/seats/-7").await;
    assert_eq!(peer.recv_text().await, "open");
    assert_eq!(events.next().await, r#"open "café/bar %" -7"#);
    peer.send(TEXT, b"hi").await;
    assert_eq!(peer.recv_text().await, "café/bar % -7 hi");
    // One that does not parse: the error goes to on_error, and the session is still usable.
    peer.send(BINARY, b"").await;
    assert_eq!(peer.recv_text().await, "error");
    let error = events.next().await;
    let expected = r#"error "café/bar %" the path parameter `room` has the value "café/bar %", which is not valid: "#;
    assert!(error.starts_with(expected), "{error}");
    peer.send_close(1000, "bye").await;
    assert_eq!(peer.recv_close().await, (1000, "bye".to_owned()));
    assert_eq!(events.next().await, r#"close "café/bar %" -7 1000 bye"#);

    let mut peer = Raw::open(addr, "/rooms/12/seats/0").await;
    assert_eq!(peer.recv_text().await, "open");
    peer.send(BINARY, &[1]).await;
    assert_eq!(peer.recv_text().await, "12 [1]");
}

#[tokio::test]
async fn a_parameter_of_on_open_that_does_not_parse_is_an_error_and_closes() {
    let (log, mut events) = log();
    let endpoint = Seat::endpoint(move |_| Seat { log: log.clone() });
    let addr = serve(Server::builder().endpoint(endpoint)).await;
    let mut peer = Raw::open(addr, "/rooms/r/seats/first").await;
    let error = events.next().await;
    assert!(
        error.contains("`seat`") && error.contains("\"first\""),
        "{error}"
    );
    assert_eq!(peer.recv_text().await, "error");
    // The peer is told which parameter, and nothing of the program's types.
    let why = "the path parameter `seat` has the value \"first\", which is not valid";
    assert_eq!(peer.recv_close().await, (1011, why.to_owned()));
}

/// Tells everything that happens to it, in order.
struct Diary {
    log: Log,
    said: usize,
}

#[server_endpoint("/diary")]
impl Diary {
    #[on_open]
    fn open(&mut self, session: &Session) -> Result<(), BoxError> {
        self.log.push(format!("open {}", session.is_open()));
        session.async_remote().send_text("welcome")?;
        Ok(())
    }

    #[on_message]
    async fn text(&mut self, text: &str, session: &Session) -> Result<String, BoxError> {
        self.log.push(text);
        match text {
            "fail" => return Err("no such luck".into()),
            "panic" => panic!("a test panics"),
            "panic later" => {
                tokio::task::yield_now().await;
                panic!("a test panics");
            }
            "send and fail" => {
                session.basic_remote().send_text("sent before").await?;
                return Err("after sending".into());
            }
            _ => {}
        }
        self.said += 1;
        Ok(self.said.to_string())
    }

    #[on_close]
    async fn close(&mut self, session: &Session, reason: CloseReason) -> HandlerResult {
        self.log
            .push(format!("close {reason} {}", session.is_open()));
        session.basic_remote().send_text("too late").await?;
        Ok(())
    }

    #[on_error]
    async fn error(&mut self, error: &Error) {
        self.log
            .push(format!("error {}", sockeye::error::ErrorChain::new(error)));
    }
}

async fn diary() -> (std::net::SocketAddr, crate::support::Events) {
    let (log, events) = log();
    let endpoint = Diary::endpoint(move |_| Diary {
        log: log.clone(),
        said: 0,
    });
    (serve(Server::builder().endpoint(endpoint)).await, events)
}

#[tokio::test]
async fn callbacks_come_in_the_order_open_message_close_error() {
    let (addr, mut events) = diary().await;
    let mut peer = Raw::open(addr, "/diary").await;
    assert_eq!(peer.recv_text().await, "welcome");
    peer.send(TEXT, b"one").await;
    assert_eq!(peer.recv_text().await, "1");
    peer.close().await;
    assert_eq!(events.next().await, "open true");
    assert_eq!(events.next().await, "one");
    assert_eq!(events.next().await, "close 1000 false");
    assert_eq!(
        events.next().await,
        "error a handler failed: the connection is closing or closed"
    );
}

#[tokio::test]
async fn an_error_of_a_handler_goes_to_on_error_and_the_connection_stays() {
    let (addr, mut events) = diary().await;
    let mut peer = Raw::open(addr, "/diary").await;
    assert_eq!(peer.recv_text().await, "welcome");
    for (said, failed) in [
        ("fail", "error a handler failed: no such luck"),
        ("send and fail", "error a handler failed: after sending"),
    ] {
        peer.send(TEXT, said.as_bytes()).await;
        while events.next().await != said {}
        assert_eq!(events.next().await, failed);
    }
    assert_eq!(peer.recv_text().await, "sent before");
    peer.send(TEXT, b"still here").await;
    assert_eq!(peer.recv_text().await, "1");
}

#[tokio::test]
async fn a_panic_in_a_callback_closes_1011_and_other_sessions_go_on() {
    let (addr, mut events) = diary().await;
    let mut other = Raw::open(addr, "/diary").await;
    assert_eq!(other.recv_text().await, "welcome");
    for (how, count) in [("panic", "1"), ("panic later", "2")] {
        let mut peer = Raw::open(addr, "/diary").await;
        assert_eq!(peer.recv_text().await, "welcome");
        peer.send(TEXT, how.as_bytes()).await;
        let why = "a callback of the endpoint failed".to_owned();
        assert_eq!(peer.recv_close().await, (1011, why));
        while !events.next().await.starts_with("close 1011") {}
        other.send(TEXT, b"fine").await;
        assert_eq!(other.recv_text().await, count);
    }
}

#[derive(Default)]
struct Refusing;

#[server_endpoint("/refusing")]
impl Refusing {
    #[on_open]
    async fn open(&mut self, session: &Session) -> HandlerResult {
        session.basic_remote().send_text("not you").await?;
        Err("no".into())
    }

    #[on_message]
    fn text<'m>(&mut self, text: &'m str) -> &'m str {
        text
    }
}

#[derive(Default)]
struct Exploding;

#[server_endpoint("/exploding")]
impl Exploding {
    #[on_open]
    fn open(&mut self) {
        panic!("a test panics");
    }
}

#[tokio::test]
async fn an_on_open_that_fails_closes_1011_and_no_message_comes() {
    let addr = serve(
        Server::builder()
            .default_endpoint::<Refusing>()
            .default_endpoint::<Exploding>()
            .endpoint(Returning::endpoint(|_| -> Returning {
                panic!("a factory panics")
            })),
    )
    .await;
    let mut peer = Raw::connect(addr).await;
    let mut bytes = crate::support::request(addr, "/refusing", "").into_bytes();
    bytes.extend(crate::support::masked(TEXT, b"never answered"));
    peer.write(&bytes).await;
    assert_eq!(peer.answer().await.status, 101);
    assert_eq!(peer.recv_text().await, "not you");
    let why = "the endpoint failed to open the session".to_owned();
    assert_eq!(peer.recv_close().await, (1011, why));

    for (path, why) in [
        ("/exploding", "a callback of the endpoint failed"),
        ("/returning", "the endpoint's factory failed"),
    ] {
        let mut peer = Raw::open(addr, path).await;
        assert_eq!(peer.recv_close().await, (1011, why.to_owned()), "{path}");
    }
}

#[derive(Default)]
struct TextOnly;

#[server_endpoint("/text-only")]
impl TextOnly {
    #[on_message]
    fn text<'m>(&self, text: &'m str) -> &'m str {
        text
    }
}

#[derive(Default)]
struct BinaryOnly;

#[server_endpoint("/binary-only")]
impl BinaryOnly {
    #[on_message]
    fn binary<'m>(&self, bytes: &'m [u8]) -> &'m [u8] {
        bytes
    }
}

#[tokio::test]
async fn a_kind_of_message_without_a_method_closes_1003_but_a_pong_needs_none() {
    let addr = serve(
        Server::builder()
            .default_endpoint::<TextOnly>()
            .default_endpoint::<BinaryOnly>(),
    )
    .await;
    for (path, taken, refused) in [("/text-only", TEXT, BINARY), ("/binary-only", BINARY, TEXT)] {
        let mut peer = Raw::open(addr, path).await;
        peer.send(PONG, b"unasked").await;
        peer.send(taken, b"taken").await;
        assert_eq!(peer.recv().await, Some((taken, b"taken".to_vec())));
        peer.send(refused, b"refused").await;
        let (code, reason) = peer.recv_close().await;
        assert_eq!(code, 1003, "{reason}");
        assert!(
            reason.ends_with("messages are not accepted here"),
            "{reason}"
        );
    }
}

#[derive(Default)]
struct Versioned;

#[server_endpoint("/versioned", subprotocols = ["v10.stomp", "soap"])]
impl Versioned {
    #[on_message]
    fn text(&self, _text: &str, session: &Session) -> String {
        format!("{:?}", session.subprotocol())
    }
}

#[tokio::test]
async fn the_first_subprotocol_of_the_clients_list_that_is_spoken_is_agreed_on() {
    let endpoint = Versioned::endpoint(|_| Versioned);
    let addr = serve(Server::builder().endpoint(endpoint)).await;
    let url = format!("ws://{addr}/versioned");
    for (offered, chosen) in [
        (&["MBWS.huawei.com", "soap", "v10.stomp"][..], Some("soap")),
        (&["v11.stomp"], None),
        (&["SOAP"], None),
        (&[], None),
    ] {
        let client = Client::builder()
            .subprotocols(offered.iter().copied())
            .build();
        let mut ws = soon(client.connect(&url)).await.unwrap();
        assert_eq!(ws.subprotocol(), chosen, "{offered:?}");
        soon(ws.send("")).await.unwrap();
        let told = soon(ws.recv()).await.unwrap();
        assert_eq!(told, Some(Message::text(format!("{chosen:?}"))));
    }
}

struct Greeting(String);

#[server_endpoint("/greeting/{name}")]
impl Greeting {
    #[on_open]
    async fn open(&mut self, session: &Session) -> HandlerResult {
        session.basic_remote().send_text(self.0.clone()).await?;
        Ok(())
    }
}

#[tokio::test]
async fn the_factory_sees_the_handshake() {
    let addr = serve(Server::builder().endpoint(Greeting::endpoint(|handshake| {
        let agent = handshake.headers().get_all("x-agent").iter();
        let agent: Vec<_> = agent.map(|value| value.to_str().unwrap()).collect();
        Greeting(format!(
            "{} {:?} {:?} {agent:?} {}",
            handshake.uri(),
            handshake.query(),
            handshake.path_parameters().collect::<Vec<_>>(),
            handshake.local_addr().is_some() && handshake.peer_addr().is_some(),
        ))
    })))
    .await;
    let mut peer = Raw::connect(addr).await;
    let fields = "X-Agent: one\r\nx-agent: two\r\n";
    let request = crate::support::request(addr, "/greeting/a%20b?q=1%202&q=3", fields);
    assert_eq!(peer.request(&request).await.status, 101);
    assert_eq!(
        peer.recv_text().await,
        r#"/greeting/a%20b?q=1%202&q=3 Some("q=1%202&q=3") [("name", "a b")] ["one", "two"] true"#
    );
}
