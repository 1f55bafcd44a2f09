//! What a frame of the server means for a client.

use std::time::{Duration, Instant};

use sockeye_proto::Message;

use super::backoff::LONGEST_ASKED;
use super::event::{ClientEvent, RefusedRequest};
use super::machine::{Asked, ClientMachine, Link, Server, Unsent};
use super::subscription::State;
use crate::hub::Recovery;
use crate::name::TopicName;
use crate::wire::grammar::{OkAnswer, Reference, ServerFrame, Violation, body_of};

impl ClientMachine {
    /// Takes a frame of the server.
    pub(super) fn take(&mut self, frame: &Message, now: Instant) -> Result<(), Violation> {
        let (parsed, header, _) = ServerFrame::parse(frame.into())?;
        match parsed {
            ServerFrame::App => {
                let message = body_of(frame.clone(), header);
                self.events.push_back(ClientEvent::App(message));
            }
            ServerFrame::Message { topic, at } => {
                if let Some((topic, subscription)) = self.subscriptions.live(&topic) {
                    let is_replay = subscription.received(at);
                    self.events.push_back(ClientEvent::Message {
                        topic,
                        message: body_of(frame.clone(), header),
                        position: at,
                        is_replay,
                    });
                }
            }
            ServerFrame::Lost { topic, at } => {
                if let Some((topic, subscription)) = self.subscriptions.live(&topic) {
                    subscription.moved(at);
                    self.events.push_back(ClientEvent::Lost {
                        topic,
                        position: at,
                    });
                }
            }
            ServerFrame::End { topic, code } => {
                if let Some((topic, _)) = self.subscriptions.live(&topic) {
                    self.ended(
                        topic,
                        RefusedRequest {
                            code,
                            message: Box::default(),
                            retry: None,
                        },
                    );
                }
            }
            ServerFrame::Stir { topic } => {
                if let Some((topic, _)) = self.subscriptions.live(&topic) {
                    self.events.push_back(ClientEvent::Stir { topic });
                }
            }
            ServerFrame::Ok { reference, answer } => {
                if let Some(asked) = self.asked.remove(&reference) {
                    self.succeeded(reference, asked, answer)?;
                }
            }
            ServerFrame::Err {
                reference,
                code,
                message,
                retry,
            } => {
                let asked = reference
                    .and_then(|reference| Some((reference, self.asked.remove(&reference)?)));
                if let Some((reference, asked)) = asked {
                    let failure = RefusedRequest {
                        code,
                        message: message.into(),
                        retry: retry.map(|retry| retry.min(LONGEST_ASKED)),
                    };
                    self.refused(reference, asked, failure, now);
                }
            }
            ServerFrame::Hello(hello) => {
                if let Link::Online { patience, .. } = &mut self.link {
                    *patience = hello.ping.clamp(SHORTEST_PATIENCE, LONGEST_ASKED);
                }
                self.hello = Some(Box::new(Server {
                    me: hello.me.into(),
                    node: hello.node.into(),
                }));
            }
            ServerFrame::Bye { least, most } => self.bye = Some((least, most)),
            ServerFrame::Pong(_) | ServerFrame::Unknown => {}
        }
        Ok(())
    }

    fn succeeded(
        &mut self,
        reference: Reference,
        asked: Asked,
        answer: OkAnswer<'_>,
    ) -> Result<(), Violation> {
        match (asked, answer) {
            (
                Asked::Subscribe(topic),
                OkAnswer::Subscribed {
                    at,
                    recovered,
                    missed,
                    ..
                },
            ) => {
                let subscription = self.subscriptions.get_mut(&topic);
                // The application may have left the topic, and joined it again.
                let Some(subscription) =
                    subscription.filter(|it| it.state == State::Asked(reference))
                else {
                    return Ok(());
                };
                let recovery = subscription.answered(at, recovered, missed);
                self.events.push_back(ClientEvent::Subscribed {
                    topic: topic.clone(),
                    recovery,
                    replay: missed,
                    position: at,
                });
                if recovery == Recovery::Lost {
                    let topic = topic.clone();
                    self.events.push_back(ClientEvent::Lost {
                        topic,
                        position: at,
                    });
                }
                self.unsent
                    .extend(self.requests.queries(&topic).map(Unsent::Request));
            }
            (Asked::Subscribe(_), _) => {
                return Err(Violation::Field {
                    verb: "ok",
                    field: "topic",
                });
            }
            (Asked::Unsubscribe, _) => {}
            (Asked::Request(number), answer) => {
                if let Some(waiting) = self.requests.remove(number) {
                    self.events.push_back(waiting.answered(answer)?);
                }
            }
        }
        Ok(())
    }

    fn refused(
        &mut self,
        reference: Reference,
        asked: Asked,
        failure: RefusedRequest,
        now: Instant,
    ) {
        match asked {
            Asked::Subscribe(topic) => {
                let subscription = self.subscriptions.get_mut(&topic);
                if subscription.is_none_or(|it| it.state != State::Asked(reference)) {
                    return;
                }
                let Some(retry) = failure.retry else {
                    return self.ended(topic, failure);
                };
                self.subscriptions.delay(&topic, now + retry);
                self.events.push_back(ClientEvent::Delayed {
                    topic,
                    failure,
                    retry,
                });
            }
            Asked::Unsubscribe => {}
            Asked::Request(number) => {
                if let Some(waiting) = self.requests.remove(number) {
                    self.events.push_back(waiting.refused(failure));
                }
            }
        }
    }

    fn ended(&mut self, topic: TopicName, failure: RefusedRequest) {
        self.subscriptions.remove(&topic);
        self.end_queries(&topic);
        self.events.push_back(ClientEvent::Ended { topic, failure });
    }
}

/// The shortest silence after which a server can have the client send pings.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);
