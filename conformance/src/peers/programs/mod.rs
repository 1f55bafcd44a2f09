//! Servers that are whole programs: Sockeye's client talks to each in the program's own protocol. The tap between them
//! reads the wire.

mod bokeh;
mod devtools;
mod inspector;
mod mosquitto;

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use sockeye::proto::{Config, Outgoing, Role};
use sockeye::{Client, CloseCode, Connection, Message};
use tokio::time::timeout;

use crate::error::Result;
use crate::process::Child;

use super::check::{Cell, PINGS, Tried, until_close};
use super::install::Tools;
use super::page::Row;
use super::puppet::LIMIT;
use super::tap::{CLOSE, Frame, From, PONG, Tap, Wire};

/// The columns of the table.
pub(super) const COLUMNS: [&str; 4] = ["opens", "talks", "pings", "Sockeye closes"];

/// A program that is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bokeh,
    Inspector,
    DevTools,
    Mosquitto,
}

/// A running program; it ends with this value.
struct Program {
    kind: Kind,
    version: String,
    address: SocketAddr,
    /// Path and query of its endpoint.
    path: String,
    _process: Child,
}

/// Sockeye's end of a connection, and what is on the wire.
struct Link {
    connection: Connection,
    wire: Arc<Wire>,
    version: String,
}

/// Starts each program whose name has `only` in it, and tries it: a row for each.
pub(super) async fn try_all(tools: &Tools, only: Option<&str>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, kind) in PROGRAMS {
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let program = match kind {
            Kind::Bokeh => bokeh::start(tools).await?,
            Kind::Inspector => inspector::start(tools).await?,
            Kind::DevTools => devtools::start(tools).await?,
            Kind::Mosquitto => mosquitto::start(tools).await?,
        };
        let tap = Tap::start().await?;
        tap.relay_to(program.address);
        let cells: [Cell; COLUMNS.len()] = [
            program.opens(&tap).await.into(),
            program.talks(&tap).await.into(),
            program.pings(&tap).await.into(),
            program.closes(&tap).await.into(),
        ];
        let name = format!("{name} {}", program.version);
        for (cell, column) in cells.iter().zip(COLUMNS) {
            println!("peers: {name}: {column}: {cell}");
        }
        rows.push(Row {
            name,
            cells: cells.into(),
        });
    }
    Ok(rows)
}

impl Program {
    async fn open(&self, tap: &Tap) -> Result<Link> {
        let mut config = Config::new(Role::Client);
        if self.kind == Kind::Inspector {
            config = config.keep_alive(None);
        }
        let mut client = Client::builder().config(config);
        client = match self.kind {
            Kind::Bokeh => client.subprotocols(bokeh::subprotocols()?),
            Kind::Mosquitto => client.subprotocols(["mqtt"]),
            Kind::Inspector | Kind::DevTools => client,
        };
        let client = client.build();
        let url = format!("ws://{}{}", tap.address(), self.path);
        Ok(Link {
            connection: client.connect(url).await?,
            wire: tap.wire()?,
            version: self.version.clone(),
        })
    }

    /// The handshake: what is agreed on.
    async fn opens(&self, tap: &Tap) -> Result<Tried> {
        let link = self.open(tap).await?;
        let (subprotocol, compresses) = match self.kind {
            Kind::Bokeh => (Some("bokeh"), true),
            Kind::DevTools => (None, true),
            Kind::Inspector => (None, false),
            Kind::Mosquitto => (Some("mqtt"), false),
        };
        let chosen = link.connection.subprotocol();
        if chosen != subprotocol {
            return Err(format!("the subprotocol is {chosen:?}, not {subprotocol:?}").into());
        }
        let answer = link.wire.answer();
        if answer.is_some() != compresses {
            return Err(format!("compressed, or not: the answer is {answer:?}").into());
        }
        Ok(passed(1))
    }

    /// A conversation in the program's own protocol.
    async fn talks(&self, tap: &Tap) -> Result<Tried> {
        let mut link = self.open(tap).await?;
        match self.kind {
            Kind::Bokeh => bokeh::talk(&mut link).await?,
            Kind::Inspector => inspector::talk(&mut link).await?,
            Kind::DevTools => devtools::talk(&mut link).await?,
            Kind::Mosquitto => mosquitto::talk(&mut link).await?,
        }
        Ok(passed(1))
    }

    async fn pings(&self, tap: &Tap) -> Result<Tried> {
        let mut link = self.open(tap).await?;
        if self.kind == Kind::Inspector {
            return inspector::ping(&mut link).await;
        }
        for payload in PINGS {
            link.connection.ping(payload).await?;
            let is_it = |frame: &Frame| {
                frame.from == From::Server && frame.opcode == PONG && frame.payload == payload
            };
            link.wire.until("the Pong", is_it).await?;
        }
        Ok(passed(PINGS.len()))
    }

    async fn closes(&self, tap: &Tap) -> Result<Tried> {
        let mut link = self.open(tap).await?;
        link.connection
            .start_closing_handshake(CloseCode::NORMAL, "")?;
        while link.receive().await?.is_some() {}
        let expected = match self.kind {
            Kind::Inspector => None,
            Kind::Bokeh | Kind::DevTools | Kind::Mosquitto => Some(1000),
        };
        let answer = until_close(&link.wire, From::Server).await?;
        if answer != expected {
            return Err(format!("Close 1000 is answered with {answer:?}").into());
        }
        Ok(passed(1))
    }
}

impl Link {
    async fn send(&mut self, message: impl Into<Outgoing>) -> Result<()> {
        Ok(self.connection.send(message).await?)
    }

    /// The next message; none when the connection has ended in order.
    async fn receive(&mut self) -> Result<Option<Message>> {
        let received = timeout(LIMIT, self.connection.recv()).await;
        Ok(received.map_err(|_| format!("nothing comes within {LIMIT:?}"))??)
    }

    async fn text(&mut self) -> Result<String> {
        match self.receive().await? {
            Some(Message::Text(text)) => Ok(text.to_string()),
            other => Err(format!("a text was expected, not {other:?}").into()),
        }
    }

    /// A request of JSON-RPC as debuggers of V8 speak it, and the result of the answer to it. Events before it
    /// are passed over.
    async fn call(&mut self, id: u32, method: &str, params: Value) -> Result<Value> {
        let request = json!({ "id": id, "method": method, "params": params });
        self.send(request.to_string()).await?;
        loop {
            let mut answer: Value = serde_json::from_str(&self.text().await?)?;
            if answer["id"] == id {
                return match answer["result"].take() {
                    Value::Null => Err(format!("{method} is answered with {answer}").into()),
                    result => Ok(result),
                };
            }
        }
    }

    /// Whether the server has sent a compressed message.
    fn compressed(&self) -> bool {
        let is_it = |frame: &Frame| {
            frame.from == From::Server && frame.opcode < CLOSE && frame.is_compressed
        };
        self.wire.frames().iter().any(is_it)
    }
}

/// The address and the path of a debugger that says `PREFIX ws://ADDRESS/PATH`.
fn listening(line: &str, prefix: &str) -> Option<(SocketAddr, String)> {
    let url = line.strip_prefix(prefix)?.strip_prefix("ws://")?;
    let (address, path) = url.split_once('/')?;
    Some((address.parse().ok()?, format!("/{path}")))
}

fn passed(count: usize) -> Tried {
    Tried {
        passed: count,
        ..Tried::default()
    }
}

const PROGRAMS: [(&str, Kind); 4] = [
    ("Bokeh", Kind::Bokeh),
    ("Node's inspector", Kind::Inspector),
    ("Chromium's DevTools", Kind::DevTools),
    ("Mosquitto", Kind::Mosquitto),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debugger_says_where_it_listens() {
        let line = "Debugger listening on ws://127.0.0.1:44899/94d2-c5b9";
        let found = listening(line, "Debugger listening on ");
        let address = "127.0.0.1:44899".parse().unwrap();
        assert_eq!(found, Some((address, "/94d2-c5b9".to_owned())));
        assert_eq!(listening(line, "DevTools listening on "), None);
    }
}
