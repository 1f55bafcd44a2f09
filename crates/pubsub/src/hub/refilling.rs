//! A topic that reads the messages which its subscribers miss.

use super::context::Context;
use super::fault::Fault;
use super::follow::{Kind, index_of};
use super::joins::Joins;
use super::outlet::Outlet;
use super::parts::came_by_read;
use super::read::Read;
use super::row::Row;
use super::state::{Live, Refilling, Served, State};
use super::topic::Topic;
use super::waiting::Waiting;
use crate::engine::{Catchup, Generation};
use crate::publication::{Delivered, Entry};
use crate::tail::Tail;

impl<O: Outlet> Topic<O> {
    /// A live topic reads what is missing. More joins may wait for it than those of its flight.
    pub(super) fn refill_live(
        &mut self,
        context: &mut Context<'_, O>,
        waiting: Waiting,
        joins: Joins<O::Join>,
    ) {
        let live = match std::mem::replace(&mut self.state, State::Idle) {
            State::Live(live) => live,
            state => {
                self.state = state;
                return;
            }
        };
        let Some(last) = live.last else {
            return;
        };
        let generation = live.generation;
        let (tail, mut all) = live.into_parts();
        for pending in joins.into_iter() {
            all.push(context, pending);
        }
        let served = Served {
            generation,
            last,
            tail: tail.unwrap_or_else(|| Tail::new(context.shared.tails.clone())),
            joins: all,
            waiting,
        };
        self.refill(context, served);
    }

    /// Reads what is missing.
    pub(super) fn refill(&mut self, context: &Context<'_, O>, served: Served<O::Join>) {
        let read = Read::start(context, false);
        self.state = State::Refilling(Box::new(Refilling { served, read }));
    }

    /// The engine answers the read of the missing messages.
    pub(super) fn refill_reply(
        &mut self,
        context: &mut Context<'_, O>,
        result: Option<(Catchup, Generation)>,
    ) {
        let State::Refilling(refilling) = &mut self.state else {
            return;
        };
        let Some((catchup, generation)) = result else {
            context.took(Row::RefillingError);
            let pause = context.error_pause().max(context.shared.config.read_pause);
            return refilling.read.repeat_after(context, pause);
        };
        if generation != refilling.served.generation && !Fault::NoGeneration.is_on() {
            context.took(Row::RefillingOutdated);
            return refilling.read.repeat(context);
        }
        let State::Refilling(refilling) = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        let Refilling {
            mut served,
            mut read,
        } = *refilling;
        let (mut entries, top, lost) = match catchup {
            Catchup::Whole { entries, top, .. } => (entries, top, None),
            Catchup::Lost { top } => (Vec::new(), top, Some(Row::LostRead)),
            Catchup::None { top } => (Vec::new(), top, served.last.id.map(|_| Row::LostValue)),
        };
        if let Some(why) = lost {
            context.took(Row::RefillingLost);
            self.lose(context, Some(top), why);
            served.tail.clear();
        }
        if self.kind == Kind::Latest {
            entries.retain(|entry| entry.position.id != served.last.id);
            if !entries.is_empty() {
                served.tail.clear();
            }
        }
        served.last = top;
        let (came, now) = (came_by_read(context), context.shared.clock.coarse());
        for entry in &entries {
            self.deliver_read(context, entry);
            served.tail.push(entry.clone(), came, now);
        }
        let is_stale = served.waiting.is_stale();
        let Some(served) = self.resume(context, served, &entries) else {
            return context.took(Row::RefillingWhole);
        };
        if is_stale {
            // The messages that were read are delivered. Those that were dropped meanwhile have to be read.
            context.took(Row::RefillingOutdated);
        } else {
            context.took(Row::RefillingUnsettled);
            if !read.may_repeat() {
                return self.give_up(context, served, lost.is_some());
            }
        }
        read.repeat(context);
        self.state = State::Refilling(Box::new(Refilling { served, read }));
    }

    /// Enters Live if the waiting messages fit to what was served. Else returns what has to read again.
    pub(super) fn resume(
        &mut self,
        context: &mut Context<'_, O>,
        mut served: Served<O::Join>,
        read: &[Entry],
    ) -> Option<Served<O::Join>> {
        if served.waiting.is_stale() {
            return Some(served);
        }
        let Served {
            last,
            tail,
            waiting,
            ..
        } = &mut served;
        let is_known = |entry: &Entry| {
            let id = entry.position.id;
            index_of(read, entry.position).is_some() || id.is_some_and(|id| tail.contains(id))
        };
        let taken = waiting.settle(*last, self.kind, is_known);
        let Some(taken) = taken else {
            return Some(served);
        };
        self.live_again(context, served, taken);
        None
    }

    /// The third reply did not settle.
    fn give_up(
        &mut self,
        context: &mut Context<'_, O>,
        mut served: Served<O::Join>,
        is_told: bool,
    ) {
        context.took(Row::RefillingThird);
        // The newest value is delivered: for a topic that keeps only that, nothing is lost.
        if self.kind != Kind::Latest && !is_told {
            self.lose(context, Some(served.last), Row::LostUnsettled);
            served.tail.clear();
        }
        self.live_again(context, served, Vec::new());
    }

    fn live_again(
        &mut self,
        context: &mut Context<'_, O>,
        served: Served<O::Join>,
        taken: Vec<Entry>,
    ) {
        let Served {
            generation,
            last,
            tail,
            joins,
            ..
        } = served;
        let live = Live::with_tail(Some(last), generation, Some(tail));
        self.go_live(context, live, taken, joins);
    }

    /// Delivers a message of a read.
    fn deliver_read(&mut self, context: &Context<'_, O>, entry: &Entry) {
        if self.subscribers > 0 {
            let delivered = Delivered::Entry(entry.clone());
            context.shared.outlet.deliver(&mut self.place, &delivered);
        }
    }
}
