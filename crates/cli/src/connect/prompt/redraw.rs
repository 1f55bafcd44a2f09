//! The events after which the prompt has to be drawn again: a new size of the terminal, and the end of a stop.

use std::io;
#[cfg(unix)]
use std::sync::Arc;

#[cfg(unix)]
use super::job;

/// The reason to draw the prompt again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redraw {
    /// The size of the terminal has changed.
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "only on Unix the program has a prompt")
    )]
    Resized,
    /// The program was stopped, and has the terminal again.
    Continued,
}

/// The source of events after which the prompt has to be drawn again.
#[derive(Debug)]
pub(crate) struct Redraws {
    #[cfg(unix)]
    resized: tokio::signal::unix::Signal,
    #[cfg(unix)]
    continued: Arc<tokio::sync::Notify>,
}

impl Redraws {
    /// Starts the handling of signals that stop and continue the program.
    #[cfg(unix)]
    pub(super) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            continued: job::control()?,
        })
    }

    /// Not supported here: there is no prompt.
    #[cfg(not(unix))]
    pub(super) fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Completes at the next event. Cancel safe.
    pub(crate) async fn next(&mut self) -> Redraw {
        #[cfg(unix)]
        tokio::select! {
            Some(()) = self.resized.recv() => Redraw::Resized,
            () = self.continued.notified() => Redraw::Continued,
        }
        #[cfg(not(unix))]
        std::future::pending().await
    }
}
