//! A peer that does not read, and the messages that are sent to it meanwhile.

use sockeye_mailbox::SendError;
use sockeye_proto::CloseCode;

use super::life::{Lines, texts};
use super::*;
use crate::connection::tests::wire::{CLOSE, close_body, masked};

struct Silent;

impl Endpoint for Silent {}

/// More than the log, the outbox and the output hold together, in messages of 1 KiB.
const MANY: usize = 2_000;
/// The most that is queued with a limit of 1 MiB, after the log's messages were moved: the outbox and the output.
const HELD: usize = 1024 + 64;

fn message(number: usize) -> String {
    format!("{number:01024}")
}

/// Broadcasts to a session whose peer does not read, and returns the messages that it accepted. Then the peer reads
/// everything, and the function returns the messages that arrived.
async fn broadcast_to_a_slow_one(overflow: Overflow) -> (Started, Vec<usize>, Vec<usize>) {
    let started = start(|_| Silent);
    let (peer, session) = (&started.peer, &started.session);
    session.set_broadcast_overflow(overflow);
    peer.close_window(0);
    let mut taken = Vec::new();
    for number in 0..MANY {
        if session.open_sessions().broadcast(message(number)) == 1 {
            taken.push(number);
        }
        idle().await;
    }
    peer.remove_window();
    idle().await;
    let frames = peer.frames();
    let came = texts(&frames).into_iter().map(|text| text.parse().unwrap());
    let came = came.collect();
    (started, taken, came)
}

#[tokio::test(start_paused = true)]
async fn of_refuse_a_broadcast_leaves_out_who_has_no_room() {
    let (_, taken, came) = broadcast_to_a_slow_one(Overflow::Refuse).await;
    assert_eq!(taken, came);
    assert!((HELD - 64..MANY).contains(&came.len()), "{}", came.len());
    assert_eq!(came, (0..came.len()).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn of_a_broadcast_the_newest_come_where_the_oldest_are_dropped() {
    let (_, taken, came) = broadcast_to_a_slow_one(Overflow::DropOldest).await;
    assert_eq!(taken, (0..MANY).collect::<Vec<_>>());
    // No message is missing of those that had left the outbox already, nor of the newest ones.
    let gaps = came.windows(2).filter(|pair| pair[0] + 1 != pair[1]);
    assert_eq!(gaps.count(), 1, "{came:?}");
    assert!(came.is_sorted());
    assert_eq!((came[0], came.last()), (0, Some(&(MANY - 1))));
    assert!(came.len() <= HELD + 64, "{}", came.len());
}

#[tokio::test(start_paused = true)]
async fn by_default_who_has_no_room_for_a_broadcast_is_closed_1013_behind_what_waits() {
    let started = start(|_| Silent);
    let (peer, session) = (&started.peer, &started.session);
    peer.close_window(0);
    let mut taken = 0;
    while session.open_sessions().broadcast(message(taken)) == 1 {
        taken += 1;
        idle().await;
    }
    assert!(!session.is_open());
    let refused = session.async_remote().send_text("later").map(drop);
    assert_eq!(refused, Err(SendError::Closed));
    peer.remove_window();
    idle().await;
    let frames = peer.frames();
    let (close, messages) = frames.split_last().unwrap();
    assert_eq!(close.code(), 1013);
    assert_eq!(messages.len(), taken);
    peer.segment(masked(CLOSE, close_body(1013, "")));
    peer.end();
    idle().await;
    assert_eq!(session.closed().await.code(), CloseCode::TRY_AGAIN_LATER);
    assert!(started.is_gone());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_too_slow_is_logged_once_whatever_its_policy() {
    for (overflow, what) in [
        (Overflow::Refuse, "messages are dropped"),
        (Overflow::DropNewest, "messages are dropped"),
        (Overflow::DropOldest, "messages are dropped"),
        (Overflow::Close, "closed with 1013"),
    ] {
        let lines = Lines::default();
        let logged = lines.keep();
        let (started, ..) = broadcast_to_a_slow_one(overflow).await;
        drop(logged);
        let id = started.session.id().to_string();
        let lines = lines.0.lock().unwrap();
        let of_session = lines.iter().filter(|line| line.contains("too slowly"));
        let [line] = of_session.collect::<Vec<_>>()[..] else {
            panic!("{overflow:?}: {lines:?}");
        };
        assert!(line.contains(what) && line.contains(&id), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_sessions_that_are_too_slow_write_one_line_and_are_all_closed() {
    let lines = Lines::default();
    let _logged = lines.keep();
    let (sessions, places) = (
        OpenSessions::counted_by(Arc::default()),
        Arc::new(Semaphore::new(20)),
    );
    let mut peers = Vec::new();
    for _ in 0..20 {
        let (stream, peer) = wire();
        peer.close_window(0);
        peers.push(peer);
        let opened = opened(stream, Config::new(Role::Server), &places);
        Factory(|_: &Handshake| Silent).start(opened, None, &sessions);
    }
    let mut number = 0;
    while sessions.to_vec().iter().any(Session::is_open) {
        sessions.broadcast(message(number));
        number += 1;
        idle().await;
    }
    let stats = sessions.counters().snapshot(0);
    assert_eq!(stats.dropped_messages, 20);
    let lines = lines.0.lock().unwrap();
    let slow = lines.iter().filter(|line| line.contains("too slowly"));
    assert_eq!(slow.count(), 1, "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_of_the_asynchronous_remote_is_told_by_its_handle() {
    let started = start(|_| Silent);
    let (peer, session) = (&started.peer, &started.session);
    session.set_overflow(Overflow::DropOldest);
    peer.close_window(0);
    let mut handles = Vec::new();
    for number in 0..MANY {
        handles.push(session.async_remote().send_text(message(number)).unwrap());
        idle().await;
    }
    peer.remove_window();
    idle().await;
    let frames = peer.frames();
    let came = texts(&frames);
    for (number, handle) in handles.into_iter().enumerate() {
        let expected = if came.contains(&message(number).as_str()) {
            Ok(())
        } else {
            Err(SendError::Full)
        };
        assert_eq!(handle.await, expected, "{number}");
    }
    assert!((HELD - 64..MANY).contains(&came.len()), "{}", came.len());
}
