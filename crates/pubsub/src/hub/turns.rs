//! The question in turn: each topic's position is compared with the engine's from time to time. It finds a loss that
//! nothing else shows.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::clock::Rate;
use super::config::HubConfig;
use super::request::ReadNumber;
use crate::name::TopicName;
use crate::position::Position;
use crate::seed::SHARDS;

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    round: Mutex<Round>,
    is_running: AtomicBool,
}

/// One round over the shards.
#[derive(Debug)]
pub(super) struct Round {
    /// The shard whose topics come next.
    shard: usize,
    /// When they come.
    at: Instant,
    /// The topics of the last shard that were not asked for yet.
    names: VecDeque<TopicName>,
    rate: Rate,
    /// The question that has no answer yet.
    pub(super) asked: Option<Asked>,
}

/// The positions of topics at the time of the question.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) read: ReadNumber,
    pub(super) topics: Vec<(TopicName, Position)>,
}

/// What is to be done now.
#[derive(Debug)]
pub(super) enum Due {
    /// The topics of a shard have their turn.
    Shard(usize),
    /// These topics have their turn.
    Topics(Vec<TopicName>),
    /// Nothing before this time, or before an answer.
    Nothing(Option<Instant>),
}

impl Turns {
    pub(super) fn new(config: &HubConfig, now: Instant) -> Self {
        Self {
            round: Mutex::new(Round {
                shard: 0,
                at: now,
                names: VecDeque::new(),
                rate: Rate::new(config.turns_per_second, now),
                asked: None,
            }),
            is_running: AtomicBool::new(false),
        }
    }

    /// Starts the rounds, if they do not run. Returns when the first turn comes.
    pub(super) fn start(&self, config: &HubConfig, now: Instant) -> Option<Instant> {
        if config.turns_per_second == 0 || self.is_running.swap(true, Ordering::SeqCst) {
            return None;
        }
        let mut round = self.lock();
        round.at = now + config.turn / SHARDS as u32;
        Some(round.at)
    }

    pub(super) fn is_running(&self) -> bool {
        self.is_running.load(Ordering::SeqCst)
    }

    /// Stops the rounds, unless there is a topic.
    pub(super) fn stop(&self, has_topics: impl FnOnce() -> bool) {
        self.is_running.store(false, Ordering::SeqCst);
        if has_topics() {
            self.is_running.store(true, Ordering::SeqCst);
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Round {
    /// Returns what is to be done now.
    pub(super) fn due(&mut self, config: &HubConfig, now: Instant) -> Due {
        if self.asked.is_some() {
            return Due::Nothing(None);
        }
        if self.names.is_empty() {
            if self.at > now {
                return Due::Nothing(Some(self.at));
            }
            let shard = self.shard;
            self.shard = (shard + 1) % SHARDS;
            self.at = (self.at + config.turn / SHARDS as u32).max(now);
            return Due::Shard(shard);
        }
        let most = self.rate.take(config.batch.min(self.names.len()), now);
        if most == 0 {
            return Due::Nothing(Some(self.rate.next()));
        }
        Due::Topics(self.names.drain(..most).collect())
    }

    /// Takes the topics of a shard.
    pub(super) fn add(&mut self, names: Vec<TopicName>) {
        self.names.extend(names);
    }

    /// Takes the question that is answered.
    pub(super) fn answered(&mut self, read: ReadNumber) -> Option<Asked> {
        self.asked.take_if(|asked| asked.read == read)
    }

    /// Forgets the positions of topics whose feed had a gap: the gap has a question of its own.
    pub(super) fn forget(&mut self, affected: &dyn Fn(&str) -> bool) {
        if let Some(asked) = &mut self.asked {
            asked.topics.retain(|(name, _)| !affected(name));
        }
    }
}
