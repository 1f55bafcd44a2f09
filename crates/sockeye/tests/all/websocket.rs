//! The browser's object: the rules of WHATWG WebSockets that its first form keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::record::{events, record};
use crate::support::{BINARY, CLOSE, Raw, TEXT, listen, raw_server, serve, soon};
use sockeye::browser::{InvalidState, ReadyState, WebSocket};
use sockeye::endpoint::{Incoming, Reply};
use sockeye::{Endpoint, HandlerResult, Message, Server, Session, endpoint};
use tokio::sync::Notify;

#[test]
fn the_constructor_refuses_what_is_no_url_of_a_websocket() {
    for url in [
        "",
        "chat",
        "//host/chat",
        "ftp://host/",
        "mailto:x@host",
        "wss//host",
        "ws://",
        "ws://ho st/",
        "ws://host:x/",
        "ws://host:65536/",
        "ws://host/#",
        "ws://host/#part",
        "http://host/#part",
    ] {
        let refused = WebSocket::new(url);
        assert!(refused.is_err(), "{url}");
    }
}

#[test]
fn the_url_is_serialised_with_a_scheme_of_websockets() {
    for (url, serialised) in [
        ("ws://Host", "ws://host/"),
        ("WSS://host:443/a b?ü", "wss://host/a%20b?%C3%BC"),
        ("http://host:80/x", "ws://host/x"),
        ("https://host:80/x", "wss://host:80/x"),
        ("ws://host/a/../b/./c", "ws://host/b/c"),
        ("ws://bücher.example/", "ws://xn--bcher-kva.example/"),
        ("ws://[::1]:8080/", "ws://[::1]:8080/"),
        ("  ws://host/  ", "ws://host/"),
    ] {
        let ws = WebSocket::new(url).unwrap();
        assert_eq!(ws.url(), serialised, "{url}");
        assert_eq!(ws.ready_state(), ReadyState::Connecting);
        assert_eq!(ws.protocol(), "");
    }
}

#[test]
fn the_constructor_refuses_subprotocols_that_are_no_tokens_or_repeated_in_any_case() {
    for names in [
        &[""][..],
        &["a b"],
        &["a,b"],
        &["a/b"],
        &["caf\u{e9}"],
        &["a\u{1}"],
        &["echo", "echo"],
        &["echo", "chat", "eCho"],
    ] {
        let refused = WebSocket::with_protocols("ws://host/", names.iter().copied());
        assert!(refused.is_err(), "{names:?}");
    }
    assert!(WebSocket::with_protocols("ws://host/", ["echo", "chat.v1", "#!~|"]).is_ok());
}

#[test]
fn close_takes_1000_or_3000_to_4999_and_a_reason_of_123_bytes() {
    let ws = WebSocket::new("ws://host/").unwrap();
    for code in [0, 999, 1001, 1005, 1006, 1015, 2999, 5000, 65_535] {
        assert!(ws.close(code).is_err(), "{code}");
    }
    assert!(ws.close((1000, "x".repeat(124).as_str())).is_err());
    assert!(ws.close((1000, "ü".repeat(62).as_str())).is_err());
    // None of these has begun to close it.
    assert_eq!(ws.ready_state(), ReadyState::Connecting);
    for code in [1000, 3000, 4999] {
        let ws = WebSocket::new("ws://host/").unwrap();
        assert!(ws.close((code, "x".repeat(123).as_str())).is_ok());
        assert_eq!(ws.ready_state(), ReadyState::Closing);
    }
}

#[test]
fn send_is_refused_before_the_object_is_open_and_counted_once_it_closes() {
    let ws = WebSocket::new("ws://host/").unwrap();
    assert_eq!(ws.send("early"), Err(InvalidState));
    assert_eq!(ws.buffered_amount(), 0);
    ws.close(()).unwrap();
    assert_eq!(ws.send("12345"), Ok(()));
    assert_eq!(ws.send(Message::binary(vec![0; 10])), Ok(()));
    assert_eq!(ws.buffered_amount(), 15);
}

struct Echo;

impl Endpoint for Echo {
    async fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        match &message {
            Incoming::Text(text) if &**text == "close" => {
                session.close(sockeye::CloseCode::try_from(4001)?, "as you say")?;
                Ok(Reply::None)
            }
            _ => Ok(Reply::from(message)),
        }
    }
}

async fn echo() -> String {
    let echo = endpoint("/", |_| Echo).subprotocols(["echo"]);
    format!("ws://{}/", serve(Server::builder().endpoint(echo)).await)
}

#[tokio::test]
async fn events_come_in_the_order_open_messages_close() {
    let ws = WebSocket::with_protocols(&echo().await, ["other", "echo"]).unwrap();
    let record = record(&ws);
    let opened = Arc::clone(&record);
    ws.on_open(move |ws| {
        opened
            .lock()
            .unwrap()
            .push(format!("open {:?} {:?}", ws.ready_state(), ws.protocol()));
        for text in ["one", "two", "close"] {
            ws.send(text).unwrap();
        }
        assert_eq!(ws.buffered_amount(), 11);
    });
    let event = soon(ws.run()).await;
    assert_eq!(
        (event.code, event.reason.as_str(), event.was_clean),
        (4001, "as you say", true)
    );
    assert_eq!(
        events(&record),
        [
            r#"open Open "echo""#,
            "message one Open",
            "message two Open",
            r#"close 4001 "as you say" true Closed"#,
        ]
    );
    assert_eq!(ws.buffered_amount(), 0);
    ws.send("late").unwrap();
    assert_eq!(ws.buffered_amount(), 4);
    ws.close(()).unwrap();
    assert_eq!(ws.ready_state(), ReadyState::Closed);
}

#[tokio::test]
async fn close_without_arguments_sends_an_empty_close_and_the_event_has_1005() {
    let (listener, url) = listen().await;
    let ws = WebSocket::new(&url).unwrap();
    let record = record(&ws);
    ws.on_open(|ws| {
        ws.send("before").unwrap();
        ws.close(()).unwrap();
        assert_eq!(ws.ready_state(), ReadyState::Closing);
        ws.close(4000).unwrap();
        ws.send("after").unwrap();
    });
    let server = async {
        let mut peer = raw_server(&listener, "", b"").await;
        assert_eq!(peer.recv_text().await, "before");
        assert_eq!(peer.recv().await, Some((CLOSE, Vec::new())));
        // Later messages are never delivered, and `close` waits for the peer's answer.
        peer.write(&crate::support::unmasked(TEXT, b"late")).await;
        assert_eq!(ws.ready_state(), ReadyState::Closing);
        peer.write(&crate::support::unmasked(CLOSE, b"")).await;
    };
    let (event, ()) = soon(async { tokio::join!(ws.run(), server) }).await;
    assert_eq!((event.code, event.was_clean), (1005, true));
    assert_eq!(events(&record), [r#"close 1005 "" true Closed"#]);
    assert_eq!(ws.buffered_amount(), 5);
}

#[tokio::test]
async fn the_code_of_the_event_is_the_peers_whoever_closed_first() {
    let (listener, url) = listen().await;
    let ws = WebSocket::new(&url).unwrap();
    ws.on_open(|ws| ws.close((3000, "mine")).unwrap());
    let server = async {
        let mut peer = raw_server(&listener, "", b"").await;
        assert_eq!(peer.recv_close().await, (3000, "mine".to_owned()));
        peer.write(&crate::support::unmasked_close(4999, "yours"))
            .await;
    };
    let (event, ()) = soon(async { tokio::join!(ws.run(), server) }).await;
    assert_eq!(
        (event.code, event.reason.as_str(), event.was_clean),
        (4999, "yours", true)
    );
}

#[tokio::test]
async fn an_open_and_a_close_in_one_packet_are_open_and_then_a_clean_close() {
    let (listener, url) = listen().await;
    for closes in [false, true] {
        let ws = WebSocket::new(&url).unwrap();
        let record = record(&ws);
        if closes {
            ws.on_open(|ws| ws.close(()).unwrap());
        }
        let tail = crate::support::unmasked_close(1001, "PASS");
        let server = async { drop(raw_server(&listener, "", &tail).await.recv().await) };
        let (event, ()) = soon(async { tokio::join!(ws.run(), server) }).await;
        assert_eq!(
            (event.code, event.reason.as_str(), event.was_clean),
            (1001, "PASS", true)
        );
        let mut expected = vec![r#"open Open """#, r#"close 1001 "PASS" true Closed"#];
        expected.drain(..usize::from(closes));
        assert_eq!(events(&record), expected);
    }
}

#[tokio::test]
async fn messages_after_close_are_dropped_though_they_came_in_the_same_packet() {
    let (listener, url) = listen().await;
    let ws = WebSocket::new(&url).unwrap();
    let record = record(&ws);
    let came = Arc::clone(&record);
    ws.on_message(move |ws, event| {
        came.lock().unwrap().push(format!("message {}", event.data));
        ws.close(()).unwrap();
    });
    let mut tail = crate::support::unmasked(TEXT, b"one");
    tail.extend(crate::support::unmasked(BINARY, b"two"));
    tail.extend(crate::support::unmasked(TEXT, b"three"));
    let server = async {
        let mut peer = raw_server(&listener, "", &tail).await;
        assert_eq!(peer.recv().await, Some((CLOSE, Vec::new())));
        peer.write(&crate::support::unmasked_close(1000, "")).await;
    };
    soon(async { tokio::join!(ws.run(), server) }).await;
    let expected = [
        r#"open Open """#,
        "message one",
        r#"close 1000 "" true Closed"#,
    ];
    assert_eq!(events(&record), expected);
}

const FAILED: [&str; 2] = ["error Closed", r#"close 1006 "" false Closed"#];

#[tokio::test]
async fn what_cannot_be_opened_is_an_error_and_then_a_close_with_1006() {
    let (listener, url) = listen().await;
    drop(listener);
    let ws = WebSocket::new(&url).unwrap();
    let record_of = record(&ws);
    let event = soon(ws.run()).await;
    assert_eq!(
        (event.code, event.reason.as_str(), event.was_clean),
        (1006, "", false)
    );
    assert_eq!(events(&record_of), FAILED);

    // A refusal, a redirect, a wrong key, a subprotocol that was asked for and not chosen.
    let (listener, url) = listen().await;
    for (answer, protocols) in [
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            &[][..],
        ),
        (
            "HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            &[],
        ),
        (
            "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            &[],
        ),
        ("accept", &["echo"]),
    ] {
        let ws = WebSocket::with_protocols(&url, protocols.iter().copied()).unwrap();
        let record = record(&ws);
        let server = async {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut peer = Raw::new(tcp);
            let request = peer.head().await.expect("a request");
            let answer = match answer {
                "accept" => crate::support::accept(&request, ""),
                answer => answer.to_owned(),
            };
            peer.write(answer.as_bytes()).await;
            peer.recv_end().await;
        };
        soon(async { tokio::join!(ws.run(), server) }).await;
        assert_eq!(events(&record), FAILED, "{answer}");
    }

    let ws = WebSocket::new("wss://127.0.0.1/").unwrap();
    let record = record(&ws);
    soon(ws.run()).await;
    assert_eq!(events(&record), FAILED);
}

#[tokio::test]
async fn closed_before_it_is_open_it_fails_and_open_never_comes() {
    // Before it runs, while it connects, and while the server thinks about it.
    let (listener, url) = listen().await;
    let ws = WebSocket::new(&url).unwrap();
    let record_of = record(&ws);
    ws.close((1000, "never mind")).unwrap();
    assert_eq!(ws.ready_state(), ReadyState::Closing);
    soon(ws.run()).await;
    assert_eq!(events(&record_of), FAILED);

    let ws = WebSocket::new(&url).unwrap();
    let record = record(&ws);
    let server = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut peer = Raw::new(tcp);
        peer.head().await.expect("a request");
        ws.close(()).unwrap();
        ws.close(()).unwrap();
        assert_eq!(ws.ready_state(), ReadyState::Closing);
        peer.recv_end().await;
    };
    soon(async { tokio::join!(ws.run(), server) }).await;
    assert_eq!(events(&record), FAILED);
}

#[tokio::test]
async fn a_transport_that_ends_without_a_close_or_a_broken_rule_is_1006() {
    let (listener, url) = listen().await;
    for (tail, answer) in [
        (Vec::new(), None),
        (crate::support::masked(TEXT, b"x"), Some(1002)),
        (crate::support::unmasked(TEXT, &[0xff]), Some(1007)),
        // The peer's Close after the mistake is too late to count.
        (
            [vec![0xc1, 0], crate::support::unmasked_close(1000, "")].concat(),
            Some(1002),
        ),
    ] {
        let ws = WebSocket::new(&url).unwrap();
        let record = record(&ws);
        let server = async {
            let mut peer = raw_server(&listener, "", &tail).await;
            match answer {
                Some(code) => assert_eq!(peer.recv_close().await.0, code),
                None => peer.fin().await,
            }
            peer.recv_end().await;
        };
        soon(async { tokio::join!(ws.run(), server) }).await;
        let expected = [r#"open Open """#, FAILED[0], FAILED[1]];
        assert_eq!(events(&record), expected, "{tail:?}");
    }
}

#[tokio::test]
async fn a_second_run_waits_for_the_first_and_connects_to_nobody() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let echo = endpoint("/", move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Echo
    });
    let addr = serve(Server::builder().endpoint(echo)).await;
    let ws = WebSocket::new(&format!("ws://{addr}/")).unwrap();
    let record = record(&ws);
    ws.on_open(|ws| ws.close((4000, "done")).unwrap());
    let (first, second) = soon(async { tokio::join!(ws.run(), ws.run()) }).await;
    assert_eq!(first, second);
    assert_eq!(soon(ws.run()).await, first);
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    assert_eq!(events(&record), [r#"close 4000 "done" true Closed"#]);
}

#[tokio::test]
async fn a_run_that_is_dropped_closes_the_object_without_an_event() {
    let (listener, url) = listen().await;
    let ws = WebSocket::new(&url).unwrap();
    let record = record(&ws);
    let opened = Arc::new(Notify::new());
    let open = Arc::clone(&opened);
    ws.on_open(move |ws| {
        ws.send("x").unwrap();
        open.notify_one();
    });
    let running = tokio::spawn({
        let ws = ws.clone();
        async move { ws.run().await }
    });
    let mut peer = raw_server(&listener, "", b"").await;
    soon(opened.notified()).await;
    let waiting = ws.run();
    running.abort();
    assert!(soon(running).await.unwrap_err().is_cancelled());
    let event = soon(waiting).await;
    assert_eq!((event.code, event.was_clean), (1006, false));
    assert_eq!(ws.ready_state(), ReadyState::Closed);
    assert_eq!(events(&record), [""; 0]);
    while peer.recv().await.is_some() {}
}

#[tokio::test]
async fn more_than_the_buffer_takes_fails_the_connection() {
    let (listener, url) = listen().await;
    let ws = WebSocket::new(&url).unwrap();
    let record = record(&ws);
    const CHUNK: usize = 16 << 20;
    ws.on_open(|ws| {
        for _ in 0..4 {
            ws.send(vec![0; CHUNK]).unwrap();
        }
        assert_eq!(ws.ready_state(), ReadyState::Open);
        ws.send("one more").unwrap();
        assert_eq!(ws.ready_state(), ReadyState::Closing);
        assert_eq!(ws.buffered_amount(), 4 * CHUNK as u64 + 8);
    });
    let server = async { drop(raw_server(&listener, "", b"").await) };
    soon(async { tokio::join!(ws.run(), server) }).await;
    assert_eq!(events(&record), FAILED);
    // Bytes that were not sent stay counted.
    assert_eq!(ws.buffered_amount(), 4 * CHUNK as u64 + 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_from_another_task_ends_the_object_however_far_it_is() {
    let url = echo().await;
    for round in 0..200 {
        let ws = WebSocket::new(&url).unwrap();
        let record = record(&ws);
        let running = tokio::spawn({
            let ws = ws.clone();
            async move { ws.run().await }
        });
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        ws.close(()).unwrap();
        soon(running).await.unwrap();
        // Either it was open before, or it never is.
        let events = events(&record);
        let opened = [r#"open Open """#, r#"close 1005 "" true Closed"#];
        let while_closing = [r#"open Closing """#, r#"close 1005 "" true Closed"#];
        let closed = [opened[1]];
        let expected = [&FAILED[..], &opened, &while_closing, &closed];
        assert!(
            expected.iter().any(|expected| events == *expected),
            "{events:?}"
        );
    }
}
