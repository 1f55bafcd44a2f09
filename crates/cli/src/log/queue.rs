//! Queues of lines for stdout and stderr. Lines wait in a bounded queue, and a thread writes them. Only that thread waits
//! for the stream.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A bounded queue of lines for one stream. If it is full, lines are left out and counted. When the stream can be written
/// again, a line says how many were left out.
pub(crate) struct LineQueue {
    shared: Arc<Shared>,
    /// The stream, until the first line starts the thread. Then the thread owns it.
    stream: Mutex<Option<Stream>>,
}

/// The stream that the thread writes to, and the function that it calls with an error.
struct Stream {
    name: &'static str,
    writer: Box<dyn Write + Send>,
    failed: fn(&io::Error),
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<u8>,
    left_out: u64,
    is_writing: bool,
}

impl LineQueue {
    /// The number of bytes that may wait.
    pub(crate) const MAX_BYTES: usize = 1 << 20;
    /// How long [`finish`](Self::finish) waits.
    pub(crate) const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

    /// Creates a queue for stderr. Errors of stderr are ignored.
    pub(crate) fn stderr() -> Self {
        Self::new("stderr", unlocked(&io::stderr()), |_| {})
    }

    /// Creates a queue for stdout. It calls `failed` with each error of stdout.
    pub(crate) fn stdout(failed: fn(&io::Error)) -> Self {
        Self::new("stdout", unlocked(&io::stdout()), failed)
    }

    fn new(name: &'static str, writer: Box<dyn Write + Send>, failed: fn(&io::Error)) -> Self {
        Self {
            shared: Arc::default(),
            stream: Mutex::new(Some(Stream {
                name,
                writer,
                failed,
            })),
        }
    }

    /// Takes whole lines to be written, all of them or none. Never waits for the stream.
    pub(crate) fn push(&self, lines: &[u8]) {
        let mut queue = self.shared.lock();
        if queue.waiting.len() + lines.len() > Self::MAX_BYTES {
            queue.left_out += 1;
            return;
        }
        queue.waiting.extend_from_slice(lines);
        drop(queue);
        self.shared.changed.notify_all();
        let stream = lock(&self.stream).take();
        if let Some(stream) = stream {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name(stream.name.to_owned());
            // If no thread can be started, the program continues without these lines.
            let _ = thread.spawn(move || shared.write_to(stream));
        }
    }

    /// Returns a writer for one event. Each of its writes is a whole line.
    pub(crate) fn line(self: &Arc<Self>) -> Line {
        Line(Arc::clone(self))
    }

    /// Waits until all lines are written, or until [`FINISH_TIMEOUT`](Self::FINISH_TIMEOUT) is over.
    pub(crate) fn finish(&self) {
        let is_busy = |queue: &mut Queue| queue.is_writing || !queue.waiting.is_empty();
        let queue = self.shared.lock();
        let changed = &self.shared.changed;
        drop(changed.wait_timeout_while(queue, Self::FINISH_TIMEOUT, is_busy));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// Writes lines for as long as the program runs.
    fn write_to(&self, mut stream: Stream) {
        let mut lines = Vec::new();
        loop {
            let queue = self.lock();
            let mut queue = self
                .changed
                .wait_while(queue, |queue| queue.waiting.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut lines, &mut queue.waiting);
            // Lines after these were left out, because the queue was full.
            let left_out = std::mem::take(&mut queue.left_out);
            queue.is_writing = true;
            drop(queue);
            if left_out > 0 {
                let name = stream.name;
                let told = format!("sockeye: {name} was full: {left_out} lines were left out\n");
                lines.extend_from_slice(told.as_bytes());
            }
            if let Err(error) = write_all(&mut *stream.writer, &lines) {
                (stream.failed)(&error);
            }
            lines.clear();
            lines.shrink_to(KEPT_BYTES);
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }
}

/// The writer of one event.
pub(crate) struct Line(Arc<LineQueue>);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for LineQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineQueue").finish_non_exhaustive()
    }
}

/// Writes all bytes.
fn write_all(stream: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    stream.flush()
}

/// Returns a writer with its own descriptor of the stream. A write that waits must not hold the standard library's lock.
#[cfg(unix)]
fn unlocked(stream: &impl std::os::fd::AsFd) -> Box<dyn Write + Send> {
    match stream.as_fd().try_clone_to_owned() {
        Ok(fd) => Box::new(Blocking(fd.into())),
        Err(_) => Box::new(io::sink()),
    }
}

#[cfg(not(unix))]
fn unlocked(stream: &impl std::os::windows::io::AsHandle) -> Box<dyn Write + Send> {
    match stream.as_handle().try_clone_to_owned() {
        Ok(handle) => Box::new(std::fs::File::from(handle)),
        Err(_) => Box::new(io::sink()),
    }
}

/// A descriptor whose writes wait, also if another program has made it non-blocking.
#[cfg(unix)]
struct Blocking(std::fs::File);

#[cfg(unix)]
impl Write for Blocking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        use rustix::event::{PollFd, PollFlags, poll};
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of bytes of memory that the thread keeps when it has nothing to write.
const KEPT_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A stream that reports each write, and waits until the test lets it continue.
    struct Gate {
        begun: mpsc::SyncSender<Vec<u8>>,
        may_go: mpsc::Receiver<()>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.begun.send(bytes.to_vec()).unwrap();
            let open = self.may_go.recv();
            open.map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gate() -> (LineQueue, mpsc::Receiver<Vec<u8>>, mpsc::SyncSender<()>) {
        let (begun, writes) = mpsc::sync_channel(8);
        let (go, may_go) = mpsc::sync_channel(8);
        let gate = Box::new(Gate { begun, may_go });
        (LineQueue::new("stderr", gate, |_| {}), writes, go)
    }

    #[test]
    fn a_stuck_stream_blocks_no_caller_and_reports_later_how_many_lines_were_left_out() {
        let (queue, writes, go) = gate();
        queue.push(b"first\n");
        assert_eq!(writes.recv().unwrap(), b"first\n");
        // The stream is stuck now. The queue holds exactly as many bytes as it has room for.
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        for _ in 0..LineQueue::MAX_BYTES / line.len() + 7 {
            queue.push(&line);
        }
        go.send(()).unwrap();
        let written = writes.recv().unwrap();
        let told = b"sockeye: stderr was full: 7 lines were left out\n";
        assert_eq!(written.len(), LineQueue::MAX_BYTES + told.len());
        assert!(written.ends_with(told));
        go.send(()).unwrap();
        queue.push(b"again\n");
        assert_eq!(writes.recv().unwrap(), b"again\n");
        go.send(()).unwrap();
        queue.finish();
        assert!(writes.try_recv().is_err());
    }

    #[test]
    fn finish_waits_for_what_can_be_written_and_not_for_a_stream_that_is_stuck() {
        let (queue, writes, go) = gate();
        queue.finish();
        queue.push(b"one\n");
        go.send(()).unwrap();
        queue.finish();
        assert_eq!(writes.try_recv().unwrap(), b"one\n");
        queue.push(b"stuck\n");
        // It returns. Otherwise the test would hang.
        queue.finish();
        drop(go);
    }

    #[test]
    fn an_error_of_the_stream_is_told_and_loses_the_line() {
        static TOLD: Mutex<Option<io::ErrorKind>> = Mutex::new(None);
        let (begun, writes) = mpsc::sync_channel(8);
        let (go, may_go) = mpsc::sync_channel(8);
        let failed = |error: &io::Error| *lock(&TOLD) = Some(error.kind());
        let queue = LineQueue::new("stdout", Box::new(Gate { begun, may_go }), failed);
        drop(go);
        queue.push(b"lost\n");
        assert_eq!(writes.recv().unwrap(), b"lost\n");
        queue.finish();
        assert_eq!(*lock(&TOLD), Some(io::ErrorKind::BrokenPipe));
    }
}
