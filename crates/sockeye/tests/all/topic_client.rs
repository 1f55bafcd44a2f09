//! A client of topics over TCP, whose connections are cut.

use std::net::SocketAddr;
use std::time::Duration;

use sockeye::reconnect::topics::{Recovery, SubscribeOptions, TopicClient, TopicEvent};
use sockeye::reconnect::{Interruption, ReconnectEvent, Retry};
use sockeye::topics::{Clients, History, Policy, Presence};
use sockeye::{Client, CloseCode, Server, Session, Topics, server_endpoint};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::{serve, soon};

#[derive(Default)]
struct Desk;

#[server_endpoint("/topics", topics)]
impl Desk {
    /// Answers a message that belongs to no topic.
    #[on_message]
    fn said(&self, text: &str) -> String {
        format!("heard {text}")
    }
}

#[derive(Default)]
struct Raw;

#[server_endpoint("/raw")]
impl Raw {
    #[on_message]
    fn said(&self, _: &Session, _: &str) {}
}

fn topics() -> Topics {
    let kept = Policy::new()
        .history(History::window(1000, Duration::from_secs(3600)))
        .presence(Presence::members(10))
        .clients(Clients::publish());
    let free = Policy::new().clients(Clients::publish());
    let topics = Topics::builder().pattern("kept/{id}", kept);
    topics.pattern("free/{id}", free).build().expect("patterns")
}

async fn desk(topics: Topics) -> SocketAddr {
    let server = Server::builder().topics(topics).default_endpoint::<Desk>();
    serve(server.default_endpoint::<Raw>()).await
}

fn client(addr: SocketAddr, path: &str) -> TopicClient {
    let client = Client::new().reconnecting(format!("ws://{addr}{path}"));
    let retry = Retry::default().first_pause(Duration::from_millis(1));
    client.expect("a URL").retry(retry).topics()
}

/// Waits for the next event but for those of connecting.
async fn next(client: &mut TopicClient) -> TopicEvent {
    loop {
        match soon(client.next()).await.expect("it is not over") {
            TopicEvent::Connection(
                ReconnectEvent::Connecting { .. }
                | ReconnectEvent::Opened
                | ReconnectEvent::Interrupted { .. },
            ) => {}
            event => return event,
        }
    }
}

/// Passes connections on to a server, until they are cut.
struct Wire {
    addr: SocketAddr,
    cuts: watch::Sender<u32>,
}

impl Wire {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let (cuts, watch) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut watch = watch.clone();
                watch.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(server).await.expect("it listens");
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = watch.changed() => {}
                    }
                });
            }
        });
        Self { addr, cuts }
    }

    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

#[tokio::test]
async fn a_client_whose_connection_is_cut_gets_all_messages_once_and_in_order() {
    let topics = topics();
    let wire = Wire::to(desk(topics.clone()).await).await;
    let mut client = client(wire.addr, "/topics");
    client.subscribe("kept/1").unwrap();
    assert!(matches!(
        next(&mut client).await,
        TopicEvent::Subscribed {
            recovery: Recovery::Fresh,
            ..
        }
    ));
    let publishing = tokio::spawn({
        let topics = topics.clone();
        async move {
            for number in 0..500 {
                topics.publish("kept/1", number.to_string()).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    let mut got = Vec::new();
    while got.len() < 500 {
        match next(&mut client).await {
            TopicEvent::Message { message, .. } => {
                got.push(message.to_string().parse::<u32>().unwrap());
                if got.len() % 50 == 7 {
                    wire.cut();
                }
            }
            TopicEvent::Subscribed {
                recovery: Recovery::Recovered { .. },
                ..
            } => {}
            event => panic!("{event:?}"),
        }
    }
    assert!(got.iter().copied().eq(0..500), "{got:?}");
    publishing.await.unwrap();
    // A later client continues behind the stored position.
    let position = client.positions().next().unwrap().1;
    drop(client);
    topics.publish("kept/1", "while it was away").await.unwrap();
    let mut client = self::client(wire.addr, "/topics");
    client.subscribe_after("kept/1", position).unwrap();
    let event = next(&mut client).await;
    assert!(matches!(
        event,
        TopicEvent::Subscribed {
            recovery: Recovery::Recovered { missed: 1 },
            replay: 1,
            ..
        }
    ));
    let event = next(&mut client).await;
    assert!(
        matches!(
            event,
            TopicEvent::Message {
                is_replay: true,
                ..
            }
        ),
        "{event:?}"
    );
}

#[tokio::test]
async fn a_client_publishes_once_although_its_connection_is_cut() {
    let topics = topics();
    let wire = Wire::to(desk(topics.clone()).await).await;
    let mut client = client(wire.addr, "/topics");
    client.subscribe("kept/1").unwrap();
    next(&mut client).await;
    let mut open = 0;
    let mut sent = 0;
    let mut got = Vec::new();
    while open > 0 || sent < 100 || got.len() < 100 {
        if sent < 100 && open < 10 {
            client.publish("kept/1", sent.to_string()).unwrap();
            (sent, open) = (sent + 1, open + 1);
            continue;
        }
        match next(&mut client).await {
            TopicEvent::Published { position, .. } => {
                assert!(position.is_some());
                open -= 1;
                if sent % 30 == 0 {
                    wire.cut();
                }
            }
            TopicEvent::Message { message, .. } => {
                got.push(message.to_string().parse::<u32>().unwrap());
            }
            TopicEvent::Subscribed { .. } => {}
            event => panic!("{event:?}"),
        }
    }
    got.sort_unstable();
    assert!(got.iter().copied().eq(0..100), "{got:?}");
}

#[tokio::test]
async fn a_client_asks_for_members_and_speaks_to_the_application() {
    let mut client = client(desk(topics()).await, "/topics");
    let options = SubscribeOptions::new().member(r#"{"name":"Ann"}"#);
    client.subscribe_with("kept/1", &options).unwrap();
    let members = client.members("kept/1", None).unwrap();
    let count = client.count("kept/1").unwrap();
    client.sender().send("hello").unwrap();
    let (mut listed, mut counted, mut heard) = (None, None, None);
    while listed.is_none() || counted.is_none() || heard.is_none() {
        match next(&mut client).await {
            TopicEvent::Members {
                number,
                members: list,
                all: true,
                ..
            } if number == members => {
                listed = Some(list);
            }
            TopicEvent::Count {
                number,
                count: members,
                ..
            } if number == count => {
                counted = Some(members);
            }
            TopicEvent::App(message) => heard = Some(message.to_string()),
            TopicEvent::Subscribed { .. } | TopicEvent::Stir { .. } => {}
            event => panic!("{event:?}"),
        }
    }
    assert!(listed.unwrap().contains(r#"{"name":"Ann"}"#));
    assert_eq!((counted, heard.as_deref()), (Some(1), Some("heard hello")));
    assert!(client.me().is_some() && client.node().is_some());
    client.publish("nowhere", "x").unwrap();
    let event = next(&mut client).await;
    assert!(
        matches!(event, TopicEvent::PublishFailed { .. }),
        "{event:?}"
    );
    client.close(CloseCode::NORMAL, "").unwrap();
    let event = next(&mut client).await;
    assert!(
        matches!(
            event,
            TopicEvent::Connection(ReconnectEvent::Ended { why: None, .. })
        ),
        "{event:?}"
    );
}

#[tokio::test]
async fn an_endpoint_that_does_not_speak_topics_ends_the_client_with_a_clear_error() {
    let mut client = client(desk(topics()).await, "/raw");
    client.subscribe("kept/1").unwrap();
    let event = next(&mut client).await;
    let TopicEvent::Connection(ReconnectEvent::Ended { why: Some(why), .. }) = event else {
        panic!("{event:?}");
    };
    assert!(matches!(&why, Interruption::Subprotocol(_)), "{why}");
    assert!(
        why.to_string()
            .contains("did not agree to the subprotocol of topics"),
        "{why}"
    );
}
