//! A plain connection on scripted transports, with paused time: what its methods do in both roles, what
//! ends it, what it costs.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use sockeye::error::SendError;
use sockeye::proto::{Config, KeepAlive, ProtocolError, Role};
use sockeye::{CloseCode, Connection, Error, Message};
use tokio::io::duplex;
use tokio::time::{Instant, sleep, timeout};

#[cfg(test)]
#[path = "../../src/connection/tests/wire.rs"]
mod wire;

use wire::{BINARY, CLOSE, Frame, PING, PONG, Peer, TEXT, Wire, close_body, masked, unmasked};

fn server() -> (Connection<Wire>, Peer) {
    server_with(Config::new(Role::Server))
}

fn server_with(config: Config) -> (Connection<Wire>, Peer) {
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
fn frame(role: Role, first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    match role {
        Role::Server => masked(first, payload),
        Role::Client => unmasked(first, payload),
    }
}

fn open(role: Role) -> (Connection<Wire>, Peer) {
    open_with(role, Config::new(role))
}

fn open_with(role: Role, config: Config) -> (Connection<Wire>, Peer) {
    match role {
        Role::Server => server_with(config),
        Role::Client => client_with(config),
    }
}

const ROLES: [Role; 2] = [Role::Server, Role::Client];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn is_pending(future: impl Future) -> bool {
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
            "whoever fails the connection ends the transport"
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

// Time.

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_after_20_s_and_given_up_20_s_later() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let start = Instant::now();
        let watch = peer.clone();
        let watched = tokio::spawn(async move {
            sleep(Duration::from_millis(19_900)).await;
            assert!(watch.frames().is_empty());
            sleep(Duration::from_millis(200)).await;
            assert_eq!(watch.frames()[0].first, PING);
        });
        assert!(matches!(ws.recv().await, Err(Error::PeerDead)));
        assert_eq!(start.elapsed().as_secs(), 40);
        assert!(ws.recv().await.unwrap().is_none());
        watched.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_is_kept() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let answering = tokio::spawn(async move {
            for _ in 0..20 {
                sleep(Duration::from_millis(20_500)).await;
                let frames = peer.frames();
                assert_eq!(frames.len(), 1);
                peer.segment(frame(role, PONG, &frames[0].payload));
            }
            peer.segment(frame(role, TEXT, "done"));
        });
        assert_eq!(ws.recv().await.unwrap(), Some(Message::text("done")));
        answering.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_does_not_poll_loses_no_healthy_peer() {
    let (near, far) = duplex(1 << 16);
    let mut ws = Connection::client(near, Config::new(Role::Client));
    let mut far = Connection::server(far, Config::new(Role::Server).keep_alive(None));
    tokio::spawn(async move {
        while let Some(message) = far.recv().await.unwrap() {
            far.send(message).await.unwrap();
        }
    });
    for _ in 0..3 {
        // A Ping is out, and its Pong comes while nobody looks.
        assert!(timeout(seconds(21), ws.recv()).await.is_err());
        sleep(seconds(600)).await;
        assert!(timeout(seconds(15), ws.recv()).await.is_err());
        sleep(seconds(600)).await;
        ws.send("still here").await.unwrap();
        assert_eq!(ws.recv().await.unwrap(), Some(Message::text("still here")));
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_keep_alive_silence_is_no_fault() {
    let (mut ws, peer) = server_with(Config::new(Role::Server).keep_alive(None));
    assert!(timeout(seconds(3600), ws.recv()).await.is_err());
    assert!(peer.frames().is_empty());
    let keep_alive = KeepAlive::new(seconds(1), seconds(2));
    let (mut ws, _peer) = server_with(Config::new(Role::Server).keep_alive(keep_alive));
    let start = Instant::now();
    assert!(matches!(ws.recv().await, Err(Error::PeerDead)));
    assert_eq!(start.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_go_on_for_120_s_is_told_to_both_sides() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, Config::new(role).keep_alive(None));
        peer.segment(frame(role, 0x01, "begun"));
        let start = Instant::now();
        let told = tokio::spawn(async move { (ws.recv().await, ws.recv().await) });
        sleep(Duration::from_millis(119_900)).await;
        assert!(peer.frames().is_empty());
        sleep(Duration::from_millis(200)).await;
        assert_eq!(peer.frames()[0].code(), 1008);
        assert!(peer.is_shut(), "the side that fails the connection ends it");
        peer.end();
        let limit = seconds(120);
        assert!(matches!(
            told.await.unwrap(),
            (Err(Error::Protocol(error)), Ok(None))
                if error == ProtocolError::MessageStalled { limit }
        ));
        assert_eq!(start.elapsed().as_secs(), 120);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_does_not_poll_loses_no_message_that_goes_on() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.segment(frame(role, 0x01, "be"));
        assert!(is_pending(ws.recv()));
        sleep(seconds(600)).await;
        // It came in time: the transport is read before the deadline fires.
        peer.segment(frame(role, 0x80, "gun"));
        assert_eq!(ws.recv().await.unwrap(), Some(Message::text("begun")));
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_beyond_the_clock_are_never_over() {
    // The second is still a point in the system's time, though none that a timer reaches.
    let nevers = [Duration::MAX, Duration::from_secs(u64::MAX / 4)];
    for (role, never) in ROLES
        .into_iter()
        .flat_map(|role| nevers.map(|never| (role, never)))
    {
        let config = Config::new(role)
            .assembly_timeout(never)
            .assembly_deadline(never)
            .close_timeout(never)
            .keep_alive(KeepAlive::new(never, never))
            .write_timeout(never);
        let year = seconds(365 * 24 * 3600);
        let (mut ws, peer) = open_with(role, config.clone());
        peer.segment(frame(role, 0x01, "begun"));
        assert!(timeout(year, ws.recv()).await.is_err());
        peer.close_window(0);
        assert!(timeout(year, ws.send("x")).await.is_err());
        assert!(
            timeout(year, ws.close(CloseCode::NORMAL, ""))
                .await
                .is_err()
        );

        // As driven by a task.
        let (ws, peer) = open_with(role, config);
        let (sender, mut receiver) = ws.split();
        peer.close_window(0);
        peer.segment(frame(role, 0x01, "begun"));
        sender.try_send("x").unwrap();
        assert!(timeout(year, receiver.recv()).await.is_err());
        let closing = sender.close(CloseCode::NORMAL, "");
        assert!(timeout(year, closing).await.is_err());
        assert!(!peer.is_dropped());
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_of_no_time_are_over_at_once() {
    for role in ROLES {
        let none = Duration::ZERO;
        let keep_alive = KeepAlive::new(none, none);
        let (mut ws, _peer) = open_with(role, Config::new(role).keep_alive(keep_alive));
        assert!(matches!(ws.recv().await, Err(Error::PeerDead)));

        let config = Config::new(role).assembly_timeout(none).close_timeout(none);
        let (mut ws, peer) = open_with(role, config);
        peer.segment(&frame(role, TEXT, "begun")[..3]);
        assert!(matches!(ws.recv().await, Err(Error::Protocol(_))));
        assert_eq!(peer.frames()[0].code(), 1008);

        let (mut ws, peer) = open_with(role, Config::new(role).write_timeout(none));
        peer.close_window(0);
        assert!(matches!(ws.send("x").await, Err(Error::WriteStalled)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_for_30_s_is_given_up() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.close_window(1);
        let start = Instant::now();
        assert!(matches!(ws.send("x").await, Err(Error::WriteStalled)));
        assert_eq!(start.elapsed().as_secs(), 30);
        assert!(ws.recv().await.unwrap().is_none());

        // The same by recv, though the peer itself goes on talking.
        let (mut ws, peer) = open(role);
        peer.close_window(1);
        assert!(is_pending(ws.send("x")));
        let talking = tokio::spawn(async move {
            loop {
                peer.segment(frame(role, PING, ""));
                sleep(seconds(1)).await;
            }
        });
        let start = Instant::now();
        assert!(matches!(ws.recv().await, Err(Error::WriteStalled)));
        assert_eq!(start.elapsed().as_secs(), 30);
        talking.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_a_little_is_not_given_up() {
    let (mut ws, peer) = server();
    peer.close_window(0);
    let reading = peer.clone();
    tokio::spawn(async move {
        for _ in 0..100 {
            sleep(seconds(29)).await;
            reading.open_window(1);
        }
    });
    ws.send("x".repeat(50)).await.unwrap();
    assert_eq!(peer.frames()[0].payload.len(), 50);
}

#[tokio::test(start_paused = true)]
async fn input_that_waited_for_its_own_output_is_handled_once_that_is_written() {
    let (mut ws, peer) = server_with(Config::new(Role::Server).output_mark(4));
    let pings = (0..100).flat_map(|_| masked(PING, "ping"));
    peer.segment(pings.chain(masked(TEXT, "behind")).collect::<Vec<_>>());
    assert_eq!(ws.recv().await.unwrap(), Some(Message::text("behind")));
    assert_eq!(peer.frames().len(), 100);

    // While the peer takes nothing it is not read, and its silence is not its own.
    let config = Config::new(Role::Server)
        .output_mark(4)
        .write_timeout(seconds(300));
    let (mut ws, peer) = server_with(config);
    peer.close_window(0);
    peer.segment(
        (0..100)
            .flat_map(|_| masked(PING, "ping"))
            .collect::<Vec<_>>(),
    );
    peer.segment(masked(TEXT, "behind"));
    assert!(timeout(seconds(200), ws.recv()).await.is_err());
    peer.remove_window();
    assert_eq!(ws.recv().await.unwrap(), Some(Message::text("behind")));
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
