//! What may be sent as a message, and whether it may be compressed (RFC 7692 §6). Knows no connection.

use std::sync::Arc;

use bytes::Bytes;

use crate::deflate::{Deflater, SharedPayload};
use crate::frame::FrameHeader;
use crate::message::Message;

/// A message to send, and whether it may be compressed.
///
/// Whatever makes a [`Message`] makes one that may be: it is, where the connection has agreed on it and the
/// message is worth it. [`Outgoing::uncompressed`] makes one that never is, and a [`PreparedMessage`] is
/// sent as one too.
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
    /// A message that is sent as it is, whatever the connection has agreed on: RFC 7692 §6 leaves that to
    /// the sender of each message.
    ///
    /// It is for secrets. Encryption hides what a message says, not how long it is; and how long it is once it
    /// is compressed tells how much of it repeats. Whoever can put text of their own beside a secret, in the
    /// same message or with context takeover in one before it, and sees the lengths, can guess the secret
    /// piece by piece, as CRIME and BREACH did (§8). It is also for what is compressed already, and gains
    /// nothing.
    pub fn uncompressed(message: impl Into<Message>) -> Self {
        Self(Content::Plain(message.into()))
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
/// It is compressed at most once for each size of window that the peers have agreed on (those that hold the
/// whole message count as one), when the first of its connections sends it and with that one's level. So it
/// never refers to a message before it, which compresses less well than a connection's own context would.
/// Until the last clone is dropped it holds what it was compressed to.
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
    // `None`: it is never compressed.
    payload: Option<SharedPayload>,
}

impl PreparedMessage {
    /// Prepares a message; one that is prepared already stays what it is.
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

    /// Writes the message as a frame that is neither compressed nor masked: what a server sends on each
    /// connection that has not agreed on compression. [`Connection::send_frames`](super::Connection::send_frames)
    /// takes such frames.
    pub fn write_frame(&self, out: &mut Vec<u8>) {
        let message = &self.0.message;
        let payload = message.as_bytes();
        FrameHeader::new(message.kind().opcode(), payload.len() as u64).write(out);
        out.extend_from_slice(payload);
    }

    /// The payload compressed for the peer of `deflater`, if it may be and becomes smaller.
    pub(super) fn compressed(&self, deflater: &Deflater) -> Option<Bytes> {
        let payload = self.0.payload.as_ref()?;
        payload.compressed(self.0.message.as_bytes(), deflater)
    }
}
