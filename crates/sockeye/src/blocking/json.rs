//! JSON over blocking connections.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connection::Connection;
use crate::connection::json::{decode, encode};
use crate::error::Error;

impl Connection {
    /// Sends a value as a text message of JSON. Only with the feature `json`.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if the value cannot be encoded; then nothing is sent. Else the errors of [`send`](Self::send).
    pub fn send_json(&mut self, value: &impl Serialize) -> Result<(), Error> {
        let message = encode(value)?;
        self.send(message)
    }

    /// Waits for the next message, and parses it as JSON. It may be text or binary. `None` once the connection is closed in
    /// order. Only with the feature `json`.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] if the message is not JSON of this type. The message is gone then, and the connection stays open.
    /// Else the errors of [`recv`](Self::recv).
    pub fn recv_json<V: DeserializeOwned>(&mut self) -> Result<Option<V>, Error> {
        decode(self.recv()?)
    }
}
