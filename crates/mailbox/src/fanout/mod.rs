//! The fan-out: channels, which bring one message to many mailboxes.

pub(crate) mod channel;
pub(crate) mod delivery;
pub(crate) mod log;
pub(crate) mod subscriptions;
