//! The help for tests: endpoints without a listener, and scripted servers.
#![cfg(feature = "macros")]

use std::time::Duration;

use http::StatusCode;
use sockeye::connection::ConnectionEvent;
use sockeye::endpoint::{Configurator, Handshake, HandshakeResponse, Refusal};
use sockeye::proto::{Config, Role};
use sockeye::reconnect::{Interruption, ReconnectEvent, Reconnecting};
use sockeye::test::{Peer, Script, TestServer};
use sockeye::{
    CloseCode, Connection, Error, HandlerResult, Message, Server, Session, server_endpoint,
};
use tokio::time::Instant;

#[derive(Default)]
struct Room;

#[server_endpoint("/room/{name}", subprotocols = ["v1", "v2"])]
impl Room {
    #[on_open]
    async fn opened(&mut self, session: &Session, #[path] name: &str) -> HandlerResult {
        let tenant = session.request().headers().get("x-tenant");
        let greeting = format!(
            "{name} {:?} {:?} {:?} {:?}",
            session.principal(),
            tenant.map(|value| value.to_str().unwrap_or_default().to_owned()),
            session.request().query(),
            session.properties().get::<u32>(),
        );
        session.basic_remote().send_text(greeting).await?;
        Ok(())
    }

    #[on_message]
    fn said(&mut self, session: &Session, text: &str, #[path] name: &str) {
        let room = session.open_sessions().with_path_parameter("name", name);
        room.broadcast(text);
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_reached_by_path_principal_and_headers() {
    let server = TestServer::of::<Room>().unwrap();
    let request = server
        .get("/room/a%20b?q=1")
        .principal("ann")
        .property(7_u32);
    let mut peer = request
        .header("X-Tenant", "t")
        .subprotocols(["v2", "v1"])
        .open()
        .await
        .unwrap();
    let greeting = r#"a b Some("ann") Some("t") Some("q=1") Some(7)"#;
    assert_eq!(peer.recv().await.unwrap(), Some(greeting.into()));
    assert_eq!(peer.subprotocol(), Some("v2"));
    assert_eq!(peer.answer().headers()["sec-websocket-protocol"], "v2");
    assert_eq!(peer.session().principal(), Some("ann"));
    peer.close(CloseCode::NORMAL, "bye").await.unwrap();
    assert_eq!(peer.session().closed().await.to_string(), "1000 bye");
    assert_eq!(server.container().stats().open_sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn peers_of_one_server_meet() {
    let server = TestServer::new(Room::endpoint(|_| Room)).unwrap();
    let mut peers = Vec::new();
    for path in ["/room/a", "/room/a", "/room/b"] {
        let mut peer = server.get(path).open().await.unwrap();
        peer.recv().await.unwrap();
        peers.push(peer);
    }
    peers[0].send("hello").await.unwrap();
    for peer in &mut peers[..2] {
        assert_eq!(peer.recv().await.unwrap(), Some("hello".into()));
    }
    // The first event of the other room is the keep-alive's.
    let event = peers[2].recv_event().await.unwrap();
    assert!(matches!(event, Some(ConnectionEvent::Ping(_))), "{event:?}");
}

#[tokio::test(start_paused = true)]
async fn time_passes_at_once_and_a_silent_peer_is_given_up() {
    let started = Instant::now();
    let server = TestServer::of::<Room>().unwrap();
    let peer = server.get("/room/a").open().await.unwrap();
    // The peer is never polled, so it answers no Ping.
    let reason = peer.session().closed().await;
    assert_eq!(reason.to_string(), "1006 the peer does not answer");
    let elapsed = started.elapsed().as_secs();
    assert_eq!(elapsed, 40, "{elapsed}");
}

#[tokio::test(start_paused = true)]
async fn each_refusal_says_why() {
    struct Gate;

    impl Configurator for Gate {
        async fn modify_handshake(
            &self,
            request: &Handshake,
            response: &mut HandshakeResponse,
        ) -> Result<(), Refusal> {
            match request.query() {
                Some("in") => response.set_principal("of the gate"),
                _ => return Err(Refusal::new(StatusCode::UNAUTHORIZED).body("who are you?\n")),
            }
            Ok(())
        }
    }

    let room = Room::endpoint(|_| Room).configurator(Gate);
    let server = TestServer::with(Server::builder().endpoint(room).max_connections(1)).unwrap();
    for (target, origin, expected) in [
        (
            "/other",
            None,
            "refused with 404 Not Found: there is no endpoint at this path",
        ),
        (
            "/room/a",
            None,
            "refused with 401 Unauthorized: who are you?",
        ),
        (
            "/room/a?in",
            Some("https://elsewhere.example"),
            "refused with 403 Forbidden: pages of this Origin may not connect",
        ),
    ] {
        let mut request = server.get(target);
        if let Some(origin) = origin {
            request = request.origin(origin);
        }
        let refused = request.open().await.unwrap_err();
        let text = refused.to_string();
        let (status, _) = expected.split_once(": ").unwrap();
        assert!(text.starts_with(status), "{text}");
        assert!(!refused.response().body().is_empty(), "{text}");
    }
    let mut peer = server.get("/room/a?in").open().await.unwrap();
    let greeting = peer.recv().await.unwrap().unwrap().to_string();
    assert!(greeting.contains("of the gate"), "{greeting}");
    // A principal of the test goes before that of the configurator, which is asked all the same.
    let full = server
        .get("/room/a?in")
        .principal("ann")
        .open()
        .await
        .unwrap_err();
    assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
    let error = Error::from(full);
    assert!(matches!(&error, Error::Connect(_)));
    assert!(error.to_string().contains("the server is full"), "{error}");
}

/// An endpoint with a parameter of its path, without one: the Close says what is missing.
#[tokio::test(start_paused = true)]
async fn an_endpoint_with_a_path_over_a_bare_connection_says_what_it_misses() {
    let (near, far) = tokio::io::duplex(1024);
    Connection::server(near, Config::new(Role::Server)).serve(Room);
    let mut peer = Connection::client(far, Config::new(Role::Client));
    assert_eq!(peer.recv().await.unwrap(), None);
    let reason = peer.close_received().unwrap();
    let why = "1011 the path that this session was opened at has no parameter `name`";
    assert_eq!(reason.to_string(), why);
}

/// A transport with little room: a peer that does not read holds the endpoint back.
#[tokio::test(start_paused = true)]
async fn the_transport_has_the_room_that_the_test_says() {
    let server = TestServer::of::<Room>().unwrap();
    let mut peer = server.get("/room/a").buffer(64).open().await.unwrap();
    peer.recv().await.unwrap();
    let remote = peer.session().clone();
    let large = "x".repeat(10_000);
    let sending = tokio::spawn(async move { remote.basic_remote().send_text(large).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!sending.is_finished());
    assert_eq!(peer.recv().await.unwrap().unwrap().as_bytes().len(), 10_000);
    sending.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_script_plays_a_server_for_a_client() {
    let script = Script::new().accept(
        Peer::new()
            .subprotocol("v1")
            .expects("hello")
            .sends("welcome")
            .pings(&b"p"[..])
            .waits(Duration::from_secs(5))
            .expects(vec![1, 2])
            .closes(CloseCode::try_from(4001).unwrap(), "enough"),
    );
    let mut ws = script.connect().await.unwrap();
    assert_eq!(ws.subprotocol(), Some("v1"));
    ws.send("hello").await.unwrap();
    assert_eq!(ws.recv().await.unwrap(), Some("welcome".into()));
    let event = ws.recv_event().await.unwrap();
    assert_eq!(event, Some(ConnectionEvent::Ping((&b"p"[..]).into())));
    ws.send(vec![1, 2]).await.unwrap();
    assert_eq!(ws.recv().await.unwrap(), None);
    assert_eq!(ws.close_received().unwrap().to_string(), "4001 enough");
    drop(ws);
    script.verify().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_script_takes_a_reconnecting_client_through_losses_and_refusals() {
    let script = Script::new()
        .accept(Peer::new().expects("sub").sends("1").drops())
        .refuse(503)
        .accept(Peer::new().expects("sub").sends_bytes(&[0xff, 0xff][..]))
        .accept(Peer::new());
    let mut client = Reconnecting::new(script.connector()).greeting(|_| vec!["sub".into()]);
    let mut log = Vec::new();
    while let Some(event) = client.next().await {
        match event {
            ReconnectEvent::Message(message) => log.push(message.to_string()),
            ReconnectEvent::Interrupted { why, .. } => log.push(why.to_string()),
            ReconnectEvent::Ended { why, .. } => {
                assert!(
                    matches!(why, Some(Interruption::Lost(Error::Protocol(_)))),
                    "{why:?}"
                );
            }
            _ => {}
        }
    }
    assert_eq!(log[0], "1");
    assert_eq!(log[1], "the peer went away without a Close");
    assert!(log[2].contains("503"), "{}", log[2]);
    assert_eq!(log.len(), 3);
    let error = script.verify().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "after 3 attempts: 1 attempts of the script are left"
    );
}

#[tokio::test(start_paused = true)]
async fn a_script_says_which_step_did_not_happen() {
    let close = |code: u16| CloseCode::try_from(code).unwrap();
    let wrong: [(Peer, &str); 5] = [
        (
            Peer::new().sends("a").expects("b"),
            r#"attempt 1, step 2: expected Text("b"), but Text("c") came"#,
        ),
        (
            Peer::new().expects_ping(),
            r#"attempt 1, step 1: expected a Ping, but Message(Text("c")) came"#,
        ),
        (
            Peer::new().expects_close(close(4001)),
            r#"attempt 1, step 1: expected a Close, but Text("c") came"#,
        ),
        (
            Peer::new(),
            r#"attempt 1, step 1: the script is over, and the client sent Text("c")"#,
        ),
        (
            Peer::new().expects("c").expects_close(close(4001)),
            "attempt 1, step 2: expected a Close with 4001, but the client closed with 4002",
        ),
    ];
    for (peer, expected) in wrong {
        let script = Script::new().accept(peer);
        let mut ws = script.connect().await.unwrap();
        ws.send("c").await.unwrap();
        ws.start_closing_handshake(close(4002), "").unwrap();
        while ws.recv().await.unwrap().is_some() {}
        let error = script.verify().await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    // The client learns it too, so that its test does not hang.
    let script = Script::new().accept(Peer::new().expects("a"));
    let mut ws = script.connect().await.unwrap();
    ws.send("b").await.unwrap();
    assert_eq!(ws.recv().await.unwrap(), None);
    let why = r#"1008 expected Text("a"), but Text("b") came"#;
    assert_eq!(ws.close_received().unwrap().to_string(), why);
    script.verify().await.unwrap_err();

    let script = Script::new();
    script.connect().await.unwrap_err();
    let error = script.verify().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "after 0 attempts: the script has no more attempts"
    );

    // A client that keeps its connection open.
    let script = Script::new().accept(Peer::new());
    let _ws = script.connect().await.unwrap();
    let error = script.verify().await.unwrap_err();
    assert!(error.to_string().contains("still open"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_scripted_server_takes_the_clients_keep_alive() {
    let script = Script::new().accept(
        Peer::new()
            .expects_ping()
            .sends("seen")
            .expects_close(CloseCode::NORMAL),
    );
    let mut ws = script.connect().await.unwrap();
    assert_eq!(ws.recv().await.unwrap(), Some(Message::from("seen")));
    ws.close(CloseCode::NORMAL, "").await.unwrap();
    script.verify().await.unwrap();
}
