//! JSON messages, encoded and decoded by serde.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};
use sockeye_proto::{Message, Outgoing, PreparedMessage};

use super::codec::Encoder;
use super::incoming::{Argument, Incoming, IncomingKind};
use crate::connection::json::encode;
use crate::error::{BoxError, EncodeError, HandlerError, HandlerResult};

/// A value that is sent and received as a text message of JSON. A handler takes and returns it. `send_object` of a remote,
/// [`broadcast_object`](super::OpenSessions::broadcast_object) and the topics' `publish_object` take it or a reference to
/// it, of a value or of a reference: `Json(order)`, `Json(&order)`, `&Json(order)`.
///
/// Where a message is wanted, [`to_message`](Self::to_message) makes one. A [`PreparedMessage`] and an [`Outgoing`] are
/// made by `try_from`.
///
/// The value may borrow from the message while the handler runs. A message that cannot be decoded goes to
/// [`Endpoint::on_error`](super::Endpoint::on_error) as [`Error::Decode`](crate::Error::Decode), with line and column,
/// and the connection stays open.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use sockeye::endpoint::Json;
/// use sockeye::server_endpoint;
///
/// #[derive(Deserialize)]
/// struct Order {
///     item: String,
///     pieces: u32,
/// }
///
/// #[derive(Serialize)]
/// struct Receipt {
///     item: String,
///     cents: u32,
/// }
///
/// #[derive(Default)]
/// struct Shop;
///
/// #[server_endpoint("/shop")]
/// impl Shop {
///     #[on_message]
///     async fn ordered(&mut self, Json(order): Json<Order>) -> Json<Receipt> {
///         Json(Receipt { item: order.item, cents: order.pieces * 250 })
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "it is written as a pattern")]
pub struct Json<T>(pub T);

impl<T: Serialize> Json<T> {
    /// Encodes the value as a text message.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if the value cannot be encoded, such as a map whose keys are not texts.
    ///
    /// ```
    /// use sockeye::Message;
    /// use sockeye::endpoint::Json;
    /// use sockeye::proto::PreparedMessage;
    ///
    /// let prices = vec![("salmon", 250)];
    /// assert_eq!(Json(&prices).to_message()?, Message::from(r#"[["salmon",250]]"#));
    /// let for_many = PreparedMessage::try_from(Json(&prices))?;
    /// # Ok::<(), sockeye::error::EncodeError>(())
    /// ```
    pub fn to_message(&self) -> Result<Message, EncodeError> {
        encode(&self.0)
    }
}

macro_rules! try_from_json {
    ($($type:ty),*) => {$(
        impl<T: Serialize> TryFrom<Json<T>> for $type {
            type Error = EncodeError;

            fn try_from(json: Json<T>) -> Result<Self, EncodeError> {
                Ok(Self::made_of(json.to_message()?))
            }
        }

        impl<T: Serialize> TryFrom<&Json<T>> for $type {
            type Error = EncodeError;

            fn try_from(json: &Json<T>) -> Result<Self, EncodeError> {
                Ok(Self::made_of(json.to_message()?))
            }
        }
    )*};
}

try_from_json!(Message, Outgoing, PreparedMessage);

/// Makes each of the types above from a message.
trait MadeOf {
    fn made_of(message: Message) -> Self;
}

impl MadeOf for Message {
    fn made_of(message: Message) -> Self {
        message
    }
}

impl MadeOf for Outgoing {
    fn made_of(message: Message) -> Self {
        message.into()
    }
}

impl MadeOf for PreparedMessage {
    fn made_of(message: Message) -> Self {
        Self::new(message)
    }
}

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Json<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<'m, T: Deserialize<'m>> Argument<'m> for Json<T> {
    const KIND: IncomingKind = IncomingKind::Text;

    fn from_message(message: Incoming<'m>) -> HandlerResult<Self> {
        let text = <&str>::from_message(message)?;
        let value = serde_json::from_str(text).map(Self);
        value.map_err(HandlerError::decode::<T>)
    }
}

impl<T: Serialize> Encoder for Json<T> {
    type Error = BoxError;

    fn encode(&self) -> Result<Outgoing, BoxError> {
        Ok(serde_json::to_string(&self.0)?.into())
    }
}
