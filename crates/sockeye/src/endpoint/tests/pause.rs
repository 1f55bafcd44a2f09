//! A paused session: the events that arrive meanwhile, and those that end it.

use sockeye_proto::{CloseCode, CloseReason};

use super::life::{numbers, texts};
use super::*;
use crate::connection::tests::wire::{BINARY, CLOSE, Frame, PING, PONG, TEXT, close_body, masked};
use crate::endpoint::{Incoming, Reply, whole};
use crate::error::HandlerResult;

/// Says what comes back, pauses for a text "pause", and says last what the session was closed for.
#[derive(Clone, Default)]
struct Echo(Arc<std::sync::Mutex<Vec<u16>>>);

impl Endpoint for Echo {
    async fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        match &message {
            Incoming::Text(text) if &**text == "pause" => session.pause(),
            Incoming::Pong(_) => return Ok(Reply::Text("pong")),
            _ => {}
        }
        Ok(Reply::from(message))
    }

    async fn on_close(&mut self, _: &Session, reason: CloseReason) -> HandlerResult {
        self.0.lock().unwrap().push(reason.code().into());
        Ok(())
    }
}

fn paused() -> (Started, Echo) {
    let echo = Echo::default();
    let endpoint = echo.clone();
    let started = start(move |_| endpoint.clone());
    started.session.pause();
    assert!(started.session.is_paused());
    (started, echo)
}

#[tokio::test(start_paused = true)]
async fn one_message_is_read_and_none_is_handed_on_until_it_is_resumed() {
    let (Started { peer, session, .. }, _) = paused();
    for number in numbers(6) {
        peer.segment(masked(TEXT, number));
        idle().await;
    }
    assert_eq!((peer.frames(), peer.unread()), (vec![], 5));
    tokio::time::sleep(seconds(3_600)).await;
    assert_eq!((peer.frames(), peer.unread()), (vec![], 5));
    session.resume();
    assert!(!session.is_paused());
    idle().await;
    assert_eq!(texts(&peer.frames()), numbers(6));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_pauses_is_the_last_until_another_task_resumes() {
    let (Started { peer, session, .. }, _) = paused();
    session.resume();
    let all = ["0", "pause", "1", "2"];
    peer.segment(all.map(|text| masked(TEXT, text)).concat());
    idle().await;
    assert_eq!(texts(&peer.frames()), ["0", "pause"]);
    session.async_remote().send_text("meanwhile").unwrap();
    idle().await;
    assert_eq!(texts(&peer.frames()), ["meanwhile"]);
    session.resume();
    idle().await;
    assert_eq!(texts(&peer.frames()), ["1", "2"]);
    // To resume a session that is not paused does nothing.
    session.resume();
    peer.segment(masked(TEXT, "3"));
    idle().await;
    assert_eq!(texts(&peer.frames()), ["3"]);
}

#[tokio::test(start_paused = true)]
async fn parts_pongs_and_added_handlers_wait_too() {
    let (Started { peer, session, .. }, _) = paused();
    session
        .add_message_handler(whole(|bytes: bytes::Bytes| async move { bytes }))
        .unwrap();
    for (first, payload) in [(PONG, ""), (BINARY, "b"), (TEXT, "t")] {
        peer.segment(masked(first, payload));
        idle().await;
        assert_eq!(peer.frames(), []);
    }
    session.resume();
    idle().await;
    let came: Vec<_> = peer
        .frames()
        .into_iter()
        .map(|frame| frame.payload)
        .collect();
    assert_eq!(came, [b"pong".to_vec(), b"b".to_vec(), b"t".to_vec()]);
}

#[tokio::test(start_paused = true)]
async fn pings_before_what_waits_are_answered_and_a_silent_peer_is_not_given_up() {
    let (Started { peer, session, .. }, _) = paused();
    peer.segment(masked(PING, "1"));
    peer.segment(masked(TEXT, "a"));
    peer.segment(masked(PING, "2"));
    idle().await;
    let pongs = |frames: Vec<Frame>| -> Vec<String> {
        let pongs = frames.iter().filter(|frame| frame.first == PONG);
        pongs.map(|frame| frame.text().to_owned()).collect()
    };
    assert_eq!(pongs(peer.frames()), ["1"]);
    tokio::time::sleep(seconds(600)).await;
    assert!(session.is_open());
    session.resume();
    idle().await;
    let frames = peer.frames();
    assert_eq!(texts(&frames), ["a"]);
    assert_eq!(pongs(frames), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn a_paused_session_can_be_closed_and_what_it_kept_is_dropped() {
    let (started, echo) = paused();
    let (peer, session) = (&started.peer, &started.session);
    peer.segment(masked(TEXT, "kept"));
    idle().await;
    session.close(CloseCode::NORMAL, "enough").unwrap();
    idle().await;
    let frames = peer.frames();
    assert_eq!((frames.len(), frames[0].code()), (1, 1000));
    assert_eq!(*echo.0.lock().unwrap(), [1000]);
    peer.segment(masked(CLOSE, close_body(1000, "")));
    peer.end();
    idle().await;
    assert!(started.is_gone());
}

#[tokio::test(start_paused = true)]
async fn a_paused_session_can_be_aborted() {
    let (started, echo) = paused();
    started.peer.segment(masked(TEXT, "kept"));
    idle().await;
    started.session.abort();
    idle().await;
    assert!(started.peer.is_dropped() && started.is_gone());
    assert_eq!(started.peer.frames(), []);
    assert_eq!(*echo.0.lock().unwrap(), [1006]);
}

#[tokio::test(start_paused = true)]
async fn a_peers_close_ends_the_pause_unless_it_lies_behind_what_is_kept() {
    for kept in [0, 1] {
        let (started, echo) = paused();
        let peer = &started.peer;
        for number in numbers(kept) {
            peer.segment(masked(TEXT, number));
        }
        peer.segment(masked(CLOSE, close_body(4000, "")));
        idle().await;
        if kept > 0 {
            assert_eq!(peer.frames(), []);
            started.session.resume();
            idle().await;
        }
        let frames = peer.frames();
        assert_eq!(texts(&frames), numbers(kept));
        assert_eq!(frames[kept].code(), 4000);
        assert_eq!(*echo.0.lock().unwrap(), [4000]);
        peer.end();
        idle().await;
        assert!(started.is_gone());
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_fails_ends_the_pause_and_what_was_kept_is_handed_on() {
    let (started, echo) = paused();
    started.peer.segment(masked(TEXT, "kept"));
    idle().await;
    started.peer.fail_writes(std::io::ErrorKind::BrokenPipe);
    started.session.async_remote().send_text("lost").unwrap();
    idle().await;
    assert_eq!(*echo.0.lock().unwrap(), [1006]);
    assert!(started.is_gone());
}

#[tokio::test(start_paused = true)]
async fn a_paused_session_may_be_idle_for_too_long() {
    let (started, echo) = paused();
    started.session.set_max_idle_timeout(Some(seconds(10)));
    started.peer.segment(masked(TEXT, "kept"));
    tokio::time::sleep(seconds(13)).await;
    assert_eq!(started.peer.frames()[0].code(), 1001);
    assert_eq!(*echo.0.lock().unwrap(), [1006]);
}
