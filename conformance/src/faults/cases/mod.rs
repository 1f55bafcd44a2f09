//! The cases, by what they break.

mod calm;
mod chaos;
mod failover;
mod feed;
mod freeze;
mod memory;
mod network;
mod node;
mod refusal;
mod server;

use super::case::Case;

/// Returns all cases.
pub(super) fn all() -> Vec<Case> {
    [
        calm::CASES,
        chaos::CASES,
        node::CASES,
        server::CASES,
        feed::CASES,
        failover::CASES,
        freeze::CASES,
        memory::CASES,
        network::CASES,
        refusal::CASES,
    ]
    .concat()
}
