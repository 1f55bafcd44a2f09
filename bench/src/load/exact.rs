//! Replies whose bytes are known. What comes is compared in one go, unless the server sent a message in
//! fragments.

use crate::Result;
use crate::message::FIN;

use super::reply::{Header, Replies};

/// Replies of one length.
pub(super) struct Exact {
    /// As many as can be read at once, and a round more.
    expected: Vec<u8>,
    reply: usize,
    round: usize,
    connections: Vec<Connection>,
}

#[derive(Clone, Default)]
struct Connection {
    /// Which byte it waits for.
    at: usize,
    /// Where it is in a message that comes in fragments. Then `at` is where that message begins.
    fragments: Option<Box<Fragments>>,
}

#[derive(Clone, Default)]
struct Fragments {
    /// Of a header that is not whole.
    header: Vec<u8>,
    begun: bool,
    last: bool,
    /// How much of the fragment's payload is still to come.
    left: usize,
    /// How much of the message's payload has come.
    received: usize,
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
            connections: vec![Connection::default(); connections],
        }
    }

    /// Takes what is as expected, and says how much of it there is.
    fn compare(&mut self, connection: usize, bytes: &[u8]) -> (usize, usize) {
        let at = &mut self.connections[connection].at;
        let expected = &self.expected[*at..*at + bytes.len()];
        let same = if expected == bytes {
            bytes.len()
        } else {
            let pairs = expected.iter().zip(bytes);
            pairs
                .take_while(|(expected, byte)| expected == byte)
                .count()
        };
        let complete = (*at % self.reply + same) / self.reply;
        *at = (*at + same) % self.round;
        (same, complete)
    }

    /// Takes bytes of a message in fragments; says how many, and whether it is complete.
    fn assemble(&mut self, connection: usize, bytes: &[u8]) -> Result<(usize, bool)> {
        let Connection { at, fragments } = &mut self.connections[connection];
        let message = &self.expected[*at..*at + self.reply];
        let header = Header::parse(message)?.ok_or("a reply has a header")?;
        let fragments = fragments.get_or_insert_default();
        let taken = fragments.take(bytes, header.first, &message[header.len..])?;
        let complete = fragments.last && fragments.left == 0;
        if complete {
            self.connections[connection].fragments = None;
            let at = &mut self.connections[connection].at;
            *at = (*at + self.reply) % self.round;
        }
        Ok((taken, complete))
    }
}

impl Replies for Exact {
    fn take(&mut self, connection: usize, mut bytes: &[u8]) -> Result<usize> {
        let mut complete = 0;
        while !bytes.is_empty() {
            if self.connections[connection].fragments.is_none() {
                let (same, replies) = self.compare(connection, bytes);
                complete += replies;
                bytes = &bytes[same..];
                if bytes.is_empty() {
                    break;
                }
                if !self.connections[connection].at.is_multiple_of(self.reply) {
                    return Err(DIFFERS.to_owned());
                }
            }
            let (taken, ends) = self.assemble(connection, bytes)?;
            bytes = &bytes[taken..];
            complete += usize::from(ends);
        }
        Ok(complete)
    }
}

impl Fragments {
    /// Takes the rest of a header, or of a payload.
    fn take(&mut self, bytes: &[u8], first: u8, payload: &[u8]) -> Result<usize> {
        if self.left == 0 {
            self.header.push(bytes[0]);
            if let Some(header) = Header::parse(&self.header)? {
                let expected = if self.begun { 0 } else { first & !FIN };
                self.last = header.first & FIN != 0;
                let is_whole = self.last && !self.begun;
                let is_longer = header.payload > payload.len() - self.received;
                let is_short = self.last && self.received + header.payload < payload.len();
                if header.first & !FIN != expected || is_whole || is_longer || is_short {
                    return Err(DIFFERS.to_owned());
                }
                self.begun = true;
                self.left = header.payload;
                self.header.clear();
            }
            return Ok(1);
        }
        let taken = self.left.min(bytes.len());
        if bytes[..taken] != payload[self.received..self.received + taken] {
            return Err(DIFFERS.to_owned());
        }
        self.left -= taken;
        self.received += taken;
        Ok(taken)
    }
}

const DIFFERS: &str = "a reply is not what it has to be";

#[cfg(test)]
mod tests {
    use super::super::reply::tests::take_in_parts;
    use super::*;
    use crate::message::frame;

    fn replies() -> [Vec<u8>; 2] {
        [frame(0x81, b"one", None), frame(0x81, b"two", None)]
    }

    fn exact() -> Exact {
        Exact::new(&replies(), 1, 256)
    }

    #[test]
    fn replies_are_counted_however_they_are_cut() {
        let stream = replies().concat().repeat(10);
        for part in 1..stream.len() {
            assert_eq!(take_in_parts(&mut exact(), &stream, part), Ok(20));
        }
    }

    #[test]
    fn a_message_may_come_in_fragments() {
        let fragments: [(u8, &[u8]); 4] = [(0x01, b""), (0x00, b"tw"), (0x00, b"o"), (0x80, b"")];
        let fragments = fragments.map(|(first, payload)| frame(first, payload, None));
        let [one, two] = replies();
        let stream = [&one[..], &fragments.concat(), &one, &two].concat();
        for part in 1..stream.len() {
            assert_eq!(take_in_parts(&mut exact(), &stream, part), Ok(4));
        }
    }

    #[test]
    fn fragments_of_something_else_are_a_fault() {
        let fault = |fragments: &[(u8, &[u8])]| {
            let fragments = fragments.iter();
            let stream = fragments.flat_map(|(first, payload)| frame(*first, payload, None));
            exact().take(0, &stream.collect::<Vec<_>>()).is_err()
        };
        assert!(!fault(&[(0x01, b"on"), (0x80, b"e")]));
        assert!(fault(&[(0x01, b"on"), (0x80, b"x")]), "other bytes");
        assert!(fault(&[(0x01, b"on"), (0x80, b"")]), "too short");
        assert!(fault(&[(0x01, b"on"), (0x80, b"ee")]), "too long");
        assert!(fault(&[(0x02, b"on"), (0x80, b"e")]), "another kind");
        assert!(fault(&[(0x01, b"on"), (0x81, b"e")]), "no continuation");
    }

    #[test]
    fn a_wrong_byte_and_a_wrong_order_are_faults() {
        assert!(exact().take(0, &frame(0x81, b"onx", None)).is_err());
        assert!(exact().take(0, &frame(0x81, b"two", None)).is_err());
        assert!(exact().take(0, &frame(0x82, b"one", None)).is_err());
        assert!(exact().take(0, &frame(0x81, b"o", None)).is_err());
    }
}
