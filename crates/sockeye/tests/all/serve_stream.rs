//! Connections that a caller brings: the same server over memory, whose clock is the test's, and over a
//! Unix socket.

use std::time::Duration;

use crate::support::{Answer, FIELDS, Raw, TEXT, soon};
use sockeye::endpoint::{Handshake, Incoming, Reply};
use sockeye::server::ServerBuilder;
use sockeye::transport::Stream;
use sockeye::{Endpoint, HandlerResult, Server, endpoint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

struct Echo;

impl Endpoint for Echo {
    async fn on_message<'m>(
        &mut self,
        _: &sockeye::Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        Ok(Reply::from(message))
    }
}

fn echo(handshake: &Handshake) -> Echo {
    assert_eq!(
        (handshake.peer_addr(), handshake.local_addr()),
        (None, None)
    );
    assert!(!handshake.is_secure());
    Echo
}

async fn bind(builder: ServerBuilder) -> Server {
    let builder = builder.endpoint(endpoint("/echo", echo));
    builder.bind("127.0.0.1:0").await.expect("a free port")
}

/// A client in memory, and the task that serves it.
fn connect(server: &Server) -> (Raw<DuplexStream>, JoinHandle<()>) {
    let (near, far) = tokio::io::duplex(1024);
    let serving = tokio::spawn(server.serve_stream(Stream::new(near)));
    (Raw::new(far), serving)
}

async fn ask<T: AsyncRead + AsyncWrite + Unpin>(peer: &mut Raw<T>) -> Answer {
    peer.request(&format!(
        "GET /echo HTTP/1.1\r\nHost: localhost\r\n{FIELDS}\r\n"
    ))
    .await
}

async fn echoes_and_closes<T: AsyncRead + AsyncWrite + Unpin>(mut peer: Raw<T>) {
    for text in ["hello", "Grüße"] {
        peer.send(TEXT, text.as_bytes()).await;
        assert_eq!(peer.recv_text().await, text);
    }
    let large = "x".repeat(100_000);
    let frame = crate::support::masked(TEXT, large.as_bytes());
    // More than the transport holds: the echo starts before all of it is written.
    let (mut reads, mut writes) = tokio::io::split(&mut peer.stream);
    let mut echoed = vec![0; large.len() + 10];
    let (written, read) = tokio::join!(
        tokio::io::AsyncWriteExt::write_all(&mut writes, &frame),
        AsyncReadExt::read_exact(&mut reads, &mut echoed)
    );
    written.expect("it takes what comes");
    read.expect("an echo");
    assert!(echoed.ends_with(large.as_bytes()));
    peer.send_close(1000, "done").await;
    assert_eq!(peer.recv_close().await, (1000, "done".to_owned()));
    peer.recv_end().await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_served_over_memory_and_no_time_passes() {
    let server = bind(Server::builder()).await;
    let begun = Instant::now();
    let (mut peer, serving) = connect(&server);
    assert_eq!(ask(&mut peer).await.status, 101);
    // HTTP is done with it; the session goes on, also without the server.
    soon(serving).await.unwrap();
    drop(server);
    echoes_and_closes(peer).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[cfg(unix)]
#[tokio::test]
async fn an_endpoint_is_served_over_a_unix_socket() {
    let server = bind(Server::builder()).await;
    let (near, far) = tokio::net::UnixStream::pair().unwrap();
    tokio::spawn(server.serve_stream(Stream::new(near)));
    let mut peer = Raw::new(far);
    assert_eq!(ask(&mut peer).await.status, 101);
    echoes_and_closes(peer).await;
}

#[tokio::test]
async fn tcp_that_a_caller_accepted_keeps_its_addresses() {
    let builder = Server::builder().endpoint(endpoint("/tcp", |handshake| {
        assert!(handshake.peer_addr().is_some() && handshake.local_addr().is_some());
        Echo
    }));
    let server = bind(builder).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = async {
        let (tcp, _) = listener.accept().await.unwrap();
        server.serve_stream(tcp).await;
    };
    let (peer, ()) = Box::pin(soon(async {
        tokio::join!(Raw::open(addr, "/tcp"), serving)
    }))
    .await;
    echoes_and_closes(peer).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_brings_no_request_has_the_handshake_timeout() {
    let server = bind(Server::builder()).await;
    let begun = Instant::now();
    let (mut silent, serving) = connect(&server);
    silent.recv_end().await;
    soon(serving).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn one_beyond_the_connections_that_there_may_be_is_told_503() {
    let server = bind(Server::builder().max_connections(1)).await;
    let (mut first, _) = connect(&server);
    assert_eq!(ask(&mut first).await.status, 101);
    let (mut second, serving) = connect(&server);
    assert_eq!(ask(&mut second).await.status, 503);
    second.recv_end().await;
    soon(serving).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_one_gives_way_at_once_where_as_many_as_may_owe_their_request() {
    let server = bind(Server::builder().max_pending_handshakes(1)).await;
    let begun = Instant::now();
    let (mut silent, _) = connect(&server);
    tokio::task::yield_now().await;
    let (mut asking, _) = connect(&server);
    assert_eq!(ask(&mut asking).await.status, 101);
    silent.recv_end().await;
    assert_eq!(begun.elapsed().as_millis(), 0);
    assert_eq!(server.handle().stats().dropped_silent_connections, 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_has_sent_no_whole_request_has_a_part_of_the_handshake_timeout_while_another_waits()
 {
    // The second is answered 400, and does not end.
    for bytes in [&b"G"[..], b"\0\r\n\r\n"] {
        let server = bind(Server::builder().max_pending_handshakes(1)).await;
        let begun = Instant::now();
        let (mut slow, _) = connect(&server);
        slow.write(bytes).await;
        tokio::task::yield_now().await;
        let (mut asking, _) = connect(&server);
        assert_eq!(ask(&mut asking).await.status, 101);
        soon(slow.stream.read_to_end(&mut Vec::new()))
            .await
            .unwrap();
        // A fiftieth, and a few looks at the sockets.
        let passed = begun.elapsed().as_millis();
        assert!((200..250).contains(&passed), "{passed} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_byte_and_what_is_behind_it_are_read_once() {
    let server = bind(Server::builder()).await;
    let (mut peer, _) = connect(&server);
    let request = format!("GET /echo HTTP/1.1\r\nHost: localhost\r\n{FIELDS}\r\n");
    for byte in request.bytes() {
        peer.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(peer.answer().await.status, 101);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_ends_what_was_brought_and_waits_for_it() {
    let server = bind(Server::builder().max_pending_handshakes(1)).await;
    let (mut session, _) = connect(&server);
    assert_eq!(ask(&mut session).await.status, 101);
    let (mut silent, silently) = connect(&server);
    tokio::task::yield_now().await;
    let (mut waiting, waits) = connect(&server);
    let (near, far) = tokio::io::duplex(1024);
    let late = server.serve_stream(Stream::new(near));

    let (stop, stopped) = oneshot::channel::<()>();
    let stopping = tokio::spawn(server.serve_until(async {
        let _ = stopped.await;
    }));
    session.send(TEXT, b"still").await;
    assert_eq!(session.recv_text().await, "still");
    stop.send(()).unwrap();
    assert_eq!(
        session.recv_close().await,
        (1001, "the server stops".to_owned())
    );
    silent.recv_end().await;
    waiting.recv_end().await;
    soon(silently).await.unwrap();
    soon(waits).await.unwrap();
    assert!(!stopping.is_finished());
    session.close().await;
    soon(stopping).await.unwrap().unwrap();
    // The server is gone: nothing is begun any more.
    Box::pin(soon(late)).await;
    Raw::new(far).recv_end().await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_drops_a_connection_that_has_no_session() {
    let server = bind(Server::builder()).await;
    let (mut silent, serving) = connect(&server);
    tokio::task::yield_now().await;
    serving.abort();
    silent.recv_end().await;
    assert!(soon(serving).await.unwrap_err().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_says_how_long_its_sessions_may_be_idle_and_others_have_no_such_limit() {
    const LIMIT: Duration = Duration::from_secs(5);
    let config = sockeye::proto::Config::new(sockeye::proto::Role::Server).keep_alive(None);
    let limited = endpoint("/limited", |_| Echo).max_idle_timeout(LIMIT);
    let server = bind(Server::builder().config(config).endpoint(limited)).await;
    let (mut peer, _serving) = connect(&server);
    let request = format!("GET /limited HTTP/1.1\r\nHost: localhost\r\n{FIELDS}\r\n");
    assert_eq!(peer.request(&request).await.status, 101);
    let begun = Instant::now();
    let (code, reason) = peer.recv_close().await;
    assert_eq!(
        (code, &*reason),
        (1001, "the session was idle for too long")
    );
    assert!((LIMIT..=LIMIT + Duration::from_secs(2)).contains(&begun.elapsed()));

    let (mut other, _serving) = connect(&server);
    assert_eq!(ask(&mut other).await.status, 101);
    tokio::time::sleep(100 * LIMIT).await;
    other.send(TEXT, b"still here").await;
    assert_eq!(other.recv_text().await, "still here");
}
