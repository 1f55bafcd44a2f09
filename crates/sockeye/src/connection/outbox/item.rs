//! What waits in an outbox, and the numbers by which somebody waits for it.

use sockeye_proto::Outgoing;

use super::overflow::Fate;
use super::part::{Part, Streamed};

/// One thing to send.
#[derive(Debug)]
pub(crate) enum Item {
    Message(Outgoing),
    /// One that gives way to a newer one where there is no room. Whoever waits for it learns of its fate.
    Loose(Outgoing, Option<Fate>),
    /// So many loose ones that gave way lay here, behind others that are in still.
    Gap(u64),
    /// Of the message in front: what is taken of it.
    Part(Part),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// Of the driver itself: a reply that would overtake what was put in before it.
    Reply(Outgoing),
    /// A message that is sent in parts, as it lies here.
    Streamed(Box<Streamed>),
}

/// A place in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(super) control: bool,
    pub(super) number: u64,
}

/// How far the lanes have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
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

impl Item {
    pub(super) fn is_control(&self) -> bool {
        matches!(self, Self::Ping(_) | Self::Pong(_))
    }

    pub(super) fn is_loose(&self) -> bool {
        matches!(self, Self::Loose(..))
    }

    /// Whether it is a message that is sent in parts, and the next one is not there.
    pub(super) fn has_no_part_ready(&self) -> bool {
        matches!(self, Self::Streamed(streamed) if streamed.len_of_next().is_none())
    }

    /// The bytes of payload, as they are before they are compressed: so many are held while it waits.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Message(outgoing) | Self::Reply(outgoing) | Self::Loose(outgoing, _) => {
                outgoing.message().as_bytes().len()
            }
            Self::Gap(_) => 0,
            Self::Part(part) => part.payload.len(),
            Self::Ping(payload) | Self::Pong(payload) => payload.len(),
            Self::Streamed(streamed) => streamed.len(),
        }
    }

    /// What it counts for where a limit is: its payload, or what carries that where it is less. Else
    /// empty messages would wait without a limit.
    pub(crate) fn weight(&self) -> usize {
        self.len().max(LEAST_WEIGHT)
    }
}

/// A short message takes about as much memory for itself.
pub(super) const LEAST_WEIGHT: usize = 64;
