//! Topics over TCP: sessions subscribe, code publishes, and clients of the subprotocol resume.

use std::time::Duration;

use sockeye::server::ServerBuilder;
#[cfg(feature = "topics-wire")]
use sockeye::topics::Presence;
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
    serve_endpoints(Server::builder().topics(topics).default_endpoint::<Room>()).await
}

async fn serve_endpoints(server: ServerBuilder) -> String {
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", server.local_addr());
    tokio::spawn(server.serve());
    url
}

fn rooms() -> Topics {
    let policy = Policy::new().history(History::window(100, HOUR));
    Topics::builder()
        .pattern("room/{id}", policy)
        .build()
        .unwrap()
}

async fn next(ws: &mut Connection) -> String {
    let message = ws.recv().await.unwrap().expect("a message");
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

/// An endpoint that makes its session a member, as the message says.
#[cfg(feature = "topics-wire")]
#[derive(Default)]
struct Desk;

#[cfg(feature = "topics-wire")]
#[server_endpoint("/desk")]
impl Desk {
    #[on_message]
    async fn enter(&self, session: &Session, json: String) -> String {
        let entered = session.subscribe("desk/1").member(json).await;
        session.unsubscribe("desk/1");
        entered.map_or_else(|error| error.to_string(), |_| "entered".to_owned())
    }
}

#[cfg(feature = "topics-wire")]
#[tokio::test]
async fn what_server_code_says_of_a_member_is_one_line_of_json_of_at_most_1_kib() {
    let desks = Policy::new().presence(Presence::members(10));
    let topics = Topics::builder().pattern("desk/{id}", desks);
    let server = Server::builder().topics(topics.build().unwrap());
    let addr = serve_endpoints(server.default_endpoint::<Desk>()).await;
    let mut ws = sockeye::connect(format!("{addr}/desk")).await.unwrap();
    let longest = format!("\"{}\"", "x".repeat(1022));
    let too_long = format!("\"{}\"", "x".repeat(1023));
    for json in [r#"{"name":"ann"}"#, "null", &longest] {
        ws.send(json).await.unwrap();
        assert_eq!(next(&mut ws).await, "entered", "{json}");
    }
    for json in ["ann", "", "{\n}", &too_long] {
        ws.send(json).await.unwrap();
        let refused = next(&mut ws).await;
        assert!(
            refused.starts_with("the subscription is denied: "),
            "{json}"
        );
    }
}
