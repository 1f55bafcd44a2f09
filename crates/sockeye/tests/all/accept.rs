//! The server's end without a server: an acceptor on any stream, and the client's counterpart.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::support::serving::bind;
use crate::support::{FIELDS, Raw, TEXT, masked, request, soon};
use http::header::{HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use sockeye::client::{ConnectError, CookieJar};
use sockeye::endpoint::{Incoming, Refusal, Reply};
use sockeye::error::ErrorChain;
use sockeye::proto::handshake::OriginPolicy;
use sockeye::proto::{Config, DeflateConfig, Role};
use sockeye::server::{AcceptError, Acceptor, AcceptorBuilder};
use sockeye::transport::Stream;
use sockeye::{Client, CloseCode, Connection, Endpoint, HandlerResult, Message, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

type Accepted = Result<Connection, AcceptError>;

/// Accepts a connection in memory. The other end speaks bytes.
fn in_memory(acceptor: Acceptor) -> (JoinHandle<Accepted>, Raw<DuplexStream>) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let accepting = tokio::spawn(async move { acceptor.accept(Stream::new(near)).await });
    (accepting, Raw::new(far))
}

/// Accepts a connection over TCP.
async fn over_tcp(acceptor: Acceptor) -> (JoinHandle<Accepted>, Raw) {
    let (listener, addr) = bind().await;
    let accepting = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.map_err(AcceptError::Io)?;
        acceptor.accept(tcp).await
    });
    (accepting, Raw::connect(addr).await)
}

/// A handshake's request in memory, with further fields.
fn asking(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: server.example\r\n{FIELDS}{fields}\r\n")
}

fn text_of(error: &AcceptError) -> String {
    error.to_string()
}

/// The connection that a request opens; none if it is refused with this status.
async fn try_open(builder: AcceptorBuilder, fields: &str) -> Result<Connection, u16> {
    let (accepting, mut peer) = in_memory(builder.build());
    let answer = peer.request(&asking("/", fields)).await;
    match soon(accepting).await.expect("no panic") {
        Ok(connection) => {
            assert_eq!(answer.status, 101);
            Ok(connection)
        }
        Err(error) => {
            assert_eq!(
                error.status().map(|status| status.as_u16()),
                Some(answer.status)
            );
            Err(answer.status)
        }
    }
}

#[tokio::test]
async fn a_tcp_stream_becomes_a_connection_that_knows_its_request() {
    let acceptor = Acceptor::builder().subprotocols(["b", "c"]).build();
    let (accepting, mut peer) = over_tcp(acceptor).await;
    let addr = peer.stream.peer_addr().unwrap();
    let fields = "Sec-WebSocket-Protocol: a, c, b\r\nX-Number: 7\r\n";
    let answer = peer
        .request(&request(addr, "/river?bank=left", fields))
        .await;
    assert_eq!(answer.status, 101);
    // The client's order counts.
    assert_eq!(answer.field("sec-websocket-protocol"), Some("c"));

    let mut ws = soon(accepting).await.unwrap().unwrap();
    let asked = ws.request().unwrap();
    assert_eq!(asked.uri(), "/river?bank=left");
    assert_eq!(asked.headers()["x-number"], "7");
    assert_eq!(asked.peer_addr(), Some(peer.stream.local_addr().unwrap()));
    assert_eq!(asked.local_addr(), Some(addr));
    assert_eq!(
        (asked.subprotocol(), ws.subprotocol()),
        (Some("c"), Some("c"))
    );
    assert_eq!(asked.principal(), None);
    assert!(ws.opening().is_none());

    peer.send(TEXT, b"hello").await;
    assert_eq!(soon(ws.recv()).await.unwrap(), Some("hello".into()));
    soon(ws.send("hi")).await.unwrap();
    assert_eq!(peer.recv_text().await, "hi");
    let closing = tokio::spawn(async move { ws.close(CloseCode::NORMAL, "").await });
    assert_eq!(peer.recv_close().await.0, 1000);
    peer.send_close(1000, "").await;
    peer.recv_end().await;
    soon(closing).await.unwrap().unwrap();
}

/// The first frames stand in the request's segment, the next ones behind it.
#[tokio::test]
async fn bytes_behind_the_request_are_kept() {
    let (accepting, mut peer) = in_memory(Acceptor::new());
    let mut bytes = asking("/", "").into_bytes();
    bytes.extend(masked(TEXT, b"early"));
    let second = masked(TEXT, b"bird");
    bytes.extend(&second[..3]);
    peer.write(&bytes).await;
    assert_eq!(peer.answer().await.status, 101);
    let mut ws = soon(accepting).await.unwrap().unwrap();
    assert_eq!(soon(ws.recv()).await.unwrap(), Some("early".into()));
    peer.write(&second[3..]).await;
    assert_eq!(soon(ws.recv()).await.unwrap(), Some("bird".into()));
}

/// A request may come byte by byte.
#[tokio::test]
async fn a_request_in_pieces_is_one_request() {
    let (accepting, mut peer) = in_memory(Acceptor::new());
    for byte in asking("/", "").as_bytes() {
        peer.write(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(peer.answer().await.status, 101);
    assert!(soon(accepting).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_stream_that_is_no_websocket_is_an_error_that_names_what_came() {
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for (bytes, status, text) in [
        (&b"hello\r\n\r\n"[..], 400, "cannot read the request"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 426, "Upgrade"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "HTTP2"),
        (
            b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
            400,
            "cannot read the request",
        ),
    ] {
        let (accepting, mut peer) = in_memory(Acceptor::new());
        peer.write(bytes).await;
        let answer = peer.answer().await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.body.contains(text), "{answer:?}");
        peer.recv_end().await;
        drop(peer);
        let error = soon(accepting).await.unwrap().unwrap_err();
        assert_eq!(error.status(), StatusCode::from_u16(status).ok());
        assert!(text_of(&error).contains(text), "{error}");
        assert!(text_of(&error).contains(&status.to_string()), "{error}");
    }
    let (accepting, mut peer) = in_memory(Acceptor::new());
    peer.write(tls).await;
    peer.fin().await;
    let error = soon(accepting).await.unwrap().unwrap_err();
    assert!(matches!(error, AcceptError::Tls), "{error}");
    assert!(text_of(&error).contains("ws://"), "{error}");
}

#[tokio::test]
async fn a_stream_that_ends_before_its_request_is_an_error_that_says_so() {
    for bytes in [&b""[..], b"G", b"GET / HTTP/1.1\r\nHost: h\r\n"] {
        let (accepting, mut peer) = in_memory(Acceptor::new());
        peer.write(bytes).await;
        drop(peer);
        let error = soon(accepting).await.unwrap().unwrap_err();
        assert!(
            matches!(error, AcceptError::NoRequest),
            "{bytes:?}: {error}"
        );
        assert_eq!(error.status(), None);
    }
}

#[tokio::test]
async fn a_reset_is_the_transports_error() {
    let (accepting, mut peer) = over_tcp(Acceptor::new()).await;
    peer.write(b"GET / HTTP/1.1\r\n").await;
    peer.rst();
    let error = soon(accepting).await.unwrap().unwrap_err();
    let AcceptError::Io(error) = error else {
        panic!("{error}")
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn a_client_has_ten_seconds_for_its_request_or_as_long_as_is_set() {
    let short = Duration::from_millis(500);
    for (acceptor, limit) in [
        (Acceptor::new(), Duration::from_secs(10)),
        (Acceptor::builder().handshake_timeout(short).build(), short),
    ] {
        for begun in ["", "GET / HTTP/1.1\r\nHost: h\r\n"] {
            let start = Instant::now();
            let (accepting, mut peer) = in_memory(acceptor.clone());
            peer.write(begun.as_bytes()).await;
            let error = accepting.await.unwrap().unwrap_err();
            assert!(
                matches!(error, AcceptError::Timeout(after) if after == limit),
                "{error}"
            );
            assert!(start.elapsed() >= limit && start.elapsed() < 2 * limit);
            peer.recv_end().await;
        }
        // A request that comes just in time opens the connection, and the deadline is over.
        let (accepting, mut peer) = in_memory(acceptor);
        tokio::time::sleep(limit - Duration::from_millis(1)).await;
        assert_eq!(peer.request(&asking("/", "")).await.status, 101);
        let mut ws = accepting.await.unwrap().unwrap();
        tokio::time::sleep(2 * limit).await;
        ws.send("still here").await.unwrap();
        assert_eq!(peer.recv_text().await, "still here");
    }
}

#[tokio::test]
async fn the_limits_of_a_requests_head_are_inclusive_and_beyond_them_it_is_431() {
    let request = |padding: usize| asking("/", &format!("X: {}\r\n", "x".repeat(padding)));
    let limit = request(500).len();
    for (padding, status) in [(500, 101), (501, 431)] {
        let acceptor = Acceptor::builder().max_head(limit).build();
        let (accepting, mut peer) = in_memory(acceptor);
        let answer = peer.request(&request(padding)).await;
        assert_eq!(answer.status, status, "{answer:?}");
        drop(peer);
        let accepted = soon(accepting).await.unwrap();
        assert_eq!(accepted.is_ok(), status == 101);
    }
    // The request has five fields of its own.
    for (more, status) in [(2, 101), (3, 431)] {
        let acceptor = Acceptor::builder().max_header_fields(7).build();
        let (accepting, mut peer) = in_memory(acceptor);
        let answer = peer.request(&asking("/", &"X: y\r\n".repeat(more))).await;
        assert_eq!(answer.status, status, "{answer:?}");
        if status == 431 {
            assert!(answer.body.contains("the limit is 7"), "{answer:?}");
        }
        drop(peer);
        let accepted = soon(accepting).await.unwrap();
        assert_eq!(accepted.is_ok(), status == 101);
    }
}

#[tokio::test]
async fn the_connection_has_the_limits_of_the_acceptor() {
    let config = Config::new(Role::Server).max_message(10);
    for (length, outcome) in [(10, true), (11, false)] {
        let acceptor = Acceptor::builder().config(config.clone()).build();
        let (accepting, mut peer) = in_memory(acceptor);
        assert_eq!(peer.request(&asking("/", "")).await.status, 101);
        let mut ws = soon(accepting).await.unwrap().unwrap();
        peer.send(TEXT, &vec![b'x'; length]).await;
        let came = tokio::spawn(async move { ws.recv().await.is_ok_and(|came| came.is_some()) });
        if !outcome {
            assert_eq!(peer.recv_close().await.0, 1009);
            drop(peer);
        }
        assert_eq!(soon(came).await.unwrap(), outcome);
    }
}

#[tokio::test]
async fn the_hook_sees_the_request_and_adds_to_the_answer_and_to_the_connection() {
    let acceptor = Acceptor::builder()
        .subprotocols(["chat"])
        .on_request(|request, response| {
            assert_eq!(request.uri().path(), "/river");
            assert_eq!(request.subprotocol(), Some("chat"));
            let field = HeaderValue::from_static("mint");
            response.headers_mut().insert("x-tea", field);
            // The fields of the handshake itself do not change.
            let other = HeaderValue::from_static("other");
            response.headers_mut().insert("sec-websocket-accept", other);
            response.set_principal("ann");
            response.properties().insert(7_u8);
            Ok(())
        })
        .build();
    let (accepting, mut peer) = in_memory(acceptor);
    let fields = "Sec-WebSocket-Protocol: chat\r\n";
    let answer = peer.request(&asking("/river", fields)).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.field("x-tea"), Some("mint"));
    assert_eq!(
        answer.field("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    let ws = soon(accepting).await.unwrap().unwrap();
    let asked = ws.request().unwrap();
    assert_eq!(asked.principal(), Some("ann"));
    assert_eq!(asked.properties().get::<u8>().as_deref(), Some(&7));
}

#[tokio::test]
async fn the_hook_refuses_with_any_status_and_an_error_of_its_own_is_500() {
    let acceptor = Acceptor::builder()
        .on_request(|request, _| match request.uri().path() {
            "/who" => Err(Refusal::new(StatusCode::UNAUTHORIZED)
                .header(WWW_AUTHENTICATE, "Bearer")?
                .body("a token is needed\n")),
            _ => {
                let _: u8 = "none".parse()?;
                Ok(())
            }
        })
        .build();
    let (accepting, mut peer) = in_memory(acceptor.clone());
    let answer = peer.request(&asking("/who", "")).await;
    assert_eq!((answer.status, &*answer.body), (401, "a token is needed\n"));
    assert_eq!(answer.field("www-authenticate"), Some("Bearer"));
    peer.recv_end().await;
    let error = soon(accepting).await.unwrap().unwrap_err();
    assert_eq!(
        text_of(&error),
        "refused the handshake with 401 Unauthorized: \"a token is needed\""
    );

    let (accepting, mut peer) = in_memory(acceptor);
    let answer = peer.request(&asking("/", "")).await;
    assert_eq!(
        (answer.status, &*answer.body),
        (500, "the server could not decide\n")
    );
    assert!(soon(accepting).await.unwrap().is_err());
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_unless_they_may_connect() {
    let elsewhere = "Origin: https://elsewhere.example\r\n";
    let own = "Origin: https://server.example\r\n";
    let list = OriginPolicy::List(vec!["https://elsewhere.example".parse().unwrap()]);
    for (builder, fields, refused) in [
        (Acceptor::builder(), "", None),
        (Acceptor::builder(), own, None),
        (Acceptor::builder(), elsewhere, Some(403)),
        (
            Acceptor::builder().origins(OriginPolicy::Any),
            elsewhere,
            None,
        ),
        (Acceptor::builder().origins(list.clone()), elsewhere, None),
        (Acceptor::builder().origins(list), own, Some(403)),
    ] {
        assert_eq!(try_open(builder, fields).await.err(), refused, "{fields}");
    }
}

#[tokio::test]
async fn a_loopback_address_takes_the_loopbacks_names_unless_any_host_is_set() {
    for (builder, host, status) in [
        (Acceptor::builder(), "localhost", 101),
        (Acceptor::builder(), "rebound.example", 403),
        (Acceptor::builder().any_host(), "rebound.example", 101),
    ] {
        let (accepting, mut peer) = over_tcp(builder.build()).await;
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{FIELDS}\r\n");
        let answer = peer.request(&request).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let accepted = soon(accepting).await.unwrap();
        assert_eq!(accepted.is_ok(), status == 101);
    }
}

#[tokio::test]
async fn compression_is_agreed_on_where_it_is_switched_on() {
    for (compression, agreed) in [
        (None, ""),
        (Some(DeflateConfig::default()), "permessage-deflate"),
    ] {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let acceptor = Acceptor::builder().compression(compression).build();
        let client = Client::new();
        let (server, client) = tokio::join!(
            acceptor.accept(Stream::new(near)),
            client.connect_over(Stream::new(far), "ws://server.example/")
        );
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        let chosen = client.opening().unwrap().extensions();
        assert!(chosen.starts_with(agreed) && chosen.is_empty() == agreed.is_empty());
        assert_eq!(
            server.request().unwrap().extensions().len(),
            usize::from(!agreed.is_empty())
        );
        let text = "again and ".repeat(1000);
        client.send(&*text).await.unwrap();
        assert_eq!(server.recv().await.unwrap(), Some(Message::from(&*text)));
        server.send(&*text).await.unwrap();
        assert_eq!(client.recv().await.unwrap(), Some(Message::from(&*text)));
    }
}

#[tokio::test]
async fn a_refused_client_may_have_sent_frames_and_still_reads_the_reason() {
    let (accepting, mut peer) = over_tcp(Acceptor::new()).await;
    let addr = peer.stream.peer_addr().unwrap();
    let mut bytes = request(addr, "/", "Origin: https://elsewhere.example\r\n").into_bytes();
    bytes.extend(masked(TEXT, b"early"));
    peer.write(&bytes).await;
    let answer = peer.answer().await;
    assert_eq!(
        (answer.status, answer.field("connection")),
        (403, Some("close"))
    );
    assert!(answer.body.contains("origin"), "{answer:?}");
    let error = soon(accepting).await.unwrap().unwrap_err();
    assert!(text_of(&error).contains("origin"), "{error}");
}

#[tokio::test]
async fn a_dropped_accept_drops_its_stream() {
    let (near, far) = tokio::io::duplex(1024);
    let mut peer = Raw::new(far);
    peer.write(b"GET / HTTP/1.1\r\n").await;
    let acceptor = Acceptor::new();
    {
        let mut accepting = Box::pin(acceptor.accept(Stream::new(near)));
        let polled = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(accepting.as_mut().poll(cx).is_pending())
        });
        assert!(polled.await);
    }
    peer.recv_end().await;
}

/// Says who it is, and echoes.
struct Echo;

impl Endpoint for Echo {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        let said = format!("{:?} at {}", session.principal(), session.request().uri());
        session.basic_remote().send_text(said).await?;
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

#[tokio::test]
async fn an_endpoint_serves_what_was_accepted_and_knows_the_request() {
    let acceptor = Acceptor::builder()
        .on_request(|_, response| {
            response.set_principal("ann");
            Ok(())
        })
        .build();
    let (accepting, mut peer) = in_memory(acceptor);
    assert_eq!(peer.request(&asking("/river", "")).await.status, 101);
    let session = soon(accepting).await.unwrap().unwrap().serve(Echo);
    assert_eq!(peer.recv_text().await, "Some(\"ann\") at /river");
    peer.send(TEXT, b"hello").await;
    assert_eq!(peer.recv_text().await, "hello");
    assert_eq!(session.principal(), Some("ann"));
}

#[tokio::test]
async fn accept_and_its_errors_are_those_of_the_default_acceptor() {
    let (listener, addr) = bind().await;
    let connecting = tokio::spawn(async move {
        let tcp = TcpStream::connect(addr).await.unwrap();
        let url = format!("ws://{addr}/");
        Client::new().connect_over(tcp, url).await
    });
    let (tcp, _) = listener.accept().await.unwrap();
    let mut server = soon(sockeye::accept(tcp)).await.unwrap();
    let mut client = soon(connecting).await.unwrap().unwrap();
    client.send("hello").await.unwrap();
    assert_eq!(soon(server.recv()).await.unwrap(), Some("hello".into()));

    let (near, far) = tokio::io::duplex(64);
    drop(far);
    let error = sockeye::Error::from(sockeye::accept(Stream::new(near)).await.unwrap_err());
    assert!(matches!(error, sockeye::Error::Accept(_)));
    assert!(
        ErrorChain::new(&error)
            .to_string()
            .contains("before its request")
    );
}

/// A server that answers one request in its own way.
fn answering(answer: &'static str) -> (Stream, JoinHandle<String>) {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let asked = tokio::spawn(async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            far.read_buf(&mut head).await.expect("it asks");
        }
        let written = far.write_all(answer.as_bytes()).await;
        written.expect("the client reads");
        String::from_utf8(head).expect("ASCII")
    });
    (Stream::new(near), asked)
}

#[derive(Debug)]
struct Jar;

impl CookieJar for Jar {
    fn cookies(&self, url: &str) -> Option<HeaderValue> {
        assert_eq!(url, "https://server.example/river");
        Some(HeaderValue::from_static("a=b"))
    }

    fn store(&self, _: &str, _: &HeaderValue) {}
}

#[tokio::test]
async fn the_request_over_a_given_stream_is_as_the_client_was_told() {
    let answer = "HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nno\n";
    let (stream, asked) = answering(answer);
    let client = Client::builder()
        .header(
            HeaderName::from_static("x-number"),
            HeaderValue::from_static("7"),
        )
        .subprotocols(["chat"])
        .cookies(Arc::new(Jar))
        .build();
    // The caller's stream is encrypted, or is not: the client does not care.
    let url = "wss://ann:secret@server.example/river";
    let error = soon(client.connect_over(stream, url)).await.unwrap_err();
    let ConnectError::Refused(response) = error else {
        panic!("{error}")
    };
    assert_eq!(
        (response.status(), &response.body()[..]),
        (StatusCode::FORBIDDEN, &b"no\n"[..])
    );
    let asked = asked.await.unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("get /river http/1.1\r\n"), "{asked}");
    for field in [
        "host: server.example\r\n",
        "x-number: 7\r\n",
        "sec-websocket-protocol: chat\r\n",
        "cookie: a=b\r\n",
        "authorization: basic ",
        "sec-websocket-extensions: permessage-deflate",
    ] {
        assert!(asked.contains(field), "{field:?} in {asked}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed_over_a_given_stream() {
    let (stream, _asked) = answering(
        "HTTP/1.1 302 Found\r\nlocation: ws://other.example/\r\ncontent-length: 0\r\n\r\n",
    );
    let client = Client::builder().redirects(3).build();
    let connecting = client.connect_over(stream, "ws://server.example/");
    let error = soon(connecting).await.unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::FOUND));
    let ConnectError::Refused(response) = error else {
        panic!("{error}")
    };
    let response: Response<_> = *response;
    assert_eq!(response.headers()[LOCATION], "ws://other.example/");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_over_a_given_stream_is_given_up() {
    let (near, _far) = tokio::io::duplex(1024);
    let limit = Duration::from_secs(3);
    let client = Client::builder().handshake_timeout(limit).build();
    let start = Instant::now();
    let connecting = client.connect_over(Stream::new(near), "ws://server.example/");
    let error = connecting.await.unwrap_err();
    assert!(
        matches!(error, ConnectError::HandshakeTimeout(after) if after == limit),
        "{error}"
    );
    assert!(start.elapsed() >= limit);
}

#[tokio::test]
async fn what_is_no_websocket_url_is_refused_over_a_given_stream_too() {
    let (near, _far) = tokio::io::duplex(1024);
    let connecting = Client::new();
    let connecting = connecting.connect_over(Stream::new(near), "http://server.example/");
    let error = soon(connecting).await.unwrap_err();
    assert!(matches!(error, ConnectError::WebSocketUri(_)), "{error}");
}
