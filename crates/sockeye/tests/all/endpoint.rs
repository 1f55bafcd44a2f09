//! Endpoints written by hand, and their sessions, over TCP.

use std::sync::Arc;

use sockeye::endpoint::{
    BinaryMessage, BinaryReader, Incoming, Overflow, Reply, SharedEndpoint, TextMessage, whole,
};
use sockeye::error::SendError;
use sockeye::proto::{DeflateConfig, InvalidCloseReason};
use sockeye::{
    Client, CloseCode, CloseReason, Endpoint, Error, HandlerResult, Message, Server, Session,
    endpoint,
};
use tokio::io::AsyncBufReadExt;
use tokio::sync::{Notify, mpsc};

use crate::support::{BINARY, Events, Log, PING, PONG, Raw, TEXT, log, serve, soon};

/// Hands its session out, and tells what happens to it.
struct Probe {
    log: Log,
    sessions: mpsc::Sender<Session>,
}

impl Endpoint for Probe {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        self.log
            .push(format!("open {}", session.open_sessions().len()));
        self.sessions.send(session.clone()).await?;
        Ok(())
    }

    async fn on_close(&mut self, session: &Session, reason: CloseReason) -> HandlerResult {
        let left = session.open_sessions().len();
        self.log.push(format!("close {} {left}", reason.code()));
        Ok(())
    }

    async fn on_error(&mut self, _: &Session, error: &Error) {
        self.log
            .push(format!("error {}", sockeye::error::ErrorChain::new(error)));
    }
}

/// A server of probes, and what they hand out.
pub(super) struct Probed {
    addr: std::net::SocketAddr,
    sessions: mpsc::Receiver<Session>,
    pub(super) events: Events,
}

impl Probed {
    pub(super) async fn serve() -> Self {
        Self::serve_with(Server::builder()).await
    }

    async fn serve_with(builder: sockeye::server::ServerBuilder) -> Self {
        let (log, events) = log();
        let (sender, sessions) = mpsc::channel(8);
        let probe = endpoint("/probe/{name}", move |_| Probe {
            log: log.clone(),
            sessions: sender.clone(),
        });
        Self {
            addr: serve(builder.endpoint(probe)).await,
            sessions,
            events,
        }
    }

    pub(super) async fn open(&mut self) -> (Raw, Session) {
        let peer = Raw::open(self.addr, "/probe/a%20b?q").await;
        let session = soon(self.sessions.recv()).await.expect("a session");
        assert!(self.events.next().await.starts_with("open"));
        (peer, session)
    }
}

#[tokio::test]
async fn open_sessions_hold_a_session_from_before_on_open_until_before_on_close() {
    let (log, mut events) = log();
    let (sender, mut sessions) = mpsc::channel(8);
    let probe = endpoint("/probe", move |_| Probe {
        log: log.clone(),
        sessions: sender.clone(),
    });
    struct Other;
    impl Endpoint for Other {}
    let addr = serve(
        Server::builder()
            .endpoint(probe)
            .endpoint(endpoint("/other", |_| Other)),
    )
    .await;
    // Another endpoint's session does not count here.
    let _other = Raw::open(addr, "/other").await;
    let mut peers = Vec::new();
    for count in 1..=3 {
        peers.push(Raw::open(addr, "/probe").await);
        assert_eq!(events.next().await, format!("open {count}"));
    }
    let session = soon(sessions.recv()).await.unwrap();
    assert_eq!(session.open_sessions().len(), 3);
    assert!(session.open_sessions().to_vec().contains(&session));
    assert_eq!(session.open_sessions().broadcast("to all"), 3);
    for peer in &mut peers {
        assert_eq!(peer.recv_text().await, "to all");
    }
    for left in (0..3).rev() {
        peers.pop().unwrap().close().await;
        assert_eq!(events.next().await, format!("close 1000 {left}"));
        assert_eq!(
            session.open_sessions().broadcast("to all that are left"),
            left
        );
    }
    assert!(session.open_sessions().is_empty());
}

#[tokio::test]
async fn a_broadcast_closes_1013_whose_outbox_is_full_or_leaves_it_out_where_that_is_chosen() {
    let mut probed = Probed::serve_with(Server::builder().outbox_limit(1000)).await;
    let (mut full, session) = probed.open().await;
    let (mut other, _) = probed.open().await;
    session.set_broadcast_overflow(Overflow::Refuse);
    // Nothing runs in between: what was sent still waits.
    session.async_remote().send_binary(vec![0; 1000]).unwrap();
    assert_eq!(session.open_sessions().broadcast("news"), 1);
    assert_eq!(other.recv_text().await, "news");
    assert_eq!(full.recv_binary().await.len(), 1000);
    assert_eq!(session.open_sessions().broadcast("more"), 2);
    assert_eq!(full.recv_text().await, "more");

    session.set_broadcast_overflow(Overflow::Close);
    session.async_remote().send_binary(vec![0; 1000]).unwrap();
    assert_eq!(session.open_sessions().broadcast("last"), 1);
    assert_eq!(full.recv_binary().await.len(), 1000);
    assert_eq!(full.recv_close().await.0, 1013);
}

#[tokio::test]
async fn a_flush_completes_when_the_batch_before_it_is_written_and_not_before() {
    let mut probed = Probed::serve().await;
    let (mut peer, session) = probed.open().await;
    for number in 0..10 {
        drop(
            session
                .async_remote()
                .send_text(number.to_string())
                .unwrap(),
        );
    }
    let remote = session.basic_remote();
    let mut flushed = std::pin::pin!(remote.flush());
    let waker = std::task::Waker::noop();
    let first = flushed
        .as_mut()
        .poll(&mut std::task::Context::from_waker(waker));
    assert!(first.is_pending());
    soon(flushed).await.unwrap();
    for number in 0..10 {
        assert_eq!(peer.recv_text().await, number.to_string());
    }
    session.close(CloseCode::NORMAL, "").unwrap();
    // Nothing waits that could not be written.
    soon(session.basic_remote().flush()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_tasks_send_at_once_and_each_message_is_whole_and_in_its_tasks_order() {
    const TASKS: usize = 100;
    const EACH: usize = 50;
    /// A message of some bytes to some KiB that repeats its task and its number.
    fn message(task: usize, number: usize) -> String {
        format!("{task} {number} ").repeat(1 + (task * 7 + number * 13) % 200)
    }

    // Few of them have room at once: the others wait for their turn.
    let mut probed = Probed::serve_with(Server::builder().outbox_limit(4096)).await;
    let (mut peer, session) = probed.open().await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let session = session.clone();
            tokio::spawn(async move {
                for number in 0..EACH {
                    let text = message(task, number);
                    session.basic_remote().send_text(text).await.unwrap();
                }
            })
        })
        .collect();
    let mut next = [0; TASKS];
    for _ in 0..TASKS * EACH {
        let text = peer.recv_text().await;
        let task: usize = text.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(text, message(task, next[task]));
        next[task] += 1;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(next, [EACH; TASKS]);
}

#[test]
fn a_session_ends_with_the_runtime_that_it_lived_in() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (session, _peer) = runtime.block_on(async {
        let mut probed = Probed::serve().await;
        let (peer, session) = probed.open().await;
        (session, peer)
    });
    assert_eq!(session.open_sessions().len(), 1);
    drop(runtime);
    assert!(session.open_sessions().is_empty());
    let waiting = tokio::runtime::Runtime::new().unwrap();
    let reason = waiting.block_on(async { soon(session.closed()).await });
    assert_eq!(reason.code(), CloseCode::ABNORMAL);
}

#[tokio::test]
async fn a_session_ends_though_its_endpoint_cannot_be_dropped() {
    struct Bomb(mpsc::Sender<Session>);

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a test panics");
        }
    }

    impl Endpoint for Bomb {
        async fn on_open(&mut self, session: &Session) -> HandlerResult {
            self.0.send(session.clone()).await?;
            Ok(())
        }
    }

    let (sender, mut sessions) = mpsc::channel(1);
    let bomb = endpoint("/", move |_| Bomb(sender.clone()));
    let addr = serve(Server::builder().endpoint(bomb)).await;
    let peer = Raw::open(addr, "/").await;
    let session = soon(sessions.recv()).await.unwrap();
    peer.close().await;
    soon(session.closed()).await;
    assert!(session.open_sessions().is_empty());
}

#[tokio::test]
async fn ids_of_sessions_differ() {
    let mut probed = Probed::serve().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let (peer, session) = probed.open().await;
        ids.push(session.id());
        assert_eq!(session.id().to_string().len(), 32);
        peer.close().await;
        assert_eq!(probed.events.next().await, "close 1000 0");
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

#[tokio::test]
async fn a_reply_returned_after_close_is_not_sent_and_its_failure_goes_to_on_error() {
    struct ClosesAndReplies(Log);

    impl Endpoint for ClosesAndReplies {
        async fn on_message<'m>(
            &mut self,
            session: &Session,
            message: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            self.0.push("message");
            session.close(CloseCode::try_from(4000)?, "enough")?;
            session.close(CloseCode::try_from(4001)?, "the first counts")?;
            Ok(Reply::from(message))
        }

        async fn on_error(&mut self, _: &Session, error: &Error) {
            self.0
                .push(format!("error {}", sockeye::error::ErrorChain::new(error)));
        }

        async fn on_close(&mut self, _: &Session, reason: CloseReason) -> HandlerResult {
            self.0.push(format!("close {reason}"));
            Ok(())
        }
    }

    let (log, mut events) = log();
    let made = endpoint("/", move |_| ClosesAndReplies(log.clone()));
    let addr = serve(Server::builder().endpoint(made)).await;
    let mut peer = Raw::open(addr, "/").await;
    // Messages behind the one at which the handler closes are never delivered, in the same segment or later.
    let segment = [
        crate::support::masked(TEXT, b"first"),
        crate::support::masked(BINARY, b"second"),
    ]
    .concat();
    peer.write(&segment).await;
    assert_eq!(peer.recv_close().await, (4000, "enough".to_owned()));
    peer.send(TEXT, b"third").await;
    peer.send_close(4000, "").await;
    peer.recv_end().await;
    assert_eq!(events.next().await, "message");
    assert_eq!(
        events.next().await,
        "error the connection is closing or closed"
    );
    assert_eq!(events.next().await, "close 4000 enough");
    assert!(events.is_empty());
}

#[tokio::test]
async fn what_a_session_tells_stays_readable_after_the_close() {
    let mut probed = Probed::serve().await;
    let (peer, session) = probed.open().await;
    assert!(session.is_open());
    peer.close().await;
    let reason = soon(session.closed()).await;
    assert_eq!(reason.code(), CloseCode::NORMAL);
    assert!(!session.is_open());
    assert_eq!(session.path_parameter("name"), Some("a b"));
    assert_eq!(session.path_parameter("other"), None);
    assert_eq!(session.request().uri(), "/probe/a%20b?q");
    assert_eq!(session.request().headers()["sec-websocket-version"], "13");
    assert_eq!(session.subprotocol(), None);
    // Closing it again is no error, and asks for nothing.
    session.close(CloseCode::NORMAL, "").unwrap();
    session.abort();
    assert_eq!(soon(session.closed()).await, reason);
    assert_eq!(
        session.async_remote().send_text("late").map(drop),
        Err(SendError::Closed)
    );
}

#[tokio::test]
async fn a_code_or_reason_that_no_close_may_carry_is_refused_and_nothing_happens() {
    let mut probed = Probed::serve().await;
    let (mut peer, session) = probed.open().await;
    let refused = session.close(CloseCode::ABNORMAL, "");
    assert_eq!(refused, Err(InvalidCloseReason::Code(1006)));
    let refused = session.close(CloseCode::NO_STATUS, "why");
    assert_eq!(refused, Err(InvalidCloseReason::ReasonWithoutCode));
    let refused = session.close(CloseCode::NORMAL, &"x".repeat(124));
    assert_eq!(refused, Err(InvalidCloseReason::ReasonTooLong(124)));
    assert!(session.is_open());
    let longest = "x".repeat(123);
    session.close(CloseCode::NORMAL, &longest).unwrap();
    assert_eq!(peer.recv_close().await, (1000, longest));

    // Nor by the halves of a connection.
    let (near, _far) = tokio::io::duplex(64);
    let config = sockeye::proto::Config::new(sockeye::proto::Role::Client);
    let (sender, _receiver) = sockeye::Connection::client(near, config).split();
    let refused = sender.close(CloseCode::ABNORMAL, "").await;
    let expected = InvalidCloseReason::Code(1006);
    assert_eq!(refused, Err(SendError::InvalidClose(expected)));
}

/// RFC 6455 §7.1.5: an empty Close is told as 1005.
#[tokio::test]
async fn a_close_without_a_code_is_empty_on_the_wire() {
    let mut probed = Probed::serve().await;
    let (mut peer, session) = probed.open().await;
    session.close(CloseCode::NO_STATUS, "").unwrap();
    assert_eq!(peer.recv_frame().await, Some((0x88, Vec::new())));
    peer.send_close(1000, "").await;
    peer.recv_end().await;
    assert_eq!(soon(session.closed()).await, CloseReason::no_status());
}

#[tokio::test]
async fn abort_drops_the_transport_and_the_handler_without_a_close() {
    struct Stuck {
        log: Log,
        sessions: mpsc::Sender<Session>,
    }

    struct Dropped(Log);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.push("dropped");
        }
    }

    impl Endpoint for Stuck {
        async fn on_message<'m>(
            &mut self,
            session: &Session,
            _: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            let _dropped = Dropped(self.log.clone());
            self.sessions.send(session.clone()).await?;
            std::future::pending().await
        }

        async fn on_close(&mut self, _: &Session, reason: CloseReason) -> HandlerResult {
            self.log.push(format!("close {}", reason.code()));
            Ok(())
        }
    }

    let (log, mut events) = log();
    let (sender, mut sessions) = mpsc::channel(1);
    let stuck = endpoint("/", move |_| Stuck {
        log: log.clone(),
        sessions: sender.clone(),
    });
    let addr = serve(Server::builder().endpoint(stuck)).await;
    let mut peer = Raw::open(addr, "/").await;
    peer.send(TEXT, b"").await;
    let session = soon(sessions.recv()).await.unwrap();
    let handle = session
        .async_remote()
        .send_text("x".repeat(1 << 20))
        .unwrap();
    session.abort();
    assert_eq!(soon(session.closed()).await.code(), CloseCode::ABNORMAL);
    assert_eq!(soon(handle).await, Err(SendError::Closed));
    assert_eq!(events.next().await, "dropped");
    assert_eq!(events.next().await, "close 1006");
    peer.recv_end().await;
}

#[tokio::test]
async fn async_remote_is_full_at_the_limit_and_its_handle_tells_when_it_is_written() {
    // A message of less than 64 bytes counts as 64.
    let mut probed = Probed::serve_with(Server::builder().outbox_limit(128)).await;
    let (mut peer, session) = probed.open().await;
    let remote = session.async_remote();
    // Nothing runs between these.
    let first = remote.send_text("12345").unwrap();
    let second = remote.send_binary(vec![0; 5]).unwrap();
    assert_eq!(remote.send_text("6").map(drop), Err(SendError::Full));
    // Control frames have a limit of their own.
    let ping = remote.send_ping(b"ping").unwrap();
    assert_eq!(soon(first).await, Ok(()));
    assert_eq!(soon(second).await, Ok(()));
    assert_eq!(soon(ping).await, Ok(()));
    remote.send_text("6").unwrap();
    assert_eq!(peer.recv().await, Some((PING, b"ping".to_vec())));
    assert_eq!(peer.recv_text().await, "12345");
    assert_eq!(peer.recv_binary().await, [0; 5]);
    assert_eq!(peer.recv_text().await, "6");
}

#[tokio::test]
async fn basic_remote_completes_when_the_message_is_written_and_not_before() {
    const LEN: usize = 64 << 20;
    let mut probed = Probed::serve().await;
    let (mut peer, session) = probed.open().await;
    let sending = tokio::spawn(async move {
        let message = vec![7; LEN];
        session.basic_remote().send_binary(message).await
    });
    // The system takes megabytes in advance, but not this much.
    let mut start = vec![0; 1 << 20];
    soon(tokio::io::AsyncReadExt::read_exact(
        &mut peer.stream,
        &mut start,
    ))
    .await
    .unwrap();
    assert!(!sending.is_finished());
    let mut left = 10 + LEN - start.len();
    while left > 0 {
        let read = soon(tokio::io::AsyncReadExt::read(&mut peer.stream, &mut start))
            .await
            .unwrap();
        assert!(read > 0);
        left -= read;
    }
    assert_eq!(soon(sending).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn basic_remote_completes_inside_a_handler_that_is_not_done() {
    struct Waiting(Arc<Notify>);

    impl Endpoint for Waiting {
        async fn on_message<'m>(
            &mut self,
            session: &Session,
            _: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            session.basic_remote().send_text("written").await?;
            self.0.notified().await;
            Ok(Reply::Text("done"))
        }
    }

    let gate = Arc::new(Notify::new());
    let shared = Arc::clone(&gate);
    let waiting = endpoint("/", move |_| Waiting(Arc::clone(&shared)));
    let addr = serve(Server::builder().endpoint(waiting)).await;
    let mut peer = Raw::open(addr, "/").await;
    peer.send(TEXT, b"").await;
    assert_eq!(peer.recv_text().await, "written");
    // The handler is suspended, and pings are answered.
    peer.send(PING, b"there?").await;
    assert_eq!(peer.recv().await, Some((PONG, b"there?".to_vec())));
    gate.notify_one();
    assert_eq!(peer.recv_text().await, "done");
}

#[tokio::test]
async fn pings_and_pongs_carry_125_bytes_and_the_answers_come_to_the_pong_handler() {
    struct Pings(Log);

    impl Endpoint for Pings {
        async fn on_message<'m>(
            &mut self,
            session: &Session,
            message: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            match message {
                Incoming::Pong(pong) => self.0.push(format!("pong {}", pong.payload().len())),
                Incoming::Text(_) => {
                    for len in [0, 1, 2, 125] {
                        session.basic_remote().send_ping(&vec![0; len]).await?;
                    }
                    session.basic_remote().send_pong(&[1; 125]).await?;
                    let too_long = Err(SendError::ControlPayloadTooLong { len: 126 });
                    let bytes = [0; 126];
                    assert_eq!(session.basic_remote().send_ping(&bytes).await, too_long);
                    assert_eq!(session.basic_remote().send_pong(&bytes).await, too_long);
                    let remote = session.async_remote();
                    assert_eq!(remote.send_ping(&bytes).map(drop), too_long);
                    assert_eq!(remote.send_pong(&bytes).map(drop), too_long);
                }
                _ => {}
            }
            Ok(Reply::None)
        }
    }

    let (log, mut events) = log();
    let addr = serve(Server::builder().endpoint(endpoint("/", move |_| Pings(log.clone())))).await;
    let mut peer = Raw::open(addr, "/").await;
    peer.send(TEXT, b"").await;
    for len in [0, 1, 2, 125] {
        let (opcode, payload) = peer.recv().await.unwrap();
        assert_eq!((opcode, payload.len()), (PING, len));
        peer.send(PONG, &payload).await;
    }
    assert_eq!(peer.recv().await, Some((PONG, vec![1; 125])));
    // One that answers no Ping.
    peer.send(PONG, b"unasked").await;
    for len in [0, 1, 2, 125, 7] {
        assert_eq!(events.next().await, format!("pong {len}"));
    }
    peer.close().await;
}

#[tokio::test]
async fn messages_and_a_close_in_one_segment_get_their_replies_and_then_the_close() {
    struct Echo;

    impl Endpoint for Echo {
        async fn on_message<'m>(
            &mut self,
            _: &Session,
            message: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            Ok(Reply::from(message))
        }
    }

    let addr = serve(Server::builder().endpoint(endpoint("/", |_| Echo))).await;
    let mut peer = Raw::open(addr, "/").await;
    let mut segment = Vec::new();
    for number in 0..20_u8 {
        segment.extend(crate::support::masked(BINARY, &[number]));
    }
    segment.extend(crate::support::masked_close(4000, "all of it"));
    peer.write(&segment).await;
    for number in 0..20 {
        assert_eq!(peer.recv_binary().await, [number]);
    }
    assert_eq!(peer.recv_close().await, (4000, "all of it".to_owned()));
    // The server ends the transport first.
    peer.recv_end().await;
}

#[tokio::test]
async fn one_shared_object_serves_all_connections_at_once() {
    struct Meeting(tokio::sync::Barrier);

    impl SharedEndpoint for Meeting {
        async fn on_open(&self, session: &Session) -> HandlerResult {
            session.basic_remote().send_text("open").await?;
            Ok(())
        }

        async fn on_message<'m>(
            &self,
            _: &Session,
            message: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            // Neither is done before the other is here.
            self.0.wait().await;
            Ok(Reply::from(message))
        }
    }

    let meeting = Arc::new(Meeting(tokio::sync::Barrier::new(2)));
    let addr =
        serve(Server::builder().endpoint(endpoint("/", move |_| Arc::clone(&meeting)))).await;
    let mut one = Raw::open(addr, "/").await;
    let mut other = Raw::open(addr, "/").await;
    for (peer, text) in [(&mut one, b"one"), (&mut other, b"two")] {
        assert_eq!(peer.recv_text().await, "open");
        peer.send(TEXT, text).await;
    }
    assert_eq!(one.recv_text().await, "one");
    assert_eq!(other.recv_text().await, "two");
}

#[tokio::test]
async fn an_endpoint_without_methods_takes_everything_and_says_nothing() {
    struct Silent;

    impl Endpoint for Silent {}

    struct SilentShared;

    impl SharedEndpoint for SilentShared {}

    let shared = Arc::new(SilentShared);
    let builder = Server::builder()
        .endpoint(endpoint("/one", |_| Silent))
        .endpoint(endpoint("/all", move |_| Arc::clone(&shared)));
    let addr = serve(builder).await;
    for path in ["/one", "/all"] {
        let mut peer = Raw::open(addr, path).await;
        peer.send(TEXT, b"text").await;
        peer.send(BINARY, b"bytes").await;
        peer.send(PONG, b"pong").await;
        peer.send_close(1000, "").await;
        assert_eq!(peer.recv_close().await, (1000, String::new()));
        peer.recv_end().await;
    }
}

#[tokio::test]
async fn a_message_may_be_taken_out_of_what_is_lent() {
    struct Keeps(Log);

    impl Endpoint for Keeps {
        async fn on_message<'m>(
            &mut self,
            _: &Session,
            message: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            let kept = match message {
                Incoming::Text(text) => TextMessage::into_string(text).into_bytes(),
                Incoming::Binary(bytes) => BinaryMessage::into_vec(bytes),
                _ => return Ok(Reply::None),
            };
            self.0.push(format!("{} {:?}", kept.len(), kept.first()));
            Ok(Reply::None)
        }
    }

    let (log, mut events) = log();
    let addr = serve(Server::builder().endpoint(endpoint("/", move |_| Keeps(log.clone())))).await;
    let mut peer = Raw::open(addr, "/").await;
    for len in [0_usize, 1, 20_000, 500_000, 3] {
        let payload = vec![b'a' + (len % 26) as u8; len];
        for opcode in [TEXT, BINARY] {
            peer.send(opcode, &payload).await;
            assert_eq!(events.next().await, format!("{len} {:?}", payload.first()));
        }
    }
    peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_other_threads_read_for_their_handlers_are_whole_compressed_or_not() {
    const LEN: usize = 300_000;

    struct Summing;

    impl Endpoint for Summing {
        async fn on_open(&mut self, session: &Session) -> HandlerResult {
            session.add_message_handler(whole(|mut body: BinaryReader| async move {
                let reading = tokio::spawn(async move {
                    let (mut len, mut sum) = (0, 0);
                    loop {
                        let part = body.fill_buf().await?;
                        if part.is_empty() {
                            return std::io::Result::Ok(format!("{len} {sum}"));
                        }
                        sum += part.iter().copied().map(u64::from).sum::<u64>();
                        let read = part.len();
                        len += read;
                        body.consume(read);
                    }
                });
                HandlerResult::Ok(reading.await??)
            }))?;
            Ok(())
        }
    }

    let builder = Server::builder().compression(DeflateConfig::default());
    let addr = serve(builder.endpoint(endpoint("/sum", |_| Summing))).await;
    let mut clients = Vec::new();
    for number in 0..4_usize {
        clients.push(tokio::spawn(async move {
            let mut client = Client::builder();
            if number % 2 == 0 {
                client = client.compression(DeflateConfig::default());
            }
            let client = client.build();
            let mut ws = client.connect(format!("ws://{addr}/sum")).await?;
            for round in 1..=20_usize {
                let bytes: Vec<u8> = (0..LEN).map(|n| (n * round / 7 % 256) as u8).collect();
                let mut message = ws.binary_writer();
                for part in bytes.chunks(LEN / round + number) {
                    message.send_part(part).await?;
                }
                message.finish().await?;
                drop(message);
                let sum: u64 = bytes.iter().copied().map(u64::from).sum();
                let answer = ws.recv().await?;
                assert_eq!(answer, Some(Message::from(format!("{LEN} {sum}"))));
            }
            ws.close(CloseCode::NORMAL, "").await?;
            HandlerResult::Ok(())
        }));
    }
    for client in clients {
        soon(client).await.unwrap().unwrap();
    }
}
