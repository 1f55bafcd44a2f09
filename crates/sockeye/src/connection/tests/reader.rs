//! Messages that are read as they come.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use sockeye_proto::{DeflateConfig, DeflatePool, Message, ProtocolError};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::wire::{CLOSE, PING, PONG, TEXT, Wire, masked};
use super::*;
use crate::connection::budget::AssemblyBudget;
use crate::connection::{Compression, Connection, MessageReader, server_machine};
use crate::error::Error;

const TEXT_STARTS: u8 = 0x01;
const BINARY_STARTS: u8 = 0x02;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;

fn connection() -> (Connection<Wire>, Peer) {
    connection_with(Config::new(Role::Server))
}

fn connection_with(config: Config) -> (Connection<Wire>, Peer) {
    let (stream, peer) = wire();
    (Connection::server(stream, config), peer)
}

fn poll<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

async fn parts(message: &mut MessageReader<'_, Wire>) -> Vec<String> {
    let mut parts = Vec::new();
    while let Some(part) = message.next_part().await.unwrap() {
        parts.push(String::from_utf8(part.to_vec()).unwrap());
    }
    parts
}

async fn all(message: &mut MessageReader<'_, Wire>) -> String {
    let mut text = String::new();
    message.read_to_string(&mut text).await.unwrap();
    text
}

/// What is there to read now; `None` where nothing is.
fn read_now(message: &mut MessageReader<'_, Wire>, room: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; room];
    let mut buffer = ReadBuf::new(&mut bytes);
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(message).poll_read(&mut cx, &mut buffer) {
        Poll::Ready(read) => {
            read.unwrap();
            Some(buffer.filled().to_vec())
        }
        Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_read_before_it_is_complete() {
    let (mut ws, peer) = connection();
    let frame = masked(BINARY_STARTS, "abcdef");
    // The header, and half of the payload.
    peer.segment(&frame[..9]);
    let mut message = ws.recv_reader().await.unwrap().unwrap();
    assert!(!message.is_text());
    assert_eq!(read_now(&mut message, 2).unwrap(), b"ab");
    assert_eq!(read_now(&mut message, 9).unwrap(), b"c");
    assert_eq!(read_now(&mut message, 9), None);
    peer.segment(&frame[9..]);
    assert_eq!(read_now(&mut message, 9).unwrap(), b"def");
    peer.segment([masked(PING, "p"), masked(ENDS, "g")].concat());
    assert_eq!(read_now(&mut message, 9).unwrap(), b"g");
    assert_eq!(read_now(&mut message, 9).unwrap(), b"", "its end");
    assert_eq!(read_now(&mut message, 9).unwrap(), b"");
    drop(message);
    assert!(poll(ws.recv()).is_pending());
    let frames = peer.frames();
    assert_eq!((frames[0].first, frames[0].text()), (PONG, "p"));
}

#[tokio::test(start_paused = true)]
async fn messages_of_every_shape_are_read_one_after_another() {
    let (mut ws, peer) = connection();
    let large = "x".repeat(300_000);
    let messages = [
        masked(TEXT, "whole"),
        masked(TEXT, ""),
        [masked(TEXT_STARTS, ""), masked(ENDS, "")].concat(),
        [
            masked(TEXT_STARTS, "a"),
            masked(GOES_ON, "b"),
            masked(ENDS, "c"),
        ]
        .concat(),
        masked(TEXT, &large),
        masked(TEXT, "last"),
    ]
    .concat();
    peer.segment(messages);
    for expected in ["whole", "", "", "abc", &large] {
        let mut message = ws.recv_reader().await.unwrap().unwrap();
        assert!(message.is_text());
        assert!(all(&mut message).await == expected);
    }
    assert_eq!(ws.recv().await.unwrap(), Some(Message::from("last")));
    peer.segment(masked(CLOSE, []));
    peer.end();
    assert!(ws.recv_reader().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn parts_are_fragments_as_they_came_and_a_text_is_cut_between_characters() {
    let (mut ws, peer) = connection();
    let fragments = [
        masked(TEXT_STARTS, b"gr\xc3"),
        masked(GOES_ON, b""),
        masked(GOES_ON, b"\xbc\xe2"),
        masked(GOES_ON, b"\x82"),
        masked(GOES_ON, b"\xac"),
        masked(ENDS, "!"),
    ];
    peer.segment(fragments.concat());
    let mut message = ws.recv_reader().await.unwrap().unwrap();
    assert_eq!(parts(&mut message).await, ["gr", "ü", "€", "!"]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_dropped_leaves_the_rest_to_be_thrown_away() {
    let (mut ws, peer) = connection();
    for by_reader in [false, true] {
        peer.segment([masked(TEXT_STARTS, "a"), masked(GOES_ON, "b")].concat());
        let mut message = ws.recv_reader().await.unwrap().unwrap();
        assert_eq!(read_now(&mut message, 1).unwrap(), b"a");
        drop(message);
        peer.segment(
            [
                masked(GOES_ON, "c"),
                masked(ENDS, "d"),
                masked(TEXT, "next"),
            ]
            .concat(),
        );
        if by_reader {
            let mut next = ws.recv_reader().await.unwrap().unwrap();
            assert_eq!(all(&mut next).await, "next");
        } else {
            assert_eq!(ws.recv().await.unwrap(), Some(Message::from("next")));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_to_wait_for_a_message_loses_nothing_of_it() {
    // Begun by one method, and received by the other.
    for starts in [masked(TEXT_STARTS, ""), masked(TEXT_STARTS, b"\xc3")] {
        let (mut ws, peer) = connection();
        peer.segment(starts.clone());
        assert!(poll(ws.recv_reader()).is_pending());
        let rest = if starts.len() > 6 {
            &b"\xbc"[..]
        } else {
            "ü".as_bytes()
        };
        peer.segment(masked(ENDS, rest));
        assert_eq!(ws.recv().await.unwrap(), Some(Message::from("ü")));
    }
    let (mut ws, peer) = connection();
    peer.segment(masked(TEXT_STARTS, "a"));
    assert!(poll(ws.recv()).is_pending());
    peer.segment(masked(ENDS, "b"));
    let mut message = ws.recv_reader().await.unwrap().unwrap();
    assert_eq!(parts(&mut message).await, ["ab"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_of_any_length_is_read_in_little_memory() {
    const FRAGMENT: usize = 100_000;
    let (mut ws, peer) = connection_with(Config::new(Role::Server).max_message(u64::MAX));
    peer.segment(masked(BINARY_STARTS, vec![7; FRAGMENT]));
    let mut message = ws.recv_reader().await.unwrap().unwrap();
    let mut read = 0;
    for _ in 0..100 {
        peer.segment(masked(GOES_ON, vec![7; FRAGMENT]));
        while let Some(bytes) = read_now(&mut message, 10_000) {
            read += bytes.len();
            assert!(bytes.iter().all(|byte| *byte == 7));
            let retained = message.retained_bytes();
            assert!(retained <= 512 * 1024, "{retained} bytes");
        }
    }
    assert_eq!(read, 101 * FRAGMENT);
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_message_is_that_of_one_which_is_read_too() {
    let (mut ws, peer) = connection_with(Config::new(Role::Server).max_binary(5));
    peer.segment(masked(BINARY_STARTS, "12345"));
    let mut message = ws.recv_reader().await.unwrap().unwrap();
    assert_eq!(read_now(&mut message, 9).unwrap(), b"12345");
    peer.segment(masked(ENDS, "6"));
    let error = message.read(&mut [0; 9]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    drop(message);
    assert!(ws.recv().await.unwrap().is_none());
    assert_eq!(peer.frames()[0].code(), 1009);
}

#[tokio::test(start_paused = true)]
async fn bad_utf_8_fails_at_once_and_what_was_good_is_read_before() {
    let (mut ws, peer) = connection();
    peer.segment(masked(TEXT_STARTS, "good"));
    let mut message = ws.recv_reader().await.unwrap().unwrap();
    assert_eq!(message.next_part().await.unwrap().unwrap(), "good");
    // Not complete, and not to be.
    peer.segment(&masked(GOES_ON, b"\xff, and more")[..8]);
    let failed = message.next_part().await;
    let invalid = matches!(failed, Err(Error::Protocol(ProtocolError::InvalidUtf8)));
    assert!(invalid, "{failed:?}");
    drop(message);
    assert!(ws.recv().await.unwrap().is_none());
    assert_eq!(peer.frames()[0].code(), 1007);

    // A text that ends inside of a character.
    let (mut ws, peer) = connection();
    peer.segment(masked(TEXT, [&[b'x'; 200_000][..], b"\xc3"].concat()));
    let mut message = ws.recv_reader().await.unwrap().unwrap();
    let mut text = Vec::new();
    let error = message.read_to_end(&mut text).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_in_the_middle_of_a_message_is_no_end_of_it() {
    for close in [false, true] {
        let (mut ws, peer) = connection();
        peer.segment(masked(TEXT_STARTS, "a"));
        if close {
            peer.segment(masked(CLOSE, []));
        }
        peer.end();
        let mut message = ws.recv_reader().await.unwrap().unwrap();
        assert_eq!(read_now(&mut message, 9).unwrap(), b"a");
        let error = message.read(&mut [0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        drop(message);
        assert!(ws.recv().await.unwrap().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_compressed_message_is_inflated_as_it_comes() {
    let (stream, peer) = wire();
    let config = DeflateConfig::default();
    let compression = Compression {
        params: config.answer(&[config.offer()]).unwrap().0,
        config,
        pool: DeflatePool::default(),
    };
    let machine = server_machine(Config::new(Role::Server), Some(compression));
    let mut ws = Connection::new(stream, machine, &[], None, AssemblyBudget::of_others());
    // RFC 7692 §7.2.3.1: Hello in two fragments.
    peer.segment(masked(0x40 | TEXT_STARTS, b"\xf2\x48\xcd"));
    let mut message = ws.recv_reader().await.unwrap().unwrap();
    let first = read_now(&mut message, 9).unwrap();
    assert!(
        b"Hello".starts_with(&first) && !first.is_empty(),
        "{first:?}"
    );
    peer.segment(masked(ENDS, b"\xc9\xc9\x07\x00"));
    let rest = all(&mut message).await;
    assert_eq!([&first, rest.as_bytes()].concat(), b"Hello");
    drop(message);
    peer.segment(masked(0x40 | TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00"));
    let mut message = ws.recv_reader().await.unwrap().unwrap();
    assert_eq!(parts(&mut message).await, ["Hello"]);
}
