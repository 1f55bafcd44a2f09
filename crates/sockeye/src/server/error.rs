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
pub struct DeploymentError(pub(super) RouteError);

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
