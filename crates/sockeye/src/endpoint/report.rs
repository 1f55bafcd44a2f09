//! Log lines about callbacks. A peer may be able to repeat each of them, so each reason has a limit. Errors that the
//! peer causes are logged at `debug`.

use std::any::Any;

use sockeye_mailbox::SendError;

use super::session::Session;
use crate::error::{Error, ErrorChain, HandlerError};
use crate::router::ParameterError;
use crate::stats::Counters;

/// Logs the error of a callback, where the endpoint has no `on_error` of its own.
pub(super) fn callback_error(session: &Session, error: &Error) {
    let chain = ErrorChain::new(error);
    if is_of_the_peer(error) {
        tracing::debug!(session = %session.id(), error = %chain, "a message was not handled");
    } else if let Some(left_out) = session.counters().log.callback_error.admit_now() {
        tracing::warn!(session = %session.id(), error = %chain, left_out, "a callback failed");
    }
}

/// Logs the error that `on_error` itself returned.
pub(super) fn on_error_failed(session: &Session, error: &HandlerError) {
    if let Some(left_out) = session.counters().log.on_error.admit_now() {
        let error = ErrorChain::new(error.cause());
        tracing::warn!(session = %session.id(), %error, left_out, "on_error failed");
    }
}

/// Logs a callback's panic.
pub(super) fn panic(counters: &Counters, panic: &(dyn Any + Send)) {
    if let Some(left_out) = counters.log.callback_panic.admit_now() {
        tracing::error!(panic = panic_text(panic), left_out, "a callback panicked");
    }
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("not a string")
}

/// Returns whether the peer causes this error: by a message, by the path that it requests, or by its disconnect.
fn is_of_the_peer(error: &Error) -> bool {
    match error {
        Error::Decode(_)
        | Error::Io(_)
        | Error::PeerDead
        | Error::Protocol(_)
        | Error::UnexpectedEnd
        | Error::WriteStalled => true,
        Error::Path(error) => {
            let is_malformed = |error| matches!(error, &ParameterError::Malformed { .. });
            error.downcast_ref().is_some_and(is_malformed)
        }
        Error::Send(error) => *error == SendError::Closed,
        Error::Handler(error) => {
            error.downcast_ref() == Some(&SendError::Closed)
                || error.downcast_ref().is_some_and(is_of_the_peer)
        }
        Error::Accept(_)
        | Error::Connect(_)
        | Error::Encode(_)
        | Error::Server(_)
        | Error::Tls(_) => false,
    }
}
