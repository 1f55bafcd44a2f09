//! The state of the link, and what the hub and operators are told of it: one line for each change.

use std::sync::Arc;

use sockeye_pubsub::engine::{EngineState, NodeId, NodeInfo};

use super::{LinkEvent, LinkState, Shared};
use crate::failure::ConnectError;
use crate::lease::Renewal;

/// What the log lines of the crate are filtered by.
pub(super) const TARGET: &str = "sockeye_redis";

/// The state of the link, and what was told of it.
#[derive(Debug)]
pub(super) struct Status {
    shared: Arc<Shared>,
    state: LinkState,
    is_slow: bool,
    /// The nodes that are live.
    live: Vec<NodeInfo>,
    /// The names under which members are listed, in order.
    incarnations: Vec<NodeId>,
    /// The nodes whose other policies were reported, by name.
    warned: Vec<(Arc<str>, u64)>,
    /// Why the last attempt to connect failed.
    failure: Option<ConnectError>,
}

/// The nodes that are remembered because their other policies were reported.
const WARNED: usize = 64;

impl Status {
    /// Makes the status of a link whose connections are open for the first time.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            state: LinkState::Starting,
            is_slow: false,
            live: Vec::new(),
            incarnations: Vec::new(),
            warned: Vec::new(),
            failure: None,
        }
    }

    /// Takes the step that follows an event. `why` is for operators.
    pub(super) fn take(&mut self, event: LinkEvent, why: Option<&str>) {
        let Some(state) = self.state.after(event) else {
            return;
        };
        self.state = state;
        match event {
            LinkEvent::Connected | LinkEvent::CommandsEnded => self.is_slow = false,
            _ => {}
        }
        // Without topics the feed is complete at once.
        let is_brief = matches!(state, LinkState::Starting | LinkState::Subscribing)
            && self.shared.reports.listening().is_empty();
        if !is_brief {
            self.tell(why);
        }
    }

    /// Notes whether the server answers slowly.
    pub(super) fn set_slow(&mut self, is_slow: bool) {
        self.is_slow = is_slow;
        self.tell(None);
    }

    /// Notes that an attempt to connect failed. The same reason is told once.
    pub(super) fn note_failure(&mut self, error: ConnectError) {
        self.take(LinkEvent::ConnectFailed, None);
        if self.failure.as_ref() != Some(&error) {
            tracing::warn!(target: TARGET, %error, "cannot connect again");
            self.failure = Some(error);
        }
    }

    /// Notes which nodes are live.
    pub(super) fn note_nodes(&mut self, renewal: Renewal) {
        let Renewal {
            live, incarnations, ..
        } = renewal;
        let shared = &self.shared;
        for node in &live {
            let warning = (Arc::clone(&node.name), node.fingerprint);
            if node.fingerprint != shared.node.fingerprint && !self.warned.contains(&warning) {
                tracing::warn!(target: TARGET, node = %node.name, "another node has other policies of topics");
                self.warned.truncate(WARNED - 1);
                self.warned.insert(0, warning);
            }
        }
        if live != self.live {
            shared.reports.events().nodes(&live);
            self.live = live;
        }
        let before = std::mem::replace(&mut self.incarnations, incarnations);
        let is_gone = |name: &NodeId| !self.incarnations.contains(name);
        if before.iter().any(is_gone) {
            // The members that stood under this name alone are listed no longer.
            shared.reports.events().any_members_changed();
        }
    }

    /// Tells of a change of the engine's state.
    fn tell(&mut self, why: Option<&str>) {
        let state = self.state.to_engine(self.is_slow);
        if self.shared.state.send_replace(state) == state {
            return;
        }
        let server = &self.shared.connector;
        match state {
            EngineState::Ready => {
                self.failure = None;
                tracing::info!(target: TARGET, %server, "connected");
            }
            // The first subscriptions are no trouble.
            EngineState::Degraded(what) if self.state == LinkState::Starting => {
                tracing::debug!(target: TARGET, %server, "{what}");
            }
            EngineState::Degraded(what) => tracing::warn!(target: TARGET, %server, why, "{what}"),
            EngineState::Down if self.state == LinkState::Stopped => {
                tracing::info!(target: TARGET, %server, "stopped");
            }
            EngineState::Down => tracing::warn!(target: TARGET, %server, why, "lost the server"),
        }
        self.shared.reports.events().state(state);
    }
}
