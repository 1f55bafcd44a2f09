//! The rare steps of a session's loop. Each is boxed: an idle task holds no memory for it, and dynamic dispatch keeps its
//! code out of the loop. One function starts them all, so the loop has one call for all of them.

use std::future::{Future, ready};
use std::pin::Pin;

use sockeye_proto::MessageBuffer;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Endpoint;
#[cfg(feature = "topics-wire")]
use super::enveloped::handle_enveloped;
use super::large::{handle_large, is_large};
use super::notice::deliver_notices;
use super::outcome::report_error;
use super::part::{handle_control, handle_part};
use super::session::Session;
use crate::connection::driver::rest::Control;
use crate::connection::driver::{Driver, Next};

/// A rare step.
pub(super) type RareStep<'s> = Pin<Box<dyn Future<Output = ()> + Send + 's>>;

/// Whether a rare step handles the whole message.
#[inline]
pub(super) fn is_rare(session: &Session, message: &MessageBuffer) -> bool {
    is_large(message) || session.is_enveloped()
}

/// Starts the step for any event of the driver but its end. A message or a part is in `message`.
#[cold]
#[inline(never)]
pub(super) fn start<'s, E: Endpoint, T: AsyncRead + AsyncWrite + Unpin + Send>(
    next: Next,
    message: &'s mut MessageBuffer,
    endpoint: &'s mut E,
    session: &'s Session,
    driver: &'s mut Driver<T>,
) -> RareStep<'s> {
    match next {
        #[cfg(feature = "topics-wire")]
        Next::Message | Next::Ping(_) | Next::Pong(_) if session.is_enveloped() => {
            boxed(|| handle_enveloped(endpoint, session, driver, next, message))
        }
        Next::Message => boxed(|| handle_large(endpoint, session, driver, message)),
        Next::Part(is_last) => {
            boxed(move || handle_part(endpoint, session, driver, message, is_last))
        }
        Next::Ping(payload) => {
            boxed(|| handle_control(endpoint, session, driver, Control::Ping(payload)))
        }
        Next::Pong(payload) => {
            boxed(|| handle_control(endpoint, session, driver, Control::Pong(payload)))
        }
        Next::Notice => boxed(|| deliver_notices(endpoint, session, driver)),
        Next::AnswerFailed(error) => boxed(|| report_error(endpoint, session, driver, error)),
        Next::End => Box::pin(ready(())),
    }
}

/// Boxes a future in a stack frame of its own, so that the frame of the caller stays small.
#[inline(never)]
pub(super) fn boxed<'s, F: Future<Output = ()> + Send + 's>(
    make: impl FnOnce() -> F,
) -> RareStep<'s> {
    Box::pin(make())
}
