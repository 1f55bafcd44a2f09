//! Replies that wait to be written stop the handlers and the reading.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::life::{Answer, Echo, messages, texts};
use super::*;
use crate::connection::Connection;
use crate::connection::tests::wire::{TEXT, masked};
use crate::endpoint::{Incoming, Reply};
use crate::error::HandlerResult;
use crate::sync::Arc;

/// Answers each message with a large one.
struct Inflate(Arc<AtomicUsize>);

const INFLATED: usize = 32 * 1024;

impl Endpoint for Inflate {
    async fn on_message<'m>(&mut self, _: &Session, _: Incoming<'m>) -> HandlerResult<Reply<'m>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Reply::Message(vec![7; INFLATED].into()))
    }
}

#[tokio::test(start_paused = true)]
async fn replies_that_wait_stop_the_handlers_and_reading() {
    for queued in [0, 100_000] {
        let handled = Arc::new(AtomicUsize::new(0));
        let shared = Arc::clone(&handled);
        let Started { peer, session, .. } = start(move |_| Inflate(Arc::clone(&shared)));
        peer.close_window(0);
        if queued > 0 {
            // Then replies have to wait in the outbox.
            let _ = session.async_remote().send_binary(vec![1; queued]);
            let _ = session.async_remote().send_binary(vec![1; queued]);
        }
        for _ in 0..10 {
            peer.segment(messages(10));
        }
        idle().await;
        let before = handled.load(Ordering::Relaxed);
        assert!(before * INFLATED <= 512 * 1024, "{before}");
        assert!(peer.unread() >= 8);
        // What is pushed does not stop for it; a peer that reads slowly gets everything.
        while handled.load(Ordering::Relaxed) < 100 {
            peer.open_window(100_000);
            idle().await;
        }
        peer.remove_window();
        idle().await;
        let frames = peer.frames();
        let replies = frames.iter().filter(|f| f.payload.len() == INFLATED);
        assert_eq!(replies.count(), 100);
        assert!(session.is_open());
    }
}

/// They carry no payload: what bounds them is that there are many.
#[tokio::test(start_paused = true)]
async fn empty_replies_that_wait_stop_reading_too() {
    let Started { peer, session, .. } = start(|_| Echo(Answer::Returned));
    peer.close_window(0);
    // More than the output takes: replies wait behind it in the outbox.
    for _ in 0..4 {
        let pushed = session.async_remote().send_binary(vec![0; 60_000]);
        drop(pushed.unwrap());
    }
    for _ in 0..100 {
        peer.segment(masked(TEXT, "").repeat(1000));
    }
    idle().await;
    // 256 KiB of them, as they are counted, are 4,096.
    assert_eq!(peer.unread(), 100 - 5);
    peer.remove_window();
    idle().await;
    assert_eq!(peer.unread(), 0);
    assert_eq!(texts(&peer.frames()).len(), 100_000);
}

#[tokio::test(start_paused = true)]
async fn two_peers_that_push_at_each_other_both_finish() {
    const PUSHES: usize = 128;
    const LEN: usize = 64 * 1024;
    struct Count(Arc<AtomicUsize>);
    impl Endpoint for Count {
        async fn on_message<'m>(
            &mut self,
            _: &Session,
            m: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            if let Incoming::Binary(bytes) = m {
                self.0.fetch_add(bytes.len(), Ordering::Relaxed);
            }
            Ok(Reply::None)
        }
    }
    let (ours, theirs) = tokio::io::duplex(16 * 1024);
    let taken = Arc::new(AtomicUsize::new(0));
    let shared = Arc::clone(&taken);
    let config = Config::new(Role::Server);
    let (session, _places) = start_on(theirs, config, move |_| Count(Arc::clone(&shared)));
    let client = Connection::client(ours, Config::new(Role::Client));
    let (sender, mut receiver) = client.split();
    let pushes = tokio::spawn(async move {
        for _ in 0..PUSHES {
            sender.send(vec![1; LEN]).await.unwrap();
        }
        sender
    });
    let other = session.clone();
    let pushed = tokio::spawn(async move {
        for _ in 0..PUSHES {
            other
                .basic_remote()
                .send_binary(vec![2; LEN])
                .await
                .unwrap();
        }
    });
    let mut received = 0;
    while received < PUSHES * LEN {
        received += receiver.recv().await.unwrap().unwrap().as_bytes().len();
    }
    let _sender = pushes.await.unwrap();
    pushed.await.unwrap();
    idle().await;
    assert_eq!(taken.load(Ordering::Relaxed), PUSHES * LEN);
}
