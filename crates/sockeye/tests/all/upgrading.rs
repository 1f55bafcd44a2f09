//! Plain connections inside hyper's server: the answer at once, and a future of the connection.

use std::net::SocketAddr;

use crate::support::serving::bind;
use crate::support::{Raw, TEXT, masked, request, serving, soon};
use bytes::Bytes;
use http::header::HeaderValue;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sockeye::Connection;
use sockeye::endpoint::{ConnectionInfo, Properties};
use sockeye::server::{AcceptError, Acceptor, ResponseBody, Upgrading};
use tokio::sync::{mpsc, oneshot};

async fn echo(mut ws: Connection) -> sockeye::Result {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}

/// hyper's server. What its upgrades come to goes to the test.
async fn serve(
    acceptor: Acceptor,
    prepare: fn(&mut Request<Incoming>),
) -> (SocketAddr, mpsc::Receiver<Result<Connection, AcceptError>>) {
    let (to_test, outcomes) = mpsc::channel(16);
    let addr = serving::hyper(move |mut request| {
        prepare(&mut request);
        let (response, upgrading) = acceptor.upgrade(&mut request);
        let to_test = to_test.clone();
        tokio::spawn(async move { to_test.send(upgrading.await).await });
        async move { response }
    })
    .await;
    (addr, outcomes)
}

#[tokio::test]
async fn a_request_becomes_a_connection_and_what_came_with_it_is_not_lost() {
    let (addr, mut outcomes) = serve(Acceptor::new(), |_| {}).await;
    let mut peer = Raw::connect(addr).await;
    let mut bytes = request(addr, "/river?bank=left", "X-Number: 7\r\n").into_bytes();
    bytes.extend(masked(TEXT, b"early"));
    bytes.extend(masked(TEXT, b"bird"));
    peer.write(&bytes).await;
    let answer = peer.answer().await;
    assert_eq!(answer.status, 101);
    assert_eq!(
        answer.field("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    let mut ws = soon(outcomes.recv()).await.unwrap().unwrap();
    let asked = ws.request().unwrap();
    assert_eq!(asked.uri(), "/river?bank=left");
    assert_eq!(asked.headers()["x-number"], "7");
    for text in ["early", "bird"] {
        assert_eq!(soon(ws.recv()).await.unwrap(), Some(text.into()));
    }
    tokio::spawn(echo(ws));
    peer.send(TEXT, b"late").await;
    assert_eq!(peer.recv_text().await, "late");
    peer.send_close(4000, "done").await;
    assert_eq!(peer.recv_close().await, (4000, "done".to_owned()));
    peer.recv_end().await;
}

#[tokio::test]
async fn what_the_http_server_knows_comes_by_the_requests_extensions() {
    let (addr, mut outcomes) = serve(Acceptor::new(), |request| {
        let properties = Properties::default();
        properties.insert("ann");
        let info = ConnectionInfo::default()
            .peer_addr(([192, 0, 2, 1], 5000).into())
            .secure(true);
        request.extensions_mut().insert(properties);
        request.extensions_mut().insert(info);
    })
    .await;
    let mut peer = Raw::connect(addr).await;
    // The same host is `https:` now.
    let fields = format!("Origin: https://{addr}\r\n");
    assert_eq!(peer.request(&request(addr, "/", &fields)).await.status, 101);
    let ws = soon(outcomes.recv()).await.unwrap().unwrap();
    let asked = ws.request().unwrap();
    assert_eq!(asked.peer_addr(), Some(([192, 0, 2, 1], 5000).into()));
    assert!(asked.is_secure());
    assert_eq!(asked.properties().get::<&str>().as_deref(), Some(&"ann"));
}

#[tokio::test]
async fn the_acceptors_options_hold() {
    let acceptor = Acceptor::builder()
        .subprotocols(["chat"])
        .on_request(|request, response| {
            let path = HeaderValue::try_from(request.uri().path())?;
            response.headers_mut().insert("x-path", path);
            response.set_principal("ann");
            Ok(())
        })
        .build();
    let (addr, mut outcomes) = serve(acceptor, |_| {}).await;
    let mut peer = Raw::connect(addr).await;
    let fields = "Sec-WebSocket-Protocol: other, chat\r\n";
    let answer = peer.request(&request(addr, "/river", fields)).await;
    assert_eq!(answer.field("sec-websocket-protocol"), Some("chat"));
    assert_eq!(answer.field("x-path"), Some("/river"));
    let ws = soon(outcomes.recv()).await.unwrap().unwrap();
    assert_eq!(ws.request().unwrap().principal(), Some("ann"));
    assert_eq!(ws.subprotocol(), Some("chat"));
}

#[tokio::test]
async fn the_future_of_a_refused_request_has_the_reason_at_once() {
    let mut request = Request::get("/").body(()).unwrap();
    let (response, upgrading) = sockeye::upgrade(&mut request);
    let (parts, _body): (_, ResponseBody) = response.into_parts();
    assert_eq!(parts.status, StatusCode::UPGRADE_REQUIRED);
    let error = upgrading.await.unwrap_err();
    let AcceptError::Refused(response) = error else {
        panic!("{error}")
    };
    let response: Response<Bytes> = *response;
    assert_eq!(response.status(), StatusCode::UPGRADE_REQUIRED);
    assert!(response.body().starts_with(b"the Upgrade field"));
}

/// A handler may look at the request after the upgrade.
#[tokio::test]
async fn the_request_is_as_it_was_but_for_hypers_extension() {
    let mut request = Request::get("/river?bank=left")
        .header("host", "server.example")
        .extension(7_u8)
        .body("body")
        .unwrap();
    let _refused = sockeye::upgrade(&mut request);
    assert_eq!(request.method(), "GET");
    assert_eq!(request.uri(), "/river?bank=left");
    assert_eq!(request.headers()["host"], "server.example");
    assert_eq!(request.extensions().get(), Some(&7_u8));
    assert_eq!(*request.body(), "body");
}

fn handshake() -> Request<()> {
    Request::get("/")
        .header("host", "server.example")
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(())
        .expect("a request")
}

#[tokio::test]
async fn a_request_that_no_http_server_brought_cannot_be_upgraded() {
    let (response, upgrading) = sockeye::upgrade(&mut handshake());
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let error = upgrading.await.unwrap_err();
    assert!(error.to_string().contains("cannot be upgraded"), "{error}");
}

#[tokio::test]
async fn a_loopback_address_takes_the_loopbacks_names_only_where_it_is_known() {
    let mut request = handshake();
    let info = ConnectionInfo::default().local_addr(([127, 0, 0, 1], 80).into());
    request.extensions_mut().insert(info);
    assert_eq!(
        sockeye::upgrade(&mut request).0.status(),
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn a_dropped_future_ends_the_connection_and_no_client_hangs() {
    let addr = serving::hyper(|mut request| {
        let (response, upgrading) = sockeye::upgrade(&mut request);
        drop(upgrading);
        async move { response }
    })
    .await;
    let mut peer = Raw::connect(addr).await;
    assert_eq!(peer.request(&request(addr, "/", "")).await.status, 101);
    peer.recv_end().await;
}

#[tokio::test]
async fn a_future_that_is_dropped_later_ends_the_connection_too() {
    let (to_test, mut futures) = mpsc::channel::<Upgrading>(1);
    let addr = serving::hyper(move |mut request| {
        let (response, upgrading) = sockeye::upgrade(&mut request);
        let to_test = to_test.clone();
        async move {
            to_test.send(upgrading).await.unwrap();
            response
        }
    })
    .await;
    let mut peer = Raw::connect(addr).await;
    assert_eq!(peer.request(&request(addr, "/", "")).await.status, 101);
    drop(soon(futures.recv()).await.unwrap());
    peer.recv_end().await;
}

/// The service gives another answer. hyper keeps the connection until its end, and then gives it away as if it were
/// upgraded.
#[tokio::test]
async fn the_future_of_a_response_that_is_not_sent_waits_for_the_end_of_the_connection_and_no_longer()
 {
    let (to_test, mut outcomes) = mpsc::channel(1);
    let addr = serving::hyper(move |mut request| {
        let (_unsent, upgrading) = sockeye::upgrade(&mut request);
        let to_test = to_test.clone();
        tokio::spawn(async move { to_test.send(upgrading.await).await });
        async move {
            let mut response = Response::new(ResponseBody::default());
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            response
        }
    })
    .await;
    let mut peer = Raw::connect(addr).await;
    assert_eq!(peer.request(&request(addr, "/", "")).await.status, 418);
    // Until then hyper waits for another request.
    drop(peer);
    let mut ws = soon(outcomes.recv()).await.unwrap().unwrap();
    let error = soon(ws.recv()).await.unwrap_err();
    assert!(matches!(error, sockeye::Error::UnexpectedEnd), "{error}");
}

/// A client asks twice on one HTTP connection, and only the second answer is sent.
#[tokio::test]
async fn the_future_of_a_response_that_is_not_sent_fails_when_another_request_is_upgraded() {
    let (to_test, mut outcomes) = mpsc::channel(2);
    let addr = serving::hyper(move |mut request| {
        let is_sent = request.uri().path() == "/sent";
        let (mut response, upgrading) = sockeye::upgrade(&mut request);
        let to_test = to_test.clone();
        tokio::spawn(async move { to_test.send(upgrading.await).await });
        if !is_sent {
            response = Response::new(ResponseBody::default());
        }
        async move { response }
    })
    .await;
    let mut peer = Raw::connect(addr).await;
    assert_eq!(peer.request(&request(addr, "/", "")).await.status, 200);
    assert_eq!(peer.request(&request(addr, "/sent", "")).await.status, 101);
    let error = soon(outcomes.recv()).await.unwrap().unwrap_err();
    assert!(matches!(error, AcceptError::NotUpgraded(_)), "{error}");
    let ws = soon(outcomes.recv()).await.unwrap().unwrap();
    assert_eq!(ws.request().unwrap().uri(), "/sent");
}

/// hyper's server without `with_upgrades`.
#[tokio::test]
async fn a_server_that_does_not_upgrade_is_an_error_of_the_future() {
    let (listener, addr) = bind().await;
    let (to_test, outcome) = oneshot::channel();
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let to_test = std::sync::Mutex::new(Some(to_test));
        let service = service_fn(|mut request| {
            let (response, upgrading) = sockeye::upgrade(&mut request);
            let to_test = to_test.lock().unwrap().take().unwrap();
            tokio::spawn(async move {
                let _ = to_test.send(upgrading.await);
            });
            async { sockeye::Result::<_, std::convert::Infallible>::Ok(response) }
        });
        let http = hyper::server::conn::http1::Builder::new();
        http.serve_connection(TokioIo::new(tcp), service).await
    });
    let mut peer = Raw::connect(addr).await;
    let _answer = peer.request(&request(addr, "/", "")).await;
    let error = soon(outcome).await.unwrap().unwrap_err();
    assert!(matches!(error, AcceptError::NotUpgraded(_)), "{error}");
    drop(peer);
    let _ = soon(serving).await.unwrap();
}
