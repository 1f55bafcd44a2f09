//! Message handlers that an application adds to an open session.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::incoming::{Argument, Incoming, IncomingKind};
use super::reply::{IntoReply, Reply};
use crate::error::HandlerResult;
use crate::sync::{Arc, Mutex};

/// A handler of one kind of message, or of text and binary messages alike, made by [`whole`] or [`partial`].
pub struct MessageHandler {
    kind: IncomingKind,
    // It takes binary messages too.
    either: bool,
    in_parts: bool,
    call: Call,
}

type Call = Box<dyn FnMut(Incoming<'_>) -> Running + Send>;
pub(super) type Running = Pin<Box<dyn Future<Output = HandlerResult<Reply<'static>>> + Send>>;

/// Creates a handler of whole messages. The type of its argument decides the kind: `String` and
/// [`Text`](crate::proto::Text) take text, `Vec<u8>` and `Bytes` binary messages, [`Message`](crate::Message) both,
/// [`Ping`](super::Ping) pings, [`Pong`](super::Pong) pongs. The returned reply is sent to the peer.
///
/// A handler that takes a [`TextReader`](super::TextReader) or a [`BinaryReader`](super::BinaryReader) is called when a
/// message begins, and reads it while it arrives.
///
/// ```
/// use sockeye::endpoint::whole;
/// use sockeye::{Endpoint, HandlerResult, Session};
///
/// struct Greeter;
///
/// impl Endpoint for Greeter {
///     async fn on_open(&mut self, session: &Session) -> HandlerResult {
///         session.add_message_handler(whole(|name: String| async move { format!("hello {name}") }))?;
///         Ok(())
///     }
/// }
/// ```
pub fn whole<A, F, Fut>(handler: F) -> MessageHandler
where
    A: for<'m> Argument<'m>,
    F: FnMut(A) -> Fut + Send + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoReply<'static>,
{
    MessageHandler::new(handler)
}

/// Creates a handler that is called for each part of a message when it arrives. It takes a pair such as `(Text, bool)`
/// or `(Bytes, bool)`: the part, whose type decides the kind of message, and whether it is the last part. The returned
/// reply is sent to the peer.
///
/// A part is one fragment, or less, and at most some 128 KiB. Of a compressed message it is the inflated data that was
/// available. Text is cut between characters. Only the last part may be empty. While the handler runs, one more part is
/// read.
///
/// ```
/// use bytes::Bytes;
/// use sockeye::endpoint::partial;
/// use sockeye::{Endpoint, HandlerResult, Session};
///
/// struct Counter;
///
/// impl Endpoint for Counter {
///     async fn on_open(&mut self, session: &Session) -> HandlerResult {
///         let mut count = 0;
///         session.add_message_handler(partial(move |(part, is_last): (Bytes, bool)| {
///             count += part.len();
///             let reply = is_last.then(|| format!("{} bytes", std::mem::take(&mut count)));
///             async { reply }
///         }))?;
///         Ok(())
///     }
/// }
/// ```
pub fn partial<P, F, Fut>(handler: F) -> MessageHandler
where
    (P, bool): for<'m> Argument<'m>,
    F: FnMut((P, bool)) -> Fut + Send + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoReply<'static>,
{
    MessageHandler::new(handler)
}

impl MessageHandler {
    fn new<A, F, Fut>(mut handler: F) -> Self
    where
        A: for<'m> Argument<'m>,
        F: FnMut(A) -> Fut + Send + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoReply<'static>,
    {
        Self {
            kind: <A as Argument<'static>>::KIND,
            either: <A as Argument<'static>>::EITHER,
            in_parts: <A as Argument<'static>>::IN_PARTS,
            call: Box::new(move |message| match A::from_message(message) {
                Ok(argument) => {
                    let running = handler(argument);
                    Box::pin(async move { running.await.into_reply() })
                }
                Err(error) => Box::pin(std::future::ready(Err(error))),
            }),
        }
    }

    pub(super) fn call(&mut self, message: Incoming<'_>) -> Running {
        (self.call)(message)
    }
}

impl fmt::Debug for MessageHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageHandler")
            .field("kind", &self.kind)
            .field("either", &self.either)
            .field("in_parts", &self.in_parts)
            .finish_non_exhaustive()
    }
}

/// An error: the session already has a handler for that kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has a handler for {0} messages already")]
pub struct HandlerExists(pub IncomingKind);

/// A handler that was added to a session.
#[derive(Debug)]
pub(super) struct Added {
    kind: IncomingKind,
    either: bool,
    in_parts: bool,
    handler: Arc<Mutex<MessageHandler>>,
}

/// The handlers of a session.
#[derive(Debug)]
pub(super) enum Handlers {
    /// At most one for each kind, in the order of their addition. Not a `Vec`: each idle session has room for one of these.
    Added(Box<[Added]>),
    /// No message is delivered any more, and no handler is kept: a handler may hold its own session, which would leak.
    Retired,
}

impl Added {
    fn takes(&self, kind: IncomingKind) -> bool {
        self.kind == kind || self.either && kind == IncomingKind::Binary
    }
}

impl Default for Handlers {
    fn default() -> Self {
        Self::Added(Box::default())
    }
}

impl Handlers {
    pub(super) fn add(&mut self, handler: MessageHandler) -> Result<(), HandlerExists> {
        let MessageHandler {
            kind,
            either,
            in_parts,
            ..
        } = handler;
        let second = either.then_some(IncomingKind::Binary);
        for kind in [kind].into_iter().chain(second) {
            if self.find(kind).is_some() {
                return Err(HandlerExists(kind));
            }
        }
        if let Self::Added(all) = self {
            let added = Added {
                kind,
                either,
                in_parts,
                handler: Arc::new(Mutex::new(handler)),
            };
            let before = std::mem::take(all).into_iter();
            *all = before.chain([added]).collect();
        }
        Ok(())
    }

    /// Returns the handler for a kind. A handler of whole messages gets no parts.
    pub(super) fn of(
        &self,
        kind: IncomingKind,
        is_part: bool,
    ) -> Option<Arc<Mutex<MessageHandler>>> {
        let found = self.find(kind).filter(|added| added.in_parts || !is_part);
        found.map(|added| Arc::clone(&added.handler))
    }

    fn find(&self, kind: IncomingKind) -> Option<&Added> {
        self.all().iter().find(|added| added.takes(kind))
    }

    fn all(&self) -> &[Added] {
        match self {
            Self::Added(all) => all,
            Self::Retired => &[],
        }
    }

    /// Removes the handler for a kind, and returns it. The caller drops it without a lock, because the drop runs code
    /// of the application.
    pub(super) fn remove(&mut self, kind: IncomingKind) -> Option<Arc<Mutex<MessageHandler>>> {
        let Self::Added(all) = self else {
            return None;
        };
        let (removed, left): (Vec<_>, Vec<_>) = std::mem::take(all)
            .into_iter()
            .partition(|added| added.takes(kind));
        *all = left.into();
        removed.into_iter().next().map(|removed| removed.handler)
    }

    /// Returns whether the handlers were removed for good.
    #[cfg(feature = "topics")]
    pub(super) fn is_retired(&self) -> bool {
        matches!(self, Self::Retired)
    }

    /// Returns the kinds that have a handler, in the order of their addition.
    pub(super) fn kinds(&self) -> Vec<IncomingKind> {
        let kinds = |added: &Added| {
            let second = added.either.then_some(IncomingKind::Binary);
            [added.kind].into_iter().chain(second)
        };
        self.all().iter().flat_map(kinds).collect()
    }

    /// Returns whether the handler for a kind takes parts; `None` if there is no such handler.
    pub(super) fn takes_parts(&self, kind: IncomingKind) -> Option<bool> {
        self.find(kind).map(|added| added.in_parts)
    }

    /// Removes all handlers for good, and returns them. The caller drops them without a lock, because the drop runs
    /// code of the application.
    pub(super) fn retire(&mut self) -> Self {
        std::mem::replace(self, Self::Retired)
    }
}
