//! The signals that ask the program to end.

use std::future::pending;
use std::io;
use std::process;

use crate::connect::restore_terminal;
use crate::exit::INTERRUPTED;

/// The signals from now on: they end nothing by themselves any more.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes Ctrl-C (SIGINT) and SIGTERM.
    #[cfg(unix)]
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Takes Ctrl-C.
    #[cfg(not(unix))]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Completes at the first signal: the program is to end in order. The second one does not wait for
    /// that, and ends it at once.
    pub(crate) async fn stop(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            restore_terminal();
            process::exit(INTERRUPTED);
        });
    }

    async fn next(&mut self) {
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
