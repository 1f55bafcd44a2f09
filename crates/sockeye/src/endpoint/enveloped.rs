//! Handles the messages of an enveloped session, whose peer speaks the subprotocol of topics. This is apart from the loop
//! for other sessions, so they hold no memory for it.

use std::pin::pin;

use sockeye_proto::{MessageBuffer, MessageKind, ProtocolError};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Endpoint;
use super::envelope::{HEADER_ROOM, LINE_FEED, envelop_binary, envelop_text, enveloped};
use super::incoming::Incoming;
use super::outcome::{reply_or_report, report_error};
use super::reply::Reply;
use super::session::Session;
use crate::connection::driver::rest::Control;
use crate::connection::driver::{Driver, Next};
use crate::error::Error;

/// Handles a message, a Ping or a Pong. A message of the application goes to its handler, any other frame to topics.
pub(super) async fn handle_enveloped<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &mut E,
    session: &Session,
    driver: &mut Driver<T>,
    next: Next,
    frame: &mut MessageBuffer,
) {
    let incoming = match next {
        Next::Ping(payload) => Incoming::of_control(Control::Ping(payload)),
        Next::Pong(payload) => Incoming::of_control(Control::Pong(payload)),
        _ if open(frame) => {
            if let Some(error) = check_size(driver, frame) {
                session.mailbox().close(error.close_reason());
                report_error(endpoint, session, driver, Error::Protocol(error)).await;
                return;
            }
            Incoming::of(frame)
        }
        _ => {
            let _busy = session.busy();
            if let Some(topics) = session.open_sessions().known_topics() {
                driver.alongside(pin!(topics.handle(session, frame))).await;
            }
            return;
        }
    };
    let _busy = session.busy();
    let handled = match session.start_handler(incoming) {
        Ok(running) => driver.alongside(pin!(running)).await,
        Err(incoming) => {
            let running = pin!(endpoint.on_message(session, incoming));
            driver.alongside(running).await
        }
    };
    let handled = handled.map(|handled| handled.map(enveloped_reply));
    reply_or_report(endpoint, session, driver, handled).await;
}

/// Checks the size of a message of the application. The connection allows more, because a frame has a header too.
fn check_size<T: AsyncRead + AsyncWrite + Unpin>(
    driver: &Driver<T>,
    message: &MessageBuffer,
) -> Option<ProtocolError> {
    let kind = match message {
        MessageBuffer::Text(_) => MessageKind::Text,
        MessageBuffer::Binary(_) => MessageKind::Binary,
    };
    let limit = driver.message_limit(kind).saturating_sub(HEADER_ROOM);
    let size = message.len() as u64;
    (size > limit).then_some(ProtocolError::MessageTooBig { size, limit })
}

/// Returns a reply in its envelope.
fn enveloped_reply(reply: Reply<'_>) -> Reply<'static> {
    match reply {
        Reply::None => Reply::None,
        Reply::Text(text) => Reply::Message(envelop_text(text).into()),
        Reply::Binary(bytes) => Reply::Message(envelop_binary(bytes).into()),
        Reply::Message(outgoing) => Reply::Message(enveloped(&outgoing)),
    }
}

/// Takes a message of the application out of its envelope. Returns whether the frame was one.
fn open(frame: &mut MessageBuffer) -> bool {
    match frame {
        MessageBuffer::Text(text) if text.as_bytes().first() == Some(&LINE_FEED) => {
            text.drain(..1);
            true
        }
        MessageBuffer::Binary(bytes) if bytes.first() == Some(&LINE_FEED) => {
            bytes.drain(..1);
            true
        }
        MessageBuffer::Text(_) | MessageBuffer::Binary(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_with_an_empty_header_is_opened_and_others_stay() {
        let text = |text: &str| MessageBuffer::Text(text.to_owned());
        let binary = |bytes: &[u8]| MessageBuffer::Binary(bytes.to_vec());
        for (mut frame, opened) in [
            (text("\n\na"), Some(text("\na"))),
            (binary(b"\n"), Some(binary(b""))),
            (text(""), None),
            (binary(b""), None),
            (text("{}\na"), None),
        ] {
            let before = frame.clone();
            assert_eq!(open(&mut frame), opened.is_some());
            assert_eq!(frame, opened.unwrap_or(before));
        }
    }
}
