//! Many clients, and fast ones, at `sockeye serve`: the limits of its endpoints on the wire.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use sockeye::{CloseCode, Connection};

use crate::program::Server;

async fn connect(server: &Server, path: &str) -> Connection {
    let url = server.url(path);
    sockeye::connect(&*url).await.expect("the server takes it")
}

/// Returns the next event.
async fn event(client: &mut Connection) -> Value {
    let message = client.recv().await.expect("no error").expect("a message");
    serde_json::from_str(message.as_text().expect("a text")).expect("JSON")
}

/// Returns the next event of this type.
async fn event_of(client: &mut Connection, kind: &str) -> Value {
    loop {
        let event = event(client).await;
        if event["type"] == kind {
            return event;
        }
    }
}

async fn say(client: &mut Connection, text: &str) {
    let command = json!({"type": "message", "text": text}).to_string();
    client.send(command).await.expect("it is open");
}

#[tokio::test]
async fn a_room_that_is_full_closes_the_next_client_with_1013_and_says_why() {
    let server = Server::start(&["--max-people", "2"]);
    let mut ada = connect(&server, "/chat/river?name=Ada").await;
    event(&mut ada).await;
    let mut grace = connect(&server, "/chat/river?name=Grace").await;
    event(&mut grace).await;
    let mut late = connect(&server, "/chat/river?name=Late").await;
    assert!(late.recv().await.expect("no error").is_none());
    let told = late.close_received().expect("a Close");
    assert_eq!(told.code(), CloseCode::TRY_AGAIN_LATER);
    assert_eq!(told.reason(), "the room is full");
    // Another room has free places, and so has this one after a member has left.
    let mut sea = connect(&server, "/chat/sea?name=Late").await;
    assert_eq!(event(&mut sea).await["people"], json!(["Late"]));
    grace
        .close(CloseCode::NORMAL, "")
        .await
        .expect("it is open");
    event_of(&mut ada, "left").await;
    let mut late = connect(&server, "/chat/river?name=Late").await;
    assert_eq!(event(&mut late).await["people"], json!(["Ada", "Late"]));
}

#[tokio::test]
async fn a_crowd_that_joins_one_room_and_does_not_read_leaves_the_server_as_it_was() {
    const CROWD: usize = 600;
    const PLACES: usize = 500;
    // Each client also takes a descriptor in this process.
    let _ = rlimit::increase_nofile_limit(2048);
    let server = Server::start(&[]);
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(connect(&server, "/chat/river?name=Ada").await);
    }
    let mut refused = 0;
    let mut members = Vec::new();
    for mut client in crowd {
        match client.recv().await.expect("no error") {
            Some(welcome) => {
                // The list is cut.
                assert!(welcome.as_bytes().len() < 4096);
                members.push(client);
            }
            None => refused += 1,
        }
    }
    assert_eq!((members.len(), refused), (PLACES, CROWD - PLACES));
    let mut echo = connect(&server, "/echo").await;
    echo.send("still here").await.expect("it is open");
    let answer = echo.recv().await.expect("no error").expect("an answer");
    assert_eq!(answer.as_text(), Some("still here"));
    let (first, last) = (0, PLACES - 1);
    say(&mut members[first], "still here").await;
    let heard = event_of(&mut members[last], "message").await;
    assert_eq!(heard["text"], "still here");
}

#[tokio::test]
async fn a_speaker_that_is_as_fast_as_it_can_be_loses_no_reader_that_reads() {
    const READERS: usize = 30;
    const MESSAGES: usize = 400;
    let server = Server::start(&["--rate", "1000000", "--burst", "1000000"]);
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut reader = connect(&server, "/chat/river").await;
        event(&mut reader).await;
        readers.push(reader);
    }
    // Together more than an outbox takes.
    let text = "x".repeat(4000);
    let reading: Vec<_> = readers
        .into_iter()
        .map(|mut reader| {
            tokio::spawn(async move {
                for _ in 0..MESSAGES {
                    event_of(&mut reader, "message").await;
                }
            })
        })
        .collect();
    let (sender, mut receiver) = connect(&server, "/chat/river").await.split();
    let own = tokio::spawn(async move { while let Ok(Some(_)) = receiver.recv().await {} });
    for _ in 0..MESSAGES {
        let command = json!({"type": "message", "text": text}).to_string();
        sender.send(command).await.expect("it is open");
    }
    for reader in reading {
        reader.await.expect("it has read all");
    }
    own.abort();
}

#[tokio::test]
async fn from_a_client_that_is_too_fast_the_server_reads_no_faster_than_its_rate() {
    let server = Server::start(&["--rate", "10", "--burst", "1"]);
    let mut client = connect(&server, "/chat/river").await;
    event(&mut client).await;
    for _ in 0..4 {
        say(&mut client, "hi").await;
    }
    let mut times = Vec::new();
    for _ in 0..4 {
        let time = event_of(&mut client, "message").await["time"].clone();
        let time = time.as_str().expect("a time").to_owned();
        times.push(time);
    }
    // By the server's clock no message came early. A slow machine only delays them.
    let millis = |time: &str| {
        let (hour, rest) = (&time[11..13], &time[14..]);
        let (minute, second) = (&rest[..2], &rest[3..9]);
        let number = |text: &str| text.parse::<f64>().expect("a number");
        ((number(hour) * 60.0 + number(minute)) * 60.0 + number(second)) * 1000.0
    };
    let day = 24.0 * 3_600_000.0;
    let passed = (millis(&times[3]) - millis(&times[0]) + day) % day;
    assert!(passed >= 250.0, "{times:?}");
}

#[test]
fn a_message_that_an_endpoint_has_no_use_for_is_refused_at_its_header_with_1009() {
    let server = Server::start(&[]);
    for (path, limit) in LIMITS {
        for opcode in [TEXT, BINARY] {
            let mut stream = open(&server.addr, path);
            stream
                .write_all(&header(opcode, limit + 1))
                .expect("it reads");
            assert_eq!(close_code(&mut stream), 1009, "{path} {opcode}");
        }
        // The server reads a message of exactly this size. The text is not a command, and most endpoints take no binary message.
        let mut stream = open(&server.addr, path);
        send_spaces(&mut stream, limit);
        stream.write_all(&header(CLOSE, 0)).expect("it reads");
        assert_eq!(close_code(&mut stream), 1005, "{path}");
    }
    let server = Server::start(&["--max-message", "50"]);
    for (path, _) in LIMITS {
        let mut stream = open(&server.addr, path);
        stream.write_all(&header(TEXT, 51)).expect("it reads");
        assert_eq!(close_code(&mut stream), 1009, "{path}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_clients_of_the_chat_do_is_logged_at_debug_alone() {
    let server = Server::start(&[]);
    let mut ada = connect(&server, "/chat/river?name=Ada").await;
    event(&mut ada).await;
    for name in ["Grace", "Linus"] {
        let command = json!({"type": "name", "name": name}).to_string();
        ada.send(command).await.expect("it is open");
        event_of(&mut ada, "renamed").await;
    }
    ada.close(CloseCode::NORMAL, "").await.expect("it is open");
    server.program.signal("TERM");
    let ended = server.program.wait();
    for word in ["river", "Ada", "Grace", "Linus"] {
        assert!(!ended.stderr.contains(word), "{}", ended.stderr);
    }
}

/// The size limit of a message of each endpoint, in bytes.
const LIMITS: [(&str, usize); 4] = [
    ("/chat/river", 65_536),
    ("/drawboard", 4096),
    ("/snake", 64),
    ("/push", 4096),
];

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// Opens a connection of plain bytes.
fn open(addr: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .expect("it reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// Returns the header of a client's frame, with a masking key of zeros.
fn header(opcode: u8, length: usize) -> Vec<u8> {
    let mut header = vec![0x80 | opcode];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..=125), _) => header.push(0x80 | length),
        (_, Ok(length)) => {
            header.push(0x80 | 126);
            header.extend(length.to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend((length as u64).to_be_bytes());
        }
    }
    header.extend([0; 4]);
    header
}

fn send_spaces(stream: &mut TcpStream, length: usize) {
    stream.write_all(&header(TEXT, length)).expect("it reads");
    stream.write_all(&vec![b' '; length]).expect("it reads");
}

/// Returns the code of the next Close, 1005 if it has none. Skips the frames before it.
fn close_code(stream: &mut TcpStream) -> u16 {
    loop {
        let [first, second] = read(stream);
        let length = match second {
            126 => usize::from(u16::from_be_bytes(read(stream))),
            127 => usize::try_from(u64::from_be_bytes(read(stream))).expect("a length"),
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).expect("a frame");
        if first == 0x80 | CLOSE {
            let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
            return code.unwrap_or(1005);
        }
    }
}

fn read<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).expect("a frame");
    bytes
}
