//! A topic whose feed had a gap: it asks the engine whether messages are missing.

use std::time::Instant;

use super::context::Context;
use super::fault::Fault;
use super::follow::{Kind, is_same};
use super::outlet::Outlet;
use super::read::Read;
use super::request::ReadNumber;
use super::row::Row;
use super::state::{Live, Proof, Served, Stale, State};
use super::topic::Topic;
use crate::engine::{Catchup, Generation};
use crate::position::Position;
use crate::tail::Tail;

impl<J> Stale<J> {
    /// Acts on the time.
    pub(super) fn time<O: Outlet<Join = J>>(&mut self, context: &mut Context<'_, O>, now: Instant) {
        match &mut self.proof {
            Proof::Paused(generation, until) if *until <= now => {
                self.proof = Proof::Asking(*generation, None);
                context.ask();
            }
            Proof::Beginning(_, read) => read.time(context, now),
            Proof::Paused(..) | Proof::Unconfirmed | Proof::Asking(..) => {}
        }
    }
}

impl<O: Outlet> Topic<O> {
    /// The engine listens again.
    pub(super) fn confirmed_again(&mut self, context: &mut Context<'_, O>, generation: Generation) {
        let State::Stale(stale) = &mut self.state else {
            return;
        };
        if self.kind != Kind::Off {
            context.took(Row::StaleConfirmed);
            stale.proof = Proof::Asking(generation, None);
            return context.ask();
        }
        context.took(Row::StaleConfirmedOff);
        let joins = stale.joins.take();
        self.lose(context, None, Row::LostOff);
        self.go_live(context, Live::new(None, generation), Vec::new(), joins);
    }

    /// The hub asks the engine for the position of this topic. Returns whether the topic wants to know it.
    pub(super) fn ask_sent(&mut self, number: ReadNumber) -> bool {
        match &mut self.state {
            State::Stale(stale) => match &mut stale.proof {
                Proof::Asking(_, asked @ None) => {
                    *asked = Some(number);
                    stale.waiting.read_sent();
                    true
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// The engine tells the position of this topic; `None` if it failed to.
    pub(super) fn ask_answered(
        &mut self,
        context: &mut Context<'_, O>,
        number: ReadNumber,
        answer: Option<Option<Position>>,
    ) {
        let State::Stale(stale) = &mut self.state else {
            return;
        };
        let is_asked = match stale.proof {
            Proof::Asking(_, asked) => asked == Some(number) || Fault::NoGeneration.is_on(),
            _ => false,
        };
        if !is_asked {
            return;
        }
        match answer {
            Some(top) => self.position_told(context, top),
            None => self.proof_failed(context),
        }
    }

    /// The engine has begun the topic, or failed to.
    pub(super) fn begun(
        &mut self,
        context: &mut Context<'_, O>,
        result: Option<(Catchup, Generation)>,
    ) {
        let State::Stale(stale) = &mut self.state else {
            return;
        };
        let (Proof::Beginning(known, read), Some((catchup, generation))) =
            (&mut stale.proof, result)
        else {
            return self.proof_failed(context);
        };
        if generation != *known && !Fault::NoGeneration.is_on() {
            return read.repeat(context);
        }
        match catchup {
            Catchup::Whole { top, .. } | Catchup::Lost { top } | Catchup::None { top } => {
                self.position_told(context, Some(top));
            }
        }
    }

    /// Compares the engine's position with the topic's.
    pub(super) fn position_told(&mut self, context: &mut Context<'_, O>, top: Option<Position>) {
        let State::Stale(stale) = &mut self.state else {
            return;
        };
        let (Some(generation), Some(last)) = (stale.proof.generation(), stale.last) else {
            return;
        };
        let row = match top {
            None if self.kind == Kind::Window => {
                context.took(Row::StaleUnknown);
                stale.proof = Proof::Beginning(generation, Read::start(context, true));
                return;
            }
            Some(top) if is_same(top, last) => Row::StaleEqual,
            Some(top) if self.kind == Kind::Window && top.epoch != last.epoch => Row::LostEpoch,
            Some(top) if self.kind == Kind::Window && top.offset < last.offset => Row::LostLower,
            Some(top) if self.kind == Kind::Window && top.offset == last.offset => Row::LostBranch,
            None | Some(_) => Row::StaleHigher,
        };
        let State::Stale(stale) = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        let mut served = Served {
            generation,
            last,
            tail: stale
                .tail
                .unwrap_or_else(|| Tail::new(context.shared.tails.clone())),
            joins: stale.joins,
            waiting: stale.waiting,
        };
        match (row, top) {
            (Row::StaleHigher, _) | (_, None) => {
                context.took(Row::StaleHigher);
                return self.refill(context, served);
            }
            (Row::StaleEqual, Some(_)) => context.took(Row::StaleEqual),
            (why, Some(top)) => {
                context.took(Row::StaleLost);
                self.lose(context, Some(top), why);
                served.last = top;
                served.tail.clear();
            }
        }
        if let Some(served) = self.resume(context, served, &[]) {
            context.took(Row::StaleUnsettled);
            self.refill(context, served);
        }
    }

    fn proof_failed(&mut self, context: &mut Context<'_, O>) {
        context.took(Row::StaleError);
        let State::Stale(stale) = &mut self.state else {
            return;
        };
        if let Some(generation) = stale.proof.generation() {
            let until = context.call_after(context.error_pause());
            stale.proof = Proof::Paused(generation, until);
        }
    }
}

impl Proof {
    pub(super) fn generation(&self) -> Option<Generation> {
        match self {
            Self::Unconfirmed => None,
            Self::Asking(generation, _)
            | Self::Beginning(generation, _)
            | Self::Paused(generation, _) => Some(*generation),
        }
    }
}
