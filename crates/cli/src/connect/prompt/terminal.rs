//! The mode and the size of the terminal.
//!
//! In the program's mode, the terminal passes on each key at once, and does not show it. Ctrl-C and Ctrl-Z still send
//! signals, and a written line feed still starts a new line.

use std::io;
#[cfg(unix)]
use std::os::fd::AsFd;
#[cfg(unix)]
use std::sync::{Mutex, MutexGuard, PoisonError};
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
use super::sequence::{PASTE_OFF, PASTE_ON};

/// A guard: while it exists, the terminal passes on each key.
#[derive(Debug)]
pub(super) struct KeyMode(());

/// The mode of the terminal.
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
    /// The terminal passes on each key. Holds the mode from before.
    Keys(Termios),
    /// The program gave the terminal back, and takes it when it continues.
    Suspended,
}

/// The mode is global: a process has one terminal, and signals have to restore it.
#[cfg(unix)]
static MODE: Mutex<Mode> = Mutex::new(Mode::Lines);

impl KeyMode {
    #[cfg(unix)]
    pub(super) fn enter() -> io::Result<Self> {
        *mode() = Mode::Keys(take_keys()?);
        Ok(Self(()))
    }

    /// Returns a guard without a terminal.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self(())
    }

    /// Not supported here: the terminal edits lines itself.
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

/// Restores the terminal. A caller that ends the program without dropping its values calls this first.
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

/// Takes the terminal back after [`suspend`], or after SIGSTOP. In the background it leaves the terminal to the shell.
/// Returns whether it took the terminal.
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

/// Changes the mode of the terminal. Returns the mode from before.
#[cfg(unix)]
fn take_keys() -> io::Result<Termios> {
    let before = tcgetattr(io::stdin())?;
    let mut mode = before.clone();
    let lines = LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN;
    mode.local_modes.remove(lines);
    // Line ends in a paste stay as the terminal sent them.
    let line_ends = InputModes::ICRNL | InputModes::INLCR | InputModes::IGNCR;
    mode.input_modes.remove(line_ends);
    mode.special_codes[SpecialCodeIndex::VMIN] = 1;
    mode.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(io::stdin(), OptionalActions::Now, &mode)?;
    Ok(before)
}

#[cfg(unix)]
fn give_back(before: &Termios) {
    // Fails if the terminal is gone.
    let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
}

/// Whether this process is in the foreground. In the background, a change of the terminal would stop it by SIGTTOU.
#[cfg(unix)]
fn is_foreground() -> bool {
    // Without a controlling terminal there is no background.
    tcgetpgrp(io::stdin()).map_or(true, |group| group == getpgrp())
}

/// Waits until keys can be read. In the background it leaves the keys to the shell. A read would stop the program by
/// SIGTTIN, and then no signal could end the program in order.
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

/// The pause between two checks for keys while the program is in the background.
#[cfg(unix)]
const BACKGROUND_PAUSE: Duration = Duration::from_millis(100);

/// How long writing to the terminal may keep the program from stopping or ending.
#[cfg(unix)]
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Writes to the terminal, unless the terminal takes nothing for [`PATIENCE`].
#[cfg(unix)]
fn write_soon(bytes: &[u8]) {
    write_within(PATIENCE, io::stdout(), bytes);
}

/// Writes to `terminal`. Gives up if the terminal takes no byte for the time `patience`.
// While another thread writes, the kernel reports that the terminal takes nothing. So a single check would lose the
// bytes.
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
        // Fails if the terminal is gone.
        let _ = rustix::io::write(&terminal, bytes);
    }
}

#[cfg(unix)]
fn mode() -> MutexGuard<'static, Mode> {
    MODE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the number of columns of the terminal; 80 if it is not known.
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
