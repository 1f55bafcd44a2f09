//! Unix sockets, on systems that have them.

use std::io;
use std::path::Path;
use std::time::Duration;

use socket2::Socket;
#[cfg(unix)]
use socket2::{Domain, SockAddr, Type};

use crate::transport::Stream;

#[cfg(unix)]
pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    Ok(Stream::new(tokio::net::UnixStream::connect(path).await?))
}

#[cfg(not(unix))]
pub(super) async fn connect(_path: &Path) -> io::Result<Stream> {
    Err(unsupported())
}

/// Connects in the caller's thread, within `timeout`.
#[cfg(unix)]
pub(crate) fn connect_blocking(path: &Path, timeout: Duration) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.connect_timeout(&SockAddr::unix(path)?, timeout)?;
    Ok(socket)
}

#[cfg(not(unix))]
pub(crate) fn connect_blocking(_path: &Path, _timeout: Duration) -> io::Result<Socket> {
    Err(unsupported())
}

#[cfg(not(unix))]
fn unsupported() -> io::Error {
    let text = "cannot use a Unix socket: this system has none";
    io::Error::new(io::ErrorKind::Unsupported, text)
}
