//! Topics, sans-IO: named streams of messages with publishers and subscribers, on one node or on many.
//!
//! - [`TopicName`], [`Position`], [`Policy`]: what a topic is called, where a message stands, what holds for a topic.
//! - [`Engine`]: what orders, stores and distributes messages. The memory engine serves one node.
//! - [`hub`]: the topics of one node. It serves subscribers, recovers them by their positions, and tells them
//!   honestly when messages are missing.
//! - `wire`: the subprotocol `sockeye.topics.v0`, and the state machines of both ends.
//!
//! This crate is a part of `sockeye`, and makes no promise of stability. It knows no runtime, no socket and no clock: time
//! and randomness come from [`Surroundings`].

pub mod engine;
mod error;
pub mod hub;
mod memory;
mod name;
mod pattern;
mod policy;
mod position;
mod publication;
mod seed;
mod surroundings;
mod table;
mod tail;
#[cfg(feature = "wire")]
pub mod wire;

pub use self::engine::Engine;
pub use self::error::{PublishError, SubscribeError};
pub use self::memory::{MemoryEngine, MemoryLimits};
pub use self::name::{InvalidTopicName, TopicName};
pub use self::pattern::{Match, PatternError, Patterns, PolicyId};
pub use self::policy::{
    Clients, History, Kept, Known, Policy, PolicyError, PolicyMistake, Presence, Rules,
    SlowSubscriber,
};
pub use self::position::{Epoch, InvalidPosition, MessageId, Position};
pub use self::publication::{Body, Delivered, Entry, KeyScope, Publication, PublishKey};
pub use self::surroundings::Surroundings;
