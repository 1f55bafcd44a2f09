//! Objects of the application's own as messages: what a handler takes is decoded, what it returns or sends
//! is encoded. Knows no connection.

use std::fmt::Display;
use std::str::FromStr;

use sockeye_proto::Outgoing;

use super::incoming::{Argument, Incoming, MessageKind, wrong_kind};
use super::reply::{IntoReply, Reply};
use crate::error::{BoxError, DecodeError, EncodeError, Result};

/// A type that is made of a message: a handler takes it as its argument.
///
/// An error of it goes to [`Endpoint::on_error`](super::Endpoint::on_error) as
/// [`Error::Decode`](crate::Error::Decode), and the connection stays.
///
/// ```
/// use sockeye::{Decoder, server_endpoint};
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
    message = "`{Self}` cannot be decoded of a message",
    note = "implement `Decoder` for it"
)]
pub trait Decoder: Sized {
    /// What it is made of: `str` of text messages, `[u8]` of binary ones.
    type Message: Payload + ?Sized;
    /// Why a message is none of these.
    type Error: Into<BoxError>;

    /// Makes it of a whole message.
    ///
    /// # Errors
    ///
    /// When the message does not hold one.
    fn decode(message: &Self::Message) -> Result<Self, Self::Error>;
}

/// A type that can be sent as a message: a handler returns it, a remote sends it by `send_object`.
///
/// ```
/// use std::convert::Infallible;
/// use sockeye::{Encoder, Outgoing};
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
    /// Why it cannot be sent.
    type Error: Into<BoxError>;

    /// Makes a message of it.
    ///
    /// # Errors
    ///
    /// When it cannot be said in a message.
    fn encode(&self) -> Result<Outgoing, Self::Error>;
}

/// What a [`Decoder`] reads: `str` of text messages, `[u8]` of binary ones.
pub trait Payload: sealed::Lend {}

impl Payload for str {}

impl Payload for [u8] {}

mod sealed {
    use super::{Incoming, MessageKind};
    use crate::error::Result;

    #[expect(unnameable_types, reason = "nobody else implements it")]
    pub trait Lend {
        const KIND: MessageKind;

        fn lend(message: Incoming<'_>) -> Result<&Self>;
    }
}

impl sealed::Lend for str {
    const KIND: MessageKind = MessageKind::Text;

    fn lend(message: Incoming<'_>) -> Result<&Self> {
        match message {
            Incoming::Text(text) => Ok(text.into_str()),
            other => Err(wrong_kind(Self::KIND, other.kind())),
        }
    }
}

impl sealed::Lend for [u8] {
    const KIND: MessageKind = MessageKind::Binary;

    fn lend(message: Incoming<'_>) -> Result<&Self> {
        match message {
            Incoming::Binary(bytes) => Ok(bytes.into_slice()),
            other => Err(wrong_kind(Self::KIND, other.kind())),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<'m, T: Decoder> Argument<'m> for T {
    const KIND: MessageKind = <T::Message as sealed::Lend>::KIND;

    fn from_message(message: Incoming<'m>) -> Result<Self> {
        let payload = <T::Message as sealed::Lend>::lend(message)?;
        T::decode(payload).map_err(|error| DecodeError::of::<T>(error).into())
    }
}

#[diagnostic::do_not_recommend]
impl<'m, T: Encoder> IntoReply<'m> for T {
    fn into_reply(self) -> Result<Reply<'m>> {
        Ok(Reply::Message(encoded(&self)?))
    }
}

/// The message that an object is sent as.
pub(super) fn encoded<T: Encoder>(object: &T) -> Result<Outgoing, EncodeError> {
    object.encode().map_err(EncodeError::of::<T>)
}

/// A value that is a text message by [`FromStr`], and is sent as one by [`Display`]: a number, an address.
///
/// ```
/// use sockeye::{Parsed, server_endpoint};
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
    const KIND: MessageKind = MessageKind::Text;

    fn from_message(message: Incoming<'m>) -> Result<Self> {
        let text = <str as sealed::Lend>::lend(message)?;
        let parsed = text.parse().map(Self);
        parsed.map_err(|error: T::Err| DecodeError::of::<T>(error).into())
    }
}

impl<T: Display> Encoder for Parsed<T> {
    type Error = std::convert::Infallible;

    fn encode(&self) -> Result<Outgoing, Self::Error> {
        Ok(self.0.to_string().into())
    }
}
