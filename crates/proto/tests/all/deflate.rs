//! permessage-deflate on a connection (RFC 7692 §6, §7.2): bytes in, messages out, however the bytes are
//! cut and however little room there is.

use std::thread;
use std::time::Instant;

use bytes::Buf;
use proptest::prelude::*;
use sockeye_proto::handshake::Extension;
use sockeye_proto::{
    Cause, Config, Connection, DeflateConfig, DeflateParams, DeflatePool, Event, MaskingKey,
    Message, MessageAssembler, MessageKind, Outgoing, Output, PreparedMessage, ProtocolError, Role,
    WindowBits,
};

#[expect(clippy::disallowed_methods, reason = "tests count from some start")]
pub(super) fn start() -> Instant {
    Instant::now()
}

/// The parameters that result when a server that accepts any offer answers a client's offer of `config`.
fn params(config: &DeflateConfig) -> DeflateParams {
    let willing = DeflateConfig::default().context_takeover(true);
    willing.answer(&[config.offer()]).unwrap().0
}

pub(super) fn end(role: Role, config: Config, deflate: &DeflateConfig) -> Connection {
    let connection = match role {
        Role::Client => {
            Connection::client(config, Box::new(|| MaskingKey::new([1, 2, 3, 4])), start())
        }
        Role::Server => Connection::server(config, start()),
    };
    connection.with_deflate(params(deflate), deflate, DeflatePool::default())
}

/// The messages in `bytes`, shown `step` bytes at a time with `room` bytes of room, and the rule that
/// they break.
pub(super) fn read(
    connection: &mut Connection,
    bytes: &[u8],
    step: usize,
    room: usize,
) -> (Vec<Message>, Option<ProtocolError>) {
    let mut messages = Vec::new();
    let mut assembler = MessageAssembler::default();
    let mut kept: Vec<u8> = Vec::new();
    let mut room = vec![0; room];
    for piece in bytes.chunks(step) {
        kept.extend_from_slice(piece);
        loop {
            let mut unread = &mut kept[..];
            let before = unread.len();
            let event = connection.receive_inflating(&mut unread, &mut room, start());
            let consumed = before - unread.len();
            match event {
                Ok(Some(Event::Text(text))) => messages.push(Message::from(text)),
                Ok(Some(Event::Binary(bytes))) => messages.push(Message::from(bytes)),
                Ok(Some(Event::MessageStart(kind))) => assembler.start(kind, Vec::new()),
                Ok(Some(Event::Chunk(chunk))) => assembler.chunk(chunk),
                Ok(Some(Event::MessageEnd)) => messages.push(assembler.end().unwrap().into()),
                Ok(Some(_)) => {}
                Ok(None) => {
                    kept.drain(..consumed);
                    break;
                }
                Err(error) => return (messages, Some(error)),
            }
            kept.drain(..consumed);
        }
    }
    (messages, None)
}

pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

pub(super) fn sent(connection: &mut Connection) -> Vec<u8> {
    let output = connection.output();
    output.copy_to_bytes(output.remaining()).to_vec()
}

#[test]
fn the_records_of_the_fixtures_end_as_they_should() {
    for line in include_str!("../fixtures/deflate.jsonl").lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let wire = hex(record["wire"].as_str().unwrap());
        let extension = record["ext"].as_str().unwrap();
        let takeover = DeflateConfig::default().context_takeover(true);
        let mut offer = Extension::new("permessage-deflate").unwrap();
        for param in extension.split("; ").skip(1) {
            offer = offer.with_param(param, None).unwrap();
        }
        let (agreed, _) = takeover.answer(&[offer]).unwrap();
        for (step, room) in [(wire.len(), 1000), (1, 1), (1, 1000), (3, 2)] {
            let server = Connection::server(Config::new(Role::Server), start());
            let mut server = server.with_deflate(agreed, &takeover, DeflatePool::default());
            let (messages, failed) = read(&mut server, &wire, step, room);
            let expect = &record["expect"];
            let name = format!("{} by {step} with {room}", record["id"]);
            if let Some(expected) = expect["msgs"].as_array() {
                let got: Vec<_> = messages.iter().map(|message| message.as_text()).collect();
                let expected: Vec<_> = expected.iter().map(|pair| pair[1].as_str()).collect();
                assert_eq!(got, expected, "{name}");
            }
            match expect["close"].as_array() {
                Some(codes) => {
                    let code = failed.map(|error| u64::from(error.close_code().get()));
                    let codes: Vec<_> = codes.iter().map(|code| code.as_u64()).collect();
                    assert!(codes.contains(&code), "{name}: {code:?}");
                }
                None => assert_eq!(failed, None, "{name}"),
            }
        }
    }
}

#[test]
fn a_compressed_message_may_be_fragmented_with_control_frames_between() {
    // RFC 7692 §7.2.3.1: Hello in two fragments, a Ping between them.
    let bytes = hex("41 03 f2 48 cd  89 01 70  80 04 c9 c9 07 00");
    let mut client = end(
        Role::Client,
        Config::new(Role::Client),
        &DeflateConfig::default(),
    );
    assert_eq!(
        read(&mut client, &bytes, 1, 10),
        (vec![Message::from("Hello")], None)
    );
}

#[test]
fn without_room_a_compressed_message_waits_for_some() {
    let deflate = DeflateConfig::default();
    let mut client = end(Role::Client, Config::new(Role::Client), &deflate);
    let mut wire = hex("c1 00");
    let mut input = &mut wire[..];
    let event = client.receive(&mut input, start());
    assert_eq!(event, Ok(Some(Event::MessageStart(MessageKind::Text))));
    assert_eq!(client.receive(&mut input, start()), Ok(None));
    let mut room = [0; 1];
    let event = client.receive_inflating(&mut input, &mut room, start());
    assert_eq!(event, Ok(Some(Event::MessageEnd)));
}

#[test]
fn rsv1_belongs_to_the_first_frame_of_a_message_only() {
    for bad in ["41 03 f2 48 cd  c0 04 c9 c9 07 00", "c9 00", "c8 00"] {
        let mut client = end(
            Role::Client,
            Config::new(Role::Client),
            &DeflateConfig::default(),
        );
        let (_, failed) = read(&mut client, &hex(bad), 100, 10);
        assert_eq!(failed, Some(ProtocolError::ReservedBit), "{bad}");
    }
}

#[test]
fn a_compressed_text_is_judged_as_utf8_when_it_is_inflated() {
    let deflate = DeflateConfig::default().threshold(1);
    let mut server = end(Role::Server, Config::new(Role::Server), &deflate);
    server.send_binary(&[0xff; 50], Cause::Push).unwrap();
    let mut bytes = sent(&mut server);
    assert_eq!(bytes[0], 0xc2);
    bytes[0] = 0xc1;
    let mut client = end(Role::Client, Config::new(Role::Client), &deflate);
    let (messages, failed) = read(&mut client, &bytes, 100, 100);
    assert_eq!(messages, []);
    assert_eq!(failed, Some(ProtocolError::InvalidUtf8));
    // As it is sent, this text is no UTF-8.
    let hello = hex("c1 07 f2 48 cd c9 c9 07 00");
    let mut client = end(Role::Client, Config::new(Role::Client), &deflate);
    let expected = (vec![Message::from("Hello")], None);
    assert_eq!(read(&mut client, &hello, 100, 100), expected);
}

/// Sends a binary message from one end to the other. Returns the bytes that it took.
fn carried(from: &mut Connection, to: &mut Connection, payload: &[u8]) -> usize {
    from.send_binary(payload, Cause::Push).unwrap();
    let bytes = sent(from);
    let expected = (vec![Message::from(payload.to_vec())], None);
    assert_eq!(read(to, &bytes, 100, 100), expected);
    bytes.len()
}

/// Random letters out of 16. Compression makes them half as long.
fn letters(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15);
        b'a' + (state.to_be_bytes()[0] & 0x0f)
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn no_context_takeover_governs_the_compressor_of_the_end_that_it_names() {
    let payload = letters(1000);
    for server_keeps in [true, false] {
        let mut deflate = DeflateConfig::default().context_takeover(true).threshold(1);
        deflate.server_no_context_takeover = !server_keeps;
        deflate.client_no_context_takeover = server_keeps;
        let mut server = end(Role::Server, Config::new(Role::Server), &deflate);
        let mut client = end(Role::Client, Config::new(Role::Client), &deflate);
        let by_server = [(); 2].map(|()| carried(&mut server, &mut client, &payload));
        let by_client = [(); 2].map(|()| carried(&mut client, &mut server, &payload));
        let (keeps, drops) = match server_keeps {
            true => (by_server, by_client),
            false => (by_client, by_server),
        };
        assert!(keeps[1] < 100, "{keeps:?}");
        assert_eq!(drops[0], drops[1]);
    }
}

#[test]
fn a_limit_of_the_window_governs_the_compressor_of_the_end_that_it_names() {
    // The second half repeats the first, 1,000 bytes before it.
    let payload = letters(1000).repeat(2);
    for server_is_limited in [true, false] {
        let config = DeflateConfig::default().threshold(1);
        let config = match server_is_limited {
            true => config.server_max_window_bits(WindowBits::MIN),
            false => config.client_max_window_bits(WindowBits::MIN),
        };
        let mut server = end(Role::Server, Config::new(Role::Server), &config);
        let mut client = end(Role::Client, Config::new(Role::Client), &config);
        let by_server = carried(&mut server, &mut client, &payload);
        let by_client = carried(&mut client, &mut server, &payload);
        let (limited, other) = match server_is_limited {
            true => (by_server, by_client),
            false => (by_client, by_server),
        };
        assert!(limited > 1000, "{limited}");
        assert!(other < 700, "{other}");
    }
}

#[test]
fn without_a_limit_what_lies_32000_bytes_back_is_referred_to_and_inflated() {
    let payload = letters(32_000);
    for takeover in [true, false] {
        let deflate = DeflateConfig::default().context_takeover(takeover);
        for from in [Role::Server, Role::Client] {
            let to = match from {
                Role::Server => Role::Client,
                Role::Client => Role::Server,
            };
            let mut sender = end(from, Config::new(from), &deflate);
            let mut receiver = end(to, Config::new(to), &deflate);
            let once = carried(&mut sender, &mut receiver, &payload);
            // In the message before, or in the same.
            let again = match takeover {
                true => carried(&mut sender, &mut receiver, &payload),
                false => carried(&mut sender, &mut receiver, &payload.repeat(2)) - once,
            };
            assert!(once > 15_000 && again < 1000, "{once} {again}");
        }
    }
}

#[test]
fn what_cannot_be_inflated_fails_the_connection() {
    let mut client = end(
        Role::Client,
        Config::new(Role::Client),
        &DeflateConfig::default(),
    );
    let (messages, failed) = read(&mut client, &hex("c1 01 06 81 01 61"), 100, 10);
    assert_eq!(
        (messages.len(), failed),
        (0, Some(ProtocolError::InvalidDeflate))
    );
    let error = failed.unwrap();
    assert_eq!(error.close_code().get(), 1007);
    assert_eq!(error.section(), "RFC 7692 §7.2.2");
}

#[test]
fn the_limit_is_on_what_is_inflated_and_inclusive() {
    let deflate = DeflateConfig::default();
    let mut server = end(Role::Server, Config::new(Role::Server), &deflate);
    for (len, passes) in [(1000, true), (1001, false)] {
        let message = Message::from(vec![7_u8; len]);
        server.send_message(&message, Cause::Push).unwrap();
        let bytes = sent(&mut server);
        assert!(bytes.len() < 50);
        let config = Config::new(Role::Client).max_message(1000);
        let mut client = end(Role::Client, config, &deflate);
        let (messages, failed) = read(&mut client, &bytes, 1, 64);
        assert_eq!(messages.len(), usize::from(passes));
        let too_big = ProtocolError::MessageTooBig {
            size: 1001,
            limit: 1000,
        };
        assert_eq!(failed, (!passes).then_some(too_big));
    }
}

#[test]
fn a_bomb_costs_no_more_memory_than_the_limit() {
    let deflate = DeflateConfig::default();
    let mut server = end(Role::Server, Config::new(Role::Server), &deflate);
    let bomb = Message::from(vec![0_u8; 64 << 20]);
    server.send_message(&bomb, Cause::Push).unwrap();
    let bytes = sent(&mut server);
    assert!(bytes.len() * 900 < 64 << 20);
    let config = Config::new(Role::Client).max_message(1 << 20);
    let mut client = end(Role::Client, config, &deflate);
    let mut room = vec![0; 4096];
    let mut bytes = bytes;
    let (mut read, mut inflated) = (0, 0);
    let failed = loop {
        let mut unread = &mut bytes[read..];
        let before = unread.len();
        match client.receive_inflating(&mut unread, &mut room, start()) {
            Ok(Some(Event::Chunk(chunk))) => inflated += chunk.len(),
            Ok(_) => {}
            Err(error) => break error,
        }
        read += before - unread.len();
        assert!(client.retained_bytes() < 256 * 1024);
    };
    let limit = 1 << 20;
    let size = limit + 1;
    assert_eq!(failed, ProtocolError::MessageTooBig { size, limit });
    assert!(inflated <= 1 << 20);
}

#[test]
fn small_messages_go_as_they_are() {
    let deflate = DeflateConfig::default().threshold(10);
    let mut server = end(Role::Server, Config::new(Role::Server), &deflate);
    server.send_text("123456789", Cause::Push).unwrap();
    assert_eq!(sent(&mut server)[0], 0x81);
    server.send_text("aaaaaaaaaa", Cause::Push).unwrap();
    assert_eq!(sent(&mut server)[0], 0xc1);
    for (text, opens) in [("123456789", 0x81), ("aaaaaaaaaa", 0xc1)] {
        let prepared = PreparedMessage::new(text);
        server.send_message(&prepared, Cause::Push).unwrap();
        assert_eq!(sent(&mut server)[0], opens);
    }
}

#[test]
fn a_message_in_parts_is_one_compressed_message_and_its_first_part_decides() {
    let text = "compressible ".repeat(100);
    for takeover in [true, false] {
        let deflate = DeflateConfig::default()
            .context_takeover(takeover)
            .threshold(10);
        let mut server = end(Role::Server, Config::new(Role::Server), &deflate);
        let mut client = end(Role::Client, Config::new(Role::Client), &deflate);
        let mut part = |payload: &str, last, ping: bool| {
            let payload = payload.as_bytes();
            server
                .send_part(MessageKind::Text, payload, last, Cause::Push)
                .unwrap();
            let bytes = sent(&mut server);
            let first = bytes[0];
            if ping {
                server.send_ping(b"").unwrap();
            }
            (first, [bytes, sent(&mut server)].concat())
        };
        for _ in 0..2 {
            // RFC 7692 §6.1: RSV1 on the first frame. §5.5: a Ping between the others.
            let (first, mut bytes) = part(&text, false, true);
            assert_eq!(first, 0x41);
            for (payload, last, opens) in [("", false, 0), (&*text, false, 0), ("x", true, 0x80)] {
                let (first, more) = part(payload, last, true);
                assert_eq!(first, opens);
                bytes.extend(more);
            }
            assert!(bytes.len() < text.len());
            let whole = Message::text([&*text, &*text, "x"].concat());
            assert_eq!(read(&mut client, &bytes, 7, 100), (vec![whole], None));
            // Ended by an empty part.
            let (_, mut bytes) = part(&text, false, false);
            bytes.extend(part("", true, false).1);
            assert_eq!(
                read(&mut client, &bytes, 100, 100),
                (vec![Message::text(&*text)], None)
            );
            // A first part that is not worth it.
            let (first, mut bytes) = part("short", false, false);
            assert_eq!(first, 0x01);
            bytes.extend(part(&text, true, false).1);
            let whole = Message::text(["short", &text].concat());
            assert_eq!(read(&mut client, &bytes, 100, 100), (vec![whole], None));
        }
        let bytes = text.as_bytes();
        for last in [false, true] {
            server
                .send_uncompressed_part(MessageKind::Text, bytes, last, Cause::Push)
                .unwrap();
        }
        let sent = sent(&mut server);
        assert_eq!((sent[0], sent.len()), (0x01, 2 * (4 + text.len())));
    }
}

#[test]
fn what_is_to_be_uncompressed_goes_as_it_is() {
    let text = "compressible ".repeat(100);
    for role in [Role::Client, Role::Server] {
        for takeover in [true, false] {
            let deflate = DeflateConfig::default().context_takeover(takeover);
            let mut end = end(role, Config::new(role), &deflate);
            let plain = Outgoing::uncompressed(text.as_str());
            for outgoing in [plain.clone(), PreparedMessage::new(plain).into()] {
                assert_eq!(outgoing.message().as_text(), Some(&*text));
                end.send_message(outgoing, Cause::Push).unwrap();
                let bytes = sent(&mut end);
                assert_eq!(bytes[0], 0x81);
                assert!(bytes.len() > text.len());
            }
        }
    }
}

#[test]
fn no_length_tells_of_an_uncompressed_message_sent_before() {
    let deflate = DeflateConfig::default().context_takeover(true).threshold(1);
    let secret = "9f0c61e2d7";
    let guess = format!("guessed: {secret}");
    let mut lens = Vec::new();
    let uncompressed = Outgoing::uncompressed(secret);
    for before in [None, Some(uncompressed), Some(secret.into())] {
        let mut server = end(Role::Server, Config::new(Role::Server), &deflate);
        if let Some(before) = before {
            server.send_message(before, Cause::Push).unwrap();
            sent(&mut server);
        }
        server.send_text(&guess, Cause::Push).unwrap();
        lens.push(sent(&mut server).len());
    }
    assert_eq!(lens[1], lens[0]);
    assert!(lens[2] < lens[0], "a compressed one does tell: {lens:?}");
}

/// A message that is large enough to be shared when it is compressed to half of it.
pub(super) fn large() -> Message {
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + state.to_be_bytes()[0] % 16
    });
    let bytes: Vec<u8> = noise.take(4 * Output::SHARED_FROM).collect();
    bytes.into()
}

/// The address of the payload that waits behind the frame's header.
fn payload_at(server: &mut Connection) -> *const u8 {
    const HEADER: usize = 10;
    server.output().advance(HEADER);
    server.output().chunk().as_ptr()
}

#[test]
fn connections_of_one_window_are_given_the_same_compressed_bytes() {
    let message = large();
    let prepared = PreparedMessage::new(&message);
    let window = |bits| DeflateConfig::default().server_max_window_bits(bits);
    let small = WindowBits::new(10).unwrap();
    let mut servers = [
        window(WindowBits::MAX).context_takeover(true),
        window(WindowBits::MAX),
        window(small),
        window(small).context_takeover(true).level(9),
    ]
    .map(|deflate| {
        let mut server = end(Role::Server, Config::new(Role::Server), &deflate);
        let mut client = end(Role::Client, Config::new(Role::Client), &deflate);
        server.send_message(&prepared, Cause::Push).unwrap();
        let bytes = sent(&mut server);
        assert_eq!(bytes[0], 0xc2);
        assert_eq!(
            read(&mut client, &bytes, 1000, 4096),
            (vec![message.clone()], None)
        );
        server.send_message(&prepared, Cause::Push).unwrap();
        server
    });
    let at = servers.each_mut().map(payload_at);
    assert_eq!((at[0], at[2]), (at[1], at[3]));
    assert_ne!(at[0], at[2]);
}

#[test]
fn threads_that_send_it_at_once_share_one() {
    let prepared = PreparedMessage::new(large());
    let send = || {
        let deflate = DeflateConfig::default();
        let mut server = end(Role::Server, Config::new(Role::Server), &deflate);
        server.send_message(&prepared, Cause::Push).unwrap();
        server
    };
    let mut servers = thread::scope(|scope| {
        let threads = [(); 4].map(|()| scope.spawn(send));
        threads.map(|thread| thread.join().unwrap())
    });
    let at = servers.each_mut().map(payload_at);
    assert_eq!(at, [at[0]; 4]);
}

#[test]
fn a_connections_own_messages_start_anew_behind_one_for_many() {
    let deflate = DeflateConfig::default().context_takeover(true);
    let mut server = end(Role::Server, Config::new(Role::Server), &deflate);
    let text = "some words of a connection's own ".repeat(10);
    let own = |server: &mut Connection| {
        server.send_text(&text, Cause::Push).unwrap();
        sent(server)
    };
    let first = own(&mut server);
    assert!(own(&mut server).len() < first.len());
    let prepared = PreparedMessage::new("for many ".repeat(100));
    server.send_message(prepared, Cause::Push).unwrap();
    sent(&mut server);
    assert_eq!(own(&mut server), first);
    assert!(own(&mut server).len() < first.len());
}

#[test]
fn what_compression_makes_no_smaller_goes_as_it_is() {
    let deflate = DeflateConfig::default().threshold(1);
    let mut server = end(Role::Server, Config::new(Role::Server), &deflate);
    server.send_binary(&[1, 2, 3], Cause::Push).unwrap();
    assert_eq!(sent(&mut server), [0x82, 3, 1, 2, 3]);
}

fn message() -> impl Strategy<Value = Message> {
    let text = ("[a-c]{0,40}", 0..60_usize).prop_map(|(word, times)| word.repeat(times));
    prop_oneof![
        text.prop_map(Message::from),
        any::<String>().prop_map(Message::from),
        prop::collection::vec(any::<u8>(), 0..600).prop_map(Message::from),
    ]
}

/// A way to send a message.
type Way = fn(&Message) -> Outgoing;

fn way() -> impl Strategy<Value = Way> {
    const WAYS: [Way; 4] = [
        |message| message.into(),
        |message| Outgoing::uncompressed(message.clone()),
        |message| PreparedMessage::new(message).into(),
        |message| PreparedMessage::new(Outgoing::uncompressed(message.clone())).into(),
    ];
    prop::sample::select(&WAYS[..])
}

proptest! {
    #[test]
    fn messages_arrive_whatever_is_agreed_on_and_however_they_are_cut(
        messages in prop::collection::vec((message(), way()), 1..6),
        takeover: bool,
        (server_bits, client_bits) in (8..=15_u8, 8..=15_u8),
        from_client: bool,
        (step, room) in (1..300_usize, 1..300_usize),
    ) {
        let deflate = DeflateConfig::default()
            .context_takeover(takeover)
            .server_max_window_bits(WindowBits::new(server_bits).unwrap())
            .client_max_window_bits(WindowBits::new(client_bits).unwrap())
            .threshold(1);
        let client = end(Role::Client, Config::new(Role::Client), &deflate);
        let server = end(Role::Server, Config::new(Role::Server), &deflate);
        let (mut from, mut to) = if from_client { (client, server) } else { (server, client) };
        let mut bytes = Vec::new();
        for (message, way) in &messages {
            from.send_message(way(message), Cause::Push).unwrap();
            bytes.extend(sent(&mut from));
        }
        let messages = messages.into_iter().map(|(message, _)| message).collect();
        prop_assert_eq!(read(&mut to, &bytes, step, room), (messages, None));
    }

    #[test]
    fn no_bytes_make_a_compressing_connection_panic(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xc1), Just(0x02)], 0..200),
        takeover: bool,
        (step, room) in (1..50_usize, 1..50_usize),
    ) {
        let deflate = DeflateConfig::default().context_takeover(takeover);
        let mut client = end(Role::Client, Config::new(Role::Client), &deflate);
        read(&mut client, &bytes, step, room);
    }
}
