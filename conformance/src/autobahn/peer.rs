//! Sockeye's two parts in the Autobahn Testsuite, written with the public interface of crate
//! `sockeye`: a server that echoes, and a client that echoes until the suite closes.

use std::net::SocketAddr;

use crate::error::Result;

/// A Sockeye server that echoes every message, on a free port, until dropped.
pub(super) struct EchoServer {
    address: SocketAddr,
}

impl EchoServer {
    pub(super) async fn start() -> Result<Self> {
        Err("the Sockeye server is still to come".into())
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The first message that comes from `url`, as text.
pub(super) async fn ask(url: &str) -> Result<String> {
    Err(format!("the Sockeye client that asks {url} is still to come").into())
}

/// Echoes every message that comes from `url` until the connection ends, however it ends: how it
/// has to end is for the suite to judge. Not to get a connection is an error.
pub(super) async fn echo(url: &str) -> Result<()> {
    Err(format!("the Sockeye client that echoes {url} is still to come").into())
}
