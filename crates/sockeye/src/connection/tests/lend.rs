//! Messages that come into a buffer of the caller's, and such as are sent from where they lie.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use sockeye_mailbox::SendError;
use sockeye_proto::{CloseCode, DeflateConfig, DeflatePool, MessageBuffer, ProtocolError};

use super::wire::{BINARY, CLOSE, Frame, PING, PONG, TEXT, Wire, close_body, masked, unmasked};
use super::*;
use crate::connection::budget::AssemblyBudget;
use crate::connection::{Compression, Connection, client_machine, server_machine};
use crate::error::Error;

const TEXT_STARTS: u8 = 0x01;
const ENDS: u8 = 0x80;
/// RSV1: the message is compressed.
const COMPRESSED: u8 = 0x40;

fn connection() -> (Connection<Wire>, Peer) {
    connection_with(Config::new(Role::Server))
}

fn connection_with(config: Config) -> (Connection<Wire>, Peer) {
    let (stream, peer) = wire();
    (Connection::server(stream, config), peer)
}

/// Both ends of a connection that compresses, each on a wire of its own.
fn compressing() -> [(Connection<Wire>, Peer); 2] {
    let deflate = DeflateConfig::default();
    let (params, _) = deflate.answer(&[deflate.offer()]).unwrap();
    let compression = || {
        Some(Compression {
            params,
            config: deflate.clone(),
            pool: DeflatePool::default(),
        })
    };
    let server = server_machine(Config::new(Role::Server), compression());
    let client = client_machine(Config::new(Role::Client), compression());
    [server, client].map(|machine| {
        let (stream, peer) = wire();
        (
            Connection::new(stream, machine, &[], None, AssemblyBudget::of_others()),
            peer,
        )
    })
}

fn poll<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn text(text: &str) -> MessageBuffer {
    MessageBuffer::Text(text.to_owned())
}

fn binary(bytes: impl Into<Vec<u8>>) -> MessageBuffer {
    MessageBuffer::Binary(bytes.into())
}

fn start_of(buffer: &MessageBuffer) -> *const u8 {
    match buffer {
        MessageBuffer::Text(text) => text.as_ptr(),
        MessageBuffer::Binary(bytes) => bytes.as_ptr(),
    }
}

async fn feed(ws: &mut Connection<Wire>, message: &MessageBuffer) -> Result<(), Error> {
    match message {
        MessageBuffer::Text(text) => ws.feed_text(text).await,
        MessageBuffer::Binary(bytes) => ws.feed_binary(bytes).await,
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_every_shape_come_into_one_buffer() {
    let (mut ws, peer) = connection();
    let large = vec![b'l'; 300_000];
    peer.segment([masked(TEXT, "whole"), masked(BINARY, [0, 255])].concat());
    peer.segment(masked(TEXT_STARTS, "frag"));
    peer.segment([masked(PING, "p"), masked(ENDS, "ments")].concat());
    // In several reads.
    let cut = masked(TEXT, "in two");
    peer.segment(&cut[..8]);
    peer.segment(&cut[8..]);
    peer.segment([masked(TEXT, ""), masked(BINARY, &large)].concat());
    peer.segment([masked(TEXT, "last"), masked(CLOSE, close_body(1000, ""))].concat());
    peer.end();
    let mut message = MessageBuffer::default();
    let mut received = Vec::new();
    while ws.recv_into(&mut message).await.unwrap() {
        received.push(message.clone());
    }
    let expected = [
        text("whole"),
        binary([0, 255]),
        text("fragments"),
        text("in two"),
        text(""),
        binary(large),
        text("last"),
    ];
    assert!(received == expected);
    assert_eq!(message, text("last"), "no message, nothing put");
    assert!(!ws.recv_into(&mut message).await.unwrap());
    let frames = peer.frames();
    assert_eq!((frames[0].first, frames[0].text()), (PONG, "p"));
    assert_eq!(frames[1].code(), 1000);
}

#[tokio::test(start_paused = true)]
async fn one_after_another_they_come_into_the_same_memory() {
    let (mut ws, peer) = connection();
    for _ in 0..3 {
        peer.segment([masked(TEXT, "a text"), masked(BINARY, "bytes")].concat());
    }
    let mut message = binary(Vec::with_capacity(100));
    let at = start_of(&message);
    for _ in 0..6 {
        assert!(ws.recv_into(&mut message).await.unwrap());
        assert_eq!(start_of(&message), at);
    }
    assert_eq!(message, binary("bytes"));
}

#[tokio::test(start_paused = true)]
async fn while_the_caller_has_a_message_the_connection_has_only_what_is_unread() {
    let (mut ws, peer) = connection();
    let frame = masked(TEXT, "message");
    peer.segment(frame.repeat(3));
    let mut message = MessageBuffer::default();
    for retained in [2 * frame.len(), 2 * frame.len(), 0] {
        assert!(ws.recv_into(&mut message).await.unwrap());
        assert_eq!(
            ws.retained_bytes(),
            retained,
            "what was unread, until it is read"
        );
    }
    assert!(poll(ws.recv_into(&mut message)).is_pending());
    assert_eq!(ws.retained_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropped_before_it_is_ready_it_has_taken_nothing_and_left_the_buffer() {
    let (mut ws, peer) = connection();
    let mut message = text("the one before");
    let frames = [masked(TEXT_STARTS, "as it "), masked(ENDS, "comes")].concat();
    for byte in &frames[..frames.len() - 1] {
        peer.segment([*byte]);
        assert!(poll(ws.recv_into(&mut message)).is_pending());
        assert_eq!(message, text("the one before"));
    }
    peer.segment(&frames[frames.len() - 1..]);
    assert!(ws.recv_into(&mut message).await.unwrap());
    assert_eq!(message, text("as it comes"));
}

#[tokio::test(start_paused = true)]
async fn the_ways_to_receive_may_take_turns() {
    let (mut ws, peer) = connection();
    let three = [masked(TEXT, "a"), masked(TEXT, "b"), masked(TEXT, "c")];
    peer.segment(three.concat());
    let mut message = MessageBuffer::default();
    assert!(ws.recv_into(&mut message).await.unwrap());
    assert_eq!(message, text("a"));
    assert_eq!(ws.recv().await.unwrap().unwrap().as_text(), Some("b"));
    assert!(ws.recv_into(&mut message).await.unwrap());
    assert_eq!(message, text("c"));
    // Of one that is read as it comes, and dropped, nothing more.
    peer.segment(masked(TEXT_STARTS, "begun"));
    drop(ws.recv_reader().await.unwrap().unwrap());
    peer.segment([masked(ENDS, "not wanted"), masked(TEXT, "d")].concat());
    assert!(ws.recv_into(&mut message).await.unwrap());
    assert_eq!(message, text("d"));
}

#[tokio::test(start_paused = true)]
async fn a_message_as_long_as_the_limit_comes_and_a_longer_one_is_told_once() {
    for fragmented in [false, true] {
        let (mut ws, peer) = connection_with(Config::new(Role::Server).max_message(8));
        let send = |message: &str| {
            let (first, rest) = message.split_at(4);
            peer.segment(if fragmented {
                [masked(TEXT_STARTS, first), masked(ENDS, rest)].concat()
            } else {
                masked(TEXT, message)
            });
        };
        send("12345678");
        let mut message = MessageBuffer::default();
        assert!(ws.recv_into(&mut message).await.unwrap());
        assert_eq!(message, text("12345678"));
        send("123456789");
        peer.end();
        let error = ws.recv_into(&mut message).await.unwrap_err();
        assert!(
            matches!(error, Error::Protocol(ProtocolError::MessageTooBig { .. })),
            "{error:?}"
        );
        assert_eq!(message, text("12345678"));
        assert!(!ws.recv_into(&mut message).await.unwrap());
        assert_eq!(peer.frames()[0].code(), 1009);
    }
}

#[tokio::test(start_paused = true)]
async fn what_ends_the_connection_is_told_once_behind_what_came_before() {
    let (mut ws, peer) = connection();
    peer.segment([masked(TEXT, "before"), masked(TEXT, [0xff])].concat());
    peer.end();
    let mut message = MessageBuffer::default();
    assert!(ws.recv_into(&mut message).await.unwrap());
    let error = ws.recv_into(&mut message).await.unwrap_err();
    assert!(matches!(error, Error::Protocol(ProtocolError::InvalidUtf8)));
    assert!(!ws.recv_into(&mut message).await.unwrap());
    assert_eq!(peer.frames()[0].code(), 1007);

    let (mut ws, peer) = connection();
    peer.segment(masked(TEXT, "before"));
    peer.fail_reads(io::ErrorKind::ConnectionReset);
    assert!(ws.recv_into(&mut message).await.unwrap());
    assert_eq!(message, text("before"));
    let error = ws.recv_into(&mut message).await.unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error:?}");
    assert!(!ws.recv_into(&mut message).await.unwrap());

    let (mut ws, peer) = connection();
    peer.end();
    let error = ws.recv_into(&mut message).await.unwrap_err();
    assert!(matches!(error, Error::UnexpectedEnd), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_fed_is_written_together_when_nothing_is_left_to_receive() {
    let (mut ws, peer) = connection();
    peer.segment([masked(TEXT, "one"), masked(BINARY, "two"), masked(TEXT, "")].concat());
    let mut message = MessageBuffer::default();
    for _ in 0..3 {
        assert!(ws.recv_into(&mut message).await.unwrap());
        feed(&mut ws, &message).await.unwrap();
        assert_eq!(peer.writes(), 0);
    }
    assert!(poll(ws.recv_into(&mut message)).is_pending());
    assert_eq!(peer.writes(), 1);
    let echo = [
        unmasked(TEXT, "one"),
        unmasked(BINARY, "two"),
        unmasked(TEXT, ""),
    ];
    assert_eq!(peer.written(), echo.concat());
}

#[tokio::test(start_paused = true)]
async fn a_client_masks_what_is_lent() {
    let (stream, peer) = wire();
    let mut ws = Connection::client(stream, Config::new(Role::Client));
    ws.feed_text("Grüezi").await.unwrap();
    ws.feed_binary(&[1, 2, 3]).await.unwrap();
    ws.flush().await.unwrap();
    let frame = |first, payload: &[u8]| Frame {
        first,
        masked: true,
        payload: payload.to_vec(),
    };
    let expected = [frame(TEXT, "Grüezi".as_bytes()), frame(BINARY, &[1, 2, 3])];
    assert_eq!(peer.frames(), expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_lent_is_compressed_where_that_was_agreed_on() {
    let [(mut server, server_peer), (mut client, client_peer)] = compressing();
    let long = "compressible ".repeat(100);
    let mut message = MessageBuffer::default();
    for _ in 0..2 {
        client.feed_text(&long).await.unwrap();
        client.feed_binary(long.as_bytes()).await.unwrap();
        client.flush().await.unwrap();
        let seen = client_peer.frames();
        assert!(seen.iter().all(|frame| frame.payload.len() < 100));
        let kinds: Vec<u8> = seen.iter().map(|frame| frame.first).collect();
        assert_eq!(kinds, [TEXT | COMPRESSED, BINARY | COMPRESSED]);
        for frame in seen {
            server_peer.segment(masked(frame.first, frame.payload));
        }
        for expected in [text(&long), binary(long.as_bytes())] {
            assert!(server.recv_into(&mut message).await.unwrap());
            assert_eq!(message, expected);
            feed(&mut server, &message).await.unwrap();
        }
        server.flush().await.unwrap();
        for frame in server_peer.frames() {
            assert_eq!(frame.first & COMPRESSED, COMPRESSED);
            client_peer.segment(unmasked(frame.first, frame.payload));
        }
        for expected in [text(&long), binary(long.as_bytes())] {
            assert!(client.recv_into(&mut message).await.unwrap());
            assert_eq!(message, expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn up_to_64_kib_may_wait_and_then_none_is_taken_before_they_are_written() {
    let (mut ws, peer) = connection();
    peer.close_window(0);
    // With its header of four bytes one less than the mark.
    let below = vec![b'b'; 64 * 1024 - 5];
    ws.feed_binary(&below).await.unwrap();
    ws.feed_text("still").await.unwrap();
    for _ in 0..3 {
        assert!(poll(ws.feed_text("no room")).is_pending());
        assert!(poll(ws.feed_binary(b"no room")).is_pending());
    }
    peer.remove_window();
    ws.feed_text("room").await.unwrap();
    assert_eq!(peer.writes(), 1, "what waited, all of it");
    ws.flush().await.unwrap();
    let written = [
        unmasked(BINARY, below),
        unmasked(TEXT, "still"),
        unmasked(TEXT, "room"),
    ];
    assert!(peer.written() == written.concat());
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_was_never_polled_is_not_sent() {
    let (mut ws, peer) = connection();
    drop(ws.feed_text("never polled"));
    drop(ws.feed_binary(b"never polled"));
    ws.flush().await.unwrap();
    assert_eq!(peer.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fed_behind_a_close() {
    let (mut ws, peer) = connection();
    ws.feed_text("before").await.unwrap();
    ws.start_closing_handshake(CloseCode::NORMAL, "").unwrap();
    for refused in [
        ws.feed_text("behind").await,
        ws.feed_binary(b"behind").await,
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::Send(SendError::Closed)), "{error:?}");
    }
    ws.flush().await.unwrap();
    let frames = peer.frames();
    assert_eq!(frames.len(), 2);
    assert_eq!((frames[0].text(), frames[1].code()), ("before", 1000));
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_waits_for_room_tells_that_the_transport_is_lost() {
    let (mut ws, peer) = connection();
    ws.feed_binary(&[0; 64 * 1024]).await.unwrap();
    peer.fail_writes(io::ErrorKind::BrokenPipe);
    let error = ws.feed_text("no room").await.unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error:?}");
}
