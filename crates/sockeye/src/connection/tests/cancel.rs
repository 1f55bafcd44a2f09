//! Invariant 8: futures dropped at every poll of an exchange leave no trace on the wire. The undisturbed
//! run says which bytes are to be; then one run for each poll drops the future after it, and goes on as
//! the documents of the methods allow.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use sockeye_proto::{
    CloseCode, Connection as Machine, MaskingKey, MaskingKeys, Message, MessageBuffer,
};
use tokio::time::Instant;

use super::wire::{BINARY, CLOSE, Frame, PING, PONG, TEXT, Wire, close_body, masked, unmasked};
use super::*;
use crate::connection::budget::AssemblyBudget;
use crate::connection::{Connection, Receiver, Sender};
use crate::error::Error;

/// What the application does, in order.
#[derive(Clone, Copy, Debug)]
enum Step {
    Feed(usize),
    Flush,
    Send(usize),
    Ping,
    Recv,
    Close,
}

const SCRIPT: [Step; 20] = [
    Step::Feed(5),
    Step::Recv,
    Step::Send(10),
    Step::Feed(40_000),
    Step::Feed(40_000),
    // No room before this one.
    Step::Feed(7),
    Step::Ping,
    Step::Recv,
    Step::Flush,
    Step::Recv,
    // Read to its own place.
    Step::Recv,
    Step::Send(70_000),
    Step::Send(0),
    Step::Recv,
    Step::Ping,
    Step::Feed(3),
    Step::Recv,
    Step::Send(200),
    Step::Recv,
    Step::Close,
];

/// What the peer sends, whatever it gets.
fn incoming(role: Role) -> Vec<Vec<u8>> {
    let frame = |first, payload: &[u8]| match role {
        Role::Server => masked(first, payload),
        Role::Client => unmasked(first, payload),
    };
    let large = vec![b'l'; 150_000];
    vec![
        frame(TEXT, b"one"),
        [frame(0x01, b"tw"), frame(PING, b"p1"), frame(0x80, b"o")].concat(),
        [
            frame(PING, b"p2"),
            frame(BINARY, b"three"),
            frame(PONG, b""),
        ]
        .concat(),
        frame(BINARY, &large),
        frame(TEXT, &[b's'; 300]),
        frame(PING, &[b'p'; 125]),
        [frame(TEXT, b"six"), frame(TEXT, b"seven")].concat(),
    ]
}

fn close(role: Role) -> Vec<u8> {
    let body = close_body(1000, "");
    match role {
        Role::Server => masked(CLOSE, body),
        Role::Client => unmasked(CLOSE, body),
    }
}

/// Masking keys in a sequence that each run repeats.
fn keys() -> MaskingKeys {
    let mut count = 0_u32;
    Box::new(move || {
        count += 1;
        MaskingKey::new(count.wrapping_mul(0x9e37_79b9).to_be_bytes())
    })
}

fn connect(role: Role, trickle: usize) -> (Connection<Wire>, Peer) {
    let (stream, peer) = wire();
    for segment in incoming(role) {
        peer.segment(segment);
    }
    peer.trickle(trickle);
    let (config, now) = (Config::new(role), Instant::now().into_std());
    let machine = match role {
        Role::Server => Machine::server(config, now),
        Role::Client => Machine::client(config, keys(), now),
    };
    (
        Connection::new(stream, machine, &[], None, AssemblyBudget::of_others()),
        peer,
    )
}

/// Counts polls, and says when to drop what is being polled.
struct Scissors {
    polls: usize,
    cut_after: usize,
}

impl Scissors {
    /// The future's output; `None` when it was dropped before it was ready.
    async fn run<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            let polled = future.as_mut().poll(cx);
            self.polls += 1;
            match polled {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if self.polls == self.cut_after => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// What happened: all bytes written, and all messages received.
#[derive(Debug, PartialEq)]
struct Trace {
    written: Vec<u8>,
    received: Vec<Message>,
}

fn message(len: usize, step: usize) -> Message {
    let letter = b'a' + u8::try_from(step).unwrap();
    Message::binary(vec![letter; len])
}

/// How many bytes were ever put out.
fn queued(ws: &mut Connection<Wire>) -> u64 {
    ws.link.written() + ws.link.machine_mut().output().len() as u64
}

/// By which methods the application receives and feeds.
#[derive(Clone, Copy, Debug)]
enum Payloads {
    Owned,
    Lent,
}

/// Runs the script; says how many polls it took.
async fn run(role: Role, payloads: Payloads, trickle: usize, cut_after: usize) -> (Trace, usize) {
    let (mut ws, peer) = connect(role, trickle);
    let mut buffer = MessageBuffer::default();
    peer.segment(close(role));
    peer.end();
    let mut scissors = Scissors {
        polls: 0,
        cut_after,
    };
    let mut received = Vec::new();
    for (number, step) in SCRIPT.into_iter().enumerate() {
        loop {
            let before = queued(&mut ws);
            let done: Option<Result<(), Error>> = match (step, payloads) {
                (Step::Feed(len), Payloads::Owned) => {
                    scissors.run(ws.feed(message(len, number))).await
                }
                (Step::Feed(len), Payloads::Lent) => {
                    let message = message(len, number);
                    scissors.run(ws.feed_binary(message.as_bytes())).await
                }
                (Step::Recv, Payloads::Owned) => {
                    let came = scissors.run(ws.recv()).await;
                    came.map(|came| came.map(|message| received.extend(message)))
                }
                (Step::Recv, Payloads::Lent) => {
                    let came = scissors.run(ws.recv_into(&mut buffer)).await;
                    let message = || Message::from(buffer.clone());
                    came.map(|came| came.map(|came| received.extend(came.then(message))))
                }
                (Step::Flush, _) => scissors.run(ws.flush()).await,
                (Step::Send(len), _) => scissors.run(ws.send(message(len, number))).await,
                (Step::Ping, _) => scissors.run(ws.ping(b"ours")).await,
                (Step::Close, _) => scissors.run(ws.close(CloseCode::NORMAL, "bye")).await,
            };
            if let Some(result) = done {
                result.unwrap();
                break;
            }
            // Dropped. What was taken is sent once: it is only to be flushed. What was not is sent again.
            let taken = queued(&mut ws) > before;
            match step {
                Step::Send(_) | Step::Ping if taken => {
                    ws.flush().await.unwrap();
                    break;
                }
                Step::Feed(_) => assert!(!taken, "feed is ready as soon as it has taken"),
                _ => {}
            }
        }
    }
    let written = peer.written();
    (Trace { written, received }, scissors.polls)
}

#[tokio::test(start_paused = true)]
async fn a_future_dropped_at_any_poll_changes_no_byte() {
    for role in [Role::Server, Role::Client] {
        for trickle in [9_000, 30_000] {
            let (expected, polls) = run(role, Payloads::Owned, trickle, usize::MAX).await;
            assert_eq!(expected.received.len(), 7);
            assert!(polls > 2 * SCRIPT.len(), "{polls}");
            for payloads in [Payloads::Owned, Payloads::Lent] {
                for cut_after in 1..=polls {
                    let (trace, _) = run(role, payloads, trickle, cut_after).await;
                    assert!(
                        trace == expected,
                        "{role:?}, {payloads:?}, {trickle}, cut after {cut_after}"
                    );
                }
            }
        }
    }
}

fn messages_in(frames: Vec<Frame>) -> Vec<Frame> {
    // Where pongs and pings stand among messages is up to the task's timing.
    let is_message = |frame: &Frame| frame.first < 0x88;
    frames.into_iter().filter(is_message).collect()
}

async fn run_split(
    role: Role,
    trickle: usize,
    cut_after: usize,
) -> (Vec<Frame>, Vec<Message>, usize) {
    let (ws, peer) = connect(role, trickle);
    let (sender, mut receiver): (Sender, Receiver) = ws.split();
    let mut scissors = Scissors {
        polls: 0,
        cut_after,
    };
    let mut received = Vec::new();
    for (number, step) in SCRIPT.into_iter().enumerate() {
        loop {
            let before = sender.mailbox.activity();
            let done: Option<Result<(), crate::error::SendError>> = match step {
                Step::Feed(len) => scissors.run(sender.feed(message(len, number))).await,
                Step::Flush => scissors.run(sender.flush()).await,
                Step::Send(len) => scissors.run(sender.send(message(len, number))).await,
                Step::Ping => scissors.run(sender.ping(b"ours")).await,
                Step::Recv => {
                    let came = scissors.run(receiver.recv()).await;
                    came.map(|came| {
                        received.extend(came.unwrap());
                        Ok(())
                    })
                }
                Step::Close => break,
            };
            if let Some(result) = done {
                result.unwrap();
                break;
            }
            if sender.mailbox.activity() > before {
                break;
            }
        }
    }
    sender.flush().await.unwrap();
    peer.segment(close(role));
    peer.end();
    assert!(receiver.recv().await.unwrap().is_none());
    let frames = messages_in(peer.frames());
    (frames, received, scissors.polls)
}

#[tokio::test(start_paused = true)]
async fn a_split_connections_future_dropped_at_any_poll_changes_no_message() {
    for role in [Role::Server, Role::Client] {
        let (frames, received, polls) = run_split(role, 9_000, usize::MAX).await;
        assert_eq!(received.len(), 7);
        for cut_after in 1..=polls {
            let (again, came, _) = run_split(role, 9_000, cut_after).await;
            assert!(
                again == frames && came == received,
                "{role:?}, cut after {cut_after}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_that_was_never_polled_or_found_no_room_is_not_sent() {
    let (mut ws, peer) = {
        let (stream, peer) = wire();
        (Connection::server(stream, Config::new(Role::Server)), peer)
    };
    drop(ws.send("never polled"));
    peer.close_window(0);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let polled = pin!(ws.send(vec![0; 70_000])).poll(&mut cx);
    assert!(polled.is_pending());
    for _ in 0..3 {
        let mut send: Pin<Box<dyn Future<Output = _>>> = Box::pin(ws.send("no room"));
        assert!(send.as_mut().poll(&mut cx).is_pending());
    }
    peer.remove_window();
    ws.flush().await.unwrap();
    assert_eq!(peer.frames().len(), 1);
}
