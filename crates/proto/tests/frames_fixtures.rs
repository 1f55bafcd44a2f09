//! The byte-exact frames of `fixtures/frames.jsonl`, legal and not, sent to a server and to a client:
//! as a whole, byte by byte, cut between frames, and, where they are short, cut at each single place.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot build its input fails"
)]

use std::time::Instant;

use bytes::Buf;
use serde::Deserialize;
use sockeye_proto::{
    Config, Connection, Event, MaskingKey, Message, MessageAssembler, MessageBuffer, Role,
};

use self::wire::{Frame, KEY, frame, frames, hex};

#[cfg(test)]
mod wire;

#[derive(Deserialize)]
struct Record {
    id: String,
    note: String,
    /// `S`: what a server reads, `C`: what a client reads.
    side: String,
    wire: String,
    max_message: u64,
    max_fragments: u32,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    /// Acceptable codes of the Close that is sent; `null` is one without a code. None: no Close.
    close: Option<Vec<Option<u16>>>,
    /// How many Closes are sent.
    closes: Option<usize>,
    /// What is delivered: `text` and the text, or `bin` and hexadecimal.
    #[serde(default)]
    msgs: Vec<(String, String)>,
    /// The payloads of the Pongs that are sent, in hexadecimal.
    #[serde(default)]
    pongs: Vec<String>,
}

#[test]
fn each_record_has_the_outcome_expected_of_it_however_it_is_cut() {
    let records: Vec<Record> = include_str!("fixtures/frames.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), 163);

    for record in &records {
        let wire = hex(&record.wire);
        judge(record, "whole", [&wire[..]]);
        judge(record, "byte by byte", wire.chunks(1));
        judge(record, "between frames", between_frames(&wire));
        if wire.len() <= 200 {
            for cut in 1..wire.len() {
                let (head, tail) = wire.split_at(cut);
                judge(record, &format!("cut at {cut}"), [head, tail]);
            }
        }
    }
}

fn judge<'a>(record: &Record, how: &str, pieces: impl IntoIterator<Item = &'a [u8]>) {
    let context = format!("{} ({}), {how}", record.id, record.note);
    let mut end = End::of(record);
    for piece in pieces {
        end.reads(piece);
    }
    let delivered = end.messages.len();
    let expect = &record.expect;

    let messages: Vec<_> = expect
        .msgs
        .iter()
        .map(|(kind, payload)| match kind.as_str() {
            "text" => Message::text(payload.as_str()),
            _ => Message::binary(hex(payload)),
        })
        .collect();
    assert_eq!(end.messages, messages, "{context}");

    let sent = frames(&end.output);
    let masked = (end.connection.role() == Role::Client).then_some(KEY);
    assert!(sent.iter().all(|frame| frame.key == masked), "{context}");
    let payloads_of = |first| {
        let of_kind = sent.iter().filter(move |frame| frame.first == first);
        of_kind.map(|frame: &Frame| &frame.payload[..])
    };
    let pongs: Vec<_> = payloads_of(0x8a).collect();
    let expected_pongs: Vec<_> = expect.pongs.iter().map(|payload| hex(payload)).collect();
    assert_eq!(pongs, expected_pongs, "{context}");

    let codes: Vec<_> = payloads_of(0x88)
        .map(|body| {
            let code = body.first_chunk::<2>();
            code.map(|code| u16::from_be_bytes(*code))
        })
        .collect();
    let closes = usize::from(expect.close.is_some());
    assert_eq!(codes.len(), expect.closes.unwrap_or(closes), "{context}");
    for code in codes {
        let acceptable = expect.close.as_ref().unwrap();
        assert!(acceptable.contains(&code), "{context}: {code:?}");
    }

    // What follows a Close or a broken rule is discarded; what follows legal frames is read.
    let late = frame(0x81, b"late", end.peer_key());
    end.reads(&late);
    end.reads(&frame(0x88, &[], end.peer_key()));
    if expect.close.is_some() {
        assert_eq!(end.messages.len(), delivered, "{context}");
        assert_eq!(frames(&end.output), sent, "{context}");
    } else {
        assert_eq!(end.messages.len(), delivered + 1, "{context}");
        assert_eq!(frames(&end.output).len(), sent.len() + 1, "{context}");
    }
}

/// The pieces between which a frame ends, as far as its header tells.
fn between_frames(mut wire: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while !wire.is_empty() {
        let (frame, rest) = wire.split_at(frame_len(wire).min(wire.len()));
        pieces.push(frame);
        wire = rest;
    }
    pieces
}

/// How long the frame at the start of `wire` says that it is, legal or not.
fn frame_len(wire: &[u8]) -> usize {
    let second = wire.get(1).copied().unwrap_or_default();
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let payload = match wire.get(2..2 + extended) {
        None => return wire.len(),
        Some([]) => u64::from(second & 0x7f),
        Some(len) => len.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    let key = if second >= 0x80 { 4 } else { 0 };
    let payload = usize::try_from(payload).unwrap_or(usize::MAX);
    payload.saturating_add(2 + extended + key)
}

/// A connection, what it left of its input, and what came of it.
struct End {
    connection: Connection,
    now: Instant,
    unread: Vec<u8>,
    assembler: MessageAssembler,
    messages: Vec<Message>,
    output: Vec<u8>,
}

impl End {
    fn of(record: &Record) -> Self {
        let role = match record.side.as_str() {
            "S" => Role::Server,
            _ => Role::Client,
        };
        let config = Config::new(role)
            .max_message(record.max_message)
            .max_fragments(record.max_fragments);
        let now = start();
        let connection = match role {
            Role::Client => Connection::client(config, Box::new(|| MaskingKey::new(KEY)), now),
            Role::Server => Connection::server(config, now),
        };
        Self {
            connection,
            now,
            unread: Vec::new(),
            assembler: MessageAssembler::default(),
            messages: Vec::new(),
            output: Vec::new(),
        }
    }

    fn peer_key(&self) -> Option<[u8; 4]> {
        (self.connection.role() == Role::Server).then_some(KEY)
    }

    fn reads(&mut self, piece: &[u8]) {
        self.unread.extend_from_slice(piece);
        let mut bytes = std::mem::take(&mut self.unread);
        let mut input = &mut bytes[..];
        // After an error there is one more call: it sends the Close.
        while let Some(event) = self.connection.receive(&mut input, self.now).transpose() {
            match event {
                Ok(Event::Text(text)) => self.messages.push(Message::text(text)),
                Ok(Event::Binary(bytes)) => self.messages.push(Message::from(bytes)),
                Ok(Event::MessageStart(kind)) => self.assembler.start(kind, Vec::new()),
                Ok(Event::Chunk(chunk)) => self.assembler.chunk(chunk),
                Ok(Event::MessageEnd) => {
                    let message: MessageBuffer = self.assembler.end().unwrap();
                    self.messages.push(message.into());
                }
                Ok(_) | Err(_) => {}
            }
        }
        self.unread = input.to_vec();
        let output = self.connection.output();
        let waiting = output.remaining();
        self.output.extend(output.copy_to_bytes(waiting));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
fn start() -> Instant {
    Instant::now()
}
