//! The items of an outbox: as they wait in it, and as the driver takes them; and the numbers by which a task waits for
//! an item.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use sockeye_proto::{MessageKind, Outgoing};

use crate::sync::Arc;

/// One thing that a sender puts in.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "it is all that can be sent at once"
)]
pub enum Item {
    /// A message.
    Message(Outgoing),
    /// A ping with this payload (RFC 6455 §5.5.2).
    Ping(Vec<u8>),
    /// A pong with this payload (RFC 6455 §5.5.3).
    Pong(Vec<u8>),
}

/// One thing that waits to be sent.
#[derive(Debug)]
pub(super) enum Queued {
    Message(Outgoing),
    /// A message that gives way to a newer one if there is no room. A task that waits for it reads its fate.
    Loose(Outgoing, Option<Fate>),
    /// This many loose messages lay here, behind an item that still waits, and gave way.
    Gap(u64),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A reply of the driver, which must not overtake the items before it.
    Reply(Outgoing),
    /// A message that is sent in parts. It gives its parts, and does not leave the outbox itself.
    Streamed(Box<Streamed>),
}

/// One thing that the driver has taken, and sends.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "the driver acts on each")]
pub enum Taken {
    /// A message.
    Message(Outgoing),
    /// A part of a message.
    Part(Part),
    /// A ping with this payload.
    Ping(Vec<u8>),
    /// A pong with this payload.
    Pong(Vec<u8>),
    /// A reply of the driver.
    Reply(Outgoing),
}

/// One part of a message.
#[derive(Debug)]
pub struct Part {
    /// The kind of the message.
    pub kind: MessageKind,
    /// Whether the message may be compressed.
    pub compressible: bool,
    /// The bytes of this part.
    pub payload: Bytes,
    /// Whether the message ends with this part.
    pub is_last: bool,
}

/// A message that is sent in parts, and the parts of it that wait.
#[derive(Debug)]
pub(super) struct Streamed {
    kind: MessageKind,
    compressible: bool,
    parts: VecDeque<(Bytes, bool)>,
    bytes: usize,
    has_begun: bool,
}

impl Streamed {
    /// The limit of the bytes of the message in front that wait. One part of any size may wait alone.
    pub(super) const WINDOW: usize = 256 * 1024;

    /// A message of which the first part is here. The second value says whether it is the last one too.
    pub(super) fn new(kind: MessageKind, compressible: bool, first: (Bytes, bool)) -> Self {
        Self {
            kind,
            compressible,
            bytes: first.0.len(),
            parts: VecDeque::from([first]),
            has_begun: false,
        }
    }

    /// Whether the driver has taken a part of it.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn len_of_next(&self) -> Option<usize> {
        self.parts.front().map(|(payload, _)| payload.len())
    }

    pub(super) fn has_room(&self, len: usize) -> bool {
        self.parts.is_empty() || self.bytes + len <= Self::WINDOW
    }

    pub(super) fn push(&mut self, payload: Bytes, is_last: bool) {
        self.bytes += payload.len();
        self.parts.push_back((payload, is_last));
    }

    /// Takes the next part.
    pub(super) fn pop(&mut self) -> Option<Part> {
        let (payload, is_last) = self.parts.pop_front()?;
        self.bytes -= payload.len();
        self.has_begun = true;
        Some(Part {
            kind: self.kind,
            compressible: self.compressible,
            payload,
            is_last,
        })
    }

    /// Takes back the first part of a message that was not put in.
    pub(super) fn take_back(&mut self) -> Option<Bytes> {
        self.parts.pop_front().map(|(payload, _)| payload)
    }
}

/// Whether a message gave way. Its outbox is locked for each look and each change.
pub(super) type Fate = Arc<AtomicBool>;

pub(super) fn gave_way(fate: &Fate) -> bool {
    fate.load(Relaxed)
}

pub(super) fn give_way(fate: &Fate) {
    fate.store(true, Relaxed);
}

/// The number of an item in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(super) control: bool,
    pub(super) number: u64,
}

/// What a sender that does not wait gets for its item. By it the sender can wait for the write.
#[derive(Debug)]
pub struct Receipt {
    // `None` if the item was dropped.
    pub(super) ticket: Option<Ticket>,
    // The fate of a message that may give way.
    pub(super) fate: Option<Fate>,
}

impl From<Ticket> for Receipt {
    fn from(ticket: Ticket) -> Self {
        Self {
            ticket: Some(ticket),
            fate: None,
        }
    }
}

/// A number in each lane: items up to it are put in, taken, or written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    pub(super) controls: u64,
    pub(super) items: u64,
}

impl Reached {
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            controls: self.controls.max(other.controls),
            items: self.items.max(other.items),
        }
    }

    pub(super) fn includes(self, ticket: Ticket) -> bool {
        let reached = if ticket.control {
            self.controls
        } else {
            self.items
        };
        ticket.number <= reached
    }
}

impl Ticket {
    pub(super) fn is_of_item(self, number: u64) -> bool {
        !self.control && self.number == number
    }
}

impl From<Item> for Queued {
    fn from(item: Item) -> Self {
        match item {
            Item::Message(outgoing) => Self::Message(outgoing),
            Item::Ping(payload) => Self::Ping(payload),
            Item::Pong(payload) => Self::Pong(payload),
        }
    }
}

impl Queued {
    pub(super) fn is_control(&self) -> bool {
        matches!(self, Self::Ping(_) | Self::Pong(_))
    }

    pub(super) fn is_loose(&self) -> bool {
        matches!(self, Self::Loose(..))
    }

    /// Whether the item is a message that is sent in parts, and its next part is missing.
    pub(super) fn has_no_part_ready(&self) -> bool {
        matches!(self, Self::Streamed(streamed) if streamed.len_of_next().is_none())
    }

    /// The item as the driver takes it. `None` for an item that does not leave the outbox.
    pub(super) fn into_taken(self) -> Option<Taken> {
        match self {
            Self::Message(outgoing) | Self::Loose(outgoing, _) => Some(Taken::Message(outgoing)),
            Self::Reply(outgoing) => Some(Taken::Reply(outgoing)),
            Self::Ping(payload) => Some(Taken::Ping(payload)),
            Self::Pong(payload) => Some(Taken::Pong(payload)),
            Self::Streamed(_) | Self::Gap(_) => None,
        }
    }

    /// The bytes of payload that the item holds, before compression.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Message(outgoing) | Self::Reply(outgoing) | Self::Loose(outgoing, _) => {
                outgoing.message().as_bytes().len()
            }
            Self::Gap(_) => 0,
            Self::Ping(payload) | Self::Pong(payload) => payload.len(),
            Self::Streamed(streamed) => streamed.len(),
        }
    }

    /// The bytes that the item counts for against a limit: its payload, and at least what carries a payload.
    /// Otherwise the number of empty messages would have no limit.
    pub(super) fn weight(&self) -> usize {
        self.len().max(LEAST_WEIGHT)
    }
}

impl Taken {
    /// The bytes of payload, before compression.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Message(outgoing) | Self::Reply(outgoing) => outgoing.message().as_bytes().len(),
            Self::Part(part) => part.payload.len(),
            Self::Ping(payload) | Self::Pong(payload) => payload.len(),
        }
    }

    /// The bytes that it counted for in the outbox.
    pub fn weight(&self) -> usize {
        self.len().max(LEAST_WEIGHT)
    }
}

/// The memory that a short message takes besides its payload, about.
pub(super) const LEAST_WEIGHT: usize = 64;
