//! The floor: bytes are sent as they came, with one read and one write for each readiness.

mod link;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use self::link::Link;
use super::task::{accept, block_on};
use super::{Job, Setting, announce, tls};
use crate::Result;
use crate::load::reply::Header;

const BUFFER: usize = 128 * 1024;

/// How often an echo reads in one turn: more than a message of 1 MiB takes.
const ECHO_READS: usize = 16;

/// What may wait for a subscriber that does not read; beyond that it is let go.
const MAX_WAITING: usize = 1024 * 1024;

/// Without a runtime.
pub(super) fn epoll(setting: &Setting) -> Result<()> {
    let served = match setting.job {
        Job::Echo => serve(Peers::echo, None, None),
        Job::FanOut => serve(Peers::fan_out, setting.topics, setting.redis),
    };
    served.map_err(|error| error.to_string())
}

/// A connection, and what it could not write yet.
struct Peer {
    tcp: TcpStream,
    waiting: Vec<u8>,
    role: Role,
}

/// What a connection is of a fan-out: the first byte that it sends says it, for there is no HTTP here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Untold,
    Publisher,
    Subscriber,
    /// Its bytes go back to itself: the bystander of `bench fairness`.
    Echo,
}

/// The connections by their tokens, found without a search.
#[derive(Default)]
struct Peers {
    all: Vec<Option<Peer>>,
    free: Vec<usize>,
    /// Of each topic; of one list where there are no topics.
    subscribers: Vec<Vec<usize>>,
    has_topics: bool,
    /// The topic of the next message.
    next: usize,
    buffer: Vec<u8>,
    /// To the server by which topics are shared with another node.
    link: Option<Link>,
}

/// What becomes of a connection after its turn.
enum Turn {
    /// It waits until the poll tells of it.
    Waits,
    /// There may be more to read: it goes on after all others had their turn.
    GoesOn,
    Ends,
}

impl Turn {
    /// After a read that brought nothing.
    fn after(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::Waits,
            _ => Self::Ends,
        }
    }
}

/// Serves each readiness of a connection by turns of `drive`.
fn serve(
    drive: fn(&mut Peers, usize) -> Turn,
    topics: Option<u8>,
    redis: Option<SocketAddr>,
) -> io::Result<()> {
    const LISTENER: Token = Token(usize::MAX);
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    announce(listener.local_addr()?).map_err(io::Error::other)?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let number_of_topics = topics.map_or(1, usize::from);
    let link = redis.map(|addr| Link::open(addr, number_of_topics, poll.registry()));
    let mut peers = Peers {
        buffer: vec![0; BUFFER],
        subscribers: vec![Vec::new(); number_of_topics],
        has_topics: topics.is_some(),
        link: link.transpose()?,
        ..Peers::default()
    };
    let mut going_on: Vec<usize> = Vec::new();
    loop {
        let timeout = (!going_on.is_empty()).then_some(Duration::ZERO);
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        let turns = std::mem::take(&mut going_on);
        for token in events.iter().map(Event::token) {
            if token == LISTENER {
                while let Ok((tcp, _)) = listener.accept() {
                    peers.add(tcp, &poll)?;
                }
                continue;
            }
            if token == link::COMMANDS || token == link::FEED {
                peers.serve_link(token)?;
                continue;
            }
            match drive(&mut peers, token.0) {
                Turn::Waits => {}
                Turn::GoesOn => going_on.push(token.0),
                Turn::Ends => peers.remove(token.0),
            }
        }
        for token in turns {
            match drive(&mut peers, token) {
                Turn::Waits => {}
                Turn::GoesOn => going_on.push(token),
                Turn::Ends => peers.remove(token),
            }
        }
        going_on.sort_unstable();
        going_on.dedup();
    }
}

impl Peers {
    fn add(&mut self, mut tcp: TcpStream, poll: &Poll) -> io::Result<()> {
        if tcp.set_nodelay(true).is_err() {
            return Ok(());
        }
        let token = self.free.pop().unwrap_or(self.all.len());
        if token == self.all.len() {
            self.all.push(None);
        }
        // Told once for each change (epoll's edges): a socket that takes all is never told of as writable.
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut tcp, Token(token), interest)?;
        self.all[token] = Some(Peer {
            tcp,
            waiting: Vec::new(),
            role: Role::Untold,
        });
        Ok(())
    }

    fn remove(&mut self, token: usize) {
        if self.all[token].take().is_some() {
            self.free.push(token);
            for subscribers in &mut self.subscribers {
                subscribers.retain(|subscriber| *subscriber != token);
            }
        }
    }

    fn echo(&mut self, token: usize) -> Turn {
        let Some(peer) = &mut self.all[token] else {
            return Turn::Waits;
        };
        for _ in 0..ECHO_READS {
            if !peer.write_waiting() {
                return Turn::Ends;
            }
            if !peer.waiting.is_empty() {
                return Turn::Waits;
            }
            let read = match peer.tcp.read(&mut self.buffer) {
                Ok(0) => return Turn::Ends,
                Ok(read) => read,
                Err(error) => return Turn::after(&error),
            };
            if !peer.write(&self.buffer[..read]) {
                return Turn::Ends;
            }
            // What did not fill the buffer was all that there was.
            if read < self.buffer.len() {
                return Turn::Waits;
            }
        }
        Turn::GoesOn
    }

    /// Reads once: what one publisher sends costs a write for each subscriber.
    fn fan_out(&mut self, token: usize) -> Turn {
        let Some(peer) = &mut self.all[token] else {
            return Turn::Waits;
        };
        if !peer.write_waiting() {
            return Turn::Ends;
        }
        let read = match peer.tcp.read(&mut self.buffer) {
            Ok(0) => return Turn::Ends,
            Ok(read) => read,
            Err(error) => return Turn::after(&error),
        };
        let mut from = 0;
        if peer.role == Role::Untold {
            from = 1;
            peer.role = match self.buffer[0] {
                b'p' => Role::Publisher,
                b's' => Role::Subscriber,
                b'e' => Role::Echo,
                _ => return Turn::Ends,
            };
            if peer.role == Role::Subscriber {
                let topic = match self.has_topics {
                    true if read > 1 => usize::from(self.buffer[1]),
                    true => return Turn::Ends,
                    false => 0,
                };
                if !self.subscribe(token, topic) {
                    return Turn::Ends;
                }
            }
        }
        let Some(peer) = &mut self.all[token] else {
            return Turn::Waits;
        };
        if peer.role == Role::Echo && !peer.write(&self.buffer[from..read]) {
            return Turn::Ends;
        }
        if peer.role == Role::Publisher && from < read && !self.publish(from..read) {
            return Turn::Ends;
        }
        if read < self.buffer.len() {
            return Turn::Waits;
        }
        Turn::GoesOn
    }

    /// Returns whether the topic exists.
    fn subscribe(&mut self, token: usize, topic: usize) -> bool {
        let Some(subscribers) = self.subscribers.get_mut(topic) else {
            return false;
        };
        subscribers.push(token);
        match &mut self.link {
            Some(link) if subscribers.len() == 1 => link.subscribe(topic).is_ok(),
            _ => true,
        }
    }

    /// Sends what was read to every subscriber; where there are several topics, each message to those of the next one.
    /// Returns whether the bytes are messages, and the link takes them.
    fn publish(&mut self, read: Range<usize>) -> bool {
        // Both live as long as the server, and here apart from the rest.
        let (buffer, mut link) = (std::mem::take(&mut self.buffer), self.link.take());
        let published = self.publish_bytes(&buffer[read], link.as_mut());
        (self.buffer, self.link) = (buffer, link);
        published
    }

    fn publish_bytes(&mut self, mut bytes: &[u8], mut link: Option<&mut Link>) -> bool {
        if self.subscribers.len() == 1 && link.is_none() {
            self.publish_to(0, bytes);
            return true;
        }
        while !bytes.is_empty() {
            // The load's messages are short, and a read holds all of its window.
            let Ok(Some(header)) = Header::parse(bytes) else {
                return false;
            };
            let Some((message, rest)) = bytes.split_at_checked(header.len + header.payload) else {
                return false;
            };
            let topic = self.next;
            self.next = (topic + 1) % self.subscribers.len();
            match &mut link {
                Some(link) => link.publish(topic, message),
                None => self.publish_to(topic, message),
            }
            bytes = rest;
        }
        link.is_none_or(|link| link.flush().is_ok())
    }

    /// One of the link's connections is ready.
    fn serve_link(&mut self, token: Token) -> io::Result<()> {
        let Some(mut link) = self.link.take() else {
            return Ok(());
        };
        match token {
            link::FEED => link.hear(|topic, bytes| self.publish_to(topic, bytes))?,
            _ => link.ignore_answers()?,
        }
        self.link = Some(link);
        Ok(())
    }

    fn publish_to(&mut self, topic: usize, bytes: &[u8]) {
        let mut gone = Vec::new();
        for &token in &self.subscribers[topic] {
            let Some(peer) = &mut self.all[token] else {
                continue;
            };
            if !peer.write(bytes) || peer.waiting.len() > MAX_WAITING {
                gone.push(token);
            }
        }
        for token in gone {
            self.remove(token);
        }
    }
}

/// Each says whether the connection goes on.
impl Peer {
    /// Writes what it can, behind what could not be written before; the rest waits.
    fn write(&mut self, bytes: &[u8]) -> bool {
        if !self.waiting.is_empty() {
            self.waiting.extend_from_slice(bytes);
            return true;
        }
        let written = match self.tcp.write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return false,
        };
        if written < bytes.len() {
            self.waiting.extend_from_slice(&bytes[written..]);
            // A short write does not tell that the socket is full, and only a full one is told of later.
            return self.write_waiting();
        }
        true
    }

    fn write_waiting(&mut self) -> bool {
        while !self.waiting.is_empty() {
            match self.tcp.write(&self.waiting) {
                Ok(written) => drop(self.waiting.drain(..written)),
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}

/// On tokio, a task and a buffer for each connection.
pub(super) fn tokio(setting: &Setting) -> Result<()> {
    if !setting.tls {
        return block_on(accept(echo));
    }
    let acceptor = tls::acceptor()?;
    block_on(accept(move |tcp| {
        let opening = acceptor.accept(tcp);
        async move {
            if let Ok(stream) = opening.await {
                echo(stream).await;
            }
        }
    }))
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let bytes = &buffer[..read];
        // TLS keeps what it has encrypted until it is flushed.
        if stream.write_all(bytes).await.is_err() || stream.flush().await.is_err() {
            break;
        }
    }
}
