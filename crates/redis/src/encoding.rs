//! The bytes of messages on the feed and in streams, of signals and of beats. It takes any bytes, and never panics.
//!
//! ```text
//!   topic's channel   "1 " epoch:offset:id " " previous LF body    with history; previous is 0 for the first message
//!                     "0 " id LF body                              without history
//!                     "2 " node LF                                 the members of the topic have changed on this node
//!   body              one byte of flags, then the payload          the field d of a stream's entry, too
//!   signals           16 digits of the sending node " " payload
//!   beats             nonce ":" count
//! ```

use std::io::Write as _;

use bytes::Bytes;
use sockeye_proto::{Message, Text};
use sockeye_pubsub::engine::NodeId;
use sockeye_pubsub::{Body, Delivered, Entry, MessageId, Position};
use thiserror::Error;

use crate::layout::NodeText;

/// What the channel of a topic brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FeedMessage {
    Delivered(Delivered),
    /// The members of the topic have changed on this node.
    Stir(NodeId),
}

/// A beat, as it comes back on the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beat {
    /// What the node has drawn for this beat.
    pub(crate) nonce: u64,
    /// The server's number of this beat.
    pub(crate) count: u64,
}

/// An error: bytes on a channel or in a stream are not of this engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a message of this engine")]
pub(crate) struct Malformed;

impl FeedMessage {
    /// Reads what came on the channel of a topic. The payload is not copied.
    pub(crate) fn read(bytes: &Bytes) -> Result<Self, Malformed> {
        let searched = bytes.get(..LONGEST_HEADER).unwrap_or(bytes);
        let end = searched.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or(Malformed)?;
        let header = std::str::from_utf8(searched.get(..end).ok_or(Malformed)?);
        let body = || read_body(bytes.slice(end + 1..));
        let header = header.map_err(|_| Malformed)?;
        let delivered = match header.split_once(' ') {
            Some(("1", rest)) => {
                let (position, previous) = rest.split_once(' ').ok_or(Malformed)?;
                Delivered::Entry(Entry {
                    position: read_position(position)?,
                    previous: read_id(previous)?,
                    body: body()?,
                })
            }
            Some(("0", id)) => Delivered::Unstored {
                id: read_id(id)?.ok_or(Malformed)?,
                body: body()?,
            },
            Some(("2", node)) if bytes.len() == end + 1 => {
                return Ok(Self::Stir(NodeText::parse(node).ok_or(Malformed)?));
            }
            _ => return Err(Malformed),
        };
        Ok(Self::Delivered(delivered))
    }
}

impl Beat {
    /// Reads what came on the channel of beats.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed)?;
        let (nonce, count) = text.split_once(':').ok_or(Malformed)?;
        let number = |text: &str| text.parse().map_err(|_| Malformed);
        Ok(Self {
            nonce: number(nonce)?,
            count: number(count)?,
        })
    }
}

/// Writes a message of a topic without history, as its channel carries it.
pub(crate) fn unstored(id: MessageId, body: &Body) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(15 + body.len());
    // Writing into memory does not fail.
    let _ = writeln!(bytes, "0 {id}");
    write_body(body, &mut bytes);
    bytes
}

/// Writes that the members of a topic have changed on a node.
pub(crate) fn stir(node: NodeId) -> Vec<u8> {
    format!("2 {}\n", NodeText(node)).into_bytes()
}

/// Returns the bytes of a message's content: flags, then the payload.
pub(crate) fn body(body: &Body) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + body.len());
    write_body(body, &mut bytes);
    bytes
}

/// Reads the bytes of a message's content. The payload is not copied.
pub(crate) fn read_body(mut bytes: Bytes) -> Result<Body, Malformed> {
    let flags = *bytes.first().ok_or(Malformed)?;
    if flags & !(BINARY | UNCOMPRESSED) != 0 {
        return Err(Malformed);
    }
    let payload = bytes.split_off(1);
    let message = if flags & BINARY == 0 {
        Message::Text(Text::from_utf8(payload).map_err(|_| Malformed)?)
    } else {
        Message::Binary(payload)
    };
    Ok(Body {
        message,
        compressible: flags & UNCOMPRESSED == 0,
    })
}

/// Reads the position of a message: not the one before the first.
pub(crate) fn read_position(text: &str) -> Result<Position, Malformed> {
    match text.parse::<Position>() {
        Ok(position) if position.id.is_some() => Ok(position),
        _ => Err(Malformed),
    }
}

/// Reads the id of a message, or `0`, which stands before the first message.
pub(crate) fn read_id(text: &str) -> Result<Option<MessageId>, Malformed> {
    match text {
        "0" => Ok(None),
        text => text.parse().map(Some).map_err(|_| Malformed),
    }
}

/// Writes a signal of a node.
pub(crate) fn signal(from: NodeId, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(17 + payload.len());
    let _ = write!(bytes, "{} ", NodeText(from));
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads a signal: the node that sent it, and the payload.
pub(crate) fn read_signal(bytes: &Bytes) -> Result<(NodeId, Bytes), Malformed> {
    let (node, rest) = bytes.split_at_checked(16).ok_or(Malformed)?;
    let node = std::str::from_utf8(node).ok().and_then(NodeText::parse);
    match (node, rest.first()) {
        (Some(node), Some(b' ')) => Ok((node, bytes.slice(17..))),
        _ => Err(Malformed),
    }
}

fn write_body(body: &Body, bytes: &mut Vec<u8>) {
    let kind = match body.message {
        Message::Text(_) => 0,
        Message::Binary(_) => BINARY,
    };
    let compression = if body.compressible { 0 } else { UNCOMPRESSED };
    bytes.push(kind | compression);
    bytes.extend_from_slice(body.message.as_bytes());
}

/// A flag of a body: the message is binary, not text.
const BINARY: u8 = 1;
/// A flag of a body: connections do not compress the message.
const UNCOMPRESSED: u8 = 2;

/// No header with its line feed is longer: `1 `, a position of at most 44 bytes, and ` ` with an id of 11.
const LONGEST_HEADER: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sockeye_pubsub::Epoch;

    use super::*;

    fn text(text: &str) -> Body {
        Body {
            message: Message::text(text),
            compressible: true,
        }
    }

    fn read(bytes: &'static [u8]) -> Result<FeedMessage, Malformed> {
        FeedMessage::read(&Bytes::from_static(bytes))
    }

    #[test]
    fn the_bytes_of_the_feed_are_these() {
        let id = MessageId::new(u64::MAX);
        assert_eq!(unstored(id, &text("a\nb")), b"0 __________8\n\0a\nb");
        let position = Position::start(Epoch::new(1)).next(id);
        let entry = Entry {
            position,
            previous: None,
            body: text("é"),
        };
        let entry = FeedMessage::Delivered(Delivered::Entry(entry));
        let bytes = b"1 AAAAAAAAAAE:1:__________8 0\n\0\xc3\xa9";
        assert_eq!(read(bytes), Ok(entry));
        let stir = FeedMessage::Stir(NodeId(0xab));
        assert_eq!(read(b"2 00000000000000ab\n"), Ok(stir));
        assert_eq!(signal(NodeId(0xab), b"x y"), b"00000000000000ab x y");
        let beat = Beat {
            nonce: 7,
            count: 12,
        };
        assert_eq!(Beat::read(b"7:12"), Ok(beat));
    }

    #[test]
    fn each_flag_has_its_bit() {
        for (bytes, compressible, is_text) in [
            (b"\0x", true, true),
            (b"\x01x", true, false),
            (b"\x02x", false, true),
            (b"\x03x", false, false),
        ] {
            let read = read_body(Bytes::from_static(bytes)).unwrap();
            assert_eq!(read.compressible, compressible);
            assert_eq!(read.message.as_text().is_some(), is_text);
            assert_eq!(body(&read), bytes);
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [
            b"".as_slice(),
            b"\n",
            b"0",
            b"0 __________8",
            b"0 __________8\n",
            b"0 0\n\0a",
            b"0 __________8\n\x04a",
            b"0 __________8\n\0\xff",
            b"1 AAAAAAAAAAE:0:0 0\n\0a",
            b"1 AAAAAAAAAAE:1:__________8\n\0a",
            b"1 AAAAAAAAAAE:1:__________8 1\n\0a",
            b"2\n",
            b"2 00000000000000ab\na",
            b"2 \n",
            b"3 __________8\n\0a",
            b"\xff \n\0a",
        ] {
            assert_eq!(read(bytes), Err(Malformed), "{}", bytes.escape_ascii());
        }
        for bytes in [b"".as_slice(), b"1", b"1:", b":1", b"-1:1", b"\xff:1"] {
            assert_eq!(Beat::read(bytes), Err(Malformed));
        }
        for bytes in [b"".as_slice(), b"00000000000000ab", b"00000000000000abx"] {
            assert_eq!(read_signal(&Bytes::from_static(bytes)), Err(Malformed));
        }
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(
            id: u64, epoch: u64, offset in 1..u64::MAX, previous: Option<u64>,
            payload: Vec<u8>, words: String, is_text: bool, compressible: bool,
        ) {
            let message = if is_text { Message::text(words) } else { Message::binary(payload) };
            let content = Body { message, compressible };
            let id = MessageId::new(id);
            let bytes = unstored(id, &content).into();
            let unstored = Delivered::Unstored { id, body: content.clone() };
            prop_assert_eq!(FeedMessage::read(&bytes), Ok(FeedMessage::Delivered(unstored)));

            let previous = previous.map(MessageId::new);
            let position = Position { epoch: Epoch::new(epoch), offset, id: Some(id) };
            let mut bytes = match previous {
                Some(previous) => format!("1 {position} {previous}\n"),
                None => format!("1 {position} 0\n"),
            }.into_bytes();
            bytes.extend(body(&content));
            let entry = Delivered::Entry(Entry { position, previous, body: content });
            let read = FeedMessage::read(&bytes.into());
            prop_assert_eq!(read, Ok(FeedMessage::Delivered(entry)));
        }

        #[test]
        fn a_signal_is_read_as_it_was_written(node: u64, payload: Vec<u8>) {
            let bytes = signal(NodeId(node), &payload).into();
            prop_assert_eq!(read_signal(&bytes), Ok((NodeId(node), payload.into())));
        }

        #[test]
        fn no_bytes_are_too_strange(
            start in "[012]? ?[A-Za-z_0:9 -]{0,60}\n?", rest: Vec<u8>
        ) {
            let mut bytes = start.into_bytes();
            bytes.extend(rest);
            let _ = Beat::read(&bytes);
            let bytes = Bytes::from(bytes);
            let _ = (FeedMessage::read(&bytes), read_signal(&bytes), read_body(bytes));
        }
    }
}
