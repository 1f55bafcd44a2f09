//! The tasks that serve all connections of a runtime. Each runtime has at most one of each.

pub(crate) mod deliverer;
pub(crate) mod sweeper;
