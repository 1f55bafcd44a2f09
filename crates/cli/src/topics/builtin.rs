//! The patterns that `serve` has without a file.

use std::time::Duration;

use sockeye::topics::{Clients, History, Policy, Presence, TopicsBuilder};

/// The number of messages that a room of the chat keeps, and for how long.
const KEPT: (u32, Duration) = (100, Duration::from_secs(3600));
/// How many members of a room of the chat are listed at most.
const MAX_MEMBERS: u32 = 500;

/// Adds the rooms of the chat. The server alone publishes there: a client could forge names.
pub(super) fn rooms(builder: TopicsBuilder) -> TopicsBuilder {
    let policy = Policy::new()
        .history(History::window(KEPT.0, KEPT.1))
        .presence(Presence::members(MAX_MEMBERS))
        .clients(Clients::subscribe());
    builder.pattern("room/{id}", policy)
}

/// Adds topics to try, which each client may publish to.
pub(super) fn demo(builder: TopicsBuilder) -> TopicsBuilder {
    let policy = Policy::new()
        .history(History::window(KEPT.0, KEPT.1))
        .presence(Presence::count())
        .clients(Clients::publish());
    builder.pattern("demo/{id}", policy)
}
