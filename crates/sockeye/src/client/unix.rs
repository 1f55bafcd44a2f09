//! Unix sockets, where there are any.

use std::io;
use std::path::Path;

use crate::transport::Stream;

#[cfg(unix)]
pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    Ok(Stream::new(tokio::net::UnixStream::connect(path).await?))
}

#[cfg(not(unix))]
pub(super) async fn connect(_path: &Path) -> io::Result<Stream> {
    let text = "this system has no Unix sockets";
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}
