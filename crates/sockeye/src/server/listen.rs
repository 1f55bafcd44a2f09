//! Listening: binding to an address, with room for a burst of connections in the system's queue.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, ToSocketAddrs, lookup_host};

/// How many connections the system keeps until the server accepts them. Beyond that number the system drops a client's
/// SYN, and the client tries again a second later. Tokio's default is 128.
const BACKLOG: u32 = 1024;

/// Listens on the first address that can be bound.
pub(super) async fn listen(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let nothing = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
    let mut failed = nothing;
    for addr in lookup_host(addr).await? {
        match listen_at(addr) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn listen_at(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // On Unix this allows a port on which connections of an earlier server are in TIME_WAIT. On Windows it would take a
    // port that is in use.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}
