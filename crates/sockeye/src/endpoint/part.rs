//! Delivers a part of a message to a handler, which may read the rest of the message itself, and Pings and Pongs. This is apart from the
//! loop for whole messages, so an idle session holds no memory for it.

use std::pin::pin;

use sockeye_proto::{MessageBuffer, MessageKind};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Endpoint;
use super::incoming::{Incoming, IncomingKind};
use super::outcome::reply_or_report;
use super::session::Session;
use crate::connection::driver::Driver;
use crate::connection::driver::rest::{Control, RemainingMessage};
use crate::connection::link::Wanted;
use crate::error::HandlerResult;

/// Returns what an endpoint wants besides whole messages.
pub(super) const fn wanted<E: Endpoint>() -> Wanted {
    const { of_endpoint(E::IN_PARTS, E::PINGS) }
}

const fn of_endpoint(in_parts: &[IncomingKind], pings: bool) -> Wanted {
    let mut wanted = Wanted {
        text_parts: false,
        binary_parts: false,
        pings,
    };
    let mut rest = in_parts;
    while let [kind, others @ ..] = rest {
        match kind {
            IncomingKind::Text => wanted.text_parts = true,
            IncomingKind::Binary => wanted.binary_parts = true,
            IncomingKind::Ping | IncomingKind::Pong => {}
        }
        rest = others;
    }
    wanted
}

/// Calls the handler with a part of a message, feeds its reader with later parts, and then delivers the Pings and Pongs that
/// arrived meanwhile.
pub(super) async fn handle_part<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &mut E,
    session: &Session,
    driver: &mut Driver<T>,
    buffer: &mut MessageBuffer,
    is_last: bool,
) {
    // The handler of parts was removed: the rest of its message is dropped.
    let kind = match buffer {
        MessageBuffer::Text(_) => MessageKind::Text,
        MessageBuffer::Binary(_) => MessageKind::Binary,
    };
    if !session.wanted(wanted::<E>()).in_parts(kind) {
        return;
    }
    let rest = RemainingMessage::default();
    let part = Incoming::part(buffer, &rest, is_last);
    handle(endpoint, session, driver, part, &rest).await;
    if rest.is_left() {
        driver.skip_message();
    }
    for control in rest.take_controls() {
        driver.released().await;
        if session.is_open() {
            handle_control(endpoint, session, driver, control).await;
        }
    }
}

/// Calls the handler with a Ping or a Pong.
pub(super) async fn handle_control<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &mut E,
    session: &Session,
    driver: &mut Driver<T>,
    control: Control,
) {
    let incoming = Incoming::of_control(control);
    let rest = RemainingMessage::default();
    handle(endpoint, session, driver, incoming, &rest).await;
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
