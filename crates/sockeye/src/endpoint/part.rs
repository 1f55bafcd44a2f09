//! Delivers a part of a message to a handler, which may read the rest of the message itself, and Pongs. This is apart from the
//! loop for whole messages, so an idle session holds no memory for it.

use std::pin::pin;

use sockeye_proto::MessageBuffer;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Endpoint;
use super::incoming::{Incoming, IncomingKind, Pong};
use super::outcome::reply_or_report;
use super::session::Session;
use crate::connection::driver::Driver;
use crate::connection::driver::rest::RemainingMessage;
use crate::connection::link::InParts;
use crate::error::HandlerResult;

/// Returns the kinds of messages that an endpoint takes in parts.
pub(super) const fn in_parts<E: Endpoint>() -> InParts {
    const { kinds_in_parts(E::IN_PARTS) }
}

const fn kinds_in_parts(kinds: &[IncomingKind]) -> InParts {
    let mut in_parts = InParts {
        text: false,
        binary: false,
    };
    let mut rest = kinds;
    while let [kind, others @ ..] = rest {
        match kind {
            IncomingKind::Text => in_parts.text = true,
            IncomingKind::Binary => in_parts.binary = true,
            IncomingKind::Pong => {}
        }
        rest = others;
    }
    in_parts
}

impl InParts {
    pub(super) fn takes(self, part: &MessageBuffer) -> bool {
        match part {
            MessageBuffer::Text(_) => self.text,
            MessageBuffer::Binary(_) => self.binary,
        }
    }
}

/// Calls the handler with a part of a message, feeds its reader with later parts, and then delivers the pongs that
/// arrived meanwhile.
pub(super) async fn handle_part<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &mut E,
    session: &Session,
    driver: &mut Driver<T>,
    buffer: &mut MessageBuffer,
    is_last: bool,
) {
    // The handler of parts was removed: the rest of its message is dropped.
    if !session.in_parts(in_parts::<E>()).takes(buffer) {
        return;
    }
    let rest = RemainingMessage::default();
    let part = Incoming::part(buffer, &rest, is_last);
    handle(endpoint, session, driver, part, &rest).await;
    if rest.is_left() {
        driver.skip_message();
    }
    for payload in rest.take_pongs() {
        driver.released().await;
        if session.is_open() {
            handle_pong(endpoint, session, driver, payload).await;
        }
    }
}

/// Calls the handler with a Pong.
pub(super) async fn handle_pong<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &mut E,
    session: &Session,
    driver: &mut Driver<T>,
    payload: Vec<u8>,
) {
    let pong = Incoming::Pong(Pong::new(payload));
    handle(
        endpoint,
        session,
        driver,
        pong,
        &RemainingMessage::default(),
    )
    .await;
}

async fn handle<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &mut E,
    session: &Session,
    driver: &mut Driver<T>,
    incoming: Incoming<'_>,
    rest: &RemainingMessage,
) {
    let _busy = session.busy();
    let handled: Option<HandlerResult<_>> = match session.start_handler(incoming) {
        Ok(running) => driver.alongside_reader(pin!(running), rest).await,
        Err(incoming) => {
            let running = pin!(endpoint.on_message(session, incoming));
            driver.alongside_reader(running, rest).await
        }
    };
    reply_or_report(endpoint, session, driver, handled).await;
}
