//! stdin and stdout of the terminal client. A thread writes stdout, so a full pipe or a stopped terminal blocks no
//! caller, and the caller sees the progress.
//!
//! This module does not know the meaning of the bytes.

use std::io;
#[cfg(unix)]
use std::io::IsTerminal;
#[cfg(not(unix))]
use std::io::Write;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tokio::sync::Notify;

/// A writer of stdout that does not block its caller.
#[derive(Clone, Debug)]
pub(crate) struct Writer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    // For the thread.
    has_work: Condvar,
    // For callers.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    waiting: Vec<u8>,
    // Bytes that the thread has taken and not yet written.
    in_hand: usize,
    // When the stream last took a byte, or when bytes were added while none waited.
    progressed_at: Instant,
    // After an error nothing more is written.
    failed: Option<Failed>,
}

/// A copy of an error, for more than one caller.
#[derive(Clone, Copy, Debug)]
struct Failed(io::ErrorKind, Option<i32>);

/// Writes to stdout. Blocks.
pub(crate) fn print(bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = write_some(rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}

impl Writer {
    /// Starts the thread. It ends with the program.
    pub(crate) fn start() -> Self {
        Self::start_with(write_some)
    }

    fn start_with(write: impl FnMut(&[u8]) -> io::Result<usize> + Send + 'static) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                waiting: Vec::new(),
                in_hand: 0,
                progressed_at: Instant::now(),
                failed: None,
            }),
            has_work: Condvar::new(),
            changed: Notify::new(),
        });
        let writing = Arc::clone(&shared);
        let started = thread::Builder::new().spawn(move || writing.run(write));
        if let Err(error) = started {
            shared.state().failed = Some(Failed::from(&error));
        }
        Self(shared)
    }

    /// Takes bytes. Has no limit of its own.
    pub(crate) fn push(&self, bytes: Vec<u8>) {
        self.0.state().append(bytes);
        self.0.has_work.notify_one();
    }

    /// Returns the number of bytes that are not written yet. It is 0 after an error.
    pub(crate) fn pending(&self) -> usize {
        self.0.state().pending()
    }

    /// Returns the time at which the stream last took a byte, or at which bytes were added while none waited.
    pub(crate) fn progressed_at(&self) -> Instant {
        self.0.state().progressed_at
    }

    /// Waits until all bytes are written.
    ///
    /// Cancel safe: unwritten bytes stay in the queue.
    pub(crate) async fn flushed(&self) -> io::Result<()> {
        loop {
            let notified = self.0.changed.notified();
            let mut notified = std::pin::pin!(notified);
            notified.as_mut().enable();
            if let Some(flushed) = self.0.state().flushed() {
                return flushed;
            }
            notified.await;
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes bytes when they are added, until an error.
    fn run(&self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) {
        loop {
            let bytes = self.take();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                // A blocking write returns when it has written all bytes. Small writes show progress.
                let part = rest.get(..MAX_WRITE).unwrap_or(rest);
                let written = write(part);
                let mut state = self.state();
                match written {
                    Ok(written) => {
                        rest = rest.get(written..).unwrap_or_default();
                        state.in_hand = rest.len();
                        state.progressed_at = Instant::now();
                    }
                    Err(error) => {
                        state.failed = Some(Failed::from(&error));
                        state.waiting = Vec::new();
                        state.in_hand = 0;
                    }
                }
                let has_failed = state.failed.is_some();
                drop(state);
                self.changed.notify_waiters();
                if has_failed {
                    return;
                }
            }
        }
    }

    /// Waits for bytes, and takes them.
    fn take(&self) -> Vec<u8> {
        let mut state = self.state();
        while state.waiting.is_empty() {
            let waited = self.has_work.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let bytes = mem::take(&mut state.waiting);
        state.in_hand = bytes.len();
        bytes
    }
}

impl State {
    fn append(&mut self, bytes: Vec<u8>) {
        if self.failed.is_some() {
            return;
        }
        if self.pending() == 0 {
            self.progressed_at = Instant::now();
        }
        if self.waiting.is_empty() {
            self.waiting = bytes;
        } else {
            self.waiting.extend_from_slice(&bytes);
        }
    }

    fn pending(&self) -> usize {
        self.waiting.len() + self.in_hand
    }

    /// Returns `None` while bytes wait.
    fn flushed(&self) -> Option<io::Result<()>> {
        match self.failed {
            Some(failed) => Some(Err(failed.into())),
            None => (self.pending() == 0).then_some(Ok(())),
        }
    }
}

impl From<&io::Error> for Failed {
    fn from(error: &io::Error) -> Self {
        Self(error.kind(), error.raw_os_error())
    }
}

impl From<Failed> for io::Error {
    fn from(Failed(kind, code): Failed) -> Self {
        code.map_or_else(|| kind.into(), Self::from_raw_os_error)
    }
}

/// Writes once.
///
/// The standard library ignores `EBADF`, and fails at a non-blocking descriptor. This function reports
/// the first, and waits for the second.
#[cfg(unix)]
fn write_some(bytes: &[u8]) -> io::Result<usize> {
    use rustix::event::PollFlags;
    use rustix::io::Errno;

    loop {
        match rustix::io::write(io::stdout(), bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait_until_ready(io::stdout(), PollFlags::OUT)?,
            written => return Ok(written?),
        }
    }
}

#[cfg(not(unix))]
fn write_some(bytes: &[u8]) -> io::Result<usize> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write(bytes)?;
    stdout.flush().map(|()| written)
}

/// A reader of stdin. Reading blocks.
///
/// Unlike the standard library, it reports a descriptor that cannot be read, and waits for a non-blocking one.
#[derive(Debug)]
pub(crate) struct Stdin {
    // Saved, because a terminal that is gone is no longer recognized.
    #[cfg(unix)]
    was_terminal: bool,
}

impl Stdin {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(unix)]
            was_terminal: io::stdin().is_terminal(),
        }
    }
}

impl io::Read for Stdin {
    #[cfg(unix)]
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        use rustix::event::PollFlags;
        use rustix::io::Errno;

        loop {
            match rustix::io::read(io::stdin(), &mut *bytes) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait_until_ready(io::stdin(), PollFlags::IN)?,
                // The terminal is gone, or belongs to another session.
                Err(Errno::IO) if self.was_terminal => return Ok(0),
                read => return Ok(read?),
            }
        }
    }

    #[cfg(not(unix))]
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        io::stdin().read(bytes)
    }
}

#[cfg(unix)]
fn wait_until_ready(
    stream: impl std::os::fd::AsFd,
    flags: rustix::event::PollFlags,
) -> io::Result<()> {
    use rustix::event::{PollFd, poll};
    use rustix::io::Errno;

    match poll(&mut [PollFd::new(&stream, flags)], None) {
        // The next read or write reports the state.
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The size limit of one write, in bytes.
const MAX_WRITE: usize = 4096;
#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Returns a writer of a stream that takes bytes when the sender allows it, and reports the bytes.
    fn gated() -> (
        Writer,
        mpsc::SyncSender<io::Result<()>>,
        mpsc::Receiver<String>,
    ) {
        let (open, gate) = mpsc::sync_channel::<io::Result<()>>(64);
        let (taken, texts) = mpsc::sync_channel(64);
        let writer = Writer::start_with(move |bytes| {
            gate.recv().map_err(io::Error::other)??;
            let text = String::from_utf8_lossy(bytes).into_owned();
            taken.send(text).map_err(io::Error::other)?;
            Ok(bytes.len())
        });
        (writer, open, texts)
    }

    #[tokio::test]
    async fn bytes_are_written_in_their_order_and_waited_for() {
        let (writer, open, texts) = gated();
        writer.push(b"one ".to_vec());
        writer.push(b"two".to_vec());
        assert_eq!(writer.pending(), 7);
        // At most the number of writes.
        (0..2).for_each(|_| open.send(Ok(())).expect("it writes"));
        writer.flushed().await.expect("it does not fail");
        assert_eq!(writer.pending(), 0);
        assert_eq!(texts.try_iter().collect::<String>(), "one two");
    }

    #[tokio::test]
    async fn an_error_is_told_each_time_and_nothing_waits_after_it() {
        let (writer, open, _texts) = gated();
        writer.push(b"one".to_vec());
        let failed = io::Error::from_raw_os_error(28);
        open.send(Err(failed)).expect("it writes");
        for _ in 0..2 {
            let flushed = writer.flushed().await;
            assert_eq!(flushed.map_err(|error| error.raw_os_error()), Err(Some(28)));
            writer.push(b"two".to_vec());
            assert_eq!(writer.pending(), 0);
        }
    }
}
