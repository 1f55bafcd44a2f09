//! The floor: a blocking connection that drives the script of a publish, and looks at nothing but errors.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{META, Meter, Options, Shape};
use crate::Result;
use crate::load::{Cost, PATIENCE};
use crate::message::Payload;
use crate::redis::{Asking, resp};

const SCRIPT: &str = include_str!("../../../crates/redis/src/scripts/publish.lua");
const STREAM: &str = "sockeye:{70}:s:room/42";
const CHANNEL: &str = "sockeye:{70}:c:room/42";

pub(super) fn publish(options: &Options, shape: Shape) -> Result<Cost> {
    let loaded = Asking::connect(options.redis)?.ask(&["SCRIPT", "LOAD", SCRIPT])?;
    let hash = loaded.lines().nth(1).ok_or("Redis loads no script")?;
    let mut client = Client::connect(options, shape, hash)?;
    let mut meter = Meter::new(options);
    let mut wanted = shape.in_flight;
    loop {
        client.send(wanted)?;
        wanted = client.receive()?;
        if let Some(cost) = meter.published(wanted as u64)? {
            // The nodes are asked whether they got all, so all of it has to be over.
            let mut left = shape.in_flight - wanted;
            while left > 0 {
                left -= client.receive()?;
            }
            return Ok(cost);
        }
    }
}

struct Client<'a> {
    tcp: TcpStream,
    hash: &'a str,
    /// A flag that says binary, and the payload.
    body: Vec<u8>,
    /// How many were sent. Keys and ids are made of it.
    number: u64,
    key: String,
    id: String,
    sending: Vec<u8>,
    received: Vec<u8>,
    buffer: Vec<u8>,
}

impl<'a> Client<'a> {
    fn connect(options: &Options, shape: Shape, hash: &'a str) -> Result<Self> {
        let connect = || {
            let tcp = TcpStream::connect(options.redis)?;
            tcp.set_nodelay(true)?;
            tcp.set_read_timeout(Some(PATIENCE))?;
            Ok(tcp)
        };
        let tcp = connect().map_err(|error: std::io::Error| error.to_string())?;
        let mut body = vec![BINARY];
        body.extend(Payload::Binary.bytes(shape.size, 0));
        Ok(Self {
            tcp,
            hash,
            body,
            number: 0,
            key: String::new(),
            id: String::new(),
            sending: Vec::new(),
            received: Vec::new(),
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Sends so many publishes, in one write.
    fn send(&mut self, publishes: usize) -> Result<()> {
        self.sending.clear();
        let deadline = deadline()?;
        for _ in 0..publishes {
            self.number += 1;
            self.key.clear();
            self.id.clear();
            let number = self.number;
            // As long as a hash of 128 bits, and an id of 64 bits, are in base64.
            let _ = write!(self.key, "sockeye:{{70}}:k:{number:022}:room/42");
            let _ = write!(self.id, "{:010}A", number);
            let words: [&[u8]; 17] = [
                b"EVALSHA",
                self.hash.as_bytes(),
                b"4",
                META.as_bytes(),
                STREAM.as_bytes(),
                CHANNEL.as_bytes(),
                self.key.as_bytes(),
                b"window",
                b"100",
                b"600000",
                b"87000000",
                b"AAAAAAAAAAE",
                self.id.as_bytes(),
                &self.body,
                deadline.as_bytes(),
                b"300000",
                b"PUBLISH",
            ];
            resp::command(&mut self.sending, &words);
        }
        self.tcp
            .write_all(&self.sending)
            .map_err(|error| format!("cannot write: {error}"))
    }

    /// Reads once, and returns how many publishes that answers.
    fn receive(&mut self) -> Result<usize> {
        let read = self.tcp.read(&mut self.buffer);
        let read = read.map_err(|error| format!("cannot read: {error}"))?;
        if read == 0 {
            return Err("Redis ended the connection".to_owned());
        }
        self.received.extend_from_slice(&self.buffer[..read]);
        let (mut at, mut answers) = (0, 0);
        while let Some(length) = resp::reply(&self.received[at..])? {
            at += length;
            answers += 1;
        }
        self.received.drain(..at);
        Ok(answers)
    }
}

/// The first byte of a body that is binary.
const BINARY: u8 = 1;

/// Two seconds from now, in milliseconds: Redis has the clock of this machine.
fn deadline() -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_err(|error| error.to_string())?;
    Ok((now.as_millis() + 2000).to_string())
}
