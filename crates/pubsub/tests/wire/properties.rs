//! What holds of all frames: what is written is read, and nothing that comes panics.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use sockeye_pubsub::hub::Wants;
use sockeye_pubsub::wire::{
    ClientFrame, Content, ErrorCode, Hello, OkAnswer, Reference, Request, ServerFrame,
    ServerLimits, ServerMachine, Step,
};
use sockeye_pubsub::{Position, TopicName};

use crate::support::at;

fn topics() -> impl Strategy<Value = TopicName> {
    let segment = "[a-z\"\\\\ü:,{}😀]{1,6}";
    let name = prop::collection::vec(segment, 1..4).prop_map(|segments| segments.join("/"));
    name.prop_map(|name| TopicName::new(name).unwrap())
}

fn references() -> impl Strategy<Value = Reference> {
    (1..=Reference::MAX).prop_map(|number| Reference::new(number).unwrap())
}

fn positions() -> impl Strategy<Value = Position> {
    any::<u64>().prop_map(at)
}

/// The parts of a frame of a client, which borrows them.
#[derive(Clone, Debug)]
enum Parts {
    App,
    Ping(u64),
    Subscribe(Wants, Option<String>),
    Unsubscribe,
    Publish(Option<String>),
    Who(Option<u32>),
    Count,
}

fn parts() -> impl Strategy<Value = Parts> {
    let wants = prop_oneof![
        Just(Wants::Live),
        any::<u32>().prop_map(Wants::Recent),
        positions().prop_map(Wants::After),
    ];
    let member =
        prop::option::of("[^\\n]{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()));
    prop_oneof![
        Just(Parts::App),
        any::<u64>().prop_map(Parts::Ping),
        (wants, member).prop_map(|(wants, member)| Parts::Subscribe(wants, member)),
        Just(Parts::Unsubscribe),
        prop::option::of("[!-~]{22,64}").prop_map(Parts::Publish),
        any::<Option<u32>>().prop_map(Parts::Who),
        Just(Parts::Count),
    ]
}

fn frame<'a>(
    parts: &'a Parts,
    reference: Reference,
    topic: TopicName,
    body: Content<'a>,
) -> ClientFrame<'a> {
    let request = match parts {
        Parts::App => return ClientFrame::App(body),
        Parts::Ping(number) => return ClientFrame::Ping(*number),
        Parts::Subscribe(wants, member) => Request::Subscribe {
            wants: *wants,
            member: member.as_deref(),
        },
        Parts::Unsubscribe => Request::Unsubscribe,
        Parts::Publish(key) => Request::Publish {
            key: key.as_deref().map(Into::into),
            body,
        },
        Parts::Who(max) => Request::Who { max: *max },
        Parts::Count => Request::Count,
    };
    ClientFrame::Request {
        reference,
        topic,
        request,
    }
}

fn millis() -> impl Strategy<Value = Duration> {
    (1..u64::from(u32::MAX)).prop_map(Duration::from_millis)
}

fn server_frames() -> impl Strategy<Value = ServerFrame<'static>> {
    let texts = || ".{0,20}".prop_map(std::borrow::Cow::<'static, str>::Owned);
    let at = || prop::option::of(positions());
    let answers = prop_oneof![
        (texts(), at(), any::<Option<bool>>(), any::<u32>()).prop_map(
            |(topic, at, recovered, missed)| {
                OkAnswer::Subscribed {
                    topic,
                    at,
                    recovered,
                    missed,
                }
            }
        ),
        positions().prop_map(OkAnswer::Stored),
        any::<bool>().prop_map(|all| OkAnswer::Members {
            members: "[{\"id\":\"AAAAAAAAAAc\"}]",
            all,
        }),
        any::<u64>().prop_map(OkAnswer::Count),
        Just(OkAnswer::Done),
    ];
    let code = || {
        prop::sample::select(vec![
            ErrorCode::BadRequest,
            ErrorCode::Rate,
            ErrorCode::Evicted,
        ])
    };
    prop_oneof![
        Just(ServerFrame::App),
        Just(ServerFrame::Unknown),
        any::<u64>().prop_map(ServerFrame::Pong),
        (texts(), texts(), any::<u32>(), any::<u32>()).prop_map(|(me, node, ping, topics)| {
            let ping = Duration::from_secs(ping.into());
            ServerFrame::Hello(Hello {
                me,
                node,
                ping,
                topics,
            })
        }),
        (references(), answers)
            .prop_map(|(reference, answer)| ServerFrame::Ok { reference, answer }),
        (
            prop::option::of(references()),
            code(),
            texts(),
            prop::option::of(millis())
        )
            .prop_map(|(reference, code, message, retry)| ServerFrame::Err {
                reference,
                code,
                message,
                retry,
            }),
        (texts(), at()).prop_map(|(topic, at)| ServerFrame::Message { topic, at }),
        (texts(), at()).prop_map(|(topic, at)| ServerFrame::Lost { topic, at }),
        (texts(), code()).prop_map(|(topic, code)| ServerFrame::End { topic, code }),
        texts().prop_map(|topic| ServerFrame::Stir { topic }),
        (millis(), millis()).prop_map(|(a, b)| ServerFrame::Bye {
            least: a.min(b),
            most: a.max(b),
        }),
    ]
}

proptest! {
    #[test]
    fn a_frame_of_a_client_is_read_as_it_was_written(
        parts in parts(),
        reference in references(),
        topic in topics(),
        text: String,
        bytes: Vec<u8>,
    ) {
        for body in [Content::Text(&text), Content::Binary(&bytes)] {
            let written = frame(&parts, reference, topic.clone(), body);
            let message = written.to_message();
            let read = ClientFrame::parse(Content::from(&message));
            prop_assert_eq!(read.as_ref(), Ok(&written));
        }
    }

    #[test]
    fn a_frame_of_a_server_is_read_as_it_was_written(written in server_frames(), text: String, bytes: Vec<u8>) {
        for body in [Content::Text(&text), Content::Binary(&bytes)] {
            let message = written.to_message(body);
            let (read, _, read_body) = ServerFrame::parse(Content::from(&message)).unwrap();
            prop_assert_eq!(&read, &written);
            prop_assert_eq!(read_body, body);
            // A space more means the same, whatever way the parser takes.
            let spaced = message.as_text().and_then(|text| text.strip_prefix('{')).map(|rest| format!("{{ {rest}"));
            if let Some(spaced) = spaced {
                let (read, _, _) = ServerFrame::parse(Content::Text(&spaced)).unwrap();
                prop_assert_eq!(&read, &written);
            }
        }
    }

    #[test]
    fn no_frame_panics_and_each_request_waits_until_it_is_answered(
        frames in prop::collection::vec("(\\{\"(sub|pub|unsub|ping|x)\":(\"[a/]{0,3}\"|7)(,\"ref\":[0-9]{1,2})?\\}|[{}a\"]{0,4})\n?.{0,3}", 0..40),
    ) {
        let (mut machine, now) = (ServerMachine::new(&ServerLimits::default()), Instant::now());
        let mut pending = 0;
        for frame in &frames {
            if !machine.can_take_more() {
                break;
            }
            match machine.receive(Content::Text(frame), now) {
                Step::Subscribe { .. } | Step::Unsubscribe { .. } | Step::Publish(_) => pending += 1,
                Step::Wait => pending = machine.pending(),
                Step::Reply(reply) if reply.close.is_some() => pending = 0,
                _ => {}
            }
            prop_assert_eq!(machine.pending(), pending);
        }
    }
}
