//! The browser's object against a peer that speaks bytes: what the web-platform-tests ask of browsers.

use std::error::Error as _;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use crate::support::record::{events, record};
use crate::support::{
    BINARY, CLOSE, Raw, TEXT, accept, listen, raw_server, soon, unmasked, unmasked_close,
};
use sockeye::Client;
use sockeye::browser::{CloseError, CloseEvent, Event, ReadyState, WebSocket};
use tokio::sync::Notify;

fn told(event: &CloseEvent) -> (u16, &str, bool) {
    (event.code, &event.reason, event.was_clean)
}

/// An object that runs, and its server, which has opened it.
async fn opened(ws: &WebSocket, listener: &tokio::net::TcpListener) -> (Raw, Arc<Notify>) {
    let opened = Arc::new(Notify::new());
    let open = Arc::clone(&opened);
    ws.on_open(move |_| open.notify_one());
    let peer = raw_server(listener, "", b"").await;
    soon(opened.notified()).await;
    (peer, opened)
}

#[test]
fn a_wrong_code_is_an_invalid_access_and_a_long_reason_a_syntax_error_in_this_order() {
    let ws = WebSocket::new("ws://host/").unwrap();
    let long = "x".repeat(124);
    for code in [999, 1001, 2999, 5000] {
        for reason in ["", &long] {
            let refused = ws.close((code, reason));
            assert!(
                matches!(refused, Err(CloseError::InvalidAccess(_))),
                "{code}"
            );
        }
    }
    for refused in [ws.close((1000, long.as_str())), ws.close(long.as_str())] {
        assert!(matches!(refused, Err(CloseError::Syntax(_))));
    }
    // 62 characters, 124 bytes.
    assert!(ws.close((3000, "ü".repeat(62).as_str())).is_err());
    assert_eq!(ws.ready_state(), ReadyState::Connecting);
    ws.close((3000, "x".repeat(123).as_str())).unwrap();
    assert_eq!(ws.ready_state(), ReadyState::Closing);
    // The arguments are looked at whatever the state is.
    assert!(ws.close(1001).is_err());
    ws.close(1000).unwrap();
}

#[tokio::test]
async fn a_code_and_a_reason_of_123_bytes_reach_the_peer_and_a_reason_alone_goes_with_1000() {
    let (listener, url) = listen().await;
    let longest = "x".repeat(123);
    for (code, reason, sent) in [
        (Some(4999), longest.as_str(), (4999, longest.as_str())),
        (None, "bye", (1000, "bye")),
    ] {
        let ws = WebSocket::new(&url).unwrap();
        let running = ws.spawn();
        let (mut peer, _) = opened(&ws, &listener).await;
        match code {
            Some(code) => ws.close((code, reason)).unwrap(),
            None => ws.close(reason).unwrap(),
        }
        let (code, reason) = peer.recv_close().await;
        assert_eq!((code, reason.as_str()), sent);
        peer.write(&unmasked_close(code, &reason)).await;
        drop(peer);
        assert_eq!(told(&soon(running).await.unwrap()), (sent.0, sent.1, true));
    }
}

#[tokio::test]
async fn close_while_connecting_fails_once_and_close_in_the_close_handler_does_nothing() {
    let (listener, url) = listen().await;
    let ws = WebSocket::new(&url).unwrap();
    let record = record(&ws);
    let closed = Arc::clone(&record);
    ws.on_close(move |ws, event| {
        ws.close((3000, "again")).unwrap();
        let state = ws.ready_state();
        let event = format!("close {} {state:?}", event.code);
        closed.lock().unwrap().push(event);
    });
    let running = ws.spawn();
    let (tcp, _) = soon(listener.accept()).await.unwrap();
    let mut peer = Raw::new(tcp);
    peer.head().await.expect("a request");
    ws.close(()).unwrap();
    // At once, and without an event: those are to come from the task that dispatches.
    assert_eq!(ws.ready_state(), ReadyState::Closing);
    assert_eq!(events(&record), [""; 0]);
    let event = soon(running).await.unwrap();
    assert_eq!(told(&event), (1006, "", false));
    assert_eq!(events(&record), ["error Closed", "close 1006 Closed"]);
    peer.recv_end().await;
}

#[tokio::test]
async fn close_waits_for_a_peer_that_answers_a_second_later_and_is_clean() {
    let (listener, url) = listen().await;
    let ws = WebSocket::new(&url).unwrap();
    let record = record(&ws);
    let running = ws.spawn();
    let (mut peer, _) = opened(&ws, &listener).await;
    ws.close((1000, "later")).unwrap();
    peer.recv_close().await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(1)).await;
    tokio::time::resume();
    assert_eq!(ws.ready_state(), ReadyState::Closing);
    assert_eq!(events(&record), [""; 0]);
    peer.write(&unmasked_close(1000, "later")).await;
    drop(peer);
    assert_eq!(told(&soon(running).await.unwrap()), (1000, "later", true));
    assert_eq!(events(&record), [r#"close 1000 "later" true Closed"#]);
}

#[tokio::test]
async fn a_peer_that_never_answers_the_close_is_an_error_when_the_close_timeout_is_over() {
    let (listener, url) = listen().await;
    let ws = WebSocket::new(&url).unwrap();
    let record = record(&ws);
    let running = ws.spawn();
    let (mut peer, _) = opened(&ws, &listener).await;
    ws.close(()).unwrap();
    assert_eq!(peer.recv().await, Some((CLOSE, Vec::new())));
    tokio::time::pause();
    let event = running.await.unwrap();
    assert_eq!(told(&event), (1006, "", false));
    let expected = ["error Closed", r#"close 1006 "" false Closed"#];
    assert_eq!(events(&record), expected);
}

#[tokio::test]
async fn what_the_peer_sends_behind_its_close_is_never_delivered() {
    let (listener, url) = listen().await;
    let ws = WebSocket::new(&url).unwrap();
    let record = record(&ws);
    let tail = [
        unmasked(TEXT, b"before"),
        unmasked_close(1000, ""),
        unmasked(TEXT, b"behind"),
        unmasked(BINARY, b"behind"),
    ];
    let server = async {
        let mut peer = raw_server(&listener, "", &tail.concat()).await;
        assert_eq!(peer.recv_close().await.0, 1000);
    };
    soon(async { tokio::join!(ws.run(), server) }).await;
    let expected = [
        r#"open Open """#,
        "message before Open",
        r#"close 1000 "" true Closed"#,
    ];
    assert_eq!(events(&record), expected);
}

#[tokio::test]
async fn the_buffered_amount_falls_as_bytes_are_taken_and_drained_says_when() {
    const LEN: usize = 8 << 20;
    let (listener, url) = listen().await;
    let ws = WebSocket::new(&url).unwrap();
    let running = ws.spawn();
    let (mut peer, _) = opened(&ws, &listener).await;
    ws.send(vec![7; LEN]).unwrap();
    ws.send("behind").unwrap();
    assert_eq!(ws.buffered_amount(), LEN as u64 + 6);
    assert_eq!(peer.recv_binary().await.len(), LEN);
    assert_eq!(peer.recv_text().await, "behind");
    soon(ws.drained()).await.unwrap();
    assert_eq!(ws.buffered_amount(), 0);
    peer.write(&unmasked_close(1000, "")).await;
    drop(peer);
    soon(running).await.unwrap();
}

#[tokio::test]
async fn a_blocked_port_is_an_error_and_never_open() {
    let ws = WebSocket::new("ws://127.0.0.1:6667/").unwrap();
    let mut events = ws.events().unwrap();
    // Not in the constructor, and nothing is connected to: there could be a server.
    let Some(Event::Error(error)) = events.next().await else {
        panic!("the first event is error");
    };
    assert!(
        error.source().unwrap().to_string().contains("6667"),
        "{error}"
    );
    let Some(Event::Close(event)) = events.next().await else {
        panic!("the second event is close");
    };
    assert_eq!(told(&event), (1006, "", false));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_user_in_the_url_is_sent_by_basic_authentication_and_stays_in_the_url() {
    let (listener, url) = listen().await;
    let url = url.replace("ws://", "ws://Aladdin:open%20sesame@");
    let ws = WebSocket::new(&url).unwrap();
    assert_eq!(ws.url(), url);
    let server = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut peer = Raw::new(tcp);
        let request = peer.head().await.unwrap();
        let authorization = "\r\nauthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
        assert!(request.contains(authorization), "{request}");
        assert!(!request.contains('@'), "{request}");
        let answer = [accept(&request, "").into_bytes(), unmasked_close(1000, "")].concat();
        peer.write(&answer).await;
        peer.recv_close().await;
    };
    let (event, ()) = soon(async { tokio::join!(ws.run(), server) }).await;
    assert!(event.was_clean);
    // A log of the object shows no password.
    assert!(!format!("{ws:?}").contains("sesame"), "{ws:?}");
}

#[tokio::test]
async fn protocol_and_extensions_are_empty_until_the_server_has_chosen() {
    let (listener, url) = listen().await;
    let ws = WebSocket::with_protocols(&url, ["chat", "echo"]).unwrap();
    assert_eq!((ws.protocol(), ws.extensions()), ("", ""));
    let fields = "Sec-WebSocket-Protocol: echo\r\n\
                  Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n";
    let tail = unmasked_close(1000, "");
    let server = async {
        let mut peer = raw_server(&listener, fields, &tail).await;
        peer.recv_close().await;
    };
    ws.on_open(|ws| {
        let chosen = "permessage-deflate; server_no_context_takeover";
        assert_eq!((ws.protocol(), ws.extensions()), ("echo", chosen));
    });
    soon(async { tokio::join!(ws.run(), server) }).await;
    assert_eq!(ws.protocol(), "echo");
}

#[test]
fn an_object_is_made_outside_of_a_runtime_and_connects_when_it_runs() {
    let std = StdListener::bind("127.0.0.1:0").unwrap();
    std.set_nonblocking(true).unwrap();
    let ws = WebSocket::new(&format!("ws://{}/", std.local_addr().unwrap())).unwrap();
    let record = record(&ws);
    let too_early = std.accept().unwrap_err();
    assert_eq!(too_early.kind(), std::io::ErrorKind::WouldBlock);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let event = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(std).unwrap();
        let tail = unmasked_close(1000, "");
        let server = async { raw_server(&listener, "", &tail).await.recv_close().await };
        soon(async { tokio::join!(ws.run(), server) }).await.0
    });
    assert_eq!(told(&event), (1000, "", true));
    let expected = [r#"open Open """#, r#"close 1000 "" true Closed"#];
    assert_eq!(events(&record), expected);
}

#[tokio::test]
async fn events_are_asked_for_once_and_handlers_are_not_called_then() {
    let (listener, url) = listen().await;
    let ws = WebSocket::new(&url).unwrap();
    let record = record(&ws);
    let mut asked = ws.events().unwrap();
    assert!(ws.events().is_none());
    let tail = [unmasked(TEXT, b"one"), unmasked_close(1001, "PASS")].concat();
    let server = async { raw_server(&listener, "", &tail).await.recv_close().await };
    let client = async {
        let mut seen = Vec::new();
        while let Some(event) = asked.next().await {
            seen.push(match event {
                Event::Open => "open".to_owned(),
                Event::Message(event) => format!("message {}", event.data),
                Event::Error(event) => format!("error {event}"),
                Event::Close(event) => format!("close {} {}", event.code, ws.ready_state() as u8),
            });
        }
        drop(asked);
        seen
    };
    let (seen, _) = soon(async { tokio::join!(client, server) }).await;
    assert_eq!(seen, ["open", "message one", "close 1001 3"]);
    assert_eq!(events(&record), [""; 0]);
    assert_eq!(soon(ws.run()).await.code, 1001);
}
#[tokio::test]
async fn the_origin_of_a_message_is_that_of_the_url_in_ascii() {
    let (listener, _) = listen().await;
    let addr = listener.local_addr().unwrap();
    for (host, ascii) in [
        ("127.0.0.1", "127.0.0.1"),
        ("LOCALHOST", "localhost"),
        ("B\u{fc}cher.example", "xn--bcher-kva.example"),
    ] {
        let client = Client::builder().resolve("xn--bcher-kva.example", [addr.ip()]);
        let client = client.ipv4_only().build();
        let url = format!("ws://user@{host}:{}/path", addr.port());
        let ws = client.websocket(&url).unwrap();
        let mut events = ws.events().unwrap();
        let tail = unmasked(TEXT, b"hi");
        let server = raw_server(&listener, "", &tail);
        let client = async {
            assert!(matches!(events.next().await, Some(Event::Open)));
            match events.next().await {
                Some(Event::Message(event)) => event.origin().to_owned(),
                other => panic!("{other:?}"),
            }
        };
        let (_peer, origin) = soon(async { tokio::join!(server, client) }).await;
        assert_eq!(origin, format!("ws://{ascii}:{}", addr.port()));
    }
}

#[tokio::test]
async fn redirects_are_errors_though_the_client_follows_them() {
    let (listener, url) = listen().await;
    let ws = Client::builder()
        .redirects(5)
        .build()
        .websocket(&url)
        .unwrap();
    let record = record(&ws);
    let server = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut peer = Raw::new(tcp);
        peer.head().await.expect("a request");
        let answer = "HTTP/1.1 301 Moved\r\nLocation: /here\r\nContent-Length: 0\r\n\r\n";
        peer.write(answer.as_bytes()).await;
        peer.recv_end().await;
    };
    soon(async { tokio::join!(ws.run(), server) }).await;
    let expected = ["error Closed", r#"close 1006 "" false Closed"#];
    assert_eq!(events(&record), expected);
}
