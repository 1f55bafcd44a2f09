//! The timer of the machine.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer for a time that often moves into the future. It is not set anew for that, because a message moves the time: it
/// expires, and then it is set.
#[derive(Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Waits until this time.
    pub(super) fn poll(&mut self, at: std::time::Instant, cx: &mut Context<'_>) -> Poll<()> {
        let at = Instant::from_std(at);
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        loop {
            if at < sleep.deadline() || sleep.is_elapsed() {
                sleep.as_mut().reset(at);
            }
            ready!(sleep.as_mut().poll(cx));
            if at <= sleep.deadline() {
                return Poll::Ready(());
            }
        }
    }
}
