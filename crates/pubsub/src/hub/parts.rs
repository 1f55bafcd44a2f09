//! The parts of a live topic: its tail and its flight.

use std::time::Duration;

use super::context::{Context, Shared};
use super::follow::Kind;
use super::joins::Joins;
use super::outlet::Outlet;
use super::state::{Extra, Flight, Live};
use super::waiting::WaitingRoom;
use crate::engine::Generation;
use crate::policy::{History, Kept};
use crate::position::Position;
use crate::publication::Entry;
use crate::tail::Tail;

impl<J> Live<J> {
    pub(super) fn new(last: Option<Position>, generation: Generation) -> Self {
        Self {
            last,
            generation,
            extra: None,
        }
    }

    /// Makes a live topic that has a tail.
    pub(super) fn with_tail(
        last: Option<Position>,
        generation: Generation,
        tail: Option<Tail>,
    ) -> Self {
        let tail = tail.filter(|tail| !tail.is_empty());
        Self {
            last,
            generation,
            extra: tail.map(|tail| Box::new(Extra { tail, flight: None })),
        }
    }

    pub(super) fn extra<O>(&mut self, shared: &Shared<O>) -> &mut Extra<J> {
        self.extra.get_or_insert_with(|| {
            Box::new(Extra {
                tail: Tail::new(shared.tails.clone()),
                flight: None,
            })
        })
    }

    pub(super) fn flight(&mut self) -> Option<&mut Flight<J>> {
        self.extra.as_mut()?.flight.as_mut()
    }

    /// Acts on the time, for the tail. Returns the flight.
    pub(super) fn time_passed(&mut self, now: u32) -> Option<&mut Flight<J>> {
        let extra = self.extra.as_mut()?;
        extra.tail.narrow(now);
        extra.flight.as_mut()
    }

    /// Returns whether the topic may have something to do later.
    pub(super) fn waits_for_time(&self) -> bool {
        let extra = self.extra.as_ref();
        extra.is_some_and(|extra| extra.flight.is_some() || extra.tail.is_wide())
    }

    pub(super) fn end_flight(&mut self) -> Option<Flight<J>> {
        self.extra.as_mut()?.flight.take()
    }

    /// Returns whether the tail has a message.
    pub(super) fn has(&self, entry: &Entry) -> bool {
        let id = entry.position.id;
        let tail = self.extra.as_ref().map(|extra| &extra.tail);
        self.last.is_some_and(|last| last.id == id)
            || tail.is_some_and(|tail| id.is_some_and(|id| tail.contains(id)))
    }

    /// Keeps a message that was delivered.
    pub(super) fn remember<O: Outlet>(&mut self, shared: &Shared<O>, kind: Kind, entry: Entry) {
        let extra = self.extra(shared);
        if let Some(flight) = &mut extra.flight {
            let room = WaitingRoom {
                entries: shared.config.waiting_events,
                bytes: shared.config.waiting_bytes,
            };
            flight.delivered.push(entry.clone(), room);
        }
        let came = shared.clock.coarse();
        if kind == Kind::Latest {
            extra.tail.replace(entry, came);
        } else {
            extra.tail.push(entry, came, came);
        }
    }

    /// Returns the tail and the joins.
    pub(super) fn into_parts(self) -> (Option<Tail>, Joins<J>) {
        let Some(extra) = self.extra else {
            return (None, Joins::new());
        };
        let joins = extra.flight.map_or_else(Joins::new, |flight| flight.joins);
        (Some(extra.tail), joins)
    }
}

/// Fills a tail with the messages of a read.
pub(super) fn remember_read<O: Outlet>(
    tail: &mut Tail,
    entries: &[Entry],
    context: &mut Context<'_, O>,
) {
    let now = context.shared.clock.coarse();
    let pause = answers(context.history).min(context.shared.config.wide_tail);
    let until = now.saturating_add(u32::try_from(pause.as_secs()).unwrap_or(u32::MAX));
    tail.fill(entries, came_by_read(context), (now, until));
    if tail.is_wide() {
        context.call_after(pause + Duration::from_secs(1));
    }
}

/// Returns when messages of a read came, for the tail. How old they are is not known, so they count as nearly too old: the
/// tail answers with them for a short time.
pub(super) fn came_by_read<O: Outlet>(context: &Context<'_, O>) -> u32 {
    let old = age(context.history) - answers(context.history);
    let old = u32::try_from(old.as_secs()).unwrap_or(u32::MAX);
    context.shared.clock.coarse().saturating_sub(old)
}

/// Returns how long a tail answers with the messages of a read.
fn answers(history: History) -> Duration {
    (age(history) / 8).min(MOST_ANSWERS)
}

/// Returns the age at which a message may no longer be read.
pub(super) fn age(history: History) -> Duration {
    match history.kept() {
        Kept::Off => Duration::ZERO,
        Kept::Latest { ttl } => ttl,
        Kept::Window { age, .. } => age,
    }
}

/// How long a tail answers with the messages of a read at most.
const MOST_ANSWERS: Duration = Duration::from_secs(60);
