//! Messages that are written part by part, on the wire.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use sockeye_mailbox::SendError;
use sockeye_proto::{DeflateConfig, DeflatePool};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::wire::{BINARY, CLOSE, Frame, PING, PONG, TEXT, masked};
use super::*;
use crate::connection::budget::AssemblyBudget;
use crate::connection::{Compression, Connection, MessageWriter, Sender, server_machine};
use crate::error::Error;

const TEXT_STARTS: u8 = 0x01;
const BINARY_STARTS: u8 = 0x02;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;

const FRAGMENT: usize = 256 * 1024;

fn connection() -> (Connection<wire::Wire>, Peer) {
    let (stream, peer) = wire();
    let connection = Connection::server(stream, Config::new(Role::Server));
    (connection, peer)
}

/// A sender, whose connection goes on without a receiver.
fn sender() -> (Sender, Peer) {
    let (connection, peer) = connection();
    (connection.split().0, peer)
}

fn shown(frames: &[Frame]) -> Vec<(u8, &str)> {
    frames.iter().map(|f| (f.first, f.text())).collect()
}

fn poll<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// The message that a test sends in each way that there is.
async fn say_hello(mut message: MessageWriter<'_>) {
    message.send_part("Hel").await.unwrap();
    message.send_part("").await.unwrap();
    message.send_part("lo ").await.unwrap();
    message.write_all("wör".as_bytes()).await.unwrap();
    message.write_all(b"ld").await.unwrap();
    message.send_last_part("!").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_part_is_a_fragment_and_what_is_written_goes_before_the_next() {
    let hello = [
        (TEXT_STARTS, "Hel"),
        (GOES_ON, ""),
        (GOES_ON, "lo "),
        (GOES_ON, "wörld"),
        (ENDS, "!"),
    ];
    let (mut connection, peer) = connection();
    say_hello(connection.text_writer()).await;
    assert_eq!(shown(&peer.frames()), hello);
    connection.send("next").await.unwrap();
    assert_eq!(shown(&peer.frames()), [(TEXT, "next")]);
    let (sender, peer) = sender();
    say_hello(sender.text_writer()).await;
    assert_eq!(shown(&peer.frames()), hello);
}

#[tokio::test(start_paused = true)]
async fn a_client_masks_each_fragment() {
    let (stream, peer) = wire();
    let mut client = Connection::client(stream, Config::new(Role::Client));
    say_hello(client.text_writer()).await;
    let frames = peer.frames();
    assert!(frames.iter().all(|frame| frame.masked));
    let sent: String = frames.iter().map(Frame::text).collect();
    assert_eq!((sent.as_str(), frames.len()), ("Hello wörld!", 5));
}

#[tokio::test(start_paused = true)]
async fn what_is_written_leaves_in_fragments_of_256_kib() {
    let bytes: Vec<u8> = (0..FRAGMENT * 2 + 1000).map(|i| i as u8).collect();
    let (sender, peer) = sender();
    let mut message = sender.binary_writer();
    message.write_all(&bytes).await.unwrap();
    message.shutdown().await.unwrap();
    let frames = peer.frames();
    let opened: Vec<_> = frames.iter().map(|f| (f.first, f.payload.len())).collect();
    assert_eq!(
        opened,
        [(BINARY_STARTS, FRAGMENT), (GOES_ON, FRAGMENT), (ENDS, 1000)]
    );
    let sent: Vec<u8> = frames.into_iter().flat_map(|f| f.payload).collect();
    assert!(sent == bytes);
}

#[tokio::test(start_paused = true)]
async fn a_flush_sends_what_was_written_and_no_more_than_that() {
    let (mut connection, peer) = connection();
    let mut message = connection.binary_writer();
    message.flush().await.unwrap();
    message.write_all(b"now").await.unwrap();
    assert_eq!(peer.frames(), []);
    message.flush().await.unwrap();
    message.flush().await.unwrap();
    assert_eq!(shown(&peer.frames()), [(BINARY_STARTS, "now")]);
    message.finish().await.unwrap();
    assert_eq!(shown(&peer.frames()), [(ENDS, "")]);
    message.finish().await.unwrap();
    assert_eq!(peer.frames(), []);
}

#[tokio::test(start_paused = true)]
async fn without_a_part_there_is_no_message_and_with_an_empty_one_there_is() {
    let (sender, peer) = sender();
    sender.text_writer().finish().await.unwrap();
    drop(sender.text_writer());
    let mut unsent = sender.binary_writer();
    unsent.write_all(b"dropped before it left").await.unwrap();
    drop(unsent);
    sender.send("usable").await.unwrap();
    assert_eq!(shown(&peer.frames()), [(TEXT, "usable")]);
    sender.text_writer().send_last_part("").await.unwrap();
    let mut empty = sender.binary_writer();
    assert_eq!(empty.write(b"").await.unwrap(), 0);
    empty.shutdown().await.unwrap();
    assert_eq!(shown(&peer.frames()), [(TEXT, ""), (BINARY, "")]);
}

#[tokio::test(start_paused = true)]
async fn nothing_comes_between_the_parts_but_control_frames() {
    let (sender, peer) = sender();
    let mut message = sender.text_writer();
    message.send_part("a").await.unwrap();
    let other = sender.clone();
    let others = tokio::spawn(async move {
        other.feed("first behind").await.unwrap();
        say_hello(other.text_writer()).await;
        other.send("last").await.unwrap();
    });
    idle().await;
    assert_eq!(shown(&peer.frames()), [(TEXT_STARTS, "a")]);
    sender.ping(b"ping").await.unwrap();
    peer.segment(masked(PING, "pong"));
    idle().await;
    assert_eq!(shown(&peer.frames()), [(PING, "ping"), (PONG, "pong")]);
    message.send_part("b").await.unwrap();
    idle().await;
    assert_eq!(shown(&peer.frames()), [(GOES_ON, "b")]);
    message.finish().await.unwrap();
    others.await.unwrap();
    let frames = peer.frames();
    let shown = shown(&frames);
    assert_eq!(
        shown[..3],
        [(ENDS, ""), (TEXT, "first behind"), (TEXT_STARTS, "Hel")]
    );
    assert_eq!(shown[shown.len() - 2..], [(ENDS, "!"), (TEXT, "last")]);
}

#[tokio::test(start_paused = true)]
async fn finish_completes_when_the_message_is_written_and_not_before() {
    let (sender, peer) = sender();
    peer.close_window(4);
    let mut message = sender.binary_writer();
    message.send_part(&b"1234"[..]).await.unwrap();
    let mut finish = pin!(message.finish());
    idle().await;
    assert!(poll(finish.as_mut()).is_pending());
    idle().await;
    assert!(poll(finish.as_mut()).is_pending());
    peer.remove_window();
    finish.await.unwrap();
    assert_eq!(shown(&peer.frames()), [(BINARY_STARTS, "1234"), (ENDS, "")]);
}

/// Writes until nothing more is taken, and says how much was.
fn fill(message: &mut MessageWriter<'_>, chunk: &[u8]) -> usize {
    let mut taken = 0;
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(written) = pin!(&mut *message).poll_write(&mut cx, chunk) {
        taken += written.unwrap();
        assert!(taken < 1 << 30, "without a bound");
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn a_message_of_any_length_is_held_in_little_memory() {
    const STEP: usize = 1 << 20;
    let (sender, peer) = sender();
    peer.close_window(0);
    let mut message = sender.binary_writer();
    let chunk = vec![7; 100_000];
    let (mut taken, mut given) = (0, 0);
    for _ in 0..16 {
        // The driver and the writer take turns until neither gets any further.
        loop {
            let more = fill(&mut message, &chunk);
            idle().await;
            if more == 0 {
                break;
            }
            taken += more;
        }
        // What was given has headers too.
        let held = taken.saturating_sub(given);
        // A fragment in the writer, what waits, and one that is being written.
        assert!(held <= 4 * FRAGMENT, "{held} bytes");
        assert!(sender.mailbox.bytes() <= FRAGMENT);
        peer.open_window(STEP);
        idle().await;
        given += peer.written().len();
    }
    assert!(given >= 8 * STEP, "{given} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_left_unfinished_closes_the_connection_1011() {
    let (sender, peer) = sender();
    let mut message = sender.text_writer();
    message.send_part("ha").await.unwrap();
    let behind = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send("behind").await }
    });
    idle().await;
    drop(message);
    idle().await;
    let frames = peer.frames();
    assert_eq!((frames[0].first, frames[0].text()), (TEXT_STARTS, "ha"));
    assert_eq!(frames[1].code(), 1011);
    assert_eq!(frames.len(), 2);
    peer.segment(masked(CLOSE, []));
    assert_eq!(behind.await.unwrap(), Err(SendError::Closed));
    assert_eq!(sender.try_send("late"), Err(SendError::Closed));

    let (mut connection, peer) = connection();
    let mut message = connection.text_writer();
    message.send_part("ha").await.unwrap();
    drop(message);
    let late = connection.send("late").await;
    assert!(
        matches!(late, Err(Error::Send(SendError::Closed))),
        "{late:?}"
    );
    // Whichever method is polled next writes it.
    assert!(poll(connection.recv()).is_pending());
    let frames = peer.frames();
    assert_eq!((frames[0].first, frames[1].code()), (TEXT_STARTS, 1011));
}

#[tokio::test(start_paused = true)]
async fn behind_a_leaked_writer_a_message_is_refused_as_unfinished_and_a_close_is_sent() {
    let (mut connection, peer) = connection();
    let mut message = connection.text_writer();
    message.send_part("ha").await.unwrap();
    std::mem::forget(message);
    let other = connection.send("other").await;
    assert!(
        matches!(other, Err(Error::Send(SendError::Unfinished))),
        "{other:?}"
    );
    peer.segment(masked(CLOSE, []));
    assert!(connection.recv().await.unwrap().is_none());
    let frames = peer.frames();
    assert_eq!((frames[0].first, frames[0].text()), (TEXT_STARTS, "ha"));
    assert_eq!((frames[1].first, frames.len()), (CLOSE, 2));
}

#[tokio::test(start_paused = true)]
async fn a_close_cuts_a_message_off_and_its_writer_is_told() {
    let (sender, peer) = sender();
    let mut message = sender.text_writer();
    message.send_part("ha").await.unwrap();
    let closing = tokio::spawn({
        let sender = sender.clone();
        async move { sender.close(sockeye_proto::CloseCode::NORMAL, "").await }
    });
    idle().await;
    let frames = peer.frames();
    assert_eq!((frames[0].first, frames[1].code()), (TEXT_STARTS, 1000));
    let more = message.send_part("lf").await;
    assert!(
        matches!(more, Err(Error::Send(SendError::Closed))),
        "{more:?}"
    );
    let error = message.shutdown().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    peer.segment(masked(CLOSE, []));
    peer.end();
    closing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_part_that_was_not_taken_may_be_sent_again() {
    let (sender, peer) = sender();
    peer.close_window(0);
    let mut message = sender.text_writer();
    let large = "ä".repeat(FRAGMENT);
    message.send_part(large.as_str()).await.unwrap();
    idle().await;
    message.send_part(large.as_str()).await.unwrap();
    // Half of a character, dropped and sent again.
    for _ in 0..3 {
        assert!(poll(message.send_part(Bytes::from_static(b"\xc3"))).is_pending());
    }
    peer.remove_window();
    idle().await;
    message
        .send_part(Bytes::from_static(b"\xc3"))
        .await
        .unwrap();
    message
        .send_last_part(Bytes::from_static(b"\xa4"))
        .await
        .unwrap();
    let sent: Vec<u8> = peer.frames().into_iter().flat_map(|f| f.payload).collect();
    assert!(sent == [&large, &large, "ä"].concat().into_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_text_is_utf_8_as_a_whole_and_what_makes_it_none_is_not_sent() {
    let (sender, peer) = sender();
    let mut message = sender.text_writer();
    // A character in two parts.
    message
        .send_part(Bytes::from_static(b"gr\xc3"))
        .await
        .unwrap();
    let wrong = message.send_part("e").await;
    assert!(
        matches!(wrong, Err(Error::Send(SendError::InvalidUtf8))),
        "{wrong:?}"
    );
    let error = message.write_all(b"e").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let early = message.finish().await;
    assert!(
        matches!(early, Err(Error::Send(SendError::InvalidUtf8))),
        "{early:?}"
    );
    message.write_all(b"\xbc").await.unwrap();
    message.send_last_part("n").await.unwrap();
    let sent: Vec<u8> = peer.frames().into_iter().flat_map(|f| f.payload).collect();
    assert_eq!(sent, "grün".as_bytes());
    let late = message.send_part("late").await;
    assert!(
        matches!(late, Err(Error::Send(SendError::Finished))),
        "{late:?}"
    );
    assert!(message.write_all(b"late").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_message_in_parts_is_compressed_unless_it_is_not_to_be() {
    let (stream, peer) = wire();
    let config = DeflateConfig::default();
    let compression = Compression {
        params: config.answer(&[config.offer()]).unwrap().0,
        config,
        pool: DeflatePool::default(),
    };
    let machine = server_machine(Config::new(Role::Server), Some(compression));
    let mut connection = Connection::new(stream, machine, &[], None, AssemblyBudget::of_others());
    let part = "compressible ".repeat(100);
    let opened = |frames: Vec<Frame>| {
        let small = frames.iter().all(|frame| frame.payload.len() < 100);
        let first: Vec<_> = frames.iter().map(|frame| frame.first).collect();
        (first, small)
    };
    let twice = async |mut message: MessageWriter<'_>| {
        message.send_part(part.as_str()).await.unwrap();
        message.send_last_part(part.as_str()).await.unwrap();
    };
    twice(connection.text_writer()).await;
    // RFC 7692 §6.1: RSV1.
    let compressed = (vec![0x40 | TEXT_STARTS, ENDS], true);
    assert_eq!(opened(peer.frames()), compressed);
    twice(connection.text_writer().uncompressed()).await;
    let plain = (vec![TEXT_STARTS, ENDS], false);
    assert_eq!(opened(peer.frames()), plain);
    let (sender, _receiver) = connection.split();
    twice(sender.text_writer()).await;
    assert_eq!(opened(peer.frames()), compressed);
    twice(sender.text_writer().uncompressed()).await;
    assert_eq!(opened(peer.frames()), plain);
}
