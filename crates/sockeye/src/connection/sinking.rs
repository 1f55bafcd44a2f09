//! The waits of a sender that is used as a `Sink`: for room, for a flush, and for the end. Knows no halves.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::connection::direct::{Ended, Sending};
use crate::error::Error;

/// What a sender waits for as a `Sink`.
#[derive(Debug, Default)]
pub(super) struct Sinking {
    pub(super) feeding: Option<Sending>,
    pub(super) flushing: Option<Sending>,
    pub(super) closing: Option<Ended>,
}

impl Sinking {
    pub(super) fn poll_feeding(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let fed = ready!(poll_stored(&mut self.feeding, cx));
        Poll::Ready(fed.unwrap_or(Ok(())).map_err(Error::Send))
    }
}

/// Polls the stored future, if there is one, and drops it when it is ready.
pub(super) fn poll_stored<F: Future + Unpin>(
    stored: &mut Option<F>,
    cx: &mut Context<'_>,
) -> Poll<Option<F::Output>> {
    let Some(future) = stored else {
        return Poll::Ready(None);
    };
    let output = ready!(Pin::new(future).poll(cx));
    *stored = None;
    Poll::Ready(Some(output))
}
