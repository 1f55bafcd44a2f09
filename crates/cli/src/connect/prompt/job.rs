//! Job control: the signals that stop, continue and end a program with a prompt.
//!
//! At Ctrl-Z (SIGTSTP) the program gives the terminal to the shell, and stops. At SIGCONT it takes the terminal back. After
//! `bg` the terminal stays with the shell.

use std::io;
use std::process;
use std::sync::Arc;

use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::sequence::{ERASE_ROW, PASTE_OFF};
use super::terminal::{PATIENCE, is_taken, restore, suspend, take_back};

/// Starts a task that handles the signals. Returns a `Notify` that is notified when the program has the terminal again.
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

/// Stops the program. After SIGCONT it continues here.
async fn stop() {
    // The first process of a container cannot be stopped, and no shell would continue it.
    if getpid().is_init() {
        return;
    }
    if is_taken() {
        // Written after the output in progress. A terminal that takes no bytes does not hold the program.
        let leave = || rustix::io::write(io::stdout(), &[PASTE_OFF, ERASE_ROW].concat());
        let _ = timeout(PATIENCE, spawn_blocking(leave)).await;
        suspend();
    }
    // SIGTSTP has a handler, and does not stop the program.
    let _ = kill_process(getpid(), Signal::STOP);
}

/// The exit code after SIGQUIT: 128 plus the number of the signal, as in shells.
const QUIT: i32 = 131;
