//! The open sessions of an endpoint: what is said to all of them, and who looks at what is due.
//!
//! ```text
//!   broadcast ──▶ log ──▶ a session that is woken, by its own task: what it has before comes first
//!                  └────▶ sessions that have nothing to do, by the endpoint's `Delivery`: no task is woken
//! ```

use std::fmt;
use std::ops::Range;
use std::sync::Weak;
use std::time::Duration;

use sockeye_proto::{Outgoing, PreparedMessage};
use tokio::runtime;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::delivery::Delivery;
use super::filter::FilteredSessions;
use super::overflow::Losses;
use super::session::{Session, SessionId};
use crate::connection::log::{Log, Pushed, Seat};
use crate::connection::outbox::{Heard, Hearing, Outbox};
use crate::stats::Counters;
use crate::sync::{Arc, Mutex, lock};

/// The open sessions of one endpoint, whatever the parameters of their paths are: from before `on_open` until before
/// `on_close`. A handle.
#[derive(Clone, Default)]
pub struct OpenSessions(Arc<SessionSet>);

#[derive(Default)]
pub(super) struct SessionSet {
    slots: Mutex<Slots>,
    log: Arc<Log>,
    // Something was said that is to be delivered.
    delivery_wanted: Arc<Notify>,
    // Those of the server. A client's endpoint has none.
    counters: Option<Arc<Counters>>,
}

/// Each session has a place, which its seat at the log has too.
#[derive(Default)]
struct Slots {
    all: Vec<Option<Slot>>,
    free: Vec<u32>,
    open: usize,
    is_swept: bool,
    // Where the task runs that delivers.
    delivery_runtime: Option<runtime::Id>,
}

/// A session; and its outbox, beside it: whoever broadcasts looks at nothing else.
struct Slot {
    session: Session,
    outbox: Arc<Outbox>,
}

impl OpenSessions {
    /// None yet. `counters` count what happens to them.
    pub(super) fn counted_by(counters: Arc<Counters>) -> Self {
        Self(Arc::new(SessionSet {
            slots: Mutex::default(),
            log: Arc::default(),
            delivery_wanted: Arc::default(),
            counters: Some(counters),
        }))
    }

    /// The counters of the server that these sessions belong to. At a client's end nobody reads them.
    pub(super) fn counters(&self) -> &Counters {
        static UNREAD: Counters = Counters::new();
        self.0.counters.as_deref().unwrap_or(&UNREAD)
    }

    /// How many there are now.
    pub fn len(&self) -> usize {
        lock(&self.0.slots).open
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sessions that are open now.
    pub fn to_vec(&self) -> Vec<Session> {
        lock(&self.0.slots).sessions().cloned().collect()
    }

    /// Returns those of them whose path has a parameter of this name with this decoded value: one room of a chat at
    /// `/chat/{room}`. If the endpoint's path has no such parameter, there are none.
    ///
    /// An endpoint's open sessions are those of all values of its path's parameters. A message for one of them goes this
    /// way:
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

    /// Sends a message to all of them, whatever the parameters of their paths are, and returns how many took it. The
    /// message is framed and compressed once, as a [`PreparedMessage`].
    ///
    /// It does not wait for a slow peer. A session whose outbox is full is closed with 1013 ("try again later") behind what
    /// waits for it, and logged as a warning. So its client knows that it missed something.
    /// [`EndpointConfig::broadcast_overflow`](super::EndpointConfig::broadcast_overflow) chooses another
    /// [`Overflow`](crate::Overflow): to leave the session out, or to drop messages.
    /// [`Stats::dropped_messages`](crate::Stats::dropped_messages) counts what was not sent.
    ///
    /// All get what is broadcast in the same order, and each gets it in the order in which whoever broadcasts
    /// sends to it otherwise. What is short is kept once for all who do not compress, beside their own limits:
    /// 64 KiB of it at most, and what the slowest have not taken by then goes into their outboxes.
    pub fn broadcast(&self, message: impl Into<Outgoing>) -> usize {
        let prepared = PreparedMessage::new(message);
        // Nothing of the application's runs meanwhile: a wake-up makes a task ready, and no more.
        let slots = lock(&self.0.slots);
        let number = loop {
            match self.0.log.push(&prepared) {
                Pushed::Kept(number) => break Some(number),
                Pushed::Known(many) => return many,
                Pushed::Unfit => break None,
                Pushed::Full(slow) => slow.into_iter().for_each(|slot| slots.catch_up(slot)),
            }
        };
        let mut hearing = Hearing {
            is_settled: number.is_some(),
            wants_delivery: false,
            overflowed: None,
        };
        let (mut many, mut losses) = (0, Losses::default());
        for slot in slots.occupied() {
            let heard = match number {
                Some(number) => slot.outbox.hear(number, &prepared, &mut hearing),
                None => slot.outbox.hear_alone(&prepared, &mut hearing),
            };
            match heard {
                Heard::Taken => many += 1,
                Heard::Closed => {}
                Heard::Overflowed => many += losses.add(&slot.session, hearing.overflowed.take()),
            }
        }
        if hearing.is_settled {
            self.0.log.told(many);
        }
        if hearing.wants_delivery {
            self.0.delivery_wanted.notify_one();
        }
        drop(slots);
        losses.report(self.counters());
        many
    }

    /// As [`broadcast`](Self::broadcast), to those alone that `is_meant` chooses. It runs while the sessions are locked, so
    /// it must call nothing of the application's.
    pub(super) fn broadcast_to(
        &self,
        prepared: &PreparedMessage,
        is_meant: impl Fn(&Session) -> bool,
    ) -> usize {
        let slots = lock(&self.0.slots);
        let mut hearing = Hearing {
            is_settled: false,
            wants_delivery: false,
            overflowed: None,
        };
        let (mut many, mut losses) = (0, Losses::default());
        let meant = slots.occupied().filter(|slot| is_meant(&slot.session));
        for slot in meant {
            match slot.outbox.hear_alone(prepared, &mut hearing) {
                Heard::Taken => many += 1,
                Heard::Closed => {}
                Heard::Overflowed => many += losses.add(&slot.session, hearing.overflowed.take()),
            }
        }
        drop(slots);
        losses.report(self.counters());
        many
    }

    /// A place for a session, and its seat at the log.
    pub(super) fn reserve_slot(&self) -> (u32, Seat) {
        let mut slots = lock(&self.0.slots);
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.all.push(None);
            u32::try_from(slots.all.len() - 1).expect("fewer sessions than 2^32 fit in memory")
        });
        drop(slots);
        (slot, self.0.log.seat(slot as usize))
    }

    /// The session is one of the open ones now.
    pub(super) fn insert(&self, slot: u32, session: Session) {
        let here = runtime::Handle::current().id();
        let mut slots = lock(&self.0.slots);
        let delivery_runtime = slots.delivery_runtime.replace(here);
        // On another runtime, and perhaps another processor, a session writes for itself.
        let delivers = delivery_runtime.is_none_or(|there| there == here);
        if !delivers {
            slots.delivery_runtime = delivery_runtime;
        }
        let outbox = Arc::clone(session.outbox());
        outbox.join_log(delivers);
        if let Some(free) = slots.all.get_mut(slot as usize) {
            *free = Some(Slot { session, outbox });
        }
        slots.open += 1;
        self.counters().opened_sessions.increment();
        let is_swept = std::mem::replace(&mut slots.is_swept, true);
        drop(slots);
        // Nothing is locked: a runtime that is ending drops what it is given at once.
        if !is_swept {
            tokio::spawn(Sweep(Arc::downgrade(&self.0)).run());
        }
        if delivery_runtime.is_none() {
            let delivery_wanted = Arc::clone(&self.0.delivery_wanted);
            tokio::spawn(Delivery::new(Arc::downgrade(&self.0), delivery_wanted).run());
        }
    }

    /// Frees the place, if this session has it still.
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

/// Wakes the sessions of which something is due soon: one timer for all of them, and not one for each.
struct Sweep(Weak<SessionSet>);

impl Sweep {
    /// Each session that asked to be woken at a time is woken at most [`HORIZON`](Self::HORIZON) before.
    const PERIOD: Duration = Duration::from_secs(1);
    /// A tick may be late by half its period.
    const HORIZON: Duration = Duration::from_millis(1_500);
    /// So many are looked at with the lock held.
    const BATCH: usize = 256;

    /// Goes on while there are sessions.
    async fn run(mut self) {
        let mut ticks = tokio::time::interval(Self::PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked = Instant::now();
        loop {
            ticks.tick().await;
            // A late tick judges no session: the process was stopped or busy, and what came then may not be read yet.
            let now = Instant::now();
            let elapsed = match now - looked {
                elapsed if elapsed < 2 * Self::PERIOD => elapsed,
                _ => Duration::ZERO,
            };
            looked = now;
            let horizon = now + Self::HORIZON;
            let mut start = 0;
            while let Some(sessions) = self.0.upgrade()
                && sessions.sweep_slots(start..start + Self::BATCH, horizon, elapsed)
            {
                start += Self::BATCH;
                tokio::task::yield_now().await;
            }
            if self.is_done() {
                return;
            }
        }
    }

    /// Whether there is nobody left to wake: the next session starts another sweep then.
    fn is_done(&mut self) -> bool {
        let Some(sessions) = self.0.upgrade() else {
            return true;
        };
        let mut slots = lock(&sessions.slots);
        if slots.open > 0 {
            return false;
        }
        slots.is_swept = false;
        self.0 = Weak::new();
        true
    }
}

impl SessionSet {
    /// Wakes those at these places whose time comes before `horizon`, and closes those that were idle for too
    /// long, `elapsed` after the look before. Says whether there are places behind.
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

    /// How many places there are, some of them free.
    pub(super) fn len(&self) -> usize {
        lock(&self.slots).all.len()
    }

    /// The outboxes at these places.
    pub(super) fn outboxes(&self, slots: Range<usize>) -> Vec<Arc<Outbox>> {
        let all = &lock(&self.slots).all;
        let slots = slots.start.min(all.len())..slots.end.min(all.len());
        let occupied = all.get(slots).into_iter().flatten().flatten();
        occupied.map(|slot| Arc::clone(&slot.outbox)).collect()
    }

    /// Nobody delivers any more: each session writes for itself, until another task is there for those that come.
    pub(super) fn end_delivery(&self) {
        let mut slots = lock(&self.slots);
        slots.delivery_runtime = None;
        slots.occupied().for_each(|slot| slot.outbox.end_delivery());
    }
}

impl Drop for SessionSet {
    fn drop(&mut self) {
        // Who delivers has nobody left to deliver to.
        self.delivery_wanted.notify_one();
    }
}

impl Drop for Sweep {
    /// The runtime may end before the sessions' endpoint does, which may then have another one.
    fn drop(&mut self) {
        if let Some(sessions) = self.0.upgrade() {
            lock(&sessions.slots).is_swept = false;
        }
    }
}

impl fmt::Debug for OpenSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSessions")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
