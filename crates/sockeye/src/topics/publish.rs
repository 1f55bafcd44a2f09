//! Publishing: a future that is done when the engine has ordered the message.

use std::borrow::Cow;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use sockeye_pubsub::engine::EngineError;
use sockeye_pubsub::{Body, KeyScope, Position, PublishError, PublishKey};
use tokio::sync::oneshot;

use super::handle::Topics;
use crate::sync::Arc;

/// A message that is about to be published: await it, or [queue](Self::queue) it.
///
/// # Errors
///
/// [`PublishError`]. `PublishError::Engine` says whether the message may have been published. If it may have been, publish
/// it again with the same [key](Self::key).
///
/// # Cancel safety
///
/// From the first poll on the message may be published, also if the future is dropped.
#[must_use = "the message is published when this is awaited or queued"]
pub struct Publish<'t> {
    topics: Topics,
    topic: Cow<'t, str>,
    message: Result<Body, PublishError>,
    key: Option<PublishKey>,
}

/// A message that the engine has ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    position: Option<Position>,
}

/// A future that completes when a queued message is ordered. To drop it changes nothing.
///
/// # Errors
///
/// [`PublishError`], as for an awaited [`Publish`].
pub struct PublishHandle(pub(super) Handled);

pub(super) enum Handled {
    Done(Option<Result<Published, PublishError>>),
    Waiting(oneshot::Receiver<Result<Published, PublishError>>),
}

impl<'t> Publish<'t> {
    pub(super) fn new(
        topics: Topics,
        topic: Cow<'t, str>,
        message: Result<Body, PublishError>,
    ) -> Self {
        Self {
            topics,
            topic,
            message,
            key: None,
        }
    }

    /// Makes the publish safe to repeat: a message with a key that was used for this topic in the last 5 minutes is not
    /// published again, and the answer is the position of the first one. Only for topics with history. A key has 1 to 255
    /// bytes.
    pub fn key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(PublishKey {
            scope: KeyScope::Server,
            key: key.into(),
        });
        self
    }

    #[cfg(feature = "topics-wire")]
    pub(super) fn client_key(mut self, key: Option<PublishKey>) -> Self {
        self.key = key;
        self
    }

    /// Publishes without waiting. Messages that one task queues for a topic keep their order.
    ///
    /// # Errors
    ///
    /// [`PublishError::Full`] if 4,096 publishes wait for the engine, and what is wrong with the message itself.
    pub fn queue(self) -> Result<PublishHandle, PublishError> {
        let Self {
            topics,
            topic,
            message,
            key,
        } = self;
        topics.queue(&topic, message?, key)
    }
}

impl<'t> IntoFuture for Publish<'t> {
    type Output = Result<Published, PublishError>;
    type IntoFuture = Publishing<'t>;

    fn into_future(self) -> Publishing<'t> {
        Publishing(State::New(self))
    }
}

/// The future of a [`Publish`].
#[must_use = "futures do nothing unless they are polled"]
pub struct Publishing<'t>(State<'t>);

enum State<'t> {
    New(Publish<'t>),
    Waiting(Sent),
    Done,
}

/// The answer of a networked engine, on its way.
pub(super) type Sent = Pin<Box<dyn Future<Output = Result<Option<Position>, EngineError>> + Send>>;

impl Future for Publishing<'_> {
    type Output = Result<Published, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match std::mem::replace(&mut self.0, State::Done) {
                State::New(publish) => {
                    let begun = publish.message.and_then(|message| {
                        publish.topics.begin(&publish.topic, message, publish.key)
                    });
                    match begun {
                        Ok(Begun::Done(position)) => {
                            return Poll::Ready(Ok(Published { position }));
                        }
                        Ok(Begun::Waiting(sent)) => self.0 = State::Waiting(sent),
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
                State::Waiting(mut sent) => {
                    let Poll::Ready(answer) = sent.as_mut().poll(cx) else {
                        self.0 = State::Waiting(sent);
                        return Poll::Pending;
                    };
                    return Poll::Ready(Published::answered(answer));
                }
                State::Done => return Poll::Pending,
            }
        }
    }
}

/// What became of a publish at once.
pub(super) enum Begun {
    Done(Option<Position>),
    Waiting(Sent),
}

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

impl Future for PublishHandle {
    type Output = Result<Published, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Handled::Done(outcome) => outcome.take().map_or(Poll::Pending, Poll::Ready),
            Handled::Waiting(answer) => Pin::new(answer)
                .poll(cx)
                .map(|answer| answer.unwrap_or_else(|_| Err(Topics::stopped()))),
        }
    }
}

impl fmt::Debug for Publish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Publishing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Publishing")
    }
}

impl fmt::Debug for PublishHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublishHandle")
    }
}
