//! The examples, run: each as it is, on a free port.
#![cfg(feature = "macros")]

mod support;

#[path = "../examples/auth.rs"]
#[allow(dead_code, reason = "a test starts it in its own way")]
mod auth;
#[path = "../examples/axum.rs"]
#[allow(dead_code, reason = "a test starts it in its own way")]
mod axum_example;
#[path = "../examples/chat.rs"]
#[allow(dead_code, reason = "a test starts it in its own way")]
mod chat;

use std::net::SocketAddr;

use support::{Raw, TEXT, request, serve, soon};
use tokio::net::TcpListener;

#[tokio::test]
async fn axum_serves_endpoints_beside_its_pages_and_stops_with_them() {
    let (router, container) = axum_example::application().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, service).into_future());

    let mut peer = Raw::open(addr, "/ws/greet/ann").await;
    assert_eq!(peer.recv_text().await, "hello ann from 127.0.0.1");
    peer.send(TEXT, b"aloud").await;
    assert_eq!(peer.recv_text().await, "ALOUD");
    let page = format!("GET /listeners HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    let answer = Raw::connect(addr).await.request(&page).await;
    assert_eq!((answer.status, &*answer.body), (200, "1\n"));
    let nowhere = request(addr, "/ws/nowhere", "");
    assert_eq!(Raw::connect(addr).await.request(&nowhere).await.status, 404);

    let stopping = tokio::spawn(async move { container.stop().await });
    assert_eq!(peer.recv_close().await.0, 1001);
    peer.send_close(1001, "").await;
    peer.recv_end().await;
    drop(peer);
    soon(stopping).await.unwrap();
}

#[tokio::test]
async fn auth_knows_a_token_in_a_field_the_query_or_a_subprotocol_and_refuses_others_with_401() {
    let addr = serve(auth::server()).await;
    for (target, fields, who) in [
        ("/me", "Authorization: Bearer open-sesame\r\n", "ali"),
        ("/me?a=b&token=guest", "", "guest"),
        (
            "/me",
            "Sec-WebSocket-Protocol: me.v1, token.open-sesame\r\n",
            "ali",
        ),
    ] {
        let mut peer = Raw::connect(addr).await;
        let answer = peer.request(&request(addr, target, fields)).await;
        assert_eq!(answer.status, 101, "{target} {fields}");
        let agreed = fields.contains("me.v1").then_some("me.v1");
        assert_eq!(answer.field("sec-websocket-protocol"), agreed);
        peer.send(TEXT, b"?").await;
        let said = peer.recv_text().await;
        assert!(said.starts_with(&format!("you are {who}, ")), "{said}");
    }
    for (target, fields) in [
        ("/me", ""),
        ("/me?token=wrong", ""),
        ("/me", "Authorization: Basic open-sesame\r\n"),
        ("/me", "Sec-WebSocket-Protocol: me.v1, token.wrong\r\n"),
    ] {
        let mut peer = Raw::connect(addr).await;
        let answer = peer.request(&request(addr, target, fields)).await;
        assert_eq!(answer.status, 401, "{target} {fields}");
        assert_eq!(answer.field("www-authenticate"), Some("Bearer"));
        peer.recv_end().await;
    }
}

#[tokio::test]
async fn chat_tells_a_room_what_is_said_in_it_and_no_other() {
    let addr = serve(chat::server()).await;
    let mut ann = Raw::open(addr, "/chat/lobby/ann").await;
    assert_eq!(ann.recv_text().await, "* ann is here");
    let mut bob = Raw::open(addr, "/chat/lobby/bob").await;
    let mut eve = Raw::open(addr, "/chat/cellar/eve").await;
    assert_eq!(ann.recv_text().await, "* bob is here");
    assert_eq!(bob.recv_text().await, "* bob is here");
    assert_eq!(eve.recv_text().await, "* eve is here");
    ann.send(TEXT, "x".repeat(501).as_bytes()).await;
    assert_eq!(bob.recv_text().await, format!("ann: {}", "x".repeat(500)));
    eve.send(TEXT, b"hello").await;
    assert_eq!(eve.recv_text().await, "eve: hello");
    bob.close().await;
    assert_eq!(ann.recv_text().await.len(), "ann: ".len() + 500);
    assert_eq!(ann.recv_text().await, "* bob has gone");
}
