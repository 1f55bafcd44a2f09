//! A live topic: joins, messages that do not follow, the question in turn, and the end: Live, Lingering.

use super::context::Context;
use super::flight::start_flight;
use super::follow::{Kind, follows, is_same};
use super::joins::{Joins, PendingJoin};
use super::outlet::{Outlet, Wants};
use super::parts::age;
use super::past::{Past, judge_without_history};
use super::row::Row;
use super::state::{Lingering, Proof, Stale, State};
use super::topic::Topic;
use super::waiting::Waiting;
use crate::position::Position;
use crate::publication::{Delivered, Entry};

impl<O: Outlet> Topic<O> {
    /// Attaches a join of a live topic, or starts a flight for it.
    pub(super) fn join_live(
        &mut self,
        context: &mut Context<'_, O>,
        pending: PendingJoin<O::Join>,
    ) {
        if let State::Lingering(_) = &self.state {
            context.took(Row::LingeringJoin);
            if let State::Lingering(lingering) = std::mem::replace(&mut self.state, State::Idle) {
                self.state = State::Live(lingering.live);
            }
        }
        let State::Live(live) = &mut self.state else {
            return;
        };
        let kept = context.history.kept();
        // Borrowed apart from the topic, so that the subscriber can be attached to it.
        let mut extra = live.extra.take();
        let judgement = match (live.last, &mut extra) {
            (None, _) => Some(judge_without_history(pending.wants)),
            (Some(top), None) => Past::of(&[], top).judge(pending.wants, kept),
            (Some(top), Some(extra)) => {
                let now = context.now();
                let now = context.shared.clock.seconds(now);
                let entries = extra.tail.younger_than(age(context.history), now);
                Past::of(entries, top).judge(pending.wants, kept)
            }
        };
        let waiting = match judgement {
            Some(judgement) => {
                let is_plain = self.kind == Kind::Off || pending.wants == Wants::Live;
                context.took(if is_plain {
                    Row::LiveJoin
                } else {
                    Row::LiveJoinTail
                });
                self.attach(context, pending.join, &judgement);
                None
            }
            None => Some(pending),
        };
        let State::Live(live) = &mut self.state else {
            return;
        };
        live.extra = extra;
        if let Some(pending) = waiting {
            context.took(Row::LiveJoinFlight);
            start_flight(live, context, pending);
        }
    }

    /// Takes a message that does not follow the newest one of a live topic.
    pub(super) fn live_other(&mut self, context: &mut Context<'_, O>, entry: Entry) {
        let State::Live(live) = &mut self.state else {
            return;
        };
        if live.has(&entry) {
            return context.took(Row::LiveKnown);
        }
        context.took(Row::LiveOther);
        let mut waiting = Waiting::default();
        waiting.push(entry, context.waiting_room());
        self.refill_live(context, waiting, Joins::new());
    }

    /// Takes a message of a topic without subscribers.
    pub(super) fn lingering_event(&mut self, context: &mut Context<'_, O>, delivered: Delivered) {
        let State::Lingering(lingering) = &mut self.state else {
            return;
        };
        let live = &mut lingering.live;
        let is_expected = match (live.last, delivered) {
            // A message of another policy has no place in the history, and harms none.
            (None, _) | (Some(_), Delivered::Unstored { .. }) => true,
            (Some(last), Delivered::Entry(entry)) if follows(last, &entry, self.kind) => {
                live.last = Some(entry.position);
                live.remember(context.shared, self.kind, entry);
                true
            }
            (Some(_), Delivered::Entry(entry)) => live.has(&entry),
        };
        if is_expected {
            return context.took(Row::LingeringEvent);
        }
        context.took(Row::LingeringOther);
        self.close(context, Joins::new());
    }

    /// The last subscriber has left.
    pub(super) fn linger(&mut self, context: &mut Context<'_, O>) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Live(live) => {
                context.took(Row::LiveLastLeft);
                let until = context.call_after(context.linger());
                self.state = State::Lingering(Box::new(Lingering { live, until }));
            }
            state => self.state = state,
        }
    }

    /// Returns the position that is compared with the engine's in turn.
    pub(super) fn turn_position(&self) -> Option<Position> {
        match &self.state {
            State::Live(live) => live.last,
            _ => None,
        }
    }

    /// The engine answers the question in turn. `asked` is the position at the time of the question.
    pub(super) fn turned(
        &mut self,
        context: &mut Context<'_, O>,
        asked: Position,
        top: Option<Position>,
    ) {
        let State::Live(live) = &mut self.state else {
            return;
        };
        if live.last != Some(asked) {
            return context.took(Row::LiveTurnMoved);
        }
        // A topic that nothing was ever published to may be unknown to the engine.
        if top.is_some_and(|top| is_same(top, asked)) {
            return context.took(Row::LiveTurnEqual);
        }
        context.took(Row::LiveTurnOther);
        let State::Live(live) = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        let (last, generation) = (live.last, live.generation);
        let (tail, joins) = live.into_parts();
        self.state = State::Stale(Box::new(Stale {
            last,
            tail,
            joins,
            waiting: Waiting::default(),
            proof: Proof::Asking(generation, None),
        }));
        self.position_told(context, top);
    }
}
