//! Publishing: a future that is done when the engine has ordered the message.

use std::borrow::Cow;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use sockeye_pubsub::{
    Body, KeyScope, MessageId, Position, Publication, PublishError, PublishKey, TopicName,
};
use tokio::sync::oneshot;

use super::backend::Backend;
use super::handle::Topics;
use super::published::{Published, Sent, stopped};
use super::surroundings::random;
use crate::endpoint::{Encoder, encoded};
use crate::error::ErrorChain;
use crate::proto::Outgoing;
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

impl Topics {
    /// Publishes a message to a topic. Await it, or [queue](Publish::queue) it.
    ///
    /// It is done when the engine has ordered the message, and stored it if the topic has history. That does not mean that
    /// a subscriber has it.
    ///
    /// With the memory engine, messages that the caller sends to a session after the await come behind this one.
    pub fn publish<'t>(
        &self,
        topic: impl Into<Cow<'t, str>>,
        message: impl Into<Outgoing>,
    ) -> Publish<'t> {
        let message: Outgoing = message.into();
        Publish::new(self.clone(), topic.into(), Ok(message.into()))
    }

    /// Encodes an object and publishes it: `publish_object("orders", Json(&order))`. An object may be given by reference
    /// too. An error of the encoder comes when the publish is awaited or queued.
    pub fn publish_object<'t>(
        &self,
        topic: impl Into<Cow<'t, str>>,
        object: impl Encoder,
    ) -> Publish<'t> {
        let message = encoded(&object);
        let message = message.map(Body::from);
        let message =
            message.map_err(|error| PublishError::Encode(ErrorChain::new(&error).to_string()));
        Publish::new(self.clone(), topic.into(), message)
    }

    /// Begins to publish: the memory engine is done at once.
    pub(super) fn begin(
        &self,
        topic: &str,
        body: Body,
        key: Option<PublishKey>,
    ) -> Result<Begun, PublishError> {
        let inner = &*self.0;
        TopicName::check(topic).map_err(PublishError::Invalid)?;
        let rules = inner.rules(topic).map_err(PublishError::Denied)?;
        if body.len() > rules.max_message {
            return Err(PublishError::TooLarge {
                len: body.len(),
                limit: rules.max_message,
            });
        }
        if let Some(key) = &key {
            if rules.history.is_off() {
                return Err(PublishError::Key("the topic has no history"));
            }
            if key.key.is_empty() || key.key.len() > MAX_KEY {
                return Err(PublishError::Key("a key has 1 to 255 bytes"));
            }
        }
        let publication = Publication {
            id: MessageId::new(random()),
            body,
            key,
        };
        match &inner.backend {
            Backend::Memory(engine) => {
                let position = engine.publish(topic, publication, rules.history)?;
                self.0.work();
                Ok(Begun::Done(position))
            }
            Backend::Networked(engine) => {
                let engine = Arc::clone(engine);
                let topic = TopicName::new(topic).map_err(PublishError::Invalid)?;
                let history = rules.history;
                Ok(Begun::Waiting(Box::pin(async move {
                    engine.publish(&topic, publication, history).await
                })))
            }
        }
    }

    pub(super) fn queue(
        &self,
        topic: &str,
        message: Body,
        key: Option<PublishKey>,
    ) -> Result<PublishHandle, PublishError> {
        Ok(PublishHandle(match self.begin(topic, message, key)? {
            Begun::Done(position) => Handled::Done(Some(Published::answered(Ok(position)))),
            Begun::Waiting(sent) => {
                Handled::Waiting(self.0.queue.push(sent, |queue| self.0.spawn(queue))?)
            }
        }))
    }

    /// Publishes a client's message, which was allowed.
    #[cfg(feature = "topics-wire")]
    pub(super) async fn publish_as_client(
        &self,
        topic: &str,
        body: Body,
        key: Option<PublishKey>,
    ) -> Result<Published, PublishError> {
        Publish::new(self.clone(), topic.into(), Ok(body))
            .client_key(key)
            .await
    }
}

/// The longest key, in bytes.
const MAX_KEY: usize = 255;

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

    /// Makes the publish safe to repeat. The engine remembers the key for 5 minutes. Another message with this key for the
    /// topic is not published, and its answer is the position of the first one. Only for topics with history. A key has 1 to
    /// 255 bytes.
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
    /// [`PublishError::Full`] if 4,096 publishes wait for the engine. The errors of the message itself come at once too.
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

impl Future for PublishHandle {
    type Output = Result<Published, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Handled::Done(outcome) => outcome.take().map_or(Poll::Pending, Poll::Ready),
            Handled::Waiting(answer) => Pin::new(answer)
                .poll(cx)
                .map(|answer| answer.unwrap_or_else(|_| Err(stopped()))),
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
