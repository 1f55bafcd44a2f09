//! An endpoint whose clients may agree on the subprotocol of topics: their messages come and go in its envelope, and
//! other clients see no difference.
#![cfg(all(feature = "macros", feature = "topics-wire"))]

use std::sync::Mutex;

use sockeye::endpoint::{Configurator, EndpointConfig, Handshake};
use sockeye::{Client, Connection, Endpoint, Message, Server, Session, endpoint, server_endpoint};

use crate::support::serve;

const TOPICS: &str = "sockeye.topics.v0";

/// Sends each text to the sessions of its room.
#[derive(Default)]
struct Chat;

#[server_endpoint("/chat/{room}", subprotocols = ["chat"], topics)]
impl Chat {
    #[on_message]
    fn said(&mut self, session: &Session, text: &str, #[path] room: &str) -> String {
        let here = session.open_sessions();
        here.with_path_parameter("room", room).broadcast(text);
        format!("{text} to {room}")
    }
}

async fn connect(url: &str, offered: &[&str]) -> Connection {
    let client = Client::builder().subprotocols(offered.iter().copied());
    client.build().connect(url).await.expect("a connection")
}

async fn recv(ws: &mut Connection) -> String {
    let message = ws.recv().await.expect("no error");
    message
        .as_ref()
        .and_then(Message::as_text)
        .expect("a text")
        .to_owned()
}

#[tokio::test]
async fn clients_with_the_envelope_and_without_it_talk_in_one_room() {
    let addr = serve(Server::builder().default_endpoint::<Chat>()).await;
    let url = format!("ws://{addr}/chat/1");
    let mut raw = connect(&url, &[]).await;
    let mut chat = connect(&url, &["chat", TOPICS]).await;
    let mut enveloped = connect(&url, &["other", TOPICS, "chat"]).await;
    let _elsewhere = connect(&format!("ws://{addr}/chat/2"), &[TOPICS]).await;
    let agreed = [&raw, &chat, &enveloped].map(|ws| ws.subprotocol().map(str::to_owned));
    assert_eq!(
        agreed,
        [None, Some("chat".to_owned()), Some(TOPICS.to_owned())]
    );

    let greeting = recv(&mut enveloped).await;
    assert!(greeting.starts_with(r#"{"hello":1,"#), "{greeting}");
    enveloped.send("\nhello").await.unwrap();
    assert_eq!(recv(&mut enveloped).await, "\nhello");
    assert_eq!(recv(&mut enveloped).await, "\nhello to 1");
    assert_eq!(recv(&mut chat).await, "hello");
    assert_eq!(recv(&mut raw).await, "hello");
    raw.send("\nhi").await.unwrap();
    assert_eq!(recv(&mut raw).await, "\nhi");
    assert_eq!(recv(&mut raw).await, "\nhi to 1");
    assert_eq!(recv(&mut enveloped).await, "\n\nhi");
}

struct Silent;

impl Endpoint for Silent {}

fn silent() -> EndpointConfig {
    endpoint("/", |_| Silent)
}

#[tokio::test]
async fn a_configurator_sees_the_subprotocol_once_among_those_that_the_endpoint_speaks() {
    /// Agrees on the last offered subprotocol that is spoken.
    #[derive(Default)]
    struct Last(Mutex<Vec<String>>);

    impl Configurator for &'static Last {
        fn negotiate_subprotocol<'o>(
            &self,
            _: &Handshake,
            offered: &[&'o str],
            spoken: &[String],
        ) -> Option<&'o str> {
            *self.0.lock().unwrap() = spoken.to_vec();
            let is_spoken = |name: &&&str| spoken.iter().any(|spoken| spoken == **name);
            offered.iter().rev().find(is_spoken).copied()
        }
    }

    let cases: [(EndpointConfig, &[&str]); 3] = [
        (silent().topics(), &[TOPICS]),
        (silent().topics().subprotocols(["a"]), &["a", TOPICS]),
        (
            silent().subprotocols([TOPICS, "a"]).topics(),
            &[TOPICS, "a"],
        ),
    ];
    for (config, spoken) in cases {
        let last: &'static Last = Box::leak(Box::default());
        let addr = serve(Server::builder().endpoint(config.configurator(last))).await;
        let ws = connect(&format!("ws://{addr}/"), &["b", TOPICS]).await;
        assert_eq!(ws.subprotocol(), Some(TOPICS));
        assert_eq!(*last.0.lock().unwrap(), spoken);
    }
}
