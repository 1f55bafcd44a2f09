//! Handlers that are called with a message in the read buffer: to the peer they behave as the others do.

use std::sync::atomic::{AtomicUsize, Ordering};

use sockeye_proto::{CloseCode, WholeMessage};

use super::life::{Log, messages, numbers, texts};
use super::*;
use crate::connection::tests::wire::{CLOSE, PING, TEXT, close_body, masked};
use crate::endpoint::{Incoming, Reply};
use crate::error::{Error, HandlerResult};

/// Does what its messages say, by either way of being called.
#[derive(Clone)]
struct Obedient {
    at_once: bool,
    log: Log,
}

impl Obedient {
    fn obey<'m>(&self, session: &Session, text: &'m str) -> HandlerResult<Reply<'m>> {
        self.log.add(text);
        match text {
            "binary" => return Ok(Reply::Binary(b"binary")),
            "message" => return Ok(Reply::Message("message".into())),
            "queue" => {
                drop(session.async_remote().send_text("queued")?);
                return Ok(Reply::Text("behind the queued"));
            }
            "only queue" => drop(session.async_remote().send_text("only queued")?),
            "broadcast" => drop(session.open_sessions().broadcast("to all")),
            "fail" => return Err("as it was told to".into()),
            "panic" => panic!("as it was told to"),
            "close" => session.close(CloseCode::NORMAL, "as it was told to")?,
            "abort" => session.abort(),
            text => return Ok(Reply::Text(text)),
        }
        Ok(Reply::None)
    }
}

impl Endpoint for Obedient {
    async fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        match message {
            Incoming::Text(text) => self.obey(session, text.into_str()),
            _ => Ok(Reply::None),
        }
    }

    fn on_message_at_once<'m>(
        &mut self,
        session: &Session,
        message: WholeMessage<'m>,
    ) -> Option<HandlerResult<Reply<'m>>> {
        match message {
            WholeMessage::Text(text) if self.at_once && !text.starts_with("later") => {
                Some(self.obey(session, text))
            }
            _ => None,
        }
    }

    async fn on_error(&mut self, _: &Session, error: &Error) {
        self.log
            .add(crate::error::ErrorChain::new(error).to_string());
    }
}

/// The result of a segment: the frames sent, the messages handled, and whether the task still runs.
async fn outcome(segment: &[u8], at_once: bool) -> (Vec<(u8, Vec<u8>)>, Vec<String>, bool) {
    let log = Log::default();
    let obedient = Obedient {
        at_once,
        log: log.clone(),
    };
    let started = start(move |_| obedient.clone());
    idle().await;
    started.peer.segment(segment.to_vec());
    idle().await;
    let frames = started.peer.frames().into_iter();
    let frames = frames.map(|frame| (frame.first, frame.payload)).collect();
    (frames, log.take(), started.is_gone())
}

#[tokio::test(start_paused = true)]
async fn whatever_a_handler_does_it_is_the_same_at_once() {
    const DEEDS: [&str; 12] = [
        "text",
        "binary",
        "message",
        "",
        "later",
        "queue",
        "only queue",
        "broadcast",
        "fail",
        "panic",
        "close",
        "abort",
    ];
    let others = [
        masked(TEXT, "text"),
        masked(PING, "ping"),
        masked(TEXT, b"\xff"),
        masked(CLOSE, close_body(1000, "bye")),
        // Part of a frame, and one that is not masked.
        masked(TEXT, "text")[..4].to_vec(),
        b"\x81\x02no".to_vec(),
    ];
    let deeds = DEEDS.map(|deed| masked(TEXT, deed));
    for first in &deeds {
        for second in &deeds {
            for third in &others {
                let segment = [&first[..], second, third, &masked(TEXT, "last")].concat();
                let expected = outcome(&segment, false).await;
                assert_eq!(outcome(&segment, true).await, expected, "{segment:x?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_loses_no_answer_before_it_and_shows_no_message_twice() {
    let segment = ["a", "b", "panic", "c"]
        .map(|text| masked(TEXT, text))
        .concat();
    let (frames, handled, _) = outcome(&segment, true).await;
    assert_eq!(handled, ["a", "b", "panic"]);
    let first: Vec<_> = frames.iter().map(|(first, _)| *first).collect();
    assert_eq!(first, [TEXT, TEXT, CLOSE]);
    assert_eq!(frames[2].1[..2], 1011_u16.to_be_bytes());
}

#[tokio::test(start_paused = true)]
async fn after_128_kib_of_work_it_is_the_neighbours_turn() {
    const TURN: usize = 128;
    let log = Log::default();
    let [busy, neighbour] = ["busy", "neighbour"].map(|name| {
        let log = log.clone();
        start(move |_| Named(name, log.clone()))
    });
    idle().await;
    busy.peer.segment(messages(2 * TURN + 1));
    neighbour.peer.segment(messages(1));
    idle().await;
    let names = log.take();
    assert_eq!(names.len(), 2 * TURN + 2);
    let turns: Vec<_> = names.chunk_by(|a, b| a == b).map(<[_]>::len).collect();
    // The read of all of them counts too.
    let read = messages(2 * TURN + 1).len().div_ceil(1024);
    assert_eq!(turns, [TURN - read, 1, TURN + 1 + read]);
    assert_eq!(texts(&busy.peer.frames()), numbers(2 * TURN + 1));
}

struct Named(&'static str, Log);

impl Endpoint for Named {
    async fn on_message<'m>(
        &mut self,
        _: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        self.1.add(self.0);
        Ok(message.into())
    }

    fn on_message_at_once<'m>(
        &mut self,
        _: &Session,
        message: WholeMessage<'m>,
    ) -> Option<HandlerResult<Reply<'m>>> {
        self.1.add(self.0);
        match message {
            WholeMessage::Text(text) => Some(Ok(Reply::Text(text))),
            WholeMessage::Binary(bytes) => Some(Ok(Reply::Binary(bytes))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_wait_stop_the_handlers_and_reading() {
    const LEN: usize = 32 * 1024;
    struct Inflate(Arc<AtomicUsize>);
    impl Inflate {
        fn answer<'m>(&self) -> Reply<'m> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Reply::Binary(&[7; LEN])
        }
    }
    impl Endpoint for Inflate {
        async fn on_message<'m>(
            &mut self,
            _: &Session,
            _: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            Ok(self.answer())
        }

        fn on_message_at_once<'m>(
            &mut self,
            _: &Session,
            _: WholeMessage<'m>,
        ) -> Option<HandlerResult<Reply<'m>>> {
            Some(Ok(self.answer()))
        }
    }
    let handled = Arc::new(AtomicUsize::new(0));
    let shared = Arc::clone(&handled);
    let Started { peer, .. } = start(move |_| Inflate(Arc::clone(&shared)));
    peer.close_window(0);
    for _ in 0..10 {
        peer.segment(messages(10));
    }
    idle().await;
    // With their headers these are more than the output's mark of 256 KiB.
    assert_eq!(handled.load(Ordering::Relaxed), 8);
    peer.remove_window();
    idle().await;
    assert_eq!(handled.load(Ordering::Relaxed), 100);
    let frames = peer.frames();
    assert_eq!(frames.len(), 100);
    assert!(frames.iter().all(|frame| frame.payload == [7; LEN]));
}
