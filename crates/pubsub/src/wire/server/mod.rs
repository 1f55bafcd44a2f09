//! The server's end of one connection: what a frame of the client asks for, and the answers.
//!
//! The machine has no socket, task or clock. Its owner gives it each frame, carries out the [`Step`], and calls the
//! method of the answer when the outcome is known. Each such method returns the frame to send.
//!
//! ```text
//!  frame ──▶ receive ──▶ Step: Subscribe, Publish, … ──▶ hub ──▶ subscribed, published, failed, … ──▶ frame
//!                │                                                   │ a publish has ended
//!                └─ Step::Wait: a publish of this topic runs         └──▶ next_publish ──▶ hub
//! ```

mod budget;
mod limits;
mod pending;

use std::time::{Duration, Instant};

use sockeye_proto::{CloseCode, CloseReason, Text};

use self::budget::{Budget, Patience};
pub use self::limits::ServerLimits;
use self::pending::Pending;
pub use self::pending::Publish;
use super::grammar::{
    ClientFrame, Content, ErrorCode, Failure, Hello, OkAnswer, Reference, Request, ServerFrame,
    Unusable, Violation, close_reason, members,
};
use crate::engine::{Member, MemberId};
use crate::hub::{Recovery, Wants, Welcome};
use crate::name::TopicName;
use crate::position::Position;

/// The server's end of one connection.
///
/// ```
/// use std::time::Instant;
/// use sockeye_pubsub::wire::{Content, ServerLimits, ServerMachine, Step};
///
/// let mut machine = ServerMachine::new(&ServerLimits::default());
/// let frame = Content::Text("{\"unsub\":\"room/42\",\"ref\":7}\n");
/// let Step::Unsubscribe { reference, topic } = machine.receive(frame, Instant::now()) else {
///     panic!();
/// };
/// assert_eq!(&*topic, "room/42");
/// assert_eq!(machine.unsubscribed(reference).unwrap(), "{\"ok\":7}\n");
/// ```
#[derive(Debug)]
pub struct ServerMachine {
    topics: u32,
    ping: Duration,
    publishes: Budget,
    requests: Budget,
    new_topics: Budget,
    patience: Patience,
    pending: Pending,
    is_over: bool,
}

/// What the owner of a [`ServerMachine`] does for a frame.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the owner acts on each")]
#[must_use]
pub enum Step<'a> {
    /// Nothing. A publish waits for the one before it on its topic: see [`ServerMachine::next_publish`]. Or the
    /// connection is being closed.
    Wait,
    /// Give the application this message.
    App(Content<'a>),
    /// Join the topic; then [`subscribed`](ServerMachine::subscribed) or [`failed`](ServerMachine::failed).
    Subscribe {
        /// The reference.
        reference: Reference,
        /// The topic.
        topic: TopicName,
        /// The stored messages that the client wants first.
        wants: Wants,
        /// What the member says of itself: JSON of at most 1 KiB. `None`: the client does not join presence.
        member: Option<&'a str>,
    },
    /// Leave the topic; then [`unsubscribed`](ServerMachine::unsubscribed). A join of the topic that waits is ended
    /// first, and answered by [`failed`](ServerMachine::failed) with `evicted`.
    Unsubscribe {
        /// The reference.
        reference: Reference,
        /// The topic.
        topic: TopicName,
    },
    /// Publish; then [`published`](ServerMachine::published) or [`failed`](ServerMachine::failed).
    Publish(Publish),
    /// List the members; then [`members`](ServerMachine::members), or [`failed`](ServerMachine::failed) with `denied`
    /// if the session does not subscribe to the topic.
    Who {
        /// The reference.
        reference: Reference,
        /// The topic.
        topic: TopicName,
        /// The most members to list. `None` leaves it to the server.
        max: Option<u32>,
    },
    /// Count the members; then [`counted`](ServerMachine::counted), or [`failed`](ServerMachine::failed) with `denied`
    /// if the session does not subscribe to the topic.
    Count {
        /// The reference.
        reference: Reference,
        /// The topic.
        topic: TopicName,
    },
    /// Send this answer.
    Reply(Reply),
}

/// An answer that may be the last one.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Reply {
    /// The frame to send.
    pub frame: Option<Text>,
    /// The reason with which to close the connection, behind the frame.
    pub close: Option<CloseReason>,
}

impl ServerMachine {
    /// Makes the machine of a new connection.
    pub fn new(limits: &ServerLimits) -> Self {
        let burst = limits.topics.saturating_mul(2);
        Self {
            topics: limits.topics,
            ping: limits.ping,
            publishes: Budget::new(limits.publish_burst, limits.publish_interval),
            requests: Budget::new(burst, limits.request_interval),
            new_topics: Budget::new(limits.new_topic_burst, limits.new_topic_interval),
            patience: Patience::new(MAX_RATE_ERRORS, RATE_ERRORS_WITHIN),
            pending: Pending::default(),
            is_over: false,
        }
    }

    /// Returns the first frame of the connection: the client's member id, and the name of the node.
    pub fn hello(&self, me: MemberId, node: &str) -> Text {
        let hello = Hello {
            me: me.to_string().into(),
            node: node.into(),
            ping: self.ping,
            topics: self.topics,
        };
        ServerFrame::Hello(hello).to_text()
    }

    /// Takes a frame of the client. Call it only while [`can_take_more`](Self::can_take_more).
    pub fn receive<'a>(&mut self, frame: Content<'a>, now: Instant) -> Step<'a> {
        if self.is_over {
            return Step::Wait;
        }
        let unusable = match ClientFrame::parse(frame) {
            Ok(ClientFrame::App(body)) => return Step::App(body),
            Ok(ClientFrame::Ping(number)) => {
                return Step::Reply(Reply::frame(ServerFrame::Pong(number).to_text()));
            }
            Ok(ClientFrame::Request {
                reference,
                topic,
                request,
            }) if !self.pending.contains(reference) => {
                return self.request(reference, topic, request, now);
            }
            Ok(ClientFrame::Request { reference, .. }) => {
                Violation::ReferenceInUse(reference.get()).into()
            }
            Err(unusable) => unusable,
        };
        match unusable {
            Unusable::Violation(violation) => self.violated(&violation),
            Unusable::Refused {
                reference: Some(reference),
                ..
            } if self.pending.contains(reference) => {
                self.violated(&Violation::ReferenceInUse(reference.get()))
            }
            // A refused request costs as much as another one, so errors have a budget too.
            Unusable::Refused { reference, failure } => {
                let failure = match self.requests.take(now) {
                    Ok(()) => failure,
                    Err(retry) => Failure::rate(TOO_MANY_REQUESTS, retry),
                };
                Step::Reply(self.failure(reference, failure, now))
            }
        }
    }

    /// Returns whether the machine takes more frames. If not, 16 publishes wait for their outcome: the owner stops reading
    /// until one of them has ended.
    pub fn can_take_more(&self) -> bool {
        self.pending.publishes() < ServerLimits::MAX_PUBLISHES
    }

    /// Returns the number of requests that wait for their answer.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Returns the next publish that waited and may run now. The owner asks after each publish that has ended, until
    /// `None`.
    pub fn next_publish(&mut self) -> Option<Publish> {
        self.pending.next_publish()
    }

    /// Returns whether a client may create one more topic: a topic that does not exist yet, by a subscription or a publish.
    ///
    /// # Errors
    ///
    /// The answer to the request, for [`failed`](Self::failed).
    pub fn create_topic(&mut self, now: Instant) -> Result<(), Failure> {
        let taken = self.new_topics.take(now);
        taken.map_err(|retry| Failure::rate("too many new topics", retry))
    }

    /// Answers a subscription. The messages of the replay follow this frame, and the live ones follow those. `None` if the
    /// request is answered already.
    pub fn subscribed(
        &mut self,
        reference: Reference,
        topic: &str,
        welcome: &Welcome<'_>,
    ) -> Option<Text> {
        self.answered(reference)
            .then(|| subscribed(reference, topic, welcome))
    }

    /// Answers the end of a subscription by the client. `None` if the request is answered already.
    pub fn unsubscribed(&mut self, reference: Reference) -> Option<Text> {
        self.ok(reference, OkAnswer::Done)
    }

    /// Answers a publish with the place of the message; `None` for a topic without history. Returns `None` if the
    /// request is answered already.
    pub fn published(&mut self, reference: Reference, stored: Option<Position>) -> Option<Text> {
        self.ok(reference, stored.map_or(OkAnswer::Done, OkAnswer::Stored))
    }

    /// Answers `who`. `all` says whether the list has all members. A list that is too long for a header is cut. `None`
    /// if the request is answered already.
    pub fn members(&mut self, reference: Reference, list: &[Member], all: bool) -> Option<Text> {
        if !self.answered(reference) {
            return None;
        }
        let (members, fits) = members(list);
        let answer = OkAnswer::Members {
            members: &members,
            all: all && fits,
        };
        Some(ServerFrame::Ok { reference, answer }.to_text())
    }

    /// Answers `count`. `None` if the request is answered already.
    pub fn counted(&mut self, reference: Reference, count: u64) -> Option<Text> {
        self.ok(reference, OkAnswer::Count(count))
    }

    /// Answers a request that failed. `None` if the request is answered already.
    pub fn failed(
        &mut self,
        reference: Reference,
        failure: impl Into<Failure>,
        now: Instant,
    ) -> Option<Reply> {
        let answered = self.answered(reference);
        answered.then(|| self.failure(Some(reference), failure.into(), now))
    }

    /// Notes that a request is answered, by a frame that the owner has written itself. Returns false if it was answered
    /// before: then nothing is sent.
    pub fn answered(&mut self, reference: Reference) -> bool {
        self.pending.remove(reference)
    }

    fn request<'a>(
        &mut self,
        reference: Reference,
        topic: TopicName,
        request: Request<'a>,
        now: Instant,
    ) -> Step<'a> {
        let budget = match &request {
            Request::Publish { .. } => &mut self.publishes,
            _ => &mut self.requests,
        };
        if let Err(retry) = budget.take(now) {
            let failure = Failure::rate(TOO_MANY_REQUESTS, retry);
            return Step::Reply(self.failure(Some(reference), failure, now));
        }
        let step = match request {
            Request::Publish { .. } if !self.can_take_more() => {
                let failure = Failure::rate("too many publishes wait", FULL_RETRY);
                return Step::Reply(self.failure(Some(reference), failure, now));
            }
            Request::Publish { key, body } => {
                let publish = Publish::new(reference, topic, key, body.to_message());
                let runs = self.pending.add_publish(publish);
                return runs.map_or(Step::Wait, Step::Publish);
            }
            Request::Subscribe { wants, member } => Step::Subscribe {
                reference,
                topic,
                wants,
                member,
            },
            Request::Unsubscribe => Step::Unsubscribe { reference, topic },
            Request::Who { max } => Step::Who {
                reference,
                topic,
                max,
            },
            Request::Count => Step::Count { reference, topic },
        };
        self.pending.add(reference);
        step
    }

    fn ok(&mut self, reference: Reference, answer: OkAnswer<'_>) -> Option<Text> {
        let answered = self.answered(reference);
        answered.then(|| ServerFrame::Ok { reference, answer }.to_text())
    }

    /// Makes an `err`. Too many `err rate` end in a `bye` in place of the last one.
    fn failure(&mut self, reference: Option<Reference>, failure: Failure, now: Instant) -> Reply {
        if failure.code == ErrorCode::Rate && self.patience.count(now) {
            self.end();
            let (least, most) = AFTER_RATE_ERRORS;
            return Reply {
                frame: Some(ServerFrame::Bye { least, most }.to_text()),
                close: Some(close_reason(CloseCode::TRY_AGAIN_LATER, TOO_MANY_REQUESTS)),
            };
        }
        Reply::frame(
            ServerFrame::Err {
                reference,
                code: failure.code,
                message: failure.message,
                retry: failure.retry,
            }
            .to_text(),
        )
    }

    fn violated(&mut self, violation: &Violation) -> Step<'static> {
        self.end();
        Step::Reply(Reply {
            frame: None,
            close: Some(close_reason(
                CloseCode::POLICY_VIOLATION,
                &violation.to_string(),
            )),
        })
    }

    fn end(&mut self) {
        self.is_over = true;
        self.pending.clear();
    }
}

impl Reply {
    fn frame(frame: Text) -> Self {
        Self {
            frame: Some(frame),
            close: None,
        }
    }
}

/// Writes the answer to a subscription. Its caller has noted with [`ServerMachine::answered`] that the request is
/// answered. The messages of the replay follow this frame, and the live ones follow those.
pub fn subscribed(reference: Reference, topic: &str, welcome: &Welcome<'_>) -> Text {
    let answer = OkAnswer::Subscribed {
        topic: topic.into(),
        at: welcome.at,
        recovered: match welcome.recovery {
            Recovery::Fresh => None,
            Recovery::Recovered { .. } => Some(true),
            Recovery::Lost => Some(false),
        },
        missed: u32::try_from(welcome.replay.len()).unwrap_or(u32::MAX),
    };
    ServerFrame::Ok { reference, answer }.to_text()
}

const TOO_MANY_REQUESTS: &str = "too many requests";
/// So many `err rate` within so long a time end the connection.
const MAX_RATE_ERRORS: u32 = 200;
const RATE_ERRORS_WITHIN: Duration = Duration::from_secs(10);
/// When a client that was too fast may come back.
const AFTER_RATE_ERRORS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(20));
/// When a publish beyond the most that wait may be repeated. Only an owner that reads on although it must not meets it.
const FULL_RETRY: Duration = Duration::from_secs(1);
