//! The seam between sessions and topics. Sessions know topics by these traits alone, because topics are made of sessions.
//! `S` is the session.

use std::any::Any;
#[cfg(feature = "topics-wire")]
use std::future::Future;
#[cfg(feature = "topics-wire")]
use std::pin::Pin;

#[cfg(feature = "topics-wire")]
use sockeye_proto::MessageBuffer;

use super::gap::Gap;

/// The topics that the sessions of an endpoint use.
pub(crate) trait SharedTopics<S>: Any + Send + Sync {
    /// Greets the client of a session that speaks the subprotocol.
    #[cfg(feature = "topics-wire")]
    fn greet(&self, session: &S);

    /// Handles a frame with a header, of a session that speaks the subprotocol.
    #[cfg(feature = "topics-wire")]
    fn handle<'a>(&'a self, session: &'a S, frame: &'a mut MessageBuffer) -> Handling<'a>;
}

/// The future of handling a frame.
#[cfg(feature = "topics-wire")]
pub(crate) type Handling<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// What topics keep of one session.
pub(crate) trait SessionPart<S>: Any + Send + Sync {
    /// Takes the gaps that the endpoint has not been told of, in the order in which they came.
    fn take_gaps(&self) -> Vec<Gap>;

    /// Leaves all topics. The session calls it once or twice, when it ends.
    fn retire(&self, session: &S);
}
