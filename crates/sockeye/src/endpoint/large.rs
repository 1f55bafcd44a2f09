//! A large message on its way to a handler: a reply that is all of it goes out from where it lies. Apart from the loop
//! that handles the others: what is seldom has its memory only while it lasts.

use std::pin::pin;

use sockeye_proto::{MessageBuffer, Output};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Endpoint;
use super::incoming::{Incoming, MessageKind};
use super::life::{report, send};
use super::reply::Reply;
use super::session::Session;
use crate::connection::driver::Driver;
use crate::connection::pool;
use crate::error::Error;

/// Whether to take this way: a smaller reply is copied whatever it is.
#[inline]
pub(super) fn is_large(message: &MessageBuffer) -> bool {
    message.len() >= Output::SHARED_FROM
}

/// Gives a whole message to its handler, and sends the reply.
pub(super) async fn handle_large<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &mut E,
    session: &Session,
    driver: &mut Driver<T>,
    message: &mut MessageBuffer,
) {
    let place = match message {
        MessageBuffer::Text(text) => Place::of(MessageKind::Text, text.as_bytes()),
        MessageBuffer::Binary(bytes) => Place::of(MessageKind::Binary, bytes),
    };
    let handled = match session.start_handler(Incoming::of(message)) {
        Ok(running) => driver.alongside(pin!(running)).await,
        Err(incoming) => {
            let running = pin!(endpoint.on_message(session, incoming));
            driver.alongside(running).await
        }
    };
    let sent = match handled {
        Some(Ok(Reply::Text(text))) if place == Place::of(MessageKind::Text, text.as_bytes()) => {
            driver.reply(pool::share(std::mem::take(message)).into())
        }
        Some(Ok(Reply::Binary(bytes))) if place == Place::of(MessageKind::Binary, bytes) => {
            driver.reply(pool::share(std::mem::take(message)).into())
        }
        Some(Ok(reply)) => send(driver, reply),
        Some(Err(error)) => Err(Error::of_callback(error)),
        // Aborted: that is what comes next.
        None => Ok(()),
    };
    if let Err(error) = sent {
        report(endpoint, session, driver, error).await;
    }
}

/// Where a payload lies, and of which kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    kind: MessageKind,
    address: usize,
    len: usize,
}

impl Place {
    fn of(kind: MessageKind, payload: &[u8]) -> Self {
        Self {
            kind,
            address: payload.as_ptr().addr(),
            len: payload.len(),
        }
    }
}
