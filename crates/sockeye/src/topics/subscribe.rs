//! Subscribing: a session becomes a subscriber of a topic, with a replay of what it missed.

use std::borrow::Cow;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sockeye_pubsub::engine::Member;
use sockeye_pubsub::hub::Wants;
use sockeye_pubsub::{Known, Position, SubscribeError, TopicName};
use tokio::sync::oneshot;

use super::handle::{RETRY, Topics};
use super::join::{Answer, Join, Subscribed};
use super::joining::Joining;
use super::memberships::Membership;
use super::permission::{NUMBERS, Permission, number_of};
use super::replay;
use super::rules::permit_subscribe;
use crate::endpoint::Session;
use crate::sync::{Arc, lock};

/// A subscription that is about to come about: await it.
///
/// # Errors
///
/// [`SubscribeError`].
///
/// # Cancel safety
///
/// To drop the future cancels the subscription.
#[must_use = "the session subscribes when this is awaited"]
pub struct Subscribe<'s> {
    session: &'s Session,
    topic: Cow<'s, str>,
    wants: Wants,
    member: Option<Arc<str>>,
    is_client: bool,
}

impl<'s> Subscribe<'s> {
    /// Sends the messages behind a position first, if all of them are kept.
    pub fn after(mut self, position: Position) -> Self {
        self.wants = Wants::After(position);
        self
    }

    /// Sends the newest stored messages first, at most this many.
    pub fn recent(mut self, number: u32) -> Self {
        self.wants = Wants::Recent(number);
        self
    }

    /// Makes the session a member of the topic, which says this of itself: JSON, at most 1 KiB. Only for topics with
    /// [`Presence`](super::Presence).
    ///
    /// A longer text is refused with [`SubscribeError::MemberTooLarge`]. With the feature `topics-wire`, text that is not
    /// JSON is refused with [`SubscribeError::MemberNotJson`].
    ///
    /// A session that subscribes already says something else of itself from then on. Without `member` it says what it said.
    pub fn member(mut self, json: impl Into<Arc<str>>) -> Self {
        self.member = Some(json.into());
        self
    }

    /// Applies the rules for clients: those of the pattern, and [`Authorize`](super::Authorize). Without it server code
    /// is trusted.
    pub fn as_client(mut self) -> Self {
        self.is_client = true;
        self
    }
}

impl Session {
    /// Subscribes the session to a topic: it gets each message of the topic from now on. Await the result.
    ///
    /// To subscribe twice is one subscription. It ends with [`unsubscribe`](Self::unsubscribe), and with the session.
    ///
    /// A client of the subprotocol of topics subscribes by itself, and ignores the messages of a topic until then. So
    /// subscribe only sessions that do not [speak](Self::speaks_topics) it.
    pub fn subscribe<'s>(&'s self, topic: impl Into<Cow<'s, str>>) -> Subscribe<'s> {
        Subscribe {
            session: self,
            topic: topic.into(),
            wants: Wants::Live,
            member: None,
            is_client: false,
        }
    }

    /// Ends a subscription. Returns whether there was one. The session gets no message of the topic any more, not even one
    /// that waits to be sent in the topic's log.
    pub fn unsubscribe(&self, topic: &str) -> bool {
        let topics = self.topics_part();
        let left = topics.and_then(|topics| lock(&topics.memberships).remove(topic));
        left.is_some_and(|membership| {
            self.topics().leave(self, &membership);
            true
        })
    }

    /// Ends a subscription, if it came about by this join. Returns whether it did.
    pub(super) fn leave_if(&self, topic: &str, join: u32) -> bool {
        let topics = self.topics_part();
        let left = topics.and_then(|topics| lock(&topics.memberships).remove_of(topic, join));
        left.is_some_and(|membership| {
            self.topics().leave(self, &membership);
            true
        })
    }

    /// Returns the names of the topics that the session subscribes to, in alphabetical order.
    pub fn subscriptions(&self) -> Vec<String> {
        let Some(topics) = self.topics_part() else {
            return Vec::new();
        };
        let memberships = lock(&topics.memberships);
        memberships.names().map(ToString::to_string).collect()
    }
}

impl<'s> IntoFuture for Subscribe<'s> {
    type Output = Result<Subscribed, SubscribeError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 's>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl Subscribe<'_> {
    async fn run(self) -> Result<Subscribed, SubscribeError> {
        let topics = self.session.topics();
        let name = TopicName::new(&*self.topic).map_err(SubscribeError::Invalid)?;
        let (answer, answered) = oneshot::channel();
        let (session, member) = (self.session, self.member);
        // Rare steps are boxed: so the future is small, and its memory cheap to allocate.
        let mut joining = pin!(async {
            let permission = if self.is_client {
                let permitted = Box::pin(permit_subscribe(topics, session, &name)).await;
                Some(permitted.map_err(|denied| SubscribeError::Denied(denied.into_text()))?)
            } else {
                None
            };
            let request = JoinRequest {
                wants: self.wants,
                member,
                answer: Answer::Server(answer),
                limit: MAX_SUBSCRIPTIONS,
                permission,
            };
            topics.join(session, &name, request).await
        });
        let number = if self.is_client || self.wants != Wants::Live {
            Box::pin(topics.evictable(session, &name, joining)).await?
        } else {
            joining.as_mut().await?
        };
        let mut waiting = Waiting {
            session,
            topics,
            name: &name,
            number,
            answered,
            is_done: false,
        };
        let answer = (&mut waiting.answered).await;
        waiting.is_done = true;
        // The hub drops a join without an answer only if the session has ended.
        answer.unwrap_or(Err(SubscribeError::Closed))
    }
}

/// What a session asks for when it joins a topic.
pub(super) struct JoinRequest {
    pub(super) wants: Wants,
    pub(super) member: Option<Arc<str>>,
    pub(super) answer: Answer,
    /// The limit of the session's subscriptions.
    pub(super) limit: usize,
    /// The client's permission. `None` for server code, which is trusted.
    pub(super) permission: Option<Permission>,
}

/// Checks what a member says of itself.
fn checked_info(json: Arc<str>) -> Result<Arc<str>, SubscribeError> {
    if json.len() > MAX_MEMBER {
        return Err(SubscribeError::MemberTooLarge {
            len: json.len(),
            limit: MAX_MEMBER,
        });
    }
    #[cfg(feature = "topics-wire")]
    match sockeye_pubsub::wire::member_info(&json) {
        None => return Err(SubscribeError::MemberNotJson),
        // Others are shown it in a header, which is one line.
        Some(Cow::Owned(line)) => return Ok(line.into()),
        Some(Cow::Borrowed(_)) => {}
    }
    Ok(json)
}

/// How many subscriptions a session may have by server code.
const MAX_SUBSCRIPTIONS: usize = 10_000;
/// The longest text that a member says of itself, in bytes.
const MAX_MEMBER: usize = 1024;
/// How long a join waits for room for its replay.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(10);

impl Topics {
    /// Lets a session join a topic. The answer comes as the request says.
    pub(super) async fn join(
        &self,
        session: &Session,
        name: &TopicName,
        request: JoinRequest,
    ) -> Result<u32, SubscribeError> {
        let inner = &self.0;
        let rules = inner.rules(name).map_err(SubscribeError::Denied)?;
        let history = rules.history;
        let reserved = match request.wants {
            Wants::Live => 0,
            Wants::Recent(_) | Wants::After(_) => replay::largest(rules, name),
        };
        let member = request
            .member
            .filter(|_| rules.presence.known() != Known::Off);
        let member = member.map(checked_info).transpose()?;
        {
            let part = session.topics_part().ok_or(SubscribeError::Closed)?;
            let memberships = lock(&part.memberships);
            if memberships.len() >= request.limit && !memberships.contains(name) {
                return Err(SubscribeError::TooMany);
            }
        }
        let session = match reserved {
            0 => Joining::new(session, 0),
            bytes => Box::pin(session.reserve_replay(bytes)).await?,
        };
        let count = inner.joins.fetch_add(NUMBERS, Relaxed);
        let number = number_of(count, request.permission.is_some());
        let join = Join {
            number,
            answer: request.answer,
            member: member.map(|info| Member {
                id: session.member_id(),
                info: Some(info),
                principal: session.principal().map(Into::into),
                since: super::surroundings::unix_ms(),
            }),
            session,
            limit: request.limit,
            permission: request.permission,
        };
        inner.hub.join(name, history, request.wants, join);
        inner.work();
        Ok(number)
    }

    /// Takes a session out of a topic. Its membership is gone already.
    pub(super) fn leave(&self, session: &Session, membership: &Membership) {
        let inner = &self.0;
        let channel = &membership.channel;
        let is_meant = |member: &Session| member == session;
        inner.hub.leave(channel.name(), |_| {
            let left = channel.leave(membership.member, is_meant);
            usize::from(left.is_some())
        });
        let node = inner.hub.outlet();
        node.forget(session, membership);
        inner.work();
    }

    /// Ends the joins of a session that wait for their answers.
    #[cfg(feature = "topics-wire")]
    pub(super) fn cancel_joins(&self, session: &Session, topic: &str) {
        self.0.asking.evict(topic, |asking| asking == session);
        let is_meant = |join: &Join| *join.session == *session;
        self.0.hub.evict(topic, is_meant, |_| 0);
        self.0.work();
    }
}

impl Session {
    /// Reserves room for a replay. Waits until earlier replays of the session are written.
    async fn reserve_replay(&self, bytes: usize) -> Result<Joining, SubscribeError> {
        let unavailable = SubscribeError::Unavailable { retry: RETRY };
        let limit = self.mailbox().limit() / 2;
        let bytes = bytes.min(limit);
        let reserving = async {
            loop {
                let state = self.topics_part().ok_or(SubscribeError::Closed)?;
                let answered = state.answered.notified();
                let reserved = lock(&state.memberships).reserve(bytes, limit, self.mailbox());
                match reserved {
                    Ok(()) => return Ok(Joining::new(self, bytes)),
                    Err(Some(oldest)) => {
                        let written = self.mailbox().written(oldest).await;
                        written.map_err(|_| SubscribeError::Closed)?;
                    }
                    Err(None) => answered.await,
                }
            }
        };
        let reserved = tokio::time::timeout(REPLAY_TIMEOUT, reserving).await;
        reserved.unwrap_or(Err(unavailable))
    }

    /// Gives room for a replay back.
    pub(super) fn release_replay(&self, bytes: usize) {
        if bytes > 0
            && let Some(state) = self.topics_part()
        {
            lock(&state.memberships).release(bytes);
            state.answered.notify_waiters();
        }
    }
}

/// Server code that waits for the answer to its join.
struct Waiting<'s> {
    session: &'s Session,
    topics: &'s Topics,
    name: &'s TopicName,
    number: u32,
    answered: oneshot::Receiver<Result<Subscribed, SubscribeError>>,
    is_done: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        self.answered.close();
        let is_meant = |join: &Join| join.number == self.number;
        self.topics.0.hub.cancel(self.name, is_meant);
        // The subscription may have come about, whether or not its answer got into the channel before it was closed.
        self.session.leave_if(self.name, self.number);
        self.topics.0.work();
    }
}

impl fmt::Debug for Subscribe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}
