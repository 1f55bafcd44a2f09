//! Topics over TCP: sessions subscribe, code publishes, and clients of the subprotocol resume.

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
