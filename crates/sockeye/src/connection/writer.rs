//! Messages that are written part by part (RFC 6455 §5.4), into an outbox or on a connection that has none.
//! Keeps at most one fragment of its own; knows neither machines nor frames.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use sockeye_proto::{InvalidUtf8, Message, MessageKind, Utf8Validator};
use tokio::io::AsyncWrite;

use super::outbox::{Outbox, Parts};
use crate::error::{Error, SendError};
use crate::sync::Arc;

mod plain;

/// A message that is sent in parts, as they are made: it may be larger than what memory holds.
///
/// It is an [`AsyncWrite`]: what is written leaves in fragments of 256 KiB, or when it is flushed, and
/// `shutdown` ends the message. [`send_part`](Self::send_part) makes each part a fragment of its own. Both wait
/// while the peer takes nothing, so that 512 KiB or so are held, and one part more.
///
/// From its first part until its end nothing but control frames goes in between: other messages of the
/// connection wait, a handler's replies too. Whoever awaits one of them before the end of this waits for itself.
///
/// It is to be ended by [`finish`](Self::finish) or `shutdown`. Dropped before, it leaves nothing where no part
/// has gone yet; else the message can be neither ended nor taken back, and the connection is closed with 1011.
/// A Close that somebody asks for in the middle of it cuts it off: what is behind it is not sent then.
///
/// Where compression was agreed on and the first part is worth it, all of it is compressed, each part for itself:
/// larger ones become smaller.
///
/// ```
/// use sockeye::{Result, Session, server_endpoint};
/// use tokio::io::AsyncWriteExt;
///
/// #[derive(Default)]
/// struct Files;
///
/// #[server_endpoint("/files")]
/// impl Files {
///     #[on_message]
///     async fn send(&mut self, name: &str, session: &Session) -> Result {
///         let mut file = tokio::io::empty();
///         let mut message = session.basic_remote().binary_writer();
///         tokio::io::copy(&mut file, &mut message).await?;
///         message.shutdown().await?;
///         Ok(())
///     }
/// }
/// ```
pub struct MessageWriter<'w> {
    slot: Box<dyn Slot + 'w>,
    // Of a text message.
    utf8: Option<Utf8Validator>,
    buffer: Vec<u8>,
    // A fragment that waits for room.
    ready: Option<Bytes>,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// No part is taken, and none was written.
    Idle,
    /// It is to be a message.
    Begun,
    /// The last part is taken, or there was none.
    Ended,
}

/// Where the parts of one message go.
trait Slot: Send {
    /// Takes the part when there is room for it.
    fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
        part: &mut Option<Bytes>,
        is_last: bool,
    ) -> Poll<Result<(), Error>>;

    /// Writes what it took, unless somebody else does.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;

    /// Ready when the message is written whose last part it took.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;

    fn set_uncompressed(&mut self);
}

/// A fragment of what is written byte by byte.
const FRAGMENT: usize = 256 * 1024;

impl<'w> MessageWriter<'w> {
    fn new(slot: impl Slot + 'w, kind: MessageKind) -> Self {
        Self {
            slot: Box::new(slot),
            utf8: (kind == MessageKind::Text).then(Utf8Validator::default),
            buffer: Vec::new(),
            ready: None,
            stage: Stage::Idle,
        }
    }

    /// Sends the message as it is, whatever the connection has agreed on: see
    /// [`Outgoing::uncompressed`](crate::Outgoing::uncompressed). To be said before its first part.
    #[must_use]
    pub fn uncompressed(mut self) -> Self {
        self.slot.set_uncompressed();
        self
    }

    /// Sends a part as a fragment of its own, behind what was written before, and waits for room only. A text
    /// may be cut inside of a character.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] once the connection is closing, [`SendError::InvalidUtf8`] where the part makes a text
    /// message none, [`SendError::Finished`] behind the end; on a [`Connection`](crate::Connection) also what
    /// ended it.
    ///
    /// # Cancel safety
    ///
    /// The first poll that finds room takes the part. Dropped before, it is not sent, and may be sent again.
    pub async fn send_part(&mut self, part: impl Into<Message>) -> Result<(), Error> {
        let part = part.into().into_bytes();
        self.send(part, false).await?;
        poll_fn(|cx| self.slot.poll_flush(cx)).await
    }

    /// As [`send_part`](Self::send_part), of the last part: it ends the message, and completes when all of it is
    /// written.
    ///
    /// # Errors
    ///
    /// As [`send_part`](Self::send_part).
    ///
    /// # Cancel safety
    ///
    /// As [`send_part`](Self::send_part); what is left is waiting then, and [`finish`](Self::finish) waits too.
    pub async fn send_last_part(&mut self, part: impl Into<Message>) -> Result<(), Error> {
        let part = part.into().into_bytes();
        self.send(part, true).await?;
        poll_fn(|cx| self.slot.poll_written(cx)).await
    }

    /// Ends the message, and completes when all of it is written. Where there was no part, not even an empty
    /// one, there is no message.
    ///
    /// # Errors
    ///
    /// As [`send_part`](Self::send_part); [`SendError::InvalidUtf8`] where a text ends inside of a character.
    ///
    /// # Cancel safety
    ///
    /// Safe: it may be called again.
    pub async fn finish(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_finish(cx)).await
    }

    async fn send(&mut self, part: Bytes, is_last: bool) -> Result<(), Error> {
        if self.stage == Stage::Ended {
            return Err(SendError::Finished.into());
        }
        let utf8 = self.checked(&part)?;
        if is_last {
            is_whole(&utf8)?;
        }
        let mut part = Some(part);
        poll_fn(|cx| {
            ready!(self.poll_written_before(cx))?;
            self.slot.poll_part(cx, &mut part, is_last)
        })
        .await?;
        self.utf8 = utf8;
        self.stage = if is_last { Stage::Ended } else { Stage::Begun };
        Ok(())
    }

    /// What is known of the text behind this part.
    fn checked(&self, part: &[u8]) -> Result<Option<Utf8Validator>, SendError> {
        let Some(mut utf8) = self.utf8.clone() else {
            return Ok(None);
        };
        let accepted = utf8.accept(part);
        accepted.map_err(|InvalidUtf8| SendError::InvalidUtf8)?;
        Ok(Some(utf8))
    }

    /// Makes what was written byte by byte a fragment.
    fn poll_written_before(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.ready.is_none() && !self.buffer.is_empty() {
            self.ready = Some(std::mem::take(&mut self.buffer).into());
        }
        if self.ready.is_some() {
            ready!(self.slot.poll_part(cx, &mut self.ready, false))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.stage {
            Stage::Idle => {
                self.stage = Stage::Ended;
                return Poll::Ready(Ok(()));
            }
            Stage::Begun => {
                is_whole(&self.utf8)?;
                let last = || std::mem::take(&mut self.buffer).into();
                self.ready.get_or_insert_with(last);
                ready!(self.slot.poll_part(cx, &mut self.ready, true))?;
                self.stage = Stage::Ended;
            }
            Stage::Ended => {}
        }
        self.slot.poll_written(cx)
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Error>> {
        if self.stage == Stage::Ended {
            return Poll::Ready(Err(SendError::Finished.into()));
        }
        if self.buffer.len() >= FRAGMENT || self.ready.is_some() {
            ready!(self.poll_written_before(cx))?;
        }
        let room = FRAGMENT - self.buffer.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.utf8 = self.checked(taken)?;
        self.buffer.extend_from_slice(taken);
        self.stage = Stage::Begun;
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_written_before(cx))?;
        self.slot.poll_flush(cx)
    }
}

/// §5.6: a text message as a whole is UTF-8.
fn is_whole(utf8: &Option<Utf8Validator>) -> Result<(), SendError> {
    match utf8 {
        Some(utf8) => utf8.finish().map_err(|InvalidUtf8| SendError::InvalidUtf8),
        None => Ok(()),
    }
}

impl AsyncWrite for MessageWriter<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_bytes(cx, bytes).map_err(into_io)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush_all(cx).map_err(into_io)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_finish(cx).map_err(into_io)
    }
}

fn into_io(error: Error) -> io::Error {
    let kind = match error {
        Error::Io(error) => return error,
        Error::Send(SendError::InvalidUtf8) => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::BrokenPipe,
    };
    io::Error::new(kind, error)
}

impl fmt::Debug for MessageWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageWriter")
            .field("stage", &self.stage)
            .field("buffered", &self.buffer.len())
            .finish_non_exhaustive()
    }
}

/// A writer into an outbox.
pub(crate) fn writer(outbox: &Arc<Outbox>, kind: MessageKind) -> MessageWriter<'static> {
    MessageWriter::new(Parts::new(outbox, kind), kind)
}

impl Slot for Parts {
    fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
        part: &mut Option<Bytes>,
        is_last: bool,
    ) -> Poll<Result<(), Error>> {
        Self::poll_part(self, cx, part, is_last).map_err(Error::Send)
    }

    /// The outbox's driver writes.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Self::poll_written(self, cx).map_err(Error::Send)
    }

    fn set_uncompressed(&mut self) {
        Self::set_uncompressed(self);
    }
}
