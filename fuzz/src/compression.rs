//! permessage-deflate (RFC 7692) both ways: payloads that a peer may send, and messages that are to
//! arrive whatever was agreed on.

use arbitrary::{Arbitrary, Unstructured};
use sockeye_proto::{
    Cause, DeflateConfig, DeflateParams, Message, MessageBuffer, Role, WindowBits,
};
use zlib_rs::{Inflate, InflateFlush};

use crate::end::{End, Seen, Setup};
use crate::wire::frame;

/// The payload of compressed messages, as a server may send it. The first byte sets the client up and says
/// when it rests, the second says where frames end, the third where messages do, the fourth where reads do.
pub fn inflate(data: &[u8]) {
    let Some((&[bits, frame_len, frames, step], payload)) = data.split_first_chunk::<4>() else {
        return;
    };
    let mut wire = Vec::new();
    let mut first = 0x40 | if bits & 1 != 0 { 0x01 } else { 0x02 };
    let mut pieces = payload
        .chunks(usize::from(frame_len).max(1))
        .enumerate()
        .peekable();
    while let Some((i, piece)) = pieces.next() {
        let last = pieces.peek().is_none() || (i + 1) % usize::from(frames).max(1) == 0;
        let fin = if last { 0x80 } else { 0 };
        wire.extend(frame(fin | first, piece, None));
        first = if last { 0x40 | 0x02 } else { 0 };
    }
    let mut params = DeflateParams::default();
    params.server_no_context_takeover = bits & 2 != 0;
    let mut setup = Setup::new(Role::Client);
    setup.deflate = Some((params, DeflateConfig::default()));
    // A long message comes in chunks of more than a byte each.
    let (limit, unit) = if bits & 4 != 0 {
        (300, 1)
    } else {
        (70_000, 16)
    };
    setup.max_message = limit;

    // What arrives does not depend on how much is shown at once, how much room there is, and who rests.
    let outcomes = [
        (0, 70_100, 0),
        (step, 4096, bits >> 3),
        (0, unit * usize::from(step).max(1), 0xff),
    ]
    .map(|(step, room, rests)| {
        let mut end = End::new(Setup {
            room,
            rests,
            ..setup.clone()
        });
        end.reads(&wire, [step]);
        let failed = end.connection.failure().is_some();
        let messages = end.seen.into_iter().filter(|seen| !seen.is_end());
        (failed, messages.collect::<Vec<_>>())
    });
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);
}

/// Messages to be compressed, by any parameters.
pub fn deflate(data: &[u8]) {
    let Ok(input) = Compressed::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let bits = |bits: u8| WindowBits::new(8 + bits % 8).unwrap();
    let mut params = DeflateParams::default();
    params.server_no_context_takeover = input.server_no_takeover;
    params.client_no_context_takeover = input.client_no_takeover;
    params.server_max_window_bits = bits(input.server_bits);
    params.client_max_window_bits = bits(input.client_bits);
    let config = DeflateConfig::default()
        .threshold(usize::from(input.threshold))
        .level(input.level % 16);
    let (from, to) = if input.from_client {
        (Role::Client, Role::Server)
    } else {
        (Role::Server, Role::Client)
    };
    let setup = |role| Setup {
        deflate: Some((params, config.clone())),
        room: usize::from(input.room).max(1),
        rests: input.level / 16,
        ..Setup::new(role)
    };
    let (mut from, mut to) = (End::new(setup(from)), End::new(setup(to)));
    let messages: Vec<Vec<u8>> = input
        .messages
        .iter()
        .take(MAX_MESSAGES)
        .map(|parts| payload(parts))
        .collect();
    for message in &messages {
        let message = Message::from(&message[..]);
        from.connection.send_message(&message, Cause::Push).unwrap();
        from.pushed();
    }
    from.writes(usize::MAX);

    let (window, no_takeover) = if input.from_client {
        (
            params.client_max_window_bits,
            params.client_no_context_takeover,
        )
    } else {
        (
            params.server_max_window_bits,
            params.server_no_context_takeover,
        )
    };
    let mut reader = Reader::new(window, no_takeover);
    let sent = from.legal_output();
    assert_eq!(sent.len(), messages.len());
    for (frame, message) in sent.iter().zip(&messages) {
        if frame.first & 0x40 == 0 {
            assert_eq!(frame.payload, *message);
        } else {
            assert_eq!(reader.inflate(&frame.payload, message.len()), *message);
        }
    }

    to.reads(&from.output, input.steps.iter().copied());
    let received = messages
        .into_iter()
        .map(|message| Seen::Message(MessageBuffer::Binary(message)));
    assert!(to.seen.iter().cloned().eq(received));
}

#[derive(Arbitrary, Debug)]
struct Compressed {
    from_client: bool,
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: u8,
    client_bits: u8,
    threshold: u8,
    /// In its upper half when the ends rest.
    level: u8,
    room: u16,
    steps: Vec<u8>,
    messages: Vec<Vec<Part>>,
}

#[derive(Arbitrary, Debug)]
enum Part {
    Bytes(Vec<u8>),
    /// What stands this far back, this many times.
    Again(u16, u8),
    Run(u8, u16),
}

fn payload(parts: &[Part]) -> Vec<u8> {
    let mut payload = Vec::new();
    for part in parts {
        match part {
            Part::Bytes(bytes) => payload.extend_from_slice(bytes),
            Part::Again(back, times) => {
                let from = payload.len().saturating_sub(usize::from(*back));
                let again = payload[from..].repeat(usize::from(*times % 8));
                payload.extend_from_slice(&again);
            }
            Part::Run(byte, len) => payload.extend(vec![*byte; usize::from(*len % 3000)]),
        }
        payload.truncate(MAX_PAYLOAD);
    }
    payload
}

/// A receiver without any of Sockeye's code, and with no larger a window than was agreed on.
struct Reader {
    state: Inflate,
    no_takeover: bool,
}

impl Reader {
    fn new(window: WindowBits, no_takeover: bool) -> Self {
        Self {
            state: Inflate::new(false, window.get()),
            no_takeover,
        }
    }

    fn inflate(&mut self, payload: &[u8], len: usize) -> Vec<u8> {
        // RFC 7692 §7.2.2: the four bytes that the sender cut off come back.
        let payload = [payload, &[0, 0, 0xff, 0xff]].concat();
        let mut out = vec![0; len + 1];
        let before = self.state.total_out();
        self.state
            .decompress(&payload, &mut out, InflateFlush::SyncFlush)
            .unwrap();
        out.truncate(usize::try_from(self.state.total_out() - before).unwrap());
        if self.no_takeover {
            self.state.reset(false);
        }
        out
    }
}

/// More than a window.
const MAX_PAYLOAD: usize = 40_000;
const MAX_MESSAGES: usize = 6;
