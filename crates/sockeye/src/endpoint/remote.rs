//! The remote endpoint: sending, awaited or not.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use sockeye_proto::{Message, MessageKind, Outgoing, Text};

use super::codec::{Encoder, encoded};
use super::session::Session;
use crate::connection::outbox::{self, Item, Outbox};
use crate::connection::{MessageWriter, check_control, writer};
use crate::error::{Error, SendError};
use crate::sync::Arc;

/// Sends to the peer; each send completes when it is written.
///
/// Any number of tasks may send at once: they are served in turn. Of all its methods:
///
/// # Errors
///
/// [`SendError::Closed`] once the connection is closing, also when it closes before the message is
/// written.
///
/// # Cancel safety
///
/// The first poll that finds room takes the message: from then on it is sent once, whether or not the
/// future is dropped. Dropped before, it is not sent.
#[derive(Debug)]
pub struct BasicRemote<'s> {
    outbox: &'s Arc<Outbox>,
}

impl<'s> BasicRemote<'s> {
    pub(super) fn new(outbox: &'s Arc<Outbox>) -> Self {
        Self { outbox }
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
        self.outbox.send(Item::Message(message.into())).await
    }

    /// Completes when everything that was sent before, by either remote and whoever did it, is written: the end
    /// of a batch that the asynchronous remote was given.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn flush(&self) -> Result<(), SendError> {
        self.outbox.flush().await
    }

    /// A text message to be sent in parts, as they are made. It takes its turn with its first part, and others
    /// theirs when it is finished.
    pub fn text_writer(&self) -> MessageWriter<'static> {
        writer(self.outbox, MessageKind::Text)
    }

    /// As [`text_writer`](Self::text_writer), of a binary message.
    pub fn binary_writer(&self) -> MessageWriter<'static> {
        writer(self.outbox, MessageKind::Binary)
    }

    /// Sends an object, encoded: `send_object(&Json(&order))`.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] when no message can be made of it, else [`Error::Send`].
    pub async fn send_object(&self, object: &impl Encoder) -> Result<(), Error> {
        let message = encoded(object)?;
        Ok(self.send(message).await?)
    }

    /// Sends a Ping of at most 125 bytes, ahead of messages that wait.
    ///
    /// # Errors
    ///
    /// Also [`SendError::ControlPayloadTooLong`].
    pub async fn send_ping(&self, payload: &[u8]) -> Result<(), SendError> {
        check_control(payload)?;
        self.outbox.send(Item::Ping(payload.to_vec())).await
    }

    /// Sends a Pong that answers no Ping, of at most 125 bytes, ahead of messages that wait.
    ///
    /// # Errors
    ///
    /// Also [`SendError::ControlPayloadTooLong`].
    pub async fn send_pong(&self, payload: &[u8]) -> Result<(), SendError> {
        check_control(payload)?;
        self.outbox.send(Item::Pong(payload.to_vec())).await
    }
}

/// Sends to the peer without waiting: what is sent is queued, in order, up to the outbox's limit. Of all
/// its methods:
///
/// # Errors
///
/// [`SendError::Full`] when as many bytes wait as the limit allows, unless the session's
/// [`Overflow`](crate::Overflow) says otherwise; [`SendError::Closed`] once the connection is closing. The
/// message is not sent then.
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
        self.push(Item::Message(message.into()))
    }

    /// Sends an object, encoded: `send_object(&Json(&order))`.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] when no message can be made of it, else [`Error::Send`].
    pub fn send_object(&self, object: &impl Encoder) -> Result<SendHandle, Error> {
        Ok(self.send(encoded(object)?)?)
    }

    /// Sends a Ping of at most 125 bytes, ahead of messages that wait.
    ///
    /// # Errors
    ///
    /// Also [`SendError::ControlPayloadTooLong`].
    pub fn send_ping(&self, payload: &[u8]) -> Result<SendHandle, SendError> {
        check_control(payload)?;
        self.push(Item::Ping(payload.to_vec()))
    }

    /// Sends a Pong that answers no Ping, of at most 125 bytes, ahead of messages that wait.
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
        let outbox = self.session.outbox();
        Ok(SendHandle(outbox.offer_awaited(item, overflowed)?))
    }
}

/// A message on its way: a future that completes when it is written, or cannot be any more. Dropping it
/// changes nothing.
///
/// # Errors
///
/// [`SendError::Closed`] when the connection closes before, [`SendError::Full`] when the message was dropped for
/// want of room, as the session's [`Overflow`](crate::Overflow) says.
pub struct SendHandle(outbox::Send);

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
