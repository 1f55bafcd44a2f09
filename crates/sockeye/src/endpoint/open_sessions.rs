//! The open sessions of an endpoint, and broadcasts to all of them.
//!
//! ```text
//!   broadcast ──▶ log ──▶ a session with other output: its own task writes the log behind that output
//!                  └────▶ sessions without other output: the endpoint's `Delivery` writes, and wakes no session's task
//! ```

use std::fmt;
use std::ops::Range;
use std::sync::Weak;
use std::time::Duration;

use sockeye_proto::{Outgoing, PreparedMessage};
use tokio::runtime;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::delivery::Delivery;
use super::filter::FilteredSessions;
use super::overflow::Losses;
use super::session::{Session, SessionId};
use super::sweep::{self, Swept};
use crate::connection::log::{Log, Pushed, Seat};
use crate::connection::outbox::{BroadcastOutcome, Outbox, SessionOutcome};
use crate::stats::Counters;
use crate::sync::{Arc, Mutex, lock};

/// A handle of the open sessions of one endpoint, whatever the values of their path parameters are. A session is one of
/// them from before `on_open` until before `on_close`.
#[derive(Clone, Default)]
pub struct OpenSessions(Arc<SessionSet>);

#[derive(Default)]
pub(super) struct SessionSet {
    slots: Mutex<Slots>,
    log: Arc<Log>,
    // Wakes the `Delivery` after a broadcast.
    delivery_wanted: Arc<Notify>,
    // The server's counters. A client's endpoint has none.
    counters: Option<Arc<Counters>>,
}

/// The slots of the sessions. A session's seat at the log has the same index as its slot.
#[derive(Default)]
struct Slots {
    all: Vec<Option<Slot>>,
    free: Vec<u32>,
    open: usize,
    is_swept: bool,
    // The runtime on which the `Delivery` runs.
    delivery_runtime: Option<runtime::Id>,
}

/// A session, and its outbox, so that a broadcast reaches the outbox without a look at the session.
struct Slot {
    session: Session,
    outbox: Arc<Outbox>,
}

impl OpenSessions {
    /// Creates an empty set of sessions, with the counters of its server.
    pub(super) fn counted_by(counters: Arc<Counters>) -> Self {
        Self(Arc::new(SessionSet {
            slots: Mutex::default(),
            log: Arc::default(),
            delivery_wanted: Arc::default(),
            counters: Some(counters),
        }))
    }

    /// Returns the counters of the server that these sessions belong to. Those of a client's endpoint are never read.
    pub(super) fn counters(&self) -> &Counters {
        static UNREAD: Counters = Counters::new();
        self.0.counters.as_deref().unwrap_or(&UNREAD)
    }

    /// Returns the number of sessions that are open now.
    pub fn len(&self) -> usize {
        lock(&self.0.slots).open
    }

    /// Returns whether no session is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the sessions that are open now.
    pub fn to_vec(&self) -> Vec<Session> {
        lock(&self.0.slots).sessions().cloned().collect()
    }

    /// Returns the sessions whose path has a parameter of this name with this decoded value: one room of a chat at
    /// `/chat/{room}`. If the endpoint's path has no such parameter, it returns none.
    ///
    /// An endpoint's open sessions are those of all rooms. This sends a message to the sessions of one room:
    ///
    /// ```
    /// # fn said(session: &sockeye::Session, room: &str, text: &str) {
    /// session.open_sessions().with_path_parameter("room", room).broadcast(text);
    /// # }
    /// ```
    pub fn with_path_parameter<'a>(
        &'a self,
        name: &'a str,
        value: &'a str,
    ) -> FilteredSessions<'a> {
        FilteredSessions::new(self, name, value)
    }

    /// Sends a message to all open sessions of the endpoint, with any values of the path's parameters. Returns the
    /// number of sessions that accepted it. The message is framed and compressed once, as a [`PreparedMessage`].
    ///
    /// It does not wait for slow peers. A session whose outbox is full is closed with 1013 ("try again later") behind
    /// its queued messages, and a warning is logged. So its client knows that it missed a message.
    /// [`EndpointConfig::broadcast_overflow`](super::EndpointConfig::broadcast_overflow) chooses another
    /// [`Overflow`](crate::endpoint::Overflow): to leave the session out, or to drop messages.
    /// [`Stats::dropped_messages`](crate::server::Stats::dropped_messages) counts the messages that were not sent.
    ///
    /// All sessions get all broadcasts in the same order. A broadcast and other messages of the same sender reach a
    /// session in the order in which the sender sent them.
    ///
    /// Short messages are stored once for all sessions that do not compress, at most 64 KiB of them, and do not count
    /// against the outboxes' limits. When that space is full, the unread messages of the slowest sessions move to their
    /// outboxes.
    pub fn broadcast(&self, message: impl Into<Outgoing>) -> usize {
        let prepared = PreparedMessage::new(message);
        // No code of the application runs while the lock is held: a wake-up only makes a task ready.
        let slots = lock(&self.0.slots);
        let number = loop {
            match self.0.log.push(&prepared) {
                Pushed::Kept(number) => break Some(number),
                Pushed::Known(many) => return many,
                Pushed::Unfit => break None,
                Pushed::Full(slow) => slow.into_iter().for_each(|slot| slots.catch_up(slot)),
            }
        };
        let mut outcome = BroadcastOutcome {
            is_settled: number.is_some(),
            wants_delivery: false,
            overflowed: None,
        };
        let (mut many, mut losses) = (0, Losses::default());
        for slot in slots.occupied() {
            let heard = match number {
                Some(number) => slot.outbox.offer_broadcast(number, &prepared, &mut outcome),
                None => slot.outbox.offer_item(&prepared, &mut outcome),
            };
            match heard {
                SessionOutcome::Taken => many += 1,
                SessionOutcome::Closed => {}
                SessionOutcome::Overflowed => {
                    many += losses.add(&slot.session, outcome.overflowed.take())
                }
            }
        }
        if outcome.is_settled {
            self.0.log.notified(many);
        }
        if outcome.wants_delivery {
            self.0.delivery_wanted.notify_one();
        }
        drop(slots);
        losses.report(self.counters());
        many
    }

    /// Sends a message to the sessions for which `is_meant` is true, as [`broadcast`](Self::broadcast) does. `is_meant`
    /// is called while the sessions are locked, so it must call no code of the application.
    pub(super) fn broadcast_to(
        &self,
        prepared: &PreparedMessage,
        is_meant: impl Fn(&Session) -> bool,
    ) -> usize {
        let slots = lock(&self.0.slots);
        let mut outcome = BroadcastOutcome {
            is_settled: false,
            wants_delivery: false,
            overflowed: None,
        };
        let (mut many, mut losses) = (0, Losses::default());
        let meant = slots.occupied().filter(|slot| is_meant(&slot.session));
        for slot in meant {
            match slot.outbox.offer_item(prepared, &mut outcome) {
                SessionOutcome::Taken => many += 1,
                SessionOutcome::Closed => {}
                SessionOutcome::Overflowed => {
                    many += losses.add(&slot.session, outcome.overflowed.take())
                }
            }
        }
        drop(slots);
        losses.report(self.counters());
        many
    }

    /// Reserves a slot for a session, and returns it with its seat at the log.
    pub(super) fn reserve_slot(&self) -> (u32, Seat) {
        let mut slots = lock(&self.0.slots);
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.all.push(None);
            u32::try_from(slots.all.len() - 1).expect("fewer sessions than 2^32 fit in memory")
        });
        drop(slots);
        (slot, self.0.log.seat(slot as usize))
    }

    /// Puts the session into its slot: it is open from now on.
    pub(super) fn insert(&self, slot: u32, session: Session) {
        let here = runtime::Handle::current().id();
        let mut slots = lock(&self.0.slots);
        // A session on another runtime, and perhaps on another processor, writes its broadcasts itself.
        let delivers = slots.delivery_runtime.is_none_or(|there| there == here);
        let outbox = Arc::clone(session.outbox());
        let has_seat = outbox.join_log(delivers);
        // The sessions of clients have no seat: they need no delivery.
        let starts_delivery = has_seat && slots.delivery_runtime.is_none();
        if starts_delivery {
            slots.delivery_runtime = Some(here);
        }
        if let Some(free) = slots.all.get_mut(slot as usize) {
            *free = Some(Slot { session, outbox });
        }
        slots.open += 1;
        self.counters().opened_sessions.increment();
        let is_swept = std::mem::replace(&mut slots.is_swept, true);
        drop(slots);
        // Without the lock: a runtime that shuts down drops a spawned task at once, and the drop takes the lock.
        if !is_swept {
            let set: Weak<SessionSet> = Arc::downgrade(&self.0);
            sweep::watch(set);
        }
        if starts_delivery {
            let delivery_wanted = Arc::clone(&self.0.delivery_wanted);
            tokio::spawn(Delivery::new(Arc::downgrade(&self.0), delivery_wanted).run());
        }
    }

    /// Frees the slot, if this session still has it.
    pub(super) fn remove(&self, slot: u32, id: SessionId) {
        let mut slots = lock(&self.0.slots);
        let found = slots.all.get_mut(slot as usize);
        let removed = found.and_then(|found| found.take_if(|held| held.session.id() == id));
        if let Some(removed) = &removed {
            removed.outbox.retire();
            slots.free.push(slot);
            slots.open -= 1;
        }
        drop(slots);
    }
}

impl Slots {
    fn occupied(&self) -> impl Iterator<Item = &Slot> {
        self.all.iter().flatten()
    }

    fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.occupied().map(|slot| &slot.session)
    }

    fn catch_up(&self, slot: usize) {
        if let Some(Some(slot)) = self.all.get(slot) {
            slot.outbox.catch_up();
        }
    }
}

impl Swept for SessionSet {
    fn sweep_slots(&self, slots: Range<usize>, horizon: Instant, elapsed: Duration) -> bool {
        let broadcasts = self.log.pushed();
        let all = &lock(&self.slots).all;
        let end = slots.end.min(all.len());
        for slot in all.get(slots.start..end).into_iter().flatten().flatten() {
            slot.outbox.wake_if_due(horizon.into_std());
            slot.session.close_if_idle(elapsed, broadcasts);
        }
        end < all.len()
    }

    fn leave_sweeper_if_empty(&self) -> bool {
        let mut slots = lock(&self.slots);
        slots.is_swept = slots.open > 0;
        !slots.is_swept
    }

    fn leave_sweeper(&self) {
        lock(&self.slots).is_swept = false;
    }
}

impl SessionSet {
    /// Returns the number of slots, free ones included.
    pub(super) fn len(&self) -> usize {
        lock(&self.slots).all.len()
    }

    /// Returns the outboxes of the sessions in these slots.
    pub(super) fn outboxes(&self, slots: Range<usize>) -> Vec<Arc<Outbox>> {
        let all = &lock(&self.slots).all;
        let slots = slots.start.min(all.len())..slots.end.min(all.len());
        let occupied = all.get(slots).into_iter().flatten().flatten();
        occupied.map(|slot| Arc::clone(&slot.outbox)).collect()
    }

    /// Marks the delivery as ended: each open session writes its broadcasts itself. The next session starts a new
    /// delivery.
    pub(super) fn end_delivery(&self) {
        let mut slots = lock(&self.slots);
        slots.delivery_runtime = None;
        slots.occupied().for_each(|slot| slot.outbox.end_delivery());
    }
}

impl Drop for SessionSet {
    fn drop(&mut self) {
        // Lets the `Delivery` see that the sessions are gone, and end.
        self.delivery_wanted.notify_one();
    }
}

impl fmt::Debug for OpenSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSessions")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
