//! The mode and the size of the terminal that stdin is.
//!
//! Each key comes at once and is not shown by the terminal itself. All else stays: Ctrl-C is a signal, and a line
//! feed starts a line, whoever writes it.

use std::io;

#[cfg(unix)]
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};
#[cfg(unix)]
use rustix::termios::{tcgetattr, tcgetwinsize, tcsetattr};

/// While it is there each key comes by itself.
#[derive(Debug)]
pub(super) struct KeyMode(());

/// As the terminal was before, while it is in another mode.
#[cfg(unix)]
static BEFORE: std::sync::Mutex<Option<Termios>> = std::sync::Mutex::new(None);

impl KeyMode {
    #[cfg(unix)]
    pub(super) fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut mode = before.clone();
        let lines = LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN;
        mode.local_modes.remove(lines);
        mode.special_codes[SpecialCodeIndex::VMIN] = 1;
        mode.special_codes[SpecialCodeIndex::VTIME] = 0;
        set_before(Some(before));
        tcsetattr(io::stdin(), OptionalActions::Now, &mode)?;
        Ok(Self(()))
    }

    /// Only the lines that the terminal itself edits can be had.
    #[cfg(not(unix))]
    pub(super) fn enter() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Drop for KeyMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Leaves the terminal as it was; for who ends the program without dropping anything, too.
pub(crate) fn restore() {
    #[cfg(unix)]
    if let Some(before) = set_before(None) {
        // A terminal that is gone needs it no more.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

/// The columns of the terminal that stdout is.
pub(super) fn columns() -> usize {
    #[cfg(unix)]
    let known = tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_col.into());
    #[cfg(not(unix))]
    let known = 0;
    match known {
        0 => 80,
        columns => columns,
    }
}

/// Tells when the terminal has another size.
#[derive(Debug)]
pub(crate) struct Resizes {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Resizes {
    #[cfg(unix)]
    pub(super) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            signal: signal(SignalKind::window_change())?,
        })
    }

    /// There is no prompt there.
    #[cfg(not(unix))]
    pub(super) fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Completes the next time. Cancel safe.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}

/// Gives what was there.
#[cfg(unix)]
fn set_before(before: Option<Termios>) -> Option<Termios> {
    let held = BEFORE.lock();
    let mut held = held.unwrap_or_else(std::sync::PoisonError::into_inner);
    std::mem::replace(&mut held, before)
}
