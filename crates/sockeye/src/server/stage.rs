//! The stages of a server's life: what its tasks wait for when it stops.

/// The stage of a server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Serving,
    /// The server accepts no more connections, and open sessions end in order.
    Stopping,
    /// The sessions that are left are dropped.
    Dropping,
}
