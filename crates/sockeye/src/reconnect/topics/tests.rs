//! A client of topics, with servers in memory and a clock that stands.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use sockeye_proto::{CloseCode, Config, Message, Role};
use sockeye_pubsub::wire::{Content, ServerLimits, ServerMachine, Step};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{
    PublishFailure, Recovery, RequestError, RequestNumber, SUBPROTOCOLS, SubscribeOptions,
    TopicClient, TopicEvent,
};
use crate::client::ConnectError;
use crate::connection::budget::AssemblyBudget;
use crate::connection::{Connection, client_machine};
use crate::error::Error;
use crate::reconnect::{Interruption, ReconnectEvent, Reconnecting};
use crate::transport::Stream;

// A task of any runtime may own the client.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<TopicClient>();
};

const SECOND: Duration = Duration::from_secs(1);

/// The positions of three messages that follow one another, and of the place before them.
const AT: [&str; 4] = [
    "AAAAAAAAAAE:0:0",
    "AAAAAAAAAAE:1:AAAAAAAAAAo",
    "AAAAAAAAAAE:2:AAAAAAAAABQ",
    "AAAAAAAAAAE:3:AAAAAAAAAB4",
];

/// Where the attempts of a client arrive. Each waits until the test lets it succeed.
struct Listener(mpsc::Receiver<oneshot::Sender<DuplexStream>>);

/// A server's end. The machine of servers checks what the client sends; the test writes the answers.
struct Far {
    ws: Connection<DuplexStream>,
    machine: ServerMachine,
}

/// A client whose connections agree on a subprotocol.
fn client(agreed: Option<&'static str>) -> (TopicClient, Listener) {
    let (attempts, listener) = mpsc::channel(16);
    let client = Reconnecting::new(move || {
        let (accept, accepted) = oneshot::channel();
        let sent = attempts.try_send(accept);
        async move {
            sent.map_err(|_| ConnectError::NoResponse)?;
            let near = accepted.await.map_err(|_| ConnectError::NoResponse)?;
            let machine = client_machine(Config::new(Role::Client), None);
            let agreed = agreed.map(str::to_owned);
            let budget = AssemblyBudget::of_others();
            Ok(Connection::new(
                Stream::new(near),
                machine,
                &[],
                agreed,
                budget,
            ))
        }
    });
    (client.topics(), Listener(listener))
}

fn pair() -> (TopicClient, Listener) {
    client(Some(SUBPROTOCOLS[0]))
}

impl Listener {
    /// Lets the next attempt succeed, over a transport that holds so many bytes.
    async fn accept_over(&mut self, bytes: usize) -> Far {
        let attempt = self.0.recv().await.expect("an attempt");
        let (near, far) = tokio::io::duplex(bytes);
        attempt.send(near).expect("the client waits");
        Far {
            ws: Connection::server(far, Config::new(Role::Server)),
            machine: ServerMachine::new(&ServerLimits::default()),
        }
    }

    async fn accept(&mut self) -> Far {
        self.accept_over(1024).await
    }
}

impl Far {
    /// Returns the next frame of the client.
    async fn hears(&mut self) -> String {
        let frame = self.ws.recv().await.expect("no failure");
        let frame = frame.expect("a frame");
        let text = frame.as_text().expect("a text");
        let step = self.machine.receive(Content::Text(text), now());
        let is_refused = matches!(&step, Step::Reply(reply) if reply.close.is_some());
        assert!(!is_refused, "{text}: {step:?}");
        text.to_owned()
    }

    async fn says(&mut self, frame: &str) {
        self.ws.send(frame).await.expect("the client reads");
    }

    async fn close(mut self, code: CloseCode) {
        self.ws
            .close(code, "")
            .await
            .expect("a code that may be sent");
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Runs the client beside a server until the server is done. Returns what the client told meanwhile.
async fn beside<T>(client: &mut TopicClient, server: impl Future<Output = T>) -> (Vec<String>, T) {
    let mut told = Vec::new();
    let mut server = pin!(server);
    loop {
        tokio::select! {
            biased;
            Some(event) = client.next() => told.extend(shown(&event)),
            output = &mut server => return (told, output),
        }
    }
}

/// Runs the client until it tells something else than that it connects.
async fn next(client: &mut TopicClient) -> TopicEvent {
    loop {
        let event = client.next().await.expect("it is not over");
        if shown(&event).is_some() {
            return event;
        }
    }
}

/// Runs the client until it has told so much.
async fn tell(client: &mut TopicClient, told: &mut Vec<String>, count: usize) {
    while told.len() < count {
        told.extend(shown(&next(client).await));
    }
}

/// Shows an event in few words; `None` for the steps of connecting.
fn shown(event: &TopicEvent) -> Option<String> {
    Some(match event {
        TopicEvent::Connection(ReconnectEvent::Connecting { .. } | ReconnectEvent::Opened) => {
            return None;
        }
        TopicEvent::Connection(ReconnectEvent::Interrupted { why, .. }) => {
            format!("interrupted: {why}")
        }
        TopicEvent::Connection(ReconnectEvent::Ended { why: None, .. }) => "over".to_owned(),
        TopicEvent::Connection(ReconnectEvent::Ended { why: Some(why), .. }) => {
            format!("over: {why}")
        }
        TopicEvent::Subscribed {
            topic, recovery, ..
        } => match recovery {
            Recovery::Fresh => format!("{topic} is live"),
            Recovery::Recovered { missed } => format!("{topic} is live, {missed} missed"),
            Recovery::Lost => format!("{topic} is live, lost"),
        },
        TopicEvent::Message { topic, message, .. } => format!("{topic}: {message}"),
        TopicEvent::Lost { topic, .. } => format!("{topic} lost"),
        TopicEvent::Published {
            number, position, ..
        } => match position {
            Some(position) => format!("{} published at {position}", number.0),
            None => format!("{} published", number.0),
        },
        TopicEvent::PublishFailed {
            number, failure, ..
        } => format!("{}: {failure}", number.0),
        TopicEvent::App(message) => format!("application: {message}"),
        other => format!("{other:?}"),
    })
}

/// The key in a publish.
fn key(frame: &str) -> String {
    let (header, _) = frame.split_once('\n').expect("a header");
    let header: serde_json::Value = serde_json::from_str(header).expect("JSON");
    header["key"].as_str().expect("a key").to_owned()
}

#[tokio::test(start_paused = true)]
async fn after_a_reconnect_all_topics_are_asked_for_at_once_from_their_positions() {
    let (mut client, mut listener) = pair();
    client.subscribe("a").unwrap();
    client.subscribe_after("b", AT[1].parse().unwrap()).unwrap();
    client
        .subscribe_with("c", &SubscribeOptions::new().recent(5))
        .unwrap();
    let serving = async {
        let mut far = listener.accept().await;
        assert_eq!(far.hears().await, "{\"sub\":\"a\",\"ref\":1}\n");
        assert_eq!(
            far.hears().await,
            format!("{{\"sub\":\"b\",\"ref\":2,\"at\":\"{}\"}}\n", AT[1])
        );
        assert_eq!(
            far.hears().await,
            "{\"sub\":\"c\",\"ref\":3,\"recent\":5}\n"
        );
        far.says(&format!(
            "{{\"ok\":1,\"topic\":\"a\",\"at\":\"{}\",\"recovered\":null,\"missed\":0}}\n",
            AT[0]
        ))
        .await;
        far.says(&format!(
            "{{\"ok\":2,\"topic\":\"b\",\"at\":\"{}\",\"recovered\":true,\"missed\":1}}\n",
            AT[1]
        ))
        .await;
        far.says("{\"ok\":3,\"topic\":\"c\",\"recovered\":null,\"missed\":0}\n")
            .await;
        far.says(&format!("{{\"m\":\"b\",\"at\":\"{}\"}}\ntwo", AT[2]))
            .await;
        far.says(&format!("{{\"m\":\"a\",\"at\":\"{}\"}}\none", AT[1]))
            .await;
        far.says("{\"m\":\"c\"}\nfree").await;
        // The transport ends without a Close.
        drop(far);
        let mut far = listener.accept().await;
        // No answer is needed between them.
        assert_eq!(
            far.hears().await,
            format!("{{\"sub\":\"a\",\"ref\":4,\"at\":\"{}\"}}\n", AT[1])
        );
        assert_eq!(
            far.hears().await,
            format!("{{\"sub\":\"b\",\"ref\":5,\"at\":\"{}\"}}\n", AT[2])
        );
        assert_eq!(
            far.hears().await,
            "{\"sub\":\"c\",\"ref\":6,\"recent\":5}\n"
        );
        far.says(&format!(
            "{{\"ok\":4,\"topic\":\"a\",\"at\":\"{}\",\"recovered\":true,\"missed\":2}}\n",
            AT[1]
        ))
        .await;
        far.says(&format!("{{\"m\":\"a\",\"at\":\"{}\"}}\ntwo", AT[2]))
            .await;
        far.says(&format!("{{\"m\":\"a\",\"at\":\"{}\"}}\nthree", AT[3]))
            .await;
        far.says(&format!(
            "{{\"ok\":5,\"topic\":\"b\",\"at\":\"{}\",\"recovered\":false,\"missed\":0}}\n",
            AT[3]
        ))
        .await;
        far.says("{\"ok\":6,\"topic\":\"c\",\"recovered\":null,\"missed\":0}\n")
            .await;
        far
    };
    let (mut told, _far) = beside(&mut client, serving).await;
    tell(&mut client, &mut told, 14).await;
    assert_eq!(
        told,
        [
            "a is live",
            "b is live, 1 missed",
            "c is live",
            "b: two",
            "a: one",
            "c: free",
            "interrupted: the peer went away without a Close",
            "a is live, 2 missed",
            "a: two",
            "a: three",
            "b is live, lost",
            "b lost",
            "c is live, lost",
            "c lost"
        ]
    );
    let mut positions: Vec<_> = client
        .positions()
        .map(|(topic, at)| format!("{topic} {at}"))
        .collect();
    positions.sort_unstable();
    assert_eq!(positions, [format!("a {}", AT[3]), format!("b {}", AT[3])]);
}

#[tokio::test(start_paused = true)]
async fn a_publish_without_an_answer_is_sent_again_with_its_key_where_the_topic_has_history() {
    let (mut client, mut listener) = pair();
    client.subscribe("kept").unwrap();
    client.subscribe("free").unwrap();
    assert_eq!(client.publish("kept", "one").unwrap(), RequestNumber(1));
    assert_eq!(client.publish("free", "two").unwrap(), RequestNumber(2));
    assert_eq!(client.publish("other", "three").unwrap(), RequestNumber(3));
    let serving = async {
        let mut far = listener.accept().await;
        far.hears().await;
        far.hears().await;
        far.says(&format!(
            "{{\"ok\":1,\"topic\":\"kept\",\"at\":\"{}\",\"missed\":0}}\n",
            AT[0]
        ))
        .await;
        far.says("{\"ok\":2,\"topic\":\"free\",\"missed\":0}\n")
            .await;
        let first = far.hears().await;
        let second = far.hears().await;
        assert!(second.ends_with("\ntwo"), "{second}");
        far.hears().await;
        drop(far);
        let mut far = listener.accept().await;
        far.hears().await;
        far.hears().await;
        let again = far.hears().await;
        assert_eq!(key(&again), key(&first));
        assert_ne!(key(&again), key(&second));
        assert!(
            again.starts_with("{\"pub\":\"kept\",\"ref\":8,") && again.ends_with("}\none"),
            "{again}"
        );
        far.says(&format!("{{\"ok\":8,\"stored\":\"{}\"}}\n", AT[2]))
            .await;
        far
    };
    let (mut told, _far) = beside(&mut client, serving).await;
    tell(&mut client, &mut told, 6).await;
    assert_eq!(
        told,
        [
            "kept is live".to_owned(),
            "free is live".to_owned(),
            "2: the message may have been published, no confirmation came".to_owned(),
            "3: the message may have been published, no confirmation came".to_owned(),
            "interrupted: the peer went away without a Close".to_owned(),
            format!("1 published at {}", AT[2]),
        ]
    );
    // The place of a published message is no position of the subscription.
    let positions: Vec<_> = client.positions().map(|(_, at)| at.to_string()).collect();
    assert_eq!(positions, [AT[0]]);
}

#[tokio::test(start_paused = true)]
async fn a_publish_is_unconfirmed_45_s_after_it_was_sent_and_one_that_was_not_sent_waits() {
    let (mut client, mut listener) = pair();
    client.subscribe("kept").unwrap();
    client.publish("kept", "sent").unwrap();
    let serving = async {
        let mut far = listener.accept().await;
        far.hears().await;
        far.says(&format!(
            "{{\"ok\":1,\"topic\":\"kept\",\"at\":\"{}\",\"missed\":0}}\n",
            AT[0]
        ))
        .await;
        far.hears().await;
    };
    let (_, ()) = beside(&mut client, serving).await;
    let sent = Instant::now();
    loop {
        if matches!(
            next(&mut client).await,
            TopicEvent::Connection(ReconnectEvent::Interrupted { .. })
        ) {
            break;
        }
    }
    client.publish("kept", "later").unwrap();
    // The next attempt waits.
    let event = next(&mut client).await;
    assert!(
        matches!(
            &event,
            TopicEvent::PublishFailed { number: RequestNumber(1), failure: PublishFailure::Unconfirmed, message, .. }
                if message.message().as_text() == Some("sent")
        ),
        "{event:?}"
    );
    assert!(
        (45 * SECOND..46 * SECOND).contains(&sent.elapsed()),
        "{:?}",
        sent.elapsed()
    );
    let serving = async {
        let mut far = listener.accept().await;
        far.hears().await;
        assert!(far.hears().await.ends_with("}\nlater"));
    };
    let (told, ()) = beside(&mut client, serving).await;
    assert!(told.is_empty(), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_says_when_to_come_back() {
    for (after, least, most) in [("[5000,5000]", 5, 5), ("[60000,90000]", 60, 90)] {
        let (mut client, mut listener) = pair();
        let serving = async {
            let mut far = listener.accept().await;
            far.says(&format!("{{\"bye\":1,\"after\":{after}}}\n"))
                .await;
            far.close(CloseCode::SERVICE_RESTART).await;
        };
        let event = beside_next(&mut client, serving).await;
        let TopicEvent::Connection(ReconnectEvent::Interrupted { pause, .. }) = event else {
            panic!("{event:?}");
        };
        assert!(
            (least * SECOND..=most * SECOND).contains(&pause),
            "{pause:?}"
        );
        let lost = Instant::now();
        let (_, far) = beside(&mut client, listener.accept()).await;
        assert!(lost.elapsed() >= pause);
        // It counts once.
        drop(far);
        let event = next(&mut client).await;
        let TopicEvent::Connection(ReconnectEvent::Interrupted { pause, .. }) = event else {
            panic!("{event:?}");
        };
        assert!(pause <= SECOND, "{pause:?}");
    }
}

/// Runs a server to its end, and the client until it tells something.
async fn beside_next(client: &mut TopicClient, server: impl Future<Output = ()>) -> TopicEvent {
    let (event, ()) = tokio::join!(next(client), server);
    event
}

#[tokio::test(start_paused = true)]
async fn a_final_code_ends_the_client_also_after_bye() {
    let (mut client, mut listener) = pair();
    client.publish("a", "x").unwrap();
    let serving = async {
        let mut far = listener.accept().await;
        far.hears().await;
        far.says("{\"bye\":1,\"after\":[0,0]}\n").await;
        far.close(CloseCode::POLICY_VIOLATION).await;
    };
    let event = beside_next(&mut client, serving).await;
    assert!(matches!(
        event,
        TopicEvent::PublishFailed {
            failure: PublishFailure::Unconfirmed,
            ..
        }
    ));
    // The end is the last event.
    assert_eq!(
        shown(&next(&mut client).await).unwrap(),
        "over: the peer closed with 1008"
    );
    assert!(client.next().await.is_none());
    assert!(client.subscribe("a").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_the_server_cannot_serve_is_asked_for_again_after_its_time() {
    let (mut client, mut listener) = pair();
    client.subscribe("a").unwrap();
    client.subscribe("secret").unwrap();
    let serving = async {
        let mut far = listener.accept().await;
        far.hears().await;
        far.hears().await;
        far.says("{\"err\":2,\"code\":\"denied\",\"message\":\"not yours\"}\n")
            .await;
        far.says("{\"err\":1,\"code\":\"unavailable\",\"message\":\"\",\"retry\":3000}\n")
            .await;
        let refused = Instant::now();
        assert_eq!(far.hears().await, "{\"sub\":\"a\",\"ref\":3}\n");
        refused.elapsed()
    };
    let mut delayed = 0;
    let mut ended = Vec::new();
    let mut serving = pin!(serving);
    let waited = loop {
        tokio::select! {
            biased;
            Some(event) = client.next() => match event {
                TopicEvent::Delayed { retry, .. } => {
                    assert_eq!(retry, 3 * SECOND);
                    delayed += 1;
                }
                TopicEvent::Ended { topic, failure } => ended.push(format!("{topic}: {failure}")),
                _ => {}
            },
            waited = &mut serving => break waited,
        }
    };
    assert_eq!(
        (delayed, ended),
        (1, vec!["secret: denied: not yours".to_owned()])
    );
    assert!((3 * SECOND..4 * SECOND).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_without_the_subprotocol_ends_the_client() {
    for agreed in [None, Some("chat.v1")] {
        let (mut client, mut listener) = client(agreed);
        client.subscribe("a").unwrap();
        client.publish("a", "x").unwrap();
        let serving = async {
            let mut far = listener.accept().await;
            assert_eq!(far.ws.recv().await.unwrap(), None);
            let reason = far.ws.close_received().unwrap().to_string();
            assert_eq!(
                reason,
                "1002 the server did not agree to the subprotocol of topics"
            );
        };
        let event = beside_next(&mut client, serving).await;
        assert!(matches!(
            event,
            TopicEvent::PublishFailed {
                failure: PublishFailure::Unsent,
                ..
            }
        ));
        let event = next(&mut client).await;
        let TopicEvent::Connection(ReconnectEvent::Ended { why: Some(why), .. }) = event else {
            panic!("{event:?}");
        };
        assert!(matches!(why, Interruption::Subprotocol(_)));
        assert_eq!(
            why.to_string(),
            "closed with 1002 the server did not agree to the subprotocol of topics"
        );
        assert!(client.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_breaks_the_subprotocol_ends_the_client() {
    let (mut client, mut listener) = pair();
    let serving = async {
        let mut far = listener.accept().await;
        far.says("hello").await;
        assert_eq!(far.ws.recv().await.unwrap(), None);
    };
    let event = beside_next(&mut client, serving).await;
    assert_eq!(
        shown(&event).unwrap(),
        "over: closed with 1002 the frame has no line feed behind its header"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_no_ping_is_left_after_its_silence_and_10_s() {
    let (mut client, mut listener) = pair();
    let serving = async {
        let mut far = listener.accept().await;
        far.says(
            "{\"hello\":1,\"me\":\"AAAAAAAAAAc\",\"node\":\"n1\",\"ping\":5,\"topics\":128}\n",
        )
        .await;
        let opened = Instant::now();
        assert_eq!(far.hears().await, "{\"ping\":1}\n");
        assert!((5 * SECOND..6 * SECOND).contains(&opened.elapsed()));
        assert!(far.ws.recv().await.is_err());
        assert!((15 * SECOND..16 * SECOND).contains(&opened.elapsed()));
    };
    let event = beside_next(&mut client, serving).await;
    let TopicEvent::Connection(ReconnectEvent::Interrupted { why, .. }) = event else {
        panic!("{event:?}");
    };
    assert!(matches!(why, Interruption::Lost(Error::PeerDead)), "{why}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_ping_counts_although_the_program_was_busy_when_it_came() {
    let (mut client, mut listener) = pair();
    let serving = async {
        let mut far = listener.accept().await;
        far.says(
            "{\"hello\":1,\"me\":\"AAAAAAAAAAc\",\"node\":\"n1\",\"ping\":5,\"topics\":128}\n",
        )
        .await;
        assert_eq!(far.hears().await, "{\"ping\":1}\n");
        far.says("{\"pong\":1}\n").await;
        far
    };
    let (told, mut far) = beside(&mut client, serving).await;
    assert!(told.is_empty(), "{told:?}");
    // Nothing polls the client meanwhile.
    tokio::time::advance(14 * SECOND).await;
    let serving = async {
        // The silence of the busy time is over, so the client pings again.
        assert_eq!(far.hears().await, "{\"ping\":1}\n");
        far.says("\nstill here").await;
        far
    };
    let (event, _far) = tokio::join!(next(&mut client), serving);
    assert_eq!(shown(&event).unwrap(), "application: still here");
}

#[tokio::test(start_paused = true)]
async fn messages_without_a_topic_go_to_the_application_and_come_from_it() {
    let (mut client, mut listener) = pair();
    let sender = client.sender();
    sender.send("hello").unwrap();
    let serving = async {
        let mut far = listener.accept().await;
        assert_eq!(far.hears().await, "\nhello");
        far.says("\nwelcome").await;
        far
    };
    let (told, mut far) = beside(&mut client, serving).await;
    assert!(told.is_empty(), "{told:?}");
    let event = next(&mut client).await;
    assert!(matches!(event, TopicEvent::App(message) if message == Message::from("welcome")));
    // The Close is behind what was asked for.
    client.publish("a", "the last").unwrap();
    client.close(CloseCode::NORMAL, "done").unwrap();
    let serving = async move {
        assert!(far.hears().await.ends_with("}\nthe last"));
        assert_eq!(far.ws.recv().await.unwrap(), None);
        assert_eq!(far.ws.close_received().unwrap().to_string(), "1000 done");
    };
    let event = beside_next(&mut client, serving).await;
    assert_eq!(
        shown(&event).unwrap(),
        "1: the message may have been published, no confirmation came"
    );
    assert_eq!(shown(&next(&mut client).await).unwrap(), "over");
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_at_once() {
    let (mut client, _listener) = pair();
    for name in ["", "/a", "$a", "a//b", ".."] {
        assert!(
            matches!(client.subscribe(name), Err(RequestError::Topic(_))),
            "{name}"
        );
        assert!(
            matches!(client.publish(name, "x"), Err(RequestError::Topic(_))),
            "{name}"
        );
        assert!(!client.unsubscribe(name));
    }
    client.subscribe("a").unwrap();
    let twice = client.subscribe("a").unwrap_err();
    assert_eq!(
        twice.to_string(),
        "the client subscribes to the topic already"
    );
    assert!(client.members("b", None).is_err());
    assert!(client.unsubscribe("a"));
}

/// A conversation over a transport that holds few bytes, with a lost connection in its middle.
async fn conversation(listener: &mut Listener) {
    let mut far = listener.accept_over(7).await;
    far.hears().await;
    let publish = far.hears().await;
    far.says(&format!(
        "{{\"ok\":1,\"topic\":\"a\",\"at\":\"{}\",\"missed\":1}}\n",
        AT[0]
    ))
    .await;
    far.says(&format!("{{\"m\":\"a\",\"at\":\"{}\"}}\none", AT[1]))
        .await;
    far.says("\nhello").await;
    drop(far);
    let mut far = listener.accept_over(7).await;
    far.hears().await;
    assert_eq!(key(&far.hears().await), key(&publish));
    far.says(&format!(
        "{{\"ok\":3,\"topic\":\"a\",\"at\":\"{}\",\"recovered\":true,\"missed\":1}}\n",
        AT[1]
    ))
    .await;
    far.says(&format!("{{\"m\":\"a\",\"at\":\"{}\"}}\ntwo", AT[2]))
        .await;
    far.says(&format!("{{\"ok\":4,\"stored\":\"{}\"}}\n", AT[2]))
        .await;
    far.close(CloseCode::NORMAL).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_of_next_dropped_at_any_poll_loses_nothing() {
    for drops in [false, true] {
        let (mut client, mut listener) = pair();
        client.subscribe("a").unwrap();
        client.publish("a", "two").unwrap();
        let listening = async {
            let mut told = Vec::new();
            loop {
                let event = match drops {
                    // Each poll is that of a call of its own.
                    true => poll_fn(|cx| pin!(client.next()).poll(cx)).await,
                    false => client.next().await,
                };
                let Some(event) = event else { return told };
                told.extend(shown(&event));
            }
        };
        let (told, ()) = tokio::join!(listening, conversation(&mut listener));
        assert_eq!(
            told,
            [
                "a is live".to_owned(),
                "a: one".to_owned(),
                "application: hello".to_owned(),
                "interrupted: the peer went away without a Close".to_owned(),
                "a is live, 1 missed".to_owned(),
                "a: two".to_owned(),
                format!("1 published at {}", AT[2]),
                "over: the peer closed with 1000".to_owned(),
            ],
            "drops: {drops}"
        );
    }
}
