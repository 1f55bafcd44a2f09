//! The facts about messages, handlers and sends that the Jakarta TCK and Tomcat check, under the names that their tests
//! have there, and at both ends. Facts with a test in another file are left out: the end of sessions is in `closing.rs`,
//! paths are in `path.rs`, and the idle limit is tested with the endpoints.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use crate::support::end::{BOTH, Far};
use crate::support::{BINARY, Log, PING, PONG, Raw, TEXT, log, request, serve, soon};
use bytes::Bytes;
use sockeye::client::ConnectError;
use sockeye::endpoint::{
    HandlerExists, Incoming, IncomingKind, MessageHandler, Parsed, Pong, Reply, partial, whole,
};
use sockeye::error::SendError;
use sockeye::proto::DeflateConfig;
use sockeye::proto::handshake::UriError;
use sockeye::{
    Client, CloseReason, Endpoint, Error, HandlerResult, Message, Server, Session, endpoint,
};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, mpsc};

/// Hands its session out, echoes, and answers an error with a text.
#[derive(Clone)]
struct Echo(mpsc::Sender<Session>);

impl Endpoint for Echo {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        Ok(self.0.send(session.clone()).await?)
    }

    async fn on_message<'m>(
        &mut self,
        _: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        match message {
            Incoming::Pong(_) => Ok(Reply::None),
            message => Ok(Reply::from(message)),
        }
    }

    async fn on_error(&mut self, session: &Session, error: &Error) {
        let _ = session
            .basic_remote()
            .send_text(sockeye::error::ErrorChain::new(error).to_string())
            .await;
    }
}

/// Opens a session with an echo at one end. Returns the peer and the session.
async fn open(at: crate::support::end::At) -> (Far, Session) {
    let (opened, mut sessions) = mpsc::channel(1);
    let peer = Far::of(at, |config| config, Echo(opened)).await;
    let session = soon(sessions.recv()).await.expect("it is open");
    (peer, session)
}

/// A Ping is answered behind what came before, which has been handled then.
async fn settle(peer: &mut Far) {
    peer.send(PING, b"settle").await;
    assert_eq!(peer.recv().await, Some((PONG, b"settle".to_vec())));
}

/// TCK maxMessageSize: 5 bytes and 6. Tomcat testMaxMessageSize: limits of 10 and 32,768, one byte less, as many, one more.
#[tokio::test]
async fn tck_and_tomcat_max_message_size() {
    for at in BOTH {
        for limit in [5, 10, 32_768] {
            for kind in [TEXT, BINARY] {
                let (opened, mut sessions) = mpsc::channel(1);
                let configure = |config: sockeye::proto::Config| config.max_message(limit as u64);
                let mut peer = Far::of(at, configure, Echo(opened)).await;
                let session = soon(sessions.recv()).await.unwrap();
                for length in [limit - 1, limit] {
                    let message = vec![b'x'; length];
                    peer.send(kind, &message).await;
                    assert_eq!(peer.recv().await, Some((kind, message)), "{at:?}");
                }
                peer.send(kind, &vec![b'x'; limit + 1]).await;
                // `on_error` comes too late to send something.
                assert_eq!(peer.recv_close().await.0, 1009, "{at:?}");
                peer.send_close(1009, "").await;
                drop(peer);
                assert_eq!(soon(session.closed()).await.code().get(), 1009);
            }
        }
    }
}

/// Tomcat TestWsWebSocketContainer, testSmall…Buffer: 1,024 bytes for one kind, and a message of 4,096 of either.
#[tokio::test]
async fn tomcat_a_limit_of_texts_is_none_of_binary_messages_nor_the_other_way_round() {
    for at in BOTH {
        for (limited, other) in [(TEXT, BINARY), (BINARY, TEXT)] {
            let (opened, _sessions) = mpsc::channel(1);
            let configure = |config: sockeye::proto::Config| match limited {
                TEXT => config.max_text(1024),
                _ => config.max_binary(1024),
            };
            let mut peer = Far::of(at, configure, Echo(opened)).await;
            let message = vec![b'x'; 4096];
            peer.send(other, &message).await;
            assert_eq!(peer.recv().await, Some((other, message.clone())), "{at:?}");
            peer.send(limited, &message).await;
            assert_eq!(peer.recv_close().await.0, 1009, "{at:?}");
        }
    }
}

/// TCK session, addMessageHandler: of one kind there is one, be it whole or of parts; the first goes on.
#[tokio::test]
async fn tck_a_second_handler_of_a_kind_is_refused_and_the_first_goes_on() {
    fn handlers(kind: IncomingKind) -> [MessageHandler; 2] {
        match kind {
            IncomingKind::Text => [
                whole(|_: String| async { "first" }),
                partial(|(_, is_last): (String, bool)| async move { is_last.then_some("second") }),
            ],
            IncomingKind::Binary => [
                partial(|(_, is_last): (Bytes, bool)| async move { is_last.then_some("first") }),
                whole(|_: Vec<u8>| async { "second" }),
            ],
            _ => [
                whole(|_: Pong| async { "first" }),
                whole(|_: Pong| async { "second" }),
            ],
        }
    }
    for at in BOTH {
        let (mut peer, session) = open(at).await;
        for (kind, opcode) in [
            (IncomingKind::Text, TEXT),
            (IncomingKind::Binary, BINARY),
            (IncomingKind::Pong, PONG),
        ] {
            let [first, second] = handlers(kind);
            session.add_message_handler(first).unwrap();
            let refused = session.add_message_handler(second);
            assert_eq!(refused, Err(HandlerExists(kind)));
            peer.send(opcode, b"x").await;
            assert_eq!(peer.recv_text().await, "first", "{at:?} {kind:?}");
        }
        assert_eq!(session.message_handlers().len(), 3);
    }
}

/// TCK addMessageHandlersTest1: what comes before there is a handler is dropped, at the client's end too.
#[tokio::test]
async fn tck_add_message_handlers_test_1() {
    #[derive(Clone)]
    struct Silent(mpsc::Sender<Session>);

    impl Endpoint for Silent {
        async fn on_open(&mut self, session: &Session) -> HandlerResult {
            Ok(self.0.send(session.clone()).await?)
        }
    }

    for at in BOTH {
        let (opened, mut sessions) = mpsc::channel(1);
        let mut peer = Far::of(at, |config| config, Silent(opened)).await;
        let session = soon(sessions.recv()).await.unwrap();
        peer.send(TEXT, b"one").await;
        peer.send(TEXT, b"two").await;
        settle(&mut peer).await;
        session
            .add_message_handler(whole(|text: String| async { text }))
            .unwrap();
        peer.send(TEXT, b"three").await;
        assert_eq!(peer.recv_text().await, "three", "{at:?}");
    }
}

/// TCK websocketmessage, clientendpointonmessage, returntype: each kind of number, a truth value and a character, of their
/// text and as their text; basic and async, `sendObject` too.
#[tokio::test]
async fn tck_conversions() {
    async fn round<T>(peer: &mut Far, session: &Session, texts: &[&str])
    where
        T: FromStr + Display + Copy + Send + Sync + 'static,
        T::Err: std::error::Error + Send + Sync,
    {
        let handler = whole(|Parsed(value): Parsed<T>| async move { Parsed(value) });
        session.add_message_handler(handler).unwrap();
        for text in texts {
            peer.send(TEXT, text.as_bytes()).await;
            assert_eq!(peer.recv_text().await, *text);
            let Ok(value) = text.parse::<T>() else {
                panic!("`{text}` is none")
            };
            let value = Parsed(value);
            session.basic_remote().send_object(&value).await.unwrap();
            assert_eq!(peer.recv_text().await, *text);
            drop(session.async_remote().send_object(value).unwrap());
            assert_eq!(peer.recv_text().await, *text);
        }
        peer.send(TEXT, b"this is none").await;
        let told = peer.recv_text().await;
        assert!(told.starts_with("cannot decode the message: "), "{told}");
        assert!(session.remove_message_handler(IncomingKind::Text));
    }

    for at in BOTH {
        let (mut peer, session) = open(at).await;
        let (peer, session) = (&mut peer, &session);
        round::<i8>(peer, session, &["-100", "127", "-128"]).await;
        round::<i16>(peer, session, &["-101", "32767"]).await;
        round::<i32>(peer, session, &["-102", "123", "-2147483648"]).await;
        round::<i64>(peer, session, &["-103", "9223372036854775807"]).await;
        round::<f32>(peer, session, &["-104", "123.456"]).await;
        round::<f64>(peer, session, &["-105", "789.012", "-12345678.88"]).await;
        round::<char>(peer, session, &["j", "E", "A", "世"]).await;
        round::<bool>(peer, session, &["true", "false"]).await;
    }
}

/// TCK onError: what is sent from there arrives, since the session goes on; and so does what was sent before the error.
#[tokio::test]
async fn tck_a_text_that_on_error_sends_arrives() {
    for at in BOTH {
        let (mut peer, session) = open(at).await;
        let here = session.clone();
        let failing = whole(move |text: String| {
            let here = here.clone();
            async move {
                here.basic_remote().send_text(text).await?;
                Err::<(), sockeye::error::BoxError>("as it should".into())
            }
        });
        session.add_message_handler(failing).unwrap();
        peer.send(TEXT, b"before").await;
        assert_eq!(peer.recv_text().await, "before", "{at:?}");
        assert_eq!(
            peer.recv_text().await,
            "a handler failed: as it should",
            "{at:?}"
        );
        peer.send(BINARY, b"after").await;
        assert_eq!(peer.recv_binary().await, b"after", "{at:?}");
    }
}

/// TCK remoteendpoint: three parts, of which two are not the last, are one message.
#[tokio::test]
async fn tck_three_parts_are_one_message() {
    for at in BOTH {
        let (mut peer, session) = open(at).await;
        let mut message = session.basic_remote().text_writer();
        message.send_part("a").await.unwrap();
        message.send_part("b").await.unwrap();
        message.send_last_part("c").await.unwrap();
        let mut frames = Vec::new();
        for _ in 0..3 {
            frames.push(peer.recv_frame().await.unwrap());
        }
        let sent = [(0x01, "a"), (0x00, "b"), (0x80, "c")];
        assert_eq!(frames, sent.map(|(first, part)| (first, part.into())));
    }
}

/// Tomcat TestWsRemoteEndpoint: what is written comes complete and in its order; nothing written and closed is one empty
/// message.
#[tokio::test]
async fn tomcat_eight_writes_of_5000_characters_and_writes_of_none() {
    for at in BOTH {
        let (mut peer, session) = open(at).await;
        let mut message = session.basic_remote().text_writer();
        let mut written = String::new();
        for number in 0..8 {
            let part = number.to_string().repeat(5000);
            message.write_all(part.as_bytes()).await.unwrap();
            written += &part;
        }
        message.shutdown().await.unwrap();
        let mut came = Vec::new();
        loop {
            let (first, part) = peer.recv_frame().await.unwrap();
            came.extend(part);
            if first & 0x80 != 0 {
                break;
            }
        }
        assert_eq!(came, written.into_bytes(), "{at:?}");

        let mut empty = session.basic_remote().binary_writer();
        empty.write_all(b"").await.unwrap();
        empty.send_part(Bytes::new()).await.unwrap();
        empty.shutdown().await.unwrap();
        let mut came = Vec::new();
        loop {
            let (first, part) = peer.recv_frame().await.unwrap();
            came.extend(part);
            if first & 0x80 != 0 {
                break;
            }
        }
        assert_eq!(came, b"", "{at:?}");
        settle(&mut peer).await;
    }
}

/// TCK pings: the container answers, and the application sees nothing; an unsolicited Pong reaches the handler;
/// 126 bytes are refused, and harm nothing.
#[tokio::test]
async fn tck_pings_and_pongs() {
    for at in BOTH {
        let (log, mut events) = log();
        let (mut peer, session) = open(at).await;
        let pongs = whole(move |pong: Pong| {
            log.push(String::from_utf8_lossy(pong.payload()));
            async {}
        });
        session.add_message_handler(pongs).unwrap();
        for payload in ["", "ping", &"x".repeat(125)] {
            peer.send(PING, payload.as_bytes()).await;
            assert_eq!(peer.recv().await, Some((PONG, payload.into())), "{at:?}");
            session
                .basic_remote()
                .send_ping(payload.as_bytes())
                .await
                .unwrap();
            assert_eq!(peer.recv().await, Some((PING, payload.into())), "{at:?}");
            peer.send(PONG, payload.as_bytes()).await;
            assert_eq!(events.next().await, payload, "{at:?}");
        }
        let (basic, long) = (session.basic_remote(), [0; 126]);
        let refused = Err(SendError::ControlPayloadTooLong { len: 126 });
        assert_eq!(basic.send_ping(&long).await, refused);
        assert_eq!(basic.send_pong(&long).await, refused);
        peer.send(PONG, b"unasked").await;
        assert_eq!(events.next().await, "unasked", "{at:?}");
        assert!(events.is_empty());
    }
}

/// TCK: a handler sends four pings and takes its time; the four pongs that come meanwhile reach their handler when it is done.
#[tokio::test]
async fn tck_no_pong_is_lost_while_a_handler_runs() {
    for at in BOTH {
        let (log, mut events) = log();
        let (mut peer, session) = open(at).await;
        let gate = Arc::new(Notify::new());
        let (here, opened) = (session.clone(), Arc::clone(&gate));
        let slow = whole(move |_: String| {
            let (here, opened) = (here.clone(), Arc::clone(&opened));
            async move {
                for number in b'1'..=b'4' {
                    here.basic_remote().send_ping(&[number]).await?;
                }
                opened.notified().await;
                Ok::<_, SendError>("done")
            }
        });
        session.add_message_handler(slow).unwrap();
        let pongs = whole(move |pong: Pong| {
            log.push(String::from_utf8_lossy(pong.payload()));
            async {}
        });
        session.add_message_handler(pongs).unwrap();
        peer.send(TEXT, b"go").await;
        for number in b'1'..=b'4' {
            assert_eq!(peer.recv().await, Some((PING, vec![number])), "{at:?}");
            peer.send(PONG, &[number]).await;
        }
        assert!(events.is_empty());
        gate.notify_one();
        assert_eq!(peer.recv_text().await, "done");
        for number in 1..=4 {
            assert_eq!(events.next().await, number.to_string(), "{at:?}");
        }
    }
}

/// TCK session: one id, in `connect`, `on_open`, and `on_close`; five in a row are five. One can be sent by in `on_open`.
#[tokio::test]
async fn tck_a_session_is_one_from_connect_to_on_close() {
    #[derive(Clone)]
    struct Identified(Log);

    impl Endpoint for Identified {
        async fn on_open(&mut self, session: &Session) -> HandlerResult {
            assert!(session.is_open());
            session.basic_remote().send_text("here").await?;
            self.0.push(session.id().to_string());
            Ok(())
        }

        async fn on_close(&mut self, session: &Session, _: CloseReason) -> HandlerResult {
            self.0.push(session.id().to_string());
            Ok(())
        }
    }

    for at in BOTH {
        let mut ids = Vec::new();
        for _ in 0..5 {
            let (log, mut events) = log();
            let mut peer = Far::of(at, |config| config, Identified(log)).await;
            assert_eq!(peer.recv_text().await, "here");
            peer.send_close(1000, "").await;
            let id = events.next().await;
            assert_eq!(events.next().await, id);
            assert!(!ids.contains(&id));
            ids.push(id);
        }
    }
    let (sockeyes, mut server) = log();
    let made = endpoint("/", move |_| Identified(sockeyes.clone()));
    let addr = serve(Server::builder().endpoint(made)).await;
    let (log, mut events) = log();
    let client = Client::new();
    let connecting = client.connect_endpoint(format!("ws://{addr}/"), Identified(log));
    let session = connecting.await.unwrap();
    assert_eq!(events.next().await, session.id().to_string());
    // Each end has its own.
    assert_ne!(server.next().await, session.id().to_string());
}

/// Tomcat TestWsWebSocketContainer: a scheme that is none, and a URL without a host.
#[tokio::test]
async fn tomcat_what_is_no_url_of_a_websocket_is_not_connected_to() {
    for url in ["ftp://localhost/", "ws://", "localhost"] {
        let (opened, mut sessions) = mpsc::channel(1);
        let connected = Client::new().connect_endpoint(url, Echo(opened)).await;
        let error = connected.unwrap_err();
        let expected = match url {
            "ws://" => matches!(error, ConnectError::Url(_)),
            _ => matches!(error, ConnectError::WebSocketUri(UriError::Scheme)),
        };
        assert!(expected, "{url}: {error:?}");
        assert!(sessions.recv().await.is_none(), "there is no session");
    }
}

/// Tomcat TestPerMessageDeflate: an offer that cannot be taken is declined, and the handshake goes on without.
#[tokio::test]
async fn tomcat_offers_of_deflate_that_are_none_are_declined() {
    let (opened, _sessions) = mpsc::channel(8);
    let echo = endpoint("/", move |_| Echo(opened.clone()));
    let compression = DeflateConfig::default();
    let addr = serve(Server::builder().compression(compression).endpoint(echo)).await;
    for (parameter, is_taken) in [
        ("client_max_window_bits", true),
        ("client_max_window_bits=16", false),
        ("client_max_window_bits=x", false),
        ("server_max_window_bits", false),
        ("unknown", false),
    ] {
        let offer = format!("Sec-WebSocket-Extensions: permessage-deflate; {parameter}\r\n");
        let mut peer = Raw::connect(addr).await;
        let answer = peer.request(&request(addr, "/", &offer)).await;
        assert_eq!(answer.status, 101, "{parameter}");
        let agreed = answer.field("sec-websocket-extensions").is_some();
        assert_eq!(agreed, is_taken, "{parameter}");
        peer.send(TEXT, b"plain").await;
        assert_eq!(peer.recv().await.unwrap().0, TEXT);
    }
}

/// Tomcat TestPerMessageDeflate, bugs 65317 and 70126: messages whose size when inflated is that of a buffer, or a little
/// more, lose nothing; an empty one among them, with context takeover.
#[tokio::test]
async fn tomcat_deflate_around_the_size_of_a_buffer() {
    let (opened, _sessions) = mpsc::channel(8);
    let echo = endpoint("/", move |_| Echo(opened.clone()));
    for takeover in [false, true] {
        let compression = DeflateConfig::default()
            .context_takeover(takeover)
            .threshold(0);
        let builder = Server::builder().compression(compression.clone());
        let addr = serve(builder.endpoint(echo.clone())).await;
        let client = Client::builder().compression(compression).build();
        let mut ws = client.connect(format!("ws://{addr}/")).await.unwrap();
        for size in (8191..=8705).chain([0, 16_384, 16_385, 0]) {
            let message = Message::text("compressible ".repeat(1300)[..size].to_owned());
            soon(ws.send(&message)).await.unwrap();
            assert_eq!(soon(ws.recv()).await.unwrap(), Some(message), "{size}");
        }
    }
}
