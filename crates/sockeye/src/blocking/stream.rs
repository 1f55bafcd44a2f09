//! The transport of a blocking connection: TCP or a Unix socket with no TLS, one layer or two (to a proxy, and through it). Waiting
//! ends at a deadline. After a passed deadline an operation still takes the bytes in the socket, without waiting. There are
//! two reasons: the process may have been stopped meanwhile, and a timeout of zero asks for exactly this.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use socket2::Socket;

#[cfg(feature = "tls")]
use crate::tls::rustls::{ClientConnection, StreamOwned};

pub(super) enum Stream {
    Plain(Socket),
    #[cfg(feature = "tls")]
    Secure(Box<StreamOwned<ClientConnection, Self>>),
}

impl Stream {
    /// Reads some bytes. Waits for them until the deadline, then fails with [`io::ErrorKind::TimedOut`]. If the
    /// deadline has passed already, it reads the bytes in the socket.
    pub(super) fn read_until(
        &mut self,
        buffer: &mut [u8],
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
        self.by(deadline, |stream| stream.read(buffer))
    }

    /// Writes some of the bytes. Waits until the deadline, then fails with [`io::ErrorKind::TimedOut`].
    pub(super) fn write_until(
        &mut self,
        bytes: &[u8],
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
        self.by(deadline, |stream| stream.write(bytes))
    }

    /// Writes the bytes that TLS has buffered.
    pub(super) fn flush_until(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.by(deadline, Self::flush)
    }

    /// Fills the buffer, and reads no byte beyond it.
    pub(super) fn read_exact_until(
        &mut self,
        mut buffer: &mut [u8],
        deadline: Instant,
    ) -> io::Result<()> {
        while !buffer.is_empty() {
            let read = self.read_until(buffer, Some(deadline))?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer = buffer.get_mut(read..).unwrap_or_default();
        }
        Ok(())
    }

    /// Writes all bytes, and flushes them.
    pub(super) fn write_all_until(
        &mut self,
        mut bytes: &[u8],
        deadline: Instant,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.write_until(bytes, Some(deadline))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(written..).unwrap_or_default();
        }
        self.flush_until(Some(deadline))
    }

    /// Completes the TLS handshake. Does nothing without TLS.
    #[cfg(feature = "tls")]
    pub(super) fn secure_until(&mut self, deadline: Instant) -> io::Result<()> {
        self.by(Some(deadline), |stream| match stream {
            Self::Plain(_) => Ok(()),
            Self::Secure(tls) => tls.conn.complete_io(&mut tls.sock).map(drop),
        })
    }

    /// Ends writing. With TLS it first sends `close_notify`, if that does not block.
    pub(super) fn shut(&mut self) {
        #[cfg(feature = "tls")]
        if let Self::Secure(tls) = self {
            tls.conn.send_close_notify();
            let _ = tls.sock.socket().set_write_timeout(Some(LEAST));
            let _ = tls.conn.write_tls(&mut tls.sock);
        }
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// Repeats `io` until it succeeds, fails or the deadline has passed. Then `io` runs once more without waiting.
    fn by<R>(
        &mut self,
        deadline: Option<Instant>,
        mut io: impl FnMut(&mut Self) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            let waits = match deadline.map(|due| due.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return self.at_once(io),
                Some(remaining) => Some(remaining.max(LEAST)),
                None => None,
            };
            // Both, because TLS may read in order to write, and write in order to read.
            self.socket().set_read_timeout(waits)?;
            self.socket().set_write_timeout(waits)?;
            match io(self) {
                Err(error) if is_passing(&error) => {}
                done => return done,
            }
        }
    }

    /// Runs `io` without waiting. Fails with [`io::ErrorKind::TimedOut`] if it would block.
    fn at_once<R>(&mut self, mut io: impl FnMut(&mut Self) -> io::Result<R>) -> io::Result<R> {
        self.socket().set_nonblocking(true)?;
        let done = loop {
            match io(self) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_passing(&error) => break Err(io::ErrorKind::TimedOut.into()),
                done => break done,
            }
        };
        self.socket().set_nonblocking(false)?;
        done
    }

    fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Self::Secure(tls) => tls.sock.socket(),
        }
    }
}

/// Reads and writes with the timeouts of the socket. TLS uses these traits.
impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            #[cfg(feature = "tls")]
            Self::Secure(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            #[cfg(feature = "tls")]
            Self::Secure(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            #[cfg(feature = "tls")]
            Self::Secure(tls) => tls.flush(),
        }
    }
}

/// Whether the socket's timeout or a signal caused an error. The operation is then repeated until the deadline.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

/// The shortest timeout of a socket. Zero is not allowed as one.
const LEAST: Duration = Duration::from_millis(1);
