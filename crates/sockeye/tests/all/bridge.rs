//! A bridge between two connections, over memory: a client's peer at one end, a server's at the other.

use std::time::Duration;

use crate::support::{
    BINARY, CLOSE, PING, PONG, Raw, TEXT, masked, soon, unmasked, unmasked_close,
};
use proptest::prelude::*;
use sockeye::connection::{BridgeEnd, BridgeError, BridgeSide, bridge};
use sockeye::proto::{Config, DeflateConfig, ProtocolError, Role};
use sockeye::server::Acceptor;
use sockeye::transport::Stream;
use sockeye::{Client, CloseCode, CloseReason, Connection, Error, Message};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

type Bridging = JoinHandle<Result<BridgeEnd, BridgeError>>;

/// The bytes that each transport holds.
const ROOM: usize = 64 * 1024;
const CONTINUATION: u8 = 0;

/// A bridge between a client and a server that speak bytes.
fn raw_ends() -> (Raw<DuplexStream>, Raw<DuplexStream>, Bridging) {
    let large = |role| Config::new(role).max_message(1 << 30);
    raw_ends_with(large(Role::Server), large(Role::Client))
}

fn raw_ends_with(
    to_client: Config,
    to_server: Config,
) -> (Raw<DuplexStream>, Raw<DuplexStream>, Bridging) {
    let (client, first) = duplex(ROOM);
    let (second, server) = duplex(ROOM);
    let first = Connection::server(first, to_client);
    let second = Connection::client(second, to_server);
    let bridging = tokio::spawn(bridge(first, second));
    (Raw::new(client), Raw::new(server), bridging)
}

/// A bridge between two connections.
fn ends() -> (Connection<DuplexStream>, Connection<DuplexStream>, Bridging) {
    let (client, server, bridging) = raw_ends();
    let (client, server) = (client.into_inner(), server.into_inner());
    (
        Connection::client(client, Config::new(Role::Client)),
        Connection::server(server, Config::new(Role::Server)),
        bridging,
    )
}

fn closed(side: BridgeSide, code: u16, reason: &str) -> (BridgeSide, CloseReason) {
    let code = if code == 1005 {
        CloseCode::NO_STATUS
    } else {
        CloseCode::try_from(code).expect("a code that is sent")
    };
    (side, CloseReason::new(code, reason).expect("it fits"))
}

/// How a bridge ended in order.
async fn ended(bridging: Bridging) -> (BridgeSide, CloseReason) {
    let end = soon(bridging).await.expect("no panic");
    let end = end.expect("no failure");
    (end.side, end.reason)
}

/// How a bridge failed.
async fn failed(bridging: Bridging) -> (BridgeSide, Error) {
    let error = soon(bridging).await.expect("no panic");
    let error = error.expect_err("it failed");
    (error.side, error.error)
}

#[tokio::test(start_paused = true)]
async fn messages_go_both_ways_each_as_one_frame_of_its_kind() {
    let (mut client, mut server, _bridging) = raw_ends();
    let segment = [
        masked(TEXT, b"one"),
        masked(BINARY, &[2]),
        masked(TEXT, b""),
    ]
    .concat();
    client.write(&segment).await;
    for expected in [(0x81, b"one".to_vec()), (0x82, vec![2]), (0x81, Vec::new())] {
        assert_eq!(server.recv_frame().await, Some(expected));
    }
    let segment = [unmasked(BINARY, &[3]), unmasked(TEXT, "vier".as_bytes())].concat();
    server.write(&segment).await;
    for expected in [(0x82, vec![3]), (0x81, b"vier".to_vec())] {
        assert_eq!(client.recv_frame().await, Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_goes_on_with_its_code_and_its_answer_comes_back_with_its_own() {
    for (code, reason) in [(4321, "why"), (1000, ""), (1001, "bye")] {
        let (mut client, mut server, bridging) = raw_ends();
        client.send(TEXT, b"last").await;
        client.send_close(code, reason).await;
        assert_eq!(server.recv_text().await, "last");
        assert_eq!(server.recv_close().await, (code, reason.to_owned()));
        server.write(&unmasked_close(4555, "seen")).await;
        server.fin().await;
        assert_eq!(client.recv_close().await, (4555, "seen".to_owned()));
        client.recv_end().await;
        drop(client);
        server.recv_end().await;
        let first = closed(BridgeSide::First, code, reason);
        assert_eq!(ended(bridging).await, first);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_closes_too_and_an_empty_close_stays_empty() {
    let (mut client, mut server, bridging) = raw_ends();
    server.write(&unmasked(CLOSE, b"")).await;
    assert_eq!(client.recv_frame().await, Some((0x88, Vec::new())));
    client.send(CLOSE, b"").await;
    assert_eq!(server.recv_frame().await, Some((0x88, Vec::new())));
    drop((client, server));
    assert_eq!(ended(bridging).await, closed(BridgeSide::Second, 1005, ""));
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_sends_before_it_answers_a_close_still_arrives() {
    let (mut client, mut server, bridging) = ends();
    client
        .start_closing_handshake(CloseCode::NORMAL, "done")
        .unwrap();
    let receiving = async {
        let mut came = Vec::new();
        while let Some(message) = client.recv().await.unwrap() {
            came.push(message.to_string());
        }
        came
    };
    let serving = async {
        for text in ["still", "here"] {
            server.send(text).await.unwrap();
        }
        assert_eq!(server.recv().await.unwrap(), None);
    };
    let (came, ()) = tokio::join!(receiving, serving);
    assert_eq!(came, ["still", "here"]);
    assert_eq!(
        ended(bridging).await,
        closed(BridgeSide::First, 1000, "done")
    );
}

#[tokio::test(start_paused = true)]
async fn both_may_close_at_once() {
    let (mut client, mut server, bridging) = raw_ends();
    client.send_close(4001, "a").await;
    server.write(&unmasked_close(4002, "b")).await;
    assert_eq!(server.recv_close().await, (4001, "a".to_owned()));
    assert_eq!(client.recv_close().await, (4002, "b".to_owned()));
    drop((client, server));
    ended(bridging).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_a_close_is_waited_for_no_longer_than_the_close_timeout() {
    let (mut client, mut server, bridging) = raw_ends();
    let started = Instant::now();
    client.send_close(4000, "").await;
    assert_eq!(server.recv_close().await.0, 4000);
    // The server is silent: the client's Close is answered by the bridge.
    assert_eq!(client.recv_close().await.0, 4000);
    client.recv_end().await;
    drop(client);
    assert_eq!(ended(bridging).await.0, BridgeSide::First);
    assert!(
        started.elapsed() <= Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
}

/// A part of the peer's output that a bridge took, before it took no more.
async fn fill(peer: &mut Raw<DuplexStream>, frame: &[u8]) -> usize {
    let mut taken = 0;
    loop {
        match timeout(Duration::from_secs(1), peer.stream.write_all(frame)).await {
            Ok(written) => written.expect("it is open"),
            // The frame was begun: the peer sends nothing more in this test.
            Err(_) => return taken,
        }
        taken += frame.len();
        assert!(taken < 100 << 20, "it takes without end");
    }
}

/// A side that stalls stops the reading of the other one: what is on its way is bounded by the transports and some
/// 256 KiB.
#[tokio::test(start_paused = true)]
async fn a_side_that_stalls_stops_the_reading_of_the_other() {
    for len in [1000, 50_000] {
        let (mut client, mut server, bridging) = raw_ends();
        let taken = fill(&mut client, &masked(BINARY, &vec![7; len])).await;
        // Two transports, the output, what one read brings, and what is held of a message.
        let most = 2 * ROOM + (64 + 128 + 64) * 1024 + 2 * len;
        assert!((2 * ROOM..=most).contains(&taken), "{taken} of {len}");
        // The other direction goes on.
        server.write(&unmasked(TEXT, b"here")).await;
        assert_eq!(client.recv_text().await, "here");
        // When the server reads, everything comes.
        for _ in 0..taken / (len + 8) {
            assert_eq!(server.recv_binary().await.len(), len);
        }
        bridging.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn no_message_is_lost_behind_a_stall() {
    let (mut client, mut server, bridging) = ends();
    let sending = tokio::spawn(async move {
        for number in 0..500_u32 {
            client
                .send(format!("{number} {}", "x".repeat(5000)))
                .await
                .unwrap();
        }
        client.close(CloseCode::NORMAL, "").await.unwrap();
    });
    // The sender fills everything on the way.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!sending.is_finished());
    for number in 0..500_u32 {
        let message = server.recv().await.unwrap().unwrap().to_string();
        assert!(message.starts_with(&format!("{number} ")), "{number}");
        assert_eq!(message.len(), number.to_string().len() + 5001);
    }
    assert_eq!(server.recv().await.unwrap(), None);
    sending.await.unwrap();
    assert_eq!(ended(bridging).await, closed(BridgeSide::First, 1000, ""));
}

/// The peer that is not read is not to blame for its silence, and the one that takes nothing is.
#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_given_up_and_the_other_is_told() {
    let (mut client, server, bridging) = raw_ends();
    let started = Instant::now();
    fill(&mut client, &masked(BINARY, &[7; 1000])).await;
    let (side, error) = failed_in(bridging, Duration::from_secs(60)).await;
    assert_eq!(side, BridgeSide::Second);
    assert!(matches!(error, Error::WriteStalled), "{error:?}");
    assert!(started.elapsed() >= Duration::from_secs(30));
    assert_eq!(client.recv_close().await.0, 1014);
    drop(server);
}

async fn failed_in(bridging: Bridging, patience: Duration) -> (BridgeSide, Error) {
    let failed = timeout(patience, bridging).await.expect("in time");
    let error = failed.expect("no panic").expect_err("it failed");
    (error.side, error.error)
}

/// A message that comes in pieces, and is not large, is one frame all the same.
#[tokio::test(start_paused = true)]
async fn a_small_message_is_one_frame_however_it_comes() {
    let (mut client, mut server, _bridging) = raw_ends();
    for len in [1, 1000, 65_535] {
        let payload = vec![b'x'; len];
        let mut fragments = masked(TEXT, &payload[..len / 2]);
        fragments[0] &= 0x7f;
        fragments.extend(masked(CONTINUATION, &payload[len / 2..]));
        for piece in fragments.chunks(10_000) {
            client.write(piece).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(server.recv_frame().await, Some((0x81, payload)));
    }
}

/// A message of any length needs little memory: it goes on in fragments while it comes.
#[tokio::test(start_paused = true)]
async fn a_large_message_goes_on_while_it_comes() {
    let (mut client, mut server, _bridging) = raw_ends();
    let large: Vec<u8> = (0..8 << 20).map(|at: u32| (at % 251) as u8).collect();
    let frame = masked(BINARY, &large);
    // The start is there before the end was sent.
    let (start, end) = frame.split_at(300_000);
    let sending = async {
        client.write(start).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        client.write(end).await;
        client
    };
    let started = Instant::now();
    let receiving = async {
        let (mut came, mut frames) = (Vec::new(), 0);
        loop {
            let (first, payload) = server.recv_frame().await.unwrap();
            let opcode = if frames == 0 { BINARY } else { CONTINUATION };
            assert_eq!(first & 0x0f, opcode);
            assert!(payload.len() <= 256 * 1024, "{}", payload.len());
            if came.is_empty() {
                assert!(
                    started.elapsed() < Duration::from_secs(5),
                    "only when it was complete"
                );
            }
            came.extend(payload);
            frames += 1;
            if first & 0x80 != 0 {
                return (came, frames);
            }
        }
    };
    let (mut client, (came, frames)) = tokio::join!(sending, receiving);
    assert!(came == large, "{} bytes came", came.len());
    assert!(frames > 8, "{frames}");
    client.send(TEXT, b"next").await;
    assert_eq!(server.recv_text().await, "next");
}

#[tokio::test(start_paused = true)]
async fn control_frames_are_answered_here_and_not_carried() {
    let (mut client, mut server, _bridging) = raw_ends();
    client.write(&[0x01, 0x82, 0, 0, 0, 0, b'a', b'b']).await;
    client.send(PING, b"mine").await;
    client.send(PONG, b"unsolicited").await;
    assert_eq!(client.recv().await, Some((PONG, b"mine".to_vec())));
    client.write(&[0x80, 0x81, 0, 0, 0, 0, b'c']).await;
    let mut came = Vec::new();
    while came.len() < 3 {
        let (opcode, payload) = server.recv().await.unwrap();
        assert!(opcode == TEXT || opcode == CONTINUATION, "{opcode}");
        came.extend(payload);
    }
    assert_eq!(came, b"abc");
    // Each side has a keep-alive of its own.
    assert_eq!(server.recv().await.unwrap().0, PING);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_lost_is_1001_to_the_server() {
    let (client, mut server, bridging) = raw_ends();
    drop(client);
    assert_eq!(
        server.recv_close().await,
        (1001, "the client went away".to_owned())
    );
    server.write(&unmasked_close(1001, "")).await;
    drop(server);
    let (side, error) = failed(bridging).await;
    assert_eq!(side, BridgeSide::First);
    assert!(matches!(error, Error::UnexpectedEnd), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_lost_in_the_middle_of_a_message_is_1014_to_the_client() {
    let (mut client, mut server, bridging) = raw_ends();
    // The start of a message: what is more than 64 KiB is carried at once, and the rest when there is more.
    let mut start = unmasked(TEXT, &[b'a'; 70_000]);
    start[0] &= 0x7f;
    start.extend([0x00, 2, b'a', b'b']);
    server.write(&start).await;
    let (first, payload) = client.recv_frame().await.unwrap();
    assert_eq!((first, payload.len()), (0x01, 70_000));
    drop(server);
    let why = "the server behind this one failed".to_owned();
    assert_eq!(client.recv_close().await, (1014, why));
    drop(client);
    let error = soon(bridging).await.unwrap().unwrap_err();
    assert_eq!(error.side, BridgeSide::Second);
    assert_eq!(
        error.to_string(),
        "the second connection of the bridge failed"
    );
    assert!(matches!(Error::from(error), Error::UnexpectedEnd));
}

#[tokio::test(start_paused = true)]
async fn a_broken_rule_closes_with_its_code_and_the_other_side_with_that_of_a_loss() {
    let (mut client, mut server, bridging) = raw_ends_with(
        Config::new(Role::Server).max_message(3),
        Config::new(Role::Client),
    );
    client.send(TEXT, b"abc").await;
    assert_eq!(server.recv_text().await, "abc");
    client.send(TEXT, b"abcd").await;
    assert_eq!(client.recv_close().await.0, 1009);
    assert_eq!(server.recv_close().await.0, 1001);
    drop((client, server));
    let (side, error) = failed(bridging).await;
    assert_eq!(side, BridgeSide::First);
    let expected = ProtocolError::MessageTooBig { size: 4, limit: 3 };
    assert!(
        matches!(error, Error::Protocol(error) if error == expected),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_had_ended_before_ends_the_bridge() {
    let (client, near) = duplex(ROOM);
    let (far, server) = duplex(ROOM);
    let mut client = Connection::client(client, Config::new(Role::Client));
    let mut near = Connection::server(near, Config::new(Role::Server));
    let closing = async {
        client
            .close(CloseCode::try_from(4007).unwrap(), "early")
            .await
    };
    let (closing, received) = tokio::join!(closing, near.recv());
    closing.unwrap();
    assert_eq!(received.unwrap(), None);
    let far = Connection::client(far, Config::new(Role::Client));
    let bridging = tokio::spawn(bridge(near, far));
    let mut server = Raw::new(server);
    assert_eq!(server.recv_close().await, (4007, "early".to_owned()));
    server.write(&unmasked_close(4007, "")).await;
    drop(server);
    assert_eq!(
        ended(bridging).await,
        closed(BridgeSide::First, 4007, "early")
    );
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_is_dropped_drops_both_connections() {
    let (mut client, mut server, bridging) = raw_ends();
    client.send(TEXT, b"a").await;
    assert_eq!(server.recv_text().await, "a");
    bridging.abort();
    client.recv_end().await;
    server.recv_end().await;
}

/// A connection of a client to an acceptor, over memory. Both compress, or neither does.
async fn opened(compressed: bool) -> (Connection, Connection) {
    let (near, far) = duplex(ROOM);
    let mut acceptor = Acceptor::builder().config(Config::new(Role::Server).max_message(1 << 30));
    let mut client = Client::builder().compression(None);
    if compressed {
        acceptor = acceptor.compression(DeflateConfig::default());
        client = client.compression(DeflateConfig::default());
    }
    let (acceptor, client) = (acceptor.build(), client.build());
    let (accepted, connected) = tokio::join!(
        acceptor.accept(Stream::new(near)),
        client.connect_over(Stream::new(far), "ws://a.example/"),
    );
    let connected = connected.expect("it is accepted");
    let extensions = connected.opening().map(|opening| opening.extensions());
    assert_eq!(extensions.unwrap_or_default().is_empty(), !compressed);
    (connected, accepted.expect("a client"))
}

/// Each connection compresses as its own handshake agreed.
#[tokio::test(start_paused = true)]
async fn a_bridge_joins_a_connection_that_compresses_and_one_that_does_not() {
    for (there, here) in [(true, false), (false, true), (true, true)] {
        let (mut client, near) = opened(there).await;
        let (far, mut server) = opened(here).await;
        let bridging = tokio::spawn(bridge(near, far));
        for len in [0, 10, 5000, 100_000, 3_000_000] {
            let text = "salmon ".repeat(len / 7 + 1)[..len].to_owned();
            let sent = text.clone();
            let sending = async { client.send(sent).await };
            let (sent, came) = tokio::join!(sending, server.recv());
            sent.unwrap();
            assert!(came.unwrap() == Some(Message::from(text)), "{len} there");
            let bytes: Vec<u8> = (0..len).map(|at| (at % 13) as u8).collect();
            let (sent, came) = tokio::join!(server.send(bytes.clone()), client.recv());
            sent.unwrap();
            assert!(came.unwrap() == Some(Message::from(bytes)), "{len} back");
        }
        let closing = async { client.close(CloseCode::NORMAL, "enough").await };
        let (closed_here, received) = tokio::join!(closing, server.recv());
        closed_here.unwrap();
        assert_eq!(received.unwrap(), None);
        let end = closed(BridgeSide::First, 1000, "enough");
        assert_eq!(ended(bridging).await, end);
    }
}

/// A frame of a message: its payload, whether a Ping goes before it, and where its bytes are cut.
type Piece = (Vec<u8>, bool, usize);

fn any_message() -> impl Strategy<Value = (bool, Vec<Piece>)> {
    let payload = prop_oneof![
        9 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (0..200_000_usize).prop_map(|len| vec![b'x'; len]),
    ];
    let piece = (payload, any::<bool>(), 1..5000_usize);
    (any::<bool>(), prop::collection::vec(piece, 1..4))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However messages are fragmented and cut, the same messages come out, in their order.
    #[test]
    fn what_comes_out_is_what_went_in(messages in prop::collection::vec(any_message(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (mut client, server, bridging) = raw_ends();
            let large = Config::new(Role::Server).max_message(1 << 30);
            let mut server = Connection::server(server.into_inner(), large);
            let mut expected = Vec::new();
            let mut wire = Vec::new();
            for (is_text, pieces) in &messages {
                let mut whole = Vec::new();
                for (at, (payload, is_pinged, cut)) in pieces.iter().enumerate() {
                    // ASCII, so that each cut is one between characters or not: both are allowed.
                    let payload: Vec<u8> = match is_text {
                        true => payload.iter().map(|byte| byte & 0x7f).collect(),
                        false => payload.clone(),
                    };
                    if *is_pinged {
                        wire.push((masked(PING, b""), *cut));
                    }
                    let opcode = match (at, is_text) {
                        (0, true) => TEXT,
                        (0, false) => BINARY,
                        _ => CONTINUATION,
                    };
                    let mut frame = masked(opcode, &payload);
                    if at + 1 < pieces.len() {
                        frame[0] &= 0x7f;
                    }
                    wire.push((frame, *cut));
                    whole.extend(payload);
                }
                expected.push(match is_text {
                    true => Message::text(String::from_utf8(whole).unwrap()),
                    false => Message::binary(whole),
                });
            }
            let sending = async {
                for (frame, cut) in &wire {
                    for piece in frame.chunks(*cut) {
                        client.write(piece).await;
                    }
                }
                // Their Pongs would fill the way back.
                client
            };
            let receiving = async {
                let mut came = Vec::new();
                while came.len() < expected.len() {
                    came.push(server.recv().await.unwrap().unwrap());
                }
                came
            };
            let (_client, came) = tokio::join!(sending, receiving);
            assert!(came == expected, "{} messages", came.len());
            bridging.abort();
        });
    }
}
