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
pub struct OpenSessions(Arc<Room>);

#[derive(Default)]
pub(super) struct Room {
    places: Mutex<Places>,
    log: Arc<Log>,
    // Something was said that is to be delivered.
    said: Arc<Notify>,
    // Those of the server. A client's endpoint has none.
    counters: Option<Arc<Counters>>,
}

/// Each session has a place, which its seat at the log has too.
#[derive(Default)]
struct Places {
    all: Vec<Option<Placed>>,
    free: Vec<u32>,
    open: usize,
    is_swept: bool,
    // Where the task runs that delivers.
    delivers_on: Option<runtime::Id>,
}

/// A session; and its outbox, beside it: whoever broadcasts looks at nothing else.
struct Placed {
    session: Session,
    outbox: Arc<Outbox>,
}

impl OpenSessions {
    /// None yet. `counters` count what happens to them.
    pub(super) fn counted_by(counters: Arc<Counters>) -> Self {
        Self(Arc::new(Room {
            places: Mutex::default(),
            log: Arc::default(),
            said: Arc::default(),
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
        lock(&self.0.places).open
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sessions that are open now.
    pub fn to_vec(&self) -> Vec<Session> {
        lock(&self.0.places).sessions().cloned().collect()
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
        let places = lock(&self.0.places);
        let number = loop {
            match self.0.log.push(&prepared) {
                Pushed::Kept(number) => break Some(number),
                Pushed::Known(many) => return many,
                Pushed::Unfit => break None,
                Pushed::Full(slow) => slow.into_iter().for_each(|place| places.catch_up(place)),
            }
        };
        let mut hearing = Hearing {
            is_settled: number.is_some(),
            wants_delivery: false,
            overflowed: None,
        };
        let (mut many, mut losses) = (0, Losses::default());
        for placed in places.placed() {
            let heard = match number {
                Some(number) => placed.outbox.hear(number, &prepared, &mut hearing),
                None => placed.outbox.hear_alone(&prepared, &mut hearing),
            };
            match heard {
                Heard::Taken => many += 1,
                Heard::Closed => {}
                Heard::Overflowed => many += losses.add(&placed.session, hearing.overflowed.take()),
            }
        }
        if hearing.is_settled {
            self.0.log.told(many);
        }
        if hearing.wants_delivery {
            self.0.said.notify_one();
        }
        drop(places);
        losses.tell(self.counters());
        many
    }

    /// As [`broadcast`](Self::broadcast), to those alone that `is_meant` chooses. It runs while the sessions are locked, so
    /// it must call nothing of the application's.
    pub(super) fn broadcast_to(
        &self,
        prepared: &PreparedMessage,
        is_meant: impl Fn(&Session) -> bool,
    ) -> usize {
        let places = lock(&self.0.places);
        let mut hearing = Hearing {
            is_settled: false,
            wants_delivery: false,
            overflowed: None,
        };
        let (mut many, mut losses) = (0, Losses::default());
        let meant = places.placed().filter(|placed| is_meant(&placed.session));
        for placed in meant {
            match placed.outbox.hear_alone(prepared, &mut hearing) {
                Heard::Taken => many += 1,
                Heard::Closed => {}
                Heard::Overflowed => many += losses.add(&placed.session, hearing.overflowed.take()),
            }
        }
        drop(places);
        losses.tell(self.counters());
        many
    }

    /// A place for a session, and its seat at the log.
    pub(super) fn take_place(&self) -> (u32, Seat) {
        let mut places = lock(&self.0.places);
        let place = places.free.pop().unwrap_or_else(|| {
            places.all.push(None);
            u32::try_from(places.all.len() - 1).expect("fewer sessions than 2^32 fit in memory")
        });
        drop(places);
        (place, self.0.log.seat(place as usize))
    }

    /// The session is one of the open ones now.
    pub(super) fn insert(&self, place: u32, session: Session) {
        let here = runtime::Handle::current().id();
        let mut places = lock(&self.0.places);
        let delivers_on = places.delivers_on.replace(here);
        // On another runtime, and perhaps another processor, a session writes for itself.
        let delivers = delivers_on.is_none_or(|there| there == here);
        if !delivers {
            places.delivers_on = delivers_on;
        }
        let outbox = Arc::clone(session.outbox());
        outbox.join_log(delivers);
        if let Some(free) = places.all.get_mut(place as usize) {
            *free = Some(Placed { session, outbox });
        }
        places.open += 1;
        self.counters().opened_sessions.increment();
        let is_swept = std::mem::replace(&mut places.is_swept, true);
        drop(places);
        // Nothing is locked: a runtime that is ending drops what it is given at once.
        if !is_swept {
            tokio::spawn(Sweep(Arc::downgrade(&self.0)).run());
        }
        if delivers_on.is_none() {
            let said = Arc::clone(&self.0.said);
            tokio::spawn(Delivery::new(Arc::downgrade(&self.0), said).run());
        }
    }

    /// Frees the place, if this session has it still.
    pub(super) fn remove(&self, place: u32, id: SessionId) {
        let mut places = lock(&self.0.places);
        let taken = places.all.get_mut(place as usize);
        let placed = taken.and_then(|taken| taken.take_if(|placed| placed.session.id() == id));
        if let Some(placed) = &placed {
            placed.outbox.retire();
            places.free.push(place);
            places.open -= 1;
        }
        drop(places);
    }
}

impl Places {
    fn placed(&self) -> impl Iterator<Item = &Placed> {
        self.all.iter().flatten()
    }

    fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.placed().map(|placed| &placed.session)
    }

    fn catch_up(&self, place: usize) {
        if let Some(Some(placed)) = self.all.get(place) {
            placed.outbox.catch_up();
        }
    }
}

/// Wakes the sessions of which something is due soon: one timer for all of them, and not one for each.
struct Sweep(Weak<Room>);

impl Sweep {
    /// Each session that asked to be woken at a time is woken at most [`HORIZON`](Self::HORIZON) before.
    const PERIOD: Duration = Duration::from_secs(1);
    /// A tick may be late by half its period.
    const HORIZON: Duration = Duration::from_millis(1_500);
    /// So many are looked at with the lock held.
    const MANY: usize = 256;

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
            while let Some(room) = self.0.upgrade()
                && room.look_at(start..start + Self::MANY, horizon, elapsed)
            {
                start += Self::MANY;
                tokio::task::yield_now().await;
            }
            if self.is_done() {
                return;
            }
        }
    }

    /// Whether there is nobody left to wake: the next session starts another sweep then.
    fn is_done(&mut self) -> bool {
        let Some(room) = self.0.upgrade() else {
            return true;
        };
        let mut places = lock(&room.places);
        if places.open > 0 {
            return false;
        }
        places.is_swept = false;
        self.0 = Weak::new();
        true
    }
}

impl Room {
    /// Wakes those at these places whose time comes before `horizon`, and closes those that were idle for too
    /// long, `elapsed` after the look before. Says whether there are places behind.
    fn look_at(&self, places: Range<usize>, horizon: Instant, elapsed: Duration) -> bool {
        let broadcasts = self.log.pushed();
        let all = &lock(&self.places).all;
        let end = places.end.min(all.len());
        for placed in all.get(places.start..end).into_iter().flatten().flatten() {
            placed.outbox.wake_if_due(horizon.into_std());
            placed.session.close_if_idle(elapsed, broadcasts);
        }
        end < all.len()
    }

    /// How many places there are, some of them free.
    pub(super) fn len(&self) -> usize {
        lock(&self.places).all.len()
    }

    /// The outboxes at these places.
    pub(super) fn outboxes(&self, places: Range<usize>) -> Vec<Arc<Outbox>> {
        let all = &lock(&self.places).all;
        let places = places.start.min(all.len())..places.end.min(all.len());
        let placed = all.get(places).into_iter().flatten().flatten();
        placed.map(|placed| Arc::clone(&placed.outbox)).collect()
    }

    /// Nobody delivers any more: each session writes for itself, until another task is there for those that come.
    pub(super) fn end_delivery(&self) {
        let mut places = lock(&self.places);
        places.delivers_on = None;
        places
            .placed()
            .for_each(|placed| placed.outbox.end_delivery());
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // Who delivers has nobody left to deliver to.
        self.said.notify_one();
    }
}

impl Drop for Sweep {
    /// The runtime may end before the sessions' endpoint does, which may then have another one.
    fn drop(&mut self) {
        if let Some(room) = self.0.upgrade() {
            lock(&room.places).is_swept = false;
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
