//! The remotes of a session: senders that wait until a message is written, and senders that queue it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
#[cfg(feature = "json")]
use serde::Serialize;
use sockeye_mailbox::{Item, SendError};
use sockeye_proto::{Message, MessageKind, Outgoing, Text};

use super::codec::{Encoder, encoded};
use super::envelope::LINE_FEED;
use super::session::Session;
use crate::connection::direct::{self, Mailbox};
#[cfg(feature = "json")]
use crate::connection::json::encode;
use crate::connection::{MessageWriter, check_control, writer};
use crate::error::Error;
use crate::sync::Arc;

impl Session {
    /// Returns the remote whose sends complete when the message is written.
    pub fn basic_remote(&self) -> BasicRemote<'_> {
        BasicRemote::new(self)
    }

    /// Returns the remote whose sends queue the message and do not wait.
    pub fn async_remote(&self) -> AsyncRemote<'_> {
        AsyncRemote::new(self)
    }
}

/// Sends messages to the peer. Each send completes when the message is written.
///
/// Any number of tasks may send at once; they are served in turn. For all methods:
///
/// # Errors
///
/// [`SendError::Closed`] if the connection is closing, or if it closes before the message is written.
///
/// # Cancel safety
///
/// The first poll that finds room in the outbox takes the message. From then on the message is sent once, even if the
/// future is dropped. If the future is dropped before, the message is not sent.
#[derive(Debug)]
pub struct BasicRemote<'s> {
    session: &'s Session,
}

impl<'s> BasicRemote<'s> {
    pub(super) fn new(session: &'s Session) -> Self {
        Self { session }
    }

    fn mailbox(&self) -> &'s Arc<Mailbox> {
        self.session.mailbox()
    }

    /// Sends a text message.
    pub async fn send_text(&self, text: impl Into<Text>) -> Result<(), SendError> {
        self.send(Message::text(text)).await
    }

    /// Sends a binary message.
    pub async fn send_binary(&self, bytes: impl Into<Bytes>) -> Result<(), SendError> {
        self.send(Message::binary(bytes)).await
    }

    /// Sends a message.
    pub async fn send(&self, message: impl Into<Outgoing>) -> Result<(), SendError> {
        let message = self.session.outgoing(message);
        self.mailbox().send(Item::Message(message)).await
    }

    /// Completes when all messages that were sent before are written, by either remote and any task. It ends a batch of
    /// messages that were given to the asynchronous remote.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn flush(&self) -> Result<(), SendError> {
        self.mailbox().flush().await
    }

    /// Starts a text message that is sent in parts. With its first part it takes its turn; other messages wait until it
    /// is finished.
    pub fn text_writer(&self) -> MessageWriter<'static> {
        self.writer(MessageKind::Text)
    }

    /// Starts a binary message that is sent in parts, as [`text_writer`](Self::text_writer) does for text.
    pub fn binary_writer(&self) -> MessageWriter<'static> {
        self.writer(MessageKind::Binary)
    }

    fn writer(&self, kind: MessageKind) -> MessageWriter<'static> {
        let writer = writer(self.mailbox(), kind);
        if self.session.is_enveloped() {
            writer.behind(LINE_FEED)
        } else {
            writer
        }
    }

    /// Encodes an object and sends it: `send_object(Json(&order))`. An object may be given by reference too.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if the object cannot be encoded, else [`Error::Send`].
    pub async fn send_object(&self, object: impl Encoder) -> Result<(), Error> {
        let message = encoded(&object)?;
        drop(object);
        Ok(self.send(message).await?)
    }

    /// Sends a value as a text message of JSON. Only with the feature `json`.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if the value cannot be encoded, else [`Error::Send`].
    #[cfg(feature = "json")]
    pub async fn send_json(&self, value: &impl Serialize) -> Result<(), Error> {
        let message = encode(value)?;
        Ok(self.send(message).await?)
    }

    /// Sends a Ping of at most 125 bytes, ahead of queued messages.
    ///
    /// # Errors
    ///
    /// Also [`SendError::ControlPayloadTooLong`].
    pub async fn send_ping(&self, payload: &[u8]) -> Result<(), SendError> {
        check_control(payload)?;
        self.mailbox().send(Item::Ping(payload.to_vec())).await
    }

    /// Sends a Pong that answers no Ping, of at most 125 bytes, ahead of queued messages.
    ///
    /// # Errors
    ///
    /// Also [`SendError::ControlPayloadTooLong`].
    pub async fn send_pong(&self, payload: &[u8]) -> Result<(), SendError> {
        check_control(payload)?;
        self.mailbox().send(Item::Pong(payload.to_vec())).await
    }
}

/// Sends messages to the peer without waiting. They are queued in order, up to the outbox's limit. For all methods:
///
/// # Errors
///
/// [`SendError::Full`] if the outbox is full, unless the session has another [`Overflow`](crate::endpoint::Overflow).
/// [`SendError::Closed`] if the connection is closing. In both cases the message is not sent.
#[derive(Debug)]
pub struct AsyncRemote<'s> {
    session: &'s Session,
}

impl<'s> AsyncRemote<'s> {
    pub(super) fn new(session: &'s Session) -> Self {
        Self { session }
    }

    /// Sends a text message.
    pub fn send_text(&self, text: impl Into<Text>) -> Result<SendHandle, SendError> {
        self.send(Message::text(text))
    }

    /// Sends a binary message.
    pub fn send_binary(&self, bytes: impl Into<Bytes>) -> Result<SendHandle, SendError> {
        self.send(Message::binary(bytes))
    }

    /// Sends a message.
    pub fn send(&self, message: impl Into<Outgoing>) -> Result<SendHandle, SendError> {
        self.push(Item::Message(self.session.outgoing(message)))
    }

    /// Encodes an object and sends it: `send_object(Json(&order))`. An object may be given by reference too.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if the object cannot be encoded, else [`Error::Send`].
    pub fn send_object(&self, object: impl Encoder) -> Result<SendHandle, Error> {
        Ok(self.send(encoded(&object)?)?)
    }

    /// Sends a value as a text message of JSON. Only with the feature `json`.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if the value cannot be encoded, else [`Error::Send`].
    #[cfg(feature = "json")]
    pub fn send_json(&self, value: &impl Serialize) -> Result<SendHandle, Error> {
        Ok(self.send(encode(value)?)?)
    }

    /// Sends a Ping of at most 125 bytes, ahead of queued messages.
    ///
    /// # Errors
    ///
    /// Also [`SendError::ControlPayloadTooLong`].
    pub fn send_ping(&self, payload: &[u8]) -> Result<SendHandle, SendError> {
        check_control(payload)?;
        self.push(Item::Ping(payload.to_vec()))
    }

    /// Sends a Pong that answers no Ping, of at most 125 bytes, ahead of queued messages.
    ///
    /// # Errors
    ///
    /// Also [`SendError::ControlPayloadTooLong`].
    pub fn send_pong(&self, payload: &[u8]) -> Result<SendHandle, SendError> {
        check_control(payload)?;
        self.push(Item::Pong(payload.to_vec()))
    }

    fn push(&self, item: Item) -> Result<SendHandle, SendError> {
        let overflowed = |lost| self.session.count_overflow(lost);
        let mailbox = self.session.mailbox();
        let receipt = mailbox.offer(item, overflowed)?;
        Ok(SendHandle(mailbox.written(receipt)))
    }
}

/// A future that completes when a queued message is written, or can no longer be written. To drop it changes nothing:
/// the message is still sent.
///
/// # Errors
///
/// [`SendError::Closed`] if the connection closes before. [`SendError::Full`] if the message was dropped because the
/// outbox was full, by the session's [`Overflow`](crate::endpoint::Overflow).
pub struct SendHandle(direct::Sending);

impl Future for SendHandle {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl fmt::Debug for SendHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendHandle").finish_non_exhaustive()
    }
}
