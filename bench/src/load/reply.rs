//! What has to come back, byte for byte or inflated.

use flate2::{Decompress, FlushDecompress};

use crate::Result;
use crate::message::{FIN, RSV1, TAIL};

/// Checks the replies of all connections.
pub(super) trait Replies {
    /// Takes what came on a connection, and says how many replies that completed.
    fn take(&mut self, connection: usize, bytes: &[u8]) -> Result<usize>;
}

/// Replies of one length, whose bytes are known.
pub(super) struct Exact {
    /// As many as can be read at once, and a round more, so that they are compared in one go.
    expected: Vec<u8>,
    reply: usize,
    round: usize,
    /// Which byte each connection waits for.
    at: Vec<usize>,
}

impl Exact {
    pub(super) fn new(replies: &[Vec<u8>], connections: usize, buffer: usize) -> Self {
        let round = replies.concat();
        let rounds = buffer.div_ceil(round.len()) + 1;
        let reply = round.len() / replies.len();
        assert!(replies.iter().all(|one| one.len() == reply), "one length");
        Self {
            expected: round.repeat(rounds),
            reply,
            round: round.len(),
            at: vec![0; connections],
        }
    }
}

impl Replies for Exact {
    fn take(&mut self, connection: usize, bytes: &[u8]) -> Result<usize> {
        let at = &mut self.at[connection];
        if self.expected[*at..*at + bytes.len()] != *bytes {
            return Err("a reply is not what it has to be".to_owned());
        }
        let complete = (*at % self.reply + bytes.len()) / self.reply;
        *at = (*at + bytes.len()) % self.round;
        Ok(complete)
    }
}

/// Replies that the server compressed, as it likes.
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

    /// Takes a frame.
    fn frame(&mut self, connection: usize, first: u8, end: usize, start: usize) -> Result<bool> {
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
        let payload = &connection.bytes[start..end];
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
            let Some((first, head, payload)) = header(bytes)? else {
                break;
            };
            let end = taken + head + payload;
            if self.connections[connection].bytes.len() < end {
                break;
            }
            complete += usize::from(self.frame(connection, first, end, taken + head)?);
            taken = end;
        }
        self.connections[connection].bytes.drain(..taken);
        Ok(complete)
    }
}

/// The first byte of a server's frame, the length of its header and that of its payload.
fn header(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>> {
    Ok(match *bytes {
        [first, length @ 0..=125, ..] => Some((first, 2, length.into())),
        [first, 126, a, b, ..] => Some((first, 4, u16::from_be_bytes([a, b]).into())),
        [_, 127..=255, ..] => return Err("a reply is masked, or of 64 KiB and more".to_owned()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;
    use crate::message::{Payload, compress, frame};

    fn take_in_parts(replies: &mut impl Replies, bytes: &[u8], part: usize) -> Result<usize> {
        let counts: Result<Vec<usize>> = bytes
            .chunks(part)
            .map(|bytes| replies.take(0, bytes))
            .collect();
        Ok(counts?.iter().sum())
    }

    #[test]
    fn replies_are_counted_however_they_are_cut() {
        let replies = [b"one".to_vec(), b"two".to_vec()];
        let stream = replies.concat().repeat(10);
        for part in 1..stream.len() {
            let mut exact = Exact::new(&replies, 1, stream.len());
            assert_eq!(take_in_parts(&mut exact, &stream, part), Ok(20));
        }
    }

    #[test]
    fn a_wrong_byte_and_a_wrong_order_are_faults() {
        let mut exact = Exact::new(&[b"one".to_vec(), b"two".to_vec()], 1, 64);
        assert!(exact.take(0, b"onx").is_err());
        let mut exact = Exact::new(&[b"one".to_vec(), b"two".to_vec()], 1, 64);
        assert!(exact.take(0, b"two").is_err());
    }

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
