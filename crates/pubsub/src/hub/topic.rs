//! One topic on this node: its state, and how it serves its subscribers.
//!
//! ```text
//!   Idle ── join ──▶ Listening ── listens ──▶ Reading ── reply ──▶ Live
//!   Reading ── gap ──▶ Listening
//!   Live ── a message does not follow ──▶ Refilling ── reply ──▶ Live
//!   Live, Refilling ── gap ──▶ Stale ── equal position ──▶ Live
//!   Stale ── newer messages ──▶ Refilling
//!   Live ── the last subscriber left ──▶ Lingering ── join ──▶ Live
//!   Lingering ── 5 to 7 s, a gap, a message does not follow ──▶ Closing
//!   Listening, Reading, Stale, Refilling ── neither subscriber nor join is left ──▶ Closing
//!   Closing ── listens no more ──▶ Idle, or Listening if a join waits
//! ```
//!
//! The transitions are in the files of the states: `opening.rs` (Listening, Reading, Closing), `live.rs` (Live, Lingering),
//! `flight.rs` (reads of a live topic for joins), `stale.rs`, `refilling.rs`. [`Row`] names them.

use std::time::Instant;

use super::context::{Context, Shared};
use super::follow::{Kind, follows};
use super::joins::{Joins, PendingJoin};
use super::outlet::Outlet;
use super::past::Judgement;

use super::request::ReadNumber;
use super::row::Row;
use super::state::{Listening, Live, Proof, Served, Stale, State};
use super::waiting::Waiting;
use crate::engine::{Catchup, Generation, Since};
use crate::policy::Kept;
use crate::position::Position;
use crate::publication::{Delivered, Entry};
use crate::tail::Tail;

/// One topic on this node.
pub(super) struct Topic<O: Outlet> {
    pub(super) state: State<O::Join>,
    /// The subscribers, as the outlet keeps them.
    pub(super) place: O::Topic,
    pub(super) subscribers: u32,
    /// The number of the history in the list of the shard.
    pub(super) history: u16,
    pub(super) kind: Kind,
}

impl<O: Outlet> Topic<O> {
    /// Makes a topic for its first join.
    pub(super) fn open(
        context: &mut Context<'_, O>,
        history: u16,
        first: PendingJoin<O::Join>,
    ) -> Self {
        context.took(Row::IdleJoin);
        let mut topic = Self {
            state: State::Idle,
            place: O::Topic::default(),
            subscribers: 0,
            history,
            kind: Kind::of(context.history),
        };
        let mut joins = Joins::new();
        joins.push(context, first);
        topic.listen(context, joins);
        topic
    }

    /// Delivers a message that follows the newest one, the way of almost all messages. Returns any other message.
    pub(super) fn deliver(
        &mut self,
        shared: &Shared<O>,
        delivered: Delivered,
    ) -> Option<Delivered> {
        let State::Live(live) = &mut self.state else {
            return Some(delivered);
        };
        match (live.last, &delivered) {
            (None, Delivered::Unstored { .. }) => {
                shared.outlet.deliver(&mut self.place, &delivered);
            }
            (Some(last), Delivered::Entry(entry)) if follows(last, entry, self.kind) => {
                live.last = Some(entry.position);
                if self.subscribers > 0 {
                    shared.outlet.deliver(&mut self.place, &delivered);
                }
                if let Delivered::Entry(entry) = delivered {
                    live.remember(shared, self.kind, entry);
                }
            }
            _ => return Some(delivered),
        }
        shared.outlet.took(Row::LiveContinuous);
        None
    }

    /// Takes a message that does not follow the newest one of a live topic.
    pub(super) fn deliver_other(&mut self, context: &mut Context<'_, O>, delivered: Delivered) {
        match (&mut self.state, delivered) {
            (State::Listening(_), _) => context.took(Row::ListeningEvent),
            (State::Live(_), Delivered::Entry(entry)) if self.kind == Kind::Off => {
                // A node with another policy published it.
                let (id, body) = (entry.position.id, entry.body);
                if let Some(id) = id {
                    let delivered = Delivered::Unstored { id, body };
                    context.shared.outlet.deliver(&mut self.place, &delivered);
                }
            }
            (State::Reading(reading), Delivered::Entry(entry)) => {
                context.took(Row::ReadingEvent);
                reading.waiting.push(entry, context.waiting_room());
            }
            (State::Refilling(refilling), Delivered::Entry(entry)) => {
                context.took(Row::RefillingEvent);
                refilling.served.waiting.push(entry, context.waiting_room());
            }
            (State::Stale(stale), delivered) => {
                context.took(Row::StaleEvent);
                if let (Delivered::Entry(entry), false) =
                    (delivered, matches!(stale.proof, Proof::Unconfirmed))
                {
                    stale.waiting.push(entry, context.waiting_room());
                }
            }
            (State::Live(_), Delivered::Entry(entry)) => self.live_other(context, entry),
            (State::Lingering(_), delivered) => self.lingering_event(context, delivered),
            // A message without a position, by a node with another policy, has no place in a history.
            (_, Delivered::Unstored { .. }) => {}
            (State::Closing(_) | State::Idle, _) => {}
        }
    }

    /// Takes a join.
    pub(super) fn join(&mut self, context: &mut Context<'_, O>, pending: PendingJoin<O::Join>) {
        let (row, joins) = match &mut self.state {
            State::Listening(listening) => (Row::ListeningJoin, &mut listening.joins),
            State::Reading(reading) => (Row::ReadingJoin, &mut reading.joins),
            State::Stale(stale) => (Row::StaleJoin, &mut stale.joins),
            State::Refilling(refilling) => (Row::RefillingJoin, &mut refilling.served.joins),
            State::Closing(joins) => (Row::ClosingJoin, joins),
            State::Live(_) | State::Lingering(_) | State::Idle => {
                return self.join_live(context, pending);
            }
        };
        context.took(row);
        joins.push(context, pending);
    }

    /// The engine reports a gap of the topic's feed.
    pub(super) fn gap(&mut self, context: &mut Context<'_, O>) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Listening(listening) => {
                context.took(Row::ListeningGap);
                self.state = State::Listening(listening);
            }
            State::Reading(reading) => {
                context.took(Row::ReadingGap);
                self.state = State::Listening(Box::new(Listening {
                    joins: reading.joins,
                    is_requested: false,
                    heard: None,
                }));
            }
            State::Live(live) => {
                context.took(Row::LiveGap);
                let last = live.last;
                let (tail, joins) = live.into_parts();
                self.stale(last, tail, joins);
            }
            State::Stale(stale) => {
                context.took(Row::StaleGap);
                self.stale(stale.last, stale.tail, stale.joins);
            }
            State::Refilling(refilling) => {
                context.took(Row::RefillingGap);
                let Served {
                    last, tail, joins, ..
                } = refilling.served;
                self.stale(Some(last), Some(tail), joins);
            }
            State::Lingering(_) => {
                context.took(Row::LingeringGap);
                self.close(context, Joins::new());
            }
            state @ (State::Closing(_) | State::Idle) => self.state = state,
        }
    }

    /// The hub sends a read to the engine. Returns what it reads; `None` if the topic no longer wants it.
    pub(super) fn read_sent(
        &mut self,
        context: &Context<'_, O>,
        number: ReadNumber,
    ) -> Option<Since> {
        let all = match context.history.kept() {
            Kept::Window { count, .. } => Since::Recent(count),
            Kept::Latest { .. } => Since::Recent(1),
            Kept::Off => Since::Top,
        };
        match &mut self.state {
            State::Reading(reading) if reading.read.is(number) => {
                reading.waiting.read_sent();
                reading.reads_messages = reading.read.is_repeated()
                    || self.kind == Kind::Latest
                    || !reading.joins.are_live();
                Some(if reading.reads_messages {
                    all
                } else {
                    Since::Top
                })
            }
            State::Live(live) => {
                let flight = live.flight().filter(|flight| flight.read.is(number))?;
                flight.delivered.read_sent();
                Some(all)
            }
            State::Stale(stale) => match &stale.proof {
                Proof::Beginning(_, read) if read.is(number) => {
                    stale.waiting.read_sent();
                    Some(Since::Top)
                }
                _ => None,
            },
            State::Refilling(refilling) if refilling.read.is(number) => {
                refilling.served.waiting.read_sent();
                Some(Since::After(refilling.served.last))
            }
            _ => None,
        }
    }

    /// Acts on the time.
    pub(super) fn time(&mut self, context: &mut Context<'_, O>, now: Instant) {
        let joins = match &mut self.state {
            State::Listening(listening) => &mut listening.joins,
            State::Reading(reading) => {
                reading.read.time(context, now);
                &mut reading.joins
            }
            State::Live(live) => match live.time_passed(context.shared.clock.seconds(now)) {
                Some(flight) => {
                    flight.read.time(context, now);
                    &mut flight.joins
                }
                None => return,
            },
            State::Stale(stale) => {
                stale.time(context, now);
                &mut stale.joins
            }
            State::Refilling(refilling) => {
                refilling.read.time(context, now);
                &mut refilling.served.joins
            }
            State::Lingering(lingering) => {
                if lingering.until <= now {
                    context.took(Row::LingeringOver);
                    self.close(context, Joins::new());
                }
                return;
            }
            State::Closing(joins) => joins,
            State::Idle => return,
        };
        for _ in 0..joins.expire(context, now) {
            context.took(Row::JoinTimeout);
        }
    }

    /// The engine answers a read.
    pub(super) fn caught_up(
        &mut self,
        context: &mut Context<'_, O>,
        number: ReadNumber,
        result: Option<(Catchup, Generation)>,
    ) {
        match &mut self.state {
            State::Reading(reading) if reading.read.is(number) => {
                self.reading_reply(context, result);
            }
            State::Live(live) => {
                let is_flight = live.flight().is_some_and(|flight| flight.read.is(number));
                if is_flight {
                    self.flight_reply(context, result);
                }
            }
            State::Stale(stale) => {
                if matches!(&stale.proof, Proof::Beginning(_, read) if read.is(number)) {
                    self.begun(context, result);
                }
            }
            State::Refilling(refilling) if refilling.read.is(number) => {
                self.refill_reply(context, result);
            }
            _ => {}
        }
    }

    /// Removes subscribers.
    pub(super) fn leave(&mut self, remove: impl FnOnce(&mut O::Topic) -> usize) -> usize {
        let removed = remove(&mut self.place);
        let count = u32::try_from(removed).unwrap_or(u32::MAX);
        self.subscribers = self.subscribers.saturating_sub(count);
        removed
    }

    /// Changes the joins that wait.
    pub(super) fn change_joins<R>(
        &mut self,
        change: impl FnOnce(&mut Joins<O::Join>) -> R,
    ) -> Option<R> {
        let joins = match &mut self.state {
            State::Listening(listening) => &mut listening.joins,
            State::Reading(reading) => &mut reading.joins,
            State::Live(live) => &mut live.flight()?.joins,
            State::Stale(stale) => &mut stale.joins,
            State::Refilling(refilling) => &mut refilling.served.joins,
            State::Closing(joins) => joins,
            State::Lingering(_) | State::Idle => return None,
        };
        Some(change(joins))
    }

    /// Leaves the topic if it has neither subscribers nor joins.
    pub(super) fn close_if_unused(&mut self, context: &mut Context<'_, O>) {
        if self.subscribers > 0 {
            return;
        }
        let row = match &mut self.state {
            // The answer to the listen comes first.
            State::Listening(listening) if listening.is_requested => return,
            State::Listening(listening) if listening.joins.is_empty() => Row::ListeningLeft,
            State::Reading(reading) if reading.joins.is_empty() => Row::ReadingLeft,
            State::Stale(stale) if stale.joins.is_empty() => Row::StaleLeft,
            State::Refilling(refilling) if refilling.served.joins.is_empty() => Row::RefillingLeft,
            State::Live(live) => {
                if live.flight().is_none() {
                    self.linger(context);
                } else if live.flight().is_some_and(|flight| flight.joins.is_empty()) {
                    live.end_flight();
                    self.linger(context);
                }
                return;
            }
            _ => return,
        };
        context.took(row);
        self.close(context, Joins::new());
    }

    /// Returns whether [`time`](Self::time) may have something to do, now or later.
    pub(super) fn waits_for_time(&self) -> bool {
        match &self.state {
            State::Live(live) => live.waits_for_time(),
            State::Idle => false,
            _ => true,
        }
    }

    /// Returns whether joins are answered at once.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.state, State::Live(_) | State::Lingering(_))
    }

    /// Returns the position up to which all subscribers were served.
    pub(super) fn position(&self) -> Option<Position> {
        match &self.state {
            State::Live(live) => live.last,
            State::Stale(stale) => stale.last,
            State::Refilling(refilling) => Some(refilling.served.last),
            State::Lingering(lingering) => lingering.live.last,
            State::Listening(_) | State::Reading(_) | State::Closing(_) | State::Idle => None,
        }
    }

    /// Adds a subscriber, or lets it go if it is gone.
    pub(super) fn attach(
        &mut self,
        context: &Context<'_, O>,
        join: O::Join,
        judgement: &Judgement<'_>,
    ) {
        if let Some(row) = judgement.lost {
            context.took(row);
        }
        let outlet = &context.shared.outlet;
        if outlet.attach(context.name, &mut self.place, join, judgement.welcome) {
            self.subscribers += 1;
        }
    }

    /// Tells the subscribers that messages are missing.
    pub(super) fn lose(&mut self, context: &Context<'_, O>, at: Option<Position>, why: Row) {
        if self.subscribers > 0 {
            context.took(why);
            context.shared.outlet.lose(&mut self.place, at);
        }
    }

    /// Enters Live: takes what follows `last`, then treats each waiting join as a new one.
    pub(super) fn go_live(
        &mut self,
        context: &mut Context<'_, O>,
        live: Live<O::Join>,
        taken: Vec<Entry>,
        joins: Joins<O::Join>,
    ) {
        self.state = State::Live(live);
        for entry in taken {
            let other = self.deliver(context.shared, Delivered::Entry(entry));
            debug_assert!(other.is_none(), "a settled message follows");
        }
        for pending in joins.into_iter() {
            self.join_live(context, pending);
        }
    }

    /// Enters Stale: the engine has to listen again.
    fn stale(&mut self, last: Option<Position>, tail: Option<Tail>, joins: Joins<O::Join>) {
        self.state = State::Stale(Box::new(Stale {
            last,
            tail,
            joins,
            waiting: Waiting::default(),
            proof: Proof::Unconfirmed,
        }));
    }
}
