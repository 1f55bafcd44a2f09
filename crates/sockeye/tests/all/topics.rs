//! Topics over TCP: sessions subscribe, code publishes, and clients of the subprotocol resume.
#![cfg(all(feature = "macros", feature = "topics-wire"))]

use std::time::Duration;

use sockeye::topics::{History, Policy, Recovery};
use sockeye::{Connection, HandlerResult, Server, Session, Topics, server_endpoint};

const HOUR: Duration = Duration::from_secs(3600);

/// A room whose members hear what each of them says.
#[derive(Default)]
struct Room {
    topic: String,
}

#[server_endpoint("/room/{room}")]
impl Room {
    #[on_open]
    async fn enter(&mut self, session: &Session, #[path] room: &str) -> HandlerResult {
        self.topic = format!("room/{room}");
        let subscribed = session.subscribe(&self.topic).recent(2).await?;
        assert_eq!(subscribed.recovery(), Recovery::Fresh);
        session.basic_remote().send_text("welcome").await?;
        Ok(())
    }

    #[on_message]
    async fn say(&mut self, session: &Session, text: String) -> HandlerResult {
        session.topics().publish(&self.topic, text).await?;
        Ok(())
    }
}

async fn serve(topics: Topics) -> String {
    let server = Server::builder().topics(topics).default_endpoint::<Room>();
    let server = server.bind("127.0.0.1:0").await.expect("a server");
    let url = format!("ws://{}", server.local_addr());
    tokio::spawn(server.serve());
    url
}

fn rooms() -> Topics {
    let policy = Policy::new().history(History::window(100, HOUR));
    Topics::builder()
        .pattern("room/{id}", policy)
        .build()
        .expect("a valid policy")
}

async fn next(ws: &mut Connection) -> String {
    let message = ws.recv().await.expect("no error").expect("a message");
    message.as_text().expect("a text").to_owned()
}

#[tokio::test]
async fn subscribers_get_the_newest_messages_and_then_each_one_once_and_in_order() {
    let topics = rooms();
    let url = serve(topics.clone()).await;
    for n in 0..3 {
        topics
            .publish("room/1", format!("early {n}"))
            .await
            .unwrap();
    }
    let mut ann = sockeye::connect(format!("{url}/room/1")).await.unwrap();
    let mut bob = sockeye::connect(format!("{url}/room/1")).await.unwrap();
    for ws in [&mut ann, &mut bob] {
        assert_eq!(next(ws).await, "early 1");
        assert_eq!(next(ws).await, "early 2");
        assert_eq!(next(ws).await, "welcome");
    }
    ann.send("hello").await.unwrap();
    topics.publish("room/2", "another room").await.unwrap();
    for ws in [&mut ann, &mut bob] {
        assert_eq!(next(ws).await, "hello");
    }
    assert_eq!(topics.subscribers("room/1"), 2);
}

#[tokio::test]
async fn two_servers_share_topics() {
    let topics = rooms();
    let urls = [serve(topics.clone()).await, serve(topics.clone()).await];
    let mut members = Vec::new();
    for url in &urls {
        let mut ws = sockeye::connect(format!("{url}/room/1")).await.unwrap();
        assert_eq!(next(&mut ws).await, "welcome");
        members.push(ws);
    }
    members[0].send("hello").await.unwrap();
    for ws in &mut members {
        assert_eq!(next(ws).await, "hello");
    }
    assert_eq!(topics.subscribers("room/1"), 2);
}

#[tokio::test]
async fn a_server_whose_outboxes_cannot_take_a_history_is_refused() {
    for (limit, is_taken) in [(1 << 20, true), ((1 << 20) - 2, false)] {
        let server = Server::builder()
            .topics(rooms())
            .outbox_limit(limit)
            .default_endpoint::<Room>();
        let bound = server.bind("127.0.0.1:0").await;
        assert_eq!(bound.is_ok(), is_taken);
        let Err(error) = bound else {
            continue;
        };
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        for part in ["room/{id}", "524288", "1048574", "outbox_limit"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

#[cfg(feature = "topics-wire")]
mod wire {
    use sockeye::topics::Clients;
    use sockeye::{Client, Endpoint, endpoint};

    use super::*;

    /// Handles nothing itself: its clients use topics.
    struct Open;

    impl Endpoint for Open {}

    async fn connect(url: &str) -> Connection {
        let client = Client::builder().subprotocols(["sockeye.topics.v0"]);
        let mut ws = client.build().connect(url).await.expect("a connection");
        assert!(next(&mut ws).await.starts_with(r#"{"hello":1"#));
        ws
    }

    async fn ask(ws: &mut Connection, frame: &str) -> String {
        ws.send(frame).await.expect("it is sent");
        next(ws).await
    }

    #[tokio::test]
    async fn a_client_that_comes_back_gets_what_it_missed() {
        let policy = Policy::new().history(History::window(100, HOUR));
        let topics = Topics::builder()
            .pattern("room/{id}", policy.clients(Clients::publish()))
            .build()
            .unwrap();
        let server = Server::builder().topics(topics.clone());
        let server = server.endpoint(endpoint("/topics", |_| Open).topics());
        let server = server.bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/topics", server.local_addr());
        tokio::spawn(server.serve());

        let mut ann = connect(&url).await;
        let subscribed = ask(&mut ann, "{\"sub\":\"room/1\",\"ref\":1}\n").await;
        assert!(subscribed.starts_with(r#"{"ok":1,"topic":"room/1""#));
        let first = ask(&mut ann, "{\"pub\":\"room/1\",\"ref\":2}\nfirst").await;
        let at = first.split('"').nth(7).unwrap().to_owned();
        drop(ann);
        for text in ["second", "third"] {
            topics.publish("room/1", text).await.unwrap();
        }
        let mut ann = connect(&url).await;
        let resume = format!("{{\"sub\":\"room/1\",\"ref\":1,\"at\":\"{at}\"}}\n");
        let resumed = ask(&mut ann, &resume).await;
        assert!(
            resumed.contains(r#""recovered":true,"missed":2"#),
            "{resumed}"
        );
        for text in ["second", "third"] {
            let message = next(&mut ann).await;
            assert_eq!(message.split_once('\n').unwrap().1, text);
        }
    }
}
