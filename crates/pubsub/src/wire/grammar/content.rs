//! The content of a frame or of its body, borrowed.

use bytes::Bytes;
use sockeye_proto::{Message, MessageKind, Outgoing, Text};

/// The content of a frame or of a body: text or bytes, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the data opcodes of RFC 6455")]
pub enum Content<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

impl<'a> Content<'a> {
    /// Returns whether the content is text or binary.
    pub fn kind(self) -> MessageKind {
        match self {
            Self::Text(_) => MessageKind::Text,
            Self::Binary(_) => MessageKind::Binary,
        }
    }

    /// Returns the bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Returns the text; `None` for bytes.
    pub fn as_text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Returns a copy of the content as a message.
    pub fn to_message(self) -> Message {
        match self {
            Self::Text(text) => Message::text(text),
            Self::Binary(bytes) => Message::from(bytes),
        }
    }

    /// Makes a frame of a header without its line feed, and this content as the body. Allocates once.
    pub(super) fn framed(self, header: &str) -> Message {
        let len = header.len() + 1 + self.as_bytes().len();
        match self {
            Self::Text(body) => {
                let mut frame = String::with_capacity(len);
                frame.push_str(header);
                frame.push('\n');
                frame.push_str(body);
                Message::text(frame)
            }
            Self::Binary(body) => {
                let mut frame = Vec::with_capacity(len);
                frame.extend_from_slice(header.as_bytes());
                frame.push(b'\n');
                frame.extend_from_slice(body);
                Message::binary(frame)
            }
        }
    }
}

impl<'a> From<&'a Message> for Content<'a> {
    fn from(message: &'a Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(text),
            Message::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

impl<'a> From<&'a Outgoing> for Content<'a> {
    fn from(message: &'a Outgoing) -> Self {
        message.message().into()
    }
}

/// Returns the body of a frame, without a copy. `header` is the length of the header without its line feed, as
/// `Frame::split` found it.
pub(crate) fn body_of(frame: Message, header: usize) -> Message {
    fn body(mut frame: Bytes, header: usize) -> Bytes {
        let at = frame.len().min(header + 1);
        frame.split_off(at)
    }
    match frame {
        Message::Text(text) => {
            // A line feed is a character of its own, so what follows it is UTF-8.
            let body = body(text.into_bytes(), header);
            Message::Text(Text::from_utf8(body).unwrap_or_default())
        }
        Message::Binary(bytes) => Message::Binary(body(bytes, header)),
    }
}
