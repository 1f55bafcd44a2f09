//! Changes of the members of topics on this node that the engine's store does not know yet, and how many of them are written
//! at once.

use std::collections::VecDeque;

use sockeye_pubsub::TopicName;
use sockeye_pubsub::engine::{Member, MemberId};

/// A change that the engine's store does not know yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Entered(TopicName, Member),
    Left(TopicName, MemberId),
    // The changes before this one were written. Other nodes have to be told.
    Announced(TopicName),
    // All members were written again, for the time with this number.
    WrittenAgain(u64),
}

/// Changes that are written by one call of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Batch {
    Entered(TopicName, Vec<Member>),
    Left(TopicName, Vec<MemberId>),
    Announced(TopicName),
    WrittenAgain(u64),
}

/// The members of one call at most.
const MEMBERS: usize = 512;

impl Batch {
    /// Returns the first changes that go together: those of one kind, of one topic.
    pub(super) fn first(changes: &VecDeque<Change>) -> Option<Self> {
        let mut all = changes.iter().take(MEMBERS);
        Some(match all.next()? {
            Change::Entered(topic, member) => {
                let more = all.map_while(|change| match change {
                    Change::Entered(of, member) if of == topic => Some(member),
                    _ => None,
                });
                let members = std::iter::once(member).chain(more).cloned();
                Self::Entered(topic.clone(), members.collect())
            }
            Change::Left(topic, member) => {
                let more = all.map_while(|change| match change {
                    Change::Left(of, member) if of == topic => Some(member),
                    _ => None,
                });
                let members = std::iter::once(member).chain(more).copied();
                Self::Left(topic.clone(), members.collect())
            }
            Change::Announced(topic) => Self::Announced(topic.clone()),
            Change::WrittenAgain(number) => Self::WrittenAgain(*number),
        })
    }

    /// Returns the number of changes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Entered(_, members) => members.len(),
            Self::Left(_, members) => members.len(),
            Self::Announced(_) | Self::WrittenAgain(_) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64) -> Member {
        Member {
            id: MemberId(id),
            info: None,
            principal: None,
            since: 0,
        }
    }

    #[test]
    fn changes_of_one_kind_and_topic_go_together_up_to_a_limit() {
        let [one, other] = ["room/1", "room/2"].map(|name| TopicName::new(name).unwrap());
        let mut changes = VecDeque::new();
        let entered = |topic: &TopicName, id| Change::Entered(topic.clone(), member(id));
        changes.extend((0..600).map(|id| entered(&one, id)));
        changes.push_back(entered(&other, 1));
        changes.extend([1, 2].map(|id| Change::Left(other.clone(), MemberId(id))));
        changes.push_back(Change::Left(one.clone(), MemberId(3)));
        changes.extend([Change::Announced(other.clone()), Change::WrittenAgain(7)]);
        let mut batches = Vec::new();
        while let Some(batch) = Batch::first(&changes) {
            changes.drain(..batch.len());
            batches.push(batch);
        }
        let members = |ids: std::ops::Range<u64>| ids.map(member).collect::<Vec<_>>();
        let expected = [
            Batch::Entered(one.clone(), members(0..512)),
            Batch::Entered(one.clone(), members(512..600)),
            Batch::Entered(other.clone(), members(1..2)),
            Batch::Left(other.clone(), vec![MemberId(1), MemberId(2)]),
            Batch::Left(one, vec![MemberId(3)]),
            Batch::Announced(other),
            Batch::WrittenAgain(7),
        ];
        assert_eq!(batches, expected);
    }
}
