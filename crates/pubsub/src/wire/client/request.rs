//! The publishes and queries of a client that wait for their outcome.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sockeye_proto::Outgoing;

use super::event::{ClientEvent, PublishFailure, RefusedRequest, RequestNumber};
use crate::name::TopicName;
use crate::wire::grammar::{ErrorCode, OkAnswer, Violation};

/// A publish or a query that waits for its outcome.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) number: RequestNumber,
    pub(super) topic: TopicName,
    pub(super) asks: Asks,
    /// When the request was sent first. A query forgets it with the connection.
    pub(super) sent: Option<Instant>,
}

/// What a request asks for.
#[derive(Debug)]
pub(super) enum Asks {
    Publish { message: Outgoing, key: Box<str> },
    Who { max: Option<u32> },
    Count,
}

/// The requests of a client that wait for their outcome, in order.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: VecDeque<Waiting>,
    count: u64,
}

impl Requests {
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_WAITING
    }

    pub(super) fn add(&mut self, topic: TopicName, asks: Asks) -> RequestNumber {
        self.count += 1;
        let number = RequestNumber(self.count);
        self.waiting.push_back(Waiting {
            number,
            topic,
            asks,
            sent: None,
        });
        number
    }

    pub(super) fn get_mut(&mut self, number: RequestNumber) -> Option<&mut Waiting> {
        let at = self.place(number)?;
        self.waiting.get_mut(at)
    }

    pub(super) fn remove(&mut self, number: RequestNumber) -> Option<Waiting> {
        let at = self.place(number)?;
        self.waiting.remove(at)
    }

    /// Removes the requests for which `ends` is true, in order.
    pub(super) fn remove_if(&mut self, ends: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let (ended, kept) = self.waiting.drain(..).partition::<VecDeque<_>, _>(ends);
        self.waiting = kept;
        ended.into()
    }

    /// Forgets which queries were sent: they are sent again.
    pub(super) fn forget_queries(&mut self) {
        for waiting in &mut self.waiting {
            if !waiting.is_publish() {
                waiting.sent = None;
            }
        }
    }

    /// Returns the numbers of the publishes, in order.
    pub(super) fn publishes(&self) -> impl Iterator<Item = RequestNumber> {
        let publishes = self.waiting.iter().filter(|waiting| waiting.is_publish());
        publishes.map(|waiting| waiting.number)
    }

    /// Returns the numbers of the queries about a topic that are not sent, in order.
    pub(super) fn queries(&self, topic: &str) -> impl Iterator<Item = RequestNumber> {
        let is_query = move |waiting: &&Waiting| {
            !waiting.is_publish() && waiting.sent.is_none() && &*waiting.topic == topic
        };
        self.waiting
            .iter()
            .filter(is_query)
            .map(|waiting| waiting.number)
    }

    /// Returns the first time at which a publish was sent that has no outcome.
    pub(super) fn first_sent(&self) -> Option<Instant> {
        let publishes = self.waiting.iter().filter(|waiting| waiting.is_publish());
        publishes.filter_map(|waiting| waiting.sent).min()
    }

    fn place(&self, number: RequestNumber) -> Option<usize> {
        // The numbers grow.
        self.waiting
            .binary_search_by_key(&number, |waiting| waiting.number)
            .ok()
    }
}

impl Waiting {
    pub(super) fn is_publish(&self) -> bool {
        matches!(self.asks, Asks::Publish { .. })
    }

    /// Returns whether a publish was sent, and may not be sent again: the server may have forgotten its key.
    pub(super) fn is_uncertain(&self, has_history: bool, now: Instant) -> bool {
        let sent = self.sent.filter(|_| self.is_publish());
        sent.is_some_and(|sent| {
            !has_history || now.saturating_duration_since(sent) >= RESEND_WITHIN
        })
    }
}

/// The outcomes.
impl Waiting {
    /// Makes the event of a request that the server carried out.
    pub(super) fn answered(self, answer: OkAnswer<'_>) -> Result<ClientEvent, Violation> {
        let (number, topic) = (self.number, self.topic);
        match (self.asks, answer) {
            (Asks::Publish { .. }, answer) => Ok(ClientEvent::Published {
                number,
                topic,
                stored: match answer {
                    OkAnswer::Stored(at) => Some(at),
                    _ => None,
                },
            }),
            (Asks::Who { .. }, OkAnswer::Members { members, all }) => Ok(ClientEvent::Members {
                number,
                topic,
                members: members.to_owned(),
                all,
            }),
            (Asks::Count, OkAnswer::Count(count)) => Ok(ClientEvent::Count {
                number,
                topic,
                count,
            }),
            (Asks::Who { .. }, _) => Err(not_answered("members")),
            (Asks::Count, _) => Err(not_answered("count")),
        }
    }

    /// Makes the event of a request that the server refused.
    pub(super) fn refused(self, failure: RefusedRequest) -> ClientEvent {
        if failure.code == ErrorCode::Unknown {
            return self.failed(PublishFailure::Unconfirmed, Some(failure));
        }
        self.failed(PublishFailure::Refused(failure.clone()), Some(failure))
    }

    /// Makes the event of a request that gets no answer any more.
    pub(super) fn dropped(self) -> ClientEvent {
        let failure = match self.sent {
            Some(_) => PublishFailure::Unconfirmed,
            None => PublishFailure::Unsent,
        };
        self.failed(failure, None)
    }

    fn failed(self, publish: PublishFailure, query: Option<RefusedRequest>) -> ClientEvent {
        let (number, topic) = (self.number, self.topic);
        match self.asks {
            Asks::Publish { message, .. } => ClientEvent::PublishFailed {
                number,
                topic,
                message,
                failure: publish,
            },
            Asks::Who { .. } | Asks::Count => ClientEvent::QueryFailed {
                number,
                topic,
                failure: query,
            },
        }
    }
}

fn not_answered(field: &'static str) -> Violation {
    Violation::Field { verb: "ok", field }
}

/// Makes a key of random bits: 22 characters of base64url.
pub(super) fn key(random: u128) -> Box<str> {
    URL_SAFE_NO_PAD.encode(random.to_be_bytes()).into()
}

/// The most requests that wait for their outcome.
const MOST_WAITING: usize = 200;
/// A publish is repeated within this time of its first sending. The server remembers its key for 60 s.
pub(super) const RESEND_WITHIN: Duration = Duration::from_secs(45);
