//! A plain connection on scripted transports, with paused time: what its methods do in both roles, what
//! ends it, what it costs.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use sockeye::error::SendError;
use sockeye::proto::{Config, ProtocolError, Role};
use sockeye::{CloseCode, Connection, Error, Message};
use tokio::time::{Instant, sleep};

#[cfg(test)]
#[path = "../../src/connection/tests/wire.rs"]
pub(super) mod wire;

use wire::{BINARY, CLOSE, Frame, PING, PONG, Peer, TEXT, Wire, close_body, masked, unmasked};

pub(super) fn server() -> (Connection<Wire>, Peer) {
    server_with(Config::new(Role::Server))
}

pub(super) fn server_with(config: Config) -> (Connection<Wire>, Peer) {
    let (stream, peer) = wire::wire();
    (Connection::server(stream, config), peer)
}

fn client() -> (Connection<Wire>, Peer) {
    client_with(Config::new(Role::Client))
}

fn client_with(config: Config) -> (Connection<Wire>, Peer) {
    let (stream, peer) = wire::wire();
    (Connection::client(stream, config), peer)
}

/// A frame as the peer of an end in `role` sends it.
pub(super) fn frame(role: Role, first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    match role {
        Role::Server => masked(first, payload),
        Role::Client => unmasked(first, payload),
    }
}

pub(super) fn open(role: Role) -> (Connection<Wire>, Peer) {
    open_with(role, Config::new(role))
}

pub(super) fn open_with(role: Role, config: Config) -> (Connection<Wire>, Peer) {
    match role {
        Role::Server => server_with(config),
        Role::Client => client_with(config),
    }
}

pub(super) const ROLES: [Role; 2] = [Role::Server, Role::Client];

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn is_pending(future: impl Future) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    pin!(future).poll(&mut cx).is_pending()
}

fn summary(frames: &[Frame]) -> Vec<(u8, &str)> {
    frames.iter().map(|f| (f.first, f.text())).collect()
}

#[tokio::test(start_paused = true)]
async fn messages_go_both_ways() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.segment([frame(role, TEXT, "é"), frame(role, BINARY, [0, 255])].concat());
        assert_eq!(ws.recv().await.unwrap(), Some(Message::text("é")));
        let bytes = Message::from(&[0, 255][..]);
        assert_eq!(ws.recv().await.unwrap(), Some(bytes));
        ws.send("ü").await.unwrap();
        ws.send(vec![1, 2]).await.unwrap();
        ws.ping(b"p").await.unwrap();
        let frames = peer.frames();
        assert_eq!(summary(&frames)[0], (TEXT, "ü"));
        assert_eq!(
            (frames[1].first, &frames[1].payload[..]),
            (BINARY, &[1, 2][..])
        );
        assert_eq!(summary(&frames)[2], (PING, "p"));
        assert!(frames.iter().all(|f| f.masked == (role == Role::Client)));
        assert_eq!(peer.writes(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn fragments_are_one_message_and_pings_between_them_are_answered() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.segment(frame(role, 0x01, "a"));
        peer.segment([frame(role, PING, "p"), frame(role, 0x00, "b")].concat());
        peer.segment(frame(role, PONG, "unasked"));
        peer.segment(frame(role, 0x80, "c"));
        assert_eq!(ws.recv().await.unwrap(), Some(Message::text("abc")));
        assert_eq!(summary(&peer.frames()), [(PONG, "p")]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_fed_waits_for_the_flush() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        for number in 0..16 {
            ws.feed(number.to_string()).await.unwrap();
        }
        assert_eq!(peer.writes(), 0);
        ws.flush().await.unwrap();
        assert_eq!((peer.frames().len(), peer.writes()), (16, 1));
        ws.flush().await.unwrap();
        assert_eq!(peer.writes(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_fed_is_written_by_recv_too() {
    let (mut ws, peer) = server();
    ws.feed("a").await.unwrap();
    assert!(is_pending(ws.recv()));
    assert_eq!(summary(&peer.frames()), [(TEXT, "a")]);
}

#[tokio::test(start_paused = true)]
async fn feed_waits_while_64_kib_wait() {
    let (mut ws, peer) = server();
    peer.close_window(0);
    ws.feed(vec![0; 65_000]).await.unwrap();
    ws.feed(vec![0; 65_000]).await.unwrap();
    assert!(is_pending(ws.feed("third")));
    peer.remove_window();
    ws.feed("third").await.unwrap();
    ws.flush().await.unwrap();
    assert_eq!(peer.frames().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn sixteen_messages_of_one_segment_are_read_at_once() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.segment(
            (0..16)
                .flat_map(|_| frame(role, TEXT, "x"))
                .collect::<Vec<_>>(),
        );
        for _ in 0..16 {
            assert!(ws.recv().await.unwrap().is_some());
        }
        assert_eq!(peer.reads(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_payload_leaves_between_small_ones_and_in_one_write() {
    for trickle in [usize::MAX, 70_001, 4_999] {
        let (mut ws, peer) = server();
        peer.take_vectored();
        if trickle < usize::MAX {
            peer.trickle(trickle);
        }
        // The large ones find room, since little waits before them.
        let large = vec![7; 65_000];
        ws.feed("before").await.unwrap();
        ws.feed(large.clone()).await.unwrap();
        let larger = vec![8; 300_000];
        ws.feed(larger.clone()).await.unwrap();
        ws.feed("behind").await.unwrap();
        ws.flush().await.unwrap();
        let frames = peer.frames();
        assert_eq!((frames[0].text(), frames[3].text()), ("before", "behind"));
        assert!(frames[1].payload == large && frames[2].payload == larger);
        if trickle == usize::MAX {
            assert_eq!(peer.writes(), 2);
        }
    }
}

// How it ends.

#[tokio::test(start_paused = true)]
async fn recv_gives_none_after_a_close_of_the_peers() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.segment(
            [
                frame(role, TEXT, "a"),
                frame(role, CLOSE, close_body(4000, "bye")),
            ]
            .concat(),
        );
        assert!(ws.recv().await.unwrap().is_some());
        let ending = tokio::spawn(async move {
            let end = ws.recv().await;
            (end, ws)
        });
        sleep(seconds(1)).await;
        // §7.1.1: the server ends the transport first, the client waits for it.
        assert_eq!(peer.frames()[0].code(), 4000);
        assert_eq!(peer.is_shut(), role == Role::Server);
        assert!(!ending.is_finished());
        peer.end();
        let (end, mut ws) = ending.await.unwrap();
        assert!(end.unwrap().is_none());
        assert!(ws.recv().await.unwrap().is_none());
        assert_eq!(ws.close_received().unwrap().code().get(), 4000);
        assert!(matches!(
            ws.send("late").await,
            Err(Error::Send(SendError::Closed))
        ));
        assert!(matches!(
            ws.feed("late").await,
            Err(Error::Send(SendError::Closed))
        ));
        assert!(matches!(
            ws.ping(b"").await,
            Err(Error::Send(SendError::Closed))
        ));
        assert!(peer.frames().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_without_a_body_is_answered_without_one() {
    let (mut ws, peer) = server();
    peer.segment(masked(CLOSE, ""));
    peer.end();
    assert!(ws.recv().await.unwrap().is_none());
    assert_eq!(peer.written(), b"\x88\x00");
    assert_eq!(ws.close_received().unwrap().code().get(), 1005);
}

#[tokio::test(start_paused = true)]
async fn close_waits_for_the_answer_and_the_transports_end() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        ws.feed("before").await.unwrap();
        let closing = tokio::spawn(async move {
            ws.close(CloseCode::NORMAL, "bye").await.unwrap();
            ws
        });
        sleep(seconds(1)).await;
        let frames = peer.frames();
        assert_eq!((frames[0].text(), frames[1].code()), ("before", 1000));
        assert!(!peer.is_shut());
        // Messages that still come are dropped.
        peer.segment(
            [
                frame(role, TEXT, "late"),
                frame(role, CLOSE, close_body(1000, "")),
            ]
            .concat(),
        );
        sleep(seconds(1)).await;
        assert_eq!(peer.is_shut(), role == Role::Server);
        peer.end();
        let mut ws = closing.await.unwrap();
        ws.close(CloseCode::GOING_AWAY, "").await.unwrap();
        assert!(ws.recv().await.unwrap().is_none());
        assert_eq!(ws.close_received().unwrap().code().get(), 1000);
        assert!(peer.frames().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn close_takes_five_seconds_at_most() {
    for role in ROLES {
        // The peer says nothing; says its Close and does not end; does not end and blocks the shutting;
        // takes nothing; talks on.
        for peer_does in 0..5 {
            let (mut ws, peer) = open(role);
            match peer_does {
                1 => peer.segment(frame(role, CLOSE, close_body(1000, ""))),
                2 => {
                    peer.segment(frame(role, CLOSE, close_body(1000, "")));
                    peer.block_shutdown();
                }
                3 => peer.close_window(0),
                4 => {
                    let peer = peer.clone();
                    tokio::spawn(async move {
                        for _ in 0..1000 {
                            peer.segment(frame(role, TEXT, "x"));
                            sleep(Duration::from_millis(100)).await;
                        }
                    });
                }
                _ => {}
            }
            let start = Instant::now();
            ws.close(CloseCode::NORMAL, "").await.unwrap();
            assert_eq!(start.elapsed().as_secs(), 5, "{role:?} {peer_does}");
            ws.close(CloseCode::NORMAL, "").await.unwrap();
            assert!(ws.recv().await.unwrap().is_none());
            assert_eq!(start.elapsed().as_secs(), 5);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_that_was_read_before_is_found_by_close() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.segment(
            [
                frame(role, TEXT, "a"),
                frame(role, CLOSE, close_body(4000, "")),
            ]
            .concat(),
        );
        assert!(ws.recv().await.unwrap().is_some());
        let closing = tokio::spawn(async move {
            ws.close(CloseCode::NORMAL, "").await.unwrap();
            ws
        });
        sleep(seconds(1)).await;
        assert_eq!(peer.is_shut(), role == Role::Server);
        peer.end();
        let ws = closing.await.unwrap();
        assert_eq!(ws.close_received().unwrap().code().get(), 4000);
        assert_eq!(peer.frames().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_close_is_finished_by_recv() {
    let (mut ws, peer) = server();
    assert!(is_pending(ws.close(CloseCode::NORMAL, "")));
    peer.segment([masked(TEXT, "late"), masked(CLOSE, close_body(1000, ""))].concat());
    peer.end();
    assert!(ws.recv().await.unwrap().is_none());
    assert_eq!(peer.frames().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_no_close_may_carry_is_refused_and_nothing_happens() {
    let (mut ws, peer) = server();
    let refused = ws.close(CloseCode::NORMAL, &"x".repeat(124)).await;
    assert!(matches!(
        refused,
        Err(Error::Send(SendError::InvalidClose(_)))
    ));
    let refused = ws.ping(&[0; 126]).await;
    let too_long = SendError::ControlPayloadTooLong { len: 126 };
    assert!(matches!(refused, Err(Error::Send(error)) if error == too_long));
    ws.send("open").await.unwrap();
    assert_eq!(summary(&peer.frames()), [(TEXT, "open")]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_rule_is_told_once_to_both_sides() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.segment([frame(role, TEXT, "a"), frame(role, 0x83, "")].concat());
        peer.segment(frame(role, TEXT, "late"));
        assert!(ws.recv().await.unwrap().is_some());
        let ending = tokio::spawn(async move {
            let error = ws.recv().await;
            (error, ws)
        });
        sleep(seconds(1)).await;
        assert_eq!(peer.frames()[0].code(), 1002);
        assert!(
            peer.is_shut(),
            "the end that fails the connection ends the transport"
        );
        peer.end();
        let (error, mut ws) = ending.await.unwrap();
        let broken = ProtocolError::ReservedOpCode { opcode: 3 };
        assert!(matches!(error, Err(Error::Protocol(error)) if error == broken));
        assert!(ws.recv().await.unwrap().is_none());
        assert!(matches!(
            ws.send("x").await,
            Err(Error::Send(SendError::Closed))
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_rule_in_a_large_message_is_told_too() {
    let (mut ws, peer) = server();
    let mut text = vec![b'a'; 900_000];
    text[800_000] = 0xff;
    let bytes = masked(TEXT, text);
    for part in bytes.chunks(10_000) {
        peer.segment(part);
    }
    peer.end();
    let error = ws.recv().await;
    assert!(matches!(
        error,
        Err(Error::Protocol(ProtocolError::InvalidUtf8))
    ));
    assert!(ws.recv().await.unwrap().is_none());
    assert_eq!(peer.frames()[0].code(), 1007);
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_ends_or_fails_is_told_once() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.segment(frame(role, TEXT, "a"));
        peer.segment(&frame(role, TEXT, "part")[..3]);
        peer.end();
        assert!(ws.recv().await.unwrap().is_some());
        assert!(matches!(ws.recv().await, Err(Error::UnexpectedEnd)));
        assert!(ws.recv().await.unwrap().is_none());

        let (mut ws, peer) = open(role);
        peer.fail_reads(io::ErrorKind::ConnectionReset);
        assert!(matches!(ws.recv().await, Err(Error::Io(_))));
        assert!(ws.recv().await.unwrap().is_none());

        let (mut ws, peer) = open(role);
        peer.fail_writes(io::ErrorKind::BrokenPipe);
        assert!(matches!(ws.send("x").await, Err(Error::Io(_))));
        assert!(matches!(
            ws.send("x").await,
            Err(Error::Send(SendError::Closed))
        ));
        assert!(ws.recv().await.unwrap().is_none());

        let (mut ws, peer) = open(role);
        peer.fail_writes(io::ErrorKind::BrokenPipe);
        peer.segment(frame(role, PING, ""));
        assert!(matches!(ws.recv().await, Err(Error::Io(_))));
        assert!(ws.recv().await.unwrap().is_none());
        ws.close(CloseCode::NORMAL, "").await.unwrap();
    }
}

// Memory and work.

#[tokio::test(start_paused = true)]
async fn an_idle_connection_holds_no_buffers() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        assert_eq!(ws.retained_bytes(), 0);
        let messages = [frame(role, TEXT, "a"), frame(role, PING, "p")].concat();
        peer.segment([&messages[..], &frame(role, TEXT, "part")[..3]].concat());
        assert!(ws.recv().await.unwrap().is_some());
        // While the caller is busy with the message, the rest of the read alone is held.
        assert!(ws.retained_bytes() < 100, "{}", ws.retained_bytes());
        ws.send(vec![0; 60_000]).await.unwrap();
        assert!(ws.retained_bytes() < 100, "{}", ws.retained_bytes());
        assert!(is_pending(ws.recv()));
        assert!(ws.retained_bytes() < 100, "{}", ws.retained_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_fill_a_read_are_received_one_by_one_and_more_after_them() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        for _ in 0..3 {
            peer.segment(
                (0..50)
                    .flat_map(|i| frame(role, TEXT, i.to_string()))
                    .collect::<Vec<u8>>(),
            );
            for i in 0..50 {
                let message = ws.recv().await.unwrap();
                assert_eq!(message, Some(Message::text(i.to_string())));
            }
            assert_eq!(ws.retained_bytes(), 0);
            assert!(is_pending(ws.recv()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_of_16_mib_is_read() {
    let (mut ws, peer) = client();
    let payload: Vec<u8> = (0..16 << 20).map(|i: u32| i.to_le_bytes()[1]).collect();
    peer.segment(unmasked(BINARY, &payload));
    peer.segment(unmasked(TEXT, "behind"));
    let message = ws.recv().await.unwrap().unwrap();
    assert!(message.as_bytes() == payload);
    assert_eq!(ws.recv().await.unwrap(), Some(Message::text("behind")));
    // One more byte is too much, and is refused by the header.
    peer.segment(&unmasked(BINARY, vec![0; (16 << 20) + 1])[..10]);
    peer.end();
    let too_big = ProtocolError::MessageTooBig {
        size: (16 << 20) + 1,
        limit: 16 << 20,
    };
    assert!(matches!(ws.recv().await, Err(Error::Protocol(error)) if error == too_big));
    assert_eq!(peer.frames()[0].code(), 1009);
}

#[tokio::test(start_paused = true)]
async fn a_masked_message_is_unmasked_where_it_is_read_to() {
    let (mut ws, peer) = server();
    let payload: Vec<u8> = (0..1_000_000).map(|i: u32| i.to_le_bytes()[0]).collect();
    let bytes = masked(BINARY, &payload);
    for part in bytes.chunks(70_001) {
        peer.segment(part);
    }
    let message = ws.recv().await.unwrap().unwrap();
    assert!(message.as_bytes() == payload);
}

#[tokio::test(start_paused = true)]
async fn memory_follows_what_came_and_not_what_was_announced() {
    let (mut ws, peer) = client_with(Config::new(Role::Client).max_message(2 << 30));
    let mut head = vec![BINARY, 127];
    head.extend((1_u64 << 30).to_be_bytes());
    peer.segment(head);
    assert!(is_pending(ws.recv()));
    assert!(ws.retained_bytes() < 100, "{}", ws.retained_bytes());
    let mut came = 0;
    for _ in 0..40 {
        peer.segment(vec![0; 50_000]);
        came += 50_000;
        assert!(is_pending(ws.recv()));
        let retained = ws.retained_bytes();
        assert!(retained <= 2 * came + 100, "{retained} of {came}");
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_no_messages_do_not_keep_recv_from_yielding() {
    for (role, first) in ROLES
        .into_iter()
        .flat_map(|role| [(role, PING), (role, 0x00)])
    {
        let (mut ws, peer) = open(role);
        peer.segment(frame(role, 0x01, "a message is open"));
        for _ in 0..6 {
            peer.segment(frame(role, first, "").repeat(100));
        }
        // A turn is 128 frames, reads counted too, and what was read with them.
        let mut turns = 0;
        while peer.reads() < 7 {
            let reads = peer.reads();
            assert!(is_pending(ws.recv()));
            assert!(peer.reads() - reads <= 3);
            turns += 1;
        }
        assert!((3..=6).contains(&turns), "{turns}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_byte_for_each_read_costs_linear_work() {
    let (mut ws, peer) = client();
    let payload = vec![b'x'; 1 << 20];
    peer.segment(unmasked(TEXT, &payload));
    peer.trickle(1);
    let message = ws.recv().await.unwrap().unwrap();
    // Quadratic work would move 512 GiB: this test would not end today.
    assert_eq!(message.as_bytes().len(), 1 << 20);
    assert!(peer.reads() >= 1 << 20);
}
