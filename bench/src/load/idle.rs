//! Connections that are held, and what the server's memory grows by with them.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Result;
use crate::message::{JSON_SIZE, Payload};
use crate::process;
use crate::workload::{Load, Workload};

use super::echo::{connect, deflated, exchange};
use super::exact::Exact;
use super::opening::Opening;
use super::reply::Replies;
use super::tls::{self, Tls};
use super::{Cost, Meter, Options, opening};

pub(super) fn measure(options: &Options, workload: &Workload) -> Result<Cost> {
    let Load::Idle {
        connections,
        message,
    } = workload.load
    else {
        return Err(format!("{} does not rest", workload.name));
    };
    let caller = Caller {
        options,
        opening: opening(options, workload, "/"),
        tls: workload.setting.tls.then(Tls::new).transpose()?,
    };
    let exchange = message.then(|| Exchange::new(options, workload));
    // What is made with the first connections for all is not part of what each costs.
    let first = caller.open(FIRST)?;
    let first = exchange_on(first, exchange.as_ref())?;
    let before = settled(options.pid)?;
    let meter = Meter::start(options, 0)?;
    let held = caller.open(connections)?;
    let held = exchange_on(held, exchange.as_ref())?;
    let after = settled(options.pid)?;
    let mut cost = meter.stop(connections as u64)?;
    cost.grown_bytes = after as i64 - before as i64;
    // Until here, and longer than it was measured, they were open.
    drop((first, held));
    Ok(cost)
}

const FIRST: usize = 64;

/// Resident memory, once it stays the same.
fn settled(pid: u32) -> Result<u64> {
    const BETWEEN: Duration = Duration::from_millis(250);
    const SAME: u64 = 16 * 1024;
    let end = Instant::now() + Duration::from_secs(5);
    let mut last = process::resident(pid)?;
    loop {
        std::thread::sleep(BETWEEN);
        let now = process::resident(pid)?;
        if now.abs_diff(last) <= SAME || Instant::now() > end {
            return Ok(now);
        }
        last = now;
    }
}

struct Caller<'a> {
    options: &'a Options,
    opening: Opening,
    tls: Option<Tls>,
}

impl Caller<'_> {
    fn open(&self, connections: usize) -> Result<Vec<Line>> {
        (0..connections).map(|_| self.open_one()).collect()
    }

    fn open_one(&self) -> Result<Line> {
        let tcp = connect(self.options)?;
        let mut line = match &self.tls {
            Some(tls) => Line::Tls(tls.connect(tcp)?),
            None => Line::Plain(tcp),
        };
        if !self.options.is_raw() {
            self.opening.open(&mut line)?;
        }
        Ok(line)
    }
}

/// A connection that waits.
enum Line {
    Plain(TcpStream),
    Tls(Box<tls::Stream>),
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// A message that is to come back.
struct Exchange {
    frame: Vec<u8>,
    replies: Box<dyn Fn() -> Box<dyn Replies>>,
}

impl Exchange {
    fn new(options: &Options, workload: &Workload) -> Self {
        const PAYLOAD: Payload = Payload::Json;
        let takeover = workload.setting.takeover;
        if workload.setting.deflate.is_some() {
            let (mut frames, _) = deflated(PAYLOAD, JSON_SIZE, takeover, 1);
            return Self {
                frame: frames.swap_remove(0),
                replies: Box::new(move || Box::new(deflated(PAYLOAD, JSON_SIZE, takeover, 1).1)),
            };
        }
        let (mut frames, replies) = exchange(PAYLOAD, JSON_SIZE, 1, options.is_raw());
        Self {
            frame: frames.swap_remove(0),
            replies: Box::new(move || Box::new(Exact::new(&replies, 1, BUFFER))),
        }
    }
}

/// One message on each, one connection after the other.
fn exchange_on(mut lines: Vec<Line>, exchange: Option<&Exchange>) -> Result<Vec<Line>> {
    let Some(exchange) = exchange else {
        return Ok(lines);
    };
    let mut buffer = [0; BUFFER];
    for line in &mut lines {
        line.write_all(&exchange.frame)
            .and_then(|()| line.flush())
            .map_err(|error| format!("cannot write: {error}"))?;
        let mut replies = (exchange.replies)();
        loop {
            let read = match line.read(&mut buffer) {
                Ok(0) => return Err("the server ended a connection".to_owned()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("cannot read: {error}")),
            };
            if replies.take(0, &buffer[..read])? == 1 {
                break;
            }
        }
    }
    Ok(lines)
}

const BUFFER: usize = 4096;
