//! The byte-exact frames of the fixtures, legal and not, sent to a server and to a client.
//!
//! They are sent as a whole, byte by byte, and cut between frames. Short ones are also cut at each single place. To a
//! server they are sent masked as they are, by zeros, and by keys of no pattern. They are sent in three places:
//!
//! - On a fresh connection the record says what is expected.
//! - Behind a good message the same is expected, and that message is delivered before.
//! - Inside a fragmented message (RFC 6455 §5.4) the first frame decides. After a control frame or a broken header the
//!   same is expected as elsewhere. A text or binary frame breaks the sequence: 1002 is expected, whatever the frame
//!   would have been by itself, and nothing behind it counts. A continuation goes on with the message, where on a fresh
//!   connection there was no message.

use std::time::Instant;

use bytes::Buf;
use serde::Deserialize;
use sockeye_proto::handshake::Extension;
use sockeye_proto::{
    Config, Connection, DeflateConfig, DeflatePool, Event, MaskingKey, Message, MessageAssembler,
    MessageBuffer, Role,
};

use crate::wire::{Frame, KEY, frame, frames, hex};

#[derive(Deserialize)]
struct Record {
    id: String,
    note: String,
    /// `S` for bytes that a server reads, `C` for bytes that a client reads.
    side: String,
    /// The extension that was agreed on.
    ext: Option<String>,
    wire: String,
    max_message: u64,
    max_fragments: u32,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    /// Acceptable codes of the Close that is sent; `null` is one without a code. None: no Close.
    close: Option<Vec<Option<u16>>>,
    /// The number of Closes that are sent.
    closes: Option<usize>,
    /// The delivered messages: `text` and the text, or `bin` and hexadecimal.
    #[serde(default)]
    msgs: Vec<(String, String)>,
    /// The payloads of the Pongs that are sent, in hexadecimal.
    #[serde(default)]
    pongs: Vec<String>,
}

/// The place of a record's bytes.
#[derive(Clone, Copy, Debug)]
enum Place {
    Fresh,
    BehindMessage,
    InsideMessage,
}

/// The masking of the frames that a server reads.
#[derive(Clone, Copy, Debug)]
enum Mask {
    AsItIs,
    Zero,
    NoPattern,
}

/// The outcome of a record.
#[derive(Clone)]
struct Outcome {
    /// Acceptable codes of each Close; none: no Close.
    close: Option<Vec<Option<u16>>>,
    closes: usize,
    messages: Vec<Message>,
    pongs: Vec<Vec<u8>>,
    /// The bytes so far of a message that is open at the end.
    open: Option<Vec<u8>>,
}

#[test]
fn each_record_has_the_outcome_expected_of_it_wherever_it_stands_and_however_it_is_cut() {
    let records: Vec<Record> = [
        include_str!("../fixtures/frames.jsonl"),
        include_str!("../fixtures/deflate.jsonl"),
    ]
    .into_iter()
    .flat_map(str::lines)
    .map(|line| serde_json::from_str(line).unwrap())
    .collect();
    assert_eq!(records.len(), 170);

    for record in &records {
        let bytes = hex(&record.wire);
        for mask in [Mask::AsItIs, Mask::Zero, Mask::NoPattern] {
            let as_it_is = matches!(mask, Mask::AsItIs);
            if !as_it_is && record.side == "C" {
                continue;
            }
            let bytes = masked_by(mask, &bytes);
            for place in [Place::Fresh, Place::BehindMessage, Place::InsideMessage] {
                let judge = |cut: &str, pieces: &mut dyn Iterator<Item = &[u8]>| {
                    let Record { id, note, .. } = record;
                    let context = format!("{id} ({note}), {place:?}, {mask:?}, {cut}");
                    judge(record, place, pieces, &context);
                };
                judge("whole", &mut [&bytes[..]].into_iter());
                judge("byte by byte", &mut bytes.chunks(1));
                judge("between frames", &mut between_frames(&bytes).into_iter());
                if as_it_is && bytes.len() <= 200 {
                    for cut in 1..bytes.len() {
                        let (head, tail) = bytes.split_at(cut);
                        judge(&format!("cut at {cut}"), &mut [head, tail].into_iter());
                    }
                }
            }
        }
    }
}

fn judge(record: &Record, place: Place, pieces: &mut dyn Iterator<Item = &[u8]>, context: &str) {
    let mut end = End::of(record);
    end.reads(&before(place, end.peer_key()));
    for piece in pieces {
        end.reads(piece);
    }
    let delivered = end.messages.len();
    let expected = expected(record, place);
    assert_eq!(end.messages, expected.messages, "{context}");

    let sent = frames(&end.output);
    let masked = (end.connection.role() == Role::Client).then_some(KEY);
    assert!(sent.iter().all(|frame| frame.key == masked), "{context}");
    let payloads_of = |first| {
        let of_kind = sent.iter().filter(move |frame| frame.first == first);
        of_kind.map(|frame: &Frame| &frame.payload[..])
    };
    let pongs: Vec<_> = payloads_of(0x8a).collect();
    assert_eq!(pongs, expected.pongs, "{context}");

    let codes: Vec<_> = payloads_of(0x88)
        .map(|body| {
            let code = body.first_chunk::<2>();
            code.map(|code| u16::from_be_bytes(*code))
        })
        .collect();
    assert_eq!(codes.len(), expected.closes, "{context}");
    for code in codes {
        let acceptable = expected.close.as_ref().unwrap();
        assert!(acceptable.contains(&code), "{context}: {code:?}");
    }

    // Frames behind a Close or a broken rule are discarded. Frames behind legal frames are read.
    let first = if expected.open.is_some() { 0x80 } else { 0x81 };
    let late = frame(first, b"late", end.peer_key());
    end.reads(&late);
    end.reads(&frame(0x88, &[], end.peer_key()));
    if expected.close.is_some() {
        assert_eq!(end.messages.len(), delivered, "{context}");
        assert_eq!(frames(&end.output), sent, "{context}");
    } else {
        assert_eq!(end.messages.len(), delivered + 1, "{context}");
        let mut last = expected.open.unwrap_or_default();
        last.extend_from_slice(b"late");
        assert_eq!(end.messages[delivered].as_bytes(), last, "{context}");
        assert_eq!(frames(&end.output).len(), sent.len() + 1, "{context}");
    }
}

/// The bytes that are read before a record's bytes.
fn before(place: Place, key: Option<[u8; 4]>) -> Vec<u8> {
    match place {
        Place::Fresh => Vec::new(),
        Place::BehindMessage => frame(0x81, b"good", key),
        Place::InsideMessage => frame(0x02, b"begun", key),
    }
}

/// The expected outcome of a record in its place.
fn expected(record: &Record, place: Place) -> Outcome {
    let expect = &record.expect;
    let message = |(kind, payload): &(String, String)| match kind.as_str() {
        "text" => Message::text(payload.as_str()),
        _ => Message::binary(hex(payload)),
    };
    let closes = usize::from(expect.close.is_some());
    let mut fresh = Outcome {
        close: expect.close.clone(),
        closes: expect.closes.unwrap_or(closes),
        messages: expect.msgs.iter().map(message).collect(),
        pongs: expect.pongs.iter().map(|payload| hex(payload)).collect(),
        open: None,
    };
    let wire = hex(&record.wire);
    match (place, wire[0] & 0x0f) {
        (Place::Fresh, _) | (Place::InsideMessage, 3..) => fresh,
        (Place::BehindMessage, _) => {
            fresh.messages.insert(0, Message::text("good"));
            fresh
        }
        (Place::InsideMessage, 1 | 2) => Outcome {
            close: Some(vec![Some(1002)]),
            closes: 1,
            messages: Vec::new(),
            pongs: Vec::new(),
            open: None,
        },
        (Place::InsideMessage, _) => {
            assert_eq!(fresh.close, Some(vec![Some(1002)]), "none was open");
            let sent = between_frames(&wire);
            assert_eq!(sent.len(), 1, "{}: one frame, as yet", record.id);
            let payload = [b"begun", &payload_of(sent[0])[..]].concat();
            let fin = wire[0] & 0x80 != 0;
            Outcome {
                close: None,
                closes: 0,
                messages: fin
                    .then(|| Message::binary(payload.clone()))
                    .into_iter()
                    .collect(),
                pongs: Vec::new(),
                open: (!fin).then_some(payload),
            }
        }
    }
}

/// The payload of one whole and legal frame.
fn payload_of(bytes: &[u8]) -> Vec<u8> {
    frames(bytes).remove(0).payload
}

/// The same frames, legal or not, by other keys: as far as a header is there, and says that it has one.
fn masked_by(mask: Mask, wire: &[u8]) -> Vec<u8> {
    let mut wire = wire.to_vec();
    let lens: Vec<usize> = between_frames(&wire).iter().map(|f| f.len()).collect();
    let mut rest = &mut wire[..];
    // Weyl's sequence: no two frames have a key in common.
    let mut pattern = 0x9e37_79b9_u32;
    for len in lens {
        let (frame, behind) = std::mem::take(&mut rest).split_at_mut(len);
        rest = behind;
        pattern = pattern.wrapping_add(0x9e37_79b9);
        let new = match mask {
            Mask::AsItIs => continue,
            Mask::Zero => [0; 4],
            Mask::NoPattern => pattern.to_be_bytes(),
        };
        let second = frame.get(1).copied().unwrap_or_default();
        let Some((key, payload)) = frame
            .get_mut(2 + extended_len(second)..)
            .filter(|_| second >= 0x80)
            .and_then(|rest| rest.split_first_chunk_mut::<4>())
        else {
            continue;
        };
        let change = key.iter().zip(new).map(|(old, new)| old ^ new);
        for (byte, change) in payload
            .iter_mut()
            .zip(change.collect::<Vec<_>>().iter().cycle())
        {
            *byte ^= change;
        }
        *key = new;
    }
    wire
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

/// The length that the frame at the start of `wire` announces, legal or not.
fn frame_len(wire: &[u8]) -> usize {
    let second = wire.get(1).copied().unwrap_or_default();
    let extended = extended_len(second);
    let payload = match wire.get(2..2 + extended) {
        None => return wire.len(),
        Some([]) => u64::from(second & 0x7f),
        Some(len) => len.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    let key = if second >= 0x80 { 4 } else { 0 };
    let payload = usize::try_from(payload).unwrap_or(usize::MAX);
    payload.saturating_add(2 + extended + key)
}

/// The number of length bytes that follow the second byte of a header.
fn extended_len(second: u8) -> usize {
    match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    }
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
        let connection = match &record.ext {
            None => connection,
            Some(ext) => {
                let config = DeflateConfig::default().context_takeover(true);
                let mut parts = ext.split("; ");
                let name = Extension::new(parts.next().unwrap()).unwrap();
                let offer = parts.fold(name, |offer, param| offer.with_param(param, None).unwrap());
                let (params, _) = config.answer(&[offer]).unwrap();
                connection.with_deflate(params, &config, DeflatePool::default())
            }
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
        loop {
            let mut input = &mut bytes[..];
            let mut room = [0; 256];
            let event = self
                .connection
                .receive_inflating(&mut input, &mut room, self.now);
            let left = input.len();
            match event {
                Ok(None) => {
                    self.unread = bytes.split_off(bytes.len() - left);
                    break;
                }
                Ok(Some(Event::Text(text))) => self.messages.push(Message::text(text)),
                Ok(Some(Event::Binary(bytes))) => self.messages.push(Message::from(bytes)),
                Ok(Some(Event::MessageStart(kind))) => self.assembler.start(kind, Vec::new()),
                Ok(Some(Event::Chunk(chunk))) => self.assembler.chunk(chunk),
                Ok(Some(Event::MessageEnd)) => {
                    let message: MessageBuffer = self.assembler.end().unwrap();
                    self.messages.push(message.into());
                }
                // After an error there is one more call: it sends the Close.
                Ok(Some(_)) | Err(_) => {}
            }
            bytes.drain(..bytes.len() - left);
        }
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
