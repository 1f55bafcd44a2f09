//! The subscribers of a node, as the hub sees them.

use std::time::Instant;

use super::row::Row;
use crate::error::SubscribeError;
use crate::name::TopicName;
use crate::position::Position;
use crate::publication::{Delivered, Entry};
use crate::surroundings::Surroundings;

/// The subscribers of a node. The hub calls it with the shard of the topic locked, so no method may call the hub back,
/// block, or run code of the application.
pub trait Outlet: Surroundings {
    /// A subscriber that waits for the answer to its join.
    type Join: Send;
    /// The subscribers of one topic. The default has none.
    type Topic: Default + Send;

    /// Adds a subscriber, and gives it its answer and the replay. It gets each message from now on. Returns false if the
    /// subscriber has gone meanwhile, or is a subscriber of the topic already.
    fn attach(
        &self,
        name: &TopicName,
        topic: &mut Self::Topic,
        join: Self::Join,
        welcome: Welcome<'_>,
    ) -> bool;

    /// Answers a join that failed.
    fn refuse(&self, join: Self::Join, error: SubscribeError);

    /// Gives a message to all subscribers of a topic.
    fn deliver(&self, topic: &mut Self::Topic, delivered: &Delivered);

    /// Tells all subscribers of a topic that messages may be missing before this position. Without history there is no
    /// position.
    fn lose(&self, topic: &mut Self::Topic, at: Option<Position>);

    /// The hub wants a call of [`Hub::handle_timeout`](super::Hub::handle_timeout) at this time. It is earlier than all times that it asked for
    /// before and that have not come yet.
    fn wake_at(&self, at: Instant);

    /// Hears which row of the table a topic took. For tests, which count them; else it does nothing.
    fn took(&self, _row: Row) {}
}

/// What a join asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the hub answers each")]
pub enum Wants {
    /// Only messages from now on.
    Live,
    /// The newest stored messages first, at most this many.
    Recent(u32),
    /// All messages behind this position first.
    After(Position),
}

/// The answer to a join.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// The position before the first message of the replay. Without a replay it is the newest position. `None` for a
    /// topic without history.
    pub at: Option<Position>,
    /// Whether the subscriber continues where it was.
    pub recovery: Recovery,
    /// The messages that come before the live ones.
    pub replay: &'a [Entry],
}

/// Whether a subscriber continues where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a subscriber acts on each")]
pub enum Recovery {
    /// The subscriber gave no position.
    Fresh,
    /// The subscriber gets all messages behind its position: this many were missed.
    Recovered {
        /// The number of messages.
        missed: usize,
    },
    /// Messages behind the position are not kept, or it is on another branch of the history.
    Lost,
}
