//! The application's word about what clients may do with topics.

use std::any::Any;
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::{Duration, SystemTime};

use sockeye_pubsub::Patterns;
use sockeye_pubsub::TopicName;

use crate::endpoint::Session;
use crate::endpoint::life::CatchPanic;
use crate::proto::Outgoing;
use crate::sync::Arc;

/// Decides what clients may do, after their pattern has allowed it. It may query a database.
///
/// It is asked for the clients of the subprotocol, and for [`Subscribe::as_client`](super::Subscribe::as_client). Server
/// code is not asked. Both methods deny by default.
///
/// With an engine for many nodes, an eviction by another node may get lost. A node that notices this asks again about each
/// subscription of a client, at most 1,000 in a second, and ends those that are denied now.
///
/// A call that takes longer than 5 s is dropped and counts as denied, and so does a call that panics.
///
/// ```
/// use sockeye::Session;
/// use sockeye::topics::{Authorize, Denied, Grant, Topic};
///
/// /// Lets each client with a principal subscribe.
/// struct LoggedIn;
///
/// impl Authorize for LoggedIn {
///     async fn subscribe(&self, session: &Session, _: &Topic) -> Result<Grant, Denied> {
///         match session.principal() {
///             Some(_) => Ok(Grant::default()),
///             None => Err(Denied::new("log in first")),
///         }
///     }
/// }
/// ```
pub trait Authorize: Send + Sync + 'static {
    /// Decides whether a client may subscribe to a topic.
    ///
    /// # Errors
    ///
    /// [`Denied`], whose text the client gets.
    fn subscribe(
        &self,
        session: &Session,
        topic: &Topic,
    ) -> impl Future<Output = Result<Grant, Denied>> + Send {
        let _ = (session, topic);
        std::future::ready(Err(Denied::default()))
    }

    /// Decides whether a client may publish a message to a topic. Returns the message to publish, which may be another one.
    ///
    /// # Errors
    ///
    /// [`Denied`], whose text the client gets.
    fn publish(
        &self,
        session: &Session,
        topic: &Topic,
        message: Outgoing,
    ) -> impl Future<Output = Result<Outgoing, Denied>> + Send {
        let _ = (session, topic, message);
        std::future::ready(Err(Denied::default()))
    }
}

/// A topic, as the code that decides about it sees it.
#[derive(Clone, Debug)]
pub struct Topic {
    name: TopicName,
    pattern: Option<Box<str>>,
    variables: Vec<(Arc<str>, Box<str>)>,
}

/// A permission to subscribe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    until: Option<SystemTime>,
}

/// A refusal, with a text for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Denied {
    text: String,
}

impl Topic {
    pub(super) fn new(name: TopicName, patterns: &Patterns) -> Self {
        let matched = patterns.find(&name);
        let pattern = matched.and_then(|matched| matched.pattern());
        let variables = matched.into_iter().flat_map(|matched| matched.variables());
        let variables = variables.map(|(name, value)| (Arc::clone(name), value.into()));
        Self {
            pattern: pattern.map(Into::into),
            variables: variables.collect(),
            name,
        }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the pattern that the name matches. `None` if it matches none.
    pub fn pattern(&self) -> Option<&str> {
        self.pattern.as_deref()
    }

    /// Returns the text that a variable of the pattern stands for.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let mut variables = self.variables.iter();
        variables.find_map(|(known, value)| (**known == *name).then_some(&**value))
    }
}

impl Grant {
    /// Returns a permission that ends at a time. The subscription ends then, and the client may ask again.
    pub fn until(time: SystemTime) -> Self {
        Self { until: Some(time) }
    }

    pub(super) fn end(self) -> Option<SystemTime> {
        self.until
    }
}

impl Denied {
    /// Makes a refusal with a text that the client gets.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

impl Default for Denied {
    fn default() -> Self {
        Self::new("not allowed")
    }
}

type Deciding<'a, T> = Pin<Box<dyn Future<Output = Result<T, Denied>> + Send + 'a>>;

/// [`Authorize`] as a trait object.
pub(super) trait Authority: Send + Sync {
    fn subscribe<'a>(&'a self, session: &'a Session, topic: &'a Topic) -> Deciding<'a, Grant>;
    // Only clients of the subprotocol publish under rules.
    #[cfg_attr(not(feature = "topics-wire"), expect(dead_code))]
    fn publish<'a>(
        &'a self,
        session: &'a Session,
        topic: &'a Topic,
        message: Outgoing,
    ) -> Deciding<'a, Outgoing>;
}

impl<A: Authorize> Authority for A {
    fn subscribe<'a>(&'a self, session: &'a Session, topic: &'a Topic) -> Deciding<'a, Grant> {
        Box::pin(Authorize::subscribe(self, session, topic))
    }

    fn publish<'a>(
        &'a self,
        session: &'a Session,
        topic: &'a Topic,
        message: Outgoing,
    ) -> Deciding<'a, Outgoing> {
        Box::pin(Authorize::publish(self, session, topic, message))
    }
}

/// The time that a decision has.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Waits for a decision, which code of the application makes. The future calls that code when it is polled, so a panic of
/// the call itself is caught too.
pub(super) async fn decided<T>(
    deciding: impl Future<Output = Result<T, Denied>>,
) -> Result<T, Denied> {
    let guarded = pin!(CatchPanic(pin!(deciding)));
    match tokio::time::timeout(TIMEOUT, guarded).await {
        Ok(Ok(decision)) => decision,
        Ok(Err(panic)) => {
            log_panic(&*panic);
            Err(Denied::new("the server could not decide"))
        }
        Err(_) => Err(Denied::new("the server did not decide in time")),
    }
}

fn log_panic(panic: &(dyn Any + Send)) {
    let panic = crate::endpoint::report::panic_text(panic);
    tracing::error!(panic, "`Authorize` panicked");
}
