//! The rare steps of a session's loop. Each is boxed: an idle task holds no memory for it, and dynamic dispatch keeps its
//! code out of the loop. One function starts them all, so the loop has one call for all of them.

use std::future::Future;
use std::pin::Pin;

use sockeye_proto::MessageBuffer;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Endpoint;
#[cfg(feature = "topics-wire")]
use super::enveloped::handle_enveloped;
use super::large::handle_large;
use super::notice::deliver_notices;
use super::outcome::report_error;
use super::part::handle_part;
use super::session::Session;
use crate::connection::driver::Driver;
#[cfg(feature = "topics-wire")]
use crate::connection::driver::Next;
use crate::error::Error;

/// The work of a rare step.
pub(super) enum Rare<'m> {
    HandleLarge(&'m mut MessageBuffer),
    /// A message or a Pong of an enveloped session.
    #[cfg(feature = "topics-wire")]
    HandleEnveloped(Next, &'m mut MessageBuffer),
    /// The part, and whether it is the last one of its message.
    HandlePart(&'m mut MessageBuffer, bool),
    /// The session has notices for the endpoint.
    DeliverNotices,
    Report(Error),
}

/// A rare step.
pub(super) type RareStep<'s> = Pin<Box<dyn Future<Output = ()> + Send + 's>>;

impl<'s> Rare<'s> {
    /// Starts the step.
    #[cold]
    #[inline(never)]
    pub(super) fn start<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin + Send>(
        self,
        endpoint: &'s mut E,
        session: &'s Session,
        driver: &'s mut Driver<T>,
    ) -> RareStep<'s> {
        match self {
            Self::HandleLarge(message) => {
                boxed(|| handle_large(endpoint, session, driver, message))
            }
            #[cfg(feature = "topics-wire")]
            Self::HandleEnveloped(next, frame) => {
                boxed(|| handle_enveloped(endpoint, session, driver, next, frame))
            }
            Self::HandlePart(part, is_last) => {
                boxed(|| handle_part(endpoint, session, driver, part, is_last))
            }
            Self::DeliverNotices => boxed(|| deliver_notices(endpoint, session, driver)),
            Self::Report(error) => boxed(|| report_error(endpoint, session, driver, error)),
        }
    }
}

/// Boxes a future in a stack frame of its own, so that the frame of the caller stays small.
#[inline(never)]
pub(super) fn boxed<'s, F: Future<Output = ()> + Send + 's>(
    make: impl FnOnce() -> F,
) -> RareStep<'s> {
    Box::pin(make())
}
