//! The names under which a node writes its members. A node takes a new name when the server may have lost what stands under
//! the old one: a join, or a leave, that the server had confirmed.
//!
//! ```text
//!   take_new ──▶ present, former… ── members are written again ──▶ forget ──▶ present
//! ```
//!
//! Readers list members under each name that has a lease, and a member once. So the members of a node stay listed while the
//! node writes them again. Members that the server has wrongly kept are gone when the former names are given up.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sockeye_pubsub::engine::NodeId;

/// The names of this node.
#[derive(Debug)]
pub(crate) struct Incarnation(Mutex<Names>);

/// The names of a node at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// The name under which the node writes now.
    pub(crate) present: NodeId,
    /// The names before it whose members were not all written again, the oldest first. Mostly empty.
    pub(crate) former: Vec<NodeId>,
}

/// The former names that are known at most. The lease of an older one lapses.
const FORMER: usize = 8;

impl Incarnation {
    pub(crate) fn new(id: NodeId) -> Self {
        Self(Mutex::new(Names {
            present: id,
            former: Vec::new(),
        }))
    }

    /// Returns the names. It allocates nothing while there are no former ones.
    pub(crate) fn names(&self) -> Names {
        self.lock().clone()
    }

    /// Returns the present name.
    pub(crate) fn id(&self) -> NodeId {
        self.lock().present
    }

    /// Takes a new name.
    pub(crate) fn take_new(&self) {
        let mut names = self.lock();
        let old = std::mem::replace(&mut names.present, NodeId(rand::random()));
        if names.former.len() == FORMER {
            names.former.remove(0);
        }
        names.former.push(old);
    }

    /// Forgets former names.
    pub(crate) fn forget(&self, gone: &[NodeId]) {
        self.lock().former.retain(|name| !gone.contains(name));
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_knows_its_newest_former_names() {
        let incarnation = Incarnation::new(NodeId(7));
        let mut taken = vec![NodeId(7)];
        for _ in 0..FORMER + 1 {
            incarnation.take_new();
            taken.push(incarnation.id());
        }
        let names = incarnation.names();
        assert_eq!(names.present, taken[FORMER + 1]);
        assert_eq!(names.former, taken[1..=FORMER]);
        incarnation.forget(&names.former[1..]);
        assert_eq!(incarnation.names().former, taken[1..2]);
    }
}
