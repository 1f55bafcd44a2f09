//! Reading and writing without waiting, as few times as can be.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use crate::Result;

use super::ring::{Position, Ring};

/// Writes what the position allows, as far as the socket takes it.
pub(super) fn write(tcp: &mut TcpStream, position: &mut Position, ring: &Ring) -> Result<()> {
    loop {
        let waiting = position.waiting(ring);
        if waiting.is_empty() {
            return Ok(());
        }
        match tcp.write(waiting) {
            Ok(written) => position.written(written, ring),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(format!("cannot write: {error}")),
        }
    }
}

/// Reads all that came, and gives it to `take`. What does not fill the buffer was all: what comes behind
/// it makes the socket ready anew.
pub(super) fn read(
    tcp: &mut TcpStream,
    buffer: &mut [u8],
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    loop {
        let read = match tcp.read(buffer) {
            Ok(0) => return Err("the server ended a connection".to_owned()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(format!("cannot read: {error}")),
        };
        take(&buffer[..read])?;
        if read < buffer.len() {
            return Ok(());
        }
    }
}

/// What is read at once.
pub(super) const BUFFER: usize = 256 * 1024;
