//! The signals that ask the program to end.

use std::io;
use std::process;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::connect::restore_terminal;
use crate::exit::INTERRUPTED;

/// The handlers of the signals. While they exist, the signals do not end the program by themselves.
pub(crate) struct Signals {
    #[cfg(unix)]
    sources: Vec<tokio::signal::unix::Signal>,
}

/// The request to end the program. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<Option<Instant>>);

impl Signals {
    /// Takes Ctrl-C (SIGINT), SIGTERM, and SIGHUP.
    #[cfg(unix)]
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
        if takes_hangup() {
            kinds.push(SignalKind::hangup());
        }
        let sources = kinds.into_iter().map(signal).collect::<io::Result<_>>()?;
        Ok(Self { sources })
    }

    /// Takes Ctrl-C.
    #[cfg(not(unix))]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for signals in a task. The first one asks the program to end in order; the second one ends it at once.
    pub(crate) fn stop(mut self) -> Stop {
        let (sender, stop) = watch::channel(None);
        tokio::spawn(async move {
            self.next().await;
            sender.send_replace(Some(Instant::now()));
            self.next().await;
            restore_terminal();
            process::exit(INTERRUPTED);
        });
        Stop(stop)
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        std::future::poll_fn(|cx| {
            // Every source is polled, so that each one wakes the task. A source that has ended sends no more.
            let mut polled = self.sources.iter_mut().map(|source| source.poll_recv(cx));
            match polled.any(|signal| matches!(signal, std::task::Poll::Ready(Some(())))) {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            // No signal can come.
            std::future::pending().await
        }
    }
}

impl Stop {
    /// Completes at the first signal, and at once after that. Returns the time of that signal. Cancel safe.
    pub(crate) async fn asked(&mut self) -> Instant {
        loop {
            if let Some(at) = *self.0.borrow_and_update() {
                return at;
            }
            if self.0.changed().await.is_err() {
                // The runtime has dropped the task: no signal can come.
                std::future::pending().await
            }
        }
    }
}

/// Whether SIGHUP asks the program to end. `nohup` starts programs with the signal ignored, and it stays ignored.
#[cfg(target_os = "linux")]
fn takes_hangup() -> bool {
    const HANGUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // If the mask cannot be read, the signal keeps its default action, and ends the program.
    ignored.is_some_and(|mask| mask & HANGUP == 0)
}

/// The program cannot see here whether the signal is ignored, so it leaves the signal alone.
#[cfg(all(unix, not(target_os = "linux")))]
fn takes_hangup() -> bool {
    false
}
