//! Notices for the endpoint of a session: other tasks leave them, and the session's task delivers them when no callback
//! runs.

#[cfg(feature = "topics")]
use std::pin::pin;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Endpoint;
#[cfg(feature = "topics")]
use super::outcome::report_error;
use super::session::Session;
use crate::connection::driver::Driver;

/// Calls the endpoint with each gap that waits.
#[cfg(feature = "topics")]
pub(super) async fn deliver_notices<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &mut E,
    session: &Session,
    driver: &mut Driver<T>,
) {
    for gap in session.take_gaps() {
        if !session.is_open() {
            return;
        }
        let busy = session.busy();
        let told = driver.alongside(pin!(endpoint.on_gap(session, &gap))).await;
        drop(busy);
        match told {
            Some(Ok(())) => {}
            Some(Err(error)) => report_error(endpoint, session, driver, error.into()).await,
            // The session was aborted.
            None => return,
        }
    }
}

/// Does nothing: there are no notices without topics.
#[cfg(not(feature = "topics"))]
pub(super) async fn deliver_notices<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    _endpoint: &mut E,
    _session: &Session,
    _driver: &mut Driver<T>,
) {
}
