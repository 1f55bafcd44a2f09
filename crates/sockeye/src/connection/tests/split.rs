//! The two halves of a split connection.

use std::io;

use sockeye_mailbox::SendError;
use sockeye_proto::{CloseCode, Message};

use super::wire::{BINARY, CLOSE, PING, PONG, TEXT, close_body, masked};
use super::*;
use crate::connection::{Connection, Receiver, Sender};
use crate::error::Error;

fn split() -> (Sender, Receiver, Peer) {
    let (stream, peer) = wire();
    let (sender, receiver) = Connection::server(stream, Config::new(Role::Server)).split();
    (sender, receiver, peer)
}

#[tokio::test(start_paused = true)]
async fn both_halves_work_at_once() {
    let (sender, mut receiver, peer) = split();
    peer.segment([masked(TEXT, "a"), masked(PING, "p"), masked(BINARY, "b")].concat());
    sender.send("c").await.unwrap();
    sender.ping(b"q").await.unwrap();
    let a = receiver.recv().await.unwrap().unwrap();
    let b = receiver.recv().await.unwrap().unwrap();
    assert_eq!((a, b), (Message::text("a"), Message::from(&b"b"[..])));
    let frames = peer.frames();
    let mut sent: Vec<_> = frames.iter().map(|f| (f.first, f.text())).collect();
    sent.sort_unstable();
    assert_eq!(sent, [(TEXT, "c"), (PING, "q"), (PONG, "p")]);
}

#[tokio::test(start_paused = true)]
async fn what_one_turn_feeds_leaves_in_one_write() {
    let (sender, _receiver, peer) = split();
    idle().await;
    for number in 0..16 {
        sender.feed(number.to_string()).await.unwrap();
    }
    sender.flush().await.unwrap();
    assert_eq!((peer.frames().len(), peer.writes()), (16, 1));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_look_stops_reading_and_nothing_else() {
    let (sender, mut receiver, peer) = split();
    for number in 0..10 {
        peer.segment(masked(TEXT, number.to_string()));
    }
    tokio::time::sleep(seconds(300)).await;
    // One in the channel, one that waits for it, one ahead.
    assert_eq!(peer.unread(), 7);
    sender.send("still here").await.unwrap();
    for number in 0..10 {
        let message = receiver.recv().await.unwrap().unwrap();
        assert_eq!(message.as_text(), Some(number.to_string().as_str()));
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_receiver_input_is_discarded_and_the_rest_goes_on() {
    let (sender, receiver, peer) = split();
    drop(receiver);
    for _ in 0..10 {
        peer.segment([masked(TEXT, "x"), masked(PING, "p")].concat());
    }
    idle().await;
    assert_eq!(peer.unread(), 0);
    assert_eq!(peer.frames().len(), 10);
    sender.send("x").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_halves_is_closed() {
    let (sender, receiver, peer) = split();
    sender.feed("last").await.unwrap();
    drop(receiver);
    drop(sender.clone());
    idle().await;
    assert_eq!(peer.frames().len(), 1);
    drop(sender);
    idle().await;
    assert_eq!(peer.frames()[0].code(), 1000);
    peer.segment(masked(CLOSE, close_body(1000, "")));
    idle().await;
    assert!(peer.is_shut());
    peer.end();
    idle().await;
    assert!(peer.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn the_peers_close_ends_both_halves_in_order() {
    let (sender, mut receiver, peer) = split();
    peer.segment([masked(TEXT, "a"), masked(CLOSE, close_body(1000, ""))].concat());
    assert!(receiver.recv().await.unwrap().is_some());
    idle().await;
    assert_eq!(sender.send("late").await, Err(SendError::Closed));
    assert_eq!(sender.try_send("late"), Err(SendError::Closed));
    peer.end();
    assert!(receiver.recv().await.unwrap().is_none());
    assert!(receiver.recv().await.unwrap().is_none());
    assert!(peer.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn a_close_goes_behind_what_was_sent_and_is_bounded() {
    let (sender, mut receiver, peer) = split();
    let feeder = sender.clone();
    feeder.feed("a").await.unwrap();
    let start = tokio::time::Instant::now();
    sender.close(CloseCode::NORMAL, "bye").await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 5);
    let frames = peer.frames();
    assert_eq!((frames[0].text(), frames[1].code()), ("a", 1000));
    assert!(peer.is_dropped());
    assert!(matches!(receiver.recv().await, Ok(None)));
    // Again: nothing.
    sender.close(CloseCode::NORMAL, "").await.unwrap();
    let long = "x".repeat(124);
    assert!(matches!(
        sender.close(CloseCode::NORMAL, &long).await,
        Err(SendError::InvalidClose(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn errors_are_told_once() {
    let (_sender, mut receiver, peer) = split();
    peer.segment(b"\x81\x00".to_vec());
    peer.end();
    assert!(matches!(receiver.recv().await, Err(Error::Protocol(_))));
    assert!(matches!(receiver.recv().await, Ok(None)));

    let (_sender, mut receiver, peer) = split();
    peer.end();
    assert!(matches!(receiver.recv().await, Err(Error::UnexpectedEnd)));
    assert!(matches!(receiver.recv().await, Ok(None)));

    let (sender, mut receiver, peer) = split();
    peer.fail_writes(io::ErrorKind::BrokenPipe);
    assert_eq!(sender.send("x").await, Err(SendError::Closed));
    assert!(matches!(receiver.recv().await, Err(Error::Io(_))));

    let (_sender, mut receiver, _peer) = split();
    assert!(matches!(receiver.recv().await, Err(Error::PeerDead)));
    assert!(matches!(receiver.recv().await, Ok(None)));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_kept_for_a_receiver_that_looks_late() {
    let (sender, mut receiver, peer) = split();
    let bad = b"\x81\x00".to_vec();
    peer.segment([masked(TEXT, "a"), masked(TEXT, "b"), bad].concat());
    tokio::time::sleep(seconds(20)).await;
    assert_eq!(sender.try_send("late"), Err(SendError::Closed));
    assert_eq!(peer.frames()[0].code(), 1002);
    assert!(receiver.recv().await.unwrap().is_some());
    assert!(receiver.recv().await.unwrap().is_some());
    assert!(matches!(receiver.recv().await, Err(Error::Protocol(_))));
    assert!(matches!(receiver.recv().await, Ok(None)));
}

#[tokio::test(start_paused = true)]
async fn senders_wait_for_room_and_try_send_says_full() {
    let (sender, _receiver, peer) = split();
    peer.close_window(0);
    idle().await;
    let mut fed = 0;
    while sender.try_send(vec![0; 100_000]).is_ok() {
        fed += 1;
        idle().await;
    }
    assert!((10..=12).contains(&fed), "{fed}");
    assert_eq!(sender.try_send("x".repeat(100_000)), Err(SendError::Full));
    let other = sender.clone();
    let waiting = tokio::spawn(async move { other.feed(vec![1; 100_000]).await });
    idle().await;
    assert!(!waiting.is_finished());
    peer.remove_window();
    waiting.await.unwrap().unwrap();
    sender.flush().await.unwrap();
    assert_eq!(peer.frames().len(), fed + 1);
}

#[tokio::test(start_paused = true)]
async fn a_ping_of_126_bytes_is_refused() {
    let (sender, _receiver, _peer) = split();
    let refused = Err(SendError::ControlPayloadTooLong { len: 126 });
    assert_eq!(sender.ping(&[0; 126]).await, refused);
    sender.ping(&[0; 125]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_closed_may_still_be_split() {
    let (stream, peer) = wire();
    let mut ws = Connection::server(stream, Config::new(Role::Server));
    peer.segment(masked(CLOSE, close_body(1000, "")));
    ws.close(CloseCode::NORMAL, "").await.unwrap();
    let (sender, mut receiver) = ws.split();
    assert_eq!(sender.send("late").await, Err(SendError::Closed));
    assert!(receiver.recv().await.unwrap().is_none());

    let (stream, peer) = wire();
    let mut ws = Connection::server(stream, Config::new(Role::Server));
    peer.end();
    assert!(ws.recv().await.is_err());
    let (sender, mut receiver) = ws.split();
    assert_eq!(sender.send("late").await, Err(SendError::Closed));
    assert!(receiver.recv().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_closing_may_be_split_and_hears_the_peer_out() {
    let (stream, peer) = wire();
    let mut ws = Connection::server(stream, Config::new(Role::Server));
    ws.start_closing_handshake(CloseCode::NORMAL, "").unwrap();
    let (sender, mut receiver) = ws.split();
    assert_eq!(sender.send("late").await, Err(SendError::Closed));
    idle().await;
    assert_eq!(peer.frames()[0].code(), 1000);
    peer.segment([masked(TEXT, "a"), masked(CLOSE, close_body(1000, ""))].concat());
    peer.end();
    assert!(receiver.recv().await.unwrap().is_some());
    assert!(receiver.recv().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_close_completes_although_the_receiver_does_not_look() {
    let (sender, _receiver, peer) = split();
    // One in the channel, one that waits for it, one ahead.
    for number in 0..3 {
        peer.segment(masked(TEXT, number.to_string()));
    }
    idle().await;
    let closing = tokio::spawn(async move { sender.close(CloseCode::NORMAL, "").await });
    idle().await;
    assert!(!closing.is_finished());
    peer.segment(masked(CLOSE, close_body(1000, "")));
    peer.end();
    idle().await;
    assert!(closing.is_finished() && peer.is_dropped());
}
