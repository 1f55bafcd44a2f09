//! Sockeye's endpoint, at the client's end, with the endpoints of Tomcat's examples, as Tomcat serves them. The tap between
//! them reads the wire.

use std::sync::Arc;

use bytes::Bytes;
use sockeye::client::ConnectError;
use sockeye::endpoint::{IncomingKind, Pong, partial};
use sockeye::proto::{DeflateConfig, Text};
use sockeye::{Client, CloseCode, CloseReason, Session, server_endpoint};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::error::Result;

use super::check::{
    Cell, LENGTHS, LONGEST_REASON, PINGS, Tried, at, binary, expect, text, until_close,
};
use super::install::Tools;
use super::page::Row;
use super::puppet::{Event, LIMIT};
use super::tap::{CLOSE, Frame, From, Tap, Wire};
use super::tomcat::Tomcat;

/// The columns of the table.
pub(super) const COLUMNS: [&str; 7] = [
    "messages",
    "messages in parts",
    "pings",
    "Sockeye closes",
    "beyond its limit",
    "what it says",
    "Tomcat stops",
];

/// Starts Tomcat and tries its examples, one row for each.
pub(super) async fn try_all(tools: &Tools) -> Result<Vec<Row>> {
    let tomcat = Tomcat::start(tools).await?;
    let tap = Tap::start().await?;
    tap.relay_to(tomcat.address());
    let mut rows = Vec::new();
    let mut open = Vec::new();
    for example in &EXAMPLES {
        let endpoint = Endpoint { example, tap: &tap };
        let name = format!("{}, Tomcat {}", example.name, tomcat.version());
        let mut cells = Vec::new();
        if example.is_deployed {
            cells.push(endpoint.messages().await.into());
            cells.push(endpoint.parts().await.into());
            cells.push(endpoint.pings().await.into());
            cells.push(endpoint.closes().await.into());
            cells.push(endpoint.limit().await.into());
            cells.push(endpoint.says().await.into());
            open.push((rows.len(), endpoint.open_and_settle().await));
        } else {
            let absent = endpoint.is_absent().await;
            cells.extend((1..COLUMNS.len()).map(|_| Cell::from(Ok(Tried::default()))));
            cells.push(absent.into());
        }
        rows.push(Row { name, cells });
    }
    tomcat.stop().await?;
    for (row, opened) in open {
        let told = match opened {
            Ok(opened) => stops(opened).await,
            Err(error) => Err(error),
        };
        if let Some(row) = rows.get_mut(row) {
            row.cells.push(told.into());
        }
    }
    Ok(rows)
}

/// An endpoint of the examples.
struct Example {
    name: &'static str,
    /// One that is not is asked for all the same, so that it is noticed when it comes.
    is_deployed: bool,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Takes messages in parts and sends them back.
    Echo,
    /// By a writer or a stream.
    EchoByStream,
    Chat,
    Snake,
    Drawboard,
}

impl Kind {
    fn echoes(self) -> bool {
        matches!(self, Self::Echo | Self::EchoByStream)
    }

    /// How many characters a text has at most, where it is taken whole. The chat and the snakes leave Tomcat's default as
    /// it is.
    fn limit(self) -> Option<usize> {
        match self {
            Self::Echo | Self::EchoByStream => None,
            Self::Chat | Self::Snake => Some(8192),
            Self::Drawboard => Some(10_000),
        }
    }
}

/// One of the examples and the way to it.
struct Endpoint<'a> {
    example: &'static Example,
    tap: &'a Tap,
}

/// Sockeye's end of a connection.
struct Opened {
    session: Session,
    events: mpsc::Receiver<Event>,
    wire: Arc<Wire>,
}

impl Endpoint<'_> {
    async fn open(&self, compression: Option<DeflateConfig>) -> Result<Opened> {
        let (told, events) = mpsc::channel(1024);
        let session = self.connect(compression, Told(told)).await?;
        Ok(Opened {
            session,
            events,
            wire: self.tap.wire()?,
        })
    }

    /// Opens a session, and waits until Tomcat has sent its first messages. A Close that comes earlier may stay
    /// unanswered: Tomcat waits at most 50 ms for its turn to send its own Close.
    async fn open_and_settle(&self) -> Result<Opened> {
        let mut opened = self.open(None).await?;
        opened.round_trip(b"settled").await?;
        Ok(opened)
    }

    async fn connect(
        &self,
        compression: Option<DeflateConfig>,
        endpoint: Told,
    ) -> Result<Session, ConnectError> {
        let (address, name) = (self.tap.address(), self.example.name);
        let url = format!("ws://{address}/examples/websocket/{name}");
        let client = Client::builder().compression(compression).build();
        client.connect_endpoint(url, endpoint).await
    }

    async fn is_absent(&self) -> Result<Tried> {
        let (told, _events) = mpsc::channel(1);
        match self.connect(None, Told(told)).await {
            Err(ConnectError::Refused(response)) if response.status() == 404 => Ok(Tried {
                cannot: ["it is among the examples' classes, but its annotation is not".to_owned()]
                    .into(),
                ..Tried::default()
            }),
            Err(error) => Err(error.into()),
            Ok(_) => Err("it is deployed now, and has to be tried like the others".into()),
        }
    }

    /// Whatever is sent comes back.
    async fn messages(&self) -> Result<Tried> {
        if !self.example.kind.echoes() {
            return Ok(Tried::default());
        }
        let mut tried = self.whatever_can_be_echoed();
        for compresses in [false, true] {
            let mut opened = self.open(compression(compresses)).await?;
            for length in LENGTHS {
                let text = self.echoable(&text(length));
                let remote = opened.session.basic_remote();
                remote.send_text(text.clone()).await?;
                opened.expect(length, Event::Text(text)).await?;
                let remote = opened.session.basic_remote();
                remote.send_binary(binary(length)).await?;
                opened.expect(length, Event::Binary(binary(length))).await?;
                tried.passed += 2;
            }
            let frames = opened.wire.frames();
            for from in [From::Client, From::Server] {
                let is_compressed = |frame: &Frame| frame.from == from && frame.is_compressed;
                if frames.iter().any(is_compressed) != compresses {
                    let answer = opened.wire.answer();
                    return Err(format!("compressed, or not: the answer is {answer:?}").into());
                }
            }
            opened.finish().await?;
        }
        Ok(tried)
    }

    /// A message goes and comes back in parts.
    async fn parts(&self) -> Result<Tried> {
        if !self.example.kind.echoes() {
            return Ok(Tried::default());
        }
        let mut tried = self.whatever_can_be_echoed();
        let large = text(70_000);
        let parts = ["Grüße an ", "", "世界 ", &large, "😀"].map(|part| self.echoable(part));
        for compresses in [false, true] {
            let opened = self.open(compression(compresses)).await?;
            let mut came = opened.take_parts()?;
            for kind in [IncomingKind::Text, IncomingKind::Binary] {
                let remote = opened.session.basic_remote();
                let mut writer = match kind {
                    IncomingKind::Text => remote.text_writer(),
                    _ => remote.binary_writer(),
                };
                for part in parts.clone() {
                    match kind {
                        IncomingKind::Text => writer.send_part(part).await?,
                        _ => writer.send_part(Bytes::from(part)).await?,
                    }
                }
                writer.finish().await?;
                let (whole, count) = whole(&mut came).await?;
                if whole != parts.concat().into_bytes() {
                    return Err(format!("a {kind:?} message came back changed").into());
                }
                // Who compresses a message may gather its parts.
                if count < 2 && !compresses {
                    return Err(format!("a {kind:?} message came back in one part").into());
                }
                tried.passed += 1;
            }
            let is_part = |frame: &&Frame| frame.from == From::Client && !frame.is_final;
            let sent = opened.wire.frames();
            if sent.iter().filter(is_part).count() < 2 * (parts.len() - 1) {
                return Err("Sockeye's parts are no fragments".into());
            }
            opened.finish().await?;
        }
        Ok(tried)
    }

    fn whatever_can_be_echoed(&self) -> Tried {
        let mut tried = Tried::default();
        if self.example.kind == Kind::EchoByStream {
            let why = "without characters of four bytes, which Tomcat's writer cuts in two where its buffer ends";
            tried.cannot.insert(why.to_owned());
        }
        tried
    }

    /// A text of as many bytes that it can send back.
    fn echoable(&self, text: &str) -> String {
        match self.example.kind {
            Kind::EchoByStream => text.replace('😀', "世x"),
            _ => text.to_owned(),
        }
    }

    async fn pings(&self) -> Result<Tried> {
        let mut opened = self.open(None).await?;
        for payload in PINGS {
            opened.round_trip(payload).await?;
        }
        // A Pong without a Ping does no harm.
        opened.session.basic_remote().send_pong(b"here").await?;
        opened.round_trip(b"still there?").await?;
        opened.finish().await?;
        Ok(passed(PINGS.len() + 1))
    }

    /// Tomcat has to answer with the code, and both of what Sockeye tells of it is what was said.
    async fn closes(&self) -> Result<Tried> {
        for &(code, reason) in &CLOSES {
            let mut opened = self.open_and_settle().await?;
            opened.session.close(CloseCode::try_from(code)?, reason)?;
            opened.closed(code, Some(reason)).await?;
            let answer = until_close(&opened.wire, From::Server).await?;
            if answer != Some(code) {
                return Err(format!("Close {code} is answered with {answer:?}").into());
            }
            let told = opened.gone().await?;
            if told.code().get() != code {
                return Err(format!("closed with {code}, and told {told}").into());
            }
        }
        Ok(passed(CLOSES.len()))
    }

    /// What is as long as may be is taken; one character more, and Tomcat closes with 1009.
    async fn limit(&self) -> Result<Tried> {
        let Some(limit) = self.example.kind.limit() else {
            return Ok(Tried::default());
        };
        let mut opened = self.open_and_settle().await?;
        let remote = opened.session.basic_remote();
        remote.send_text("x".repeat(limit)).await?;
        opened.round_trip(b"taken").await?;
        let remote = opened.session.basic_remote();
        remote.send_text("x".repeat(limit + 1)).await?;
        opened.closed(1009, None).await?;
        let answer = until_close(&opened.wire, From::Client).await?;
        opened.gone().await?;
        match answer {
            Some(1009) => Ok(passed(2)),
            _ => Err(format!("Sockeye answers Close 1009 with {answer:?}").into()),
        }
    }

    /// What the chat, the snakes and the drawboard say by themselves, and of each other.
    async fn says(&self) -> Result<Tried> {
        let mut opened = self.open(None).await?;
        match self.example.kind {
            Kind::Echo | Kind::EchoByStream => return Ok(Tried::default()),
            Kind::Chat => {
                let joined = opened.text().await?;
                let me = guest(&joined, "has joined")?;
                let remote = opened.session.basic_remote();
                remote.send_text("<b>Grüße</b>").await?;
                let said = format!("{me}: &lt;b&gt;Grüße&lt;/b&gt;");
                expect(&opened.event().await?, &Event::Text(said))?;
                let mut other = self.open(None).await?;
                let joined = other.text().await?;
                expect(&opened.event().await?, &Event::Text(joined.clone()))?;
                let they = guest(&joined, "has joined")?;
                other.finish().await?;
                let left = format!("* {they} has disconnected.");
                expect(&opened.event().await?, &Event::Text(left))?;
            }
            Kind::Snake => {
                for what in ["join", "update"] {
                    let said: serde_json::Value = serde_json::from_str(&opened.text().await?)?;
                    if said["type"] != what {
                        return Err(format!("it says {said}, which is no {what}").into());
                    }
                }
                opened.session.basic_remote().send_text("west").await?;
            }
            Kind::Drawboard => {
                expect(&opened.event().await?, &Event::Text("21".to_owned()))?;
                match opened.event().await? {
                    Event::Binary(image) if image.starts_with(b"\x89PNG") => {}
                    other => return Err(format!("{other:?} is no picture").into()),
                }
                let remote = opened.session.basic_remote();
                remote.send_text("17|2,1,2,3,127,4,10,20,30,40,1").await?;
                // A drawing, behind the number of the last of ours that it has seen.
                let drawn = opened.text().await?;
                if !drawn.starts_with("17,") {
                    return Err(format!("it draws `{drawn}`").into());
                }
            }
        }
        opened.finish().await?;
        Ok(passed(1))
    }
}

/// 1001 for everybody.
async fn stops(mut opened: Opened) -> Result<Tried> {
    opened.closed(1001, None).await?;
    Ok(passed(1))
}

impl Opened {
    async fn event(&mut self) -> Result<Event> {
        timeout(LIMIT, self.events.recv())
            .await
            .map_err(|_| format!("Sockeye tells nothing within {LIMIT:?}"))?
            .ok_or_else(|| "Sockeye's endpoint is gone".into())
    }

    async fn expect(&mut self, length: usize, event: Event) -> Result<()> {
        let came = self.event().await.map_err(|error| at(length, &error))?;
        expect(&came, &event)
    }

    async fn text(&mut self) -> Result<String> {
        match self.event().await? {
            Event::Text(text) => Ok(text),
            other => Err(format!("{other:?} is no text").into()),
        }
    }

    /// Waits for an event, behind whatever else comes.
    async fn until(&mut self, what: &str, is_it: impl Fn(&Event) -> bool) -> Result<Event> {
        loop {
            match self.event().await? {
                event if is_it(&event) => return Ok(event),
                Event::Closed { code, reason } => {
                    return Err(format!("closed with {code} `{reason}`, before {what}").into());
                }
                _ => {}
            }
        }
    }

    async fn round_trip(&mut self, payload: &[u8]) -> Result<()> {
        self.session.basic_remote().send_ping(payload).await?;
        let is_it = |event: &Event| matches!(event, Event::Pong(answer) if answer == payload);
        self.until("the Pong", is_it).await.map(drop)
    }

    /// The endpoint is told that the connection was closed so.
    async fn closed(&mut self, code: u16, reason: Option<&str>) -> Result<()> {
        let is_it = |event: &Event| match event {
            Event::Closed {
                code: told,
                reason: why,
            } => *told == code && reason.is_none_or(|reason| why == reason),
            _ => false,
        };
        self.until(&format!("{code}"), is_it).await.map(drop)
    }

    /// Waits until the connection is gone: only then Tomcat's endpoint knows, and says nothing to this one any more
    /// that would fail and disturb the next.
    async fn gone(&self) -> Result<CloseReason> {
        let gone = timeout(LIMIT, self.session.closed()).await;
        gone.map_err(|_| format!("the connection is there after {LIMIT:?}").into())
    }

    /// Closes, and waits until Tomcat has answered.
    async fn finish(mut self) -> Result<()> {
        self.session.close(CloseCode::NORMAL, "")?;
        self.closed(1000, Some("")).await?;
        let is_it = |frame: &Frame| frame.from == From::Server && frame.opcode == CLOSE;
        self.wire.until("Tomcat's Close", is_it).await?;
        self.gone().await.map(drop)
    }

    /// Has the messages of both kinds taken in parts from now on.
    fn take_parts(&self) -> Result<mpsc::Receiver<(Bytes, bool)>> {
        let (told, parts) = mpsc::channel(1024);
        let texts = told.clone();
        self.session
            .add_message_handler(partial(move |(part, is_last): (Text, bool)| {
                let told = texts.clone();
                async move { told.send((part.into(), is_last)).await }
            }))?;
        self.session
            .add_message_handler(partial(move |part: (Bytes, bool)| {
                let told = told.clone();
                async move { told.send(part).await }
            }))?;
        Ok(parts)
    }
}

/// A message of the parts that come, and how many they were.
async fn whole(parts: &mut mpsc::Receiver<(Bytes, bool)>) -> Result<(Vec<u8>, usize)> {
    let mut whole = Vec::new();
    for count in 1.. {
        let part = timeout(LIMIT, parts.recv()).await;
        let part = part.map_err(|_| format!("no part comes within {LIMIT:?}"))?;
        let (part, is_last) = part.ok_or("the handler is gone")?;
        whole.extend_from_slice(&part);
        if is_last {
            return Ok((whole, count));
        }
    }
    unreachable!("it ends with the last part")
}

/// An annotated endpoint that tells all that it is told.
struct Told(mpsc::Sender<Event>);

#[server_endpoint("/")]
impl Told {
    #[on_message]
    async fn text(&mut self, text: String) {
        self.tell(Event::Text(text)).await;
    }

    #[on_message]
    async fn binary(&mut self, bytes: Vec<u8>) {
        self.tell(Event::Binary(bytes)).await;
    }

    #[on_message]
    async fn pong(&mut self, pong: Pong) {
        self.tell(Event::Pong(pong.payload().to_vec())).await;
    }

    #[on_close]
    async fn closed(&mut self, reason: CloseReason) {
        self.tell(Event::closed(&reason)).await;
    }
}

impl Told {
    /// Reports the event. Does nothing once the receiver is gone.
    async fn tell(&self, event: Event) {
        let _ = self.0.send(event).await;
    }
}

/// Returns the name of the guest in an announcement such as `* Guest1 has joined.`, where `what` is `has joined`.
fn guest<'t>(text: &'t str, what: &str) -> Result<&'t str> {
    let name = text
        .strip_prefix("* ")
        .and_then(|rest| rest.strip_suffix(&format!(" {what}.")));
    match name {
        Some(name) if name.starts_with("Guest") => Ok(name),
        _ => Err(format!("no guest {what}: `{text}`").into()),
    }
}

/// Of whatever is short too.
fn compression(compresses: bool) -> Option<DeflateConfig> {
    compresses.then(|| DeflateConfig::default().threshold(0))
}

fn passed(count: usize) -> Tried {
    Tried {
        passed: count,
        ..Tried::default()
    }
}

const EXAMPLES: [Example; 7] = [
    example("echoProgrammatic", Kind::Echo),
    example("echoAnnotation", Kind::Echo),
    example("echoStreamAnnotation", Kind::EchoByStream),
    Example {
        name: "echoAsyncAnnotation",
        is_deployed: false,
        kind: Kind::Echo,
    },
    example("chat", Kind::Chat),
    example("snake", Kind::Snake),
    example("drawboard", Kind::Drawboard),
];

const fn example(name: &'static str, kind: Kind) -> Example {
    Example {
        name,
        is_deployed: true,
        kind,
    }
}

const CLOSES: [(u16, &str); 5] = [
    (1000, ""),
    (1000, "fertig"),
    (1001, "fort"),
    (3500, "Grüße, 世界"),
    (4999, LONGEST_REASON),
];
