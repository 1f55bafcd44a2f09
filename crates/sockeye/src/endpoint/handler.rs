//! Message handlers that are added to a live session.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::incoming::{Argument, Incoming, MessageKind};
use super::reply::{IntoReply, Reply};
use crate::error::Result;
use crate::sync::{Arc, Mutex};

/// A handler of one kind of message, made by [`whole`].
pub struct MessageHandler {
    kind: MessageKind,
    call: Call,
}

type Call = Box<dyn FnMut(Incoming<'_>) -> Running + Send>;
pub(super) type Running = Pin<Box<dyn Future<Output = Result<Reply<'static>>> + Send>>;

/// A handler of whole messages. The argument's type decides of which kind: `String` and
/// [`Text`](crate::Text) take text, `Vec<u8>` and `Bytes` binary, [`Pong`](super::Pong) pongs. What it
/// returns is sent back.
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
pub fn whole<A, F, Fut>(mut handler: F) -> MessageHandler
where
    A: for<'m> Argument<'m>,
    F: FnMut(A) -> Fut + Send + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoReply<'static>,
{
    MessageHandler {
        kind: <A as Argument<'static>>::KIND,
        call: Box::new(move |message| match A::from_message(message) {
            Ok(argument) => {
                let running = handler(argument);
                Box::pin(async move { running.await.into_reply() })
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }),
    }
}

impl MessageHandler {
    pub(super) fn call(&mut self, message: Incoming<'_>) -> Running {
        (self.call)(message)
    }
}

impl fmt::Debug for MessageHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageHandler")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// The session has a handler for that kind of message already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has a handler for {0} messages already")]
pub struct HandlerExists(pub MessageKind);

/// A session's handlers: one for each kind.
#[derive(Debug, Default)]
pub(super) struct Handlers {
    // At most one for each kind.
    added: Vec<(MessageKind, Arc<Mutex<MessageHandler>>)>,
    // No message comes any more. A handler that was kept then would keep the session that it holds.
    retired: bool,
}

impl Handlers {
    pub(super) fn add(&mut self, handler: MessageHandler) -> Result<(), HandlerExists> {
        let kind = handler.kind;
        if self.of(kind).is_some() {
            return Err(HandlerExists(kind));
        }
        if !self.retired {
            self.added.push((kind, Arc::new(Mutex::new(handler))));
        }
        Ok(())
    }

    pub(super) fn of(&self, kind: MessageKind) -> Option<Arc<Mutex<MessageHandler>>> {
        let found = self.added.iter().find(|(known, _)| *known == kind);
        found.map(|(_, handler)| Arc::clone(handler))
    }

    /// Takes the handler of a kind away, to be dropped where no lock is held: what it holds is the
    /// application's.
    pub(super) fn remove(&mut self, kind: MessageKind) -> Option<Arc<Mutex<MessageHandler>>> {
        let at = self.added.iter().position(|(known, _)| *known == kind)?;
        Some(self.added.remove(at).1)
    }

    /// The kinds that have a handler, in the order in which those were added.
    pub(super) fn kinds(&self) -> Vec<MessageKind> {
        self.added.iter().map(|(kind, _)| *kind).collect()
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
