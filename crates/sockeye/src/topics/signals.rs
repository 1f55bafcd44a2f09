//! What this node knows of the others, and the signals whose answers it waits for.

use std::collections::{HashMap, HashSet};

use sockeye_pubsub::engine::NodeId;
use tokio::sync::Notify;

use crate::sync::{Mutex, lock};

/// What this node knows of the others, and the signals whose answers it waits for.
#[derive(Default)]
pub(super) struct Signals {
    pub(super) live: Mutex<Vec<NodeId>>,
    /// The nodes that have answered each signal.
    pub(super) waiting: Mutex<HashMap<u64, HashSet<NodeId>>>,
    pub(super) answered: Notify,
}

impl Signals {
    /// Begins to count the answers to a signal, until the guard is dropped.
    pub(super) fn begin(&self, number: u64) -> Signalling<'_> {
        lock(&self.waiting).insert(number, HashSet::new());
        Signalling {
            signals: self,
            number,
        }
    }
}

/// A signal whose answers are counted.
pub(super) struct Signalling<'a> {
    signals: &'a Signals,
    number: u64,
}

impl Drop for Signalling<'_> {
    fn drop(&mut self) {
        lock(&self.signals.waiting).remove(&self.number);
    }
}
