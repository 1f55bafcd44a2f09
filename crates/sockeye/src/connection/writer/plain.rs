//! Sends the parts of a message on a connection without a task. Each part goes into the machine's output, and the polls of
//! the writer write it. A message that stays unfinished closes the connection.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use sockeye_mailbox::UNFINISHED;
use sockeye_proto::{Cause, CloseCode, MessageKind};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{MessageWriter, Slot};
use crate::connection::Connection;
use crate::error::Error;

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// Begins a text message that is sent in parts. Nothing is sent before the first part.
    pub fn text_writer(&mut self) -> MessageWriter<'_>
    where
        T: Send,
    {
        self.writer(MessageKind::Text)
    }

    /// Begins a binary message that is sent in parts. Nothing is sent before the first part.
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

/// The slot of a message on a connection without a task.
struct ConnectionSlot<'c, T: AsyncRead + AsyncWrite + Unpin> {
    connection: &'c mut Connection<T>,
    kind: MessageKind,
    compressible: bool,
    // Whether a part was taken, but not the last one.
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
