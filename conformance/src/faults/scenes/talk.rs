//! A connection that speaks the subprotocol of topics frame by frame, so that a scene sees each answer.

use std::time::Duration;

use serde_json::{Value, json};
use sockeye::reconnect::topics::SUBPROTOCOLS;
use sockeye::{Client, Connection};

use crate::error::Result;

/// A connection that has said hello.
pub(super) struct Talk {
    connection: Connection,
    /// The public name of this client.
    pub(super) me: String,
}

/// What came of a connection.
#[derive(Debug)]
pub(super) enum Heard {
    /// A frame: its header, and its body.
    Frame(Value, String),
    /// The end: the code of the server's Close, if there was one.
    End(Option<u16>),
}

/// Makes the client for many connections. They do not compress, so that messages have the size that the scene says.
pub(super) fn many() -> Client {
    Client::builder()
        .subprotocols(SUBPROTOCOLS)
        .compression(None)
        .in_turn(false)
        .connect_timeout(PATIENCE)
        .handshake_timeout(PATIENCE)
        .build()
}

impl Talk {
    /// Connects to a node, or to a relay before it, at `host:port`.
    pub(super) async fn open(client: &Client, address: &str) -> Result<Self> {
        let connection = client.connect(&*format!("ws://{address}/topics")).await?;
        let mut talk = Self {
            connection,
            me: String::new(),
        };
        match talk.next().await? {
            Heard::Frame(hello, _) if hello["hello"] == 1 => {
                talk.me = hello["me"].as_str().unwrap_or_default().to_owned();
                Ok(talk)
            }
            other => Err(format!("the node does not say hello: {other:?}").into()),
        }
    }

    /// Sends a request. Its outcome is an answer, or the end of the connection.
    pub(super) async fn ask(&mut self, header: Value) {
        let _ = self.connection.send(format!("{header}\n")).await;
    }

    /// Subscribes to a topic, as a member if it says something of itself, and waits for the answer: its header.
    pub(super) async fn subscribe(&mut self, topic: &str, member: Option<Value>) -> Result<Value> {
        let mut header = json!({ "sub": topic, "ref": 1 });
        if let Some(member) = member {
            header["member"] = member;
        }
        self.ask(header).await;
        loop {
            match self.next().await? {
                Heard::Frame(header, _) if header["ok"] == 1 => return Ok(header),
                Heard::Frame(header, _) if header["err"] == 1 => {
                    return Err(format!("cannot subscribe to {topic}: {header}").into());
                }
                Heard::Frame(..) => {}
                Heard::End(code) => return Err(format!("the connection ended: {code:?}").into()),
            }
        }
    }

    /// Waits for the next frame, or the end. Safe to drop.
    pub(super) async fn next(&mut self) -> Result<Heard> {
        loop {
            let Ok(Some(message)) = self.connection.recv().await else {
                let close = self.connection.close_received();
                return Ok(Heard::End(close.map(|close| close.code().get())));
            };
            // All messages of the scenes are texts.
            if let Some(text) = message.as_text() {
                let (header, body) = text.split_once('\n').ok_or("a frame without a header")?;
                return Ok(Heard::Frame(serde_json::from_str(header)?, body.to_owned()));
            }
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
