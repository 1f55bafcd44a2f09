//! The mode and the size of the terminal that stdin is.
//!
//! Each key comes at once and is not shown by the terminal itself. Ctrl-C and Ctrl-Z are signals, and a line feed that
//! is written starts a line.

use std::io;
#[cfg(unix)]
use std::os::fd::AsFd;
#[cfg(unix)]
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(unix)]
use std::time::Duration;

#[cfg(unix)]
use rustix::event::{PollFd, PollFlags, Timespec, poll};
#[cfg(unix)]
use rustix::process::getpgrp;
#[cfg(unix)]
use rustix::termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
#[cfg(unix)]
use rustix::termios::{tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr};

#[cfg(unix)]
use super::job::PATIENCE;
#[cfg(unix)]
use super::{PASTE_OFF, PASTE_ON, job};

/// While it is there each key comes by itself.
#[derive(Debug)]
pub(super) struct KeyMode(());

/// Whose mode the terminal is in.
///
/// ```text
///   Lines ── enter ──▶ Keys ── suspend ──▶ Suspended
///     ▲                 │ ▲                 │   │
///     ├──── restore ────┘ └─── take_back ───┘   │
///     └──────────────── restore ────────────────┘
/// ```
#[cfg(unix)]
enum Mode {
    /// The terminal is as the program found it.
    Lines,
    /// With what it was before.
    Keys(Termios),
    /// The program gave it back, and wants it when it is continued.
    Suspended,
}

/// A terminal belongs to the process, and a signal has to find its mode.
#[cfg(unix)]
static MODE: Mutex<Mode> = Mutex::new(Mode::Lines);

impl KeyMode {
    #[cfg(unix)]
    pub(super) fn enter() -> io::Result<Self> {
        *mode() = Mode::Keys(take_keys()?);
        Ok(Self(()))
    }

    /// Without a terminal.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self(())
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
    if let Mode::Keys(before) = std::mem::replace(&mut *mode(), Mode::Lines)
        && is_foreground()
    {
        write_soon(PASTE_OFF);
        give_back(&before);
    }
}

/// Gives the terminal to the shell for a while. Returns whether it was in this program's mode.
#[cfg(unix)]
pub(super) fn suspend() -> bool {
    let mut mode = mode();
    let Mode::Keys(before) = &*mode else {
        return false;
    };
    if is_foreground() {
        give_back(before);
    }
    *mode = Mode::Suspended;
    true
}

/// Whether the terminal is in this program's mode.
#[cfg(unix)]
pub(super) fn is_taken() -> bool {
    matches!(&*mode(), Mode::Keys(_))
}

/// Takes the terminal back after [`suspend`], or after a stop that no process can see coming. In the background it stays
/// the shell's. Returns whether it was taken.
#[cfg(unix)]
pub(super) fn take_back() -> bool {
    let mut mode = mode();
    if !is_foreground() {
        return false;
    }
    match &*mode {
        Mode::Lines => false,
        Mode::Suspended => match take_keys() {
            Ok(before) => {
                *mode = Mode::Keys(before);
                true
            }
            Err(_) => false,
        },
        Mode::Keys(_) => take_keys().is_ok(),
    }
}

/// Returns how the terminal was before.
#[cfg(unix)]
fn take_keys() -> io::Result<Termios> {
    let before = tcgetattr(io::stdin())?;
    let mut mode = before.clone();
    let lines = LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN;
    mode.local_modes.remove(lines);
    // A line end in a paste comes as the terminal sent it.
    let line_ends = InputModes::ICRNL | InputModes::INLCR | InputModes::IGNCR;
    mode.input_modes.remove(line_ends);
    mode.special_codes[SpecialCodeIndex::VMIN] = 1;
    mode.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(io::stdin(), OptionalActions::Now, &mode)?;
    Ok(before)
}

#[cfg(unix)]
fn give_back(before: &Termios) {
    // A terminal that is gone needs it no more.
    let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
}

/// Whether this process may change the terminal: SIGTTOU stops one in the background that tries.
#[cfg(unix)]
fn is_foreground() -> bool {
    // A terminal that does not control this process knows no background.
    tcgetpgrp(io::stdin()).map_or(true, |group| group == getpgrp())
}

/// Waits until there are keys to be read. Reading in the background would stop the program by SIGTTIN, and then no signal
/// could end it in order: keys are left to the shell there.
pub(crate) fn await_keys() {
    #[cfg(unix)]
    loop {
        let stdin = io::stdin();
        let ready = poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None);
        if ready.is_err_and(|error| error == rustix::io::Errno::INTR) {
            continue;
        }
        if is_foreground() {
            // A shell may bring a running program to the foreground without SIGCONT.
            let is_suspended = matches!(&*mode(), Mode::Suspended);
            if is_suspended && take_back() {
                write_soon(PASTE_ON);
            }
            return;
        }
        // The shell reads them.
        std::thread::sleep(BACKGROUND_PAUSE);
    }
}

/// Between two looks at keys that came while the program is in the background.
#[cfg(unix)]
const BACKGROUND_PAUSE: Duration = Duration::from_millis(100);

/// Writes to the terminal, unless the terminal takes nothing for [`PATIENCE`].
#[cfg(unix)]
fn write_soon(bytes: &[u8]) {
    write_within(PATIENCE, io::stdout(), bytes);
}

/// Writes, unless `terminal` takes nothing for so long.
// While another thread writes, the kernel says that a terminal takes nothing: so one look alone would lose the bytes.
#[cfg(unix)]
fn write_within(patience: Duration, terminal: impl AsFd, bytes: &[u8]) {
    let mut ready = [PollFd::new(&terminal, PollFlags::OUT)];
    let patience = Timespec {
        tv_sec: patience.as_secs().cast_signed(),
        tv_nsec: patience.subsec_nanos().into(),
    };
    let is_ready = loop {
        match poll(&mut ready, Some(&patience)) {
            Err(rustix::io::Errno::INTR) => {}
            polled => break polled.is_ok_and(|ready| ready > 0),
        }
    };
    if is_ready && ready.iter().all(|fd| fd.revents() == PollFlags::OUT) {
        // A terminal that is gone needs it no more.
        let _ = rustix::io::write(&terminal, bytes);
    }
}

#[cfg(unix)]
fn mode() -> MutexGuard<'static, Mode> {
    MODE.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Why to draw the prompt anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redraw {
    /// The terminal has another size.
    Resized,
    /// The program was stopped, and has the terminal again.
    Continued,
}

/// Tells when to draw the prompt anew.
#[derive(Debug)]
pub(crate) struct Redraws {
    #[cfg(unix)]
    resized: tokio::signal::unix::Signal,
    #[cfg(unix)]
    continued: Arc<tokio::sync::Notify>,
}

impl Redraws {
    /// From then on the program stops and continues with its terminal in order.
    #[cfg(unix)]
    pub(super) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            continued: job::control()?,
        })
    }

    /// There is no prompt there.
    #[cfg(not(unix))]
    pub(super) fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Completes the next time. Cancel safe.
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

#[cfg(all(test, unix))]
mod tests {
    use std::io::{Read, Write};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_write_waits_while_the_terminal_takes_nothing_and_is_given_up_after_that() {
        const ROOM: usize = 64 * 1024;
        let (mut near, mut far) = io::pipe().unwrap();
        far.write_all(&[b'.'; ROOM]).unwrap();
        let fd = far.try_clone().unwrap();
        let (sender, written) = mpsc::sync_channel(1);
        thread::spawn(move || {
            write_within(Duration::from_secs(60), fd, PASTE_OFF);
            sender.send(()).unwrap();
        });
        let waits = written.recv_timeout(Duration::from_millis(100));
        assert_eq!(waits, Err(mpsc::RecvTimeoutError::Timeout));
        near.read_exact(&mut [0; ROOM]).unwrap();
        written.recv().unwrap();
        let mut last = [0; PASTE_OFF.len()];
        near.read_exact(&mut last).unwrap();
        assert_eq!(last, *PASTE_OFF);

        far.write_all(&[b'.'; ROOM]).unwrap();
        write_within(Duration::from_millis(1), far, PASTE_OFF);
        let mut left = Vec::new();
        near.read_to_end(&mut left).unwrap();
        assert_eq!(left.len(), ROOM);
    }
}
