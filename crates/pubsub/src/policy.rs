//! What holds for the topics of a pattern: history, presence, and what clients may do.

use std::time::Duration;

/// The rules for the topics of one pattern.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) history: History,
    pub(crate) presence: Presence,
    pub(crate) clients: Clients,
    pub(crate) owner: Option<String>,
    pub(crate) max_message: usize,
    pub(crate) overflow: Overflow,
}

/// Which messages of a topic an engine keeps for subscribers that come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History(pub(crate) Kept);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Off,
    Latest {
        ttl: Duration,
    },
    Window {
        count: u32,
        age: Duration,
        bytes: usize,
    },
}

/// Whether a topic knows its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence(pub(crate) Known);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Off,
    Count,
    Members { max: u32, show_principal: bool },
}

/// What clients may do with the topics of a pattern by the subprotocol. Server code may do everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    pub(crate) may_subscribe: bool,
    pub(crate) may_publish: bool,
}

/// What becomes of a message of a topic without history for a subscriber that reads too slowly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The session is closed with 1013, "try again later".
    #[default]
    Close,
    /// The oldest messages that wait are dropped.
    DropOldest,
    /// The new message is dropped.
    Refuse,
}
