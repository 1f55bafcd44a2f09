//! Which message follows which.

use super::fault::Fault;
use crate::policy::{History, Kept};
use crate::position::Position;
use crate::publication::Entry;

/// The kind of a topic's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Off,
    Latest,
    Window,
}

impl Kind {
    pub(super) fn of(history: History) -> Self {
        match history.kept() {
            Kept::Off => Self::Off,
            Kept::Latest { .. } => Self::Latest,
            Kept::Window { .. } => Self::Window,
        }
    }
}

/// Returns whether a message is the next one behind a position. A topic that keeps the latest value may jump.
pub(super) fn follows(last: Position, entry: &Entry, kind: Kind) -> bool {
    let at = entry.position;
    match kind {
        Kind::Window => {
            at.epoch == last.epoch
                && at.offset == last.offset.wrapping_add(1)
                && (entry.previous == last.id || Fault::NoChain.is_on())
        }
        Kind::Latest => at.id != last.id && (at.epoch != last.epoch || at.offset > last.offset),
        Kind::Off => true,
    }
}

/// Returns whether two positions are the same place of the same branch.
pub(super) fn is_same(a: Position, b: Position) -> bool {
    a.epoch == b.epoch && a.offset == b.offset && (a.id == b.id || Fault::NoId.is_on())
}

/// Finds a message in a row of messages without holes.
pub(super) fn index_of(row: &[Entry], position: Position) -> Option<usize> {
    let first = row.first()?.position.offset;
    let index = usize::try_from(position.offset.checked_sub(first)?).ok()?;
    (row.get(index)?.position == position).then_some(index)
}
