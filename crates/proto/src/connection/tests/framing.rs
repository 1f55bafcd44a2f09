//! §5.1 to §5.3, §5.7: one frame as bytes, in both directions.

use super::*;

// The examples of §5.7, read

#[test]
fn client_reads_the_unmasked_text_of_the_rfc() {
    let mut client = End::client();
    assert_eq!(client.reads(hex("81 05 48 65 6c 6c 6f")), [text("Hello")]);
}

#[test]
fn server_reads_the_masked_text_of_the_rfc() {
    let mut server = End::server();
    let bytes = hex("81 85 37 fa 21 3d 7f 9f 4d 51 58");
    assert_eq!(server.reads(bytes), [text("Hello")]);
}

#[test]
fn client_reads_the_fragmented_text_of_the_rfc() {
    let mut client = End::client();
    assert_eq!(
        client.reads(hex("01 03 48 65 6c  80 02 6c 6f")),
        [
            Seen::Start(MessageKind::Text),
            chunk(b"Hel"),
            chunk(b"lo"),
            Seen::End
        ]
    );
}

#[test]
fn client_answers_the_ping_of_the_rfc_with_its_pong() {
    let mut client = End::client();
    let seen = client.reads(hex("89 05 48 65 6c 6c 6f"));
    assert_eq!(seen, [Seen::Ping(b"Hello".to_vec())]);
    assert_eq!(client.written(), hex("8a 85 37 fa 21 3d 7f 9f 4d 51 58"));
}

#[test]
fn client_reads_the_256_bytes_of_the_rfc() {
    let mut client = End::client();
    let bytes = [hex("82 7e 01 00"), vec![7; 256]].concat();
    assert_eq!(client.reads(bytes), [Seen::Binary(vec![7; 256])]);
}

#[test]
fn client_reads_the_64_kib_of_the_rfc() {
    let mut client = End::client();
    let bytes = [hex("82 7f 00 00 00 00 00 01 00 00"), vec![7; 65_536]].concat();
    assert_eq!(client.reads(bytes), [Seen::Binary(vec![7; 65_536])]);
}

// The same, written

#[test]
fn server_writes_the_unmasked_text_of_the_rfc() {
    let mut server = End::server();
    server.machine.send_text("Hello", Cause::Push).unwrap();
    assert_eq!(server.written(), hex("81 05 48 65 6c 6c 6f"));
}

#[test]
fn client_writes_the_masked_text_of_the_rfc() {
    let mut client = End::client();
    client.machine.send_text("Hello", Cause::Push).unwrap();
    assert_eq!(client.written(), hex("81 85 37 fa 21 3d 7f 9f 4d 51 58"));
}

#[test]
fn server_writes_the_fragmented_text_of_the_rfc() {
    let mut server = End::server();
    for (part, last) in [("Hel", false), ("lo", true)] {
        server
            .machine
            .send_part(MessageKind::Text, part.as_bytes(), last, Cause::Push)
            .unwrap();
    }
    assert_eq!(server.written(), hex("01 03 48 65 6c  80 02 6c 6f"));
}

#[test]
fn lengths_are_written_in_the_shortest_of_the_three_forms() {
    for (len, header) in [
        (0, "82 00"),
        (125, "82 7d"),
        (126, "82 7e 00 7e"),
        (65_535, "82 7e ff ff"),
        (65_536, "82 7f 00 00 00 00 00 01 00 00"),
        (70_000, "82 7f 00 00 00 00 00 01 11 70"),
    ] {
        let payload = vec![7; len];
        let mut server = End::server();
        server.machine.send_binary(&payload, Cause::Push).unwrap();
        assert_eq!(server.written(), [hex(header), payload].concat(), "{len}");
    }
}

// §5.3: masking

#[test]
fn client_masks_each_frame_with_a_new_key_of_its_source() {
    let mut keys = 0_u8;
    let source = move || {
        keys += 1;
        MaskingKey::new([keys; 4])
    };
    let now = start();
    let mut client = Connection::client(Config::new(Role::Client), Box::new(source), now);
    let news = PreparedMessage::new("all");
    client.send_text("text", Cause::Push).unwrap();
    client.send_binary(&[7; 70_000], Cause::Push).unwrap();
    client
        .send_part(MessageKind::Text, b"", false, Cause::Push)
        .unwrap();
    client
        .send_part(MessageKind::Text, b"", true, Cause::Push)
        .unwrap();
    client.send_message(&news, Cause::Push).unwrap();
    client.send_message(&news, Cause::Push).unwrap();
    client.send_ping(b"").unwrap();
    client.send_pong(b"").unwrap();
    client.send_close(&CloseReason::no_status(), now).unwrap();
    let output = client.output();
    let written = frames(&output.copy_to_bytes(output.remaining()));
    let keys: Vec<_> = written.iter().map(|frame| frame.key).collect();
    let expected: Vec<_> = (1..=9).map(|key| Some([key; 4])).collect();
    assert_eq!(keys, expected);
    assert_eq!(written[1].payload, [7; 70_000]);
    assert_eq!(written[4].payload, b"all");
}

#[test]
fn server_masks_nothing() {
    let mut server = End::server();
    server.machine.send_text("Hello", Cause::Push).unwrap();
    server.machine.send_ping(b"").unwrap();
    server.reads_frame(PING, b"");
    server.sends_close(1000, "");
    assert_eq!(
        server.written(),
        hex("81 05 48 65 6c 6c 6f  89 00  8a 00  88 02 03 e8")
    );
}

#[test]
fn server_unmasks_a_payload_wherever_it_was_cut() {
    let payload: Vec<u8> = (0..=255).collect();
    let bytes = frame(BINARY, &payload, Some(KEY));
    for cut in 9..bytes.len() {
        let mut server = End::server();
        let mut seen = server.reads(&bytes[..cut]);
        seen.extend(server.reads(&bytes[cut..]));
        let chunks: Vec<u8> = seen.iter().flat_map(Seen::chunk).copied().collect();
        assert_eq!(chunks, payload, "{cut}");
    }
}

#[test]
fn a_key_of_zeros_is_legal() {
    let mut server = End::server();
    let bytes = frame(TEXT, b"Hello", Some([0; 4]));
    assert_eq!(server.reads(bytes), [text("Hello")]);
}

// The rest of the input

#[test]
fn part_of_a_header_is_left_in_the_input() {
    for role in ROLES {
        let mut end = End::of(role);
        let bytes = header(BINARY, 65_536, end.peer_key());
        for byte in &bytes[..bytes.len() - 1] {
            assert_eq!(end.reads([*byte]), []);
        }
        assert_eq!(end.unread, bytes[..bytes.len() - 1]);
        assert_eq!(end.machine.payload_remaining(), None);
        let seen = end.reads(&bytes[bytes.len() - 1..]);
        assert_eq!(seen, [Seen::Start(MessageKind::Binary)]);
        assert!(end.unread.is_empty());
        assert_eq!(end.machine.payload_remaining(), Some(65_536));
    }
}

#[test]
fn part_of_a_control_frame_is_left_in_the_input_and_is_never_longer_than_130_bytes() {
    let mut server = End::server();
    let bytes = server.frame(PING, &[7; 125]);
    assert_eq!(bytes.len(), 131);
    assert_eq!(server.reads(&bytes[..130]), []);
    assert_eq!(server.unread, bytes[..130]);
    assert_eq!(server.reads(&bytes[130..]), [Seen::Ping(vec![7; 125])]);
    assert!(server.unread.is_empty());
}

#[test]
fn what_remains_of_a_payload_is_known() {
    for role in ROLES {
        let mut end = End::of(role);
        let bytes = end.frame(BINARY, b"Hello");
        end.reads(&bytes[..bytes.len() - 3]);
        assert_eq!(end.machine.payload_remaining(), Some(3));
        end.reads(&bytes[bytes.len() - 3..]);
        assert_eq!(end.machine.payload_remaining(), None);
    }
}

#[test]
fn one_event_is_given_for_one_call() {
    for role in ROLES {
        let mut end = End::of(role);
        end.arrives(end.frame(TEXT, b"1"));
        end.arrives(end.frame(PING, b"2"));
        end.arrives(end.frame(BINARY, b"3"));
        let third = end.frame(BINARY, b"3");
        assert_eq!(end.pull(), Some(text("1")));
        assert_eq!(end.writes(), []);
        assert_eq!(end.pull(), Some(Seen::Ping(b"2".to_vec())));
        assert_eq!(end.writes(), [(PONG, b"2".to_vec())]);
        assert_eq!(end.unread, third);
    }
}

impl Seen {
    fn chunk(&self) -> &[u8] {
        match self {
            Self::Chunk(payload) => payload,
            _ => &[],
        }
    }
}

#[test]
fn a_message_says_when_nothing_but_its_end_is_left() {
    for role in ROLES {
        let mut end = End::of(role);
        assert!(!end.machine.message_ends_here());
        let frames = [
            end.frame(TEXT_STARTS, b"a"),
            end.frame(GOES_ON, b""),
            end.frame(ENDS, b"bc"),
        ]
        .concat();
        let mut input = &mut frames.clone()[..];
        let mut told = Vec::new();
        while let Some(event) = end.machine.receive(&mut input, end.now).unwrap() {
            let event = match event {
                Event::MessageStart(_) => "start".to_owned(),
                Event::Chunk(chunk) => String::from_utf8(chunk.to_vec()).unwrap(),
                Event::MessageEnd => "end".to_owned(),
                other => format!("{other:?}"),
            };
            told.push((event, end.machine.message_ends_here()));
        }
        let told: Vec<_> = told.iter().map(|(event, ends)| (&**event, *ends)).collect();
        let expected = [("start", false), ("a", false), ("bc", true), ("end", false)];
        assert_eq!(told, expected);
    }
}
