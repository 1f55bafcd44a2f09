//! Writes a message's parts to a connection that has no task: each part goes into the machine's output, and the
//! writer's own polls write it. Closes the connection when the message stays unfinished.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use sockeye_proto::{Cause, CloseCode, MessageKind};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{MessageWriter, Slot};
use crate::connection::Connection;
use crate::connection::outbox::UNFINISHED;
use crate::error::Error;

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// A text message to be sent in parts, as they are made. Nothing is sent before the first one.
    pub fn text_writer(&mut self) -> MessageWriter<'_>
    where
        T: Send,
    {
        self.writer(MessageKind::Text)
    }

    /// As [`text_writer`](Self::text_writer), of a binary message.
    pub fn binary_writer(&mut self) -> MessageWriter<'_>
    where
        T: Send,
    {
        self.writer(MessageKind::Binary)
    }

    fn writer(&mut self, kind: MessageKind) -> MessageWriter<'_>
    where
        T: Send,
    {
        let slot = ConnectionSlot {
            connection: self,
            kind,
            compressible: true,
            is_open: false,
        };
        MessageWriter::new(slot, kind)
    }
}

/// A connection that is being sent a message in parts.
struct ConnectionSlot<'c, T: AsyncRead + AsyncWrite + Unpin> {
    connection: &'c mut Connection<T>,
    kind: MessageKind,
    compressible: bool,
    // Whether a part is taken, and not the last.
    is_open: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Slot for ConnectionSlot<'_, T> {
    fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
        part: &mut Option<Bytes>,
        is_last: bool,
    ) -> Poll<Result<(), Error>> {
        ready!(self.connection.poll_room(cx))?;
        let Some(part) = part.take() else {
            return Poll::Ready(Ok(()));
        };
        let machine = self.connection.link.sending();
        let sent = if self.compressible {
            machine.send_part(self.kind, &part, is_last, Cause::Push)
        } else {
            machine.send_uncompressed_part(self.kind, &part, is_last, Cause::Push)
        };
        self.is_open = sent.is_ok() && !is_last;
        Poll::Ready(sent.map_err(|error| Error::Send(error.into())))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.connection.poll_flush(cx)
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.connection.poll_flush(cx)
    }

    fn set_uncompressed(&mut self) {
        self.compressible = false;
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Drop for ConnectionSlot<'_, T> {
    fn drop(&mut self) {
        if self.is_open {
            let code = CloseCode::INTERNAL_ERROR;
            let closing = self.connection.start_closing_handshake(code, UNFINISHED);
            debug_assert!(closing.is_ok(), "1011 may be sent");
        }
    }
}
