//! The cases, by what they break.

mod calm;
mod failover;
mod feed;
mod node;
mod server;

use super::case::Case;

/// Returns all cases.
pub(super) fn all() -> Vec<Case> {
    [
        calm::CASES,
        node::CASES,
        server::CASES,
        feed::CASES,
        failover::CASES,
    ]
    .concat()
}

/// The shortest and the longest time of the load before the first fault, in milliseconds.
const WARM: (u64, u64) = (3_000, 4_000);
