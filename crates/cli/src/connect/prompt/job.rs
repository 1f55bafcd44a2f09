//! Job control: what signals do to a program that has the terminal.
//!
//! Ctrl-Z (SIGTSTP) gives the terminal to the shell before the program stops, and SIGCONT takes it back, or leaves it to the
//! shell after `bg`.

use std::io;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::terminal::{is_taken, restore, suspend, take_back};
use super::{ERASE_ROW, PASTE_OFF};

/// Sees to the signals from now on. Returns what is notified when the program has the terminal again.
pub(super) fn control() -> io::Result<Arc<Notify>> {
    let mut stops = signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?;
    let mut continues = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    let mut quits = signal(SignalKind::quit())?;
    let continued = Arc::new(Notify::new());
    let notified = continued.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                Some(()) = stops.recv() => stop().await,
                Some(()) = continues.recv() => if take_back() {
                    notified.notify_one();
                },
                Some(()) = quits.recv() => {
                    restore();
                    process::exit(QUIT);
                }
            }
        }
    });
    Ok(continued)
}

/// Stops the program. It goes on here, and SIGCONT comes next.
async fn stop() {
    // The first process of a container cannot be stopped, and would not be continued.
    if getpid().is_init() {
        return;
    }
    if is_taken() {
        // Behind what is being written. A terminal that takes nothing does not hold the program.
        let leave = || rustix::io::write(io::stdout(), &[PASTE_OFF, ERASE_ROW].concat());
        let _ = timeout(PATIENCE, spawn_blocking(leave)).await;
        suspend();
    }
    // SIGTSTP itself is handled, and does not stop.
    let _ = kill_process(getpid(), Signal::STOP);
}

/// How long writing to the terminal may keep the program from stopping or ending.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// The exit code after SIGQUIT: 128 and the signal's number, as shells have it.
const QUIT: i32 = 131;
