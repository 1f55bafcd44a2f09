//! Messages that come back: so many connections, so many messages in flight on each.

use std::net::TcpStream;
use std::time::Instant;

use crate::Result;
use crate::message::{self, KEY, Payload, RSV1};
use crate::workload::{Load, Workload};

use super::exact::Exact;
use super::inflating::Inflating;
use super::reply::Replies;
use super::ring::{self, Position, Ring};
use super::stream::{self, BUFFER};
use super::{Loading, Options, PATIENCE, Poller, opening};

pub(super) struct Echo<R> {
    poller: Poller,
    peers: Vec<Peer>,
    frames: Ring,
    replies: R,
    buffer: Vec<u8>,
    in_flight: usize,
    count: u64,
    stopping: bool,
}

struct Peer {
    tcp: mio::net::TcpStream,
    position: Position,
}

impl Echo<Exact> {
    pub(super) fn exact(options: &Options, workload: &Workload) -> Result<Self> {
        let Shape {
            connections,
            payload,
            size,
            ..
        } = Shape::of(workload)?;
        let (frames, replies) = exchange(payload, size, ring::len(size), options.is_raw());
        let replies = Exact::new(&replies, connections, BUFFER);
        Self::connect(options, workload, &frames, replies)
    }
}

impl Echo<Inflating> {
    pub(super) fn deflated(options: &Options, workload: &Workload) -> Result<Self> {
        let Shape {
            connections,
            payload,
            size,
            ..
        } = Shape::of(workload)?;
        let (frames, replies) = deflated(payload, size, workload.setting.takeover, connections);
        Self::connect(options, workload, &frames, replies)
    }
}

impl<R> Echo<R> {
    fn connect(
        options: &Options,
        workload: &Workload,
        frames: &[Vec<u8>],
        replies: R,
    ) -> Result<Self> {
        let shape = Shape::of(workload)?;
        let poller = Poller::new()?;
        let opening = opening(options, workload, "/");
        let mut peers = Vec::new();
        for token in 0..shape.connections {
            let mut tcp = connect(options)?;
            if !options.is_raw() {
                opening.open(&mut tcp)?;
            }
            let mut tcp = without_waiting(tcp)?;
            poller.register(&mut tcp, token)?;
            let position = Position::new(shape.in_flight);
            peers.push(Peer { tcp, position });
        }
        Ok(Self {
            poller,
            peers,
            frames: Ring::new(frames, shape.in_flight),
            replies,
            buffer: vec![0; BUFFER],
            in_flight: shape.in_flight * shape.connections,
            count: 0,
            stopping: false,
        })
    }
}

impl<R: Replies> Loading for Echo<R> {
    fn turn(&mut self, until: Instant) -> Result<()> {
        self.poller.wait(until)?;
        for event in &self.poller.events {
            let connection = event.token().0;
            let Peer { tcp, position } = &mut self.peers[connection];
            let mut complete = 0;
            if event.is_readable() {
                stream::read(tcp, &mut self.buffer, |bytes| {
                    complete += self.replies.take(connection, bytes)?;
                    Ok(())
                })?;
            }
            self.count += complete as u64;
            if self.stopping {
                self.in_flight -= complete;
            } else {
                position.release(complete);
            }
            stream::write(tcp, position, &self.frames)?;
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
        self.in_flight
    }
}

struct Shape {
    connections: usize,
    in_flight: usize,
    payload: Payload,
    size: usize,
}

impl Shape {
    fn of(workload: &Workload) -> Result<Self> {
        match workload.load {
            Load::Echo {
                connections,
                in_flight,
                payload,
                size,
            } => Ok(Self {
                connections,
                in_flight,
                payload,
                size,
            }),
            _ => Err(format!("{} echoes nothing", workload.name)),
        }
    }
}

/// Frames that a client sends, and the frames that have to come of it. A server that echoes bytes sends
/// the former back.
pub(super) fn exchange(
    payload: Payload,
    size: usize,
    messages: usize,
    raw: bool,
) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let frames = |key| -> Vec<Vec<u8>> {
        (0..messages)
            .map(|number| payload.bytes(size, number))
            .map(|bytes| message::frame(payload.first_byte(), &bytes, key))
            .collect()
    };
    let sent = frames(Some(KEY));
    let replies = if raw { sent.clone() } else { frames(None) };
    (sent, replies)
}

/// Compressed frames that a client sends, and how to know their replies. A client may do without its own
/// context whatever was agreed (RFC 7692 §7.1.1.2 binds the other way only), so its frames stay the same.
pub(super) fn deflated(
    payload: Payload,
    size: usize,
    takeover: bool,
    connections: usize,
) -> (Vec<Vec<u8>>, Inflating) {
    let payloads = (0..ring::len(size)).map(|number| payload.bytes(size, number));
    let payloads: Vec<_> = payloads.collect();
    let first = payload.first_byte();
    let frames = payloads.iter().map(|bytes| message::compress(bytes));
    let frames = frames.map(|bytes| message::frame(first | RSV1, &bytes, Some(KEY)));
    let frames = frames.collect();
    let replies = Inflating::new(payloads, first, takeover, connections);
    (frames, replies)
}

pub(super) fn connect(options: &Options) -> Result<TcpStream> {
    let addr = options.addr;
    let connect = || {
        let tcp = TcpStream::connect(addr)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        Ok(tcp)
    };
    connect().map_err(|error: std::io::Error| format!("cannot connect to {addr}: {error}"))
}

pub(super) fn without_waiting(tcp: TcpStream) -> Result<mio::net::TcpStream> {
    tcp.set_nonblocking(true)
        .map_err(|error| error.to_string())?;
    Ok(mio::net::TcpStream::from_std(tcp))
}
