//! Messages that their handlers read while they arrive.

use std::io;

use sockeye_proto::{CloseCode, CloseReason};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt};
use tokio::sync::{Semaphore, oneshot};

use super::life::{Log, texts};
use super::*;
use crate::connection::driver::rest::MAX_CONTROLS;
use crate::connection::tests::wire::{BINARY, CLOSE, PING, PONG, TEXT, close_body, masked};
use crate::endpoint::{
    Argument, BinaryReader, Incoming, IncomingKind, IntoReply, Reply, TextReader, partial, whole,
};
use crate::error::{Error, HandlerResult};

const TEXT_STARTS: u8 = 0x01;
const BINARY_STARTS: u8 = 0x02;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;

/// Its handlers are added by the test. Tells of all else.
struct Probe(Log);

impl Endpoint for Probe {
    async fn on_message<'m>(
        &mut self,
        _: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        assert!(!message.is_part(), "it has not asked for parts");
        self.0.add(match message {
            Incoming::Pong(pong) => format!("pong {}", String::from_utf8_lossy(pong.payload())),
            _ => "the endpoint".to_owned(),
        });
        Ok(Reply::None)
    }

    async fn on_error(&mut self, _: &Session, error: &Error) {
        self.0
            .add(format!("error: {}", crate::error::ErrorChain::new(error)));
    }

    async fn on_close(&mut self, _: &Session, reason: CloseReason) -> HandlerResult {
        self.0.add(format!("close {}", reason.code()));
        Ok(())
    }
}

/// A session whose handlers read: texts to their ends, of bytes the first four.
fn start_reading() -> (Started, Log) {
    let log = Log::default();
    let told = log.clone();
    let config = Config::new(Role::Server).max_binary(u64::MAX);
    let started = start_with(config, move |_| Probe(told.clone()));
    let told = log.clone();
    let text = whole(move |mut body: TextReader| {
        let log = told.clone();
        async move {
            let mut text = String::new();
            log.add("begins");
            while body.read_buf_text(&mut text).await? > 0 {
                log.add(text.as_str());
            }
            Ok::<_, io::Error>(format!("{text}."))
        }
    });
    started.session.add_message_handler(text).unwrap();
    let head = whole(|mut body: BinaryReader| async move {
        let mut head = [0; 4];
        body.read_exact(&mut head).await?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&head).into_owned())
    });
    started.session.add_message_handler(head).unwrap();
    (started, log)
}

trait ReadText: AsyncRead + Unpin {
    /// Reads what is there, and says how much.
    async fn read_buf_text(&mut self, text: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::with_capacity(1024);
        let len = self.read_buf(&mut bytes).await?;
        text.push_str(&String::from_utf8_lossy(&bytes));
        Ok(len)
    }
}

impl ReadText for TextReader {}

#[tokio::test(start_paused = true)]
async fn a_handler_is_called_when_a_message_begins_and_reads_it_as_it_comes() {
    let (Started { peer, .. }, log) = start_reading();
    idle().await;
    for (frame, said) in [
        (masked(TEXT_STARTS, "a"), &["begins", "a"][..]),
        (masked(GOES_ON, ""), &[]),
        (masked(GOES_ON, "b\u{fc}"), &["ab\u{fc}"]),
        (masked(PING, "!"), &[]),
        (masked(ENDS, "c"), &["ab\u{fc}c"]),
    ] {
        peer.segment(frame);
        idle().await;
        assert_eq!(log.take(), said);
    }
    let frames = peer.frames();
    assert_eq!((frames[0].first, frames[1].text()), (PONG, "ab\u{fc}c."));
    // What is there at once is one message after the other; an empty one has no bytes.
    let segment = [
        masked(TEXT, "whole"),
        masked(TEXT, ""),
        masked(TEXT_STARTS, "d"),
        masked(GOES_ON, "e"),
        masked(ENDS, ""),
        masked(TEXT_STARTS, ""),
        masked(ENDS, "f"),
        masked(BINARY, "12345"),
    ];
    peer.segment(segment.concat());
    idle().await;
    assert_eq!(
        texts(&peer.frames()),
        ["whole.", ".", "de.", "f.", "1234"],
        "{:?}",
        log.take()
    );
}

#[tokio::test(start_paused = true)]
async fn the_peer_is_read_as_the_handler_reads_and_one_part_ahead() {
    let (Started { peer, session, .. }, _) = start_reading();
    assert!(session.remove_message_handler(IncomingKind::Binary));
    let read = Arc::new(Semaphore::new(0));
    let permits = Arc::clone(&read);
    let slow = whole(move |mut body: BinaryReader| {
        let permits = Arc::clone(&permits);
        async move {
            let mut sum = 0;
            loop {
                permits.acquire().await?.forget();
                let part = body.fill_buf().await?.len();
                if part == 0 {
                    return HandlerResult::Ok(sum.to_string());
                }
                sum += part;
                body.consume(part);
            }
        }
    });
    session.add_message_handler(slow).unwrap();
    idle().await;
    peer.segment(masked(BINARY_STARTS, [7; 1000]));
    for _ in 0..100 {
        peer.segment(masked(GOES_ON, [7; 1000]));
    }
    peer.segment(masked(ENDS, [7; 1000]));
    idle().await;
    // The handler has the first part, the second is ahead.
    assert_eq!(peer.unread(), 100);
    // Its silence is not the peer's own, however long the handler takes.
    tokio::time::sleep(seconds(600)).await;
    assert!(session.is_open());
    for read_parts in 2..50 {
        read.add_permits(1);
        idle().await;
        let unread = peer.unread();
        assert!(unread >= 102 - read_parts - 1, "{read_parts} {unread}");
    }
    read.add_permits(100);
    idle().await;
    assert_eq!(texts(&peer.frames()), ["102000"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_leaves_unread_is_thrown_away_and_the_next_message_is_handled() {
    let (Started { peer, .. }, log) = start_reading();
    idle().await;
    // The end was read ahead; it comes later; it comes much later; it is there at once.
    peer.segment(
        [
            masked(BINARY_STARTS, "1234"),
            masked(ENDS, "5"),
            masked(BINARY, "abcd"),
        ]
        .concat(),
    );
    peer.segment(masked(BINARY_STARTS, "6789"));
    idle().await;
    peer.segment([masked(GOES_ON, "0"), masked(PONG, "between")].concat());
    idle().await;
    for _ in 0..1000 {
        peer.segment(masked(GOES_ON, [0; 1000]));
    }
    peer.segment([masked(ENDS, "1"), masked(BINARY, "efgh")].concat());
    let mut large = vec![0; 1 << 20];
    large[..4].copy_from_slice(b"ijkl");
    peer.segment([masked(BINARY, large), masked(BINARY, "mnop?")].concat());
    idle().await;
    let heads = ["1234", "abcd", "6789", "efgh", "ijkl", "mnop"];
    assert_eq!(texts(&peer.frames()), heads);
    assert_eq!(log.take(), ["pong between"]);
}

#[tokio::test(start_paused = true)]
async fn however_a_message_is_cut_what_is_read_is_what_was_sent_and_the_next_one_is_whole() {
    const LEN: usize = 150_000;
    let bytes: Vec<u8> = (0..LEN).map(|number| (number % 251) as u8).collect();
    for fragment in [999, 65_536, 100_000, LEN] {
        for segment in [777, 4096, 70_000, usize::MAX] {
            for read in [0, 1, 998, 999, 1000, 65_536, 130_000, LEN - 1, LEN] {
                let expected = bytes[..read].to_vec();
                let Started { peer, session, .. } = start(|_| Probe(Log::default()));
                let reads = whole(move |mut body: BinaryReader| {
                    let expected = expected.clone();
                    async move {
                        let mut came = vec![0; expected.len()];
                        body.read_exact(&mut came).await?;
                        io::Result::Ok((came == expected).to_string())
                    }
                });
                session.add_message_handler(reads).unwrap();
                idle().await;
                let mut stream = Vec::new();
                let count = LEN.div_ceil(fragment);
                for (index, part) in bytes.chunks(fragment).enumerate() {
                    let opcode = if index == 0 { BINARY_STARTS } else { GOES_ON };
                    let fin = if index == count - 1 { ENDS } else { 0 };
                    stream.extend(masked(opcode | fin, part));
                }
                stream.extend(masked(TEXT, "next"));
                stream.extend(masked(BINARY, &bytes));
                for segment in stream.chunks(segment.min(stream.len())) {
                    peer.segment(segment);
                }
                idle().await;
                let cut = format!("{fragment} {segment} {read}");
                assert_eq!(texts(&peer.frames()), ["true", "true"], "{cut}");
                assert_eq!(peer.unread(), 0, "{cut}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_in_the_middle_is_an_error_of_the_readers_and_on_close_follows() {
    let closed = [masked(GOES_ON, "b"), masked(CLOSE, close_body(1001, ""))].concat();
    for (rest, error, code) in [
        (closed, "the peer closed the connection", 1001),
        (masked(TEXT, "b"), "inside a fragmented message", 1002),
        (masked(GOES_ON, b"\xff"), "UTF-8", 1007),
        (masked(ENDS, [b'x'; 1 << 20]), "1048576", 1009),
        (Vec::new(), "without a Close", 1006),
    ] {
        let (started, log) = start_reading();
        idle().await;
        started.peer.segment(masked(TEXT_STARTS, "a"));
        idle().await;
        if rest.is_empty() {
            started.peer.end();
        } else {
            started.peer.segment(rest);
        }
        idle().await;
        started.peer.end();
        idle().await;
        let said = log.take();
        assert_eq!(said[..2], ["begins", "a"]);
        let told = &said[said.len() - if code == 1009 { 3 } else { 2 }..];
        assert!(told[0].starts_with("error: a handler failed: "), "{said:?}");
        assert!(told[0].contains(error), "{error}: {said:?}");
        assert_eq!(said.last().unwrap(), &format!("close {code}"));
        assert!(started.is_gone());
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_in_the_middle_of_what_is_read_is_given_up() {
    let (Started { peer, .. }, log) = start_reading();
    idle().await;
    peer.segment(masked(TEXT_STARTS, "a"));
    for _ in 0..7 {
        // It is there, but for the message.
        peer.segment(masked(PONG, ""));
        tokio::time::sleep(seconds(17)).await;
        assert!(peer.frames().iter().all(|frame| frame.first == PING));
    }
    tokio::time::sleep(seconds(2)).await;
    let frames = peer.frames();
    let close = frames.iter().find(|frame| frame.first == CLOSE);
    assert_eq!(close.unwrap().code(), 1008);
    let said = log.take();
    assert!(said[2].contains("error: a handler failed: "), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn closing_here_in_the_middle_is_an_error_of_the_readers() {
    let (Started { peer, session, .. }, log) = start_reading();
    idle().await;
    peer.segment(masked(TEXT_STARTS, "a"));
    idle().await;
    session.close(CloseCode::NORMAL, "").unwrap();
    idle().await;
    assert_eq!(peer.frames()[0].code(), 1000);
    let error =
        "error: a handler failed: this side closed the connection in the middle of the message";
    assert_eq!(log.take(), ["begins", "a", error, "close 1000"]);
}

#[tokio::test(start_paused = true)]
async fn aborting_drops_the_handler_that_reads() {
    let (started, log) = start_reading();
    idle().await;
    started.peer.segment(masked(TEXT_STARTS, "a"));
    idle().await;
    started.session.abort();
    idle().await;
    assert_eq!(log.take(), ["begins", "a", "close 1006"]);
    assert!(started.is_gone() && started.peer.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn pongs_come_when_the_handler_is_done_the_newest_16_of_them() {
    for count in [MAX_CONTROLS, MAX_CONTROLS + 1] {
        let (Started { peer, .. }, log) = start_reading();
        idle().await;
        peer.segment(masked(TEXT_STARTS, "a"));
        for number in 0..count {
            peer.segment(masked(PONG, number.to_string()));
        }
        idle().await;
        assert_eq!((log.take().len(), peer.unread()), (2, 0));
        peer.segment([masked(ENDS, ""), masked(TEXT, "b")].concat());
        idle().await;
        let said = log.take();
        let first = count - MAX_CONTROLS;
        let pongs = (first..count).map(|number| format!("pong {number}"));
        let next = ["begins", "b"].map(String::from);
        assert_eq!(said, pongs.chain(next).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_being_read_comes_to_its_end_while_the_session_is_paused_and_pongs_wait()
{
    let (Started { peer, session, .. }, log) = start_reading();
    idle().await;
    peer.segment(masked(TEXT_STARTS, "a"));
    idle().await;
    session.pause();
    peer.segment([masked(PONG, "!"), masked(ENDS, "b"), masked(TEXT, "c")].concat());
    idle().await;
    assert_eq!(texts(&peer.frames()), ["ab."]);
    assert_eq!(log.take(), ["begins", "a", "ab"]);
    session.resume();
    idle().await;
    assert_eq!(log.take(), ["pong !", "begins", "c"]);
    assert_eq!(texts(&peer.frames()), ["c."]);
    // One that is closed meanwhile gives no pongs.
    peer.segment([masked(TEXT_STARTS, "d"), masked(PONG, "?")].concat());
    idle().await;
    session.pause();
    peer.segment(masked(ENDS, ""));
    idle().await;
    session.close(CloseCode::NORMAL, "").unwrap();
    idle().await;
    assert_eq!(log.take(), ["begins", "d", "close 1000"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_while_it_reads_closes_1011() {
    let (Started { peer, session, .. }, log) = start_reading();
    session.remove_message_handler(IncomingKind::Binary);
    let panics = whole(|mut body: BinaryReader| async move {
        let read = body.read_u16().await;
        assert!(read.is_err(), "in the middle of a message");
    });
    session.add_message_handler(panics).unwrap();
    idle().await;
    peer.segment(masked(BINARY_STARTS, "1"));
    peer.segment([masked(GOES_ON, "2"), masked(GOES_ON, "3")].concat());
    idle().await;
    assert_eq!(peer.frames()[0].code(), 1011);
    peer.segment([masked(ENDS, ""), masked(CLOSE, close_body(1011, ""))].concat());
    peer.end();
    idle().await;
    assert_eq!(log.take(), ["close 1011"]);
}

#[tokio::test(start_paused = true)]
async fn another_task_may_read_for_the_handler_but_not_longer_than_it_runs() {
    let (Started { peer, session, .. }, _) = start_reading();
    session.remove_message_handler(IncomingKind::Binary);
    let (give, given) = oneshot::channel();
    let mut give = Some(give);
    let spawns = whole(move |mut body: BinaryReader| {
        let give = give.take();
        async move {
            if let Some(give) = give {
                // Outlives the handler, of which it is the first message.
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    let error = body.read_to_end(&mut bytes).await.unwrap_err();
                    let _ = give.send((bytes, error));
                });
                tokio::task::yield_now().await;
                return Ok(String::new());
            }
            let reading = tokio::spawn(async move {
                let mut text = String::new();
                body.read_to_string(&mut text).await?;
                io::Result::Ok(text)
            });
            reading.await?
        }
    });
    session.add_message_handler(spawns).unwrap();
    idle().await;
    peer.segment(masked(BINARY_STARTS, "1"));
    idle().await;
    let (bytes, error) = given.await.unwrap();
    assert_eq!(
        (&*bytes, error.kind()),
        (&b"1"[..], io::ErrorKind::UnexpectedEof)
    );
    assert_eq!(error.to_string(), "the message's handler is done");
    peer.segment(masked(ENDS, "2"));
    for frame in [
        masked(BINARY_STARTS, "3"),
        masked(GOES_ON, "4"),
        masked(ENDS, "5"),
    ] {
        peer.segment(frame);
        idle().await;
    }
    assert_eq!(texts(&peer.frames()), ["", "345"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_removed_while_it_reads_goes_on() {
    let (Started { peer, session, .. }, log) = start_reading();
    idle().await;
    peer.segment(masked(TEXT_STARTS, "a"));
    idle().await;
    assert!(session.remove_message_handler(IncomingKind::Text));
    peer.segment([masked(ENDS, "b"), masked(TEXT, "c")].concat());
    idle().await;
    assert_eq!(texts(&peer.frames()), ["ab."]);
    assert_eq!(log.take(), ["begins", "a", "ab", "the endpoint"]);
    // One that is added meanwhile begins with the next message.
    let shown = partial(|(part, _): (String, bool)| async { part });
    session.add_message_handler(shown).unwrap();
    peer.segment([masked(TEXT_STARTS, "d"), masked(ENDS, "e")].concat());
    idle().await;
    assert_eq!(texts(&peer.frames()), ["d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_written_by_hand_makes_a_reader_of_a_part() {
    struct ByHand;

    impl Endpoint for ByHand {
        const IN_PARTS: &'static [IncomingKind] = &[IncomingKind::Text];

        async fn on_message<'m>(
            &mut self,
            _: &Session,
            text: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            let mut lines = TextReader::from_message(text)?.lines();
            let mut count = 0;
            while lines.next_line().await?.is_some() {
                count += 1;
            }
            format!("{count} lines").into_reply()
        }

        async fn on_error(&mut self, session: &Session, error: &Error) {
            let sent = session
                .async_remote()
                .send_text(crate::error::ErrorChain::new(error).to_string());
            sent.unwrap().await.unwrap();
        }
    }

    let Started { peer, .. } = start(|_| ByHand);
    peer.segment(
        [
            masked(TEXT_STARTS, "a\nb"),
            masked(GOES_ON, "c\n"),
            masked(ENDS, "d"),
        ]
        .concat(),
    );
    peer.segment([masked(TEXT, "e\n"), masked(BINARY, "f\n")].concat());
    idle().await;
    let wrong = "a handler failed: a handler of text messages was given a binary message";
    assert_eq!(texts(&peer.frames()), ["3 lines", "1 lines", wrong]);
}

#[cfg(feature = "macros")]
#[tokio::test(start_paused = true)]
async fn a_method_takes_a_reader_of_its_kind_and_has_its_own_limit() {
    #[derive(Default)]
    struct Upload {
        files: usize,
    }

    #[crate::server_endpoint("/upload/{name}")]
    impl Upload {
        #[on_message(max = 2 << 20)]
        async fn binary(
            &mut self,
            mut body: BinaryReader,
            session: &Session,
        ) -> HandlerResult<String> {
            let len = tokio::io::copy(&mut body, &mut tokio::io::sink()).await?;
            self.files += 1;
            Ok(format!("{} {len} {}", self.files, session.is_open()))
        }

        #[on_message]
        async fn text(&mut self, body: TextReader) {
            drop(body);
        }
    }

    assert_eq!(Upload::IN_PARTS.len(), 2);
    assert_eq!(Upload::MAX_MESSAGES, [(IncomingKind::Binary, 2 << 20)]);
    let config = Config::new(Role::Server).max_binary(2 << 20);
    let Started { peer, .. } = start_with(config, |_| Upload::default());
    peer.segment(masked(BINARY, vec![0; 2 << 20]));
    peer.segment([masked(TEXT_STARTS, "a"), masked(ENDS, "b")].concat());
    peer.segment(masked(BINARY, "abc"));
    idle().await;
    assert_eq!(texts(&peer.frames()), ["1 2097152 true", "2 3 true"]);
    peer.segment(
        [
            masked(BINARY_STARTS, [0; 5]),
            masked(ENDS, vec![0; 2 << 20]),
        ]
        .concat(),
    );
    idle().await;
    assert_eq!(peer.frames()[0].code(), 1009);
}
