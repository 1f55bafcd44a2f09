//! A message that the application reads as it comes. Nothing here knows of machines or frames.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use sockeye_proto::Message;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::link::Wanted;
use super::plain::Connection;
use crate::error::Error;
use crate::transport::Stream;

/// Reads one message as it comes. Made by [`Connection::recv_reader`]. The message may be larger than memory.
///
/// It is an [`AsyncRead`] of the message's bytes, and ends where the message ends. If the peer breaks a rule in the middle
/// (a text is checked as it comes), reading fails with the error of the connection. If the reader is dropped before the
/// end, the next receive skips the rest of the message.
///
/// ```no_run
/// use tokio::io::AsyncReadExt;
///
/// # async fn example() -> sockeye::Result {
/// let mut ws = sockeye::connect("ws://127.0.0.1:8080/files").await?;
/// while let Some(mut message) = ws.recv_reader().await? {
///     let mut head = [0; 16];
///     message.read_exact(&mut head).await?;
///     tokio::io::copy(&mut message, &mut tokio::io::sink()).await?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct MessageReader<'c, T: AsyncRead + AsyncWrite + Unpin = Stream> {
    connection: &'c mut Connection<T>,
    is_text: bool,
    // Bytes that have come and are not read yet.
    unread: Bytes,
    is_complete: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// Receives the next message as it comes: the reader is ready with the first bytes. `None` once the connection is
    /// closed in order.
    ///
    /// The limit [`Config::max_message`](crate::proto::Config::max_message) holds here too: raise it for messages
    /// larger than memory. If a [`recv`](Self::recv) was dropped in the middle of a message, the reader gets that
    /// message when it is complete.
    ///
    /// # Errors
    ///
    /// The errors of [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Safe: a future that is dropped before it is ready has taken no message.
    pub async fn recv_reader(&mut self) -> Result<Option<MessageReader<'_, T>>, Error> {
        // Skips the rest of a message whose reader was dropped.
        self.link.give_whole();
        self.link.give(Wanted::ALL_PARTS);
        let first = poll_fn(|cx| self.poll_piece(cx, |received| received.into_message())).await?;
        Ok(first.map(|(message, is_last)| MessageReader::new(self, message, is_last)))
    }
}

impl<'c, T: AsyncRead + AsyncWrite + Unpin> MessageReader<'c, T> {
    fn new(connection: &'c mut Connection<T>, first: Message, is_last: bool) -> Self {
        Self {
            connection,
            is_text: first.as_text().is_some(),
            unread: first.into_bytes(),
            is_complete: is_last,
        }
    }

    /// Whether the message is a text message. Otherwise it is a binary message.
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    /// The next bytes, as they came. They are never empty. `None` at the end of the message. The bytes of a text are whole
    /// characters, unless [`AsyncRead`] has read some of them.
    ///
    /// # Errors
    ///
    /// The errors of [`Connection::recv`].
    ///
    /// # Cancel safety
    ///
    /// Safe: a future that is dropped before it is ready has taken no bytes.
    pub async fn next_part(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|cx| self.poll_unread(cx)).await?;
        let part = std::mem::take(&mut self.unread);
        Ok((!part.is_empty()).then_some(part))
    }

    /// The bytes of memory that this and the connection's buffers take.
    #[cfg(test)]
    pub(super) fn retained_bytes(&self) -> usize {
        self.unread.len() + self.connection.retained_bytes()
    }

    /// Ready when bytes are unread, or the message has ended.
    fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.unread.is_empty() && !self.is_complete {
            match ready!(
                self.connection
                    .poll_piece(cx, |received| received.into_message())
            )? {
                Some((part, is_last)) => {
                    self.unread = part.into_bytes();
                    self.is_complete = is_last;
                }
                // The peer closed in the middle of the message.
                None => return Poll::Ready(Err(Error::UnexpectedEnd)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for MessageReader<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_unread(cx)).map_err(into_io)?;
        let len = self.unread.len().min(buffer.remaining());
        buffer.put_slice(self.unread.get(..len).unwrap_or_default());
        self.unread.advance(len);
        Poll::Ready(Ok(()))
    }
}

fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::Protocol(_) => io::Error::new(io::ErrorKind::InvalidData, error),
        error => io::Error::new(io::ErrorKind::UnexpectedEof, error),
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> fmt::Debug for MessageReader<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageReader")
            .field("unread", &self.unread.len())
            .field("is_complete", &self.is_complete)
            .finish_non_exhaustive()
    }
}
