//! Channels: one message for many mailboxes.

pub(crate) mod log;
