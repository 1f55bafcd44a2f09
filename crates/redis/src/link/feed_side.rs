//! The feed of the link while commands work: a life, or the attempts to begin one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::sleep;

use super::Shared;
use super::life::{Life, News};
use crate::failure::ConnectError;

/// The feed of the link.
pub(super) enum FeedSide {
    Open(Life),
    Opening(Opening),
}

/// A pause, and an attempt to open a feed.
pub(super) struct Opening {
    attempt: Pin<Box<dyn Future<Output = Result<Life, ConnectError>> + Send>>,
    failed: u32,
}

/// What the feed tells the link.
#[derive(Debug)]
pub(super) enum FeedNews {
    Life(News),
    /// The feed is open again.
    Opened,
    /// An attempt failed. There is a next one.
    Failed(ConnectError),
}

impl FeedSide {
    /// Begins to open a feed, after this many attempts that failed.
    pub(super) fn opening(shared: &Arc<Shared>, failed: u32) -> Self {
        let shared = Arc::clone(shared);
        Self::Opening(Opening {
            attempt: Box::pin(async move {
                sleep(shared.pauses.of_feed(failed)).await;
                Life::open(&shared).await
            }),
            failed,
        })
    }

    /// Waits for news. Safe to drop.
    pub(super) async fn news(&mut self, shared: &Arc<Shared>) -> FeedNews {
        match self {
            Self::Open(life) => FeedNews::Life(life.news().await),
            Self::Opening(opening) => {
                let failed = opening.failed;
                match opening.attempt.as_mut().await {
                    Ok(life) => {
                        *self = Self::Open(life);
                        FeedNews::Opened
                    }
                    Err(error) => {
                        *self = Self::opening(shared, failed.saturating_add(1));
                        FeedNews::Failed(error)
                    }
                }
            }
        }
    }

    pub(super) fn life(&mut self) -> Option<&mut Life> {
        match self {
            Self::Open(life) => Some(life),
            Self::Opening(_) => None,
        }
    }
}

impl fmt::Debug for FeedSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(life) => f.debug_tuple("Open").field(life).finish(),
            Self::Opening(opening) => f.debug_tuple("Opening").field(&opening.failed).finish(),
        }
    }
}
