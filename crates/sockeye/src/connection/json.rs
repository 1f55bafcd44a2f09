//! JSON over connections: values that are sent and received as text messages.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sockeye_proto::Message;
use tokio::io::{AsyncRead, AsyncWrite};

use super::plain::Connection;
use super::split::{Receiver, Sender};
use crate::error::{DecodeError, EncodeError, Error};

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// Sends a value as a text message of JSON, and completes when it is written. Only with the feature `json`.
    ///
    /// ```no_run
    /// # async fn example() -> sockeye::Result {
    /// let mut ws = sockeye::connect("ws://127.0.0.1:8080/shop").await?;
    /// ws.send_json(&("salmon", 2)).await?;
    /// while let Some(receipt) = ws.recv_json::<serde_json::Value>().await? {
    ///     println!("{}", receipt["cents"]);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if the value cannot be encoded; then nothing is sent. Else the errors of [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// That of [`send`](Self::send).
    pub async fn send_json(&mut self, value: &impl Serialize) -> Result<(), Error> {
        let message = encode(value)?;
        self.send(message).await
    }

    /// Receives the next message, and parses it as JSON. It may be text or binary. `None` once the connection is closed in
    /// order. Only with the feature `json`.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] if the message is not JSON of this type. The message is gone then, and the connection stays open.
    /// Else the errors of [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Safe: a future that is dropped before it is ready has taken no message.
    pub async fn recv_json<V: DeserializeOwned>(&mut self) -> Result<Option<V>, Error> {
        decode(self.recv().await?)
    }
}

impl Sender {
    /// Sends a value as a text message of JSON, and completes when it is written. Only with the feature `json`.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if the value cannot be encoded; then nothing is sent. Else [`Error::Send`].
    ///
    /// # Cancel safety
    ///
    /// That of [`send`](Self::send).
    pub async fn send_json(&self, value: &impl Serialize) -> Result<(), Error> {
        let message = encode(value)?;
        Ok(self.send(message).await?)
    }
}

impl Receiver {
    /// Receives the next message, and parses it as JSON. It may be text or binary. `None` once the connection is closed in
    /// order. Only with the feature `json`.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] if the message is not JSON of this type. The message is gone then, and the connection stays open.
    /// Else the errors of [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Safe: a future that is dropped before it is ready has taken no message.
    pub async fn recv_json<V: DeserializeOwned>(&mut self) -> Result<Option<V>, Error> {
        decode(self.recv().await?)
    }
}

/// Encodes a value as a text message.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Message, EncodeError> {
    let text = serde_json::to_string(value);
    text.map(Message::from).map_err(EncodeError::of::<T>)
}

pub(crate) fn decode<V: DeserializeOwned>(message: Option<Message>) -> Result<Option<V>, Error> {
    let value = message.map(|message| message.parse_json());
    let value = value.transpose();
    Ok(value.map_err(DecodeError::of::<V>)?)
}
