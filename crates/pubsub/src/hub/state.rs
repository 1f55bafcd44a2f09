//! The states of a topic, and what each of them holds.

use std::time::Instant;

use super::joins::Joins;
use super::read::Read;
use super::request::ReadNumber;
use super::waiting::Waiting;
use crate::engine::Generation;
use crate::position::Position;
use crate::tail::Tail;

/// The state of a topic. Most topics are live, and cost no more memory than that: rare states are boxed.
#[derive(Debug)]
pub(super) enum State<J> {
    /// The topic is forgotten.
    Idle,
    Listening(Box<Listening<J>>),
    Reading(Box<Reading<J>>),
    Live(Live<J>),
    Stale(Box<Stale<J>>),
    Refilling(Box<Refilling<J>>),
    Lingering(Box<Lingering<J>>),
    Closing(Joins<J>),
}

/// The engine does not listen yet, or not again.
#[derive(Debug)]
pub(super) struct Listening<J> {
    pub(super) joins: Joins<J>,
    /// Whether the hub asked the engine to listen and has no answer. Else the engine listens again by itself.
    pub(super) is_requested: bool,
    /// The generation in which the engine listens by its own report, before the answer.
    pub(super) heard: Option<Generation>,
}

/// The first read is under way. There is no subscriber yet.
#[derive(Debug)]
pub(super) struct Reading<J> {
    pub(super) generation: Generation,
    pub(super) joins: Joins<J>,
    pub(super) read: Read,
    /// Whether the read asks for messages, and not only for the position.
    pub(super) reads_messages: bool,
    pub(super) waiting: Waiting,
}

/// All messages up to `last` are delivered, and the next ones come.
#[derive(Debug)]
pub(super) struct Live<J> {
    /// `None` without history.
    pub(super) last: Option<Position>,
    pub(super) generation: Generation,
    pub(super) extra: Option<Box<Extra<J>>>,
}

/// What only some live topics have.
#[derive(Debug)]
pub(super) struct Extra<J> {
    pub(super) tail: Tail,
    pub(super) flight: Option<Flight<J>>,
}

/// A read of a live topic, for joins.
#[derive(Debug)]
pub(super) struct Flight<J> {
    pub(super) read: Read,
    pub(super) joins: Joins<J>,
    /// The newest position when the flight began.
    pub(super) from: Position,
    /// Copies of the messages that were delivered since the flight began.
    pub(super) delivered: Waiting,
}

/// The feed had a gap. It is not proved that all messages up to now were delivered.
#[derive(Debug)]
pub(super) struct Stale<J> {
    pub(super) last: Option<Position>,
    pub(super) tail: Option<Tail>,
    pub(super) joins: Joins<J>,
    pub(super) waiting: Waiting,
    pub(super) proof: Proof,
}

/// How far the proof of a stale topic is.
#[derive(Debug)]
pub(super) enum Proof {
    /// The engine does not listen.
    Unconfirmed,
    /// The engine listens. It was asked for the position, or will be.
    Asking(Generation, Option<ReadNumber>),
    /// The engine listens, and knows nothing of the topic. It is asked to begin it.
    Beginning(Generation, Read),
    /// The engine listens, and failed to tell the position.
    Paused(Generation, Instant),
}

/// Messages behind `last` are missing, and are read. Subscribers wait.
#[derive(Debug)]
pub(super) struct Refilling<J> {
    pub(super) served: Served<J>,
    pub(super) read: Read,
}

/// What the subscribers of a topic have, and what waits until they have more.
#[derive(Debug)]
pub(super) struct Served<J> {
    pub(super) generation: Generation,
    pub(super) last: Position,
    pub(super) tail: Tail,
    pub(super) joins: Joins<J>,
    pub(super) waiting: Waiting,
}

/// The last subscriber has left a live topic.
#[derive(Debug)]
pub(super) struct Lingering<J> {
    pub(super) live: Live<J>,
    pub(super) until: Instant,
}
