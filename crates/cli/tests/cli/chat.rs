//! The chat of `sockeye serve` for clients of topics, and for raw clients beside them.

use serde_json::{Value, json};
use sockeye::{Client, CloseCode, Connection};

use crate::program::Server;

/// A client of the subprotocol.
struct Topics(Connection);

/// A frame: its header, and its body.
#[derive(Debug)]
struct Frame {
    header: Value,
    body: Value,
}

impl Topics {
    /// Enters a room. Returns the welcome too.
    async fn enter(server: &Server, path: &str) -> (Self, Value) {
        let client = Client::builder()
            .subprotocols(["sockeye.topics.v0"])
            .build();
        let connection = client.connect(&*server.url(path)).await;
        let mut client = Self(connection.expect("the server takes it"));
        assert_eq!(client.frame().await.header["hello"], 1);
        let welcome = client.frame().await;
        assert_eq!(welcome.header, Value::Null);
        assert_eq!(welcome.body["type"], "welcome");
        (client, welcome.body)
    }

    async fn frame(&mut self) -> Frame {
        let message = self.0.recv().await.expect("no error").expect("a message");
        let (header, body) = message
            .as_text()
            .expect("a text")
            .split_once('\n')
            .expect("a header");
        let parse = |text: &str| match text {
            "" => Value::Null,
            text => serde_json::from_str(text).expect("JSON"),
        };
        Frame {
            header: parse(header),
            body: parse(body),
        }
    }

    /// Sends a request. Returns its answer.
    async fn ask(&mut self, header: Value) -> Value {
        self.0
            .send(format!("{header}\n"))
            .await
            .expect("it is open");
        loop {
            let frame = self.frame().await;
            if frame.header.get("ok").or(frame.header.get("err")) == header.get("ref") {
                return frame.header;
            }
        }
    }

    async fn say(&mut self, text: &str) {
        self.0
            .send(format!("\n{}", said(text)))
            .await
            .expect("it is open");
    }

    /// Returns this many events of the room.
    async fn events(&mut self, number: usize) -> Vec<Frame> {
        let mut events = Vec::new();
        while events.len() < number {
            let frame = self.frame().await;
            if frame.header["m"] == "room/river" {
                events.push(frame);
            }
        }
        events
    }
}

fn said(text: &str) -> String {
    json!({"type": "message", "text": text}).to_string()
}

/// Returns the types, and the text of each message.
fn told(events: &[Frame]) -> Vec<String> {
    let kind = |frame: &Frame| match frame.body["text"].as_str() {
        Some(text) => text.to_owned(),
        None => frame.body["type"].as_str().expect("a type").to_owned(),
    };
    events.iter().map(kind).collect()
}

/// Connects a client without compression.
async fn raw(server: &Server, path: &str) -> Connection {
    let client = Client::builder().compression(None).build();
    let connection = client.connect(&*server.url(path)).await;
    connection.expect("the server takes it")
}

async fn raw_event(client: &mut Connection) -> Value {
    let message = client.recv().await.expect("no error").expect("a message");
    serde_json::from_str(message.as_text().expect("a text")).expect("JSON")
}

#[tokio::test]
async fn a_client_of_topics_gets_the_history_of_the_room_and_then_its_events() {
    let server = Server::start(&[]);
    let mut ada = raw(&server, "/chat/river?name=Ada").await;
    assert_eq!(raw_event(&mut ada).await["type"], "welcome");
    ada.send(said("first")).await.expect("it is open");
    assert_eq!(raw_event(&mut ada).await["text"], "first");
    let (mut grace, welcome) = Topics::enter(&server, "/chat/River?name=Grace").await;
    assert_eq!(welcome["people"], json!(["Ada", "Grace"]));
    let topic = &welcome["history"];
    let subscribed = grace
        .ask(json!({"sub": topic, "ref": 1, "recent": 50}))
        .await;
    assert_eq!(
        (&subscribed["topic"], &subscribed["missed"]),
        (topic, &json!(3))
    );
    let history = grace.events(3).await;
    assert_eq!(told(&history), ["joined", "first", "joined"]);
    // The list of the welcome is right for the last of them.
    assert_eq!(history[2].header["at"], welcome["at"]);
    assert_eq!(history[2].body["id"], welcome["id"]);
    grace.say("second").await;
    assert_eq!(told(&grace.events(1).await), ["second"]);
    // The raw client gets the same events, as they are.
    assert_eq!(raw_event(&mut ada).await["type"], "joined");
    assert_eq!(raw_event(&mut ada).await["text"], "second");
}

#[tokio::test]
async fn a_client_that_comes_back_with_its_position_gets_what_it_missed() {
    let server = Server::start(&[]);
    let (mut grace, welcome) = Topics::enter(&server, "/chat/river?name=Grace").await;
    let topic = welcome["history"].clone();
    grace
        .ask(json!({"sub": topic, "ref": 1, "at": welcome["at"]}))
        .await;
    drop(grace);
    let mut ada = raw(&server, "/chat/river?name=Ada").await;
    for text in ["one", "two"] {
        ada.send(said(text)).await.expect("it is open");
    }
    while raw_event(&mut ada).await["text"] != "two" {}
    let (mut grace, again) = Topics::enter(&server, "/chat/river?name=Grace").await;
    let subscribed = grace
        .ask(json!({"sub": topic, "ref": 1, "at": welcome["at"]}))
        .await;
    assert_eq!(subscribed["recovered"], true);
    let missed = subscribed["missed"].as_u64().expect("a number");
    let missed = grace.events(usize::try_from(missed).expect("few")).await;
    let told = told(&missed);
    let texts: Vec<_> = told
        .iter()
        .filter(|text| ["one", "two"].contains(&text.as_str()))
        .collect();
    assert_eq!(texts, ["one", "two"]);
    assert_eq!(missed.last().expect("a joining").header["at"], again["at"]);
    // A position of an earlier server is lost.
    let forged = "AAAAAAAAAAE:1:AAAAAAAAAAE";
    grace.ask(json!({"unsub": topic, "ref": 2})).await;
    let subscribed = grace
        .ask(json!({"sub": topic, "ref": 3, "at": forged}))
        .await;
    assert_eq!(subscribed["recovered"], false);
}

#[tokio::test]
async fn the_server_alone_publishes_to_a_room() {
    let server = Server::start(&[]);
    let (mut mallory, _) = Topics::enter(&server, "/chat/river?name=Mallory").await;
    let forged = json!({"pub": "room/river", "ref": 1, "key": "0123456789012345678901"});
    let answer = mallory.ask(forged).await;
    assert_eq!(answer["code"], "denied", "{answer}");
}

#[tokio::test]
async fn a_member_that_does_not_read_leaves_the_room_at_once() {
    let server = Server::start(&["--rate", "1000000", "--burst", "1000000"]);
    // It never reads.
    let deaf = raw(&server, "/chat/river?name=Deaf").await;
    let (sender, mut ada) = raw(&server, "/chat/river?name=Ada").await.split();
    let text = said(&"鮭".repeat(4000));
    let sending = tokio::spawn(async move { while sender.send(text.as_str()).await.is_ok() {} });
    let left = loop {
        let message = ada.recv().await.expect("no error").expect("a message");
        let event: Value = serde_json::from_str(message.as_text().expect("a text")).expect("JSON");
        if event["type"] == "left" {
            break event;
        }
    };
    sending.abort();
    assert_eq!(left["name"], "Deaf");
    let mut deaf = deaf;
    while let Ok(Some(_)) = deaf.recv().await {}
    // The server waits only a few seconds for a peer to take the Close.
    let close = deaf.close_received().map(|close| close.code());
    assert!(
        matches!(close, None | Some(CloseCode::TRY_AGAIN_LATER)),
        "{close:?}"
    );
}
