//! The fan-out: channels, which bring one message to many mailboxes.

pub(crate) mod budget;
pub(crate) mod channel;
pub(crate) mod config;
pub(crate) mod delivery;
mod growth;
pub(crate) mod latest;
pub(crate) mod log;
mod members;
mod spare;
pub(crate) mod subscriptions;
mod unread;
