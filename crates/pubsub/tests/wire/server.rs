//! The server's machine: frames of a client in, steps and answers out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sockeye_pubsub::engine::{EngineError, EngineErrorKind, Member, MemberId, WasPublished};
use sockeye_pubsub::hub::{Recovery, Wants, Welcome};
use sockeye_pubsub::wire::{
    Content, ErrorCode, Failure, MAX_MEMBERS_HEADER, Publish, Reply, ServerFrame, ServerLimits,
    ServerMachine, Step,
};
use sockeye_pubsub::{Body, Entry, InvalidTopicName, PublishError, SubscribeError};

use crate::support::{at, reference, topic};

const MS: Duration = Duration::from_millis(1);

fn machine() -> ServerMachine {
    ServerMachine::new(&ServerLimits::default())
}

/// Gives the machine a text frame at the time `now`.
fn receive<'a>(machine: &mut ServerMachine, frame: &'a str, now: Instant) -> Step<'a> {
    machine.receive(Content::Text(frame), now)
}

/// The frame and the close code of a reply.
fn said(reply: Reply) -> (Option<String>, Option<u16>) {
    let code = reply.close.map(|reason| reason.code().get());
    (reply.frame.map(Into::into), code)
}

fn replied(step: Step<'_>) -> (Option<String>, Option<u16>) {
    match step {
        Step::Reply(reply) => said(reply),
        step => panic!("{step:?}"),
    }
}

fn published(step: Step<'_>) -> Publish {
    match step {
        Step::Publish(publish) => publish,
        step => panic!("{step:?}"),
    }
}

/// Makes `count` publishes to a topic run or wait, with references from `first` on.
fn publish(machine: &mut ServerMachine, to: &str, first: u32, count: u32, now: Instant) {
    for number in first..first + count {
        let frame = format!("{{\"pub\":\"{to}\",\"ref\":{number}}}\n");
        let step = receive(machine, &frame, now);
        assert!(matches!(step, Step::Wait | Step::Publish(_)), "{step:?}");
    }
}

#[test]
fn the_first_frame_tells_the_client_its_name_the_node_and_the_limits() {
    let hello = machine().hello(MemberId(7), "node \"1\"");
    assert_eq!(
        hello,
        "{\"hello\":1,\"me\":\"AAAAAAAAAAc\",\"node\":\"node \\\"1\\\"\",\"ping\":25,\"topics\":128}\n"
    );
    let limits = ServerLimits::default()
        .topics(3)
        .ping(Duration::from_secs(10));
    let hello = ServerMachine::new(&limits).hello(MemberId(u64::MAX), "n");
    assert_eq!(
        hello,
        "{\"hello\":1,\"me\":\"__________8\",\"node\":\"n\",\"ping\":10,\"topics\":3}\n"
    );
}

#[test]
fn a_subscription_is_answered_by_what_the_hub_says() {
    let (mut machine, now) = (machine(), Instant::now());
    let frame = "{\"sub\":\"room/42\",\"ref\":1,\"at\":\"AAAAAAAAAAE:7:AAAAAAAAAEY\",\"member\":{\"name\":\"Ada\"}}\n";
    let step = receive(&mut machine, frame, now);
    assert_eq!(
        step,
        Step::Subscribe {
            reference: reference(1),
            topic: topic("room/42"),
            wants: Wants::After(at(7)),
            member: Some("{\"name\":\"Ada\"}"),
        }
    );
    let entry = Entry {
        position: at(8),
        previous: at(7).id,
        body: Body::from(sockeye_proto::Outgoing::from("hi")),
    };
    let welcome = |recovery| Welcome {
        at: Some(at(7)),
        recovery,
        replay: std::slice::from_ref(&entry),
    };
    let answer = machine.subscribed(
        reference(1),
        "room/42",
        &welcome(Recovery::Recovered { missed: 1 }),
    );
    assert_eq!(
        answer.unwrap(),
        "{\"ok\":1,\"topic\":\"room/42\",\"at\":\"AAAAAAAAAAE:7:AAAAAAAAAEY\",\"recovered\":true,\"missed\":1}\n"
    );
    for (number, recovery, expected) in [(2, Recovery::Fresh, "null"), (3, Recovery::Lost, "false")]
    {
        let frame = format!("{{\"sub\":\"a\",\"ref\":{number},\"recent\":9}}\n");
        let step = receive(&mut machine, &frame, now);
        assert!(matches!(
            step,
            Step::Subscribe {
                wants: Wants::Recent(9),
                member: None,
                ..
            }
        ));
        let welcome = Welcome {
            at: None,
            recovery,
            replay: &[],
        };
        let answer = machine
            .subscribed(reference(number), "a", &welcome)
            .unwrap();
        assert_eq!(
            answer,
            *format!("{{\"ok\":{number},\"topic\":\"a\",\"recovered\":{expected},\"missed\":0}}\n")
        );
    }
}

#[test]
fn each_request_is_answered_once() {
    let (mut machine, now) = (machine(), Instant::now());
    let step = receive(&mut machine, "{\"unsub\":\"a\",\"ref\":5}\n", now);
    assert_eq!(
        step,
        Step::Unsubscribe {
            reference: reference(5),
            topic: topic("a"),
        }
    );
    assert_eq!(machine.pending(), 1);
    assert_eq!(machine.unsubscribed(reference(5)).unwrap(), "{\"ok\":5}\n");
    assert_eq!(machine.pending(), 0);
    assert_eq!(machine.unsubscribed(reference(5)), None);
    assert_eq!(machine.counted(reference(5), 1), None);
    assert_eq!(
        machine.failed(reference(5), SubscribeError::TooMany, now),
        None
    );
    assert_eq!(
        machine.unsubscribed(reference(6)),
        None,
        "it was never asked"
    );
    // The reference is free again.
    let step = receive(&mut machine, "{\"count\":\"a\",\"ref\":5}\n", now);
    assert_eq!(
        step,
        Step::Count {
            reference: reference(5),
            topic: topic("a"),
        }
    );
    assert_eq!(
        machine.counted(reference(5), 3).unwrap(),
        "{\"ok\":5,\"count\":3}\n"
    );
}

#[test]
fn a_reference_that_waits_for_its_answer_closes_with_1008_when_it_comes_again() {
    for second in ["{\"pub\":\"b\",\"ref\":5}\n", "{\"sub\":\"\",\"ref\":5}\n"] {
        for first in [
            "{\"unsub\":\"a\",\"ref\":5}\n",
            "{\"pub\":\"a\",\"ref\":5}\n",
        ] {
            let (mut machine, now) = (machine(), Instant::now());
            let _ = receive(&mut machine, first, now);
            let Step::Reply(reply) = receive(&mut machine, second, now) else {
                panic!("{second} is taken");
            };
            let reason = reply.close.unwrap().to_string();
            assert_eq!(
                reason,
                "1008 the header has `ref` 5, and a request with it is not answered yet"
            );
            assert_eq!(reply.frame, None);
            // Nothing is answered or taken any more.
            assert_eq!(machine.unsubscribed(reference(5)), None);
            assert_eq!(receive(&mut machine, "\nhello", now), Step::Wait);
        }
    }
}

#[test]
fn a_bad_header_closes_with_1008_and_a_reason_that_names_it() {
    let reason = |frame: &str| {
        let mut machine = machine();
        match receive(&mut machine, frame, Instant::now()) {
            Step::Reply(Reply {
                frame: None,
                close: Some(reason),
            }) => reason.to_string(),
            step => panic!("{step:?}"),
        }
    };
    assert_eq!(
        reason("hello"),
        "1008 the frame has no line feed behind its header"
    );
    assert_eq!(reason("hello\n"), "1008 the header is not a JSON object");
    assert_eq!(
        reason("{\"sub\":\"a\",\"sub\":\"a\"}\n"),
        "1008 the header is not valid JSON: duplicate field `sub` at line 1 column 16"
    );
}

#[test]
fn an_unknown_verb_and_a_bad_topic_are_answered_and_the_connection_stays() {
    let (mut machine, now) = (machine(), Instant::now());
    assert_eq!(
        replied(receive(&mut machine, "{\"shout\":1,\"ref\":3}\n", now)),
        (
            Some("{\"err\":3,\"code\":\"bad-request\",\"message\":\"the header has no verb that this server knows\"}\n".into()),
            None
        )
    );
    assert_eq!(
        replied(receive(&mut machine, "{\"pub\":\"a/\",\"ref\":4}\n", now)),
        (
            Some("{\"err\":4,\"code\":\"bad-topic\",\"message\":\"a segment of the topic's name is empty, at byte 2\"}\n".into()),
            None
        )
    );
    assert_eq!(
        replied(receive(&mut machine, "{\"ping\":9}\n", now)),
        (Some("{\"pong\":9}\n".into()), None)
    );
}

#[test]
fn a_frame_with_an_empty_header_is_a_message_of_the_application() {
    let (mut machine, now) = (machine(), Instant::now());
    assert_eq!(
        receive(&mut machine, "\n", now),
        Step::App(Content::Text(""))
    );
    assert_eq!(
        receive(&mut machine, "\na\nb", now),
        Step::App(Content::Text("a\nb"))
    );
    assert_eq!(
        machine.receive(Content::Binary(b"\n\xff"), now),
        Step::App(Content::Binary(b"\xff"))
    );
}

#[test]
fn publishes_of_one_topic_run_one_after_another_and_those_of_others_beside_them() {
    let (mut machine, now) = (machine(), Instant::now());
    let first = published(receive(
        &mut machine,
        "{\"pub\":\"a\",\"ref\":1,\"key\":\"0123456789abcdefghijkl\"}\none",
        now,
    ));
    assert_eq!(
        first,
        Publish {
            reference: reference(1),
            topic: topic("a"),
            key: Some("0123456789abcdefghijkl".into()),
            message: "one".into(),
        }
    );
    assert_eq!(
        receive(&mut machine, "{\"pub\":\"a\",\"ref\":2}\ntwo", now),
        Step::Wait
    );
    assert_eq!(
        receive(&mut machine, "{\"pub\":\"a\",\"ref\":3}\nthree", now),
        Step::Wait
    );
    let other = published(receive(
        &mut machine,
        "{\"pub\":\"b\",\"ref\":4}\nother",
        now,
    ));
    assert_eq!(&*other.topic, "b");
    assert_eq!(machine.next_publish(), None);
    assert_eq!(
        machine.published(reference(2), None),
        None,
        "it does not run yet"
    );

    assert_eq!(
        machine.published(reference(1), Some(at(7))).unwrap(),
        "{\"ok\":1,\"stored\":\"AAAAAAAAAAE:7:AAAAAAAAAEY\"}\n"
    );
    assert_eq!(machine.next_publish().unwrap().message, "two".into());
    assert_eq!(machine.next_publish(), None);
    // A publish that failed makes room for the next one as well.
    let reply = machine
        .failed(
            reference(2),
            PublishError::TooLarge { len: 9, limit: 8 },
            now,
        )
        .unwrap();
    assert_eq!(
        said(reply).0.unwrap(),
        "{\"err\":2,\"code\":\"too-large\",\"message\":\"a message of 9 bytes is longer than the topic's limit of 8\"}\n"
    );
    assert_eq!(machine.next_publish().unwrap().message, "three".into());
    assert_eq!(
        machine.published(reference(3), None).unwrap(),
        "{\"ok\":3}\n"
    );
    assert_eq!(
        machine.published(reference(4), None).unwrap(),
        "{\"ok\":4}\n"
    );
    assert_eq!(machine.next_publish(), None);
    assert_eq!(machine.pending(), 0);
}

#[test]
fn at_most_16_publishes_wait_and_then_the_input_waits() {
    let (mut machine, now) = (machine(), Instant::now());
    publish(&mut machine, "a", 1, 15, now);
    assert!(machine.can_take_more());
    publish(&mut machine, "b", 16, 1, now);
    assert!(!machine.can_take_more());
    // An owner that reads on makes the queue no longer.
    assert_eq!(
        replied(receive(&mut machine, "{\"pub\":\"a\",\"ref\":17}\n", now)),
        (
            Some("{\"err\":17,\"code\":\"rate\",\"message\":\"too many publishes wait\",\"retry\":1000}\n".into()),
            None
        )
    );
    assert!(machine.published(reference(16), None).is_some());
    assert!(machine.can_take_more());
}

#[test]
fn publishes_have_a_burst_of_200_and_then_100_a_second() {
    let (mut machine, start) = (machine(), Instant::now());
    let mut accepted = |from: u32, count: u32, now: Instant| {
        let mut accepted = 0;
        for number in from..from + count {
            let frame = format!("{{\"pub\":\"a\",\"ref\":{number}}}\n");
            if let Step::Publish(publish) = receive(&mut machine, &frame, now) {
                accepted += 1;
                let _ = machine.published(publish.reference, None);
            }
        }
        accepted
    };
    assert_eq!(accepted(1, 210, start), 200);
    assert_eq!(accepted(300, 50, start + 100 * MS), 10);
    assert_eq!(accepted(400, 150, start + 1100 * MS), 100);
}

#[test]
fn other_requests_share_a_burst_of_two_for_each_topic_and_then_10_a_second() {
    let limits = ServerLimits::default().topics(4);
    let (mut machine, now) = (ServerMachine::new(&limits), Instant::now());
    for (number, verb) in [
        "sub", "unsub", "who", "count", "sub", "unsub", "who", "count",
    ]
    .into_iter()
    .enumerate()
    {
        let frame = format!("{{\"{verb}\":\"a\",\"ref\":{}}}\n", number + 1);
        assert!(!matches!(
            receive(&mut machine, &frame, now),
            Step::Reply(_)
        ));
    }
    // Those that are refused get different times, so that all find room when they come again.
    for (number, retry) in [(9, 100), (10, 200), (11, 300)] {
        let frame = format!("{{\"sub\":\"a\",\"ref\":{number}}}\n");
        let expected = format!(
            "{{\"err\":{number},\"code\":\"rate\",\"message\":\"too many requests\",\"retry\":{retry}}}\n"
        );
        assert_eq!(
            replied(receive(&mut machine, &frame, now)),
            (Some(expected), None)
        );
    }
    // Errors have the same budget; publishes, pings and messages of the application do not.
    let (frame, _) = replied(receive(&mut machine, "{\"sub\":\"\",\"ref\":12}\n", now));
    assert!(frame.unwrap().contains("\"code\":\"rate\""));
    assert!(matches!(
        receive(&mut machine, "{\"pub\":\"a\",\"ref\":13}\n", now),
        Step::Publish(_)
    ));
    assert!(matches!(receive(&mut machine, "\nhi", now), Step::App(_)));
    for retry in [100, 200, 300] {
        let frame = format!("{{\"sub\":\"a\",\"ref\":{retry}}}\n");
        let step = receive(&mut machine, &frame, now + retry * MS);
        assert!(matches!(step, Step::Subscribe { .. }), "{step:?}");
    }
}

#[test]
fn a_full_resume_with_who_for_each_topic_fits_the_budget() {
    let (mut machine, now) = (machine(), Instant::now());
    for number in 1..=128 {
        let frame = format!("{{\"sub\":\"t/{number}\",\"ref\":{number}}}\n");
        assert!(matches!(
            receive(&mut machine, &frame, now),
            Step::Subscribe { .. }
        ));
        let frame = format!(
            "{{\"who\":\"t/{number}\",\"ref\":{},\"max\":9}}\n",
            number + 1000
        );
        assert!(matches!(
            receive(&mut machine, &frame, now),
            Step::Who { max: Some(9), .. }
        ));
    }
    assert_eq!(machine.pending(), 256);
}

#[test]
fn a_client_that_collects_200_rate_errors_in_10_s_is_sent_away_with_1013() {
    let limits = ServerLimits::default().topics(0);
    let (mut machine, start) = (ServerMachine::new(&limits), Instant::now());
    let frame = "{\"unsub\":\"a\",\"ref\":1}\n";
    assert!(matches!(
        receive(&mut machine, frame, start),
        Step::Unsubscribe { .. }
    ));
    let _ = machine.unsubscribed(reference(1));
    for _ in 0..199 {
        let (frame, code) = replied(receive(&mut machine, frame, start));
        assert!(frame.unwrap().starts_with("{\"err\":1,\"code\":\"rate\""));
        assert_eq!(code, None);
    }
    let Step::Reply(reply) = receive(&mut machine, frame, start) else {
        panic!("the client stays");
    };
    assert_eq!(reply.frame.unwrap(), "{\"bye\":1,\"after\":[5000,20000]}\n");
    assert_eq!(reply.close.unwrap().to_string(), "1013 too many requests");
    assert_eq!(receive(&mut machine, frame, start), Step::Wait);
}

#[test]
fn a_client_may_create_128_topics_at_once_and_then_60_a_minute() {
    let (mut machine, now) = (machine(), Instant::now());
    for _ in 0..128 {
        assert_eq!(machine.create_topic(now), Ok(()));
    }
    let failure = machine.create_topic(now).unwrap_err();
    assert_eq!(
        failure,
        Failure::rate("too many new topics", Duration::from_secs(1))
    );
    assert_eq!(machine.create_topic(now + Duration::from_secs(1)), Ok(()));

    // Such an error counts as one of the 200.
    let _ = receive(&mut machine, "{\"sub\":\"a\",\"ref\":1}\n", now);
    let reply = machine.failed(reference(1), failure, now).unwrap();
    assert_eq!(
        said(reply),
        (
            Some("{\"err\":1,\"code\":\"rate\",\"message\":\"too many new topics\",\"retry\":1000}\n".into()),
            None
        )
    );
    for number in 2..=200 {
        let frame = format!("{{\"sub\":\"a\",\"ref\":{number}}}\n");
        let _ = receive(&mut machine, &frame, now);
        let failure = Failure::rate("too many new topics", MS);
        let (frame, code) = said(machine.failed(reference(number), failure, now).unwrap());
        assert_eq!(code, (number == 200).then_some(1013), "{frame:?}");
    }
}

#[test]
fn members_are_listed_with_their_public_names() {
    let (mut machine, now) = (machine(), Instant::now());
    let member = |id, info: Option<&str>, principal: Option<&str>| Member {
        id: MemberId(id),
        info: info.map(Arc::from),
        principal: principal.map(Arc::from),
        since: 1_700_000_000_000,
    };
    let _ = receive(&mut machine, "{\"who\":\"a\",\"ref\":1}\n", now);
    let list = [
        member(7, Some("{\"name\":\"Ada\"}"), Some("a\"da")),
        member(8, None, None),
    ];
    assert_eq!(
        machine.members(reference(1), &list, true).unwrap(),
        "{\"ok\":1,\"members\":[{\"id\":\"AAAAAAAAAAc\",\"info\":{\"name\":\"Ada\"},\"principal\":\"a\\\"da\",\
         \"since\":1700000000000},{\"id\":\"AAAAAAAAAAg\",\"since\":1700000000000}],\"all\":true}\n"
    );

    // A list that is too long for a header is cut, and says so.
    let _ = receive(&mut machine, "{\"who\":\"a\",\"ref\":2}\n", now);
    let info = format!("\"{}\"", "x".repeat(1022));
    let list = vec![member(7, Some(&info), None); 1000];
    let frame = machine.members(reference(2), &list, true).unwrap();
    let (parsed, header, _) = ServerFrame::parse(Content::Text(&frame)).unwrap();
    assert!(header <= MAX_MEMBERS_HEADER && header > MAX_MEMBERS_HEADER - 2048);
    assert!(matches!(parsed, ServerFrame::Ok { .. }));
    assert!(frame.ends_with(",\"all\":false}\n"));
}

#[test]
fn each_error_of_hub_and_engine_has_its_code() {
    let engine = |published, kind| {
        PublishError::Engine(EngineError {
            published,
            kind,
            text: "redis.internal:6379 said no".into(),
        })
    };
    let second = Some(Duration::from_secs(1));
    for (failure, code, retry) in [
        (
            Failure::from(SubscribeError::Invalid(InvalidTopicName::Empty)),
            "bad-topic",
            None,
        ),
        (SubscribeError::Denied("no".into()).into(), "denied", None),
        (SubscribeError::TooMany.into(), "too-many", None),
        (SubscribeError::Evicted.into(), "evicted", None),
        (
            SubscribeError::Unavailable { retry: 20 * MS }.into(),
            "unavailable",
            Some(20 * MS),
        ),
        (
            PublishError::Invalid(InvalidTopicName::Reserved).into(),
            "bad-topic",
            None,
        ),
        (
            PublishError::TooLarge { len: 2, limit: 1 }.into(),
            "too-large",
            None,
        ),
        (PublishError::Denied("no".into()).into(), "denied", None),
        (PublishError::Key("it is empty").into(), "bad-request", None),
        (PublishError::Full.into(), "unavailable", second),
        (
            engine(WasPublished::Maybe, EngineErrorKind::Timeout).into(),
            "unknown",
            None,
        ),
        (
            engine(WasPublished::No, EngineErrorKind::Unavailable).into(),
            "unavailable",
            second,
        ),
        (
            engine(WasPublished::No, EngineErrorKind::Late).into(),
            "unavailable",
            second,
        ),
        (
            engine(WasPublished::No, EngineErrorKind::Full).into(),
            "unavailable",
            second,
        ),
        (
            engine(WasPublished::No, EngineErrorKind::Rejected).into(),
            "internal",
            None,
        ),
    ] {
        assert_eq!(failure.code.as_str(), code, "{failure:?}");
        assert_eq!(failure.retry, retry, "{failure:?}");
        assert!(!failure.message.is_empty());
        assert!(!failure.message.contains("redis"), "{failure:?}");
        assert_eq!(code.parse(), Ok(failure.code));
    }
    assert_eq!("of-a-newer-server".parse(), Ok(ErrorCode::Internal));
}

#[test]
fn a_time_to_retry_is_rounded_up_so_that_no_client_comes_too_early() {
    let (mut machine, now) = (machine(), Instant::now());
    for (number, nanos, expected) in [(1, 0, 1), (2, 1, 1), (3, 1_000_000, 1), (4, 1_000_001, 2)] {
        let frame = format!("{{\"sub\":\"a\",\"ref\":{number}}}\n");
        let _ = receive(&mut machine, &frame, now);
        let retry = Duration::from_nanos(nanos);
        let reply = machine
            .failed(
                reference(number),
                SubscribeError::Unavailable { retry },
                now,
            )
            .unwrap();
        let frame = said(reply).0.unwrap();
        assert!(
            frame.ends_with(&format!("\"retry\":{expected}}}\n")),
            "{frame}"
        );
    }
}

#[test]
fn a_session_without_requests_costs_at_most_320_bytes() {
    assert!(
        size_of::<ServerMachine>() <= 320,
        "{}",
        size_of::<ServerMachine>()
    );
}
