//! Endpoints inside other HTTP servers: hyper's and axum's. The endpoint does not know in which it is.

use std::net::SocketAddr;

use crate::support::{Raw, TEXT, masked, request, serving, soon};
use http::{Request, Response};
use sockeye::endpoint::{ConnectionInfo, Handshake, Incoming, Properties, Reply};
use sockeye::proto::handshake::OriginPolicy;
use sockeye::server::{Container, ResponseBody, ServerBuilder};
use sockeye::{Endpoint, HandlerResult, Server, Session, endpoint};
use tower_service::Service;

/// Says what it knows of its peer, then echoes.
struct Echo(String);

impl Endpoint for Echo {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        if !self.0.is_empty() {
            session.basic_remote().send_text(self.0.clone()).await?;
        }
        Ok(())
    }

    async fn on_message<'m>(
        &mut self,
        _: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        Ok(Reply::from(message))
    }
}

fn builder() -> ServerBuilder {
    Server::builder()
        .endpoint(endpoint("/echo", |_| Echo(String::new())))
        .endpoint(endpoint("/whence", |handshake: &Handshake| {
            Echo(format!(
                "{:?} {} {:?}",
                handshake.peer_addr(),
                handshake.is_secure(),
                handshake.properties().get::<&str>()
            ))
        }))
}

/// hyper's own server, which gives all requests to a container, with what `prepare` adds to them.
async fn serve_by_hyper(
    container: Container,
    prepare: fn(&mut Request<hyper::body::Incoming>),
) -> SocketAddr {
    serving::hyper(move |mut request| {
        prepare(&mut request);
        let mut container = container.clone();
        async move {
            let answered = container.call(request).await;
            answered.unwrap_or_else(|never| match never {})
        }
    })
    .await
}

async fn hyper(container: Container) -> SocketAddr {
    serve_by_hyper(container, |_| {}).await
}

/// `cases.md` c, Upgrade from application code: this key has that answer.
#[tokio::test]
async fn a_request_is_upgraded_inside_hyper_and_what_came_with_it_is_not_lost() {
    let addr = hyper(builder().container().unwrap()).await;
    let mut peer = Raw::connect(addr).await;
    let ask =
        request(addr, "/echo", "").replace("dGhlIHNhbXBsZSBub25jZQ==", "1b4pqvztbM4cor6UUZSDqw==");
    // The first frames stand in the request's segment.
    let mut bytes = ask.into_bytes();
    bytes.extend(masked(TEXT, b"early"));
    bytes.extend(masked(TEXT, b"bird"));
    peer.write(&bytes).await;
    let answer = peer.answer().await;
    assert_eq!(answer.status, 101);
    assert_eq!(
        answer.field("sec-websocket-accept"),
        Some("aJvXj0bbnSSeXm32ngvbBilP0lE=")
    );
    assert_eq!(peer.recv_text().await, "early");
    assert_eq!(peer.recv_text().await, "bird");
    peer.send_close(4000, "done").await;
    assert_eq!(peer.recv_close().await, (4000, "done".to_owned()));
    peer.recv_end().await;
}

#[tokio::test]
async fn what_is_no_handshake_of_an_endpoint_is_refused_with_a_reason() {
    let addr = hyper(builder().container().unwrap()).await;
    let handshake = |target: &str, fields: &str| request(addr, target, fields);
    let plain = |method: &str| format!("{method} /echo HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    for (request, status) in [
        (handshake("/nowhere", ""), 404),
        (plain("GET"), 426),
        (plain("POST"), 405),
        (
            handshake("/echo", "Origin: https://elsewhere.example\r\n"),
            403,
        ),
        (handshake("/echo", "Sec-WebSocket-Key: again\r\n"), 400),
    ] {
        let mut peer = Raw::connect(addr).await;
        let answer = peer.request(&request).await;
        assert_eq!(answer.status, status, "{request}");
        assert!(answer.body.len() > 10, "{answer:?}");
    }
}

#[tokio::test]
async fn a_container_answers_as_a_server_does() {
    let server = crate::support::serve(builder()).await;
    let container = hyper(builder().container().unwrap()).await;
    let plain = |line: &str| format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let handshake = |path: &str, fields: &str| request(server, path, fields);
    for (request, closes) in [
        (plain("GET /nowhere"), false),
        (plain("GET /echo"), true),
        (plain("POST /echo"), true),
        (handshake("/nowhere", ""), true),
        (handshake("/echo", "Sec-WebSocket-Key: again\r\n"), true),
        (
            handshake("/echo", "Origin: http://elsewhere.example\r\n"),
            true,
        ),
    ] {
        let mut answers = Vec::new();
        for addr in [server, container] {
            let answer = Raw::connect(addr).await.request(&request).await;
            let connection = answer.field("connection").unwrap_or_default();
            assert_eq!(connection.contains("close"), closes, "{answer:?}");
            answers.push((answer.status, connection.to_owned(), answer.body));
        }
        assert_eq!(answers[0], answers[1], "{request}");
    }
}

#[tokio::test]
async fn what_the_http_server_knows_comes_by_the_requests_extensions() {
    let container = builder().container().unwrap();
    let addr = serve_by_hyper(container.clone(), |request| {
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
    let answer = peer.request(&request(addr, "/whence", &fields)).await;
    assert_eq!(answer.status, 101);
    assert_eq!(
        peer.recv_text().await,
        "Some(192.0.2.1:5000) true Some(\"ann\")"
    );
    // Without known addresses the session has none.
    let addr = hyper(container).await;
    let mut peer = Raw::open(addr, "/whence").await;
    assert_eq!(peer.recv_text().await, "None false None");
}

#[tokio::test]
async fn a_loopback_address_takes_the_loopbacks_names_only_where_it_is_known() {
    async fn status(container: Container, info: ConnectionInfo) -> u16 {
        let request = Request::get("/echo")
            .header("host", "rebound.example")
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .extension(info)
            .body(())
            .unwrap();
        container.upgrade(request).await.status().as_u16()
    }

    let loopback = ConnectionInfo::default().local_addr(([127, 0, 0, 1], 80).into());
    let container = || builder().container().unwrap();
    assert_eq!(status(container(), loopback).await, 403);
    // Nothing stands in its way but that no server has brought it, which cannot be upgraded.
    assert_eq!(status(container(), ConnectionInfo::default()).await, 500);
    let any_host = builder().any_host().container().unwrap();
    assert_eq!(status(any_host, loopback).await, 500);
}

/// A place is free again whatever the request came to.
#[tokio::test]
async fn there_are_as_many_connections_as_there_may_be_and_the_next_is_told_503() {
    let container = builder().max_connections(1).container().unwrap();
    let addr = hyper(container).await;
    let mut refused = Raw::connect(addr).await;
    let fields = "Origin: https://elsewhere.example\r\n";
    assert_eq!(
        refused
            .request(&request(addr, "/echo", fields))
            .await
            .status,
        403
    );
    let peer = Raw::open(addr, "/whence").await;
    let mut late = Raw::connect(addr).await;
    assert_eq!(late.request(&request(addr, "/echo", "")).await.status, 503);
    drop(peer);
    // It is gone when it is seen to be.
    loop {
        let mut next = Raw::connect(addr).await;
        match next.request(&request(addr, "/echo", "")).await.status {
            101 => break,
            status => assert_eq!(status, 503),
        }
    }
}

#[tokio::test]
async fn a_container_that_stops_tells_its_sessions_1001_and_lets_nobody_in() {
    let container = builder().container().unwrap();
    let addr = hyper(container.clone()).await;
    let mut late = Raw::connect(addr).await;
    let mut peer = Raw::open(addr, "/echo").await;
    let (mut mine, stopping) = (
        Raw::connect(addr).await,
        tokio::spawn(async move {
            container.stop().await;
        }),
    );
    assert_eq!(peer.recv_close().await.0, 1001);
    assert!(!stopping.is_finished());
    assert_eq!(mine.request(&request(addr, "/echo", "")).await.status, 503);
    peer.send_close(1001, "").await;
    peer.recv_end().await;
    drop(peer);
    soon(stopping).await.unwrap();
    // When it has stopped, it has no endpoint any more.
    assert_eq!(late.request(&request(addr, "/echo", "")).await.status, 503);
}

#[tokio::test]
async fn endpoints_that_contradict_each_other_make_no_container() {
    let builder = builder().origins(OriginPolicy::Any);
    let error = builder.endpoint(endpoint("/echo", |_| Echo(String::new())));
    let error = error.container().unwrap_err();
    assert!(error.to_string().contains("/echo"), "{error}");
}

/// A handler may look at the answer, and give it another body.
#[tokio::test]
async fn a_refusals_body_is_one_frame_that_tells_its_length() {
    use hyper::body::Body;
    let container = builder().container().unwrap();
    let request = Request::get("/nowhere").body(()).unwrap();
    let response: Response<ResponseBody> = container.upgrade(request).await;
    let length = response.body().size_hint().exact();
    assert_eq!(
        length,
        Some("there is no endpoint at this path\n".len() as u64)
    );
    assert!(!response.body().is_end_stream());
    assert!(ResponseBody::default().is_end_stream());
}
