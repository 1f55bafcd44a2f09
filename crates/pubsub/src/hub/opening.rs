//! A topic before it is live, and after it was: Listening, Reading, Closing.

use super::context::Context;
use super::fault::Fault;
use super::follow::{Kind, index_of};
use super::joins::Joins;
use super::outlet::{Outlet, Wants};
use super::parts::remember_read;
use super::past::Past;
use super::read::Read;
use super::row::Row;
use super::state::{Listening, Live, Proof, Reading, State};
use super::topic::Topic;
use super::waiting::Waiting;
use crate::engine::{Catchup, Generation};
use crate::publication::Entry;

impl<O: Outlet> Topic<O> {
    /// Asks the engine to listen.
    pub(super) fn listen(&mut self, context: &Context<'_, O>, joins: Joins<O::Join>) {
        context.listen();
        self.state = State::Listening(Box::new(Listening {
            joins,
            is_requested: true,
            heard: None,
        }));
    }

    /// Asks the engine to stop listening.
    pub(super) fn close(&mut self, context: &Context<'_, O>, joins: Joins<O::Join>) {
        context.unlisten();
        self.state = State::Closing(joins);
    }

    /// The engine answers that it listens.
    pub(super) fn listen_done(&mut self, context: &mut Context<'_, O>, result: Option<Generation>) {
        let State::Listening(listening) = &mut self.state else {
            return;
        };
        if !listening.is_requested {
            return;
        }
        listening.is_requested = false;
        let Some(generation) = result else {
            context.took(Row::ListeningError);
            let joins = listening.joins.take();
            joins.refuse(context);
            // The engine may listen in spite of its error.
            return self.close(context, Joins::new());
        };
        let generation = listening
            .heard
            .map_or(generation, |heard| heard.max(generation));
        self.confirmed(context, generation);
    }

    /// The engine reports that it listens again.
    pub(super) fn listened(&mut self, context: &mut Context<'_, O>, generation: Generation) {
        let known = match &mut self.state {
            State::Listening(listening) if listening.is_requested => {
                listening.heard = listening.heard.max(Some(generation));
                return;
            }
            State::Listening(_) => return self.confirmed(context, generation),
            State::Closing(_) | State::Idle => return,
            State::Stale(stale) => match &stale.proof {
                Proof::Unconfirmed => return self.confirmed_again(context, generation),
                Proof::Asking(known, _) | Proof::Beginning(known, _) | Proof::Paused(known, _) => {
                    *known
                }
            },
            State::Reading(reading) => reading.generation,
            State::Live(live) => live.generation,
            State::Refilling(refilling) => refilling.served.generation,
            State::Lingering(lingering) => lingering.live.generation,
        };
        // The gap came before the answer to the listen, so the topic did not know that it was meant.
        if generation > known && !Fault::NoGeneration.is_on() {
            self.gap(context);
            self.listened(context, generation);
        }
    }

    fn confirmed(&mut self, context: &mut Context<'_, O>, generation: Generation) {
        let State::Listening(listening) = &mut self.state else {
            return;
        };
        let joins = listening.joins.take();
        if joins.is_empty() {
            context.took(Row::ListeningLeft);
            return self.close(context, joins);
        }
        if self.kind == Kind::Off {
            context.took(Row::ListeningConfirmedOff);
            return self.go_live(context, Live::new(None, generation), Vec::new(), joins);
        }
        context.took(Row::ListeningConfirmed);
        self.state = State::Reading(Box::new(Reading {
            generation,
            // Which of the rates holds for the read is decided by the joins that wait now.
            read: Read::start(context, self.kind == Kind::Window && joins.are_live()),
            joins,
            reads_messages: false,
            waiting: Waiting::default(),
        }));
    }

    /// The engine answers the first read.
    pub(super) fn reading_reply(
        &mut self,
        context: &mut Context<'_, O>,
        result: Option<(Catchup, Generation)>,
    ) {
        let State::Reading(reading) = &mut self.state else {
            return;
        };
        let (entries, top, generation) = match result {
            Some((Catchup::Whole { entries, top, .. }, generation)) => (entries, top, generation),
            Some((Catchup::None { top }, generation)) if self.kind == Kind::Latest => {
                (Vec::new(), top, generation)
            }
            // The window moved on between two pages of the read.
            Some((Catchup::Lost { .. } | Catchup::None { .. }, _)) => {
                context.took(Row::ReadingOutdated);
                return self.read_again(context);
            }
            None => return self.reading_failed(context),
        };
        let is_other = generation != reading.generation && !Fault::NoGeneration.is_on();
        if is_other || reading.waiting.is_stale() {
            context.took(Row::ReadingOutdated);
            return self.read_again(context);
        }
        let is_known = |entry: &Entry| index_of(&entries, entry.position).is_some();
        let Some(taken) = reading.waiting.settle(top, self.kind, is_known) else {
            context.took(Row::ReadingUnsettled);
            return self.read_again(context);
        };
        context.took(Row::ReadingReply);
        let (generation, joins) = (reading.generation, reading.joins.take());
        let is_all = reading.reads_messages;
        self.begin(
            context,
            generation,
            Past {
                entries: &entries,
                top,
                is_all,
            },
            taken,
            joins,
        );
    }

    /// Enters Live with the reply of the first read.
    fn begin(
        &mut self,
        context: &mut Context<'_, O>,
        generation: Generation,
        past: Past<'_>,
        mut taken: Vec<Entry>,
        joins: Joins<O::Join>,
    ) {
        let mut live = Live::new(Some(past.top), generation);
        if !past.entries.is_empty() {
            let tail = &mut live.extra(context.shared).tail;
            remember_read(tail, past.entries, context);
        }
        if Fault::LiveBeforeReplay.is_on() {
            self.go_live(context, live, std::mem::take(&mut taken), Joins::new());
            live = match std::mem::replace(&mut self.state, State::Idle) {
                State::Live(live) => live,
                _ => return,
            };
        }
        let mut later = Joins::new();
        for pending in joins.into_iter() {
            // A client may come from a node that is ahead of the read.
            let is_ahead = matches!(pending.wants, Wants::After(position) if index_of(&taken, position).is_some());
            let judgement = past.judge(pending.wants, context.history.kept());
            match judgement.filter(|_| !is_ahead) {
                Some(judgement) => self.attach(context, pending.join, &judgement),
                None => later.push(context, pending),
            }
        }
        self.go_live(context, live, taken, later);
    }

    fn read_again(&mut self, context: &mut Context<'_, O>) {
        let State::Reading(reading) = &mut self.state else {
            return;
        };
        if reading.read.may_repeat() {
            reading.read.repeat(context);
        } else {
            self.reading_failed(context);
        }
    }

    fn reading_failed(&mut self, context: &mut Context<'_, O>) {
        context.took(Row::ReadingFailed);
        if let State::Reading(reading) = &mut self.state {
            let joins = reading.joins.take();
            joins.refuse(context);
        }
        self.close(context, Joins::new());
    }

    /// The engine no longer listens.
    pub(super) fn unlistened(&mut self, context: &Context<'_, O>) {
        let State::Closing(joins) = &mut self.state else {
            return;
        };
        let joins = joins.take();
        if joins.is_empty() {
            context.took(Row::ClosingDone);
            self.state = State::Idle;
        } else {
            context.took(Row::ClosingReopened);
            self.listen(context, joins);
        }
    }
}
