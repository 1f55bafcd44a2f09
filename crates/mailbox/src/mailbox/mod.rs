//! The mailbox of one connection: the one structure that its driver shares with other tasks.
//!
//! Its outbox holds the items that other tasks want the driver to send. The outbox is bounded in bytes, and fair to the
//! tasks that wait for room. Senders wake a parked driver once, however many items they put in, and a running driver
//! never.
//!
//! ```text
//!   Session, Sender ──▶ controls ─┐ first
//!                  ──▶ items ─────┤
//!   conflated ────▶ values ───────┼──▶ driver ──▶ output ──▶ transport
//!   channels ─────▶ logs ─────────┤
//!   Session, Sender ──▶ close ────┘ last
//! ```
//!
//! Other tasks have the mailbox, and the driver has its [side](driver::DriverSide) of it. A message comes in by one of three
//! doors: [`offer`](Mailbox::offer) does not wait, [`send`](Mailbox::send) waits for room, and
//! [`push_admitted`](Mailbox::push_admitted) is for callers with a limit of their own. The driver puts its replies in by
//! [`reply`](driver::DriverSide::reply).
//!
//! The mailbox subscribes to [channels](crate::fanout::channel). The driver takes the items first, and then reads the logs of
//! its channels. So a sender moves what the logs held before its own item into the outbox. Conflated channels are the
//! exception: their messages stay in the logs, or wait as values behind the items.
//!
//! Each lane numbers its items as they come. A task that waits for a write waits for a number: an item needs no memory for it.
//!
//! A message that is sent in parts stays in front until the driver has taken its last part. The items behind it wait,
//! but control frames do not (RFC 6455 §5.4). Its parts come in as the driver takes them. They need little room, and
//! take none from other senders.
//!
//! Beside the lock stands one word, the [`signal`]. It says whether there is something for the driver, and whether
//! the driver is parked. A driver that shares nothing at the moment takes no lock.

use self::policy::OverflowPolicy;
use self::signal::{Look, Signal};
use self::state::State;
use crate::fanout::log::Subscription;
use crate::sync::{Arc, Mutex, lock};

mod catch_up;
pub(crate) mod driver;
pub(crate) mod ending;
pub(crate) mod item;
pub(crate) mod offer;
mod overflow;
pub(crate) mod part;
pub(crate) mod policy;
mod queue;
mod reading;
mod schedule;
pub(crate) mod send;
pub(crate) mod signal;
pub(crate) mod state;
mod waiter;
mod waker_list;

/// What other tasks share with the driver of one connection. `D` is the way past the driver to its transport.
// The order of the fields matters: an offer of a message, and the driver that it wakes, touch the first cache lines alone.
#[repr(C)]
#[derive(Debug)]
pub struct Mailbox<D> {
    // The subscription whose slot no other channel gets, so that the driver reads its log without the state's lock. A
    // connection that masks or compresses has none, because it cannot share frames: it takes the messages of all
    // channels as items.
    first: Option<Subscription>,
    signal: Signal,
    // Lock order: the members of a channel, then this, then a log.
    state: Mutex<State<D>>,
}

impl<D> Mailbox<D> {
    /// The default limit of the bytes that wait. A message of less than 64 bytes counts as 64. An empty outbox takes one
    /// message of any size.
    pub const DEFAULT_LIMIT: usize = 1 << 20;

    /// Creates the mailbox of a connection without an endpoint. `limit` is the limit of its outbox in bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Self::make(State::new(limit, OverflowPolicy::default()), None)
    }

    /// Creates the mailbox of a session. A sweeper calls [`sweep`](Self::sweep) from time to time. With a `first`
    /// subscription the driver shares the frames of its channels with other sessions. A deliverer writes by `direct`.
    pub fn of_session(
        limit: usize,
        overflow: OverflowPolicy,
        first: Option<Subscription>,
        direct: Option<D>,
    ) -> Arc<Self> {
        let mut state = State::new(limit, overflow);
        state.direct = direct;
        state.is_swept = true;
        Self::make(state, first)
    }

    fn make(state: State<D>, first: Option<Subscription>) -> Arc<Self> {
        Arc::new(Self {
            first,
            signal: Signal::new(),
            state: Mutex::new(state),
        })
    }

    /// Looks at what there is for the driver now. It takes no lock.
    #[inline(always)]
    pub fn look(&self) -> Look {
        self.signal.look()
    }

    /// Whether the outbox still takes items.
    pub fn is_open(&self) -> bool {
        lock(&self.state).check_open().is_ok()
    }

    /// The limit of the bytes that wait.
    pub fn limit(&self) -> usize {
        lock(&self.state).limit
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
mod testing;

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
