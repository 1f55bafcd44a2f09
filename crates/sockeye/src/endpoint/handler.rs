//! Message handlers that are added to a live session.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::incoming::{Argument, Incoming, MessageKind};
use super::reply::{IntoReply, Reply};
use crate::error::Result;
use crate::sync::{Arc, Mutex};

/// A handler of one kind of message, made by [`whole`] or [`partial`].
pub struct MessageHandler {
    kind: MessageKind,
    in_parts: bool,
    call: Call,
}

type Call = Box<dyn FnMut(Incoming<'_>) -> Running + Send>;
pub(super) type Running = Pin<Box<dyn Future<Output = Result<Reply<'static>>> + Send>>;

/// A handler of whole messages. The argument's type decides of which kind: `String` and
/// [`Text`](crate::Text) take text, `Vec<u8>` and `Bytes` binary, [`Pong`](super::Pong) pongs. What it
/// returns is sent back. With [`TextReader`](super::TextReader) and [`BinaryReader`](super::BinaryReader) it is
/// called when a message begins, and reads it as it comes.
///
/// ```
/// use sockeye::{Endpoint, Result, Session, whole};
///
/// struct Greeter;
///
/// impl Endpoint for Greeter {
///     async fn on_open(&mut self, session: &Session) -> Result {
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

/// A handler that is called for each part of a message, as it comes, with whether it is the last: with a pair
/// such as `(Text, bool)` or `(Bytes, bool)`, whose first says of which kind. What it returns is sent back.
///
/// A part is what came of one fragment, or less, never more than some 128 KiB; of a compressed message it is what
/// there was to inflate. A text is cut between characters. No part is empty but perhaps the last. The next part
/// is read while this one is handled, and no more.
///
/// ```
/// use bytes::Bytes;
/// use sockeye::{Endpoint, Result, Session, partial};
///
/// struct Counter;
///
/// impl Endpoint for Counter {
///     async fn on_open(&mut self, session: &Session) -> Result {
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
            .field("in_parts", &self.in_parts)
            .finish_non_exhaustive()
    }
}

/// The session has a handler for that kind of message already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has a handler for {0} messages already")]
pub struct HandlerExists(pub MessageKind);

#[derive(Debug)]
struct Added {
    kind: MessageKind,
    in_parts: bool,
    handler: Arc<Mutex<MessageHandler>>,
}

/// A session's handlers: one for each kind.
#[derive(Debug, Default)]
pub(super) struct Handlers {
    // At most one for each kind.
    added: Vec<Added>,
    // No message comes any more. A handler that was kept then would keep the session that it holds.
    retired: bool,
}

impl Handlers {
    pub(super) fn add(&mut self, handler: MessageHandler) -> Result<(), HandlerExists> {
        let (kind, in_parts) = (handler.kind, handler.in_parts);
        if self.find(kind).is_some() {
            return Err(HandlerExists(kind));
        }
        if !self.retired {
            self.added.push(Added {
                kind,
                in_parts,
                handler: Arc::new(Mutex::new(handler)),
            });
        }
        Ok(())
    }

    /// The handler of a kind. A part of a message goes to none that takes whole ones.
    pub(super) fn of(
        &self,
        kind: MessageKind,
        is_part: bool,
    ) -> Option<Arc<Mutex<MessageHandler>>> {
        let found = self.find(kind).filter(|added| added.in_parts || !is_part);
        found.map(|added| Arc::clone(&added.handler))
    }

    fn find(&self, kind: MessageKind) -> Option<&Added> {
        self.added.iter().find(|added| added.kind == kind)
    }

    /// Takes the handler of a kind away, to be dropped where no lock is held: what it holds is the
    /// application's.
    pub(super) fn remove(&mut self, kind: MessageKind) -> Option<Arc<Mutex<MessageHandler>>> {
        let at = self.added.iter().position(|added| added.kind == kind)?;
        Some(self.added.remove(at).handler)
    }

    /// The kinds that have a handler, in the order in which those were added.
    pub(super) fn kinds(&self) -> Vec<MessageKind> {
        self.added.iter().map(|added| added.kind).collect()
    }

    /// Whether messages of a kind come to a handler of this session's in parts; `None` where there is none.
    pub(super) fn takes_parts(&self, kind: MessageKind) -> Option<bool> {
        self.find(kind).map(|added| added.in_parts)
    }

    /// Gives up the handlers, to be dropped where no lock is held: what they hold is the application's.
    pub(super) fn retire(&mut self) -> Self {
        let retired = Self {
            retired: true,
            ..Self::default()
        };
        std::mem::replace(self, retired)
    }
}
