//! Connections that are opened and reset at once, some in parallel. A reset leaves no TIME_WAIT behind, so
//! that ports do not run out.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use socket2::SockRef;

use crate::Result;
use crate::workload::{Load, Workload};

use super::opening::Opening;
use super::{Loading, Options, Poller, opening};

pub(super) struct Handshakes {
    poller: Poller,
    addr: SocketAddr,
    opening: Opening,
    /// An echo of bytes sends the request back.
    raw: bool,
    /// `None` where one is done and no other begun.
    slots: Vec<Option<Handshake>>,
    count: u64,
    stopping: bool,
}

struct Handshake {
    tcp: TcpStream,
    requested: bool,
    received: Vec<u8>,
}

impl Handshakes {
    pub(super) fn begin(options: &Options, workload: &Workload) -> Result<Self> {
        let Load::Handshake { parallel } = workload.load else {
            return Err(format!("{} shakes no hands", workload.name));
        };
        let mut handshakes = Self {
            poller: Poller::new()?,
            addr: options.addr,
            opening: opening(options, workload, "/"),
            raw: options.is_raw(),
            slots: Vec::new(),
            count: 0,
            stopping: false,
        };
        for token in 0..parallel {
            let handshake = Handshake::begin(options.addr, &handshakes.poller, token)?;
            handshakes.slots.push(Some(handshake));
        }
        Ok(handshakes)
    }
}

impl Handshake {
    fn begin(addr: SocketAddr, poller: &Poller, token: usize) -> Result<Self> {
        let connect = || {
            let tcp = TcpStream::connect(addr)?;
            SockRef::from(&tcp).set_linger(Some(Duration::ZERO))?;
            Ok(tcp)
        };
        let mut tcp = connect().map_err(|error: io::Error| format!("cannot connect: {error}"))?;
        poller.register(&mut tcp, token)?;
        Ok(Self {
            tcp,
            requested: false,
            received: Vec::new(),
        })
    }

    /// Whether it is done.
    fn drive(&mut self, opening: &Opening, raw: bool) -> Result<bool> {
        if !self.requested {
            let request = opening.request();
            match self.tcp.write(request) {
                Ok(written) if written == request.len() => self.requested = true,
                Ok(_) => return Err("the request was not written as a whole".to_owned()),
                Err(error) if is_early(&error) => return Ok(false),
                Err(error) => return Err(format!("cannot write the request: {error}")),
            }
        }
        let mut buffer = [0; 2048];
        loop {
            match self.tcp.read(&mut buffer) {
                Ok(0) => return Err("the server ended a connection instead of opening it".into()),
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(format!("cannot read the response: {error}")),
            }
            let done = if raw {
                self.received == opening.request()
            } else {
                opening.receive(&self.received)?
            };
            if done {
                return Ok(true);
            }
        }
    }
}

fn is_early(error: &io::Error) -> bool {
    use io::ErrorKind::{NotConnected, WouldBlock};
    matches!(error.kind(), WouldBlock | NotConnected)
}

impl Loading for Handshakes {
    fn turn(&mut self, until: Instant) -> Result<()> {
        self.poller.wait(until)?;
        for event in &self.poller.events {
            let token = event.token().0;
            let slot = &mut self.slots[token];
            let Some(handshake) = slot else {
                continue;
            };
            if !handshake.drive(&self.opening, self.raw)? {
                continue;
            }
            self.count += 1;
            // The old one is gone before the new one comes.
            *slot = None;
            if !self.stopping {
                *slot = Some(Handshake::begin(self.addr, &self.poller, token)?);
            }
        }
        Ok(())
    }

    fn count(&self) -> u64 {
        self.count
    }

    fn stop(&mut self) {
        self.stopping = true;
    }

    fn in_flight(&self) -> usize {
        self.slots.iter().flatten().count()
    }
}
