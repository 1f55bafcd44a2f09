//! Handlers that are added to a session, and removed from it, over TCP.

use std::sync::Arc;

use bytes::Bytes;
use sockeye::endpoint::{HandlerExists, Incoming, IncomingKind, Pong, Reply, whole};
use sockeye::{Endpoint, Error, HandlerResult, Server, Session, endpoint};
use tokio::sync::mpsc;

use super::endpoint::Probed;
use crate::support::{BINARY, Log, PING, PONG, Raw, TEXT, log, serve, soon};

#[tokio::test]
async fn a_handler_added_in_on_open_answers_and_a_second_of_its_kind_is_refused() {
    struct Adding(Log);

    impl Endpoint for Adding {
        async fn on_open(&mut self, session: &Session) -> HandlerResult {
            let mut count = 0;
            let here = session.clone();
            session.add_message_handler(whole(move |text: String| {
                count += 1;
                let here = here.clone();
                async move {
                    if text == "add" {
                        here.add_message_handler(whole(|_: sockeye::proto::Text| async {}))?;
                    }
                    Ok::<_, HandlerExists>(format!("{count} {text}"))
                }
            }))?;
            let second = session.add_message_handler(whole(|_: String| async { "second" }));
            assert_eq!(second, Err(HandlerExists(IncomingKind::Text)));
            Ok(())
        }

        async fn on_error(&mut self, _: &Session, error: &Error) {
            self.0
                .push(sockeye::error::ErrorChain::new(error).to_string());
        }
    }

    let (log, mut events) = log();
    let addr = serve(Server::builder().endpoint(endpoint("/", move |_| Adding(log.clone())))).await;
    let mut peer = Raw::open(addr, "/").await;
    peer.send(TEXT, b"hello").await;
    assert_eq!(peer.recv_text().await, "1 hello");
    peer.send(TEXT, b"add").await;
    assert_eq!(
        events.next().await,
        "a handler failed: the session has a handler for text messages already"
    );
    peer.send(TEXT, b"again").await;
    assert_eq!(peer.recv_text().await, "3 again");
}

#[tokio::test]
async fn messages_without_a_handler_are_dropped_until_one_is_added() {
    let mut probed = Probed::serve().await;
    let (mut peer, session) = probed.open().await;
    peer.send(TEXT, b"dropped").await;
    peer.send(BINARY, b"dropped").await;
    peer.send(PONG, b"dropped").await;
    // A Ping is answered behind them: they have been handled when its Pong is here.
    peer.send(PING, b"").await;
    assert_eq!(peer.recv().await, Some((PONG, Vec::new())));
    session
        .add_message_handler(whole(|text: String| async { text }))
        .unwrap();
    peer.send(BINARY, b"dropped").await;
    peer.send(TEXT, b"served").await;
    assert_eq!(peer.recv_text().await, "served");
    session
        .add_message_handler(whole(|bytes: Bytes| async { bytes }))
        .unwrap();
    session
        .add_message_handler(whole(|pong: Pong| async { pong.into_bytes() }))
        .unwrap();
    peer.send(BINARY, b"bytes").await;
    assert_eq!(peer.recv_binary().await, b"bytes");
    peer.send(PONG, b"pong").await;
    assert_eq!(peer.recv_binary().await, b"pong");
}

#[tokio::test]
async fn a_handler_that_is_removed_leaves_its_kind_to_the_endpoint_and_to_another() {
    struct Answering(mpsc::Sender<Session>);

    impl Endpoint for Answering {
        async fn on_open(&mut self, session: &Session) -> HandlerResult {
            Ok(self.0.try_send(session.clone())?)
        }

        async fn on_message<'m>(
            &mut self,
            _: &Session,
            _: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            Ok(Reply::Text("the endpoint"))
        }
    }

    let (opened, mut sessions) = mpsc::channel(1);
    let answering = endpoint("/", move |_| Answering(opened.clone()));
    let addr = serve(Server::builder().endpoint(answering)).await;
    let mut peer = Raw::open(addr, "/").await;
    let session = soon(sessions.recv()).await.unwrap();
    let held = Arc::new(());
    assert_eq!(session.message_handlers(), []);
    assert!(!session.remove_message_handler(IncomingKind::Text));

    let kept = Arc::clone(&held);
    let first = move |_: String| {
        let _ = &kept;
        async { "the first" }
    };
    session.add_message_handler(whole(first)).unwrap();
    let pong = |pong: Pong| async { pong.into_bytes() };
    session.add_message_handler(whole(pong)).unwrap();
    let kinds = [IncomingKind::Text, IncomingKind::Pong];
    assert_eq!(session.message_handlers(), kinds);
    assert!(!session.remove_message_handler(IncomingKind::Binary));
    peer.send(TEXT, b"").await;
    assert_eq!(peer.recv_text().await, "the first");

    assert!(session.remove_message_handler(IncomingKind::Text));
    assert_eq!(Arc::strong_count(&held), 1, "it is dropped");
    assert_eq!(session.message_handlers(), [IncomingKind::Pong]);
    peer.send(TEXT, b"").await;
    assert_eq!(peer.recv_text().await, "the endpoint");
    peer.send(PONG, b"pong").await;
    assert_eq!(peer.recv_binary().await, b"pong");

    let second = whole(|_: String| async { "the second" });
    session.add_message_handler(second).unwrap();
    peer.send(TEXT, b"").await;
    assert_eq!(peer.recv_text().await, "the second");
    for kind in [IncomingKind::Pong, IncomingKind::Text] {
        assert!(session.remove_message_handler(kind));
    }
    assert_eq!(session.message_handlers(), []);
    peer.send(TEXT, b"").await;
    assert_eq!(peer.recv_text().await, "the endpoint");
}

#[tokio::test]
async fn a_handler_removes_itself_while_it_runs() {
    let mut probed = Probed::serve().await;
    let (mut peer, session) = probed.open().await;
    let here = session.clone();
    let once = move |text: String| {
        // Before it suspends, and after.
        let early = here.remove_message_handler(IncomingKind::Text);
        let here = here.clone();
        async move {
            tokio::task::yield_now().await;
            let late = here.remove_message_handler(IncomingKind::Text);
            format!("{text} {early} {late}")
        }
    };
    session.add_message_handler(whole(once)).unwrap();
    peer.send(TEXT, b"one").await;
    peer.send(TEXT, b"two").await;
    assert_eq!(peer.recv_text().await, "one true false");
    peer.send(PING, b"").await;
    assert_eq!(
        peer.recv().await,
        Some((PONG, Vec::new())),
        "two is dropped"
    );
}

#[tokio::test]
async fn a_panic_in_an_added_handler_closes_1011() {
    let mut probed = Probed::serve().await;
    for later in [false, true] {
        let (mut peer, session) = probed.open().await;
        let panicking = whole(move |_: String| {
            assert!(later, "a test panics");
            async move { assert!(!later, "a test panics") }
        });
        session.add_message_handler(panicking).unwrap();
        peer.send(TEXT, b"").await;
        let why = "a callback of the endpoint failed".to_owned();
        assert_eq!(peer.recv_close().await, (1011, why));
        assert_eq!(probed.events.next().await, "close 1011 0");
    }
}

#[tokio::test]
async fn a_handler_that_holds_its_session_is_dropped_at_the_close_or_when_it_comes_later() {
    let mut probed = Probed::serve().await;
    let (peer, session) = probed.open().await;
    let held = Arc::new(());
    let (here, kept) = (session.clone(), Arc::clone(&held));
    let holding = move |_: String| {
        let _ = (&here, &kept);
        async {}
    };
    session.add_message_handler(whole(holding.clone())).unwrap();
    peer.close().await;
    soon(session.closed()).await;
    session.add_message_handler(whole(holding)).unwrap();
    assert_eq!(Arc::strong_count(&held), 1);
}
