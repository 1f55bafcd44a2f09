//! The messages of the loads, and their frames (RFC 6455 §5.2). Each has its number in it, so that one in
//! the place of another is seen.

use std::fmt::Write as _;

use flate2::{Compress, Compression, FlushCompress};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Binary,
    Ascii,
    /// Text of which every third character has two bytes.
    NonAscii,
    /// A page of trades, as an exchange sends them; of [`JSON_SIZE`] bytes, whatever size is asked for.
    Json,
}

impl Payload {
    /// The payload of a message. Its number, modulo 10,000, takes the place of four of its bytes.
    pub(crate) fn bytes(self, size: usize, number: usize) -> Vec<u8> {
        let mut bytes = match self {
            Self::Binary => (0..size).map(|i| (i * 31 + i / 256) as u8).collect(),
            Self::Ascii => (0..size).map(|i| b' ' + (i % 95) as u8).collect(),
            Self::NonAscii => {
                let mut text = "ab\u{e9}".repeat(size / 4);
                text.push_str(&"x".repeat(size % 4));
                text.into_bytes()
            }
            Self::Json => return trades(number).into_bytes(),
        };
        // Four bytes are whole characters in each of them.
        let number = format!("{:04}", number % 10_000);
        bytes[..4].copy_from_slice(number.as_bytes());
        bytes
    }

    /// The first byte of its frame.
    pub(crate) fn first_byte(self) -> u8 {
        match self {
            Self::Binary => FIN | BINARY,
            Self::Ascii | Self::NonAscii | Self::Json => FIN | TEXT,
        }
    }
}

pub(crate) const FIN: u8 = 0x80;
/// Says of a first frame that its message is compressed (RFC 7692 §6).
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const JSON_SIZE: usize = 1024;

/// The first byte of a frame that is not the first of its message.
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// What a client masks with. Servers cannot know that it is always the same.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame, masked where there is a key.
pub(crate) fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mask = if key.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        size @ 0..126 => frame.push(mask | size as u8),
        size @ 126..65_536 => {
            frame.push(mask | 126);
            frame.extend_from_slice(&(size as u16).to_be_bytes());
        }
        size => {
            frame.push(mask | 127);
            frame.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    let key = key.inspect(|key| frame.extend_from_slice(key));
    let key = key.unwrap_or_default();
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
    frame
}

/// Compresses as RFC 7692 §7.2.1 has it, as the first message of a connection.
pub(crate) fn compress(payload: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(payload.len() + 64);
    Compress::new(Compression::new(6), false)
        .compress_vec(payload, &mut compressed, FlushCompress::Sync)
        .expect("what is compressed may be anything");
    assert!(compressed.ends_with(&TAIL), "there is room for all of it");
    compressed.truncate(compressed.len() - TAIL.len());
    compressed
}

/// What a flush ends with, and a message lacks.
pub(crate) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

fn trades(number: usize) -> String {
    // A generator as small as can be: the same messages in each run.
    let mut state = number as u64 + 1;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005);
        state = state.wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut text = format!(
        "{{\"channel\":\"trades\",\"sequence\":{:06},\"sent\":\"2026-01-15T09:{:02}:{:02}.{:03}Z\",\"trades\":[",
        100_000 + number,
        next(60),
        next(60),
        next(1000)
    );
    for i in 0..TRADES {
        let comma = if i == 0 { "" } else { "," };
        let symbol = ["AUDUSD", "EURCHF", "EURUSD", "GBPUSD", "USDJPY"][next(5) as usize];
        let side = ["buy", "ask"][next(2) as usize];
        let _ = write!(
            text,
            "{comma}{{\"id\":{:08},\"symbol\":\"{symbol}\",\"side\":\"{side}\",\"price\":{}.{:05},\"size\":{:06},\"maker\":\"{:08x}\"}}",
            10_000_000 + number * TRADES + i,
            1 + next(9),
            next(100_000),
            100_000 + next(900_000),
            next(1 << 32),
        );
    }
    text.push_str("],\"note\":\"");
    let note = JSON_SIZE.saturating_sub(text.len() + 2);
    text.push_str(&"end of the page. ".repeat(JSON_SIZE)[..note]);
    text.push_str("\"}");
    text
}

const TRADES: usize = 9;

#[cfg(test)]
mod tests {
    use flate2::{Decompress, FlushDecompress};

    use super::*;

    #[test]
    fn a_frame_has_the_length_in_the_fewest_bytes() {
        let head = |size: usize| {
            let mut frame = frame(0x82, &vec![0; size], None);
            frame.truncate(frame.len() - size);
            frame
        };
        assert_eq!(head(125), [0x82, 125]);
        assert_eq!(head(126), [0x82, 126, 0, 126]);
        assert_eq!(head(65_535), [0x82, 126, 0xff, 0xff]);
        assert_eq!(head(65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_client_masks_as_the_rfc_shows() {
        let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(frame(0x81, b"Hello", Some(KEY)), masked);
    }

    #[test]
    fn texts_are_texts_of_the_size_that_is_asked_for() {
        for payload in [Payload::Ascii, Payload::NonAscii] {
            for size in [16, 64, 1024, 1 << 20] {
                let text = String::from_utf8(payload.bytes(size, 7)).unwrap();
                assert_eq!(text.len(), size);
                assert!(text.starts_with("0007"));
            }
        }
    }

    #[test]
    fn the_json_is_json_of_one_length_and_differs() {
        let of = |number| Payload::Json.bytes(0, number);
        for number in 0..64 {
            assert_eq!(of(number).len(), JSON_SIZE);
            serde_json::from_slice::<serde_json::Value>(&of(number)).unwrap();
        }
        assert_ne!(of(0), of(1));
    }

    #[test]
    fn what_is_compressed_inflates_with_the_tail_put_back() {
        let payload = Payload::Json.bytes(0, 3);
        let compressed = [compress(&payload), TAIL.to_vec()].concat();
        assert!(compressed.len() < payload.len());
        let mut inflated = Vec::with_capacity(4096);
        Decompress::new(false)
            .decompress_vec(&compressed, &mut inflated, FlushDecompress::Sync)
            .unwrap();
        assert_eq!(inflated, payload);
    }
}
