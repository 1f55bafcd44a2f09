//! Messages that their handlers get part by part.

use std::sync::Mutex;

use bytes::Bytes;
use sockeye_proto::{Text, WholeMessage};
use tokio::sync::Semaphore;

use super::life::texts;
use super::*;
use crate::connection::tests::wire::{BINARY, PING, PONG, TEXT, masked};
use crate::endpoint::{Incoming, IncomingKind, Reply, partial, whole};
use crate::error::HandlerResult;

const TEXT_STARTS: u8 = 0x01;
const BINARY_STARTS: u8 = 0x02;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;

/// Its handlers are added by the test.
struct Probe;

impl Endpoint for Probe {
    async fn on_message<'m>(
        &mut self,
        _: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        assert!(!message.is_part(), "it has not asked for parts");
        Ok(Reply::Text("the endpoint"))
    }
}

/// Shows what it is called with.
fn show((part, is_last): (String, bool)) -> String {
    format!("{part}{}", if is_last { "." } else { "" })
}

#[tokio::test(start_paused = true)]
async fn each_fragment_is_a_part_and_the_last_says_so_and_what_is_returned_is_sent() {
    let Started { peer, session, .. } = start(|_| Probe);
    let shown = partial(|part: (String, bool)| async { show(part) });
    session.add_message_handler(shown).unwrap();
    let counted =
        |(bytes, is_last): (Bytes, bool)| async move { format!("{} {is_last}", bytes.len()) };
    session.add_message_handler(partial(counted)).unwrap();
    idle().await;
    peer.segment([masked(TEXT_STARTS, "first"), masked(ENDS, "second")].concat());
    idle().await;
    assert_eq!(texts(&peer.frames()), ["first", "second."]);
    // One by one, with a Ping between.
    for frame in [
        masked(BINARY_STARTS, "12"),
        masked(PING, ""),
        masked(GOES_ON, ""),
        masked(ENDS, "3"),
    ] {
        peer.segment(frame);
        idle().await;
    }
    let frames = peer.frames();
    assert_eq!(texts(&frames), ["2 false", "1 true"]);
    assert!(frames.iter().any(|frame| frame.first == PONG));
    // What is complete comes at once, and an end that brings nothing is told too.
    peer.segment([masked(TEXT, "whole"), masked(TEXT, ""), masked(BINARY, "")].concat());
    peer.segment([masked(TEXT_STARTS, "a"), masked(ENDS, "")].concat());
    idle().await;
    assert_eq!(texts(&peer.frames()), ["whole.", ".", "0 true", "a", "."]);
}

/// While it sends, what comes is not looked at in the quick way.
#[tokio::test(start_paused = true)]
async fn a_handler_that_is_added_while_a_session_waits_takes_the_next_message_in_parts() {
    for sends in [false, true] {
        let Started { peer, session, .. } = start(|_| Probe);
        let mut message = session.basic_remote().binary_writer();
        if sends {
            message.send_part(vec![7]).await.unwrap();
        }
        idle().await;
        peer.frames();
        let counted = Arc::new(Mutex::new(Vec::new()));
        let count = Arc::clone(&counted);
        let handler = partial(move |part: (String, bool)| {
            count.lock().unwrap().push(show(part));
            async {}
        });
        session.add_message_handler(handler).unwrap();
        peer.segment([masked(TEXT_STARTS, "a"), masked(ENDS, "b")].concat());
        idle().await;
        assert_eq!(*counted.lock().unwrap(), ["a", "b."], "sends: {sends}");
    }
}

/// Adds a handler, which shows parts, when it is called where a message lies.
struct Adding;

impl Endpoint for Adding {
    async fn on_message<'m>(&mut self, _: &Session, _: Incoming<'m>) -> HandlerResult<Reply<'m>> {
        Ok(Reply::Text("the endpoint"))
    }

    fn on_message_at_once<'m>(
        &mut self,
        session: &Session,
        _: WholeMessage<'m>,
    ) -> Option<HandlerResult<Reply<'m>>> {
        let shown = partial(|part: (String, bool)| async { show(part) });
        session.add_message_handler(shown).unwrap();
        Some(Ok(Reply::Text("added")))
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_added_at_once_takes_what_lies_behind_in_parts() {
    let fragments = [masked(TEXT_STARTS, "a"), masked(ENDS, "b")].concat();
    for (behind, expected) in [
        (fragments.clone(), &["added", "a", "b."][..]),
        (masked(TEXT, "ab"), &["added", "ab."]),
        (
            [masked(PING, ""), fragments].concat(),
            &["added", "a", "b."],
        ),
    ] {
        let Started { peer, .. } = start(|_| Adding);
        idle().await;
        peer.segment([masked(TEXT, "add"), behind].concat());
        idle().await;
        assert_eq!(texts(&peer.frames()), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_is_handled_before_the_message_is_complete_and_is_cut_between_characters() {
    let Started { peer, session, .. } = start(|_| Probe);
    let shown =
        partial(|(part, is_last): (Text, bool)| async move { show((part.to_string(), is_last)) });
    session.add_message_handler(shown).unwrap();
    idle().await;
    let frame = masked(TEXT, "grün".repeat(20_000));
    let mut all = String::new();
    for (part, cut) in [
        (&frame[..17], "gr"),
        (&frame[17..18], "ü"),
        (&frame[18..20], "ng"),
        (&frame[20..], ""),
    ] {
        peer.segment(part);
        idle().await;
        let frames = peer.frames();
        assert!(texts(&frames).concat().starts_with(cut));
        all.extend(texts(&frames));
    }
    assert_eq!(all, "grün".repeat(20_000) + ".");
}

#[tokio::test(start_paused = true)]
async fn bad_utf_8_closes_1007_at_once_and_what_was_good_has_been_handled() {
    let Started { peer, session, .. } = start(|_| Probe);
    let shown = partial(|part: (String, bool)| async { show(part) });
    session.add_message_handler(shown).unwrap();
    idle().await;
    peer.segment([masked(TEXT_STARTS, "good"), masked(GOES_ON, b"\xff")].concat());
    idle().await;
    let frames = peer.frames();
    assert_eq!((frames[0].text(), frames[1].code()), ("good", 1007));
    assert_eq!(frames.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_a_part_is_handled_one_more_is_read_and_no_more_whatever_the_message_is() {
    let config = Config::new(Role::Server).max_binary(u64::MAX);
    let Started { peer, session, .. } = start_with(config, |_| Probe);
    let handled = Arc::new(Semaphore::new(0));
    let sizes = Arc::new(Mutex::new(0));
    let (permits, sum) = (Arc::clone(&handled), Arc::clone(&sizes));
    let slow = partial(move |(part, _): (Vec<u8>, bool)| {
        let (permits, sum) = (Arc::clone(&permits), Arc::clone(&sum));
        async move {
            *sum.lock().unwrap() += part.len();
            permits.acquire().await.unwrap().forget();
        }
    });
    session.add_message_handler(slow).unwrap();
    idle().await;
    peer.segment(masked(BINARY_STARTS, [7; 1000]));
    for _ in 0..100 {
        peer.segment(masked(GOES_ON, [7; 1000]));
    }
    idle().await;
    let unread = peer.unread();
    assert!(unread >= 98, "{unread} segments");
    // Its silence is not the peer's own, however long the handler takes.
    tokio::time::sleep(seconds(600)).await;
    assert_eq!(peer.unread(), unread);
    assert!(session.is_open());
    handled.add_permits(101);
    idle().await;
    assert_eq!((peer.unread(), *sizes.lock().unwrap()), (0, 101 * 1000));
}

#[tokio::test(start_paused = true)]
async fn one_kind_may_come_in_parts_and_the_other_whole() {
    let Started { peer, session, .. } = start(|_| Probe);
    let shown = partial(|part: (String, bool)| async { show(part) });
    session.add_message_handler(shown).unwrap();
    let length = whole(|bytes: Vec<u8>| async move { bytes.len().to_string() });
    session.add_message_handler(length).unwrap();
    idle().await;
    peer.segment([masked(BINARY_STARTS, "123"), masked(ENDS, "45")].concat());
    peer.segment([masked(TEXT_STARTS, "a"), masked(ENDS, "b")].concat());
    idle().await;
    assert_eq!(texts(&peer.frames()), ["5", "a", "b."]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_removed_in_the_middle_of_a_message_leaves_the_rest_to_nobody() {
    let Started { peer, session, .. } = start(|_| Probe);
    let shown = || partial(|part: (String, bool)| async { show(part) });
    session.add_message_handler(shown()).unwrap();
    idle().await;
    peer.segment(masked(TEXT_STARTS, "a"));
    idle().await;
    assert!(session.remove_message_handler(IncomingKind::Text));
    peer.segment([masked(GOES_ON, "b"), masked(ENDS, "c"), masked(TEXT, "d")].concat());
    idle().await;
    assert_eq!(texts(&peer.frames()), ["a", "the endpoint"]);
    // A message that begins without a handler for parts is the endpoint's.
    peer.segment([masked(TEXT_STARTS, "e"), masked(ENDS, "f")].concat());
    idle().await;
    assert_eq!(texts(&peer.frames()), ["the endpoint"]);
}

#[cfg(feature = "macros")]
#[tokio::test(start_paused = true)]
async fn a_method_takes_parts_by_its_arguments_type_and_has_its_own_limit() {
    #[derive(Default)]
    struct Parts {
        count: usize,
    }

    #[crate::server_endpoint("/parts")]
    impl Parts {
        #[on_message(max = 2 << 20)]
        async fn binary(&mut self, (bytes, is_last): (&[u8], bool)) -> Option<String> {
            self.count += bytes.len();
            is_last.then(|| std::mem::take(&mut self.count).to_string())
        }

        #[on_message]
        fn text(&self, part: (String, bool)) -> String {
            show(part)
        }
    }

    let limits = <Parts as Endpoint>::MAX_MESSAGES;
    assert_eq!(limits, [(IncomingKind::Binary, 2 << 20)]);
    let config = Config::new(Role::Server).max_binary(2 << 20);
    let Started { peer, .. } = start_with(config, |_| Parts::default());
    peer.segment(masked(BINARY, vec![0; 2 << 20]));
    peer.segment([masked(TEXT_STARTS, "a"), masked(ENDS, "b")].concat());
    idle().await;
    assert_eq!(texts(&peer.frames()), ["2097152", "a", "b."]);
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
