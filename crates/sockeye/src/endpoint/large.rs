//! Handles large messages. If the handler returns the whole message that it borrowed, the reply uses the message's own
//! buffer, without a copy. This is apart from the loop for other messages, so an idle session holds no memory for it.

use std::pin::pin;

use sockeye_proto::{MessageBuffer, Output};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Endpoint;
use super::incoming::{Incoming, IncomingKind};
use super::outcome::reply_or_report;
use super::reply::Reply;
use super::session::Session;
use crate::connection::driver::Driver;
use crate::connection::pool;

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
    let _busy = session.busy();
    let handled = match session.start_handler(Incoming::of(message)) {
        Ok(running) => driver.alongside(pin!(running)).await,
        Err(incoming) => {
            let running = pin!(endpoint.on_message(session, incoming));
            driver.alongside(running).await
        }
    };
    let returned = match &handled {
        Some(Ok(Reply::Text(text))) => {
            Some(PayloadLocation::of(IncomingKind::Text, text.as_bytes()))
        }
        Some(Ok(Reply::Binary(bytes))) => Some(PayloadLocation::of(IncomingKind::Binary, bytes)),
        _ => None,
    };
    let handled = match returned {
        Some(returned) if returned == location => Some(Ok(Reply::Message(
            pool::share(std::mem::take(message)).into(),
        ))),
        _ => handled,
    };
    reply_or_report(endpoint, session, driver, handled).await;
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
