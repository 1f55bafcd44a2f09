//! The floor: bytes are sent back as they came, with one read and one write for each readiness.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{accept, announce, block_on};
use crate::Result;

const BUFFER: usize = 128 * 1024;

/// Without a runtime.
pub(super) fn epoll() -> Result<()> {
    echo().map_err(|error| error.to_string())
}

/// A connection, and what it could not write yet.
struct Peer {
    tcp: TcpStream,
    waiting: Vec<u8>,
}

fn echo() -> io::Result<()> {
    const LISTENER: Token = Token(usize::MAX);
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    announce(listener.local_addr()?).map_err(io::Error::other)?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut peers: HashMap<Token, Peer> = HashMap::new();
    let mut next = 0;
    let mut buffer = vec![0; BUFFER];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() != LISTENER {
                let peer = peers.get_mut(&event.token()).expect("registered");
                if !peer.drive(&mut buffer) {
                    peers.remove(&event.token());
                }
                continue;
            }
            while let Ok((mut tcp, _)) = listener.accept() {
                tcp.set_nodelay(true)?;
                let token = Token(next);
                next += 1;
                let interest = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut tcp, token, interest)?;
                let waiting = Vec::new();
                peers.insert(token, Peer { tcp, waiting });
            }
        }
    }
}

impl Peer {
    /// Whether the connection goes on.
    fn drive(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            while !self.waiting.is_empty() {
                match self.tcp.write(&self.waiting) {
                    Ok(written) => drop(self.waiting.drain(..written)),
                    Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
                }
            }
            let read = match self.tcp.read(buffer) {
                Ok(0) => return false,
                Ok(read) => read,
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            };
            let bytes = &buffer[..read];
            match self.tcp.write(bytes) {
                Ok(written) => self.waiting.extend_from_slice(&bytes[written..]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.waiting.extend_from_slice(bytes);
                }
                Err(_) => return false,
            }
            // What did not fill the buffer was all that there was.
            if read < buffer.len() && self.waiting.is_empty() {
                return true;
            }
        }
    }
}

/// On tokio, a task and a buffer for each connection.
pub(super) fn tokio() -> Result<()> {
    block_on(accept(|mut tcp| async move {
        let mut buffer = vec![0; BUFFER];
        while let Ok(read @ 1..) = tcp.read(&mut buffer).await {
            if tcp.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    }))
}
