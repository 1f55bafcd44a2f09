//! The memory of a connection that compresses, between messages (RFC 7692 §7.1): states, windows, and the doubt whether
//! the peer keeps a window.

use sockeye_proto::{
    Cause, CloseReason, Config, Connection, DeflateConfig, DeflatePool, MaskingKey, Message, Role,
};

use super::deflate::{end, hex, large, read, sent, start};

#[test]
fn an_idle_connection_without_takeover_holds_no_state() {
    let deflate = DeflateConfig::default();
    let mut server = end(Role::Server, Config::new(Role::Server), &deflate);
    let mut client = end(Role::Client, Config::new(Role::Client), &deflate);
    let before = (server.retained_bytes(), client.retained_bytes());
    client.send_text(&"a".repeat(10_000), Cause::Push).unwrap();
    let bytes = sent(&mut client);
    assert_eq!(read(&mut server, &bytes, 100, 100).0.len(), 1);
    drop((server.take_output(), client.take_output()));
    assert_eq!((server.retained_bytes(), client.retained_bytes()), before);
}

/// A server that told its client to keep no window, although the client did not offer that; and the client, which obeys
/// or not.
fn in_doubt(obeys: bool) -> (Connection, Connection) {
    let server = DeflateConfig::default();
    let client = DeflateConfig::default().context_takeover(true).threshold(0);
    let (agreed, _) = server.answer(&[client.offer()]).unwrap();
    let mut as_understood = agreed;
    as_understood.client_no_context_takeover = obeys;
    let pool = DeflatePool::default;
    let masks = Box::new(|| MaskingKey::new([1, 2, 3, 4]));
    (
        Connection::server(Config::new(Role::Server), start()).with_deflate(
            agreed,
            &server,
            pool(),
        ),
        Connection::client(Config::new(Role::Client), masks, start()).with_deflate(
            as_understood,
            &client,
            pool(),
        ),
    )
}

/// Sends a text from the client to the server, and lets both rest. Says how many bytes the server holds then.
fn pass(server: &mut Connection, client: &mut Connection, text: &str, step: usize) -> usize {
    client.send_text(text, Cause::Push).unwrap();
    let bytes = sent(client);
    let expected = (vec![Message::from(text)], None);
    assert_eq!(read(server, &bytes, step, step), expected);
    for end in [&mut *client, &mut *server] {
        drop(end.take_output());
        end.rest();
    }
    server.retained_bytes()
}

/// Tornado's client does so: it ignores parameters without a value.
#[test]
fn a_client_that_keeps_its_window_although_it_must_not_is_understood() {
    let (mut server, mut client) = in_doubt(false);
    let long: String = (0..30_000_u32).map(|n| format!("{n:x} ")).collect();
    for round in 0..4 {
        for step in [1, 7, 5000] {
            for text in ["", "x", "sockeye salmon", "x"] {
                pass(&mut server, &mut client, text, step);
            }
        }
        pass(&mut server, &mut client, &long, 5000);
        let retained = pass(&mut server, &mut client, &format!("{round} {long}"), 700);
        assert!(retained <= 33 * 1024, "{retained}");
    }
    // Small messages may have nothing in common. That shows nothing, however many they are.
    let (mut server, mut client) = in_doubt(false);
    for letter in 'a'..='w' {
        let text = letter.to_string().repeat(16);
        pass(&mut server, &mut client, &text, 5000);
    }
    for _ in 0..2 {
        pass(&mut server, &mut client, &"y".repeat(100), 5000);
    }
}

#[test]
fn a_client_that_obeys_costs_no_window_once_its_messages_show_it() {
    let salmon = "sockeye salmon ".repeat(20);
    let (mut server, mut client) = in_doubt(true);
    let before = server.retained_bytes();
    // The first message shows nothing, and four more are enough.
    for _ in 0..4 {
        assert!(pass(&mut server, &mut client, &salmon, 50) > before);
    }
    for _ in 0..3 {
        assert_eq!(pass(&mut server, &mut client, &salmon, 50), before);
    }
    // So are 512 bytes of small ones.
    let (mut server, mut client) = in_doubt(true);
    let sixteen = "a".repeat(16);
    for _ in 0..32 {
        assert!(pass(&mut server, &mut client, &sixteen, 50) > before);
    }
    assert_eq!(pass(&mut server, &mut client, &sixteen, 50), before);
}

#[test]
fn a_client_that_offers_to_keep_no_window_costs_none_from_the_start() {
    let server = DeflateConfig::default();
    let (agreed, _) = server.answer(&[server.offer()]).unwrap();
    let mut server = Connection::server(Config::new(Role::Server), start()).with_deflate(
        agreed,
        &server,
        DeflatePool::default(),
    );
    let mut client = end(
        Role::Client,
        Config::new(Role::Client),
        &DeflateConfig::default(),
    );
    let before = server.retained_bytes();
    let salmon = "sockeye salmon ".repeat(20);
    assert_eq!(pass(&mut server, &mut client, &salmon, 50), before);
}

#[test]
fn a_connection_that_rests_keeps_only_its_windows() {
    let deflate = DeflateConfig::default().context_takeover(true);
    let mut server = end(Role::Server, Config::new(Role::Server), &deflate);
    let mut client = end(Role::Client, Config::new(Role::Client), &deflate);
    let small = Message::from("sockeye ".repeat(128));
    for (message, most) in [(small, 4 * 1024), (large(), 65 * 1024)] {
        for _ in 0..2 {
            client.send_message(&message, Cause::Push).unwrap();
            let bytes = sent(&mut client);
            let expected = (vec![message.clone()], None);
            assert_eq!(read(&mut server, &bytes, 5000, 4096), expected);
            server.send_message(&message, Cause::Push).unwrap();
            let bytes = sent(&mut server);
            assert_eq!(read(&mut client, &bytes, 5000, 4096), expected);
            for end in [&mut client, &mut server] {
                drop(end.take_output());
                assert!(end.retained_bytes() > 300 * 1024);
                end.rest();
                let retained = end.retained_bytes();
                assert!(retained <= most + 1024, "{retained} of {most}");
            }
        }
    }
}

/// If the window is kept, both states are kept from message to message. They end with the connection.
#[test]
fn a_connection_that_has_ended_holds_no_state() {
    type End = fn(&mut Connection);
    let ways: [End; 3] = [
        |connection| connection.handle_end(),
        |connection| {
            let (_, failed) = read(connection, &hex("88 00"), 2, 10);
            assert_eq!(failed, None);
            connection.conclude(start());
        },
        |connection| {
            let (_, failed) = read(connection, &hex("83 00"), 2, 10);
            assert!(failed.is_some());
            connection.conclude(start());
        },
    ];
    for way in ways {
        let deflate = DeflateConfig::default().context_takeover(true);
        let mut client = end(Role::Client, Config::new(Role::Client), &deflate);
        client
            .send_text(&"sockeye ".repeat(100), Cause::Push)
            .unwrap();
        sent(&mut client);
        let hello = hex("c1 07 f2 48 cd c9 c9 07 00");
        read(&mut client, &hello, hello.len(), 100);
        assert!(client.retained_bytes() > 300 * 1024);
        way(&mut client);
        assert!(
            client.retained_bytes() < 4096,
            "{}",
            client.retained_bytes()
        );
    }
}

/// Neither while a Close is owed, nor where this end's went first.
#[test]
fn an_end_that_reads_no_more_holds_nothing_to_inflate_with() {
    for (closes_first, end_of_input) in [(false, "88 00"), (false, "83 00"), (true, "88 00")] {
        let deflate = DeflateConfig::default().context_takeover(true);
        let mut client = end(Role::Client, Config::new(Role::Client), &deflate);
        let before = client.retained_bytes();
        // The first half of a compressed message.
        read(&mut client, &hex("41 03 f2 48 cd"), 100, 10);
        assert!(client.retained_bytes() > before + 32 * 1024);
        if closes_first {
            let reason = CloseReason::no_status();
            client.send_close(&reason, start()).unwrap();
            drop((sent(&mut client), client.take_output()));
        }
        let mut wire = hex(end_of_input);
        let mut room = [0; 10];
        let last = client.receive_inflating(&mut &mut wire[..], &mut room, start());
        assert!(!matches!(last, Ok(None)));
        assert_eq!(client.retained_bytes(), before);
    }
}
