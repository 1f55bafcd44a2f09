//! The floor's link to a Redis server, by which two floors share topics: a connection for commands, and a feed.

use std::io::{self, Read};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::{BUFFER, Peer, Role};
use crate::redis::resp::{self, Push};

pub(super) struct Link {
    commands: Peer,
    feed: Peer,
    /// The channel of each topic.
    channels: Vec<String>,
    /// Commands that were not yet given to the connection.
    unsent: Vec<u8>,
    /// What came on the feed and is not yet delivered.
    heard: Vec<u8>,
    /// Messages of one topic in a row: they leave in one write for each subscriber.
    row: Vec<u8>,
    buffer: Vec<u8>,
}

/// The two connections among those of a floor.
pub(super) const COMMANDS: Token = Token(usize::MAX - 1);
pub(super) const FEED: Token = Token(usize::MAX - 2);

impl Link {
    pub(super) fn open(addr: SocketAddr, topics: usize, registry: &Registry) -> io::Result<Self> {
        let open = |token| {
            let tcp = std::net::TcpStream::connect(addr)?;
            tcp.set_nodelay(true)?;
            tcp.set_nonblocking(true)?;
            let mut tcp = TcpStream::from_std(tcp);
            registry.register(&mut tcp, token, Interest::READABLE | Interest::WRITABLE)?;
            io::Result::Ok(Peer {
                tcp,
                waiting: Vec::new(),
                role: Role::Untold,
            })
        };
        Ok(Self {
            commands: open(COMMANDS)?,
            feed: open(FEED)?,
            channels: (0..topics).map(|topic| format!("t:{topic}")).collect(),
            unsent: Vec::new(),
            heard: Vec::new(),
            row: Vec::new(),
            buffer: vec![0; BUFFER],
        })
    }

    /// Subscribes to a topic. The server's confirmation is not waited for.
    pub(super) fn subscribe(&mut self, topic: usize) -> io::Result<()> {
        let mut command = Vec::new();
        resp::command(
            &mut command,
            &[b"SUBSCRIBE", self.channels[topic].as_bytes()],
        );
        sent(self.feed.write(&command))
    }

    /// Publishes a message when [`flush`](Self::flush) is called.
    pub(super) fn publish(&mut self, topic: usize, message: &[u8]) {
        let channel = self.channels[topic].as_bytes();
        resp::command(&mut self.unsent, &[b"PUBLISH", channel, message]);
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        let unsent = std::mem::take(&mut self.unsent);
        let written = sent(self.commands.write(&unsent));
        self.unsent = unsent;
        self.unsent.clear();
        written
    }

    /// Goes on with what could not be written, and ignores the answers of publishes: the load misses a lost message.
    pub(super) fn ignore_answers(&mut self) -> io::Result<()> {
        sent(self.commands.write_waiting())?;
        while read(&mut self.commands.tcp, &mut self.buffer)? == self.buffer.len() {}
        Ok(())
    }

    /// Reads what there is, and delivers it by topic.
    pub(super) fn hear(&mut self, mut deliver: impl FnMut(usize, &[u8])) -> io::Result<()> {
        sent(self.feed.write_waiting())?;
        loop {
            let read = read(&mut self.feed.tcp, &mut self.buffer)?;
            self.heard.extend_from_slice(&self.buffer[..read]);
            self.deliver(&mut deliver)?;
            if read < self.buffer.len() {
                return Ok(());
            }
        }
    }

    fn deliver(&mut self, deliver: &mut impl FnMut(usize, &[u8])) -> io::Result<()> {
        let (mut at, mut topic_of_row) = (0, 0);
        while let Some((push, length)) = resp::push(&self.heard[at..]).map_err(io::Error::other)? {
            at += length;
            let Push::Message(message) = push else {
                continue;
            };
            let topic = topic_of(message.channel)?;
            if topic != topic_of_row && !self.row.is_empty() {
                deliver(topic_of_row, &self.row);
                self.row.clear();
            }
            topic_of_row = topic;
            self.row.extend_from_slice(message.payload);
        }
        if !self.row.is_empty() {
            deliver(topic_of_row, &self.row);
            self.row.clear();
        }
        self.heard.drain(..at);
        Ok(())
    }
}

/// Reads once. Nothing to read is 0 bytes; the end of the connection is an error.
fn read(tcp: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match tcp.read(buffer) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        read => read,
    }
}

fn sent(goes_on: bool) -> io::Result<()> {
    match goes_on {
        true => Ok(()),
        false => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

fn topic_of(channel: &[u8]) -> io::Result<usize> {
    let text = std::str::from_utf8(channel).ok();
    let topic = text.and_then(|text| text.strip_prefix("t:")?.parse().ok());
    topic.ok_or_else(|| io::ErrorKind::InvalidData.into())
}
