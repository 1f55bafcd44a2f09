//! JSON messages, encoded and decoded by serde.

use serde::{Deserialize, Serialize};
use sockeye_proto::Outgoing;

use super::codec::Encoder;
use super::incoming::{Argument, Incoming, IncomingKind};
use crate::error::{BoxError, HandlerError, HandlerResult};

/// A value that is sent and received as a text message of JSON. A handler takes and returns it, and `send_object` of a
/// remote sends it.
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
