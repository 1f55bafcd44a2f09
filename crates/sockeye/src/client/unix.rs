//! Unix sockets, on systems that have them.

use std::io;
use std::path::Path;

use crate::transport::Stream;

#[cfg(unix)]
pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    Ok(Stream::new(tokio::net::UnixStream::connect(path).await?))
}

#[cfg(not(unix))]
pub(super) async fn connect(_path: &Path) -> io::Result<Stream> {
    let text = "cannot use a Unix socket: this system has none";
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}
