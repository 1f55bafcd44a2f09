//! The table of pairs and checks, as it is printed and as it stands in `docs/interop.md`; below it those of
//! Tomcat's examples and of the programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::error::Result;
use crate::judges;

use super::check::{CHECKS, Cell, Tried};
use super::examples;
use super::install::Nginx;
use super::peer::{Peer, Role};
use super::programs;

/// A line of the table.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) cells: Vec<Cell>,
}

impl Row {
    pub(super) fn new(peer: &Peer, version: &str, role: Role, nginx: Option<&Nginx>) -> Self {
        let part = match role {
            Role::Client => "server",
            Role::Server => "client",
        };
        let through = nginx.map_or(String::new(), |nginx| {
            format!(", through nginx {}", nginx.version())
        });
        let inside = peer.inside.map_or(String::new(), |host| {
            format!(", Sockeye inside {}", host.name())
        });
        Self {
            name: format!("{} {version}, {part}{through}{inside}", peer.name),
            cells: Vec::new(),
        }
    }
}

/// The line of curl, whose builds rarely have WebSocket. One that has it could still not be told what to
/// send.
pub(super) fn curl_row(version: &str) -> Row {
    let has_it = version
        .lines()
        .find_map(|line| line.strip_prefix("Protocols:"))
        .is_some_and(|protocols| protocols.split(' ').any(|protocol| protocol == "ws"));
    let why = match has_it {
        true => "the program only shows what comes",
        false => "this build has no ws",
    };
    let cell = || Cell {
        fault: None,
        tried: Tried {
            cannot: [why.to_owned()].into(),
            ..Tried::default()
        },
    };
    let number = version.split(' ').nth(1).unwrap_or("is not here");
    Row {
        name: format!("curl {number}, client"),
        cells: CHECKS.iter().map(|_| cell()).collect(),
    }
}

/// Writes the page.
pub(super) fn write(pairs: &[Row], examples: &[Row], programs: &[Row]) -> Result<()> {
    let tables = tables(pairs, examples, programs)?;
    judges::write_document("interop.md", &format!("{HEAD}\n{tables}"))
}

/// The tables of the pairs, of Tomcat's examples, and of the programs. One without rows is left out.
pub(super) fn tables(pairs: &[Row], examples: &[Row], programs: &[Row]) -> Result<String> {
    let mut tables = Vec::new();
    if !pairs.is_empty() {
        tables.push(table("peer", &CHECKS.map(|check| check.name), pairs)?);
    }
    if !examples.is_empty() {
        let table = table("endpoint", &examples::COLUMNS, examples)?;
        tables.push(format!("{EXAMPLES}\n{table}"));
    }
    if !programs.is_empty() {
        let table = table("program", &programs::COLUMNS, programs)?;
        tables.push(format!("{PROGRAMS}\n{table}"));
    }
    Ok(tables.join("\n"))
}

/// A table, and its footnotes.
fn table(title: &str, columns: &[&str], rows: &[Row]) -> Result<String> {
    let mut notes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut order = Vec::new();
    let mut table = format!("| {title} |");
    for column in columns {
        write!(table, " {column} |")?;
    }
    writeln!(table, "\n|---|{}", "---|".repeat(columns.len()))?;
    for row in rows {
        write!(table, "| {} |", row.name)?;
        for cell in &row.cells {
            let mut numbers = Vec::new();
            for why in &cell.tried.cannot {
                let number = *notes.entry(why).or_insert_with(|| {
                    order.push(why);
                    order.len()
                });
                numbers.push(number.to_string());
            }
            let shown = match &cell.fault {
                Some(_) => "FAILED".to_owned(),
                None => cell.to_string(),
            };
            match numbers.as_slice() {
                [] => write!(table, " {shown} |")?,
                numbers => write!(table, " {shown} <sup>{}</sup> |", numbers.join(", "))?,
            }
        }
        writeln!(table)?;
    }
    if !order.is_empty() {
        writeln!(table, "\nWhat could not be tried, and why:\n")?;
    }
    for (at, why) in order.iter().enumerate() {
        writeln!(table, "{}. {why}", at + 1)?;
    }
    let faults = rows.iter().flat_map(|row| {
        let cells = row.cells.iter().zip(columns);
        cells.filter_map(|(cell, column)| Some((&row.name, column, cell.fault.as_ref()?)))
    });
    for (row, column, fault) in faults {
        writeln!(table, "\nFAILED: {row}: {column}: {fault}")?;
    }
    Ok(table)
}

const HEAD: &str = "\
# Interoperability

What comes of Sockeye with libraries and servers that others wrote. This page is written by

```sh
cargo xtask conformance peers
```

which installs the peers, tries all pairs, and fails on a cell that fails. Sockeye has its default settings, with
compression switched on and a server that takes 16 MiB; the peers are as they come. A relay between the two reads what is
on the wire. Sockeye's server is an endpoint, its client a connection. Inside axum it is the extractor of the feature `axum`, and
inside hyper an `Acceptor`; the connection is served by the same endpoint.

- *Messages*: texts, of characters of one to four bytes, and binaries, of 0, 1, 125, 126, 127, 65,535, 65,536, 65,537, 1,048,576
  and 4,194,304 bytes, uncompressed and compressed.
- *Fragments*: a text and a binary in five, one of them empty, with Pings between them where the peer can.
  Tomcat's programmatic endpoint does it by partial messages, its annotated one by a writer and a stream.
  Sockeye itself sends messages whole.
- *Pings*: of 0, 1 and 125 bytes, answered with the same.
- *Closing*: with 1000, 1001, 3000 and 4999, without and with reasons of up to 123 bytes; the peer also with no code. Who
  is closed has to be told what the other said, and to answer it.
- *Compression*: the 256 sets of `server_no_context_takeover`, `client_no_context_takeover`, and windows of 8 to 15 bits in each
  direction. One end demands, the other takes part as it does by itself; the cell says how many sets they came to
  agree on, of which each carried messages in both directions. That number has to be the one that is expected.

Tomcat, Java and nginx are Debian's, Tomcat embedded; tokio-tungstenite runs in a crate apart, `conformance/tungstenite`.
";

const EXAMPLES: &str = "\
## Tomcat's examples

Sockeye's endpoint at the client's end (`Client::connect_endpoint`, annotated) with the endpoints that come with Tomcat as
examples, of Debian's `tomcat10-examples`, served by Debian's Tomcat as it is.

- *Messages*: of the lengths above, without compression and with it, come back as they went.
- *Messages in parts*: a text and a binary in five, one of them empty, by a writer; what comes back is taken by handlers of parts.
- *Pings*: of 0, 1 and 125 bytes; the endpoint gets the Pongs.
- *Closing*: with 1000, 1001, 3500 and 4999, and reasons of up to 123 bytes; Tomcat answers with the code.
- *Limit*: a text of 8,192 characters, to the drawboard of 10,000, is taken; for one more Tomcat closes with 1009, which the
  endpoint is told and Sockeye answers.
- *What it says*: who comes, speaks and goes in the chat; the snakes' first two messages; the drawboard's picture, and a
  stroke that comes back.
- *Tomcat stops*: the endpoint is told 1001.
";

const PROGRAMS: &str = "\
## Programs

Sockeye's client with servers that are whole programs. Bokeh is PyPI's, run as `bokeh serve --websocket-compression-level 6`; Node's inspector
is that of `node --inspect`; Chromium (`--remote-debugging-port`) and Mosquitto are Debian's.

- *Opens*: with the subprotocols `bokeh` and `mqtt`; Bokeh and DevTools agree to compress.
- *Talks*: Bokeh answers five requests for its version, by messages that refer to those before; Node evaluates expressions, with a request of
  200,000 bytes and an answer of 1 MiB; DevTools answers a request behind whose Ping the Pong came first, opens and closes a page; Mosquitto
  takes a subscriber of MQTT 3.1.1, and what it publishes comes back, of 0 to 200,000 bytes.
- *Pings*: of 0, 1 and 125 bytes, answered with the same.
- *Closing*: with 1000, answered with the code; Node's inspector answers without one.
";
