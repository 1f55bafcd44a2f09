//! Sockeye's two parts in the Autobahn Testsuite, written with the public interface of crate
//! `sockeye`: a server that echoes, and clients that echo until the suite closes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sockeye::proto::{Config, DeflateConfig, Role};
use sockeye::{Client, Connection, Message, Server};
use tokio::task::JoinHandle;

use crate::echo::Echo;
use crate::error::Result;

/// A Sockeye server that echoes every message, on a free port, until dropped.
pub(super) struct EchoServer {
    address: SocketAddr,
    task: JoinHandle<io::Result<()>>,
}

impl EchoServer {
    pub(super) async fn start() -> Result<Self> {
        let server = Server::builder()
            .default_endpoint::<Echo>()
            .config(config(Role::Server))
            .compression(compression(Role::Server))
            .outbox_limit(OUTBOX_LIMIT)
            .bind((Ipv4Addr::LOCALHOST, 0))
            .await?;
        Ok(Self {
            address: server.local_addr(),
            task: tokio::spawn(server.serve()),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The first message that comes from `url`, as text.
pub(super) async fn ask(url: &str) -> Result<String> {
    match connect(url).await?.recv().await? {
        Some(Message::Text(text)) => Ok(text.to_string()),
        other => Err(format!("{url} answers with no text but {other:?}").into()),
    }
}

/// Echoes every message that comes from `url` until the connection ends, however it ends: how it
/// has to end is for the suite to judge. Not to get a connection is an error.
pub(super) async fn echo(url: &str) -> Result<()> {
    let mut connection = connect(url).await?;
    while let Ok(Some(message)) = connection.recv().await {
        if connection.send(message).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// As [`echo`], by the browser's object.
pub(super) async fn echo_by_object(url: &str) -> Result<()> {
    let socket = client().websocket(url)?;
    let opened = Arc::new(AtomicBool::new(false));
    let open = Arc::clone(&opened);
    socket.on_open(move |_| open.store(true, Ordering::Relaxed));
    socket.on_message(|socket, event| {
        // Fails when it is closing: what it is sent then is lost in a browser too.
        let _ = socket.send(event.data.clone());
    });
    let closed = socket.run().await;
    if opened.load(Ordering::Relaxed) {
        Ok(())
    } else {
        Err(format!("{url}: never open, closed with {}", closed.code).into())
    }
}

fn client() -> Client {
    Client::builder()
        .config(config(Role::Client))
        .compression(compression(Role::Client))
        .build()
}

async fn connect(url: &str) -> Result<Connection> {
    Ok(client()
        .connect(url)
        .await
        .map_err(|error| format!("{url}: {}", sockeye::error::ErrorChain::new(&error)))?)
}

/// The limits of a role's part.
pub(super) fn config(role: Role) -> Config {
    Config::new(role).max_message(LARGEST_MESSAGE)
}

/// How a role's part compresses: whatever is short as well. The server keeps windows, which section 12's
/// offer allows; the client offers what section 13's servers demand, which is all there is.
pub(super) fn compression(role: Role) -> DeflateConfig {
    DeflateConfig::default()
        .context_takeover(role == Role::Server)
        .threshold(0)
}

/// Section 9 sends messages of 16 MiB, and wants them back whole.
const LARGEST_MESSAGE: u64 = 16 * 1024 * 1024;
const OUTBOX_LIMIT: usize = 2 * 16 * 1024 * 1024;
