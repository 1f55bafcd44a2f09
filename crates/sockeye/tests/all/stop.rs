//! A server that stops, and one that runs out of descriptors.

use std::time::Duration;

use crate::support::{CLOSE, Raw, Stoppable, TEXT, log, soon};
use sockeye::endpoint::{Incoming, Reply};
use sockeye::{Endpoint, HandlerResult, Server, Session, endpoint};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Answers each message through the asynchronous remote.
struct Chatty;

impl Endpoint for Chatty {
    async fn on_message<'m>(
        &mut self,
        session: &Session,
        _: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        session.async_remote().send_text("answer")?;
        Ok(Reply::None)
    }
}

/// Longer than any test: what ends earlier has ended by itself.
const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn stopping_tells_every_session_1001_behind_what_is_queued_and_ends_when_all_are_gone() {
    let (log, mut events) = log();
    let (sender, mut sessions) = mpsc::channel(1);
    let builder = Server::builder()
        .endpoint(endpoint("/one", |_| Chatty))
        .endpoint(endpoint("/two", move |_| Telling {
            log: log.clone(),
            sessions: sender.clone(),
        }))
        .stop_timeout(NEVER);
    let mut server = Stoppable::serve(builder).await;
    let mut one = Raw::open(server.addr, "/one").await;
    let mut two = Raw::open(server.addr, "/two").await;
    assert_eq!(events.next().await, "open");
    let session = soon(sessions.recv()).await.unwrap();
    // Nothing runs in between: all messages still wait when the server is asked to stop.
    for number in 0..20 {
        let queued = session.async_remote().send_text(number.to_string());
        drop(queued.unwrap());
    }
    server.stop();
    for number in 0..20 {
        assert_eq!(two.recv_text().await, number.to_string());
    }
    assert_eq!(
        two.recv_close().await,
        (1001, "the server stops".to_owned())
    );
    assert_eq!(
        one.recv_close().await,
        (1001, "the server stops".to_owned())
    );
    assert_eq!(events.next().await, "close 1001 the server stops");
    refuses(server.addr).await;

    one.close().await;
    assert!(!server.is_done());
    two.close().await;
    server.done().await;

    struct Telling {
        log: crate::support::Log,
        sessions: mpsc::Sender<Session>,
    }

    impl Endpoint for Telling {
        async fn on_open(&mut self, session: &Session) -> HandlerResult {
            self.sessions.send(session.clone()).await?;
            self.log.push("open");
            Ok(())
        }

        async fn on_close(&mut self, _: &Session, reason: sockeye::CloseReason) -> HandlerResult {
            self.log.push(format!("close {reason}"));
            Ok(())
        }
    }
}

/// Checks that the address refuses connections.
async fn refuses(addr: std::net::SocketAddr) {
    let refused = soon(TcpStream::connect(addr)).await;
    assert_eq!(
        refused.expect_err("no server listens").kind(),
        std::io::ErrorKind::ConnectionRefused
    );
}

#[tokio::test]
async fn a_server_without_connections_stops_at_once() {
    let mut server = Stoppable::serve(Server::builder().stop_timeout(NEVER)).await;
    server.stop();
    server.done().await;
}

#[tokio::test]
async fn a_connection_that_waits_for_a_request_ends_when_the_server_stops() {
    let builder = Server::builder()
        .stop_timeout(NEVER)
        .handshake_timeout(NEVER);
    let mut server = Stoppable::serve(builder).await;
    // One that never asked, and one that is kept alive after an answer.
    let mut silent = Raw::connect(server.addr).await;
    let mut kept = Raw::connect(server.addr).await;
    let answer = kept
        .request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(answer.status, 404);
    server.stop();
    silent.recv_end().await;
    kept.recv_end().await;
    server.done().await;
}

#[tokio::test]
async fn a_handshake_that_is_on_its_way_is_finished_and_closed_with_1001() {
    let builder = Server::builder()
        .endpoint(endpoint("/", |_| Chatty))
        .stop_timeout(NEVER)
        .http(|_| async { http::Response::new("page".into()) });
    let mut server = Stoppable::serve(builder).await;
    let mut peer = Raw::connect(server.addr).await;
    // An answer shows that the connection was accepted; the next request is half here.
    let answer = peer
        .request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT")
        .await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "page"));
    server.stop();
    let rest = crate::support::request(server.addr, "/", "");
    peer.write(&rest.as_bytes()["GET / HT".len()..]).await;
    // Either the request made it, and is closed in order; or the connection ends.
    if let Some((opcode, payload)) = peer_after_answer(&mut peer).await {
        assert_eq!(
            (opcode, &payload[..2]),
            (CLOSE, &1001_u16.to_be_bytes()[..])
        );
    }
    drop(peer);
    server.done().await;
}

/// The first frame after the 101, if there is one.
async fn peer_after_answer(peer: &mut Raw) -> Option<(u8, Vec<u8>)> {
    let answer = peer.try_answer().await?;
    assert_eq!(answer.status, 101);
    peer.recv().await
}

#[tokio::test]
async fn what_does_not_end_is_dropped_at_the_stop_timeout() {
    struct Stuck;

    impl Endpoint for Stuck {
        async fn on_message<'m>(
            &mut self,
            session: &Session,
            _: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            session.basic_remote().send_text("stuck").await?;
            std::future::pending().await
        }
    }

    let builder = Server::builder()
        .endpoint(endpoint("/", |_| Stuck))
        .http(|_| std::future::pending())
        .handshake_timeout(NEVER)
        .stop_timeout(Duration::from_millis(1));
    let mut server = Stoppable::serve(builder).await;
    let addr = server.addr;
    // A handler that never returns, one half of a request, and an answer that never comes.
    let mut session = Raw::open(addr, "/").await;
    session.send(TEXT, b"").await;
    assert_eq!(session.recv_text().await, "stuck");
    let mut half = Raw::connect(addr).await;
    half.write(b"GET / HTTP/1.1\r\nHost: ").await;
    let mut unanswered = Raw::connect(addr).await;
    unanswered
        .write(b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    server.stop();
    server.done().await;
    if let Some((opcode, _)) = session.recv().await {
        assert_eq!(opcode, CLOSE);
        session.recv_end().await;
    }
    half.recv_end().await;
    unanswered.recv_end().await;
}

#[tokio::test]
async fn connections_go_on_when_the_future_of_a_server_is_dropped() {
    let builder = Server::builder().endpoint(endpoint("/", |_| Chatty));
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr();
    let serving = tokio::spawn(server.serve());
    let mut session = Raw::open(addr, "/").await;
    let mut kept = Raw::connect(addr).await;
    let answer = kept
        .request("GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(answer.status, 404);
    serving.abort();
    assert!(soon(serving).await.unwrap_err().is_cancelled());
    refuses(addr).await;
    session.send(TEXT, b"").await;
    assert_eq!(session.recv_text().await, "answer");
    let answer = kept.request(&crate::support::request(addr, "/", "")).await;
    assert_eq!(answer.status, 101);
    kept.send(TEXT, b"").await;
    assert_eq!(kept.recv_text().await, "answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_connects_while_the_server_stops_is_forgotten() {
    for _ in 0..20 {
        let builder = Server::builder()
            .endpoint(endpoint("/", |_| Chatty))
            .stop_timeout(NEVER);
        let mut server = Stoppable::serve(builder).await;
        let url = format!("ws://{}/", server.addr);
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let url = url.clone();
            clients.spawn(async move {
                let Ok(mut ws) = sockeye::connect(&url).await else {
                    return None;
                };
                assert!(matches!(ws.recv().await, Ok(None)));
                ws.close_received().map(|reason| reason.code().get())
            });
        }
        // The first connection is open. The others are somewhere between connecting and open.
        let first = Raw::open(server.addr, "/").await;
        server.stop();
        first.close().await;
        while let Some(closed) = soon(clients.join_next()).await {
            assert!(matches!(closed.unwrap(), None | Some(1001)));
        }
        server.done().await;
    }
}
