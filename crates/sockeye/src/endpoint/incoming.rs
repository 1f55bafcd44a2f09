//! Incoming messages, pings and pongs, and their conversion to the argument of a handler.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use sockeye_proto::{Message, MessageBuffer, Text, WholeMessage};

use crate::connection::driver::rest::{Control, RemainingMessage};
use crate::error::{HandlerError, HandlerResult};

/// A message, a part of a message, a Ping or a Pong. It borrows a buffer that is used again: a handler copies or takes the
/// data that it keeps.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming<'m> {
    /// A whole text message.
    Text(TextMessage<'m>),
    /// A whole binary message.
    Binary(BinaryMessage<'m>),
    /// A part of a message, but not the last. Only a handler that takes parts gets it, such as
    /// [`partial`](super::partial). Text is cut between characters.
    Part(MessagePart<'m>),
    /// The last part of a message.
    LastPart(MessagePart<'m>),
    /// A Ping of the peer, which is answered already. Only an endpoint with [`PINGS`](super::Endpoint::PINGS) and a handler
    /// of a [`Ping`] get it.
    Ping(Ping),
    /// A Pong: the answer to a Ping that the application sent, or unsolicited.
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

    pub(super) fn part(
        buffer: &'m mut MessageBuffer,
        rest: &'m RemainingMessage,
        is_last: bool,
    ) -> Self {
        let part = MessagePart(Box::new(BorrowedPart { buffer, rest }));
        if is_last {
            Self::LastPart(part)
        } else {
            Self::Part(part)
        }
    }

    pub(super) fn of_control(control: Control) -> Self {
        match control {
            Control::Ping(payload) => Self::Ping(Ping::new(payload)),
            Control::Pong(payload) => Self::Pong(Pong::new(payload)),
        }
    }

    /// Returns the content of a whole message, for a handler that borrows it; `None` for a part and for a control frame.
    pub(super) fn lend(self) -> Option<WholeMessage<'m>> {
        match self {
            Self::Text(text) => Some(WholeMessage::Text(text.into_str())),
            Self::Binary(bytes) => Some(WholeMessage::Binary(bytes.into_slice())),
            Self::Part(_) | Self::LastPart(_) | Self::Ping(_) | Self::Pong(_) => None,
        }
    }
}

impl Incoming<'_> {
    /// Returns the kind: text, binary, ping or pong.
    #[inline]
    pub fn kind(&self) -> IncomingKind {
        match self {
            Self::Text(_) => IncomingKind::Text,
            Self::Binary(_) => IncomingKind::Binary,
            Self::Part(part) | Self::LastPart(part) => part.kind(),
            Self::Ping(_) => IncomingKind::Ping,
            Self::Pong(_) => IncomingKind::Pong,
        }
    }

    /// Returns whether it is a part of a message.
    #[inline]
    pub fn is_part(&self) -> bool {
        matches!(self, Self::Part(_) | Self::LastPart(_))
    }
}

/// The kind of an [`Incoming`]: text, binary, ping or pong. An endpoint or a session has one handler for each kind.
///
/// A [`Message`] is text or binary: its kind is a [`MessageKind`](crate::proto::MessageKind).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "what RFC 6455 lets a peer send, but a Close"
)]
pub enum IncomingKind {
    /// A text message.
    Text,
    /// A binary message.
    Binary,
    /// A Ping.
    Ping,
    /// A Pong.
    Pong,
}

impl IncomingKind {
    /// Returns the limit for this kind, if the list has one.
    pub(super) fn limit_among(self, limits: &[(Self, u64)]) -> Option<u64> {
        let of_kind = |(kind, bytes): &(Self, u64)| (*kind == self).then_some(*bytes);
        limits.iter().find_map(of_kind)
    }
}

impl fmt::Display for IncomingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Ping => "ping",
            Self::Pong => "pong",
        })
    }
}

/// A text message in the connection's buffer.
pub struct TextMessage<'m>(pub(super) &'m mut String);

impl<'m> TextMessage<'m> {
    /// Returns the text, for as long as the handler runs.
    #[inline]
    pub fn into_str(self) -> &'m str {
        self.0
    }

    /// Returns the text as a value to keep. A large text is moved, not copied.
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
    /// Returns the bytes, for as long as the handler runs.
    #[inline]
    pub fn into_slice(self) -> &'m [u8] {
        self.0
    }

    /// Returns the bytes as a value to keep. A large message is moved, not copied.
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
pub struct MessagePart<'m>(Box<BorrowedPart<'m>>);

struct BorrowedPart<'m> {
    buffer: &'m mut MessageBuffer,
    rest: &'m RemainingMessage,
}

impl MessagePart<'_> {
    /// Returns the kind of the message.
    pub fn kind(&self) -> IncomingKind {
        kind_of(self.0.buffer)
    }

    /// Returns the bytes of a text or binary message, for as long as the handler runs.
    pub fn as_bytes(&self) -> &[u8] {
        match &*self.0.buffer {
            MessageBuffer::Text(text) => text.as_bytes(),
            MessageBuffer::Binary(bytes) => bytes,
        }
    }

    /// Returns the bytes of a text or binary message as a value to keep.
    pub(super) fn into_bytes(self) -> Bytes {
        match self.0.buffer {
            MessageBuffer::Text(text) => TextMessage(text).into_string().into(),
            MessageBuffer::Binary(bytes) => BinaryMessage(bytes).into_vec().into(),
        }
    }

    /// Returns the access to the rest of the message.
    pub(super) fn rest(&self) -> &RemainingMessage {
        self.0.rest
    }
}

impl fmt::Debug for MessagePart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0.buffer, f)
    }
}

/// A Ping's payload, at most 125 bytes. A handler that takes it is called for each Ping of the peer, except those of a
/// keep-alive that the peer's own library hides. The answer has been sent already.
///
/// ```
/// use sockeye::endpoint::Ping;
/// use sockeye::server_endpoint;
///
/// struct Monitor;
///
/// #[server_endpoint("/monitor")]
/// impl Monitor {
///     #[on_message]
///     fn pinged(&mut self, ping: Ping) {
///         println!("the peer sent a ping of {} bytes", ping.payload().len());
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
// Boxed: see `Pong`.
pub struct Ping(Box<Bytes>);

impl Ping {
    pub(super) fn new(payload: Vec<u8>) -> Self {
        Self(Box::new(payload.into()))
    }

    /// Returns the payload.
    pub fn payload(&self) -> &[u8] {
        &self.0
    }

    /// Returns the payload as a value to keep.
    pub fn into_bytes(self) -> Bytes {
        *self.0
    }
}

/// A Pong's payload, at most 125 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
// Boxed, so that `Incoming` is a tag and one pointer, which are passed in registers.
pub struct Pong(Box<Bytes>);

impl Pong {
    pub(super) fn new(payload: Vec<u8>) -> Self {
        Self(Box::new(payload.into()))
    }

    /// Returns the payload. An answer has the payload of its Ping.
    pub fn payload(&self) -> &[u8] {
        &self.0
    }

    /// Returns the payload as a value to keep.
    pub fn into_bytes(self) -> Bytes {
        *self.0
    }
}

/// A type that a message handler can take as its message. Its [`KIND`](Self::KIND) is the kind of those messages.
///
/// - Text: `&str`, `String`, [`Text`], [`Parsed`](super::Parsed), and `Json` (feature `json`).
/// - Binary: `&[u8]`, `Vec<u8>`, [`Bytes`].
/// - Text and binary alike: [`Message`].
/// - Pings: [`Ping`]. Pongs: [`Pong`].
/// - Text or binary: your own types, by [`Decoder`](super::Decoder).
/// - Part by part: a pair of a text or bytes and a `bool`, such as `(Bytes, bool)`. The handler is called for each part
///   when it arrives; the `bool` is true for the last part.
/// - As a stream: [`TextReader`](super::TextReader) and [`BinaryReader`](super::BinaryReader). The handler is called
///   once, and reads the message while it arrives.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a type that a message handler takes",
    note = "take `&str`, `String` or `Text` for text, `&[u8]`, `Vec<u8>` or `Bytes` for binary, `Message` for both, \
            `Ping` for pings, `Pong` for pongs",
    note = "a pair such as `(Bytes, bool)` takes a message part by part, and is told which is the last; \
            `TextReader` and `BinaryReader` read one as it comes",
    note = "a type of your own implements `Decoder`; `Parsed<T>` takes what implements `FromStr`, `Json<T>` JSON, with the feature `json`"
)]
pub trait Argument<'m>: Sized {
    /// The kind of message that it is made from.
    const KIND: IncomingKind;
    /// Whether it is made from binary messages as well as from text messages. [`KIND`](Self::KIND) is then
    /// [`IncomingKind::Text`].
    const EITHER: bool = false;
    /// Whether it is made from parts of messages, while they arrive, instead of from whole messages.
    const IN_PARTS: bool = false;

    /// Makes a value from a message of that kind.
    ///
    /// # Errors
    ///
    /// If the message cannot be decoded as this type.
    fn from_message(message: Incoming<'m>) -> HandlerResult<Self>;
}

macro_rules! argument {
    ($type:ty, $kind:ident, $message:ident => $made:expr) => {
        impl<'m> Argument<'m> for $type {
            const KIND: IncomingKind = IncomingKind::$kind;

            #[inline]
            fn from_message(message: Incoming<'m>) -> HandlerResult<Self> {
                match message {
                    Incoming::$kind($message) => Ok($made),
                    other => Err(wrong_kind(IncomingKind::$kind, other.kind())),
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
argument!(Ping, Ping, ping => ping);
argument!(Pong, Pong, pong => pong);

/// A whole message, text or binary.
impl<'m> Argument<'m> for Message {
    const KIND: IncomingKind = IncomingKind::Text;
    const EITHER: bool = true;

    fn from_message(message: Incoming<'m>) -> HandlerResult<Self> {
        match message {
            Incoming::Text(text) => Ok(Self::text(text.into_string())),
            Incoming::Binary(bytes) => Ok(Self::binary(bytes.into_vec())),
            other => Err(wrong_kind(IncomingKind::Text, other.kind())),
        }
    }
}

macro_rules! part {
    ($type:ty, $kind:ident, $message:ident => $made:expr) => {
        /// A part of a message, and whether it is the last part.
        impl<'m> Argument<'m> for ($type, bool) {
            const KIND: IncomingKind = IncomingKind::$kind;
            const IN_PARTS: bool = true;

            fn from_message(message: Incoming<'m>) -> HandlerResult<Self> {
                let (part, is_last) = match message {
                    Incoming::$kind($message) => return Ok(($made, true)),
                    Incoming::Part(part) => (part, false),
                    Incoming::LastPart(part) => (part, true),
                    other => return Err(wrong_kind(IncomingKind::$kind, other.kind())),
                };
                match part.0.buffer {
                    MessageBuffer::$kind(part) => {
                        let $message = part_argument!($kind, part);
                        Ok(($made, is_last))
                    }
                    other => Err(wrong_kind(IncomingKind::$kind, kind_of(other))),
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

fn kind_of(buffer: &MessageBuffer) -> IncomingKind {
    match buffer {
        MessageBuffer::Text(_) => IncomingKind::Text,
        MessageBuffer::Binary(_) => IncomingKind::Binary,
    }
}

#[cold]
pub(super) fn wrong_kind(wanted: IncomingKind, came: IncomingKind) -> HandlerError {
    format!("a handler of {wanted} messages was given a {came} message").into()
}

/// Returns whether to move a message out of the connection's buffer, and not to copy it. For a small message the copy
/// costs less than a new buffer for the connection. A message must not keep a buffer that is more than twice its size.
fn is_worth_taking(len: usize, capacity: usize) -> bool {
    const TAKE_FROM: usize = 16 * 1024;
    len >= TAKE_FROM && len >= capacity / 2
}
