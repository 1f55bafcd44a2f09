//! A TCP relay between a page and the program. A test holds its links, resets them, or points it at another program.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::error::Result;

/// A relay that listens until it is dropped.
pub(super) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

struct Shared {
    target: Mutex<String>,
    links: watch::Sender<Links>,
}

/// What the relay does with its links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Links {
    /// It carries bytes. The number counts the resets: a link of an older number ends.
    Open(usize),
    /// It takes bytes, and keeps them.
    Held(usize),
}

impl Relay {
    /// Listens on a free port, and connects each client to the program of this URL.
    pub(super) async fn start(url: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: Mutex::new(target(url)),
            links: watch::Sender::new(Links::Open(0)),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// The URL of the program, through the relay.
    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Connects further clients to the program of this URL.
    pub(super) fn point_at(&self, url: &str) {
        *self.shared.target() = target(url);
    }

    /// Carries no bytes from now on.
    pub(super) fn hold(&self) {
        self.shared
            .links
            .send_modify(|links| *links = Links::Held(links.resets()));
    }

    /// Resets all links. Further ones are open.
    pub(super) fn reset(&self) {
        self.shared
            .links
            .send_modify(|links| *links = Links::Open(links.resets() + 1));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.reset();
    }
}

impl Links {
    fn resets(self) -> usize {
        let (Self::Open(resets) | Self::Held(resets)) = self;
        resets
    }
}

impl Shared {
    fn target(&self) -> std::sync::MutexGuard<'_, String> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The host and the port of a URL.
fn target(url: &str) -> String {
    let target = url.trim_start_matches("http://").trim_end_matches('/');
    target.to_owned()
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let target = shared.target().clone();
        let links = shared.links.subscribe();
        tokio::spawn(async move {
            // A program that was killed takes no connection: the client is let go.
            if let Ok(server) = TcpStream::connect(target).await {
                link(client, server, links).await;
            }
        });
    }
}

/// Carries bytes both ways, until one side ends or the test resets the link.
async fn link(mut client: TcpStream, mut server: TcpStream, mut links: watch::Receiver<Links>) {
    let resets = links.borrow().resets();
    let (up, down) = (links.clone(), links.clone());
    {
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        tokio::select! {
            _ = links.wait_for(|links| links.resets() != resets) => {}
            () = carry(client_reads, server_writes, up) => {}
            () = carry(server_reads, client_writes, down) => {}
        }
    }
    if links.borrow().resets() != resets {
        // Without a lingering time the system sends a reset.
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut links: watch::Receiver<Links>,
) {
    let resets = links.borrow().resets();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        // The bytes that a link holds at its reset are lost.
        let go_on = links.wait_for(|links| *links != Links::Held(resets)).await;
        let is_whole = go_on.is_ok_and(|links| links.resets() == resets);
        if !is_whole || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
