//! What a caller brings, so that its engine can be checked: engines on one backend, a pace, and faults.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sockeye_pubsub::Engine;
use sockeye_pubsub::engine::NodeId;

/// The future of a backend's answer.
pub type Wait<'a, T = ()> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Engines that share one backend, and what a check may do to them.
///
/// A check names its own topics, so that many checks may run on one backend. The faults have defaults that do nothing; a
/// check asks only for faults that [`capabilities`](Self::capabilities) names.
pub trait Backend: Send + Sync {
    /// Returns what the checks may ask for.
    fn capabilities(&self) -> &[Capability];

    /// Makes an engine on this backend. The check starts it.
    fn engine(&self) -> Wait<'_, Arc<dyn Engine>>;

    /// Lets time pass on the engine's clock.
    fn pass(&self, time: Duration) -> Wait<'_>;

    /// Ends when an event that has not come until now counts as missing. An engine whose futures are ready at once needs no
    /// time for it.
    fn overdue(&self) -> Wait<'_>;

    /// Ends when an event that must not come would have come.
    fn quiet(&self) -> Wait<'_>;

    /// Lets the backend forget the topics to which nothing listens, as after a loss of its memory.
    fn forget(&self) -> Wait<'_> {
        Box::pin(ready(()))
    }

    /// Interrupts the feed of a node. It comes back by itself.
    fn cut(&self, _node: NodeId) -> Wait<'_> {
        Box::pin(ready(()))
    }

    /// Ends a node at once, as a killed process ends.
    fn kill(&self, _node: NodeId) -> Wait<'_> {
        Box::pin(ready(()))
    }

    /// Lets the backend be silent: it takes requests, and answers none until [`thaw`](Self::thaw).
    fn freeze(&self) -> Wait<'_> {
        Box::pin(ready(()))
    }

    /// Lets a silent backend answer again.
    fn thaw(&self) -> Wait<'_> {
        Box::pin(ready(()))
    }

    /// Lets the next publish of a node reach the engine only after this time.
    fn delay(&self, _node: NodeId, _time: Duration) -> Wait<'_> {
        Box::pin(ready(()))
    }
}

/// What a check may need of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Several engines share the backend.
    Nodes,
    /// [`Backend::pass`] moves a clock, so that hours cost nothing. Without it the time is real.
    Clock,
    /// The engine has a store for presence.
    Presence,
    /// [`Backend::forget`] works.
    Forget,
    /// [`Backend::cut`] works.
    Cut,
    /// [`Backend::kill`] works.
    Kill,
    /// [`Backend::freeze`] and [`Backend::thaw`] work.
    Freeze,
    /// [`Backend::delay`] works, and the engine refuses publishes that come too late.
    Delay,
}
