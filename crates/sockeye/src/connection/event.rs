//! What a peer sends besides its Close, for a caller that wants to see its Pings and Pongs too; and Pongs of this side.

use std::future::poll_fn;

use bytes::Bytes;
use sockeye_proto::Message;
use tokio::io::{AsyncRead, AsyncWrite};

use super::link::{Received, Wanted};
use super::plain::Connection;
use super::pool;
use crate::error::Error;

/// A message, a Ping or a Pong of the peer, by [`Connection::recv_event`] and
/// [`Receiver::recv_event`](super::Receiver::recv_event). A Close is no event: it ends the connection.
///
/// ```no_run
/// use sockeye::connection::ConnectionEvent;
///
/// # async fn example() -> sockeye::Result {
/// let mut ws = sockeye::connect("ws://127.0.0.1:8080/echo").await?;
/// while let Some(event) = ws.recv_event().await? {
///     match event {
///         ConnectionEvent::Message(message) => println!("{message}"),
///         ConnectionEvent::Ping(payload) => println!("a ping of {} bytes, which is answered", payload.len()),
///         ConnectionEvent::Pong(payload) => println!("a pong of {} bytes", payload.len()),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// A whole message.
    Message(Message),
    /// A Ping, with its payload of at most 125 bytes. The connection has answered it.
    Ping(Bytes),
    /// A Pong, with its payload of at most 125 bytes: the answer to a [`ping`](Connection::ping), or unsolicited. The
    /// answers to the Pings of this side's keep-alive are not shown.
    Pong(Bytes),
}

impl ConnectionEvent {
    /// Returns the message; `None` for a Ping or a Pong.
    pub fn into_message(self) -> Option<Message> {
        match self {
            Self::Message(message) => Some(message),
            Self::Ping(_) | Self::Pong(_) => None,
        }
    }

    fn of(received: Received<'_>) -> Option<Self> {
        match received {
            Received::Message(lent) => Some(Self::Message(lent.into())),
            Received::Assembled(buffer) | Received::Part(buffer, _) => {
                Some(Self::Message(pool::into_message(buffer)))
            }
            Received::Ping(payload) => payload.map(|payload| Self::Ping(copy(payload))),
            Received::Pong(payload) => Some(Self::Pong(copy(payload))),
            Received::Close(_) => None,
        }
    }
}

fn copy(payload: &[u8]) -> Bytes {
    Bytes::copy_from_slice(payload)
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// Receives the next message, Ping or Pong. `None` once the connection is closed in order. Otherwise this is
    /// [`recv`](Self::recv), which skips Pings and Pongs.
    ///
    /// # Errors
    ///
    /// The errors of [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Safe: a future that is dropped before it is ready has taken nothing.
    pub async fn recv_event(&mut self) -> Result<Option<ConnectionEvent>, Error> {
        if let Some(message) = self.take_plain(|lent| lent.into()) {
            return Ok(Some(ConnectionEvent::Message(message)));
        }
        let received = poll_fn(|cx| {
            self.link.give_whole();
            self.link.give(Wanted {
                pings: true,
                ..Wanted::default()
            });
            self.poll_piece(cx, ConnectionEvent::of)
        });
        Ok(received.await?.map(|(event, _)| event))
    }

    /// Sends a Pong that answers no Ping, of at most 125 bytes (RFC 6455 §5.5.3). The connection answers the peer's Pings
    /// itself.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send), and
    /// [`SendError::ControlPayloadTooLong`](crate::error::SendError::ControlPayloadTooLong).
    ///
    /// # Cancel safety
    ///
    /// The first poll that finds room takes the Pong, as with [`send`](Self::send).
    pub async fn pong(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.room().await?;
        let sent = self.link.sending().send_pong(payload);
        sent.map_err(|error| Error::Send(error.into()))?;
        self.flush().await
    }
}
