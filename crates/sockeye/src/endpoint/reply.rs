//! The types that handlers and other callbacks may return.

use bytes::Bytes;
use sockeye_proto::{Message, Outgoing, PreparedMessage, Text};

use crate::error::{HandlerError, HandlerResult};

use super::incoming::Incoming;

pub use crate::connection::reply::Reply;

/// Returns the message itself, as an echo. A Ping, a Pong and a part of a message make no reply.
impl<'m> From<Incoming<'m>> for Reply<'m> {
    fn from(message: Incoming<'m>) -> Self {
        match message {
            Incoming::Text(text) => Reply::Text(text.into_str()),
            Incoming::Binary(bytes) => Reply::Binary(bytes.into_slice()),
            Incoming::Part(_) | Incoming::LastPart(_) => Reply::None,
            Incoming::Ping(_) | Incoming::Pong(_) => Reply::None,
        }
    }
}

/// A type that a message handler may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent back as a reply",
    note = "return nothing, a text, bytes, a `Message`, an `Outgoing`, or an `Option` or `Result` of these",
    note = "a type of your own implements `Encoder`"
)]
pub trait IntoReply<'m> {
    /// Returns the reply to send.
    ///
    /// # Errors
    ///
    /// The handler's own error, or that of an encoder.
    fn into_reply(self) -> HandlerResult<Reply<'m>>;
}

macro_rules! reply {
    ($($type:ty, $value:ident => $reply:expr;)*) => {$(
        impl<'m> IntoReply<'m> for $type {
            #[inline]
            fn into_reply(self) -> HandlerResult<Reply<'m>> {
                let $value = self;
                Ok($reply)
            }
        }
    )*};
}

reply! {
    (), _nothing => Reply::None;
    &'m str, text => Reply::Text(text);
    String, text => Reply::Message(text.into());
    Text, text => Reply::Message(text.into());
    &'m [u8], bytes => Reply::Binary(bytes);
    Vec<u8>, bytes => Reply::Message(bytes.into());
    Bytes, bytes => Reply::Message(bytes.into());
    Message, message => Reply::Message(message.into());
    Outgoing, outgoing => Reply::Message(outgoing);
    PreparedMessage, prepared => Reply::Message(prepared.into());
    Reply<'m>, reply => reply;
}

/// `None` sends no reply.
impl<'m, T: IntoReply<'m>> IntoReply<'m> for Option<T> {
    #[inline]
    fn into_reply(self) -> HandlerResult<Reply<'m>> {
        self.map_or(Ok(Reply::None), IntoReply::into_reply)
    }
}

/// An error goes to `on_error`.
impl<'m, T: IntoReply<'m>, E: Into<HandlerError>> IntoReply<'m> for Result<T, E> {
    #[inline]
    fn into_reply(self) -> HandlerResult<Reply<'m>> {
        self.map_err(Into::into)?.into_reply()
    }
}

/// A type that any other callback may return: nothing, or a `Result` of nothing.
#[diagnostic::on_unimplemented(
    message = "a callback cannot return `{Self}`",
    note = "return nothing, or a `Result` of nothing"
)]
pub trait IntoOutcome {
    /// Returns the result of the callback.
    ///
    /// # Errors
    ///
    /// The callback's own error.
    fn into_outcome(self) -> HandlerResult;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> HandlerResult {
        Ok(())
    }
}

impl<E: Into<HandlerError>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> HandlerResult {
        self.map_err(Into::into)
    }
}
