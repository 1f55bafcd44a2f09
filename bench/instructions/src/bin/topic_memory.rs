//! How many bytes topics take: of the heap, as an allocator counts them that this program alone has, and of resident
//! memory. All capacity counts, used or not. The sessions have clients in memory, so no socket is part of it.
//!
//! `cargo run --release --bin topic_memory` for topics without history, and with ` -- window` for topics with a window.

#![expect(clippy::print_stdout, reason = "figures are what this program is for")]

use std::alloc::System;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sockeye::topics::{History, Policy};
use sockeye::transport::Stream;
use sockeye::{Server, Session, Topics, server_endpoint};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        println!("{:80}{:>10}{:>10}", "", "counted", "resident");
        let window = Policy::new().history(History::window(100, Duration::from_secs(3600)));
        let (policy, kind) = match std::env::args().nth(1).as_deref() {
            None => (Policy::new(), "topics"),
            Some("window") => (window, "topics with a window"),
            Some(other) => return Err(format!("unknown argument `{other}`").into()),
        };
        if kind == "topics" {
            shared_topics().await?;
        }
        for number in [100_000, 1_000_000] {
            own_topics(number, policy.clone(), kind).await?;
        }
        Ok(())
    })
}

/// Subscribes many sessions to the same topics.
async fn shared_topics() -> Result {
    const SESSIONS: usize = 1000;
    let host = Host::start(Policy::new()).await?;
    host.open(1).await?;
    let unused = Meter::start()?;
    let sessions = host.open(SESSIONS).await?;
    unused.print("a session without subscriptions, and its client", SESSIONS)?;
    subscribe_each(&host.open(1).await?, &["room/0"]).await?;
    let first = Meter::start()?;
    subscribe_each(&sessions, &["room/0"]).await?;
    first.print("the first subscription of a session", SESSIONS)?;
    let names: Vec<String> = (1..=31).map(|topic| format!("room/{topic}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for further in [&names[..3], &names[3..15], &names[15..]] {
        let meter = Meter::start()?;
        subscribe_each(&sessions, further).await?;
        let (first, count) = (further[0].trim_start_matches("room/"), further.len());
        let of = format!("each of {count} more of a session that has {first}");
        meter.print(&of, SESSIONS * count)?;
    }
    Ok(())
}

/// Subscribes sessions to topics that have no other subscriber.
async fn own_topics(number: usize, policy: Policy, kind: &str) -> Result {
    const SESSIONS: usize = 1000;
    let host = Host::start(policy).await?;
    let sessions = host.open(SESSIONS).await?;
    let each = number / SESSIONS;
    let meter = Meter::start()?;
    for (at, session) in sessions.iter().enumerate() {
        for topic in at * each..(at + 1) * each {
            session.subscribe(format!("room/{topic:07}")).await?;
        }
    }
    let of = format!("each of {number} {kind} with 1 subscription, {each} for a session");
    meter.print(&of, number)
}

async fn subscribe_each(sessions: &[Session], topics: &[&str]) -> Result {
    for session in sessions {
        for topic in topics {
            session.subscribe(*topic).await?;
        }
    }
    Ok(())
}

type Opened = Arc<Mutex<Vec<Session>>>;

struct Joining(Opened);

#[server_endpoint("/")]
impl Joining {
    #[on_open]
    fn open(&self, session: &Session) {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.push(session.clone());
    }
}

/// A server, and the clients that are connected to it.
struct Host {
    server: Server,
    opened: Opened,
    clients: Mutex<Vec<DuplexStream>>,
}

impl Host {
    async fn start(policy: Policy) -> Result<Self> {
        let opened = Opened::default();
        let sessions = Arc::clone(&opened);
        let endpoint = sockeye::endpoint("/", move |_| Joining(Arc::clone(&sessions)));
        let topics = Topics::builder().pattern("room/{id}", policy).build()?;
        let builder = Server::builder().topics(topics).endpoint(endpoint);
        Ok(Self {
            server: builder.bind("127.0.0.1:0").await?,
            opened,
            clients: Mutex::default(),
        })
    }

    async fn open(&self, number: usize) -> Result<Vec<Session>> {
        for _ in 0..number {
            let (mut client, stream) = duplex(1024);
            tokio::spawn(self.server.serve_stream(Stream::new(stream)));
            client.write_all(REQUEST).await?;
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                client.read_buf(&mut answer).await?;
            }
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            clients.push(client);
        }
        loop {
            tokio::task::yield_now().await;
            let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            if opened.len() == number {
                return Ok(std::mem::take(&mut *opened));
            }
        }
    }
}

/// Memory since a time.
struct Meter {
    heap: Region<'static, System>,
    resident: u64,
}

impl Meter {
    fn start() -> Result<Self> {
        Ok(Self {
            resident: resident()?,
            heap: Region::new(ALLOCATOR),
        })
    }

    fn print(&self, what: &str, number: usize) -> Result {
        let heap = self.heap.change();
        let heap = heap.bytes_allocated as f64 - heap.bytes_deallocated as f64;
        let grown = resident()? as f64 - self.resident as f64;
        let number = number as f64;
        println!("{what:80}{:10.1}{:10.1}", heap / number, grown / number);
        Ok(())
    }
}

fn resident() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes
        .ok_or("no resident memory is told")?
        .trim()
        .parse()?;
    Ok(kilobytes * 1024)
}

const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
