//! A TCP relay that reads what it passes on: the extension header of both heads, and of each frame its first
//! bits; of control frames the payload as well. Written apart from Sockeye's own parser, which it
//! stands in judgement on.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::Result;

use super::puppet::LIMIT;

/// A relay to whatever is the upstream when a connection comes; until dropped.
pub(super) struct Tap {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    upstream: Mutex<Option<SocketAddr>>,
    last: Mutex<Option<Arc<Wire>>>,
}

impl Tap {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let relaying = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let wire = Arc::<Wire>::default();
                *lock(&relaying.last) = Some(Arc::clone(&wire));
                let upstream = *lock(&relaying.upstream);
                tokio::spawn(relay(stream, upstream, wire));
            }
        });
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where connections go from now on.
    pub(super) fn relay_to(&self, upstream: SocketAddr) {
        *lock(&self.shared.upstream) = Some(upstream);
    }

    /// What is read of the newest connection.
    pub(super) fn wire(&self) -> Result<Arc<Wire>> {
        let last = lock(&self.shared.last).clone();
        last.ok_or_else(|| "no connection went through the tap".into())
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The end that sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Client,
    Server,
}

/// A frame, as its first bytes tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) from: From,
    pub(super) is_final: bool,
    pub(super) is_compressed: bool,
    pub(super) opcode: u8,
    /// Of control frames, unmasked.
    pub(super) payload: Vec<u8>,
}

pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// What was read of one connection so far.
#[derive(Default)]
pub(super) struct Wire {
    log: Mutex<Log>,
    grown: Notify,
}

#[derive(Default)]
struct Log {
    offer: Option<String>,
    answer: Option<String>,
    frames: Vec<Frame>,
}

impl Wire {
    /// The extensions that the client offered.
    pub(super) fn offer(&self) -> Option<String> {
        lock(&self.log).offer.clone()
    }

    /// The extensions that the server answered with.
    pub(super) fn answer(&self) -> Option<String> {
        lock(&self.log).answer.clone()
    }

    /// The frames so far.
    pub(super) fn frames(&self) -> Vec<Frame> {
        lock(&self.log).frames.clone()
    }

    /// Waits for a frame; the error says `what` did not come.
    pub(super) async fn until(
        &self,
        what: &str,
        is_it: impl Fn(&Frame) -> bool + Send,
    ) -> Result<Frame> {
        let waiting = async {
            loop {
                let grown = self.grown.notified();
                if let Some(frame) = self.frames().into_iter().find(|frame| is_it(frame)) {
                    return frame;
                }
                grown.await;
            }
        };
        timeout(LIMIT, waiting)
            .await
            .map_err(|_| format!("{what} is not on the wire within {LIMIT:?}").into())
    }

    fn read(&self, scanner: &mut Scanner, bytes: &[u8]) {
        scanner.take(bytes, &mut lock(&self.log));
        self.grown.notify_one();
    }
}

async fn relay(downstream: TcpStream, upstream: Option<SocketAddr>, wire: Arc<Wire>) -> Option<()> {
    let upstream = TcpStream::connect(upstream?).await.ok()?;
    for stream in [&downstream, &upstream] {
        stream.set_nodelay(true).ok()?;
    }
    let (from_client, to_client) = downstream.into_split();
    let (from_server, to_server) = upstream.into_split();
    tokio::join!(
        pump(from_client, to_server, From::Client, &wire),
        pump(from_server, to_client, From::Server, &wire),
    );
    Some(())
}

/// Passes on until the end, which it passes on as well.
async fn pump(mut source: OwnedReadHalf, mut sink: OwnedWriteHalf, from: From, wire: &Wire) {
    let mut scanner = Scanner::new(from);
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = source.read(&mut buffer).await {
        let bytes = buffer.get(..count).unwrap_or_default();
        wire.read(&mut scanner, bytes);
        if sink.write_all(bytes).await.is_err() {
            break;
        }
    }
    let _ = sink.shutdown().await;
}

/// One direction of a connection.
struct Scanner {
    from: From,
    is_head: bool,
    // What is not understood yet.
    rest: Vec<u8>,
    // The number of payload bytes that are still to come and are not looked at.
    skipped: u64,
}

impl Scanner {
    fn new(from: From) -> Self {
        Self {
            from,
            is_head: true,
            rest: Vec::new(),
            skipped: 0,
        }
    }

    fn take(&mut self, bytes: &[u8], log: &mut Log) {
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let left = &self.rest[at..];
            if self.is_head {
                let Some(end) = left.windows(4).position(|four| four == b"\r\n\r\n") else {
                    break;
                };
                let named = extensions(&String::from_utf8_lossy(&left[..end]));
                match self.from {
                    From::Client => log.offer = named,
                    From::Server => log.answer = named,
                }
                self.is_head = false;
                at += end + 4;
            } else if self.skipped > 0 {
                let now = left
                    .len()
                    .min(usize::try_from(self.skipped).unwrap_or(usize::MAX));
                self.skipped -= now as u64;
                at += now;
                if self.skipped > 0 {
                    break;
                }
            } else if let Some((frame, length, payload)) = self.frame(left) {
                at += length;
                self.skipped = payload;
                log.frames.push(frame);
            } else {
                break;
            }
        }
        self.rest.drain(..at);
    }

    /// RFC 6455 §5.2: the frame at the start, its bytes that are read, and how many of its payload
    /// are not.
    fn frame(&self, bytes: &[u8]) -> Option<(Frame, usize, u64)> {
        let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
        let (length, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk::<8>()?;
                (u64::from_be_bytes(*length), rest)
            }
            length => (u64::from(length), rest),
        };
        let (key, rest) = if second & 0x80 == 0 {
            ([0; 4], rest)
        } else {
            let (key, rest) = rest.split_first_chunk::<4>()?;
            (*key, rest)
        };
        let mut frame = Frame {
            from: self.from,
            is_final: first & 0x80 != 0,
            is_compressed: first & 0x40 != 0,
            opcode: first & 0x0f,
            payload: Vec::new(),
        };
        let header = bytes.len() - rest.len();
        if frame.opcode < CLOSE {
            return Some((frame, header, length));
        }
        let length = usize::try_from(length).ok()?;
        let masked = rest.get(..length)?;
        let unmask = |(byte, key): (&u8, &u8)| byte ^ key;
        frame.payload = masked.iter().zip(key.iter().cycle()).map(unmask).collect();
        Some((frame, header + length, 0))
    }
}

fn extensions(head: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-extensions")
            .then(|| value.trim().to_owned())
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_is_read_whatever_its_pieces() {
        let bytes = b"HTTP/1.1 101 Switching\r\nSEC-WebSocket-Extensions: a; b=1\r\n\r\n\
            \xc1\x02hi\x82\x7e\x00\x03xyz\x89\x82\x01\x02\x03\x04\x60\x60\x88\x00";
        let frame = |opcode, is_compressed, payload: &[u8]| Frame {
            from: From::Server,
            is_final: true,
            is_compressed,
            opcode,
            payload: payload.to_vec(),
        };
        for size in [1, 2, 3, 7, bytes.len()] {
            let mut scanner = Scanner::new(From::Server);
            let mut log = Log::default();
            for piece in bytes.chunks(size) {
                scanner.take(piece, &mut log);
            }
            assert_eq!(log.answer.as_deref(), Some("a; b=1"));
            assert_eq!(
                log.frames,
                [
                    frame(1, true, b""),
                    frame(2, false, b""),
                    frame(PING, false, b"ab"),
                    frame(CLOSE, false, b""),
                ],
                "by {size}"
            );
        }
    }
}
