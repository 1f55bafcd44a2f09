//! The load: one thread, one poll, frames that were made before. Each reply is compared with what it has
//! to be, so a server that is fast and wrong fails.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::process;
use crate::workload::Payload;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    addr: SocketAddr,
    /// The server's process
    #[arg(long)]
    pid: u32,
    #[arg(long)]
    connections: usize,
    #[arg(long)]
    in_flight: usize,
    #[arg(long, value_enum)]
    payload: Payload,
    #[arg(long)]
    size: usize,
    /// The server echoes bytes, and speaks neither HTTP nor WebSocket
    #[arg(long)]
    raw: bool,
    #[arg(long)]
    warm_up_ms: u64,
    #[arg(long)]
    measure_ms: u64,
}

/// What a load cost the server.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Cost {
    pub(crate) messages: u64,
    pub(crate) seconds: f64,
    /// Processor time of the server.
    pub(crate) cpu_seconds: f64,
    /// How much of that it spent outside of the system; 0 to 1.
    pub(crate) user_share: f64,
    pub(crate) resident_bytes: u64,
}

pub(crate) fn load(options: &Options) -> Result<()> {
    let mut load = Load::connect(options)?;
    load.run_for(Duration::from_millis(options.warm_up_ms))?;
    let before = process::times(options.pid)?;
    let (messages, begun) = (load.messages, Instant::now());
    load.run_for(Duration::from_millis(options.measure_ms))?;
    let seconds = begun.elapsed().as_secs_f64();
    let after = process::times(options.pid)?;
    let user = (after.user_ticks - before.user_ticks) as f64;
    let system = (after.system_ticks - before.system_ticks) as f64;
    let cost = Cost {
        messages: load.messages - messages,
        seconds,
        cpu_seconds: (after.all - before.all).as_secs_f64(),
        user_share: user / (user + system).max(1.0),
        resident_bytes: process::resident(options.pid)?,
    };
    let cost = serde_json::to_string(&cost).map_err(|error| error.to_string())?;
    println!("{cost}");
    Ok(())
}

struct Load {
    poll: Poll,
    events: Events,
    peers: Vec<Peer>,
    /// As many frames as are in flight, one behind the other.
    frames: Vec<u8>,
    frame: usize,
    /// As many replies as fit, so that what is read is compared in one go.
    replies: Vec<u8>,
    reply: usize,
    buffer: Vec<u8>,
    messages: u64,
}

struct Peer {
    tcp: mio::net::TcpStream,
    /// How many bytes of a reply have come.
    received: usize,
    /// How many bytes of frames are to be written, and where in `frames` they begin.
    waiting: usize,
    from: usize,
}

/// What is read at once.
const BUFFER: usize = 256 * 1024;

impl Load {
    fn connect(options: &Options) -> Result<Self> {
        let (frame, reply) = options.payload.frames(options.size);
        let reply = if options.raw { frame.clone() } else { reply };
        let poll = Poll::new().map_err(|error| error.to_string())?;
        let mut peers = Vec::new();
        for token in 0..options.connections {
            let mut tcp = TcpStream::connect(options.addr)
                .map_err(|error| format!("cannot connect to {}: {error}", options.addr))?;
            if !options.raw {
                shake_hands(&mut tcp).map_err(|error| format!("the handshake failed: {error}"))?;
            }
            tcp.set_nodelay(true)
                .and_then(|()| tcp.set_nonblocking(true))
                .map_err(|error| error.to_string())?;
            let mut tcp = mio::net::TcpStream::from_std(tcp);
            poll.registry()
                .register(
                    &mut tcp,
                    Token(token),
                    Interest::READABLE | Interest::WRITABLE,
                )
                .map_err(|error| error.to_string())?;
            peers.push(Peer {
                tcp,
                received: 0,
                waiting: frame.len() * options.in_flight,
                from: 0,
            });
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            peers,
            frames: frame.repeat(options.in_flight),
            frame: frame.len(),
            replies: reply.repeat(BUFFER / reply.len() + 2),
            reply: reply.len(),
            buffer: vec![0; BUFFER],
            messages: 0,
        })
    }

    fn run_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            match self.poll.poll(&mut self.events, Some(left)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled.map_err(|error| error.to_string())?,
            }
            let ready: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
            for peer in ready {
                self.drive(peer)?;
            }
        }
    }

    /// Writes what waits and reads what came, until the socket has no more of either.
    fn drive(&mut self, peer: usize) -> Result<()> {
        let peer = &mut self.peers[peer];
        loop {
            while peer.waiting > 0 {
                let end = self.frames.len().min(peer.from + peer.waiting);
                match peer.tcp.write(&self.frames[peer.from..end]) {
                    Ok(written) => {
                        peer.waiting -= written;
                        peer.from = (peer.from + written) % self.frames.len();
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(format!("cannot write: {error}")),
                }
            }
            let read = match peer.tcp.read(&mut self.buffer) {
                Ok(0) => return Err("the server ended a connection".to_owned()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(format!("cannot read: {error}")),
            };
            let expected = if self.reply <= BUFFER {
                &self.replies[peer.received..peer.received + read]
            } else {
                let end = self.reply.min(peer.received + read);
                &self.replies[peer.received..end]
            };
            if self.buffer[..expected.len()] != *expected {
                return Err("a reply is not what it has to be".to_owned());
            }
            let received = peer.received + read;
            let complete = received / self.reply;
            peer.received = received % self.reply;
            peer.waiting += complete * self.frame;
            self.messages += complete as u64;
        }
    }
}

fn shake_hands(tcp: &mut TcpStream) -> io::Result<()> {
    let addr = tcp.peer_addr()?;
    write!(
        tcp,
        "GET / HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )?;
    // Byte by byte: nothing of what comes behind the head may be taken.
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        tcp.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if head.starts_with(b"HTTP/1.1 101 ") {
        Ok(())
    } else {
        let head = String::from_utf8_lossy(&head).into_owned();
        Err(io::Error::other(head))
    }
}
