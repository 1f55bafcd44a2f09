//! What a topic works with: the outlet, the queue for the engine, the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

use super::clock::{Clock, Timers, between};
use super::config::HubConfig;
use super::outlet::Outlet;
use super::request::ReadNumber;
use super::row::Row;
use super::waiting::WaitingRoom;
use super::work::Work;
use crate::error::SubscribeError;
use crate::name::TopicName;
use crate::policy::History;
use crate::tail::TailRoom;

/// What all topics of a hub share.
#[derive(Debug)]
pub(super) struct Shared<O> {
    pub(super) outlet: O,
    pub(super) config: HubConfig,
    pub(super) clock: Clock,
    pub(super) work: Work,
    pub(super) tails: Arc<TailRoom>,
    /// Whether the engine is down.
    pub(super) is_down: AtomicBool,
    pub(super) topics: AtomicUsize,
}

/// What a topic works with, while its shard is locked.
#[derive(Debug)]
pub(super) struct Context<'a, O> {
    pub(super) shared: &'a Shared<O>,
    pub(super) timers: &'a mut Timers,
    pub(super) name: &'a TopicName,
    pub(super) history: History,
}

impl<O: Outlet> Shared<O> {
    pub(super) fn now(&self) -> Instant {
        self.clock.now(&self.outlet)
    }
}

impl<O: Outlet> Context<'_, O> {
    pub(super) fn now(&self) -> Instant {
        self.shared.now()
    }

    /// Returns the topic's name, to be kept.
    pub(super) fn topic(&self) -> TopicName {
        self.name.clone()
    }

    pub(super) fn took(&self, row: Row) {
        self.shared.outlet.took(row);
    }

    /// Asks for a call of the topic at a time.
    pub(super) fn call_at(&mut self, at: Instant) {
        self.timers.push(at, self.topic());
        self.shared.clock.want(&self.shared.outlet, at);
    }

    /// Asks for a call of the topic after a time of the length. Returns that time.
    pub(super) fn call_after(&mut self, pause: Duration) -> Instant {
        let at = self.now() + pause;
        self.call_at(at);
        at
    }

    pub(super) fn listen(&self) {
        let shared = self.shared;
        let now = shared.now();
        let at = shared.work.listen(self.topic(), &shared.config, now);
        if let Some(at) = at {
            shared.clock.want(&shared.outlet, at);
        }
    }

    pub(super) fn unlisten(&self) {
        self.shared.work.unlisten(self.topic());
    }

    /// Queues a read. Returns its number.
    pub(super) fn read(&self, only_top: bool) -> ReadNumber {
        let number = self.shared.work.number();
        self.shared.work.read(self.topic(), number, only_top);
        number
    }

    /// Queues the question for the topic's position.
    pub(super) fn ask(&self) {
        self.shared.work.ask(self.topic());
    }

    /// Draws the pause after an error of the engine.
    pub(super) fn error_pause(&self) -> Duration {
        between(&self.shared.outlet, &self.shared.config.error_pause)
    }

    /// Draws the time for which a topic without subscribers stays.
    pub(super) fn linger(&self) -> Duration {
        between(&self.shared.outlet, &self.shared.config.linger)
    }

    pub(super) fn waiting_room(&self) -> WaitingRoom {
        WaitingRoom {
            entries: self.shared.config.waiting_events,
            bytes: self.shared.config.waiting_bytes,
        }
    }

    /// Answers a join that the engine left without an answer.
    pub(super) fn refuse(&self, join: O::Join) {
        let retry = between(&self.shared.outlet, &self.shared.config.retry);
        let error = SubscribeError::Unavailable { retry };
        self.shared.outlet.refuse(join, error);
    }
}
