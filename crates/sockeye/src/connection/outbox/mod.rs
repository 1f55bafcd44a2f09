//! What other tasks want a connection to send: the one structure that a connection's driver shares with
//! them. Bounded in bytes, fair to those who wait for room, and quiet: however many messages are put in
//! while the driver is parked, it is woken once; while it runs, never.
//!
//! ```text
//!   Session, Sender ──▶ controls ─┐ first
//!                  ──▶ items ─────┼──▶ driver ──▶ output ──▶ transport
//!   broadcasts ───▶ log ──────────┤
//!   Session, Sender ──▶ close ────┘ last
//! ```
//!
//! A session's outbox has a seat at its endpoint's [`log`](super::log), where broadcasts are. What it has not read
//! of that comes behind its items: whoever puts an item in moves what came before into the outbox first.
//!
//! Items are counted in the order in which they enter their lane: whoever waits for one to be written
//! waits for a number, and nothing is allocated for it.
//!
//! A message that is sent in parts has its place among the items, and keeps it until its last part is taken: what
//! was put in behind it waits, but for control frames (RFC 6455 §5.4). Its parts come in as the driver takes them,
//! so that they need little room, and none of what others wait for.
//!
//! Beside the lock stands one word, the signal. It says whether there is anything for the driver to look
//! at, and whether the driver is parked: so a driver that has nothing to do with others takes no lock.
//!
//! ```text
//!             park: nothing that it waits for is there
//!   running ────────────────────────────────────────────▶ parked
//!      ▲                                                    │
//!      └──── drive, or a wake of whoever brings something ──┘
//! ```

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

use sockeye_proto::CloseReason;

use super::direct::Direct;
use super::log::Seat;
use crate::error::SendError;
use crate::sync::{Arc, Mutex, lock};

mod broadcast;
mod ending;
mod item;
mod overflow;
mod parking;
mod part;
mod queue;
mod schedule;
mod send;
mod signal;
mod waiter;
mod waker_list;

pub(crate) use self::broadcast::{Heard, Hearing};
pub(crate) use self::item::{Item, Reached, Taken, Ticket};
pub use self::overflow::Overflow;
pub(crate) use self::overflow::{OverflowPolicy, Overflowed};
pub(crate) use self::parking::WakeReason;
pub(crate) use self::part::{Part, Parts, UNFINISHED};
pub(crate) use self::send::{Ended, Send};

use self::send::Stage;
use self::signal::{Locked, Signal};
use self::waiter::{Waiters, wake_one};

/// How the application asked the driver to end the connection.
// The outbox and the driver each hold one as an `Option<Box<_>>`: most connections have none yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Directive {
    /// Sends a Close with this reason behind the items.
    Close(CloseReason),
    /// Drops the transport at once.
    Abort,
}

// In this order: whoever broadcasts, and the driver that this wakes, touch what stands first and no more of it.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Outbox {
    seat: Option<Seat>,
    signal: Signal,
    state: Mutex<State>,
}

#[repr(C)]
#[derive(Debug)]
struct State {
    // Takes no memory.
    locked: Locked,
    // Of the driver's task, when it has parked once.
    driver: Option<Waker>,
    // By which what is in the log may be written while the driver is parked.
    direct: Option<Direct>,
    limit: usize,
    // Of payload, and what the items that carry it count for.
    bytes: usize,
    weight: usize,
    // Bytes that were in when the outbox was shut.
    dropped: usize,
    items: VecDeque<Item>,
    // How many items were put into each lane, and how many are written.
    pushed: Reached,
    written: Reached,
    directive: Option<Box<Directive>>,
    // Whether somebody looks now and then at what is due, and when the driver is to be woken.
    due: Option<Instant>,
    is_swept: bool,
    // How many pings came, from some number on.
    pings: u16,
    overflow: OverflowPolicy,
    // Whether a message has found no room before.
    has_overflowed: bool,
    lifetime: Lifetime,
    // Boxed: as a rule an idle connection needs none of it.
    waiters: Option<Box<Waiters>>,
    // A pointer: it comes once, and last.
    end: Option<Box<CloseReason>>,
}

/// How far the life of an outbox has come. It only goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lifetime {
    /// It takes items, unless a Close or an abort is asked for.
    Open,
    /// It takes nothing: this side's Close is sent, or nothing can be sent.
    Shut,
    /// The transport is gone as well.
    Gone,
}

impl Outbox {
    /// How many bytes wait at most, by default, a message of less than 64 bytes counted as 64. One message
    /// is taken whatever its size.
    pub(crate) const DEFAULT_LIMIT: usize = 1 << 20;

    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Self::make(limit, OverflowPolicy::default(), None, None, false)
    }

    /// The outbox of one of an endpoint's sessions, at which somebody looks from time to time by
    /// [`wake_if_due`](Self::wake_if_due). By `direct` it may be written what comes to the seat.
    pub(crate) fn of_session(
        limit: usize,
        overflow: OverflowPolicy,
        seat: Option<Seat>,
        direct: Option<Direct>,
    ) -> Arc<Self> {
        Self::make(limit, overflow, seat, direct, true)
    }

    fn make(
        limit: usize,
        overflow: OverflowPolicy,
        seat: Option<Seat>,
        direct: Option<Direct>,
        is_swept: bool,
    ) -> Arc<Self> {
        let (signal, locked) = Signal::new();
        Arc::new(Self {
            seat,
            signal,
            state: Mutex::new(State {
                locked,
                driver: None,
                direct,
                limit,
                bytes: 0,
                weight: 0,
                dropped: 0,
                items: VecDeque::new(),
                pushed: Reached::default(),
                written: Reached::default(),
                directive: None,
                is_swept,
                due: None,
                waiters: None,
                pings: 0,
                overflow,
                has_overflowed: false,
                lifetime: Lifetime::Open,
                end: None,
            }),
        })
    }

    /// Puts an item in, if there is room now and nobody waits for it.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`]; the item is dropped then.
    pub(crate) fn try_push(&self, item: Item) -> Result<Ticket, SendError> {
        let mut state = lock(&self.state);
        state.check_open()?;
        if !item.is_control() && (state.is_awaited_for_room() || !state.has_room(&item)) {
            return Err(SendError::Full);
        }
        let (ticket, wake) = self.push_and_raise(&mut state, item);
        drop(state);
        wake_one(wake);
        Ok(ticket)
    }

    /// Puts an item in; gives the driver's waker where it is to be woken.
    fn push_and_raise(&self, state: &mut State, item: Item) -> (Ticket, Option<Waker>) {
        let ticket = self.push_behind(state, item);
        let has_to_wake = self.signal.raise_items(&state.locked);
        (ticket, state.driver_if(has_to_wake))
    }

    /// Puts an item in when there is room, and waits until it is written.
    pub(crate) fn send(self: &Arc<Self>, item: Item) -> Send {
        self.push(item, true)
    }

    /// Puts an item in when there is room.
    pub(crate) fn feed(self: &Arc<Self>, item: Item) -> Send {
        self.push(item, false)
    }

    fn push(self: &Arc<Self>, item: Item, until_written: bool) -> Send {
        Send {
            outbox: Arc::clone(self),
            stage: Stage::Room {
                item: Some(item),
                waiter: None,
            },
            until_written,
        }
    }

    /// Waits until everything that is in now is written.
    pub(crate) fn flush(self: &Arc<Self>) -> Send {
        let mut state = lock(&self.state);
        let wake = self.catch_up_with(&mut state);
        let number = state.pushed.items;
        drop(state);
        wake_one(wake);
        self.written(Ticket {
            control: false,
            number,
        })
    }

    /// Waits until an item is written.
    pub(crate) fn written(self: &Arc<Self>, ticket: Ticket) -> Send {
        Send {
            outbox: Arc::clone(self),
            stage: Stage::Written {
                ticket,
                waiter: None,
                fate: None,
            },
            until_written: true,
        }
    }

    /// Whether items are still taken.
    pub(crate) fn is_open(&self) -> bool {
        lock(&self.state).check_open().is_ok()
    }

    /// The bytes of payload that wait.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        lock(&self.state).bytes
    }

    /// The bytes of payload that were taken and not handed to the transport: those that wait, and those
    /// that waited at the end.
    pub(crate) fn unsent(&self) -> usize {
        let state = lock(&self.state);
        state.bytes + state.dropped
    }

    /// How many items were ever put in.
    #[cfg(test)]
    pub(crate) fn pushed(&self) -> u64 {
        let state = lock(&self.state);
        state.pushed.controls + state.pushed.items
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
