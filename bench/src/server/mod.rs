//! The servers: each an echo as its library's users write it, in the best honest form that its interface has.

mod fastwebsockets;
mod raw;
mod sockeye;
mod tokio_websockets;
mod tungstenite;

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

use crate::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    name: String,
}

/// An echo that can be measured.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    serve: fn() -> Result<()>,
}

impl Server {
    /// Whether it echoes bytes alone: the floor that the others stand on.
    pub(crate) fn is_raw(&self) -> bool {
        self.name.starts_with("raw")
    }
}

pub(crate) const ALL: &[Server] = &[
    Server {
        name: "raw-epoll",
        serve: raw::epoll,
    },
    Server {
        name: "raw-tokio",
        serve: raw::tokio,
    },
    Server {
        name: "sockeye-endpoint",
        serve: sockeye::endpoint,
    },
    Server {
        name: "sockeye-endpoint-threads",
        serve: sockeye::endpoint_on_threads,
    },
    Server {
        name: "sockeye-connection",
        serve: sockeye::connection,
    },
    Server {
        name: "tokio-tungstenite",
        serve: tungstenite::batched,
    },
    Server {
        name: "tokio-tungstenite-send",
        serve: tungstenite::plain,
    },
    Server {
        name: "fastwebsockets",
        serve: fastwebsockets::serve,
    },
    Server {
        name: "tokio-websockets",
        serve: tokio_websockets::batched,
    },
];

pub(crate) fn serve(options: &Options) -> Result<()> {
    let server = ALL.iter().find(|server| server.name == options.name);
    let server = server.ok_or_else(|| format!("no server is called `{}`", options.name))?;
    (server.serve)()
}

/// Whoever started this waits for the line.
fn announce(addr: SocketAddr) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{addr}")
        .and_then(|()| stdout.flush())
        .map_err(|error| error.to_string())
}

/// Runs a server on one thread.
fn block_on(serving: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(serving)
}

/// Accepts for ever, each connection in a task of its own. What ends a connection is none of ours.
async fn accept<F>(serve: impl Fn(TcpStream) -> F) -> Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| error.to_string())?;
    announce(listener.local_addr().map_err(|error| error.to_string())?)?;
    loop {
        let (tcp, _) = listener.accept().await.map_err(|error| error.to_string())?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        tokio::spawn(serve(tcp));
    }
}
