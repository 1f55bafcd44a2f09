//! The link to the server: both connections, kept open for as long as the engine runs.
//!
//! [`Shared`] is what calls of the engine use. A [`Runner`] is the task that keeps the connections open.

mod feed_side;
mod life;
mod pause;
mod run;
mod state;
mod status;

use std::fmt;
use std::sync::Arc;

use sockeye_pubsub::engine::{EngineState, NodeInfo};
use tokio::sync::watch;

pub(crate) use self::pause::Pauses;
pub(crate) use self::run::{Connected, Runner};
use self::state::{LinkEvent, LinkState};
use crate::commands::CurrentCommands;
use crate::connection::Connector;
use crate::layout::Layout;
use crate::lease::Lease;
use crate::reports::Reports;
use crate::subscribe::Orders;

/// What the link and the calls of the engine share.
pub(crate) struct Shared {
    pub(crate) connector: Connector,
    pub(crate) layout: Layout,
    pub(crate) pauses: Pauses,
    pub(crate) current: Arc<CurrentCommands>,
    pub(crate) lease: Lease,
    pub(crate) node: NodeInfo,
    pub(crate) reports: Arc<Reports>,
    pub(crate) orders: Arc<Orders>,
    pub(crate) state: watch::Sender<EngineState>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("connector", &self.connector)
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}
