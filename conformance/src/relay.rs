//! A TCP relay between two programs. A test holds, slows, delays, cuts or closes its links, by kind and direction, or
//! connects further links to another program.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::Result;

/// A relay that listens until it is dropped. Then its links are reset.
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

/// The links that a rule concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// All links.
    All,
    /// Links on which the client has subscribed to a channel of Redis.
    Feeds,
    /// All other links.
    Commands,
}

/// The direction that a rule concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
    /// Both.
    Both,
}

/// How a link carries bytes in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// At once.
    Pass,
    /// Not at all: the relay keeps the bytes until the pace changes.
    Hold,
    /// At most so many bytes a second.
    Slow(u32),
    /// Each byte so much later.
    Delay(Duration),
    /// So many bytes more. Then the relay resets the link.
    CutAfter(u64),
    /// Not at all: the receiver is told that the sender has ended.
    HalfClose,
}

struct Shared {
    target: Mutex<String>,
    rules: watch::Sender<Rules>,
}

/// The rules of all links. The first index says whether a link is a feed, the second whether the direction is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rules {
    paces: [[Pace; 2]; 2],
    /// A link that began with another number is reset.
    resets: [usize; 2],
    /// Counts the changes of the paces, so that each `CutAfter` begins anew.
    changes: usize,
    refuses: bool,
}

impl Relay {
    /// Listens on a free port, and connects each client to this address: `host:port`, or an `http:` URL.
    pub(crate) async fn start(target: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: Mutex::new(host(target)),
            rules: watch::Sender::new(Rules {
                paces: [[Pace::Pass; 2]; 2],
                resets: [0; 2],
                changes: 0,
                refuses: false,
            }),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// Returns the address at which the relay listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the `http:` URL of the relay.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Connects further clients to this address.
    pub(crate) fn point_at(&self, target: &str) {
        *self.shared.target() = host(target);
    }

    /// Sets the pace of open and further links.
    pub(crate) fn set(&self, links: Links, way: Way, pace: Pace) {
        self.shared
            .rules
            .send_modify(|rules| rules.set(links, way, pace));
    }

    /// Resets the open links. Further ones carry bytes at once.
    pub(crate) fn reset(&self, links: Links) {
        self.shared.rules.send_modify(|rules| rules.reset(links));
    }

    /// Says whether the relay resets further clients at once, as if nothing listened.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.shared
            .rules
            .send_modify(|rules| rules.refuses = refuses);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.reset(Links::All);
    }
}

impl Shared {
    fn target(&self) -> std::sync::MutexGuard<'_, String> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rules {
    fn set(&mut self, links: Links, way: Way, pace: Pace) {
        self.changes += 1;
        let directions: &[usize] = match way {
            Way::Up => &[UP],
            Way::Down => &[DOWN],
            Way::Both => &[UP, DOWN],
        };
        for kind in kinds(links) {
            for direction in directions {
                self.paces[*kind][*direction] = pace;
            }
        }
    }

    fn reset(&mut self, links: Links) {
        self.set(links, Way::Both, Pace::Pass);
        for kind in kinds(links) {
            self.resets[*kind] += 1;
        }
    }
}

fn kinds(links: Links) -> &'static [usize] {
    match links {
        Links::All => &[COMMANDS, FEED],
        Links::Commands => &[COMMANDS],
        Links::Feeds => &[FEED],
    }
}

/// The host and the port of a URL.
fn host(url: &str) -> String {
    let target = url.trim_start_matches("http://").trim_end_matches('/');
    target.to_owned()
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let target = shared.target().clone();
        let rules = shared.rules.subscribe();
        if rules.borrow().refuses {
            let _ = client.set_zero_linger();
            continue;
        }
        tokio::spawn(async move {
            // A program that was killed takes no connection: the client is let go.
            if let Ok(server) = TcpStream::connect(target).await {
                link(client, server, rules).await;
            }
        });
    }
}

/// Carries bytes both ways, until one side ends or the link is cut.
async fn link(mut client: TcpStream, mut server: TcpStream, mut rules: watch::Receiver<Rules>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let is_feed = AtomicBool::new(false);
    let resets = rules.borrow().resets;
    let (up, down) = (rules.clone(), rules.clone());
    let is_cut = {
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let was_reset = |rules: &Rules| {
            let kind = usize::from(is_feed.load(Ordering::Relaxed));
            rules.resets[kind] != resets[kind]
        };
        tokio::select! {
            biased;
            _ = rules.wait_for(was_reset) => true,
            is_cut = carry(client_reads, server_writes, UP, &is_feed, up) => is_cut,
            is_cut = carry(server_reads, client_writes, DOWN, &is_feed, down) => is_cut,
        }
    };
    if is_cut {
        // Without a lingering time the system sends a reset.
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

/// Carries bytes in one direction. Returns whether the link is to be reset.
async fn carry(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    direction: usize,
    is_feed: &AtomicBool,
    rules: watch::Receiver<Rules>,
) -> bool {
    let (chunks, waiting) = mpsc::channel(CHUNKS);
    let is_up = direction == UP;
    tokio::select! {
        is_cut = write(to, direction, is_feed, waiting, rules) => is_cut,
        // The bytes that came before the end of the sender are written first.
        never = read(from, is_up, is_feed, chunks) => never,
    }
}

async fn read(
    mut from: impl AsyncRead + Unpin,
    is_up: bool,
    is_feed: &AtomicBool,
    chunks: mpsc::Sender<(Instant, Bytes)>,
) -> bool {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        let Ok(1..) = from.read_buf(&mut buffer).await else {
            break;
        };
        let chunk = buffer.split().freeze();
        if is_up && subscribes(&chunk) {
            is_feed.store(true, Ordering::Relaxed);
        }
        if chunks.send((Instant::now(), chunk)).await.is_err() {
            break;
        }
    }
    drop(chunks);
    std::future::pending().await
}

async fn write(
    mut to: impl AsyncWrite + Unpin,
    direction: usize,
    is_feed: &AtomicBool,
    mut chunks: mpsc::Receiver<(Instant, Bytes)>,
    mut rules: watch::Receiver<Rules>,
) -> bool {
    let pace = |rules: &Rules| rules.paces[usize::from(is_feed.load(Ordering::Relaxed))][direction];
    // The number of the change that set `CutAfter`, and the bytes that may still pass.
    let mut left: Option<(usize, u64)> = None;
    let mut is_closed = false;
    let resets = rules.borrow().resets;
    while let Some((came, mut chunk)) = chunks.recv().await {
        let Ok(now) = rules
            .wait_for(|rules| pace(rules) != Pace::Hold)
            .await
            .map(|rules| *rules)
        else {
            return true;
        };
        let kind = usize::from(is_feed.load(Ordering::Relaxed));
        if now.resets[kind] != resets[kind] {
            // The bytes that the link held end with it.
            return true;
        }
        let mut is_last = false;
        match pace(&now) {
            Pace::Pass | Pace::Hold => {}
            Pace::Slow(bytes) => {
                let seconds = chunk.len() as f64 / f64::from(bytes.max(1));
                sleep(Duration::from_secs_f64(seconds)).await;
            }
            Pace::Delay(time) => sleep_until(came + time).await,
            Pace::CutAfter(bytes) => {
                let of_rule = left.filter(|(change, _)| *change == now.changes);
                let (_, bytes) = of_rule.unwrap_or((now.changes, bytes));
                let whole = chunk.len() as u64;
                is_last = whole >= bytes;
                chunk.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
                left = Some((now.changes, bytes.saturating_sub(whole)));
            }
            Pace::HalfClose => {
                if !is_closed && to.shutdown().await.is_err() {
                    return false;
                }
                is_closed = true;
            }
        }
        if !is_closed && to.write_all(&chunk).await.is_err() {
            return false;
        }
        if is_last {
            return true;
        }
    }
    false
}

/// Whether a request of this chunk subscribes to a channel of Redis. It stands whole in one chunk: clients write requests
/// at once.
fn subscribes(chunk: &[u8]) -> bool {
    chunk
        .windows(SUBSCRIBE.len())
        .any(|word| word.eq_ignore_ascii_case(SUBSCRIBE))
}

const SUBSCRIBE: &[u8] = b"\nSUBSCRIBE\r\n";
const COMMANDS: usize = 0;
const FEED: usize = 1;
const UP: usize = 0;
const DOWN: usize = 1;
/// The most bytes of a chunk, and the most chunks that a link keeps in one direction.
const CHUNK: usize = 4 << 10;
const CHUNKS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// A relay, and two ends of a link through it.
    async fn linked(relay: &Relay, listener: &TcpListener) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(relay.address()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (client, server)
    }

    async fn relay() -> (Relay, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        (Relay::start(&target).await.unwrap(), listener)
    }

    async fn exchange(from: &mut TcpStream, to: &mut TcpStream, text: &[u8]) {
        from.write_all(text).await.unwrap();
        let mut read = vec![0; text.len()];
        to.read_exact(&mut read).await.unwrap();
        assert_eq!(read, text);
    }

    #[tokio::test]
    async fn a_rule_for_feeds_leaves_other_links_alone() {
        let (relay, listener) = relay().await;
        let (mut feed, mut feed_server) = linked(&relay, &listener).await;
        let (mut commands, mut commands_server) = linked(&relay, &listener).await;
        let subscribe = b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n";
        exchange(&mut feed, &mut feed_server, subscribe).await;
        relay.set(Links::Feeds, Way::Down, Pace::Hold);
        feed_server.write_all(b"held").await.unwrap();
        exchange(&mut commands, &mut commands_server, b"up").await;
        exchange(&mut commands_server, &mut commands, b"down").await;
        let mut read = [0; 4];
        assert!(feed.try_read(&mut read).is_err());
        relay.set(Links::Feeds, Way::Down, Pace::Pass);
        feed.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"held");
        relay.reset(Links::Commands);
        assert!(commands.read_u8().await.is_err());
        exchange(&mut feed_server, &mut feed, b"on").await;
    }

    /// The writer may see the reset before its link does.
    #[tokio::test]
    async fn the_bytes_of_a_held_link_end_with_its_reset() {
        let held = Rules {
            paces: [[Pace::Hold; 2]; 2],
            resets: [0; 2],
            changes: 0,
            refuses: false,
        };
        let (change, rules) = watch::channel(held);
        let (chunks, waiting) = mpsc::channel(CHUNKS);
        let (to, mut written) = tokio::io::duplex(CHUNK);
        let writer =
            tokio::spawn(
                async move { write(to, UP, &AtomicBool::new(false), waiting, rules).await },
            );
        chunks
            .send((Instant::now(), Bytes::from_static(b"held")))
            .await
            .unwrap();
        // Once the writer has the chunk, it waits for the end of the hold.
        while chunks.capacity() < CHUNKS {
            tokio::task::yield_now().await;
        }
        change.send_modify(|rules| rules.reset(Links::All));
        drop(chunks);
        assert!(writer.await.unwrap(), "the link is to be reset");
        let mut read = Vec::new();
        written.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"");
    }

    #[tokio::test]
    async fn a_link_is_cut_after_exactly_so_many_bytes() {
        let (relay, listener) = relay().await;
        let (mut client, mut server) = linked(&relay, &listener).await;
        exchange(&mut client, &mut server, b"before").await;
        relay.set(Links::All, Way::Up, Pace::CutAfter(3));
        exchange(&mut client, &mut server, b"fi").await;
        client.write_all(b"sh").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b's');
        assert!(server.read_u8().await.is_err());
    }

    #[tokio::test]
    async fn a_half_closed_way_ends_and_the_other_goes_on() {
        let (relay, listener) = relay().await;
        let (mut client, mut server) = linked(&relay, &listener).await;
        relay.set(Links::All, Way::Up, Pace::HalfClose);
        client.write_all(b"lost").await.unwrap();
        assert_eq!(server.read(&mut [0; 4]).await.unwrap(), 0);
        exchange(&mut server, &mut client, b"down").await;
    }

    #[tokio::test]
    async fn further_links_go_where_the_relay_points_and_none_while_it_refuses() {
        let (relay, listener) = relay().await;
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        relay.point_at(&format!("http://{}/", other.local_addr().unwrap()));
        linked(&relay, &other).await;
        relay.refuse(true);
        let mut refused = TcpStream::connect(relay.address()).await.unwrap();
        assert!(!matches!(refused.read(&mut [0]).await, Ok(1..)));
        relay.refuse(false);
        relay.point_at(&listener.local_addr().unwrap().to_string());
        linked(&relay, &listener).await;
    }
}
