//! The signals that ask the program to end.

use std::future::pending;
use std::io;

/// Completes at the next Ctrl-C, or when the system asks the program to terminate.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on signals are this object's, and end nothing by themselves.
    #[cfg(unix)]
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// From now on Ctrl-C is this object's, and ends nothing by itself.
    #[cfg(not(unix))]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// The next signal. Dropped before it is there, nothing is lost.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        let signal = async {
            tokio::select! {
                signal = self.interrupt.recv() => signal,
                signal = self.terminate.recv() => signal,
            }
        };
        #[cfg(not(unix))]
        let signal = async { tokio::signal::ctrl_c().await.ok() };
        if signal.await.is_none() {
            // No more of them can come.
            pending().await
        }
    }
}
