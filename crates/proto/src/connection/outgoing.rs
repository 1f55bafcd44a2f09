//! Outgoing messages, and whether they may be compressed (RFC 7692 §6). This module knows no connection.

use std::sync::Arc;

use bytes::Bytes;

use crate::deflate::{Deflater, SharedPayload};
use crate::frame::FrameHeader;
use crate::message::Message;

/// A message to send, and whether it may be compressed.
///
/// A value that converts to a [`Message`] converts to an `Outgoing` that may be compressed. It is compressed
/// if the connection has agreed on compression and the message is worth it. [`Outgoing::uncompressed`] makes a
/// message that is never compressed. A [`PreparedMessage`] converts to an `Outgoing` too.
///
/// ```
/// use std::time::Instant;
/// use bytes::Buf;
/// use sockeye_proto::{Cause, Config, Connection, Outgoing, Role};
///
/// let mut server = Connection::server(Config::new(Role::Server), Instant::now());
/// server.send_message("news", Cause::Push).unwrap();
/// server.send_message(Outgoing::uncompressed("token"), Cause::Push).unwrap();
/// assert_eq!(server.output().chunk(), b"\x81\x04news\x81\x05token");
/// ```
#[derive(Clone, Debug)]
pub struct Outgoing(pub(super) Content);

#[derive(Clone, Debug)]
pub(super) enum Content {
    Compressible(Message),
    Plain(Message),
    Prepared(PreparedMessage),
}

impl Outgoing {
    /// Makes a message that is never compressed, whatever the connection has agreed on. RFC 7692 §6 lets the
    /// sender choose for each message.
    ///
    /// Use it for secrets. Encryption hides the content of a message, but not its length. The length of a
    /// compressed message tells how much of it repeats. An attacker may be able to put text next to a secret: in
    /// the same message, or with context takeover in an earlier one. An attacker who also sees the lengths can
    /// guess the secret piece by piece, as CRIME and BREACH did (§8). Use it also for data that is compressed
    /// already.
    pub fn uncompressed(message: impl Into<Message>) -> Self {
        Self(Content::Plain(message.into()))
    }

    /// Returns whether the sender lets the message be compressed.
    pub fn may_be_compressed(&self) -> bool {
        match &self.0 {
            Content::Compressible(_) => true,
            Content::Plain(_) => false,
            Content::Prepared(prepared) => prepared.0.payload.is_some(),
        }
    }

    /// The message.
    pub fn message(&self) -> &Message {
        match &self.0 {
            Content::Compressible(message) | Content::Plain(message) => message,
            Content::Prepared(prepared) => prepared.message(),
        }
    }
}

impl<M: Into<Message>> From<M> for Outgoing {
    fn from(message: M) -> Self {
        Self(Content::Compressible(message.into()))
    }
}

impl From<&Message> for Outgoing {
    fn from(message: &Message) -> Self {
        message.clone().into()
    }
}

impl From<PreparedMessage> for Outgoing {
    fn from(prepared: PreparedMessage) -> Self {
        Self(Content::Prepared(prepared))
    }
}

impl From<&PreparedMessage> for Outgoing {
    fn from(prepared: &PreparedMessage) -> Self {
        prepared.clone().into()
    }
}

/// A message to send on many connections. Cheap to clone.
///
/// It is compressed at most once for each size of window that its connections have agreed on. Windows that
/// hold the whole message count as one size. The first connection that sends it compresses it, with its own
/// level. The compressed message refers to no earlier message, so it is larger than with a connection's own
/// context. The compressed forms are kept until the last clone is dropped.
///
/// ```
/// use std::time::Instant;
/// use bytes::Buf;
/// use sockeye_proto::{Cause, Config, Connection, PreparedMessage, Role};
///
/// let news = PreparedMessage::new("news");
/// let mut server = Connection::server(Config::new(Role::Server), Instant::now());
/// server.send_message(&news, Cause::Push).unwrap();
/// assert_eq!(server.output().chunk(), b"\x81\x04news");
/// ```
#[derive(Clone, Debug)]
pub struct PreparedMessage(Arc<Prepared>);

#[derive(Debug)]
struct Prepared {
    message: Message,
    // `None` if the message is never compressed.
    payload: Option<SharedPayload>,
}

impl PreparedMessage {
    /// Prepares a message. A message that is already prepared stays the same.
    pub fn new(message: impl Into<Outgoing>) -> Self {
        let (message, payload) = match message.into().0 {
            Content::Compressible(message) => (message, Some(SharedPayload::default())),
            Content::Plain(message) => (message, None),
            Content::Prepared(prepared) => return prepared,
        };
        Self(Arc::new(Prepared { message, payload }))
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.0.message
    }

    /// Writes the message as a frame that is neither compressed nor masked. A server sends it on connections
    /// without compression, by [`Connection::send_frames`](super::Connection::send_frames).
    pub fn write_frame(&self, out: &mut Vec<u8>) {
        let message = &self.0.message;
        let payload = message.as_bytes();
        FrameHeader::new(message.kind().opcode(), payload.len() as u64).write(out);
        out.extend_from_slice(payload);
    }

    /// Returns the payload compressed for the peer of `deflater`, if compression is allowed and makes it smaller.
    pub(super) fn compressed(&self, deflater: &Deflater) -> Option<Bytes> {
        let payload = self.0.payload.as_ref()?;
        payload.compressed(self.0.message.as_bytes(), deflater)
    }
}
