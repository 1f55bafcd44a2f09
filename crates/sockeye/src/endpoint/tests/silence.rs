//! Peers that are silent, that vanish, or that take nothing; and the time in which this side does not read.

use sockeye_proto::{CloseCode, CloseReason};

use super::life::{Answer, Echo, Log, messages, slow, slow_with, texts};
use super::*;
use crate::connection::Connection;
use crate::connection::tests::wire::{PING, PONG, TEXT, masked};
use crate::endpoint::{Incoming, Reply};
use crate::error::HandlerResult;

#[tokio::test(start_paused = true)]
async fn while_reading_is_paused_no_peer_looks_dead() {
    let (Started { peer, session, .. }, log, go) = slow();
    peer.segment(messages(2));
    tokio::time::sleep(seconds(600)).await;
    assert!(session.is_open());
    assert_eq!(peer.frames(), []);
    go.notify_one();
    tokio::time::sleep(seconds(15)).await;
    // The peer's silence counts from the moment when reading went on.
    assert_eq!(texts(&peer.frames()), ["0"]);
    go.notify_one();
    tokio::time::sleep(seconds(19)).await;
    assert_eq!(texts(&peer.frames()), ["1"]);
    assert!(session.is_open());
    assert_eq!(log.take().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_given_up() {
    let (started, log, _go) = slow();
    tokio::time::sleep(seconds(21)).await;
    assert_eq!(started.peer.frames()[0].first, PING);
    tokio::time::sleep(seconds(18)).await;
    assert!(started.session.is_open());
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(log.take(), ["closed 1006"]);
    assert!(started.peer.is_dropped());
    assert!(started.is_gone());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_vanishes_amid_a_header_is_pinged_and_given_up() {
    let (started, log, _go) = slow();
    tokio::time::sleep(seconds(5)).await;
    started.peer.segment(&masked(TEXT, "begun")[..3]);
    tokio::time::sleep(seconds(21)).await;
    assert_eq!(started.peer.frames()[0].first, PING);
    tokio::time::sleep(seconds(18)).await;
    assert!(started.session.is_open());
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(log.take(), ["closed 1006"]);
    assert!(started.is_gone());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_given_up() {
    let (started, log, _go) = slow();
    started.peer.close_window(0);
    drop(started.session.async_remote().send_text("x").unwrap());
    for _ in 0..4 {
        tokio::time::sleep(seconds(9)).await;
        started.peer.segment(masked(PING, ""));
    }
    // It would not have taken a Close either.
    assert_eq!(started.peer.frames(), []);
    assert_eq!(log.take(), ["closed 1008"]);
    assert!(started.is_gone());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_go_on_for_120_s_is_told_to_both_sides() {
    let config = Config::new(Role::Server).keep_alive(None);
    let (started, log, _go) = slow_with(config);
    started.peer.segment(masked(0x01, "begun"));
    tokio::time::sleep(seconds(119)).await;
    assert!(started.session.is_open());
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(started.peer.frames()[0].code(), 1008);
    assert_eq!(log.take(), ["closed 1008"]);
    started.peer.end();
    idle().await;
    assert!(started.is_gone());
}

#[tokio::test(start_paused = true)]
async fn pongs_that_are_handled_slowly_give_their_peer_no_longer_for_its_message() {
    struct SlowAtPongs;

    impl Endpoint for SlowAtPongs {
        async fn on_message<'m>(
            &mut self,
            _: &Session,
            _: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            tokio::time::sleep(seconds(9)).await;
            Ok(Reply::None)
        }
    }

    let config = Config::new(Role::Server).keep_alive(None);
    let started = start_with(config, |_| SlowAtPongs);
    started.peer.segment(masked(0x01, "begun"));
    // Of 20 s each some 9 s are not read: one Pong is handled and the other one waits.
    for _ in 0..10 {
        assert!(started.session.is_open());
        started
            .peer
            .segment([masked(PONG, "1"), masked(PONG, "2")].concat());
        tokio::time::sleep(seconds(20)).await;
    }
    tokio::time::sleep(seconds(20)).await;
    assert_eq!(started.peer.frames()[0].code(), 1008);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_begins_in_a_later_turn_of_the_task_has_its_deadline() {
    let config = Config::new(Role::Server).assembly_timeout(seconds(10));
    let Started { peer, session, .. } = start_with(config, |_| Echo(Answer::Returned));
    idle().await;
    peer.segment([messages(300), masked(0x01, "begun")].concat());
    tokio::time::sleep(seconds(9)).await;
    assert!(session.is_open());
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(peer.frames().last().unwrap().code(), 1008);
}

#[tokio::test(start_paused = true)]
async fn while_reading_is_paused_no_message_is_late() {
    let (Started { peer, session, .. }, log, go) = slow();
    peer.segment(messages(1));
    idle().await;
    // An unsolicited Pong is the one event that is read ahead.
    peer.segment([masked(0x01, "1"), masked(PONG, "")].concat());
    tokio::time::sleep(seconds(600)).await;
    assert!(session.is_open());
    go.notify_one();
    tokio::time::sleep(seconds(15)).await;
    peer.segment(masked(0x80, ""));
    go.notify_one();
    idle().await;
    assert_eq!(texts(&peer.frames()), ["0", "1"]);
    assert!(session.is_open());
    assert_eq!(log.take().len(), 4);
}

/// Its handler takes its time.
struct Sleeper(Log);

impl Endpoint for Sleeper {
    async fn on_message<'m>(&mut self, _: &Session, _: Incoming<'m>) -> HandlerResult<Reply<'m>> {
        tokio::time::sleep(seconds(60)).await;
        self.0.add("slept");
        Ok(Reply::Text("done"))
    }

    async fn on_close(&mut self, _: &Session, reason: CloseReason) -> HandlerResult {
        self.0.add(format!("closed {}", reason.code().get()));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_sleeps_loses_neither_the_peer_nor_its_close() {
    let log = Log::default();
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let shared = log.clone();
    let config = Config::new(Role::Server);
    let (_session, places) = start_on(theirs, config, move |_| Sleeper(shared.clone()));
    // The client pings after 20 s of silence, and gives up 20 s later.
    let mut client = Connection::client(ours, Config::new(Role::Client));
    client.send("hello").await.unwrap();
    let reply = client.recv().await.unwrap().unwrap();
    assert_eq!(reply.as_text(), Some("done"));
    client.send("again").await.unwrap();
    tokio::time::sleep(seconds(10)).await;
    let start = tokio::time::Instant::now();
    client
        .close(CloseCode::try_from(4001).unwrap(), "")
        .await
        .unwrap();
    assert!(start.elapsed() <= seconds(6));
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(log.take(), ["slept", "slept", "closed 4001"]);
    assert_eq!(places.available_permits(), 1);
}
