//! Replies to large messages. A reply that is the whole message is sent from the message's buffer.

use super::*;
use crate::connection::pool;
use crate::connection::tests::wire::{BINARY, TEXT, masked};
use crate::endpoint::{Incoming, Reply};
use crate::error::HandlerResult;

const LEN: usize = 1 << 20;

/// Replies with the result of a function of the message.
struct Answering(fn(Incoming<'_>) -> Reply<'_>);

impl Endpoint for Answering {
    async fn on_message<'m>(
        &mut self,
        _: &Session,
        incoming: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        Ok((self.0)(incoming))
    }
}

fn bytes(incoming: Incoming<'_>) -> &[u8] {
    match incoming {
        Incoming::Text(text) => text.into_str().as_bytes(),
        Incoming::Binary(bytes) => bytes.into_slice(),
        _ => &[],
    }
}

fn text(incoming: Incoming<'_>) -> &str {
    str::from_utf8(bytes(incoming)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_lies_in_its_message_is_what_the_handler_said() {
    let message: String = (b'a'..=b'z').cycle().take(LEN).map(char::from).collect();
    let all = message.as_bytes();
    type Answer = fn(Incoming<'_>) -> Reply<'_>;
    let cases: [(Answer, u8, &[u8]); 6] = [
        (|incoming| incoming.into(), TEXT, all),
        (|incoming| Reply::Text(text(incoming)), TEXT, all),
        (|incoming| Reply::Binary(bytes(incoming)), BINARY, all),
        (
            |incoming| Reply::Text(&text(incoming)[1..]),
            TEXT,
            &all[1..],
        ),
        (
            |incoming| Reply::Text(&text(incoming)[..LEN - 1]),
            TEXT,
            &all[..LEN - 1],
        ),
        (
            |incoming| Reply::Binary(&bytes(incoming)[5..LEN - 5]),
            BINARY,
            &all[5..LEN - 5],
        ),
    ];
    for (answer, first, expected) in cases {
        let started = start(move |_| Answering(answer));
        // The second message uses the buffer of the first.
        for _ in 0..2 {
            started.peer.segment(masked(TEXT, &message));
            idle().await;
            let frames = started.peer.frames();
            assert_eq!(frames.len(), 1);
            assert_eq!(frames[0].first, first);
            assert!(frames[0].payload == expected);
        }
    }
    let started = start(|_| Answering(|incoming| Reply::Text(text(incoming))));
    started.peer.segment(masked(BINARY, &message));
    idle().await;
    let frames = started.peer.frames();
    assert_eq!(frames[0].first, TEXT);
    assert!(frames[0].payload == all);
}

#[tokio::test(start_paused = true)]
async fn an_echo_gives_its_buffer_back_when_it_is_written() {
    let started = start(|_| Answering(|incoming| incoming.into()));
    started.peer.close_window(1000);
    started.peer.segment(masked(BINARY, vec![7; LEN]));
    idle().await;
    assert_eq!(pool::take_large_buffer(LEN..=LEN), None);
    started.peer.remove_window();
    idle().await;
    assert!(started.peer.frames()[0].payload == vec![7; LEN]);
    assert!(pool::take_large_buffer(LEN..=LEN).is_some());
}
