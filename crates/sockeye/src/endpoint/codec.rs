//! Encoding and decoding of the application's own types as messages. Knows no connection.

use std::fmt::Display;
use std::str::FromStr;

use sockeye_proto::Outgoing;

use super::incoming::{Argument, Incoming, IncomingKind, wrong_kind};
use super::reply::{IntoReply, Reply};
use crate::error::{BoxError, EncodeError, HandlerError, HandlerResult};

/// A type that can be decoded from a message: a handler takes it as its argument.
///
/// A failure goes to [`Endpoint::on_error`](super::Endpoint::on_error) as [`Error::Decode`](crate::Error::Decode), and
/// the connection stays open.
///
/// ```
/// use sockeye::endpoint::Decoder;
/// use sockeye::server_endpoint;
///
/// struct Move {
///     x: u8,
///     y: u8,
/// }
///
/// impl Decoder for Move {
///     type Message = [u8];
///     type Error = String;
///
///     fn decode(bytes: &[u8]) -> Result<Self, String> {
///         match bytes {
///             &[x, y] => Ok(Self { x, y }),
///             _ => Err(format!("a move has 2 bytes, and not {}", bytes.len())),
///         }
///     }
/// }
///
/// #[derive(Default)]
/// struct Board;
///
/// #[server_endpoint("/board")]
/// impl Board {
///     #[on_message]
///     fn moved(&mut self, to: Move) -> String {
///         format!("{} {}", to.x, to.y)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be decoded from a message",
    note = "implement `Decoder` for it"
)]
pub trait Decoder: Sized {
    /// The payload that it is decoded from: `str` for text messages, `[u8]` for binary messages.
    type Message: Payload + ?Sized;
    /// The reason why a message cannot be decoded.
    type Error: Into<BoxError>;

    /// Decodes a whole message.
    ///
    /// # Errors
    ///
    /// If the message cannot be decoded as this type.
    fn decode(message: &Self::Message) -> Result<Self, Self::Error>;
}

/// A type that can be sent as a message: a handler returns it, a remote sends it by `send_object`.
///
/// ```
/// use std::convert::Infallible;
/// use sockeye::endpoint::Encoder;
/// use sockeye::proto::Outgoing;
///
/// struct Move {
///     x: u8,
///     y: u8,
/// }
///
/// impl Encoder for Move {
///     type Error = Infallible;
///
///     fn encode(&self) -> Result<Outgoing, Infallible> {
///         Ok(vec![self.x, self.y].into())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be encoded as a message",
    note = "implement `Encoder` for it"
)]
pub trait Encoder {
    /// The reason why a value cannot be encoded.
    type Error: Into<BoxError>;

    /// Encodes the value as a message.
    ///
    /// # Errors
    ///
    /// If the value cannot be encoded.
    fn encode(&self) -> Result<Outgoing, Self::Error>;
}

/// The payload that a [`Decoder`] reads: `str` for text messages, `[u8]` for binary messages.
pub trait Payload: sealed::Lend {}

impl Payload for str {}

impl Payload for [u8] {}

mod sealed {
    use super::{Incoming, IncomingKind};
    use crate::error::HandlerResult;

    #[expect(unnameable_types, reason = "it seals `Payload`")]
    pub trait Lend {
        const KIND: IncomingKind;

        fn lend(message: Incoming<'_>) -> HandlerResult<&Self>;
    }
}

impl sealed::Lend for str {
    const KIND: IncomingKind = IncomingKind::Text;

    fn lend(message: Incoming<'_>) -> HandlerResult<&Self> {
        match message {
            Incoming::Text(text) => Ok(text.into_str()),
            other => Err(wrong_kind(Self::KIND, other.kind())),
        }
    }
}

impl sealed::Lend for [u8] {
    const KIND: IncomingKind = IncomingKind::Binary;

    fn lend(message: Incoming<'_>) -> HandlerResult<&Self> {
        match message {
            Incoming::Binary(bytes) => Ok(bytes.into_slice()),
            other => Err(wrong_kind(Self::KIND, other.kind())),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<'m, T: Decoder> Argument<'m> for T {
    const KIND: IncomingKind = <T::Message as sealed::Lend>::KIND;

    fn from_message(message: Incoming<'m>) -> HandlerResult<Self> {
        let payload = <T::Message as sealed::Lend>::lend(message)?;
        T::decode(payload).map_err(HandlerError::decode::<T>)
    }
}

#[diagnostic::do_not_recommend]
impl<'m, T: Encoder> IntoReply<'m> for T {
    fn into_reply(self) -> HandlerResult<Reply<'m>> {
        let message = encoded(&self).map_err(HandlerError::encode)?;
        Ok(Reply::Message(message))
    }
}

/// A reference to an encodable value, so that an object is sent by value and by reference alike.
impl<T: Encoder + ?Sized> Encoder for &T {
    type Error = T::Error;

    fn encode(&self) -> Result<Outgoing, Self::Error> {
        T::encode(self)
    }
}

/// Encodes an object as a message.
pub(crate) fn encoded<T: Encoder>(object: &T) -> Result<Outgoing, EncodeError> {
    object.encode().map_err(EncodeError::of::<T>)
}

/// A value that is received as a text message by [`FromStr`], and sent as one by [`Display`]: a number, an address.
///
/// ```
/// use sockeye::endpoint::Parsed;
/// use sockeye::server_endpoint;
///
/// #[derive(Default)]
/// struct Doubler;
///
/// #[server_endpoint("/double")]
/// impl Doubler {
///     #[on_message]
///     fn double(&mut self, Parsed(number): Parsed<u32>) -> Parsed<u64> {
///         Parsed(u64::from(number) * 2)
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "it is written as a pattern")]
pub struct Parsed<T>(pub T);

impl<'m, T: FromStr<Err: Into<BoxError>>> Argument<'m> for Parsed<T> {
    const KIND: IncomingKind = IncomingKind::Text;

    fn from_message(message: Incoming<'m>) -> HandlerResult<Self> {
        let text = <str as sealed::Lend>::lend(message)?;
        let parsed = text.parse().map(Self);
        parsed.map_err(|error: T::Err| HandlerError::decode::<T>(error))
    }
}

impl<T: Display> Encoder for Parsed<T> {
    type Error = std::convert::Infallible;

    fn encode(&self) -> Result<Outgoing, Self::Error> {
        Ok(self.0.to_string().into())
    }
}
