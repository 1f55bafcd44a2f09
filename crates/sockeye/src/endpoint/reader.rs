//! Readers of messages, with which a handler reads a message while it arrives. Knows no frames and no transport.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::incoming::{Argument, Incoming, IncomingKind, wrong_kind};
use crate::connection::driver::rest::PartPipe;
use crate::error::HandlerResult;
use crate::sync::Arc;

/// A reader of a binary message, with which the handler reads the message while it arrives. The message may be larger
/// than the memory, up to the limit for binary messages.
///
/// It is an [`AsyncRead`] and an [`AsyncBufRead`] of the message's bytes, and ends with the message. The session reads
/// from the peer as fast as the handler reads, and one part ahead: one fragment, or less. Pings are answered meanwhile.
/// Pongs reach their handler afterwards, at most the newest 16.
///
/// - When the handler returns, the unread rest of the message is dropped while it arrives. A reader that the handler
///   gave to another task then fails.
/// - If the connection ends in the middle of the message, the reader fails. [`on_close`](super::Endpoint::on_close)
///   follows when the handler has returned. If the peer broke a rule, the error is
///   [`InvalidData`](io::ErrorKind::InvalidData).
///
/// ```
/// use sockeye::endpoint::{BinaryReader, whole};
/// use sockeye::{Endpoint, HandlerResult, Session};
/// use tokio::io::AsyncReadExt;
///
/// struct Sum;
///
/// impl Endpoint for Sum {
///     async fn on_open(&mut self, session: &Session) -> HandlerResult {
///         session.add_message_handler(whole(|mut body: BinaryReader| async move {
///             let mut sum = 0;
///             while let Ok(number) = body.read_u32().await {
///                 sum += u64::from(number);
///             }
///             sum.to_string()
///         }))?;
///         Ok(())
///     }
/// }
/// ```
///
/// A method of an annotated endpoint may take a reader as its message, too. An [`Endpoint`](super::Endpoint) without
/// attributes lists the kind in [`IN_PARTS`](super::Endpoint::IN_PARTS), and makes the reader from the first part by
/// [`Argument::from_message`].
pub struct BinaryReader(Body);

/// A reader of a text message, with which the handler reads the message while it arrives, as with [`BinaryReader`]. The
/// bytes are UTF-8, which is checked while they arrive: invalid text makes the reader fail.
///
/// ```
/// # #[cfg(feature = "macros")] {
/// use sockeye::endpoint::TextReader;
/// use sockeye::{HandlerResult, server_endpoint};
/// use tokio::io::AsyncBufReadExt;
///
/// #[derive(Default)]
/// struct Grep;
///
/// #[server_endpoint("/grep/{word}")]
/// impl Grep {
///     #[on_message(max = 1 << 30)]
///     async fn text(&mut self, body: TextReader, #[path] word: &str) -> HandlerResult<String> {
///         let (mut lines, mut found) = (body.lines(), 0);
///         while let Some(line) = lines.next_line().await? {
///             found += usize::from(line.contains(word));
///         }
///         Ok(format!("{found} lines"))
///     }
/// }
/// # }
/// ```
pub struct TextReader(Body);

/// The unread bytes of a message, and the source of its further parts.
struct Body {
    unread: Bytes,
    // `None` after the last part.
    pipe: Option<Arc<PartPipe>>,
}

impl Body {
    fn of(message: Incoming<'_>, kind: IncomingKind) -> HandlerResult<Self> {
        let came = message.kind();
        if came != kind {
            return Err(wrong_kind(kind, came));
        }
        let (unread, pipe) = match message {
            Incoming::Text(text) => (text.into_string().into(), None),
            Incoming::Binary(bytes) => (bytes.into_vec().into(), None),
            Incoming::LastPart(part) => (part.into_bytes(), None),
            Incoming::Part(part) => {
                let pipe = part.rest().pipe();
                (part.into_bytes(), Some(pipe))
            }
            Incoming::Ping(_) | Incoming::Pong(_) => return Err(wrong_kind(kind, came)),
        };
        Ok(Self { unread, pipe })
    }

    /// Returns when there are unread bytes, or when the message has ended.
    fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty()
            && let Some(pipe) = &self.pipe
        {
            let (part, is_last) = ready!(pipe.poll_part(cx))?;
            self.unread = part;
            if is_last {
                self.pipe = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_unread(cx))?;
        let len = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread.split_to(len));
        Poll::Ready(Ok(()))
    }
}

macro_rules! reader {
    ($name:ident, $kind:ident) => {
        impl<'m> Argument<'m> for $name {
            const KIND: IncomingKind = IncomingKind::$kind;
            const IN_PARTS: bool = true;

            fn from_message(message: Incoming<'m>) -> HandlerResult<Self> {
                Body::of(message, IncomingKind::$kind).map(Self)
            }
        }

        impl AsyncRead for $name {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                self.0.poll_read(cx, buffer)
            }
        }

        impl AsyncBufRead for $name {
            fn poll_fill_buf(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<&[u8]>> {
                let body = &mut self.get_mut().0;
                ready!(body.poll_unread(cx))?;
                Poll::Ready(Ok(&body.unread))
            }

            fn consume(mut self: Pin<&mut Self>, amount: usize) {
                let unread = &mut self.0.unread;
                unread.advance(amount.min(unread.len()));
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("unread", &self.0.unread.len())
                    .field("is_complete", &self.0.pipe.is_none())
                    .finish()
            }
        }
    };
}

reader!(BinaryReader, Binary);
reader!(TextReader, Text);
