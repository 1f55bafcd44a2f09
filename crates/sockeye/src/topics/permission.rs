//! The permission of a client to subscribe, and the numbers of joins, which say whether a join needed one.

use std::time::SystemTime;

/// The permission of a client to subscribe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permission {
    /// When it ends.
    pub(super) until: Option<SystemTime>,
    /// The newest round of [`Rechecks`](super::rechecks::Rechecks) before it was asked for.
    pub(super) round: u32,
}

/// Whether the join of this number needed a permission. The lowest bit says so, because there are very many subscriptions,
/// and each keeps the number of its join.
pub(super) fn is_of_client(number: u32) -> bool {
    number & 1 == 1
}

/// Returns the number of a join. `count` grows by [`NUMBERS`] with each join.
pub(super) fn number_of(count: u32, is_of_client: bool) -> u32 {
    (count & !1) | u32::from(is_of_client)
}

/// By how much the count of joins grows with a join.
pub(super) const NUMBERS: u32 = 2;
