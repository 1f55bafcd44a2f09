//! The outcome of a publish.

use std::future::Future;
use std::pin::Pin;

use sockeye_pubsub::engine::{EngineError, EngineErrorKind, WasPublished};
use sockeye_pubsub::{Position, PublishError};

/// A message that the engine has ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    pub(super) position: Option<Position>,
}

/// The answer of a networked engine, on its way.
pub(super) type Sent = Pin<Box<dyn Future<Output = Result<Option<Position>, EngineError>> + Send>>;

impl Published {
    /// Returns where the message stands in the history of its topic. `None` without history.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    pub(super) fn answered(
        answer: Result<Option<Position>, EngineError>,
    ) -> Result<Self, PublishError> {
        Ok(Self { position: answer? })
    }
}

/// Returns the error of a publish whose node has stopped.
pub(super) fn stopped() -> PublishError {
    PublishError::Engine(EngineError {
        published: WasPublished::Maybe,
        kind: EngineErrorKind::Unavailable,
        text: "the topics were stopped".to_owned(),
    })
}
