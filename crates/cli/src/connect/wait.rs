//! Waits for a source of events that may be missing. Without a source the wait never completes, as `select!` needs it.

use std::future::pending;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::input::{Given, InputError};
use super::prompt::{Redraw, Redraws};

/// Waits for the next part of the input.
pub(super) async fn next_given(
    input: Option<&mut mpsc::Receiver<Result<Given, InputError>>>,
) -> Option<Result<Given, InputError>> {
    match input {
        Some(input) => input.recv().await,
        None => pending().await,
    }
}

/// Waits for the next reason to draw the prompt again.
pub(super) async fn redraw(redraws: Option<&mut Redraws>) -> Redraw {
    match redraws {
        Some(redraws) => redraws.next().await,
        None => pending().await,
    }
}

/// Waits until the deadline.
pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
