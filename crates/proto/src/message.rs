//! Messages (RFC 6455 §5.6) and their assembly from the events of a connection.

use std::fmt;

use bytes::Bytes;

use crate::frame::OpCode;
use crate::utf8::{self, InvalidUtf8, Text};

/// A whole message. Control frames are not messages.
#[derive(Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the data opcodes of RFC 6455")]
pub enum Message {
    /// A text message: UTF-8, by construction.
    Text(Text),
    /// A binary message: any bytes.
    Binary(Bytes),
}

impl Message {
    /// Creates a text message.
    pub fn text(text: impl Into<Text>) -> Self {
        Self::Text(text.into())
    }

    /// Creates a binary message.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// Returns whether the message is text or binary.
    pub fn kind(&self) -> MessageKind {
        match self {
            Self::Text(_) => MessageKind::Text,
            Self::Binary(_) => MessageKind::Binary,
        }
    }

    /// Returns the text; `None` for a binary message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Returns the payload of a text or binary message.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Returns the payload of a text or binary message, without a copy.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Text> for Message {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::binary(bytes)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

/// Shows a text as it is, and a binary message as its length.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => fmt::Display::fmt(text, f),
            Self::Binary(bytes) => write!(f, "<{} bytes>", bytes.len()),
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Self::Binary(bytes) => f.debug_tuple("Binary").field(bytes).finish(),
        }
    }
}

/// The kind of a message: text or binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the data opcodes of RFC 6455")]
pub enum MessageKind {
    /// Opcode 0x1.
    Text,
    /// Opcode 0x2.
    Binary,
}

impl MessageKind {
    #[inline]
    pub(crate) fn opcode(self) -> OpCode {
        match self {
            Self::Text => OpCode::Text,
            Self::Binary => OpCode::Binary,
        }
    }
}

/// The payload of a whole message, in a buffer that can be reused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the data opcodes of RFC 6455")]
pub enum MessageBuffer {
    /// The payload of a text message.
    Text(String),
    /// The payload of a binary message.
    Binary(Vec<u8>),
}

impl MessageBuffer {
    /// Returns the length of the payload in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Returns whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of bytes that the buffer can hold without a new allocation.
    #[inline]
    pub fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }

    /// Replaces the content by a text message, which is copied into the same buffer.
    #[inline]
    pub fn set_text(&mut self, text: &str) {
        if let Self::Binary(bytes) = self {
            let mut buffer = std::mem::take(bytes);
            buffer.clear();
            // An empty buffer is UTF-8.
            *self = Self::Text(String::from_utf8(buffer).unwrap_or_default());
        }
        if let Self::Text(buffer) = self {
            buffer.clear();
            buffer.push_str(text);
        }
    }

    /// Replaces the content by a binary message, which is copied into the same buffer.
    #[inline]
    pub fn set_binary(&mut self, bytes: &[u8]) {
        if let Self::Text(text) = self {
            *self = Self::Binary(std::mem::take(text).into_bytes());
        }
        if let Self::Binary(buffer) = self {
            buffer.clear();
            buffer.extend_from_slice(bytes);
        }
    }

    /// Returns the payload's buffer.
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// An empty binary payload, without an allocation.
impl Default for MessageBuffer {
    fn default() -> Self {
        Self::Binary(Vec::new())
    }
}

impl From<MessageBuffer> for Message {
    fn from(buffer: MessageBuffer) -> Self {
        match buffer {
            MessageBuffer::Text(text) => Self::text(text),
            MessageBuffer::Binary(bytes) => Self::binary(bytes),
        }
    }
}

/// Assembles whole messages from [`Event::MessageStart`], [`Event::Chunk`] and [`Event::MessageEnd`].
///
/// It has one contiguous buffer, so its memory grows with the received bytes, and not with the number of fragments. It
/// has no limit of its own: the connection checks the length of a message before it returns the event.
///
/// ```
/// use sockeye_proto::{MessageAssembler, MessageBuffer, MessageKind};
///
/// let mut assembler = MessageAssembler::default();
/// assembler.start(MessageKind::Text, Vec::new());
/// assembler.chunk(b"Hel");
/// assembler.chunk(b"lo");
/// assert_eq!(assembler.end().unwrap(), MessageBuffer::Text("Hello".into()));
/// ```
///
/// [`Event::MessageStart`]: crate::Event::MessageStart
/// [`Event::Chunk`]: crate::Event::Chunk
/// [`Event::MessageEnd`]: crate::Event::MessageEnd
#[derive(Debug, Default)]
pub struct MessageAssembler {
    open: Option<MessageKind>,
    buffer: Vec<u8>,
}

impl MessageAssembler {
    /// Starts a message. `buffer` is cleared, and the message is assembled in it.
    pub fn start(&mut self, kind: MessageKind, buffer: Vec<u8>) {
        self.open = Some(kind);
        self.buffer = buffer;
        self.buffer.clear();
    }

    /// Appends a chunk of the open message.
    pub fn chunk(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// Returns whether a message is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Returns the buffer of the open message. A caller may read the next bytes of the message to the end of the
    /// buffer, and pass them to the connection there. It must not change the bytes before that end.
    pub fn buffer_mut(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Ends the open message.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] for a text message that is not UTF-8. The events of a connection are checked, so they never
    /// cause it.
    pub fn end(&mut self) -> Result<MessageBuffer, InvalidUtf8> {
        let buffer = std::mem::take(&mut self.buffer);
        Ok(match self.open.take() {
            Some(MessageKind::Text) => MessageBuffer::Text(utf8::into_string(buffer)?),
            Some(MessageKind::Binary) | None => MessageBuffer::Binary(buffer),
        })
    }

    /// Returns the capacity of the open message's buffer in bytes.
    pub fn retained_bytes(&self) -> usize {
        self.buffer.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_of_the_kind_that_it_was_made_of() {
        for (message, kind, bytes) in [
            (
                Message::from("grüezi"),
                MessageKind::Text,
                "grüezi".as_bytes(),
            ),
            (Message::from("a".to_owned()), MessageKind::Text, b"a"),
            (
                Message::from(Text::from_static("b")),
                MessageKind::Text,
                b"b",
            ),
            (Message::from(&b"\xff"[..]), MessageKind::Binary, b"\xff"),
            (Message::from(vec![0xfe]), MessageKind::Binary, b"\xfe"),
            (Message::from(Bytes::new()), MessageKind::Binary, b""),
        ] {
            assert_eq!(message.kind(), kind);
            assert_eq!(message.as_bytes(), bytes);
            assert_eq!(message.as_text().is_some(), kind == MessageKind::Text);
            assert_eq!(message.into_bytes(), bytes);
        }
    }

    #[test]
    fn a_text_is_shown_as_it_is_and_bytes_as_how_many_they_are() {
        assert_eq!(Message::text("grüezi").to_string(), "grüezi");
        assert_eq!(Message::binary(vec![0; 3]).to_string(), "<3 bytes>");
        assert_eq!(format!("{:?}", Message::text("a")), r#"Text("a")"#);
    }

    #[test]
    fn a_message_is_assembled_in_the_buffer_that_was_given() {
        let mut assembler = MessageAssembler::default();
        let mut buffer = Vec::with_capacity(100);
        buffer.extend_from_slice(b"what was there before");
        let at = buffer.as_ptr();
        assembler.start(MessageKind::Binary, buffer);
        assert!(assembler.is_open());
        assembler.chunk(b"a");
        assembler.chunk(b"");
        assembler.chunk(b"b");
        assert_eq!(assembler.retained_bytes(), 100);
        let message = assembler.end().unwrap();
        assert!(!assembler.is_open());
        assert_eq!(assembler.retained_bytes(), 0);
        assert_eq!((message.len(), message.is_empty()), (2, false));
        let buffer = message.into_vec();
        assert_eq!((buffer.as_ptr(), &buffer[..]), (at, &b"ab"[..]));
    }

    #[test]
    fn text_that_no_connection_has_checked_is_checked_at_its_end() {
        let mut assembler = MessageAssembler::default();
        assembler.start(MessageKind::Text, Vec::new());
        assembler.chunk(&[0xe2]);
        assert_eq!(assembler.end(), Err(InvalidUtf8));
        assembler.start(MessageKind::Text, Vec::new());
        assembler.chunk(&[0xe2]);
        assembler.chunk(&[0x82, 0xac]);
        let message = assembler.end().map(Message::from);
        assert_eq!(message, Ok(Message::text("€")));
    }
}
