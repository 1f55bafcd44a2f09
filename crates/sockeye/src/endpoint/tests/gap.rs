//! Gaps of topics: the session's task tells its endpoint between two callbacks.

use sockeye_pubsub::TopicName;
use tokio::sync::Notify;

use super::life::texts;
use super::*;
use crate::connection::tests::wire::{CLOSE, TEXT, masked};
use crate::endpoint::{Incoming, Reply, SharedEndpoint};
use crate::error::{Error, HandlerResult};
use crate::topics::Gap;

/// Tells its peer of each message, gap and error. A text "wait" is answered when the test says so.
#[derive(Default)]
struct Telling {
    goes_on: Notify,
}

impl SharedEndpoint for Telling {
    async fn on_message<'m>(&self, _: &Session, message: Incoming<'m>) -> HandlerResult<Reply<'m>> {
        if matches!(&message, Incoming::Text(text) if &**text == "wait") {
            self.goes_on.notified().await;
        }
        Ok(Reply::from(message))
    }

    async fn on_gap(&self, session: &Session, gap: &Gap) -> HandlerResult {
        tell(session, gap.topic());
        match gap.topic() {
            "failing" => Err("the callback of a gap failed".into()),
            _ => Ok(()),
        }
    }

    async fn on_error(&self, session: &Session, error: &Error) {
        tell(session, &error.to_string());
    }
}

fn tell(session: &Session, text: &str) {
    session.async_remote().send_text(text).unwrap();
}

fn telling() -> (Started, Arc<Telling>) {
    let endpoint = Arc::new(Telling::default());
    let kept = Arc::clone(&endpoint);
    (start(move |_| Arc::clone(&endpoint)), kept)
}

fn gap(topic: &str) -> Gap {
    Gap::new(TopicName::new(topic).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_parked_session_is_woken_for_a_gap() {
    let (Started { peer, session, .. }, _) = telling();
    idle().await;
    session.notify_gap(gap("a"));
    idle().await;
    assert_eq!(texts(&peer.frames()), ["a"]);
    idle().await;
    assert_eq!(texts(&peer.frames()), [""; 0]);
    session.notify_gap(gap("a"));
    idle().await;
    peer.segment(masked(TEXT, "b"));
    idle().await;
    assert_eq!(texts(&peer.frames()), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_stops_sending_delays_a_gap_by_one_turn() {
    let (Started { peer, session, .. }, _) = telling();
    idle().await;
    session.notify_gap(gap("a"));
    // Two turns: each is 128 KiB.
    let message = "x".repeat(16 * 1024);
    for _ in 0..16 {
        peer.segment(masked(TEXT, &message));
    }
    idle().await;
    let frames = peer.frames();
    let at = frames.iter().position(|frame| frame.payload == b"a");
    assert!(at.is_some_and(|at| at < 16), "{at:?}");
    assert_eq!(frames.len(), 17);
}

#[tokio::test(start_paused = true)]
async fn of_each_topic_one_gap_waits_until_no_callback_runs() {
    let (Started { peer, session, .. }, telling) = telling();
    peer.segment(masked(TEXT, "wait"));
    peer.segment(masked(TEXT, "next"));
    idle().await;
    for topic in ["b", "a", "b", "b"] {
        session.notify_gap(gap(topic));
        idle().await;
    }
    tell(&session, "meanwhile");
    idle().await;
    assert_eq!(texts(&peer.frames()), ["meanwhile"]);
    telling.goes_on.notify_one();
    idle().await;
    // The message that was read ahead comes after the gaps.
    assert_eq!(texts(&peer.frames()), ["wait", "b", "a", "next"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_goes_to_on_error_and_the_other_gaps_follow() {
    let (Started { peer, session, .. }, _) = telling();
    for topic in ["failing", "a"] {
        session.notify_gap(gap(topic));
    }
    idle().await;
    assert_eq!(texts(&peer.frames()), ["failing", "a handler failed", "a"]);
    assert!(session.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_pause_delays_messages_and_not_gaps() {
    let (Started { peer, session, .. }, _) = telling();
    session.pause();
    session.notify_gap(gap("a"));
    idle().await;
    assert_eq!(texts(&peer.frames()), ["a"]);
    peer.segment(masked(TEXT, "ahead"));
    idle().await;
    session.notify_gap(gap("b"));
    idle().await;
    assert_eq!(texts(&peer.frames()), ["b"]);
    session.resume();
    idle().await;
    assert_eq!(texts(&peer.frames()), ["ahead"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_closes_gets_no_gap_and_keeps_none_after_its_end() {
    let (started, _) = telling();
    let Started { peer, session, .. } = &started;
    session.notify_gap(gap("a"));
    session.close(sockeye_proto::CloseCode::NORMAL, "").unwrap();
    idle().await;
    let frames = peer.frames();
    assert_eq!((frames.len(), frames[0].first), (1, CLOSE));
    peer.end();
    idle().await;
    assert!(started.is_gone());
    session.notify_gap(gap("b"));
    assert_eq!(session.take_gaps(), []);
    // A session that ended without any use of topics gets no part for them.
    let (started, _) = telling();
    started.peer.end();
    idle().await;
    assert!(started.is_gone());
    assert!(started.session.topics_part().is_none());
}
