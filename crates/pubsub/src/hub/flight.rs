//! A flight: one read of a live topic for all joins that need it. Live messages go on meanwhile.

use super::context::Context;
use super::fault::Fault;
use super::follow::{Kind, follows, index_of, is_same};
use super::joins::{Joins, PendingJoin};
use super::outlet::{Outlet, Wants};
use super::parts::remember_read;
use super::past::Past;
use super::read::Read;
use super::row::Row;
use super::state::{Flight, Live, State};
use super::topic::Topic;
use super::waiting::Waiting;
use crate::engine::{Catchup, Generation};
use crate::position::Position;
use crate::publication::Entry;

/// Adds a join to the flight of a live topic. Starts one if there is none.
pub(super) fn start_flight<O: Outlet>(
    live: &mut Live<O::Join>,
    context: &mut Context<'_, O>,
    pending: PendingJoin<O::Join>,
) {
    let shared = context.shared;
    let Some(from) = live.last else {
        return context.refuse(pending.join);
    };
    let flight = live.extra(shared).flight.get_or_insert_with(|| Flight {
        read: Read::start(context, false),
        joins: Joins::new(),
        from,
        delivered: Waiting::default(),
    });
    flight.joins.push(context, pending);
}

impl<O: Outlet> Topic<O> {
    /// The engine answers the read of a flight.
    pub(super) fn flight_reply(
        &mut self,
        context: &mut Context<'_, O>,
        result: Option<(Catchup, Generation)>,
    ) {
        let State::Live(live) = &mut self.state else {
            return;
        };
        let Some(mut flight) = live.end_flight() else {
            return;
        };
        let Some((catchup, generation)) = result else {
            context.took(Row::LiveFlightFailed);
            return flight.joins.refuse(context);
        };
        let is_other = generation != live.generation && !Fault::NoGeneration.is_on();
        // The window may have moved on between two pages of the read.
        let is_lost = matches!(catchup, Catchup::Lost { .. });
        if is_other || is_lost || flight.delivered.is_stale() {
            context.took(Row::LiveFlightOutdated);
            if flight.read.may_repeat() {
                flight.read.repeat(context);
                // The copies go on from here: the next reply is newer than this one.
                live.extra(context.shared).flight = Some(flight);
            } else {
                context.took(Row::LiveFlightFailed);
                flight.joins.refuse(context);
            }
            return;
        }
        let Some(last) = live.last else {
            return;
        };
        let delivered = flight.delivered.entries();
        let past = match self.kind {
            Kind::Latest => newest(catchup, delivered, (flight.from, last)),
            Kind::Window | Kind::Off => merge(catchup, delivered, last),
        };
        let Some((entries, beyond)) = past else {
            context.took(Row::LiveFlightApart);
            return self.refill_live(context, Waiting::default(), flight.joins);
        };
        context.took(Row::LiveFlightReply);
        remember_read(&mut live.extra(context.shared).tail, &entries, context);
        let past = Past {
            entries: &entries,
            top: last,
            is_all: true,
        };
        // A client may come from a node that is ahead of this one.
        let mut ahead = Joins::new();
        for pending in flight.joins.into_iter() {
            if matches!(pending.wants, Wants::After(position) if index_of(&beyond, position).is_some())
            {
                ahead.push(context, pending);
            } else if let Some(judgement) = past.judge(pending.wants, context.history.kept()) {
                self.attach(context, pending.join, &judgement);
            }
        }
        if !ahead.is_empty() {
            context.took(Row::LiveFlightAhead);
            self.refill_live(context, Waiting::default(), ahead);
        }
    }
}

/// The messages up to the newest position, and those beyond it.
type Merged = Option<(Vec<Entry>, Vec<Entry>)>;

/// Joins a reply with the messages that were delivered since its read was wanted. `None` if they do not lead to `last`.
fn merge(catchup: Catchup, delivered: &[Entry], last: Position) -> Merged {
    let delivered = if Fault::NoMerge.is_on() {
        &[]
    } else {
        delivered
    };
    let Catchup::Whole {
        before,
        mut entries,
        top,
    } = catchup
    else {
        return None;
    };
    let mut end = top;
    for entry in delivered {
        if index_of(&entries, entry.position).is_none() && follows(end, entry, Kind::Window) {
            end = entry.position;
            entries.push(entry.clone());
        }
    }
    if is_same(end, last) || Fault::NoMerge.is_on() {
        Some((entries, Vec::new()))
    } else if let Some(index) = index_of(&entries, last) {
        let beyond = entries.split_off(index + 1);
        Some((entries, beyond))
    } else if is_same(before, last) {
        Some((Vec::new(), entries))
    } else {
        None
    }
}

/// Returns the newest value, of the reply and of those that were delivered between `from` and `last`. `None` if the value of
/// the reply is not among them: then it is newer, and its message still on its way. `None` as well if the engine has no
/// value, and this node has one.
fn newest(catchup: Catchup, delivered: &[Entry], (from, last): (Position, Position)) -> Merged {
    let read = match catchup {
        Catchup::Whole { mut entries, .. } => entries.pop(),
        Catchup::None { .. } => None,
        Catchup::Lost { .. } => return None,
    };
    let id = read.as_ref().and_then(|read| read.position.id);
    let is_delivered = delivered.iter().any(|entry| entry.position.id == id);
    if id == last.id || id.is_some() && (id == from.id || is_delivered) {
        let value = delivered.last().cloned().or(read);
        Some((value.into_iter().collect(), Vec::new()))
    } else {
        None
    }
}
