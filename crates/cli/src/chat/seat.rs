//! The connection of a member. Rooms know only the trait, so they are tested without sockets.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::{Deserialize, Serialize};
use sockeye::error::SendError;
use sockeye::proto::PreparedMessage;
use sockeye::topics::{Position, SubscribeError};
use sockeye::{CloseCode, Session};

use crate::audience::Listener;

/// The connection of a member. The room's topic brings it the events. [`Listener::tell`] does not send an event again; its
/// future completes when the events that were published until then are written.
pub(crate) trait Seat: Listener + Clone + fmt::Debug + Sync + 'static {
    /// Sends an event to this member alone.
    fn tell_alone(&self, event: String);

    /// Returns the id of the member.
    fn id(&self) -> String;

    /// Makes the member present in a topic on all nodes under a name, until its connection ends. A member that is present
    /// gets another name.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`], if the topic cannot take a member.
    fn appear(
        &self,
        topic: &str,
        name: &str,
    ) -> impl Future<Output = Result<(), SubscribeError>> + Send;

    /// Returns all members that are present in a topic. `None` if they cannot be read, or are too many.
    fn present(&self, topic: &str) -> impl Future<Output = Option<Vec<Present>>> + Send;

    /// Lets a raw client hear the events of the topic behind a position. A client of the subprotocol subscribes itself.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`], if the topic cannot take a subscriber.
    fn listen(
        &self,
        topic: &str,
        after: Option<Position>,
    ) -> impl Future<Output = Result<(), SubscribeError>> + Send;
}

/// A member that is present in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Present {
    pub(crate) id: String,
    /// `None` for a node of an earlier version, which did not tell it.
    pub(crate) name: Option<String>,
    /// When the member came, in milliseconds since 1970.
    pub(crate) since: u64,
}

/// What a member says of itself.
#[derive(Deserialize, Serialize)]
struct Named<'a> {
    name: Cow<'a, str>,
}

/// A session that is a member of a room.
#[derive(Clone, Debug)]
pub(crate) struct SessionSeat(pub(super) Session);

impl Seat for SessionSeat {
    fn tell_alone(&self, event: String) {
        // A full outbox closes the session with the next event for all.
        let _ = self.0.async_remote().send_text(event);
    }

    fn id(&self) -> String {
        self.0.member_id().to_string()
    }

    async fn appear(&self, topic: &str, name: &str) -> Result<(), SubscribeError> {
        let name = Cow::Borrowed(name);
        let info = serde_json::to_string(&Named { name }).expect("a text has a form in JSON");
        self.0.subscribe(topic).member(info).await.map(drop)
    }

    async fn present(&self, topic: &str) -> Option<Vec<Present>> {
        let listed = self.0.topics().members(topic, usize::MAX).await;
        let listed = listed.ok().filter(|listed| listed.all)?;
        let present = listed.members.into_iter().map(|member| {
            let named = member.info.as_deref().map(serde_json::from_str);
            let named: Option<Named<'_>> = named.and_then(Result::ok);
            Present {
                id: member.id.to_string(),
                name: named.map(|named| named.name.into_owned()),
                since: member.since,
            }
        });
        Some(present.collect())
    }

    async fn listen(&self, topic: &str, after: Option<Position>) -> Result<(), SubscribeError> {
        if self.0.speaks_topics() {
            return Ok(());
        }
        let subscribe = self.0.subscribe(topic);
        match after {
            Some(position) => subscribe.after(position).await.map(drop),
            None => subscribe.await.map(drop),
        }
    }
}

impl Listener for SessionSeat {
    type Sent = Flushed;

    /// Fails when the session is closing. The topic closes a session whose outbox is full.
    fn tell(&self, _: &PreparedMessage) -> Result<Flushed, SendError> {
        if self.0.is_open() {
            Ok(Flushed(Stage::New(self.0.clone())))
        } else {
            Err(SendError::Full)
        }
    }

    fn give_up(&self) {
        let closed = self
            .0
            .close(CloseCode::TRY_AGAIN_LATER, "you read too slowly");
        debug_assert!(closed.is_ok(), "1013 may be sent");
    }
}

/// A future that completes when the session has written the messages that it held at the first poll.
pub(crate) struct Flushed(Stage);

enum Stage {
    // Most are never polled, so they take no memory for a flush.
    New(Session),
    Flushing(Pin<Box<dyn Future<Output = Result<(), SendError>> + Send>>),
}

impl Future for Flushed {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Stage::New(session) = &self.0 {
            let session = session.clone();
            let flush = async move { session.basic_remote().flush().await };
            self.0 = Stage::Flushing(Box::pin(flush));
        }
        match &mut self.0 {
            Stage::New(_) => Poll::Pending,
            Stage::Flushing(flush) => flush.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Flushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flushed")
    }
}
