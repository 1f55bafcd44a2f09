//! Handles large messages. If the handler returns the whole message that it borrowed, the reply uses the message's own
//! buffer, without a copy. This is apart from the loop for other messages, so an idle session holds no memory for it.

use std::pin::pin;

use sockeye_proto::{MessageBuffer, Output};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Endpoint;
use super::incoming::{Incoming, IncomingKind};
use super::life::report;
use super::reply::Reply;
use super::session::Session;
use crate::connection::driver::Driver;
use crate::connection::pool;
use crate::error::Error;

/// Whether the message is so large that a copy of it costs more than a shared buffer.
#[inline]
pub(super) fn is_large(message: &MessageBuffer) -> bool {
    message.len() >= Output::SHARED_FROM
}

/// Calls the handler with a whole message, and sends the reply.
pub(super) async fn handle_large<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &mut E,
    session: &Session,
    driver: &mut Driver<T>,
    message: &mut MessageBuffer,
) {
    let location = match message {
        MessageBuffer::Text(text) => PayloadLocation::of(IncomingKind::Text, text.as_bytes()),
        MessageBuffer::Binary(bytes) => PayloadLocation::of(IncomingKind::Binary, bytes),
    };
    let handled = match session.start_handler(Incoming::of(message)) {
        Ok(running) => driver.alongside(pin!(running)).await,
        Err(incoming) => {
            let running = pin!(endpoint.on_message(session, incoming));
            driver.alongside(running).await
        }
    };
    let sent = match handled {
        Some(Ok(Reply::Text(text)))
            if location == PayloadLocation::of(IncomingKind::Text, text.as_bytes()) =>
        {
            driver.reply(Reply::Message(pool::share(std::mem::take(message)).into()))
        }
        Some(Ok(Reply::Binary(bytes)))
            if location == PayloadLocation::of(IncomingKind::Binary, bytes) =>
        {
            driver.reply(Reply::Message(pool::share(std::mem::take(message)).into()))
        }
        Some(Ok(reply)) => driver.reply(reply),
        Some(Err(error)) => Err(Error::of_callback(error)),
        // The session was aborted. The next event says so.
        None => Ok(()),
    };
    if let Err(error) = sent {
        report(endpoint, session, driver, error).await;
    }
}

/// The kind of a message, and the location of its payload in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PayloadLocation {
    kind: IncomingKind,
    address: usize,
    len: usize,
}

impl PayloadLocation {
    fn of(kind: IncomingKind, payload: &[u8]) -> Self {
        Self {
            kind,
            address: payload.as_ptr().addr(),
            len: payload.len(),
        }
    }
}
