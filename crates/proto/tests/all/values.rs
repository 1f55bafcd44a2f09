//! The texts and conversions of values, and the getters of a connection.

use std::time::Instant;

use bytes::{Buf, Bytes};
use sockeye_proto::handshake::{ClientHandshake, Key, Origin, ServerHandshake, WebSocketUri};
use sockeye_proto::{
    Cause, CloseCode, CloseReason, Config, Connection, DeflateConfig, DeflateParams, DeflatePool,
    Event, Exchange, InvalidUtf8, MaskingKey, MaskingKeys, Message, MessageAssembler,
    MessageBuffer, MessageKind, Outgoing, Output, PreparedMessage, Role, Text, WindowBits,
};

#[test]
fn threads_may_share_what_holds_no_reference_to_its_caller() {
    fn is_sync<T: Send + Sync>() {}
    is_sync::<Connection>();
    is_sync::<Exchange<'_>>();
    is_sync::<Output>();
    is_sync::<MaskingKeys>();
    is_sync::<DeflatePool>();
    is_sync::<PreparedMessage>();
    is_sync::<Outgoing>();
    is_sync::<MessageAssembler>();
    is_sync::<Event<'_>>();
    is_sync::<ClientHandshake>();
    is_sync::<ServerHandshake>();
}

#[test]
fn a_close_says_its_code_and_then_its_reason() {
    let code = CloseCode::GOING_AWAY;
    assert_eq!(code.to_string(), "1001");
    assert_eq!(format!("{code:?}"), "CloseCode(1001)");
    assert_eq!(u16::from(code), 1001);
    let reason = CloseReason::new(code, "restart").unwrap();
    assert_eq!(reason.to_string(), "1001 restart");
    assert_eq!(CloseReason::no_status().to_string(), "1005");
}

#[test]
fn a_window_has_8_to_15_bits() {
    let windows: Vec<_> = (0..=u8::MAX).filter_map(WindowBits::new).collect();
    let bits: Vec<_> = windows.iter().map(|window| window.get()).collect();
    assert_eq!(bits, (8..=15).collect::<Vec<_>>());
    assert_eq!(format!("{:?}", WindowBits::MIN), "WindowBits(8)");
}

#[test]
fn what_the_handshake_names_is_written_as_on_the_wire() {
    let key = Key::from_nonce(*b"the sample nonce");
    assert_eq!(key.to_string(), "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(key.accept().to_string(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let origin: Origin = "HTTPS://Chat.example:443".parse().unwrap();
    assert_eq!(origin.to_string(), "https://chat.example");
    let uri = WebSocketUri::parse("wss://chat.example/room").unwrap();
    let client = ClientHandshake::new(uri.clone(), [0; 16]);
    assert_eq!(client.uri(), &uri);
}

#[test]
fn a_text_is_taken_for_a_str_and_for_bytes_without_a_copy() {
    let bytes = Bytes::from_static("grüezi".as_bytes());
    let text = Text::try_from(bytes.clone()).unwrap();
    assert_eq!(text.as_bytes().as_ptr(), bytes.as_ptr());
    assert_eq!(text, "grüezi");
    assert_eq!(text, *"grüezi");
    assert_eq!(AsRef::<str>::as_ref(&text), "grüezi");
    assert_eq!(AsRef::<[u8]>::as_ref(&text), &bytes[..]);
    assert_eq!(
        (text.to_string(), format!("{text:?}")),
        ("grüezi".into(), r#""grüezi""#.into())
    );
    assert_eq!(Bytes::from(text).as_ptr(), bytes.as_ptr());
    assert_eq!(
        Text::try_from(Bytes::from_static(b"\xff")),
        Err(InvalidUtf8)
    );
}

#[test]
fn a_message_gives_its_buffer_back() {
    let text = MessageBuffer::Text("grüezi".into());
    assert_eq!((text.len(), text.is_empty()), (7, false));
    assert_eq!(text.into_vec(), "grüezi".as_bytes());
    let binary = Message::binary(vec![1, 2]);
    assert_eq!(format!("{binary:?}"), r#"Binary(b"\x01\x02")"#);
    let mut assembler = MessageAssembler::default();
    assembler.start(MessageKind::Binary, Vec::new());
    // Bytes that a caller read straight to the end of the buffer.
    assembler.buffer_mut().extend_from_slice(b"ab");
    assert_eq!(assembler.end(), Ok(MessageBuffer::Binary(b"ab".into())));
}

#[test]
fn what_is_prepared_twice_is_prepared_once() {
    let prepared = PreparedMessage::new("news");
    let again = PreparedMessage::new(&prepared);
    let address = |message: &PreparedMessage| message.message().as_bytes().as_ptr();
    assert_eq!(address(&again), address(&prepared));
    let plain = PreparedMessage::new(Outgoing::uncompressed("token"));
    assert_eq!(Outgoing::from(&plain).message(), &Message::from("token"));
}

#[test]
fn a_connection_says_what_it_does_and_nothing_that_it_carries() {
    assert_eq!(
        format!("{:?}", DeflatePool::default()),
        "DeflatePool { .. }"
    );
    let mut server = compressing(Role::Server);
    assert!(server.compresses());
    assert_eq!(server.frames_received(), 0);
    server.send_text("secret", Cause::Push).unwrap();
    // The first byte of a compressed message that the client masks with zeros.
    let mut wire = *b"\xc1\x87\0\0\0\0\xf2";
    let mut input = &mut wire[..];
    let mut room = [0; 100];
    let event = server.receive_inflating(&mut input, &mut room, start());
    assert_eq!(event, Ok(Some(Event::MessageStart(MessageKind::Text))));
    assert_eq!(server.frames_received(), 1);
    // Its payload does not come as it is.
    assert_eq!(server.payload_remaining(), None);
    let shown = format!("{server:?}");
    assert!(
        shown.starts_with("Connection { role: Server, state: Open"),
        "{shown}"
    );
    assert!(!shown.contains("secret") && !format!("{:?}", PreparedMessage::new("a")).is_empty());
}

#[test]
fn a_long_message_that_does_not_compress_away_arrives() {
    let (mut server, mut client) = (compressing(Role::Server), compressing(Role::Client));
    // Bytes of which a quarter is as good as random.
    let mut seed = 1_u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8 & 0x3f
    };
    let payload: Vec<u8> = (0..200_000).map(|_| next()).collect();
    server.send_binary(&payload, Cause::Push).unwrap();
    let output = server.output();
    let mut wire = output.copy_to_bytes(output.remaining()).to_vec();
    assert!((Output::SHARED_FROM..payload.len()).contains(&wire.len()));
    let mut room = vec![0; payload.len() + 1];
    let (mut at, mut received) = (0, Vec::new());
    loop {
        let mut input = &mut wire[at..];
        let before = input.len();
        match client
            .receive_inflating(&mut input, &mut room, start())
            .unwrap()
        {
            Some(Event::Chunk(chunk)) => received.extend_from_slice(chunk),
            Some(Event::MessageEnd) | None => break,
            Some(_) => {}
        }
        at += before - input.len();
    }
    assert!(received == payload);
}

fn compressing(role: Role) -> Connection {
    let config = Config::new(role);
    let connection = match role {
        Role::Client => Connection::client(config, Box::new(|| MaskingKey::new([1; 4])), start()),
        Role::Server => Connection::server(config, start()),
    };
    let deflate = DeflateConfig::default();
    connection.with_deflate(DeflateParams::default(), &deflate, DeflatePool::default())
}

#[expect(clippy::disallowed_methods, reason = "tests count from some start")]
fn start() -> Instant {
    Instant::now()
}
