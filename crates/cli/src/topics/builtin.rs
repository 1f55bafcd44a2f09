//! The patterns that `serve` has without a file.

use std::time::Duration;

use sockeye::topics::{Clients, History, Policy, Presence, TopicsBuilder};

/// The number of messages that a room of the chat keeps, and for how long.
const KEPT: (u32, Duration) = (100, Duration::from_secs(3600));
/// How many members of a room of the chat are listed at most.
const MAX_MEMBERS: u32 = 500;

/// How many members of a room are known on all nodes. If there are more, none is missed.
const MAX_PRESENT: u32 = 10_000;

/// Adds the rooms of the chat. The server alone publishes there: a client could forge names. The members are present in
/// topics of their own, where clients have no rights.
pub(super) fn rooms(builder: TopicsBuilder) -> TopicsBuilder {
    let policy = Policy::new()
        .history(History::window(KEPT.0, KEPT.1))
        .presence(Presence::members(MAX_MEMBERS))
        .clients(Clients::subscribe());
    let present = Policy::new().presence(Presence::members(MAX_PRESENT));
    builder
        .pattern("room/{id}", policy)
        .pattern("here/{id}", present)
}

/// Adds topics to try, which each client may publish to.
pub(super) fn demo(builder: TopicsBuilder) -> TopicsBuilder {
    let policy = Policy::new()
        .history(History::window(KEPT.0, KEPT.1))
        .presence(Presence::count())
        .clients(Clients::publish());
    builder.pattern("demo/{id}", policy)
}
