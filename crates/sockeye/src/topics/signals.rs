//! What this node knows of the others, and the signals whose answers it waits for.

use std::collections::{HashMap, HashSet};

use sockeye_pubsub::engine::NodeId;
use tokio::sync::Notify;

use crate::sync::Mutex;

/// What this node knows of the others, and the signals whose answers it waits for.
#[derive(Default)]
pub(super) struct Signals {
    pub(super) live: Mutex<Vec<NodeId>>,
    /// The nodes that have answered each signal.
    pub(super) waiting: Mutex<HashMap<u64, HashSet<NodeId>>>,
    pub(super) answered: Notify,
}
