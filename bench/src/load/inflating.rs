//! Replies that the server compressed, as it likes: they have to inflate to what was sent.

use std::ops::Range;

use flate2::{Decompress, FlushDecompress};

use crate::Result;
use crate::message::{FIN, RSV1, TAIL};

use super::reply::{Header, Replies};

pub(super) struct Inflating {
    payloads: Vec<Vec<u8>>,
    first_byte: u8,
    takeover: bool,
    connections: Vec<Connection>,
    inflated: Vec<u8>,
}

struct Connection {
    inflater: Decompress,
    /// Of frames that are not whole.
    bytes: Vec<u8>,
    /// Of a message that is not whole.
    message: Vec<u8>,
    /// Which payload is the next.
    next: usize,
}

impl Inflating {
    pub(super) fn new(
        payloads: Vec<Vec<u8>>,
        first_byte: u8,
        takeover: bool,
        connections: usize,
    ) -> Self {
        let connection = || Connection {
            inflater: Decompress::new(false),
            bytes: Vec::new(),
            message: Vec::new(),
            next: 0,
        };
        let longest = payloads.iter().map(Vec::len).max().unwrap_or_default();
        Self {
            payloads,
            first_byte,
            takeover,
            connections: (0..connections).map(|_| connection()).collect(),
            // A byte more, so that too much is seen.
            inflated: Vec::with_capacity(longest + 1),
        }
    }

    /// Takes a frame, and says whether a message ends with it.
    fn frame(&mut self, connection: usize, first: u8, payload: Range<usize>) -> Result<bool> {
        let connection = &mut self.connections[connection];
        let begun = !connection.message.is_empty();
        let expected = if begun {
            0
        } else {
            self.first_byte & !FIN | RSV1
        };
        if first & !FIN != expected {
            let why = format!("a frame begins with {first:#04x}, and has to with {expected:#04x}");
            return Err(why);
        }
        let payload = &connection.bytes[payload];
        connection.message.extend_from_slice(payload);
        if first & FIN == 0 {
            return Ok(false);
        }
        connection.message.extend_from_slice(&TAIL);
        if !self.takeover {
            connection.inflater.reset(false);
        }
        self.inflated.clear();
        connection
            .inflater
            .decompress_vec(
                &connection.message,
                &mut self.inflated,
                FlushDecompress::Sync,
            )
            .map_err(|error| format!("a reply cannot be inflated: {error}"))?;
        connection.message.clear();
        if self.inflated != self.payloads[connection.next] {
            return Err("a reply inflates to something else than was sent".to_owned());
        }
        connection.next = (connection.next + 1) % self.payloads.len();
        Ok(true)
    }
}

impl Replies for Inflating {
    fn take(&mut self, connection: usize, bytes: &[u8]) -> Result<usize> {
        self.connections[connection].bytes.extend_from_slice(bytes);
        let mut complete = 0;
        let mut taken = 0;
        loop {
            let bytes = &self.connections[connection].bytes[taken..];
            let Some(header) = Header::parse(bytes)? else {
                break;
            };
            let start = taken + header.len;
            let end = start + header.payload;
            if self.connections[connection].bytes.len() < end {
                break;
            }
            complete += usize::from(self.frame(connection, header.first, start..end)?);
            taken = end;
        }
        self.connections[connection].bytes.drain(..taken);
        Ok(complete)
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::super::reply::tests::take_in_parts;
    use super::*;
    use crate::message::{Payload, compress, frame};

    fn payloads() -> Vec<Vec<u8>> {
        (0..4)
            .map(|number| Payload::Json.bytes(0, number))
            .collect()
    }

    fn inflating(takeover: bool) -> Inflating {
        Inflating::new(payloads(), 0x81, takeover, 1)
    }

    #[test]
    fn replies_without_takeover_are_inflated_each_for_itself() {
        let frames = payloads().into_iter().cycle().take(9);
        let frames = frames.map(|payload| frame(0xc1, &compress(&payload), None));
        let stream: Vec<u8> = frames.flatten().collect();
        for part in [1, 7, 1000, stream.len()] {
            assert_eq!(take_in_parts(&mut inflating(false), &stream, part), Ok(9));
        }
    }

    #[test]
    fn replies_with_takeover_are_inflated_with_what_came_before() {
        let mut deflater = Compress::new(Compression::new(6), false);
        let mut stream = Vec::new();
        for payload in payloads().iter().cycle().take(9) {
            let mut compressed = Vec::with_capacity(2048);
            deflater
                .compress_vec(payload, &mut compressed, FlushCompress::Sync)
                .unwrap();
            compressed.truncate(compressed.len() - TAIL.len());
            // In two fragments.
            stream.extend(frame(0x41, &compressed[..9], None));
            stream.extend(frame(0x80, &compressed[9..], None));
        }
        assert_eq!(take_in_parts(&mut inflating(true), &stream, 100), Ok(9));
        assert!(take_in_parts(&mut inflating(false), &stream, 100).is_err());
    }

    #[test]
    fn a_reply_that_is_not_compressed_or_says_something_else_is_a_fault() {
        let payloads = payloads();
        let plain = frame(0x81, &payloads[0], None);
        assert!(inflating(false).take(0, &plain).is_err());
        let other = frame(0xc1, &compress(&payloads[1]), None);
        assert!(inflating(false).take(0, &other).is_err());
    }
}
