//! The extractor for axum's handlers. tokio-tungstenite is the client where it is not the point what stands on the wire.
#![cfg(feature = "axum")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::support::serving::bind;
use crate::support::{FIELDS, Raw, TEXT, masked, request, soon};
use axum::Router;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, StatusCode};
use sockeye::axum::{WebSocketUpgrade, WebSocketUpgradeRejection};
use sockeye::endpoint::{ConnectionInfo, Handshake, Properties};
use sockeye::proto::handshake::OriginPolicy;
use sockeye::proto::{Config, DeflateConfig, Role};
use sockeye::server::{AcceptError, Container};
use sockeye::{Client, CloseCode, Connection, Endpoint, HandlerResult, Server, Session, endpoint};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

async fn echo(mut ws: Connection) {
    while let Ok(Some(message)) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
}

/// axum's server.
async fn serve(router: Router) -> SocketAddr {
    let (listener, addr) = bind().await;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, service).into_future());
    addr
}

async fn handled(answer: fn(WebSocketUpgrade) -> Response) -> SocketAddr {
    let handler = async move |upgrade: WebSocketUpgrade| answer(upgrade);
    serve(Router::new().route("/", any(handler))).await
}

#[tokio::test]
async fn http_1_0_is_rejected() {
    let addr = handled(|upgrade| upgrade.on_upgrade(echo)).await;
    let mut peer = Raw::connect(addr).await;
    let asked = format!("GET / HTTP/1.0\r\nHost: {addr}\r\n{FIELDS}\r\n");
    let answer = peer.request(&asked).await;
    assert_eq!(answer.status, 505, "{answer:?}");
    assert!(answer.body.contains("HTTP/1.1"), "{answer:?}");
    peer.recv_end().await;
}

#[tokio::test]
async fn the_first_of_the_handlers_protocols_that_the_client_offers_is_agreed_on() {
    let addr = handled(|upgrade| {
        assert_eq!(upgrade.selected_protocol(), None);
        let upgrade = upgrade.protocols(["echo2", "echo"]);
        let requested = upgrade.requested_protocols().collect::<Vec<_>>().join(" ");
        let selected = upgrade.selected_protocol().unwrap_or("none").to_owned();
        upgrade.on_upgrade(move |mut ws| async move {
            let agreed = ws.subprotocol().unwrap_or("none").to_owned();
            let _ = ws.send(format!("{requested}; {selected}; {agreed}")).await;
            echo(ws).await;
        })
    })
    .await;
    for (offer, agreed) in [
        (Some("echo"), Some("echo")),
        (Some("echo, echo2"), Some("echo2")),
        (Some("echo3, echo"), Some("echo")),
    ] {
        let mut asked = format!("ws://{addr}/").into_client_request().unwrap();
        if let Some(offer) = offer {
            let value = HeaderValue::from_static(offer);
            asked.headers_mut().insert("sec-websocket-protocol", value);
        }
        let (mut ws, response) = soon(tokio_tungstenite::connect_async(asked)).await.unwrap();
        let chosen = response.headers().get("sec-websocket-protocol");
        assert_eq!(chosen.map(|value| value.to_str().unwrap()), agreed);
        let told = soon(ws.next()).await.unwrap().unwrap();
        let agreed = agreed.unwrap();
        let expected = format!("{}; {agreed}; {agreed}", offer.unwrap().replace(',', ""));
        assert_eq!(told, Message::text(expected));
        for message in [Message::text("hello"), Message::binary(&b"\x00\xff"[..])] {
            ws.send(message.clone()).await.unwrap();
            assert_eq!(soon(ws.next()).await.unwrap().unwrap(), message);
        }
        ws.close(None).await.unwrap();
        let closed = soon(ws.next()).await.unwrap().unwrap();
        assert!(closed.is_close(), "{closed:?}");
        assert!(soon(ws.next()).await.is_none());
    }
    // A client that offers none of them is accepted without one.
    for fields in ["", "Sec-WebSocket-Protocol: other\r\n"] {
        let mut peer = Raw::connect(addr).await;
        let answer = peer.request(&request(addr, "/", fields)).await;
        assert_eq!(answer.status, 101);
        assert_eq!(answer.field("sec-websocket-protocol"), None);
        assert!(peer.recv_text().await.ends_with("; none; none"));
    }
}

/// Tells the test the error, or that there was a connection.
fn telling(
    to_test: &mpsc::Sender<Option<AcceptError>>,
) -> (
    impl FnOnce(AcceptError) + Send + 'static,
    impl FnOnce(Connection) -> std::future::Ready<()> + Send + 'static,
) {
    let (failed, opened) = (to_test.clone(), to_test.clone());
    let failed = move |error| failed.try_send(Some(error)).expect("there is room");
    let opened = move |_ws| {
        opened.try_send(None).expect("there is room");
        std::future::ready(())
    };
    (failed, opened)
}

#[tokio::test]
async fn a_page_of_another_origin_gets_403_and_on_failed_upgrade_knows_why() {
    let (to_test, mut outcomes) = mpsc::channel(4);
    let handler = async move |Path(policy): Path<String>, upgrade: WebSocketUpgrade| {
        let (failed, opened) = telling(&to_test);
        let upgrade = match &*policy {
            "any" => upgrade.origins(OriginPolicy::Any),
            _ => upgrade,
        };
        upgrade.on_failed_upgrade(failed).on_upgrade(opened)
    };
    let addr = serve(Router::new().route("/{policy}", any(handler))).await;
    let elsewhere = "Origin: https://elsewhere.example\r\n";
    let own = format!("Origin: http://{addr}\r\n");
    for (path, fields, status) in [
        ("/own", elsewhere, 403),
        ("/own", &*own, 101),
        ("/own", "", 101),
        ("/any", elsewhere, 101),
    ] {
        let mut peer = Raw::connect(addr).await;
        let answer = peer.request(&request(addr, path, fields)).await;
        assert_eq!(answer.status, status, "{path} {fields}");
        let outcome = soon(outcomes.recv()).await.unwrap();
        if status == 403 {
            assert!(answer.body.contains("origin"), "{answer:?}");
            assert_eq!(outcome.unwrap().status(), Some(StatusCode::FORBIDDEN));
        } else {
            assert!(outcome.is_none());
        }
    }
}

#[tokio::test]
async fn the_callback_outlives_the_handler_and_its_request() {
    struct Noisy(Option<oneshot::Sender<()>>);

    impl Drop for Noisy {
        fn drop(&mut self) {
            let _ = self.0.take().unwrap().send(());
        }
    }

    let (to_test, ended) = oneshot::channel();
    let guard = Arc::new(std::sync::Mutex::new(Some(Noisy(Some(to_test)))));
    let handler = async move |upgrade: WebSocketUpgrade| {
        // Dropped with the handler's future.
        let _guard = guard.lock().unwrap().take();
        upgrade.on_upgrade(echo)
    };
    let addr = serve(Router::new().route("/", any(handler))).await;
    let mut peer = Raw::open(addr, "/").await;
    soon(ended).await.unwrap();
    peer.send(TEXT, b"still here").await;
    assert_eq!(peer.recv_text().await, "still here");
}

#[tokio::test]
async fn frames_behind_the_request_are_not_lost() {
    let addr = handled(|upgrade| upgrade.on_upgrade(echo)).await;
    let mut peer = Raw::connect(addr).await;
    let mut bytes = request(addr, "/", "").into_bytes();
    bytes.extend(masked(TEXT, b"early"));
    peer.write(&bytes).await;
    assert_eq!(peer.answer().await.status, 101);
    assert_eq!(peer.recv_text().await, "early");
}

#[tokio::test]
async fn the_limit_of_a_message_is_inclusive_and_beyond_it_the_connection_closes_1009() {
    let max_message = handled(|upgrade| upgrade.max_message(10).on_upgrade(echo)).await;
    let config = handled(|upgrade| {
        let config = Config::new(Role::Server).max_message(10);
        upgrade.max_message(5).config(config).on_upgrade(echo)
    })
    .await;
    for addr in [max_message, config] {
        let mut peer = Raw::open(addr, "/").await;
        peer.send(TEXT, b"0123456789").await;
        assert_eq!(peer.recv_text().await, "0123456789");
        peer.send(TEXT, b"0123456789a").await;
        assert_eq!(peer.recv_close().await.0, 1009);
    }
}

#[tokio::test]
async fn compression_is_agreed_on_where_it_is_switched_on() {
    let on = handled(|upgrade| {
        upgrade
            .compression(DeflateConfig::default())
            .on_upgrade(echo)
    })
    .await;
    let off = handled(|upgrade| upgrade.on_upgrade(echo)).await;
    for (addr, agreed) in [(on, true), (off, false)] {
        let mut ws = Client::new()
            .connect(format!("ws://{addr}/"))
            .await
            .unwrap();
        let chosen = ws.opening().unwrap().extensions();
        assert_eq!(chosen.starts_with("permessage-deflate"), agreed);
        let text = "again and ".repeat(1000);
        ws.send(&*text).await.unwrap();
        assert_eq!(soon(ws.recv()).await.unwrap(), Some((&*text).into()));
        ws.close(CloseCode::NORMAL, "").await.unwrap();
    }
}

#[tokio::test]
async fn the_connection_knows_the_request_and_what_the_handler_knows() {
    let handler = async |ConnectInfo(peer): ConnectInfo<SocketAddr>, upgrade: WebSocketUpgrade| {
        let info = ConnectionInfo::default().peer_addr(peer);
        let upgrade = upgrade
            .connection_info(info)
            .principal("ann")
            .property(7_u8);
        upgrade.on_upgrade(|mut ws| async move {
            let asked = ws.request().unwrap();
            let told = format!(
                "{:?} {:?} {:?} {:?} {}",
                asked.principal(),
                asked.properties().get::<u8>(),
                asked.properties().get::<&str>(),
                asked.peer_addr(),
                asked.uri(),
            );
            let _ = ws.send(told).await;
        })
    };
    // A layer may add to what the connection knows.
    let layer = middleware::from_fn(async |mut request: Request, next: Next| {
        let properties = Properties::default();
        properties.insert("of the layer");
        request.extensions_mut().insert(properties);
        next.run(request).await
    });
    let addr = serve(Router::new().route("/river", any(handler)).layer(layer)).await;
    let mut peer = Raw::open(addr, "/river?bank=left").await;
    let local = peer.stream.local_addr().unwrap();
    let told = peer.recv_text().await;
    let expected =
        format!("Some(\"ann\") Some(7) Some(\"of the layer\") Some({local}) /river?bank=left");
    assert_eq!(told, expected);
}

/// Says what it knows.
struct Knowing(String);

impl Endpoint for Knowing {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        let room = session.path_parameter("room").unwrap_or("-");
        let who = session.principal().unwrap_or("-");
        let said = format!("{room} {who} {}", self.0);
        session.basic_remote().send_text(said).await?;
        Ok(())
    }
}

fn knowing() -> Container {
    let factory = |handshake: &Handshake| {
        let plan = handshake.properties().get::<String>();
        Knowing(plan.map_or_else(String::new, |plan| (*plan).clone()))
    };
    let config = endpoint("/rooms/{room}", factory).subprotocols(["chat"]);
    Server::builder()
        .endpoint(config)
        .container()
        .expect("one endpoint")
}

#[tokio::test]
async fn an_endpoint_behind_a_handler_gets_what_the_handler_knows() {
    let container = knowing();
    let handler = async |State(container): State<Container>,
                         Path(room): Path<String>,
                         upgrade: WebSocketUpgrade| {
        if room == "cellar" {
            return StatusCode::FORBIDDEN.into_response();
        }
        let upgrade = upgrade.principal("ann").property("paid".to_owned());
        upgrade.endpoint(&container).await.into_response()
    };
    let router = Router::new()
        .route("/rooms/{room}", any(handler))
        .with_state(container.clone());
    let addr = serve(router).await;
    let mut peer = Raw::connect(addr).await;
    let fields = "Sec-WebSocket-Protocol: chat\r\n";
    let answer = peer.request(&request(addr, "/rooms/lobby", fields)).await;
    assert_eq!(answer.field("sec-websocket-protocol"), Some("chat"));
    assert_eq!(peer.recv_text().await, "lobby ann paid");
    let session = &container.open_sessions("/rooms/{room}").unwrap().to_vec()[0];
    assert_eq!(session.principal(), Some("ann"));

    for (target, fields, status) in [
        ("/rooms/cellar", "", 403),
        ("/rooms/lobby", "Origin: https://elsewhere.example\r\n", 403),
    ] {
        let mut peer = Raw::connect(addr).await;
        let answer = peer.request(&request(addr, target, fields)).await;
        assert_eq!(answer.status, status);
    }

    let stopping = tokio::spawn(async move { container.stop().await });
    assert_eq!(peer.recv_close().await.0, 1001);
    peer.send_close(1001, "").await;
    peer.recv_end().await;
    drop(peer);
    soon(stopping).await.unwrap();
}

#[tokio::test]
async fn a_path_that_the_container_does_not_have_is_404() {
    let handler = async |State(container): State<Container>, upgrade: WebSocketUpgrade| {
        upgrade.endpoint(&container).await
    };
    let router = Router::new().route("/elsewhere", any(handler));
    let addr = serve(router.with_state(knowing())).await;
    let mut peer = Raw::connect(addr).await;
    let answer = peer.request(&request(addr, "/elsewhere", "")).await;
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("no endpoint"), "{answer:?}");
}

#[tokio::test]
async fn a_handler_may_answer_what_is_rejected() {
    let handler = async |upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>| match upgrade
    {
        Ok(upgrade) => upgrade.on_upgrade(echo),
        Err(rejection) if rejection.status() == 426 => "the page".into_response(),
        Err(rejection) => {
            let told = rejection.to_string();
            assert!(told.contains("400") && told.contains("Key"), "{told}");
            rejection.into_response()
        }
    };
    let addr = serve(Router::new().route("/", any(handler))).await;
    let page = format!("GET / HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    let answer = Raw::connect(addr).await.request(&page).await;
    assert_eq!((answer.status, &*answer.body), (200, "the page"));
    let again = request(addr, "/", "Sec-WebSocket-Key: again\r\n");
    let answer = Raw::connect(addr).await.request(&again).await;
    assert_eq!(answer.status, 400);
    Raw::open(addr, "/").await;
}

/// `tower::ServiceExt::oneshot` and the like bring no connection.
#[tokio::test]
async fn a_request_without_a_connection_is_rejected_with_500() {
    use tower_service::Service;
    let handler = async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo);
    let mut router: Router = Router::new().route("/", any(handler));
    let asked = Request::get("/")
        .header("host", "server.example")
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(axum::body::Body::empty())
        .unwrap();
    let response = router.call(asked).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = axum::body::to_bytes(response.into_body(), 1024)
        .await
        .unwrap();
    assert!(body.starts_with(b"this connection cannot be upgraded"));
}

/// A client that goes away between its request and the answer.
#[tokio::test]
async fn on_failed_upgrade_has_the_error_of_a_client_that_is_gone_before_the_answer() {
    let (to_test, mut outcomes) = mpsc::channel(4);
    let (asked, mut was_asked) = mpsc::channel(1);
    let (go_on, gone) = oneshot::channel::<()>();
    let gone = Arc::new(tokio::sync::Mutex::new(Some(gone)));
    let handler = async move |upgrade: WebSocketUpgrade| {
        let (failed, opened) = telling(&to_test);
        let gone = gone.lock().await.take().unwrap();
        asked.send(()).await.unwrap();
        // The handler goes on although its client is gone: axum drops it only when hyper notices.
        let response = upgrade.on_failed_upgrade(failed).on_upgrade(opened);
        let _ = tokio::time::timeout(Duration::from_secs(30), gone).await;
        response
    };
    let addr = serve(Router::new().route("/", any(handler))).await;
    let mut peer = Raw::connect(addr).await;
    peer.write(request(addr, "/", "").as_bytes()).await;
    soon(was_asked.recv()).await.unwrap();
    peer.rst();
    let error = soon(outcomes.recv()).await.unwrap().unwrap();
    assert!(matches!(error, AcceptError::NotUpgraded(_)), "{error}");
    drop(go_on);
}

#[tokio::test]
async fn a_tungstenite_client_is_told_the_reason_of_a_refusal() {
    let addr = handled(|upgrade| upgrade.on_upgrade(echo)).await;
    let mut asked = format!("ws://{addr}/").into_client_request().unwrap();
    let origin = HeaderValue::from_static("https://elsewhere.example");
    asked.headers_mut().insert("origin", origin);
    let error = soon(tokio_tungstenite::connect_async(asked))
        .await
        .unwrap_err();
    let tungstenite::Error::Http(response) = error else {
        panic!("{error}")
    };
    assert_eq!(response.status(), 403);
}
