//! The deadlines of a plain connection, on scripted transports with paused time.

use std::time::Duration;

use sockeye::proto::{Config, KeepAlive, ProtocolError, Role};
use sockeye::{CloseCode, Connection, Error, Message};
use tokio::io::duplex;
use tokio::time::{Instant, sleep, timeout};

use super::connection::wire::{PING, PONG, TEXT, masked};
use super::connection::{ROLES, frame, is_pending, open, open_with, seconds, server, server_with};

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_after_20_s_and_given_up_20_s_later() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let start = Instant::now();
        let watch = peer.clone();
        let watched = tokio::spawn(async move {
            sleep(Duration::from_millis(19_900)).await;
            assert!(watch.frames().is_empty());
            sleep(Duration::from_millis(200)).await;
            assert_eq!(watch.frames()[0].first, PING);
        });
        assert!(matches!(ws.recv().await, Err(Error::PeerDead)));
        assert_eq!(start.elapsed().as_secs(), 40);
        assert!(ws.recv().await.unwrap().is_none());
        watched.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_is_kept() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let answering = tokio::spawn(async move {
            for _ in 0..20 {
                sleep(Duration::from_millis(20_500)).await;
                let frames = peer.frames();
                assert_eq!(frames.len(), 1);
                peer.segment(frame(role, PONG, &frames[0].payload));
            }
            peer.segment(frame(role, TEXT, "done"));
        });
        assert_eq!(ws.recv().await.unwrap(), Some(Message::text("done")));
        answering.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_does_not_poll_loses_no_healthy_peer() {
    let (near, far) = duplex(1 << 16);
    let mut ws = Connection::client(near, Config::new(Role::Client));
    let mut far = Connection::server(far, Config::new(Role::Server).keep_alive(None));
    tokio::spawn(async move {
        while let Some(message) = far.recv().await.unwrap() {
            far.send(message).await.unwrap();
        }
    });
    for _ in 0..3 {
        // A Ping is out, and its Pong comes while the caller does not poll.
        assert!(timeout(seconds(21), ws.recv()).await.is_err());
        sleep(seconds(600)).await;
        assert!(timeout(seconds(15), ws.recv()).await.is_err());
        sleep(seconds(600)).await;
        ws.send("still here").await.unwrap();
        assert_eq!(ws.recv().await.unwrap(), Some(Message::text("still here")));
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_keep_alive_silence_is_no_fault() {
    let (mut ws, peer) = server_with(Config::new(Role::Server).keep_alive(None));
    assert!(timeout(seconds(3600), ws.recv()).await.is_err());
    assert!(peer.frames().is_empty());
    let keep_alive = KeepAlive::new(seconds(1), seconds(2));
    let (mut ws, _peer) = server_with(Config::new(Role::Server).keep_alive(keep_alive));
    let start = Instant::now();
    assert!(matches!(ws.recv().await, Err(Error::PeerDead)));
    assert_eq!(start.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_go_on_for_120_s_is_told_to_both_sides() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, Config::new(role).keep_alive(None));
        peer.segment(frame(role, 0x01, "begun"));
        let start = Instant::now();
        let told = tokio::spawn(async move { (ws.recv().await, ws.recv().await) });
        sleep(Duration::from_millis(119_900)).await;
        assert!(peer.frames().is_empty());
        sleep(Duration::from_millis(200)).await;
        assert_eq!(peer.frames()[0].code(), 1008);
        assert!(peer.is_shut(), "the side that fails the connection ends it");
        peer.end();
        let limit = seconds(120);
        assert!(matches!(
            told.await.unwrap(),
            (Err(Error::Protocol(error)), Ok(None))
                if error == ProtocolError::MessageStalled { limit }
        ));
        assert_eq!(start.elapsed().as_secs(), 120);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_does_not_poll_loses_no_message_that_goes_on() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.segment(frame(role, 0x01, "be"));
        assert!(is_pending(ws.recv()));
        sleep(seconds(600)).await;
        // It came in time: the transport is read before the deadline fires.
        peer.segment(frame(role, 0x80, "gun"));
        assert_eq!(ws.recv().await.unwrap(), Some(Message::text("begun")));
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_beyond_the_clock_are_never_over() {
    // The second is still a point in the system's time, though none that a timer reaches.
    let nevers = [Duration::MAX, Duration::from_secs(u64::MAX / 4)];
    for (role, never) in ROLES
        .into_iter()
        .flat_map(|role| nevers.map(|never| (role, never)))
    {
        let config = Config::new(role)
            .assembly_timeout(never)
            .assembly_deadline(never)
            .close_timeout(never)
            .keep_alive(KeepAlive::new(never, never))
            .write_timeout(never);
        let year = seconds(365 * 24 * 3600);
        let (mut ws, peer) = open_with(role, config.clone());
        peer.segment(frame(role, 0x01, "begun"));
        assert!(timeout(year, ws.recv()).await.is_err());
        peer.close_window(0);
        assert!(timeout(year, ws.send("x")).await.is_err());
        assert!(
            timeout(year, ws.close(CloseCode::NORMAL, ""))
                .await
                .is_err()
        );

        // As driven by a task.
        let (ws, peer) = open_with(role, config);
        let (sender, mut receiver) = ws.split();
        peer.close_window(0);
        peer.segment(frame(role, 0x01, "begun"));
        sender.try_send("x").unwrap();
        assert!(timeout(year, receiver.recv()).await.is_err());
        let closing = sender.close(CloseCode::NORMAL, "");
        assert!(timeout(year, closing).await.is_err());
        assert!(!peer.is_dropped());
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_of_no_time_are_over_at_once() {
    for role in ROLES {
        let none = Duration::ZERO;
        let keep_alive = KeepAlive::new(none, none);
        let (mut ws, _peer) = open_with(role, Config::new(role).keep_alive(keep_alive));
        assert!(matches!(ws.recv().await, Err(Error::PeerDead)));

        let config = Config::new(role).assembly_timeout(none).close_timeout(none);
        let (mut ws, peer) = open_with(role, config);
        peer.segment(&frame(role, TEXT, "begun")[..3]);
        assert!(matches!(ws.recv().await, Err(Error::Protocol(_))));
        assert_eq!(peer.frames()[0].code(), 1008);

        let (mut ws, peer) = open_with(role, Config::new(role).write_timeout(none));
        peer.close_window(0);
        assert!(matches!(ws.send("x").await, Err(Error::WriteStalled)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_for_30_s_is_given_up() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.close_window(1);
        let start = Instant::now();
        assert!(matches!(ws.send("x").await, Err(Error::WriteStalled)));
        assert_eq!(start.elapsed().as_secs(), 30);
        assert!(ws.recv().await.unwrap().is_none());

        // The same by recv, though the peer itself goes on talking.
        let (mut ws, peer) = open(role);
        peer.close_window(1);
        assert!(is_pending(ws.send("x")));
        let talking = tokio::spawn(async move {
            loop {
                peer.segment(frame(role, PING, ""));
                sleep(seconds(1)).await;
            }
        });
        let start = Instant::now();
        assert!(matches!(ws.recv().await, Err(Error::WriteStalled)));
        assert_eq!(start.elapsed().as_secs(), 30);
        talking.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_a_little_is_not_given_up() {
    let (mut ws, peer) = server();
    peer.close_window(0);
    let reading = peer.clone();
    tokio::spawn(async move {
        for _ in 0..100 {
            sleep(seconds(29)).await;
            reading.open_window(1);
        }
    });
    ws.send("x".repeat(50)).await.unwrap();
    assert_eq!(peer.frames()[0].payload.len(), 50);
}

#[tokio::test(start_paused = true)]
async fn input_that_waited_for_its_own_output_is_handled_once_that_is_written() {
    let (mut ws, peer) = server_with(Config::new(Role::Server).output_mark(4));
    let pings = (0..100).flat_map(|_| masked(PING, "ping"));
    peer.segment(pings.chain(masked(TEXT, "behind")).collect::<Vec<_>>());
    assert_eq!(ws.recv().await.unwrap(), Some(Message::text("behind")));
    assert_eq!(peer.frames().len(), 100);

    // While the peer takes nothing it is not read, and its silence is not its own.
    let config = Config::new(Role::Server)
        .output_mark(4)
        .write_timeout(seconds(300));
    let (mut ws, peer) = server_with(config);
    peer.close_window(0);
    peer.segment(
        (0..100)
            .flat_map(|_| masked(PING, "ping"))
            .collect::<Vec<_>>(),
    );
    peer.segment(masked(TEXT, "behind"));
    assert!(timeout(seconds(200), ws.recv()).await.is_err());
    peer.remove_window();
    assert_eq!(ws.recv().await.unwrap(), Some(Message::text("behind")));
}
