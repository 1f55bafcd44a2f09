//! Messages that are sent part by part (RFC 6455 §5.4), through an outbox or on a connection without a task. The writer
//! holds at most one fragment. It touches neither the protocol machine nor frames: its slot does.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use sockeye_mailbox::SendError;
use sockeye_proto::{InvalidUtf8, Message, MessageKind, Utf8Validator};
use tokio::io::AsyncWrite;

use crate::connection::direct::{Mailbox, Parts};
use crate::error::Error;
use crate::sync::Arc;

mod plain;

/// Sends one message in parts, as the application makes them. The message may be larger than memory.
///
/// The writer is an [`AsyncWrite`]: the bytes leave in fragments of 256 KiB, or on a flush, and `shutdown` ends the
/// message. [`send_part`](Self::send_part) sends each part as a fragment of its own. Both wait while the peer takes
/// nothing, so that about 512 KiB wait at most, and one part.
///
/// Between the first part and the end of the message only control frames may be sent. All other messages of the
/// connection wait, a handler's replies too. A task that awaits another message before it ends this one waits for ever.
///
/// End the message by [`finish`](Self::finish) or `shutdown`. If the writer is dropped before and no part was sent, nothing
/// is sent. If a part was sent, the message can be neither ended nor taken back: the connection closes with 1011. A Close
/// in the middle of the message cuts the message off.
///
/// If the connection compresses and the first part is large enough, each part is compressed. Larger parts compress
/// better.
///
/// ```
/// use sockeye::{HandlerResult, Session, server_endpoint};
/// use tokio::io::AsyncWriteExt;
///
/// #[derive(Default)]
/// struct Files;
///
/// #[server_endpoint("/files")]
/// impl Files {
///     #[on_message]
///     async fn send(&mut self, name: &str, session: &Session) -> HandlerResult {
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
    // Checks a text message.
    utf8: Option<Utf8Validator>,
    // A byte in front of the first part.
    in_front: Option<u8>,
    buffer: Vec<u8>,
    // A fragment for which the connection has no room yet.
    ready: Option<Bytes>,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was written, and no part was taken.
    Idle,
    /// Bytes were written or a part was taken.
    Begun,
    /// The last part was taken, or the message had none.
    Ended,
}

/// The place to which the parts of one message go.
trait Slot: Send {
    /// Takes the part as soon as there is room for it.
    fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
        part: &mut Option<Bytes>,
        is_last: bool,
    ) -> Poll<Result<(), Error>>;

    /// Writes the parts that it took. The slot of an outbox leaves that to the driver.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;

    /// Ready when the whole message is written, after its last part was taken.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;

    fn set_uncompressed(&mut self);
}

/// The length of a fragment of bytes that were written by [`AsyncWrite`].
const FRAGMENT: usize = 256 * 1024;

impl<'w> MessageWriter<'w> {
    fn new(slot: impl Slot + 'w, kind: MessageKind) -> Self {
        Self {
            slot: Box::new(slot),
            utf8: (kind == MessageKind::Text).then(Utf8Validator::default),
            in_front: None,
            buffer: Vec::new(),
            ready: None,
            stage: Stage::Idle,
        }
    }

    /// Puts an ASCII character in front of the message, as a part of its first fragment. Without any part no message is
    /// sent, as before.
    pub(crate) fn behind(mut self, ascii: u8) -> Self {
        debug_assert!(ascii.is_ascii());
        self.in_front = Some(ascii);
        self
    }

    /// Sends the message without compression: see [`Outgoing::uncompressed`](crate::proto::Outgoing::uncompressed).
    /// Call it before the first part.
    #[must_use]
    pub fn uncompressed(mut self) -> Self {
        self.slot.set_uncompressed();
        self
    }

    /// Sends a part as a fragment of its own, behind the bytes written before. Completes when the connection has taken
    /// it. A text may be cut inside a character.
    ///
    /// # Errors
    ///
    /// - [`SendError::Closed`] once the connection is closing.
    /// - [`SendError::InvalidUtf8`] if the part makes the text invalid.
    /// - [`SendError::Finished`] after the end of the message.
    /// - On a [`Connection`](crate::Connection) also the error that ended the connection.
    ///
    /// # Cancel safety
    ///
    /// The first poll that finds room takes the part. If the future is dropped before, the part is not sent.
    pub async fn send_part(&mut self, part: impl Into<Message>) -> Result<(), Error> {
        let part = part.into().into_bytes();
        self.send(part, false).await?;
        poll_fn(|cx| self.slot.poll_flush(cx)).await
    }

    /// Sends the last part, which ends the message. Completes when the whole message is written.
    ///
    /// # Errors
    ///
    /// The errors of [`send_part`](Self::send_part).
    ///
    /// # Cancel safety
    ///
    /// The first poll that finds room takes the part. If the future is dropped then, [`finish`](Self::finish) waits for the
    /// rest.
    pub async fn send_last_part(&mut self, part: impl Into<Message>) -> Result<(), Error> {
        let part = part.into().into_bytes();
        self.send(part, true).await?;
        poll_fn(|cx| self.slot.poll_written(cx)).await
    }

    /// Ends the message, and completes when the whole message is written. Without any part, not even an empty one, no
    /// message is sent.
    ///
    /// # Errors
    ///
    /// The errors of [`send_part`](Self::send_part). [`SendError::InvalidUtf8`] if a text ends inside a character.
    ///
    /// # Cancel safety
    ///
    /// Safe: call it again to go on.
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
        let mut part = Some(match self.begins_with() {
            Some(first) => [&[first], &*part].concat().into(),
            None => part,
        });
        poll_fn(|cx| {
            ready!(self.poll_written_before(cx))?;
            self.slot.poll_part(cx, &mut part, is_last)
        })
        .await?;
        self.utf8 = utf8;
        self.stage = if is_last { Stage::Ended } else { Stage::Begun };
        Ok(())
    }

    /// The byte that goes in front, if nothing was written yet.
    fn begins_with(&self) -> Option<u8> {
        self.in_front.filter(|_| self.stage == Stage::Idle)
    }

    /// The state of the UTF-8 check after this part.
    fn checked(&self, part: &[u8]) -> Result<Option<Utf8Validator>, SendError> {
        let Some(mut utf8) = self.utf8.clone() else {
            return Ok(None);
        };
        let accepted = utf8.accept(part);
        accepted.map_err(|InvalidUtf8| SendError::InvalidUtf8)?;
        Ok(Some(utf8))
    }

    /// Sends the bytes that were written by [`AsyncWrite`] as a fragment.
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
        self.buffer.extend(self.begins_with());
        self.buffer.extend_from_slice(taken);
        self.stage = Stage::Begun;
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_written_before(cx))?;
        self.slot.poll_flush(cx)
    }
}

/// §5.6: a text message is UTF-8 as a whole.
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

/// A writer that sends through an outbox.
pub(crate) fn writer(mailbox: &Arc<Mailbox>, kind: MessageKind) -> MessageWriter<'static> {
    MessageWriter::new(Parts::new(mailbox, kind), kind)
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

    /// Ready: the driver of the outbox writes.
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
