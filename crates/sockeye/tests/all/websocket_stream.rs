//! WHATWG's `WebSocketStream` against a peer that speaks bytes.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use crate::support::{CLOSE, Raw, TEXT, listen, raw_server, soon, unmasked, unmasked_close};
use futures_util::{SinkExt, StreamExt};
use sockeye::browser::{CloseError, OpenedStream, WebSocketError, WebSocketStream};
use sockeye::proto::{Config, Role};
use sockeye::{Client, Message};

/// A stream and its server, which has opened it.
async fn opened(fields: &str) -> (WebSocketStream, OpenedStream, Raw) {
    let (listener, url) = listen().await;
    let mut ws = WebSocketStream::new(&url).expect("a URL");
    let (opened, peer) =
        soon(async { tokio::join!(ws.opened(), raw_server(&listener, fields, b"")) }).await;
    (ws, opened.expect("an answer"), peer)
}

fn is_pending(future: impl Future) -> bool {
    pin!(future)
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_pending()
}

#[tokio::test]
async fn messages_are_written_and_read_and_the_peers_close_is_told() {
    let (ws, mut opened, mut peer) = opened("").await;
    assert_eq!(
        (opened.protocol.as_str(), opened.extensions.as_str()),
        ("", "")
    );
    opened.writable.write("hello").await.unwrap();
    assert_eq!(peer.recv_text().await, "hello");
    peer.write(&unmasked(TEXT, b"one")).await;
    peer.write(&unmasked(TEXT, b"two")).await;
    peer.write(&unmasked_close(4001, "enough")).await;
    let read = soon(opened.readable.read()).await.unwrap();
    assert_eq!(read, Some(Message::from("one")));
    // Messages before the Close are read before the end.
    let read = soon(opened.readable.next()).await.unwrap().unwrap();
    assert_eq!(read, Message::from("two"));
    assert_eq!(peer.recv_close().await.0, 4001);
    drop(peer);
    assert_eq!(soon(opened.readable.read()).await.unwrap(), None);
    let reason = soon(ws.closed()).await.unwrap();
    assert_eq!((reason.code().get(), reason.reason()), (4001, "enough"));
    assert!(opened.writable.write("too late").await.is_err());
}

#[tokio::test]
async fn a_close_goes_behind_what_was_written_and_the_peers_code_counts() {
    let (ws, opened, mut peer) = opened("").await;
    opened.writable.write("last").await.unwrap();
    ws.close((3000, "bye")).unwrap();
    // Only the first one counts.
    ws.close(4000).unwrap();
    assert!(matches!(ws.close(1001), Err(CloseError::InvalidAccess(_))));
    assert_eq!(peer.recv_text().await, "last");
    assert_eq!(peer.recv_close().await, (3000, "bye".to_owned()));
    assert!(is_pending(ws.closed()));
    peer.write(&unmasked_close(4002, "mine")).await;
    drop(peer);
    let reason = soon(ws.closed()).await.unwrap();
    assert_eq!((reason.code().get(), reason.reason()), (4002, "mine"));
}

#[tokio::test]
async fn a_reason_alone_stands_for_1000_and_nothing_for_an_empty_close() {
    let (ws, _open, mut peer) = opened("").await;
    ws.close("bye").unwrap();
    assert_eq!(peer.recv_close().await, (1000, "bye".to_owned()));
    let (ws, _open, mut peer) = opened("").await;
    ws.close(()).unwrap();
    assert_eq!(peer.recv().await, Some((CLOSE, Vec::new())));
}

#[tokio::test]
async fn closing_the_writable_side_closes_the_connection() {
    let (ws, mut opened, mut peer) = opened("").await;
    opened.writable.feed("last".into()).await.unwrap();
    let closing = SinkExt::<Message>::close(&mut opened.writable);
    let serving = async {
        assert_eq!(peer.recv_text().await, "last");
        assert_eq!(peer.recv().await, Some((CLOSE, Vec::new())));
        peer.write(&unmasked(CLOSE, b"")).await;
        drop(peer);
    };
    let (closed, ()) = soon(async { tokio::join!(closing, serving) }).await;
    closed.unwrap();
    // WHATWG has 1005 for a Close without a code.
    assert_eq!(soon(ws.closed()).await.unwrap().code().get(), 1005);
}

#[tokio::test]
async fn an_end_without_a_close_fails_both_sides_and_the_object() {
    let (ws, mut opened, peer) = opened("").await;
    drop(peer);
    let failed = soon(opened.readable.read()).await.unwrap_err();
    let error = soon(ws.closed()).await.unwrap_err();
    assert_eq!(error.to_string(), failed.to_string());
    assert!(error.close_reason().is_none());
    assert!(soon(opened.readable.next()).await.is_none());
    assert!(opened.writable.write("too late").await.is_err());
}

#[tokio::test]
async fn a_rule_that_the_peer_broke_is_no_close_of_its() {
    let (ws, mut opened, mut peer) = opened("").await;
    // A reserved opcode.
    peer.write(&[0x83, 0]).await;
    assert!(soon(opened.readable.read()).await.is_err());
    assert_eq!(peer.recv_close().await.0, 1002);
    drop(peer);
    let error = soon(ws.closed()).await.unwrap_err();
    assert!(error.close_reason().is_none(), "{error}");
}

#[tokio::test]
async fn what_was_not_sent_makes_a_close_unclean_and_its_code_is_told() {
    let (listener, url) = listen().await;
    let impatient = Config::new(Role::Client).close_timeout(Duration::from_millis(1));
    let client = Client::builder().config(impatient).build();
    let mut ws = client.websocket_stream(&url).unwrap();
    let answer = raw_server(&listener, "", b"");
    let (opened, mut peer) = soon(async { tokio::join!(ws.opened(), answer) }).await;
    let opened = opened.unwrap();
    // Far more than the sockets take, and more behind it.
    opened.writable.write("x".repeat(20 << 20)).await.unwrap();
    peer.write(&unmasked_close(4001, "enough")).await;
    let error = soon(ws.closed()).await.unwrap_err();
    assert_eq!(error.to_string(), "not all messages were sent");
    let code = error.close_reason().map(|reason| reason.code().get());
    assert_eq!(code, Some(4001));
}

#[tokio::test]
async fn who_does_not_read_stops_the_peer() {
    let (_ws, mut opened, mut peer) = opened("").await;
    let message = unmasked(TEXT, "x".repeat(60_000).as_bytes());
    let mut sent = 0_usize;
    // More than the sockets of both sides hold, in the end.
    while !is_pending(peer.write(&message)) {
        sent += 1;
        assert!(sent < 10_000, "it never stops");
        tokio::task::yield_now().await;
    }
    // The writes that were cut off go on as messages are read.
    for _ in 0..sent {
        soon(opened.readable.read()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn it_opens_once_and_as_browsers_do() {
    let (listener, url) = listen().await;
    let mut ws = WebSocketStream::with_protocols(&url, ["chat"]).unwrap();
    assert!(soon(ws.closed()).await.is_err());
    // A subprotocol that was asked for is not chosen.
    let answer = raw_server(&listener, "", b"");
    let (failed, _peer) = soon(async { tokio::join!(ws.opened(), answer) }).await;
    assert!(failed.is_err());
    // Another attempt may do better.
    let answer = raw_server(&listener, "Sec-WebSocket-Protocol: chat\r\n", b"");
    let (opened, _peer) = soon(async { tokio::join!(ws.opened(), answer) }).await;
    assert_eq!(opened.unwrap().protocol, "chat");
    let again: WebSocketError = ws.opened().await.unwrap_err();
    assert_eq!(again.to_string(), "the stream was opened before");

    for url in ["ftp://host/", "ws://host/#a", "host"] {
        assert!(WebSocketStream::new(url).is_err(), "{url}");
    }
    assert!(WebSocketStream::with_protocols("ws://a/", ["a", "A"]).is_err());
    let mut blocked = WebSocketStream::new("http://127.0.0.1:25/").unwrap();
    assert_eq!(blocked.url(), "ws://127.0.0.1:25/");
    let refused = blocked.opened().await.unwrap_err();
    assert!(refused.to_string().contains("port 25"), "{refused}");
}

#[tokio::test]
async fn it_connects_as_its_client_does() {
    let (listener, url) = listen().await;
    let client = Client::builder()
        .config(Config::new(Role::Client).max_message(2))
        .build();
    let mut ws = client.websocket_stream(&url).unwrap();
    let answer = raw_server(&listener, "", b"\x81\x03abc");
    let (opened, mut peer) = soon(async { tokio::join!(ws.opened(), answer) }).await;
    assert!(soon(opened.unwrap().readable.read()).await.is_err());
    assert_eq!(peer.recv_close().await.0, 1009);
}
