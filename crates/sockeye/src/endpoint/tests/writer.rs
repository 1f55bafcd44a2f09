//! Messages that are sent in parts, while the session does other work.

use sockeye_proto::CloseReason;

use super::life::texts;
use super::*;
use crate::connection::tests::wire::{CLOSE, Frame, PING, PONG, TEXT, masked};
use crate::endpoint::{Incoming, Reply};
use crate::error::HandlerResult;

const TEXT_STARTS: u8 = 0x01;
const ENDS: u8 = 0x80;

struct Echo;

impl Endpoint for Echo {
    async fn on_message<'m>(
        &mut self,
        _: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        Ok(Reply::from(message))
    }

    fn on_message_at_once<'m>(
        &mut self,
        _: &Session,
        message: sockeye_proto::WholeMessage<'m>,
    ) -> Option<HandlerResult<Reply<'m>>> {
        match message {
            sockeye_proto::WholeMessage::Text("at once") => Some(Ok(Reply::Text("at once"))),
            _ => None,
        }
    }
}

fn opened(frames: &[Frame]) -> Vec<(u8, &str)> {
    frames.iter().map(|f| (f.first, f.text())).collect()
}

#[tokio::test(start_paused = true)]
async fn replies_and_broadcasts_wait_until_a_message_in_parts_is_finished_and_pings_are_answered() {
    let Started { peer, session, .. } = start(|_| Echo);
    let mut message = session.basic_remote().text_writer();
    message.send_part("a").await.unwrap();
    idle().await;
    assert_eq!(opened(&peer.frames()), [(TEXT_STARTS, "a")]);
    peer.segment(
        [
            masked(TEXT, "at once"),
            masked(TEXT, "reply"),
            masked(PING, "p"),
        ]
        .concat(),
    );
    idle().await;
    assert_eq!(opened(&peer.frames()), [(PONG, "p")]);
    assert_eq!(session.open_sessions().broadcast("to all"), 1);
    idle().await;
    drop(session.async_remote().send_text("queued").unwrap());
    assert_eq!(session.open_sessions().broadcast("to all again"), 1);
    peer.segment(masked(TEXT, "another"));
    idle().await;
    assert_eq!(peer.frames(), []);
    message.send_last_part("b").await.unwrap();
    let frames = peer.frames();
    assert_eq!(opened(&frames[..1]), [(ENDS, "b")]);
    let behind = [
        "at once",
        "reply",
        "to all",
        "queued",
        "to all again",
        "another",
    ];
    assert_eq!(texts(&frames), behind);
    // And the session is what it was.
    peer.segment([masked(TEXT, "at once"), masked(TEXT, "reply")].concat());
    idle().await;
    assert_eq!(texts(&peer.frames()), ["at once", "reply"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_for_the_next_part_is_woken_no_more_than_it_has_to_be() {
    let Started { peer, session, .. } = start(|_| Echo);
    let mut message = session.basic_remote().text_writer();
    message.send_part("a").await.unwrap();
    idle().await;
    assert_eq!(session.open_sessions().broadcast("waits"), 1);
    idle().await;
    let (reads, writes) = (peer.reads(), peer.writes());
    // It is parked, although something is there that it may not send yet.
    tokio::time::sleep(seconds(10)).await;
    assert_eq!((peer.reads(), peer.writes()), (reads, writes));
    message.finish().await.unwrap();
    assert_eq!(texts(&peer.frames()), ["waits"]);
}

/// Writes a message in parts from within its handlers, and fails in the middle where it is told so.
struct Writing;

impl Endpoint for Writing {
    async fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        let Incoming::Text(text) = message else {
            return Ok(Reply::None);
        };
        let mut message = session.basic_remote().text_writer();
        if &*text == "early" {
            return Err("nothing was sent".into());
        }
        for word in text.split(' ') {
            if word == "fail" {
                return Err("in the middle".into());
            }
            message.send_part(word).await?;
        }
        message.finish().await?;
        Ok(Reply::Text("done"))
    }

    async fn on_error(&mut self, session: &Session, error: &crate::Error) {
        let _ = session
            .async_remote()
            .send_text(crate::error::ErrorChain::new(error).to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_writes_a_message_in_parts_and_its_reply_is_behind() {
    let Started { peer, .. } = start(|_| Writing);
    peer.segment(masked(TEXT, "one two"));
    idle().await;
    let frames = peer.frames();
    let shown = [(TEXT_STARTS, "one"), (0, "two"), (ENDS, ""), (TEXT, "done")];
    assert_eq!(opened(&frames), shown);
    peer.segment(masked(TEXT, "early"));
    idle().await;
    assert_eq!(
        texts(&peer.frames()),
        ["a handler failed: nothing was sent"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_in_the_middle_of_a_message_closes_1011() {
    let Started { peer, session, .. } = start(|_| Writing);
    peer.segment(masked(TEXT, "one fail"));
    idle().await;
    let frames = peer.frames();
    assert_eq!(opened(&frames[..1]), [(TEXT_STARTS, "one")]);
    assert_eq!((frames[1].code(), frames.len()), (1011, 2));
    peer.segment(masked(CLOSE, []));
    peer.end();
    let reason: CloseReason = session.closed().await;
    assert_eq!(reason.code().get(), 1011);
}
