//! A peer that is there and says nothing: the Jakarta TCK's and Tomcat's cases of the idle limit, with paused time.

use std::sync::Mutex;

use sockeye_proto::{CloseReason, KeepAlive};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::*;
use crate::connection::Connection;
use crate::connection::tests::wire::{CLOSE, PING, PONG, TEXT, close_body, masked, unmasked};
use crate::endpoint::{Incoming, Reply};
use crate::error::HandlerResult;

/// Says what it was closed for; a message "wait" is handled for as long as the test likes.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u16>>>, Arc<Notify>);

impl Endpoint for Told {
    async fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        match &message {
            Incoming::Text(text) if &**text == "wait" => self.1.notified().await,
            Incoming::Text(text) if &**text == "limit" => {
                session.set_max_idle_timeout(Some(std::time::Duration::from_millis(1)));
            }
            Incoming::Text(text) if &**text == "limit and wait" => {
                session.set_max_idle_timeout(Some(seconds(3)));
                self.1.notified().await;
            }
            _ => {}
        }
        Ok(Reply::from(message))
    }

    async fn on_close(&mut self, _: &Session, reason: CloseReason) -> HandlerResult {
        self.0.lock().unwrap().push(reason.code().into());
        Ok(())
    }
}

impl Told {
    fn codes(&self) -> Vec<u16> {
        self.0.lock().unwrap().clone()
    }
}

/// A session that may be idle for so many seconds, and nothing else that has a deadline.
fn limited(limit: u64) -> (Started, Told) {
    let told = Told::default();
    let endpoint = told.clone();
    let config = Config::new(Role::Server).keep_alive(None);
    let started = start_with(config, move |_| endpoint.clone());
    let limit = Some(seconds(limit));
    started.session.set_max_idle_timeout(limit);
    assert_eq!(started.session.max_idle_timeout(), limit);
    (started, told)
}

impl Started {
    /// Each second for so many, something is done.
    async fn for_seconds(&self, many: u64, mut what: impl FnMut(&Self)) {
        for _ in 0..many {
            what(self);
            sleep(seconds(1)).await;
        }
    }

    async fn is_closed_for_it_soon(&self, told: &Told) {
        sleep(seconds(2)).await;
        let frames = self.peer.frames();
        assert_eq!(frames.last().expect("a Close").code(), 1001);
        assert_eq!(told.codes(), [1006]);
        self.peer.segment(masked(CLOSE, close_body(1001, "")));
        self.peer.end();
        let reason = self.session.closed().await;
        assert_eq!(u16::from(reason.code()), 1006);
        assert!(reason.reason().contains("idle"), "{reason}");
        idle().await;
        assert!(self.is_gone());
    }
}

/// C is silent for longer than S's limit: wire 1001, S's `on_close` 1006.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_idle_is_closed_with_1001_and_told_1006_never_too_early() {
    for limit in [3, 6, 9] {
        let (started, told) = limited(limit);
        sleep(seconds(limit)).await;
        assert!(started.session.is_open());
        assert_eq!(started.peer.frames(), []);
        started.is_closed_for_it_soon(&told).await;
    }
}

/// TCK: C's limit, and an S that pings for a while and is silent then; what it says too late is not told.
#[tokio::test(start_paused = true)]
async fn a_clients_session_that_is_idle_is_closed_like_a_servers() {
    let told = Told::default();
    let (stream, peer) = wire();
    let config = Config::new(Role::Client).keep_alive(None);
    let session = Connection::client(stream, config).serve(told.clone());
    session.set_max_idle_timeout(Some(seconds(4)));
    for _ in 0..20 {
        peer.segment(unmasked(PING, ""));
        sleep(seconds(1)).await;
    }
    assert!(session.is_open());
    sleep(seconds(6)).await;
    assert_eq!(told.codes(), [1006]);
    let close = peer.frames().pop().expect("a Close");
    assert_eq!((close.code(), close.masked), (1001, true));
    peer.segment(unmasked(TEXT, "late"));
    peer.segment(unmasked(CLOSE, close_body(1001, "")));
    peer.end();
    assert_eq!(u16::from(session.closed().await.code()), 1006);
    assert_eq!(peer.frames(), []);
}

/// S sets 1 ms in its handler, and still returns its reply.
#[tokio::test(start_paused = true)]
async fn a_limit_that_a_handler_sets_leaves_its_reply() {
    let (started, told) = limited(1000);
    started.peer.segment(masked(TEXT, "limit"));
    idle().await;
    assert_eq!(started.peer.frames()[0].text(), "limit");
    started.is_closed_for_it_soon(&told).await;
}

/// A handler that sets the first limit of its session keeps the session busy under it.
#[tokio::test(start_paused = true)]
async fn a_session_is_not_idle_while_the_handler_runs_that_set_its_limit() {
    let told = Told::default();
    let endpoint = told.clone();
    let config = Config::new(Role::Server).keep_alive(None);
    let started = start_with(config, move |_| endpoint.clone());
    started.peer.segment(masked(TEXT, "limit and wait"));
    sleep(seconds(100)).await;
    assert!(started.session.is_open());
    told.1.notify_one();
    sleep(seconds(3)).await;
    assert!(started.session.is_open());
    started.is_closed_for_it_soon(&told).await;
}

/// A ping in each third of the limit keeps the session open, and so does an unsolicited pong.
#[tokio::test(start_paused = true)]
async fn messages_pings_and_pongs_that_come_keep_a_session_open() {
    for opcode in [TEXT, PING, PONG] {
        let (started, told) = limited(3);
        let say = |started: &Started| started.peer.segment(masked(opcode, "hi"));
        started.for_seconds(20, say).await;
        assert!(started.session.is_open(), "{opcode}");
        sleep(seconds(3)).await;
        started.is_closed_for_it_soon(&told).await;
    }
}

/// Nothing comes, but something is sent: Jakarta's session is idle only without either.
#[tokio::test(start_paused = true)]
async fn messages_pings_and_broadcasts_that_are_sent_keep_a_session_open() {
    type Say = fn(&Session);
    let all: [Say; 4] = [
        |session| drop(session.async_remote().send_text("hi")),
        |session| drop(session.async_remote().send_ping(b"")),
        |session| assert_eq!(session.open_sessions().broadcast("hi"), 1),
        |session| assert_eq!(session.open_sessions().broadcast("x".repeat(10_000)), 1),
    ];
    for say in all {
        let (started, told) = limited(3);
        started.for_seconds(20, |one| say(&one.session)).await;
        assert!(started.session.is_open());
        sleep(seconds(3)).await;
        started.is_closed_for_it_soon(&told).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_not_idle_while_its_handler_runs() {
    let (started, told) = limited(3);
    started.peer.segment(masked(TEXT, "wait"));
    sleep(seconds(100)).await;
    assert!(started.session.is_open());
    told.1.notify_one();
    sleep(seconds(3)).await;
    assert!(started.session.is_open());
    started.is_closed_for_it_soon(&told).await;
}

/// A peer whose machine answers the keep-alive, and which says nothing itself.
#[tokio::test(start_paused = true)]
async fn the_keep_alives_pings_and_their_answers_do_not_count() {
    let told = Told::default();
    let endpoint = told.clone();
    let keep_alive = KeepAlive::new(seconds(2), seconds(2));
    let config = Config::new(Role::Server).keep_alive(keep_alive);
    let started = start_with(config, move |_| endpoint.clone());
    started.session.set_max_idle_timeout(Some(seconds(20)));
    let mut answered = 0;
    started
        .for_seconds(20, |one| {
            for ping in one.peer.frames().iter().filter(|frame| frame.first == PING) {
                one.peer.segment(masked(PONG, &ping.payload));
                answered += 1;
            }
        })
        .await;
    assert!(answered > 5, "{answered}");
    assert!(started.session.is_open());
    started.is_closed_for_it_soon(&told).await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_taken_back_closes_nothing() {
    let (started, told) = limited(3);
    sleep(seconds(2)).await;
    started.session.set_max_idle_timeout(None);
    assert_eq!(started.session.max_idle_timeout(), None);
    sleep(seconds(100)).await;
    assert!(started.session.is_open());
    // One that is set anew begins anew.
    started.session.set_max_idle_timeout(Some(seconds(3)));
    sleep(seconds(3)).await;
    assert!(started.session.is_open());
    started.is_closed_for_it_soon(&told).await;
}

/// An application's own Close is told as what it is, whatever the limit.
#[tokio::test(start_paused = true)]
async fn a_close_of_the_applications_own_is_not_taken_for_it() {
    let (started, told) = limited(3);
    let reason = "the session was idle for too long";
    let closed = started
        .session
        .close(sockeye_proto::CloseCode::GOING_AWAY, reason);
    closed.unwrap();
    idle().await;
    assert_eq!(told.codes(), [1001]);
}
