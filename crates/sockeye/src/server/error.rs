//! The errors of a server that does not start.

use std::io;

use crate::error::Error;
use crate::router::RouteError;

/// Why a server cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The endpoints contradict each other, or themselves.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// The address cannot be bound.
    #[error("cannot bind")]
    Io(#[from] io::Error),
}

/// Why endpoints cannot be deployed. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DeploymentError(#[from] Contradiction);

/// What contradicts what.
#[derive(Debug, thiserror::Error)]
pub(super) enum Contradiction {
    /// A path of an endpoint is wrong, or another endpoint claims the same paths.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The history of a topic may be larger than what a session may take at once.
    #[cfg(feature = "topics")]
    #[error(
        "the history of topic pattern `{pattern}` may have {bytes} bytes, which is more than half of the \
         outbox limit of {limit} bytes; lower `History::bytes`, or raise `ServerBuilder::outbox_limit`"
    )]
    History {
        pattern: String,
        bytes: usize,
        limit: usize,
    },
}

impl From<RouteError> for DeploymentError {
    fn from(error: RouteError) -> Self {
        Self(error.into())
    }
}

impl From<BindError> for Error {
    fn from(error: BindError) -> Self {
        Self::Server(error.into())
    }
}

impl From<DeploymentError> for Error {
    fn from(error: DeploymentError) -> Self {
        Self::Server(error.into())
    }
}
