//! The outbox of one connection: the items that other tasks want it to send. It is the one structure that a driver
//! shares with them.
//!
//! The outbox is bounded in bytes, and fair to the tasks that wait for room. Senders wake a parked driver once, however
//! many items they put in, and a running driver never.
//!
//! ```text
//!   Session, Sender ──▶ controls ─┐ first
//!                  ──▶ items ─────┼──▶ driver ──▶ output ──▶ transport
//!   broadcasts ───▶ log ──────────┤
//!   Session, Sender ──▶ close ────┘ last
//! ```
//!
//! The outbox of a session has a seat at its endpoint's [`log`](super::log), which holds broadcasts. The driver takes
//! the items first, and then reads the log. So a sender moves the broadcasts that came before its own item into the
//! outbox.
//!
//! Each lane numbers its items as they come. A task that waits for a write waits for a number: an item needs no memory for it.
//!
//! A message that is sent in parts stays in front until the driver has taken its last part. The items behind it wait,
//! but control frames do not (RFC 6455 §5.4). Its parts come in as the driver takes them. They need little room, and
//! take none from other senders.
//!
//! Beside the lock stands one word, the [`signal`]. It says whether there is something for the driver, and whether
//! the driver is parked. A driver that shares nothing at the moment takes no lock.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

use sockeye_proto::CloseReason;

use crate::error::SendError;
use crate::fanout::log::Seat;
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

pub use self::broadcast::{BroadcastOutcome, SessionOutcome};
pub use self::item::{Item, Reached, Taken, Ticket};
pub use self::overflow::Overflow;
pub use self::overflow::{OverflowPolicy, Overflowed};
pub use self::parking::WakeReason;
pub use self::part::{Part, Parts, UNFINISHED};
pub use self::send::{Ended, Sending};

use self::item::Queued;
use self::send::Stage;
use self::signal::{Locked, Signal};
use self::waiter::{Waiters, wake_one};

/// How the application asked the driver to end the connection.
// The outbox and the driver each hold one as an `Option<Box<_>>`: most connections have none yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directive {
    /// Sends a Close with this reason behind the items.
    Close(CloseReason),
    /// Drops the transport at once.
    Abort,
}

/// What other tasks share with the driver of one connection. `D` is the way past the driver to its transport.
// The order of the fields matters: a broadcast, and the driver that it wakes, touch the first cache lines alone.
#[repr(C)]
#[derive(Debug)]
pub struct Mailbox<D> {
    seat: Option<Seat>,
    signal: Signal,
    state: Mutex<State<D>>,
}

#[repr(C)]
#[derive(Debug)]
struct State<D> {
    // Takes no memory.
    locked: Locked,
    // The waker of the driver's task, once it has parked.
    driver: Option<Waker>,
    // The way by which a deliverer writes broadcasts while the driver is parked.
    direct: Option<D>,
    limit: usize,
    // The bytes of payload, and the bytes that their items count for against the limit.
    bytes: usize,
    weight: usize,
    // The bytes of payload that the outbox dropped when it was shut.
    dropped: usize,
    items: VecDeque<Queued>,
    // The number of the last item that was put into each lane, and of the last one that is written.
    pushed: Reached,
    written: Reached,
    directive: Option<Box<Directive>>,
    // When the endpoint's sweep has to wake the driver, and whether a sweep looks at this outbox.
    due: Option<Instant>,
    is_swept: bool,
    // Counts the pings that came. It wraps.
    pings: u16,
    overflow: OverflowPolicy,
    // Whether the session has lost a message before.
    has_overflowed: bool,
    lifetime: Lifetime,
    // Boxed: most idle connections need none of it.
    waiters: Option<Box<Waiters>>,
    // Boxed: a connection gets one at its end.
    end: Option<Box<CloseReason>>,
}

/// The stages of an outbox's life, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lifetime {
    /// The outbox takes items, unless the application has asked for a Close or an abort.
    Open,
    /// The outbox takes nothing: this side's Close is sent, or the connection can send nothing.
    Shut,
    /// The transport is gone too.
    Gone,
}

impl<D> Mailbox<D> {
    /// The default limit of the bytes that wait. A message of less than 64 bytes counts as 64. An empty outbox takes one
    /// message of any size.
    pub const DEFAULT_LIMIT: usize = 1 << 20;

    /// Creates the mailbox of a connection without an endpoint. `limit` is the limit of its outbox in bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Self::make(limit, OverflowPolicy::default(), None, None, false)
    }

    /// The outbox of a session of an endpoint. The endpoint's sweep calls [`wake_if_due`](Self::wake_if_due) from time to
    /// time. A deliverer writes the broadcasts for the `seat` by `direct`.
    pub fn of_session(
        limit: usize,
        overflow: OverflowPolicy,
        seat: Option<Seat>,
        direct: Option<D>,
    ) -> Arc<Self> {
        Self::make(limit, overflow, seat, direct, true)
    }

    fn make(
        limit: usize,
        overflow: OverflowPolicy,
        seat: Option<Seat>,
        direct: Option<D>,
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

    /// Puts an item in, if there is room now and no task waits for room.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`], and drops the item.
    pub fn try_push(&self, item: Item) -> Result<Ticket, SendError> {
        let item = Queued::from(item);
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

    /// Puts an item in. Returns the driver's waker if the driver has to be woken.
    fn push_and_raise(&self, state: &mut State<D>, item: Queued) -> (Ticket, Option<Waker>) {
        let ticket = self.push_behind(state, item);
        let has_to_wake = self.signal.raise_items(&state.locked);
        (ticket, state.driver_if(has_to_wake))
    }

    /// Puts an item in when there is room, and waits until the driver has written it.
    pub fn send(self: &Arc<Self>, item: Item) -> Sending<D> {
        self.push(item.into(), true)
    }

    /// Puts an item in when there is room.
    pub fn feed(self: &Arc<Self>, item: Item) -> Sending<D> {
        self.push(item.into(), false)
    }

    fn push(self: &Arc<Self>, item: Queued, until_written: bool) -> Sending<D> {
        Sending {
            outbox: Arc::clone(self),
            stage: Stage::Room {
                item: Some(item),
                waiter: None,
            },
            until_written,
        }
    }

    /// Waits until the driver has written everything that is in now.
    pub fn flush(self: &Arc<Self>) -> Sending<D> {
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

    /// Waits until the driver has written an item.
    pub fn written(self: &Arc<Self>, ticket: Ticket) -> Sending<D> {
        Sending {
            outbox: Arc::clone(self),
            stage: Stage::Written {
                ticket,
                waiter: None,
                fate: None,
            },
            until_written: true,
        }
    }

    /// Whether the outbox still takes items.
    pub fn is_open(&self) -> bool {
        lock(&self.state).check_open().is_ok()
    }

    /// The bytes of payload that wait.
    pub fn bytes(&self) -> usize {
        lock(&self.state).bytes
    }

    /// The bytes of payload that wait, or waited when the outbox was shut. The transport never got them.
    pub fn unsent(&self) -> usize {
        let state = lock(&self.state);
        state.bytes + state.dropped
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
