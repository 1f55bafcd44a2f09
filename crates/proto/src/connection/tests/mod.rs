//! The connection, bytes in and bytes out. Time is counted from one start, masking keys are the RFC's.

use std::time::{Duration, Instant};

use bytes::Buf;

use super::*;
use crate::close::CloseCode;
use crate::error::SendError;
use crate::message::Message;

use self::wire::{Frame, KEY, frame, frames, header, hex};

mod assembly;
mod closing;
mod control;
mod deadline;
mod exchange;
mod failure;
mod framing;
mod gating;
mod limit;
mod message;
mod sending;
#[path = "../../../tests/wire/mod.rs"]
mod wire;

const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// FIN and the opcode: the first byte of each kind of frame.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// The first byte of a message's first, middle and last fragment.
const TEXT_STARTS: u8 = 0x01;
const BINARY_STARTS: u8 = 0x02;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;

/// The result of [`Connection::receive`], owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Start(MessageKind),
    Chunk(Vec<u8>),
    End,
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    Failed(ProtocolError),
}

/// One end, and the caller's part of the contract: it keeps what is left of the input, and the time.
struct End {
    machine: Connection,
    now: Instant,
    unread: Vec<u8>,
}

impl End {
    fn of(role: Role) -> Self {
        Self::with(Config::new(role), role)
    }

    fn server() -> Self {
        Self::of(Role::Server)
    }

    fn client() -> Self {
        Self::of(Role::Client)
    }

    fn with(config: Config, role: Role) -> Self {
        let now = start();
        let machine = match role {
            Role::Client => Connection::client(config, Box::new(|| MaskingKey::new(KEY)), now),
            Role::Server => Connection::server(config, now),
        };
        Self {
            machine,
            now,
            unread: Vec::new(),
        }
    }

    /// The key that the peer masks with, if it is to.
    fn peer_key(&self) -> Option<[u8; 4]> {
        (self.machine.role() == Role::Server).then_some(KEY)
    }

    /// A frame as the peer sends it.
    fn frame(&self, first: u8, payload: &[u8]) -> Vec<u8> {
        frame(first, payload, self.peer_key())
    }

    /// A Close as the peer sends it.
    fn close_frame(&self, code: u16, reason: &str) -> Vec<u8> {
        self.frame(CLOSE, &close_body(code, reason))
    }

    /// Reads `bytes` and all that they cause, which ends with what breaks a rule.
    fn reads(&mut self, bytes: impl AsRef<[u8]>) -> Vec<Seen> {
        self.arrives(bytes);
        let mut seen = Vec::new();
        loop {
            match self.pull() {
                Some(Seen::Failed(error)) => {
                    seen.push(Seen::Failed(error));
                    return seen;
                }
                Some(event) => seen.push(event),
                None => return seen,
            }
        }
    }

    /// Reads a frame of the peer's.
    fn reads_frame(&mut self, first: u8, payload: &[u8]) -> Vec<Seen> {
        self.reads(self.frame(first, payload))
    }

    /// Puts `bytes` behind what is unread.
    fn arrives(&mut self, bytes: impl AsRef<[u8]>) {
        self.unread.extend_from_slice(bytes.as_ref());
    }

    /// Takes one event.
    fn pull(&mut self) -> Option<Seen> {
        let mut input = &mut self.unread[..];
        let seen = match self.machine.receive(&mut input, self.now) {
            Ok(event) => event.map(Seen::from),
            Err(error) => Some(Seen::Failed(error)),
        };
        self.unread = input.to_vec();
        seen
    }

    /// Takes what is to be written, as bytes.
    fn written(&mut self) -> Vec<u8> {
        let output = self.machine.output();
        let len = output.remaining();
        let mut bytes = Vec::with_capacity(len);
        while output.has_remaining() {
            let chunk = output.chunk();
            bytes.extend_from_slice(chunk);
            let taken = chunk.len();
            output.advance(taken);
        }
        bytes
    }

    /// Takes what is to be written, as frames: their first bytes and payloads.
    fn writes(&mut self) -> Vec<(u8, Vec<u8>)> {
        let key = (self.machine.role() == Role::Client).then_some(KEY);
        let check = |frame: Frame| {
            assert_eq!(frame.key, key, "a client masks, a server does not");
            (frame.first, frame.payload)
        };
        frames(&self.written()).into_iter().map(check).collect()
    }

    fn waits(&mut self, duration: Duration) {
        self.now += duration;
    }

    fn sends_close(&mut self, code: u16, reason: &str) {
        let reason = close_reason(code, reason);
        self.machine.send_close(&reason, self.now).unwrap();
    }

    /// The code and the text of the peer's Close (§7.1.5, §7.1.6).
    fn close_received(&self) -> Option<(u16, &str)> {
        let reason = self.machine.close_received()?;
        Some((reason.code().get(), reason.reason()))
    }
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Binary(payload) => Self::Binary(payload.to_vec()),
            Event::Chunk(payload) => Self::Chunk(payload.to_vec()),
            Event::Close(reason) => Self::Close(reason.code().get(), reason.reason().to_owned()),
            Event::MessageEnd => Self::End,
            Event::MessageStart(kind) => Self::Start(kind),
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Text(text) => Self::Text(text.to_owned()),
        }
    }
}

fn text(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

fn chunk(payload: &[u8]) -> Seen {
    Seen::Chunk(payload.to_vec())
}

fn close_reason(code: u16, reason: &str) -> CloseReason {
    CloseReason::new(CloseCode::try_from(code).unwrap(), reason).unwrap()
}

fn close_body(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
fn start() -> Instant {
    Instant::now()
}
