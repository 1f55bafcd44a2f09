//! The outcome of a callback: a reply is sent, and an error goes to `on_error`.

use std::pin::pin;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Endpoint;
use super::reply::Reply;
use super::session::Session;
use crate::connection::driver::Driver;
use crate::error::{Error, HandlerResult};
use crate::observer::Event;

/// Sends the reply of a handler. `None` says that the session was aborted: so does the next event of the driver.
pub(super) fn reply<T: AsyncRead + AsyncWrite + Unpin>(
    driver: &mut Driver<T>,
    handled: Option<HandlerResult<Reply<'_>>>,
) -> Result<(), Error> {
    match handled {
        Some(Ok(reply)) => driver.reply(reply),
        Some(Err(error)) => Err(error.into()),
        None => Ok(()),
    }
}

/// Sends the reply of a handler in a rare step, and reports the error of the handler or of the send.
pub(super) async fn reply_or_report<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &mut E,
    session: &Session,
    driver: &mut Driver<T>,
    handled: Option<HandlerResult<Reply<'_>>>,
) {
    if let Err(error) = reply(driver, handled) {
        report_error(endpoint, session, driver, error).await;
    }
}

/// Reports an error to `on_error`.
pub(super) async fn report_error<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &mut E,
    session: &Session,
    driver: &mut Driver<T>,
    error: Error,
) {
    if let Error::Decode(_) = error {
        session.counters().observe(Event::MessageUndecodable);
    }
    let _busy = session.busy();
    let running = pin!(endpoint.on_error(session, &error));
    driver.alongside(running).await;
}
