//! What comes to a handler, and how it becomes a handler's argument.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use sockeye_proto::{MessageBuffer, Text, WholeMessage};

use crate::connection::driver::rest::Rest;
use crate::error::Result;

/// What came, lent from a buffer that is used again: copy or take what is to be kept.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming<'m> {
    /// A whole text message.
    Text(TextMessage<'m>),
    /// A whole binary message.
    Binary(BinaryMessage<'m>),
    /// A part of a message, and not the last; only where parts are asked for, as by
    /// [`partial`](super::partial). A text is cut between characters.
    Part(MessagePart<'m>),
    /// The last part of a message.
    LastPart(MessagePart<'m>),
    /// A Pong: the answer to a Ping that the application sent, or to none.
    Pong(Pong),
}

impl<'m> Incoming<'m> {
    #[inline]
    pub(super) fn of(message: &'m mut MessageBuffer) -> Self {
        match message {
            MessageBuffer::Text(text) => Self::Text(TextMessage(text)),
            MessageBuffer::Binary(bytes) => Self::Binary(BinaryMessage(bytes)),
        }
    }

    pub(super) fn part(buffer: &'m mut MessageBuffer, rest: &'m Rest, is_last: bool) -> Self {
        let part = MessagePart(Box::new(InHand { buffer, rest }));
        if is_last {
            Self::LastPart(part)
        } else {
            Self::Part(part)
        }
    }

    /// What a handler may borrow of it; `None` of a Pong.
    pub(super) fn lend(self) -> Option<WholeMessage<'m>> {
        match self {
            Self::Text(text) => Some(WholeMessage::Text(text.into_str())),
            Self::Binary(bytes) => Some(WholeMessage::Binary(bytes.into_slice())),
            Self::Part(_) | Self::LastPart(_) | Self::Pong(_) => None,
        }
    }
}

impl Incoming<'_> {
    /// Which of the kinds it is.
    #[inline]
    pub fn kind(&self) -> MessageKind {
        match self {
            Self::Text(_) => MessageKind::Text,
            Self::Binary(_) => MessageKind::Binary,
            Self::Part(part) | Self::LastPart(part) => part.kind(),
            Self::Pong(_) => MessageKind::Pong,
        }
    }

    /// Whether it is a part of a message, and not the whole.
    #[inline]
    pub fn is_part(&self) -> bool {
        matches!(self, Self::Part(_) | Self::LastPart(_))
    }
}

/// The kinds of what comes to handlers: for each there is one handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "Jakarta's three native kinds")]
pub enum MessageKind {
    /// A text message.
    Text,
    /// A binary message.
    Binary,
    /// A Pong.
    Pong,
}

impl MessageKind {
    /// The limit of this kind, if there is one among these.
    pub(super) fn limit_among(self, limits: &[(Self, u64)]) -> Option<u64> {
        let of_kind = |(kind, bytes): &(Self, u64)| (*kind == self).then_some(*bytes);
        limits.iter().find_map(of_kind)
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Pong => "pong",
        })
    }
}

/// A text message in the connection's buffer.
pub struct TextMessage<'m>(pub(super) &'m mut String);

impl<'m> TextMessage<'m> {
    /// The text, for as long as the handler runs.
    #[inline]
    pub fn into_str(self) -> &'m str {
        self.0
    }

    /// The text, to keep. A large one is taken, not copied.
    pub fn into_string(self) -> String {
        if is_worth_taking(self.0.len(), self.0.capacity()) {
            std::mem::take(self.0)
        } else {
            self.0.clone()
        }
    }
}

impl Deref for TextMessage<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl fmt::Debug for TextMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A binary message in the connection's buffer.
pub struct BinaryMessage<'m>(pub(super) &'m mut Vec<u8>);

impl<'m> BinaryMessage<'m> {
    /// The bytes, for as long as the handler runs.
    #[inline]
    pub fn into_slice(self) -> &'m [u8] {
        self.0
    }

    /// The bytes, to keep. A large message is taken, not copied.
    pub fn into_vec(self) -> Vec<u8> {
        if is_worth_taking(self.0.len(), self.0.capacity()) {
            std::mem::take(self.0)
        } else {
            self.0.clone()
        }
    }
}

impl Deref for BinaryMessage<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0
    }
}

impl fmt::Debug for BinaryMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A part of a message, in the connection's buffer.
// Boxed: see `Pong`.
pub struct MessagePart<'m>(Box<InHand<'m>>);

struct InHand<'m> {
    buffer: &'m mut MessageBuffer,
    rest: &'m Rest,
}

impl MessagePart<'_> {
    /// Of which kind the message is.
    pub fn kind(&self) -> MessageKind {
        kind_of(self.0.buffer)
    }

    /// The bytes, of either kind, for as long as the handler runs.
    pub fn as_bytes(&self) -> &[u8] {
        match &*self.0.buffer {
            MessageBuffer::Text(text) => text.as_bytes(),
            MessageBuffer::Binary(bytes) => bytes,
        }
    }

    /// The bytes, of either kind, to keep.
    pub(super) fn into_bytes(self) -> Bytes {
        match self.0.buffer {
            MessageBuffer::Text(text) => TextMessage(text).into_string().into(),
            MessageBuffer::Binary(bytes) => BinaryMessage(bytes).into_vec().into(),
        }
    }

    /// What comes behind it.
    pub(super) fn rest(&self) -> &Rest {
        self.0.rest
    }
}

impl fmt::Debug for MessagePart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0.buffer, f)
    }
}

/// A Pong's payload, at most 125 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
// Boxed: so what comes to a handler is a kind and a pointer, which travel in registers.
pub struct Pong(Box<Bytes>);

impl Pong {
    pub(super) fn new(payload: Vec<u8>) -> Self {
        Self(Box::new(payload.into()))
    }

    /// The payload: that of the Ping which it answers.
    pub fn payload(&self) -> &[u8] {
        &self.0
    }

    /// The payload, to keep.
    pub fn into_bytes(self) -> Bytes {
        *self.0
    }
}

/// A type that a message handler takes. Its [`KIND`](Self::KIND) says which messages come to it.
///
/// Text comes to `&str`, `String` and [`Text`]; binary to `&[u8]`, `Vec<u8>` and [`Bytes`]; a Pong to
/// [`Pong`]. [`Parsed`](super::Parsed) and `Json` (feature `json`) are made of text, and types of your own of
/// either, by [`Decoder`](super::Decoder). A pair of a text or bytes and a `bool` takes a message part by part, as
/// it comes, and is told which part is the last; [`TextReader`](super::TextReader) and
/// [`BinaryReader`](super::BinaryReader) are called once, and read the message as it comes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a type that a message handler takes",
    note = "take `&str`, `String` or `Text` for text, `&[u8]`, `Vec<u8>` or `Bytes` for binary, `Pong` for pongs",
    note = "a pair such as `(Bytes, bool)` takes a message part by part, and is told which is the last; \
            `TextReader` and `BinaryReader` read one as it comes",
    note = "a type of your own implements `Decoder`; `Parsed<T>` takes what implements `FromStr`, `Json<T>` JSON, with the feature `json`"
)]
pub trait Argument<'m>: Sized {
    /// The kind of message that it is made of.
    const KIND: MessageKind;
    /// Whether it is made of parts of messages, as they come, and not of whole ones.
    const IN_PARTS: bool = false;

    /// Makes it of a message of that kind.
    ///
    /// # Errors
    ///
    /// When the message does not hold what the type asks for.
    fn from_message(message: Incoming<'m>) -> Result<Self>;
}

macro_rules! argument {
    ($type:ty, $kind:ident, $message:ident => $made:expr) => {
        impl<'m> Argument<'m> for $type {
            const KIND: MessageKind = MessageKind::$kind;

            #[inline]
            fn from_message(message: Incoming<'m>) -> Result<Self> {
                match message {
                    Incoming::$kind($message) => Ok($made),
                    other => Err(wrong_kind(MessageKind::$kind, other.kind())),
                }
            }
        }
    };
}

argument!(&'m str, Text, text => text.into_str());
argument!(String, Text, text => text.into_string());
argument!(Text, Text, text => Text::from(text.into_string()));
argument!(&'m [u8], Binary, bytes => bytes.into_slice());
argument!(Vec<u8>, Binary, bytes => bytes.into_vec());
argument!(Bytes, Binary, bytes => Bytes::from(bytes.into_vec()));
argument!(Pong, Pong, pong => pong);

macro_rules! part {
    ($type:ty, $kind:ident, $message:ident => $made:expr) => {
        /// A part of a message as it came, and whether it is the last.
        impl<'m> Argument<'m> for ($type, bool) {
            const KIND: MessageKind = MessageKind::$kind;
            const IN_PARTS: bool = true;

            fn from_message(message: Incoming<'m>) -> Result<Self> {
                let (part, is_last) = match message {
                    Incoming::$kind($message) => return Ok(($made, true)),
                    Incoming::Part(part) => (part, false),
                    Incoming::LastPart(part) => (part, true),
                    other => return Err(wrong_kind(MessageKind::$kind, other.kind())),
                };
                match part.0.buffer {
                    MessageBuffer::$kind(part) => {
                        let $message = part_argument!($kind, part);
                        Ok(($made, is_last))
                    }
                    other => Err(wrong_kind(MessageKind::$kind, kind_of(other))),
                }
            }
        }
    };
}

macro_rules! part_argument {
    (Text, $part:ident) => {
        TextMessage($part)
    };
    (Binary, $part:ident) => {
        BinaryMessage($part)
    };
}

part!(&'m str, Text, text => text.into_str());
part!(String, Text, text => text.into_string());
part!(Text, Text, text => Text::from(text.into_string()));
part!(&'m [u8], Binary, bytes => bytes.into_slice());
part!(Vec<u8>, Binary, bytes => bytes.into_vec());
part!(Bytes, Binary, bytes => Bytes::from(bytes.into_vec()));

fn kind_of(buffer: &MessageBuffer) -> MessageKind {
    match buffer {
        MessageBuffer::Text(_) => MessageKind::Text,
        MessageBuffer::Binary(_) => MessageKind::Binary,
    }
}

#[cold]
pub(super) fn wrong_kind(wanted: MessageKind, came: MessageKind) -> crate::BoxError {
    format!("a handler of {wanted} messages was given a {came} message").into()
}

/// A small message's copy costs less than the buffer that would be lost to the connection, and a
/// buffer much larger than its message would be pinned by it.
fn is_worth_taking(len: usize, capacity: usize) -> bool {
    const TAKE_FROM: usize = 16 * 1024;
    len >= TAKE_FROM && len >= capacity / 2
}
