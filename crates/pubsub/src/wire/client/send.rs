//! The frames that a client sends, made when the connection has room for them.

use std::time::Instant;

use sockeye_proto::{Message, Outgoing};

use super::event::RequestNumber;
use super::machine::{Asked, ClientMachine, Unsent};
use super::request::Asks;
use super::subscription::State;
use crate::name::TopicName;
use crate::publication::Body;
use crate::wire::grammar::{ClientFrame, Content, Reference, Request, app_frame};

impl ClientMachine {
    /// Returns the next frame to send on this connection. The owner asks only while the connection has room: a message
    /// that was not returned was not sent.
    pub fn next_frame(&mut self, now: Instant) -> Option<Outgoing> {
        loop {
            let frame = match self.unsent.pop_front()? {
                Unsent::Subscribe(topic) => self.subscribe_frame(&topic),
                Unsent::Unsubscribe(topic) => {
                    let reference = self.ask(Asked::Unsubscribe);
                    Some(frame_of(reference, topic, Request::Unsubscribe).into())
                }
                Unsent::Request(number) => self.request_frame(number, now),
                Unsent::Ping => Some(ClientFrame::Ping(1).to_message().into()),
                Unsent::App(message) => Some(app_frame(&message)),
            };
            if frame.is_some() {
                return frame;
            }
        }
    }

    /// Draws a reference for a request that is sent now.
    fn ask(&mut self, asked: Asked) -> Reference {
        let reference = self
            .last_reference
            .map_or(Reference::FIRST, Reference::next);
        self.last_reference = Some(reference);
        self.asked.insert(reference, asked);
        reference
    }

    /// Makes the request of a subscription; `None` if the application has left it meanwhile.
    fn subscribe_frame(&mut self, topic: &TopicName) -> Option<Outgoing> {
        let subscription = self.subscriptions.get_mut(topic)?;
        if subscription.state != State::Queued {
            return None;
        }
        let reference = self.ask(Asked::Subscribe(topic.clone()));
        let subscription = self.subscriptions.get_mut(topic)?;
        subscription.state = State::Asked(reference);
        let request = Request::Subscribe {
            wants: subscription.wants(),
            member: subscription.member(),
        };
        Some(frame_of(reference, topic.clone(), request).into())
    }

    /// Makes the frame of a publish or a query; `None` if it has ended meanwhile.
    fn request_frame(&mut self, number: RequestNumber, now: Instant) -> Option<Outgoing> {
        self.requests.get_mut(number)?;
        let reference = self.ask(Asked::Request(number));
        let waiting = self.requests.get_mut(number)?;
        waiting.sent.get_or_insert(now);
        let topic = waiting.topic.clone();
        Some(match &waiting.asks {
            Asks::Publish { message, key } => {
                let request = Request::Publish {
                    key: Some((&**key).into()),
                    body: Content::from(message),
                };
                Outgoing::from(Body {
                    message: frame_of(reference, topic, request),
                    compressible: message.may_be_compressed(),
                })
            }
            Asks::Who { max } => frame_of(reference, topic, Request::Who { max: *max }).into(),
            Asks::Count => frame_of(reference, topic, Request::Count).into(),
        })
    }
}

fn frame_of(reference: Reference, topic: TopicName, request: Request<'_>) -> Message {
    let frame = ClientFrame::Request {
        reference,
        topic,
        request,
    };
    frame.to_message()
}
