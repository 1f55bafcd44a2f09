//! The past of a topic, as a read or the tail shows it, and what a join gets of it.

use super::follow::is_same;
use super::outlet::{Recovery, Wants, Welcome};
use super::row::Row;
use crate::policy::Kept;
use crate::position::Position;
use crate::publication::Entry;

/// Messages of a topic without a hole, up to its newest position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past<'a> {
    /// The messages. If there are none, nothing is known of what lies before `top`.
    pub(super) entries: &'a [Entry],
    /// The position of the last message.
    pub(super) top: Position,
    /// Whether the engine has no other messages that may be read.
    pub(super) is_all: bool,
}

/// What a join gets.
#[derive(Debug)]
pub(super) struct Judgement<'a> {
    pub(super) welcome: Welcome<'a>,
    /// Why the join is lost, if it is.
    pub(super) lost: Option<Row>,
}

impl<'a> Past<'a> {
    /// Makes the past that a node has itself. The engine may have more.
    pub(super) fn of(entries: &'a [Entry], top: Position) -> Self {
        Self {
            entries,
            top,
            is_all: false,
        }
    }

    /// Decides what a join gets. `None` if this past does not tell.
    pub(super) fn judge(self, wants: Wants, kept: Kept) -> Option<Judgement<'a>> {
        match kept {
            Kept::Off => Some(judge_without_history(wants)),
            Kept::Latest { .. } => self.judge_latest(wants),
            Kept::Window { count, bytes, .. } => {
                let most = usize::try_from(count).unwrap_or(usize::MAX);
                match wants {
                    Wants::Live => Some(self.at_top(Recovery::Fresh)),
                    Wants::Recent(number) => {
                        let number = usize::try_from(number).unwrap_or(usize::MAX);
                        self.recent(number.min(most), bytes)
                    }
                    Wants::After(position) => self.after(position, most, bytes),
                }
            }
        }
    }

    fn recent(self, number: usize, bytes: usize) -> Option<Judgement<'a>> {
        let mut room = bytes;
        let fits = |entry: &&Entry| {
            let fits = entry.body.len() <= room;
            room = room.saturating_sub(entry.body.len());
            fits
        };
        let newest = self.entries.iter().rev().take(number);
        let taken = newest.take_while(fits).count();
        let replay = &self.entries[self.entries.len() - taken..];
        let before = replay.first().map_or(self.top, Entry::before);
        let is_limited = taken == number || taken < self.entries.len();
        if !(is_limited || self.is_all || before.offset == 0) {
            return None;
        }
        Some(welcome(before, Recovery::Fresh, replay))
    }

    fn after(self, position: Position, most: usize, bytes: usize) -> Option<Judgement<'a>> {
        if is_same(position, self.top) {
            return Some(self.at_top(Recovery::Recovered { missed: 0 }));
        }
        let first = self.entries.first().map(|entry| entry.position.offset);
        let is_before = |entry: &Entry| is_same(position, entry.before());
        let index = first.and_then(|first| position.offset.checked_add(1)?.checked_sub(first));
        let index = index.and_then(|index| usize::try_from(index).ok());
        let replay = index.and_then(|index| self.entries.get(index..));
        let replay = replay.filter(|replay| replay.first().is_some_and(is_before));
        if let Some(replay) = replay {
            let len: usize = replay.iter().map(|entry| entry.body.len()).sum();
            if replay.len() > most || len > bytes {
                return Some(self.lost(Row::JoinLostMuch));
            }
            let missed = replay.len();
            return Some(welcome(position, Recovery::Recovered { missed }, replay));
        }
        self.is_all.then(|| self.lost(self.why(position, first)))
    }

    fn why(self, position: Position, first: Option<u64>) -> Row {
        if position.epoch != self.top.epoch {
            Row::JoinLostEpoch
        } else if position.offset > self.top.offset {
            Row::JoinLostAhead
        } else if first.is_some_and(|first| position.offset.saturating_add(1) >= first)
            || position.offset == self.top.offset
        {
            Row::JoinLostBranch
        } else {
            Row::JoinLostOld
        }
    }

    fn judge_latest(self, wants: Wants) -> Option<Judgement<'a>> {
        let position = match wants {
            Wants::After(position) => Some(position),
            Wants::Live | Wants::Recent(_) => None,
        };
        if position.is_some_and(|position| position.id == self.top.id) {
            return Some(self.at_top(Recovery::Recovered { missed: 0 }));
        }
        // A client may come from a node that is ahead of this one: its value may be newer.
        let is_older = |position: Position| {
            position.epoch == self.top.epoch && position.offset <= self.top.offset
        };
        if !self.is_all && position.is_some_and(|position| !is_older(position)) {
            return None;
        }
        if let Some(value) = self.entries.last() {
            let replay = std::slice::from_ref(value);
            return Some(match position {
                Some(position) => welcome(position, Recovery::Recovered { missed: 1 }, replay),
                None => {
                    let before = Position::start(value.position.epoch);
                    welcome(before, Recovery::Fresh, replay)
                }
            });
        }
        if !(self.is_all || self.top.id.is_none()) {
            return None;
        }
        Some(match position {
            Some(Position { id: Some(_), .. }) => self.lost(Row::JoinLostValue),
            Some(_) => self.at_top(Recovery::Recovered { missed: 0 }),
            None => self.at_top(Recovery::Fresh),
        })
    }

    fn at_top(self, recovery: Recovery) -> Judgement<'a> {
        welcome(self.top, recovery, &[])
    }

    fn lost(self, why: Row) -> Judgement<'a> {
        Judgement {
            lost: Some(why),
            ..self.at_top(Recovery::Lost)
        }
    }
}

/// Decides what a join of a topic without history gets.
pub(super) fn judge_without_history<'a>(wants: Wants) -> Judgement<'a> {
    let is_lost = matches!(wants, Wants::After(_));
    Judgement {
        welcome: Welcome {
            at: None,
            recovery: if is_lost {
                Recovery::Lost
            } else {
                Recovery::Fresh
            },
            replay: &[],
        },
        lost: is_lost.then_some(Row::JoinLostOff),
    }
}

fn welcome(at: Position, recovery: Recovery, replay: &[Entry]) -> Judgement<'_> {
    Judgement {
        welcome: Welcome {
            at: Some(at),
            recovery,
            replay,
        },
        lost: None,
    }
}
