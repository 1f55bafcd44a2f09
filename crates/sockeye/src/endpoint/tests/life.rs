//! The task of an endpoint: the events of one read, and those that arrive while a handler is suspended.

use std::fmt;
use std::sync::{Mutex, OnceLock};

use sockeye_proto::{CloseCode, CloseReason};
use tokio::sync::Notify;

use super::*;
use crate::connection::tests::wire::{CLOSE, Frame, PING, PONG, TEXT, close_body, masked};
use crate::endpoint::{Incoming, Reply};
use crate::error::{Error, HandlerResult};
use crate::sync::Arc;

/// The events that the callbacks report to the test, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(super) fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub(super) fn texts(frames: &[Frame]) -> Vec<&str> {
    frames
        .iter()
        .filter(|frame| frame.first == TEXT)
        .map(Frame::text)
        .collect()
}

pub(super) fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// So many small messages in one segment.
pub(super) fn messages(count: usize) -> Vec<u8> {
    let frames = numbers(count).into_iter();
    frames.flat_map(|number| masked(TEXT, number)).collect()
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_segment_are_answered_before_the_next_is_read() {
    let Started { peer, .. } = start(|_| Echo(Answer::Returned));
    peer.segment(messages(3));
    peer.segment(messages(2));
    idle().await;
    assert_eq!(texts(&peer.frames()), ["0", "1", "2", "0", "1"]);
    assert_eq!((peer.reads(), peer.writes()), (2, 2));
}

/// How a handler answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Returned,
    Queued,
    Awaited,
    Mixed,
    Yielded,
}

pub(super) struct Echo(pub(super) Answer);

impl Endpoint for Echo {
    async fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        let Incoming::Text(text) = message else {
            return Ok(Reply::None);
        };
        match self.0 {
            Answer::Returned => return Ok(Reply::Text(text.into_str())),
            Answer::Queued => drop(session.async_remote().send_text(&*text)?),
            Answer::Awaited => session.basic_remote().send_text(&*text).await?,
            Answer::Mixed => {
                drop(session.async_remote().send_text(format!("{}a", &*text))?);
                return Ok(Reply::Message(format!("{}b", &*text).into()));
            }
            Answer::Yielded => {
                tokio::task::yield_now().await;
                return Ok(Reply::Text(text.into_str()));
            }
        }
        Ok(Reply::None)
    }
}

#[tokio::test(start_paused = true)]
async fn twenty_messages_and_a_close_in_one_segment_get_twenty_replies_then_the_close() {
    let answers = [
        Answer::Returned,
        Answer::Queued,
        Answer::Awaited,
        Answer::Yielded,
    ];
    for answer in answers {
        let started = start(move |_| Echo(answer));
        let peer = &started.peer;
        let close = masked(CLOSE, close_body(1000, "bye"));
        peer.segment([messages(20), close].concat());
        idle().await;
        let frames = peer.frames();
        assert_eq!(texts(&frames), numbers(20));
        assert_eq!(frames.len(), 21);
        assert_eq!(frames[20].code(), 1000);
        // The server ends the transport first.
        assert!(peer.is_shut());
        peer.end();
        idle().await;
        assert!(peer.is_dropped());
        assert_eq!(started.session.closed().await.code(), CloseCode::NORMAL);
        assert!(started.is_gone());
    }
}

#[tokio::test(start_paused = true)]
async fn the_reply_leaves_before_the_close_that_the_next_frame_causes() {
    for answer in [Answer::Returned, Answer::Queued, Answer::Yielded] {
        let Started { peer, .. } = start(move |_| Echo(answer));
        // A frame that is not masked.
        peer.segment([messages(1), b"\x81\x02no".to_vec()].concat());
        idle().await;
        let frames = peer.frames();
        assert_eq!(texts(&frames), ["0"], "{answer:?}");
        assert_eq!(frames[1].code(), 1002);
        assert!(peer.is_shut());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_stays_behind_what_its_handler_put_into_the_remote() {
    let Started { peer, .. } = start(|_| Echo(Answer::Mixed));
    peer.segment(messages(16));
    idle().await;
    let expected: Vec<String> = (0..16)
        .flat_map(|number| [format!("{number}a"), format!("{number}b")])
        .collect();
    assert_eq!(texts(&peer.frames()), expected);
    assert_eq!(peer.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reply_stays_in_its_place_while_the_peer_does_not_read() {
    let Started { peer, session, .. } = start(|_| Echo(Answer::Mixed));
    peer.close_window(0);
    // More than is moved to the output at once.
    for _ in 0..3 {
        let large = "x".repeat(60_000);
        drop(session.async_remote().send_text(large).unwrap());
    }
    idle().await;
    peer.segment(messages(16));
    idle().await;
    assert_eq!(peer.writes(), 0);
    peer.remove_window();
    idle().await;
    let frames = peer.frames();
    let expected: Vec<String> = (0..16)
        .flat_map(|number| [format!("{number}a"), format!("{number}b")])
        .collect();
    assert_eq!(texts(&frames)[3..], expected);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_yields_for_each_message_costs_no_write_for_each() {
    let Started { peer, .. } = start(|_| Echo(Answer::Yielded));
    peer.segment(messages(100));
    idle().await;
    assert_eq!(texts(&peer.frames()), numbers(100));
    assert_eq!((peer.reads(), peer.writes()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_awaited_send_is_written_while_its_handler_waits() {
    let Started { peer, .. } = start(|_| Echo(Answer::Awaited));
    peer.segment(messages(3));
    idle().await;
    assert_eq!(texts(&peer.frames()), ["0", "1", "2"]);
    assert_eq!(peer.writes(), 3);
}

/// Its handler waits until the test lets it go on.
struct Slow {
    log: Log,
    go: Arc<Notify>,
}

impl Endpoint for Slow {
    async fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        /// Tells whether the handler was dropped.
        struct Guard<'g>(&'g Log, bool);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                if !self.1 {
                    self.0.add("dropped");
                }
            }
        }
        let Incoming::Text(text) = message else {
            return Ok(Reply::None);
        };
        self.log.add(format!("{} starts", &*text));
        let mut guard = Guard(&self.log, false);
        self.go.notified().await;
        guard.1 = true;
        let open = if session.is_open() { "open" } else { "closed" };
        self.log.add(format!("{} ends, {open}", &*text));
        Ok(Reply::Text(text.into_str()))
    }

    async fn on_close(&mut self, _: &Session, reason: CloseReason) -> HandlerResult {
        self.log.add(format!("closed {}", reason.code().get()));
        Ok(())
    }

    async fn on_error(&mut self, _: &Session, error: &Error) {
        self.log
            .add(format!("error: {}", crate::error::ErrorChain::new(error)));
    }
}

pub(super) fn slow() -> (Started, Log, Arc<Notify>) {
    slow_with(Config::new(Role::Server))
}

pub(super) fn slow_with(config: Config) -> (Started, Log, Arc<Notify>) {
    let (log, go) = (Log::default(), Arc::new(Notify::new()));
    let shared = (log.clone(), Arc::clone(&go));
    let started = start_with(config, move |_| Slow {
        log: shared.0.clone(),
        go: Arc::clone(&shared.1),
    });
    (started, log, go)
}

#[tokio::test(start_paused = true)]
async fn while_a_handler_waits_pings_are_answered_and_others_send() {
    let (Started { peer, session, .. }, log, go) = slow();
    peer.segment(messages(1));
    idle().await;
    assert_eq!(log.take(), ["0 starts"]);
    peer.segment(masked(PING, "p"));
    let other = session.clone();
    let sent = tokio::spawn(async move { other.basic_remote().send_text("push").await });
    idle().await;
    let frames = peer.frames();
    assert!(frames.iter().any(|f| (f.first, f.text()) == (PONG, "p")));
    assert_eq!(texts(&frames), ["push"]);
    sent.await.unwrap().unwrap();
    go.notify_one();
    idle().await;
    assert_eq!(texts(&peer.frames()), ["0"]);
    assert_eq!(log.take(), ["0 ends, open"]);
}

#[tokio::test(start_paused = true)]
async fn while_a_handler_waits_one_message_is_read_ahead_and_no_more() {
    let (Started { peer, .. }, log, go) = slow();
    peer.segment(masked(TEXT, "0"));
    idle().await;
    for number in 1..5 {
        peer.segment(masked(TEXT, number.to_string()));
    }
    idle().await;
    assert_eq!(peer.unread(), 3);
    for number in 0..5 {
        go.notify_one();
        idle().await;
        assert_eq!(texts(&peer.frames()), [number.to_string()]);
    }
    assert_eq!(log.take().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_close_found_ahead_waits_for_the_handler() {
    let (started, log, go) = slow();
    let peer = started.peer.clone();
    peer.segment([messages(1), masked(CLOSE, close_body(4000, "bye"))].concat());
    tokio::time::sleep(seconds(3)).await;
    assert_eq!(peer.frames(), []);
    assert!(started.session.is_open());
    go.notify_one();
    idle().await;
    let frames = peer.frames();
    assert_eq!((texts(&frames), frames[1].code()), (vec!["0"], 4000));
    peer.end();
    idle().await;
    assert_eq!(log.take(), ["0 starts", "0 ends, open", "closed 4000"]);
    assert!(started.is_gone());
}

#[tokio::test(start_paused = true)]
async fn a_close_found_ahead_waits_five_seconds_and_cancels_no_handler() {
    let (started, log, go) = slow();
    let peer = started.peer.clone();
    peer.segment([messages(1), masked(CLOSE, close_body(4000, "bye"))].concat());
    tokio::time::sleep(seconds(4)).await;
    assert_eq!(peer.frames(), []);
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(peer.frames()[0].code(), 4000);
    assert!(!started.session.is_open());
    assert_eq!(log.take(), ["0 starts"]);
    tokio::time::sleep(seconds(60)).await;
    go.notify_one();
    idle().await;
    let lines = log.take();
    assert_eq!(lines[0], "0 ends, closed");
    assert_eq!(lines.last().unwrap(), "closed 4000");
    assert!(started.is_gone());
}

#[tokio::test(start_paused = true)]
async fn a_violation_found_ahead_waits_for_the_handler() {
    let (Started { peer, .. }, log, go) = slow();
    peer.segment([messages(1), b"\x81\x00".to_vec()].concat());
    idle().await;
    assert_eq!(peer.frames(), []);
    go.notify_one();
    idle().await;
    let frames = peer.frames();
    assert_eq!((texts(&frames), frames[1].code()), (vec!["0"], 1002));
    let lines = log.take();
    assert_eq!(lines, ["0 starts", "0 ends, open", "closed 1002"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_ahead_is_handled_though_a_close_is_behind_it() {
    let (Started { peer, .. }, log, go) = slow();
    peer.segment([messages(2), masked(CLOSE, close_body(1000, ""))].concat());
    tokio::time::sleep(seconds(20)).await;
    assert_eq!(peer.frames(), []);
    go.notify_one();
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(texts(&peer.frames()), ["0"]);
    go.notify_one();
    idle().await;
    let frames = peer.frames();
    assert_eq!((texts(&frames), frames[1].code()), (vec!["1"], 1000));
    assert_eq!(log.take().last().unwrap(), "closed 1000");
}

#[tokio::test(start_paused = true)]
async fn an_abort_drops_the_handler_and_the_transport() {
    let (started, log, _go) = slow();
    started.peer.segment(messages(1));
    idle().await;
    started.session.abort();
    idle().await;
    assert_eq!(log.take(), ["0 starts", "dropped", "closed 1006"]);
    assert!(started.peer.is_dropped());
    assert_eq!(started.peer.frames(), []);
    assert!(started.is_gone());
}

#[tokio::test(start_paused = true)]
async fn on_close_of_an_aborted_session_runs_to_its_end() {
    struct Tidy(Log);
    impl Endpoint for Tidy {
        async fn on_close(&mut self, _: &Session, _: CloseReason) -> HandlerResult {
            tokio::time::sleep(seconds(60)).await;
            self.0.add("tidied");
            Err("and failed".into())
        }

        async fn on_error(&mut self, _: &Session, error: &Error) {
            tokio::task::yield_now().await;
            self.0.add(crate::error::ErrorChain::new(error).to_string());
        }
    }
    let log = Log::default();
    let shared = log.clone();
    let started = start(move |_| Tidy(shared.clone()));
    idle().await;
    started.session.abort();
    idle().await;
    assert!(started.peer.is_dropped());
    assert_eq!(started.session.closed().await.code().get(), 1006);
    assert!(!started.is_gone());
    tokio::time::sleep(seconds(61)).await;
    assert_eq!(log.take(), ["tidied", "a handler failed: and failed"]);
    assert!(started.is_gone());
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_heard_after_the_transport_was_lost() {
    let (started, log, _go) = slow();
    started.peer.segment(messages(1));
    idle().await;
    started.peer.fail_writes(std::io::ErrorKind::BrokenPipe);
    drop(started.session.async_remote().send_text("x").unwrap());
    idle().await;
    assert!(!started.session.is_open());
    started.session.abort();
    idle().await;
    assert_eq!(log.take(), ["0 starts", "dropped", "closed 1006"]);
    assert!(started.is_gone());
}

#[tokio::test(start_paused = true)]
async fn a_close_of_its_own_lets_the_handler_end_and_on_close_follows() {
    let (started, log, go) = slow();
    let Started { peer, session, .. } = started;
    peer.segment(messages(2));
    idle().await;
    session.close(CloseCode::GOING_AWAY, "").unwrap();
    idle().await;
    assert_eq!(peer.frames()[0].code(), 1001);
    go.notify_one();
    idle().await;
    let lines = log.take();
    assert_eq!(lines[..2], ["0 starts", "0 ends, closed"]);
    // The message behind it is dropped.
    assert_eq!(lines.last().unwrap(), "closed 1001");
    peer.segment(masked(CLOSE, close_body(1001, "")));
    peer.end();
    idle().await;
    assert!(peer.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn a_message_ahead_is_handled_though_the_transport_has_failed_since() {
    let (started, log, go) = slow();
    started.peer.segment(messages(2));
    idle().await;
    started.peer.fail_writes(std::io::ErrorKind::BrokenPipe);
    drop(started.session.async_remote().send_text("push").unwrap());
    idle().await;
    assert!(!started.session.is_open());
    for _ in 0..2 {
        go.notify_one();
        idle().await;
    }
    let log = log.take();
    let handled: Vec<_> = log.iter().filter(|line| !line.contains("error")).collect();
    let expected = [
        "0 starts",
        "0 ends, closed",
        "1 starts",
        "1 ends, closed",
        "closed 1006",
    ];
    assert_eq!(handled, expected.iter().collect::<Vec<_>>());
    assert!(started.is_gone());
}

#[tokio::test(start_paused = true)]
async fn a_panic_closes_its_own_connection_with_1011() {
    struct Panics;
    impl Endpoint for Panics {
        async fn on_message<'m>(
            &mut self,
            _: &Session,
            _: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            tokio::task::yield_now().await;
            panic!("of the handler");
        }
    }
    let started = start(|_| Panics);
    started.peer.segment(messages(3));
    idle().await;
    let frames = started.peer.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].code(), 1011);
    tokio::time::sleep(seconds(6)).await;
    assert!(started.is_gone());
}

#[tokio::test(start_paused = true)]
async fn a_panic_among_a_thousand_sessions_disturbs_no_other() {
    const SESSIONS: usize = 1000;
    const UNLUCKY: usize = 500;
    struct Picky;
    impl Endpoint for Picky {
        async fn on_message<'m>(
            &mut self,
            _: &Session,
            incoming: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            match incoming {
                Incoming::Text(text) if &*text == "panic" => panic!("of the handler"),
                Incoming::Text(text) => Ok(Reply::Text(text.into_str())),
                _ => Ok(Reply::None),
            }
        }
    }

    let (factory, sessions) = (Factory(|_: &Handshake| Picky), OpenSessions::uncounted());
    let places = Arc::new(Semaphore::new(SESSIONS));
    let peers: Vec<_> = (0..SESSIONS)
        .map(|_| {
            let (stream, peer) = wire();
            let opened = opened(stream, Config::new(Role::Server), &places);
            factory.start(opened, None, &sessions);
            peer
        })
        .collect();
    idle().await;
    assert_eq!(sessions.len(), SESSIONS);
    for peer in &peers {
        peer.segment(masked(TEXT, "before"));
    }
    peers[UNLUCKY].segment(masked(TEXT, "panic"));
    for peer in &peers {
        peer.segment(masked(TEXT, "after"));
    }
    idle().await;
    assert_eq!(sessions.len(), SESSIONS - 1);
    for (number, peer) in peers.iter().enumerate() {
        let frames = peer.frames();
        if number == UNLUCKY {
            assert_eq!(texts(&frames), ["before"]);
            assert_eq!(frames.last().unwrap().code(), 1011);
        } else {
            assert_eq!(texts(&frames), ["before", "after"]);
        }
    }
    assert_eq!(sessions.broadcast("still here"), SESSIONS - 1);
}

#[tokio::test(start_paused = true)]
async fn on_close_follows_though_the_peer_just_vanishes() {
    let (started, log, _go) = slow();
    started.peer.end();
    idle().await;
    assert_eq!(log.take(), ["closed 1006"]);
    assert!(started.is_gone());
}

#[tokio::test(start_paused = true)]
async fn messages_before_the_end_of_the_stream_are_handled() {
    let Started { peer, .. } = start(|_| Echo(Answer::Returned));
    peer.segment(messages(5));
    peer.end();
    idle().await;
    assert_eq!(texts(&peer.frames()), numbers(5));
}

/// Keeps what is logged on this thread, one line for each event.
#[derive(Clone, Default)]
pub(super) struct Lines(pub(super) Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Collects the log lines of this thread until the guard is dropped.
    pub(super) fn keep(&self) -> tracing::subscriber::DefaultGuard {
        // While the process has one subscriber, tracing asks only the thread that first reaches a log call. If that
        // thread belongs to a test without a subscriber, the log call is off for all threads. With two subscribers,
        // tracing asks both.
        static SECOND: OnceLock<tracing::Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| tracing::Dispatch::new(Self::default()));
        tracing::subscriber::set_default(self.clone())
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl tracing::field::Visit for Line {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                self.0 += &format!("{field}={value:?} ");
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// RFC 6455 §7.1.7.
#[tokio::test(start_paused = true)]
async fn why_a_connection_failed_is_logged() {
    let lines = Lines::default();
    let _logged = lines.keep();
    let (Started { peer, session, .. }, _log, _go) = slow();
    peer.segment(b"\x81\x00".to_vec());
    idle().await;
    let lines = lines.0.lock().unwrap().join("\n");
    assert!(lines.contains("unmasked frame from a client"), "{lines}");
    assert!(lines.contains(&session.id().to_string()), "{lines}");
}

/// Starts an endpoint when it is dropped.
struct StartsAtTheEnd(OpenSessions);

impl Drop for StartsAtTheEnd {
    fn drop(&mut self) {
        let (stream, _peer) = wire();
        let places = Arc::new(Semaphore::new(1));
        let opened = opened(stream, Config::new(Role::Server), &places);
        Factory(|_: &Handshake| Echo(Answer::Returned)).start(opened, None, &self.0);
    }
}

/// A runtime that shuts down drops each task that is spawned on it at once.
#[test]
fn an_endpoint_started_while_the_runtime_ends_is_dropped_with_it() {
    let sessions = OpenSessions::uncounted();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let starts = StartsAtTheEnd(sessions.clone());
    runtime.spawn(async move {
        let _starts = starts;
        std::future::pending::<()>().await;
    });
    runtime.block_on(tokio::task::yield_now());
    drop(runtime);
    assert!(sessions.is_empty());
}
