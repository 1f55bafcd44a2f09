//! The checks, each written once for all peers and both roles.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use sockeye::Message;
use sockeye::client::ConnectError;
use sockeye::proto::DeflateConfig;

use crate::error::{Error, Result};

use super::deflate;
use super::install::Nginx;
use super::peer::{Peer, Role};
use super::puppet::{Answer, Event, Puppet, encode};
use super::sockeye::{End, Listening};
use super::tap::{CLOSE, Frame, From, PING, PONG, Tap, Wire};

/// A column of the table.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) run: for<'p> fn(&'p mut Pair<'_>) -> Pin<Box<dyn Future<Output = Cell> + 'p>>,
}

/// All of them, in the order of the table.
pub(super) const CHECKS: [Check; 9] = [
    Check {
        name: "messages to Sockeye",
        run: |pair| Box::pin(async { messages_to_sockeye(pair).await.into() }),
    },
    Check {
        name: "messages from Sockeye",
        run: |pair| Box::pin(async { messages_from_sockeye(pair).await.into() }),
    },
    Check {
        name: "fragments to Sockeye",
        run: |pair| Box::pin(async { fragments(pair).await.into() }),
    },
    Check {
        name: "pings to Sockeye",
        run: |pair| Box::pin(async { pings_to_sockeye(pair).await.into() }),
    },
    Check {
        name: "pings from Sockeye",
        run: |pair| Box::pin(async { pings_from_sockeye(pair).await.into() }),
    },
    Check {
        name: "the peer closes",
        run: |pair| Box::pin(async { peer_closes(pair).await.into() }),
    },
    Check {
        name: "Sockeye closes",
        run: |pair| Box::pin(async { sockeye_closes(pair).await.into() }),
    },
    Check {
        name: "compression, the peer demands",
        run: |pair| Box::pin(async { deflate::peer_demands(pair).await.into() }),
    },
    Check {
        name: "compression, Sockeye demands",
        run: |pair| Box::pin(async { deflate::sockeye_demands(pair).await.into() }),
    },
];

/// What came of one check on one pair.
#[derive(Default)]
pub(super) struct Cell {
    pub(super) fault: Option<String>,
    pub(super) tried: Tried,
}

/// What a check could try.
#[derive(Default)]
pub(super) struct Tried {
    /// How many parts of it passed.
    pub(super) passed: usize,
    /// Why others could not be tried.
    pub(super) cannot: BTreeSet<String>,
    /// Of compression: how many sets of parameters were agreed on.
    pub(super) agreed: Option<usize>,
}

impl std::convert::From<Result<Tried>> for Cell {
    fn from(result: Result<Tried>) -> Self {
        match result {
            Ok(tried) => Self { fault: None, tried },
            Err(error) => Self {
                fault: Some(sockeye::error::ErrorChain::new(&*error).to_string()),
                tried: Tried::default(),
            },
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.fault, self.tried.passed, self.tried.agreed) {
            (Some(fault), _, _) => write!(f, "FAILED: {fault}"),
            (None, 0, _) => f.write_str("–"),
            (None, _, None) => f.write_str("ok"),
            (None, _, Some(agreed)) => write!(f, "{agreed} sets"),
        }
    }
}

/// A peer and Sockeye, in their roles.
pub(super) struct Pair<'a> {
    pub(super) peer: &'a Peer,
    pub(super) role: Role,
    pub(super) puppet: &'a mut Puppet,
    tap: &'a Tap,
    nginx: Option<&'a Nginx>,
}

/// Their connection.
pub(super) struct Link {
    pub(super) sockeye: End,
    pub(super) wire: Arc<Wire>,
}

impl<'a> Pair<'a> {
    pub(super) fn new(
        peer: &'a Peer,
        role: Role,
        puppet: &'a mut Puppet,
        tap: &'a Tap,
        nginx: Option<&'a Nginx>,
    ) -> Self {
        Self {
            peer,
            role,
            puppet,
            tap,
            nginx,
        }
    }

    /// Opens a connection on these terms; else why the peer cannot.
    pub(super) async fn open(
        &mut self,
        compression: DeflateConfig,
        peers_deflate: &str,
    ) -> Result<Result<Link, String>> {
        self.puppet.forget();
        let sockeye = match self.role {
            Role::Server => {
                let listening = Listening::start(compression, self.peer.inside).await?;
                self.tap.relay_to(listening.address());
                let entry = self.nginx.map_or(self.tap.address(), Nginx::address);
                let connect = format!("connect ws://{entry}/ {peers_deflate}");
                if let Answer::Cannot(why) = self.puppet.command(&connect).await? {
                    return Ok(Err(why));
                }
                listening.accept().await?
            }
            Role::Client => {
                let accept = format!("accept {peers_deflate}");
                match self.puppet.command(&accept).await? {
                    Answer::Cannot(why) => return Ok(Err(why)),
                    Answer::Ok(port) => self.tap.relay_to(([127, 0, 0, 1], port.parse()?).into()),
                }
                let url = format!("ws://{}/", self.tap.address());
                let sockeye = match End::connect(&url, compression).await {
                    Ok(sockeye) => sockeye,
                    Err(error) => return refused(&error).map(Err).ok_or(error),
                };
                // A former connection, of which something was wrong, may still have to tell of its end.
                while self.puppet.event().await? != Event::Open {}
                sockeye
            }
        };
        let wire = self.tap.wire()?;
        Ok(Ok(Link { sockeye, wire }))
    }

    /// Closes from Sockeye's side, and waits until both ends know.
    pub(super) async fn finish(&mut self, mut link: Link) -> Result<()> {
        link.sockeye.close(1000, "").await?;
        let closed = Event::Closed {
            code: 1000,
            reason: String::new(),
        };
        expect(&self.puppet.event().await?, &closed)?;
        expect(&link.sockeye.event().await?, &closed)
    }

    /// Who sends what Sockeye sends.
    pub(super) fn sockeye(&self) -> From {
        match self.role {
            Role::Client => From::Client,
            Role::Server => From::Server,
        }
    }

    pub(super) fn peers(&self) -> From {
        match self.role {
            Role::Client => From::Server,
            Role::Server => From::Client,
        }
    }
}

async fn messages_to_sockeye(pair: &mut Pair<'_>) -> Result<Tried> {
    let mut tried = Tried::default();
    for deflate in ["off", "on"] {
        let mut link = match pair.open(DeflateConfig::default(), deflate).await? {
            Ok(link) => link,
            Err(why) => {
                tried.cannot.insert(why);
                continue;
            }
        };
        for length in LENGTHS {
            for event in [Event::Text(text(length)), Event::Binary(binary(length))] {
                let command = match &event {
                    Event::Binary(bytes) => format!("binary {}", encode(bytes)),
                    _ => format!("text {}", encode(text(length).as_bytes())),
                };
                pair.puppet.command(&command).await?;
                let received = link.sockeye.event().await;
                expect(&received.map_err(|error| at(length, &error))?, &event)?;
                tried.passed += 1;
            }
        }
        pair.finish(link).await?;
    }
    Ok(tried)
}

async fn messages_from_sockeye(pair: &mut Pair<'_>) -> Result<Tried> {
    let mut tried = Tried::default();
    for deflate in ["off", "on"] {
        let link = match pair.open(DeflateConfig::default(), deflate).await? {
            Ok(link) => link,
            Err(why) => {
                tried.cannot.insert(why);
                continue;
            }
        };
        for length in LENGTHS {
            for event in [Event::Text(text(length)), Event::Binary(binary(length))] {
                let message = match &event {
                    Event::Binary(bytes) => Message::binary(bytes.clone()),
                    _ => Message::text(text(length)),
                };
                link.sockeye.send(message).await?;
                let received = pair.puppet.event().await;
                expect(&received.map_err(|error| at(length, &error))?, &event)?;
                tried.passed += 1;
            }
        }
        pair.finish(link).await?;
    }
    Ok(tried)
}

async fn fragments(pair: &mut Pair<'_>) -> Result<Tried> {
    let mut tried = Tried::default();
    let large = text(70_000);
    let parts = ["Grüße an ", "", "世界 ", &large, "😀"];
    for deflate in ["off", "on"] {
        let mut link = match pair.open(DeflateConfig::default(), deflate).await? {
            Ok(link) => link,
            Err(why) => {
                tried.cannot.insert(why);
                continue;
            }
        };
        for kind in ["text", "binary"] {
            let mut command = format!("fragments {kind}");
            for part in parts {
                command = format!("{command} {}", encode(part.as_bytes()));
            }
            if let Answer::Cannot(why) = pair.puppet.command(&command).await? {
                tried.cannot.insert(why);
                continue;
            }
            let whole = parts.concat();
            let event = match kind {
                "text" => Event::Text(whole),
                _ => Event::Binary(whole.into_bytes()),
            };
            expect(&link.sockeye.event().await?, &event)?;
            tried.passed += 1;
        }
        let sent: Vec<Frame> = link.wire.frames();
        let from_peer = |frame: &&Frame| frame.from == pair.peers();
        let unfinished = |frame: &&Frame| frame.opcode < CLOSE && !frame.is_final;
        let fragments = sent.iter().filter(from_peer).filter(unfinished).count();
        // Who compresses a message may gather its fragments.
        if deflate == "off" && tried.passed > 0 && fragments < 2 {
            return Err("the peer's fragments went in one frame".into());
        }
        let is_ping = |frame: &&Frame| frame.opcode == PING;
        if let Some(ping) = sent.iter().filter(from_peer).rfind(is_ping) {
            until_pong(&link.wire, pair.sockeye(), &ping.payload).await?;
        }
        pair.finish(link).await?;
    }
    Ok(tried)
}

async fn pings_to_sockeye(pair: &mut Pair<'_>) -> Result<Tried> {
    let mut tried = Tried::default();
    let link = open_as_is(pair).await?;
    for payload in PINGS {
        let command = format!("ping {}", encode(payload));
        match pair.puppet.command(&command).await? {
            Answer::Ok(_) => {
                until_pong(&link.wire, pair.sockeye(), payload).await?;
                tried.passed += 1;
            }
            Answer::Cannot(why) => {
                tried.cannot.insert(why);
            }
        }
    }
    pair.finish(link).await?;
    Ok(tried)
}

async fn pings_from_sockeye(pair: &mut Pair<'_>) -> Result<Tried> {
    let mut tried = Tried::default();
    let link = open_as_is(pair).await?;
    for payload in PINGS {
        link.sockeye.ping(payload).await?;
        until_pong(&link.wire, pair.peers(), payload).await?;
        tried.passed += 1;
    }
    pair.finish(link).await?;
    Ok(tried)
}

async fn peer_closes(pair: &mut Pair<'_>) -> Result<Tried> {
    let mut tried = Tried::default();
    for (code, reason) in CLOSES.iter().map(Some).chain([None]).map(unzip) {
        let mut link = open_as_is(pair).await?;
        let command = match code {
            Some(code) => format!("close {code} {}", encode(reason.as_bytes())),
            None => "close - -".to_owned(),
        };
        if let Answer::Cannot(why) = pair.puppet.command(&command).await? {
            tried.cannot.insert(why);
            pair.finish(link).await?;
            continue;
        }
        // §7.1.5: 1005 stands for no code.
        let (told, reason) = (code.unwrap_or(1005), reason.to_owned());
        expect(
            &link.sockeye.event().await?,
            &Event::Closed { code: told, reason },
        )?;
        // §5.5.1: the answer typically has the code that it answers.
        let answer = until_close(&link.wire, pair.sockeye()).await?;
        if answer != code {
            return Err(format!("Sockeye answers Close {code:?} with {answer:?}").into());
        }
        // What its library says then is its own affair: aiohttp's server says 1000 to any code.
        match pair.puppet.event().await? {
            Event::Closed { .. } => tried.passed += 1,
            other => return Err(format!("the peer that closed {told} told {other:?}").into()),
        }
    }
    Ok(tried)
}

async fn sockeye_closes(pair: &mut Pair<'_>) -> Result<Tried> {
    let mut tried = Tried::default();
    for &(code, reason) in CLOSES {
        let mut link = open_as_is(pair).await?;
        link.sockeye.close(code, reason).await?;
        let reason = reason.to_owned();
        expect(&pair.puppet.event().await?, &Event::Closed { code, reason })?;
        let answer = until_close(&link.wire, pair.peers()).await?;
        match link.sockeye.event().await? {
            // An endpoint is told the code that it closed with. A caller that receives from a connection is told the
            // code of the answer.
            Event::Closed { code: told, .. } if told == code || Some(told) == answer => {
                tried.passed += 1;
            }
            other => return Err(format!("Sockeye was answered {answer:?}, says {other:?}").into()),
        }
    }
    Ok(tried)
}

/// A connection as the peer's library makes it by itself.
async fn open_as_is(pair: &mut Pair<'_>) -> Result<Link> {
    let opened = pair.open(DeflateConfig::default(), "on").await?;
    opened.map_err(Error::from)
}

async fn until_pong(wire: &Wire, from: From, payload: &[u8]) -> Result<()> {
    let is_it =
        |frame: &Frame| frame.from == from && frame.opcode == PONG && frame.payload == payload;
    wire.until("the Pong", is_it).await?;
    Ok(())
}

/// What a server that answers with plain HTTP does, in a footnote's words.
fn refused(error: &Error) -> Option<String> {
    match error.downcast_ref::<ConnectError>() {
        Some(ConnectError::Refused(response)) => Some(format!(
            "its server answers {}, as where its window would have 8 bits",
            response.status().as_u16()
        )),
        _ => None,
    }
}

/// The code of a side's Close.
pub(super) async fn until_close(wire: &Wire, from: From) -> Result<Option<u16>> {
    let is_it = |frame: &Frame| frame.from == from && frame.opcode == CLOSE;
    let close = wire.until("the Close", is_it).await?;
    let code = close.payload.first_chunk::<2>();
    Ok(code.map(|code| u16::from_be_bytes(*code)))
}

/// What came has to be what was sent; the error does not show megabytes.
pub(super) fn expect(came: &Event, sent: &Event) -> Result<()> {
    if came == sent {
        return Ok(());
    }
    let short = |event: &Event| {
        let shown = format!("{event:?}");
        match shown.char_indices().nth(120) {
            Some((end, _)) => format!("{}… of {} bytes", &shown[..end], shown.len()),
            None => shown,
        }
    };
    Err(format!("{} came, not {}", short(came), short(sent)).into())
}

pub(super) fn at(length: usize, error: &Error) -> Error {
    format!(
        "with {length} bytes: {}",
        sockeye::error::ErrorChain::new(&**error)
    )
    .into()
}

fn unzip(close: Option<&(u16, &'static str)>) -> (Option<u16>, &'static str) {
    close.map_or((None, ""), |(code, reason)| (Some(*code), reason))
}

/// A text of so many bytes, with characters of one to four.
pub(super) fn text(length: usize) -> String {
    let mut text = String::with_capacity(length);
    for character in "Käse 世界 😀 ".chars().cycle() {
        if text.len() + character.len_utf8() > length {
            break;
        }
        text.push(character);
    }
    text.extend(std::iter::repeat_n('x', length - text.len()));
    text
}

pub(super) fn binary(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + (at >> 8)) as u8).collect()
}

/// Around every boundary of a frame's length, up to what a server takes by default and beyond.
pub(super) const LENGTHS: [usize; 10] = [
    0,
    1,
    125,
    126,
    127,
    65_535,
    65_536,
    65_537,
    1 << 20,
    4 << 20,
];
pub(super) const PINGS: [&[u8]; 3] = [b"", b"?", &[b'p'; 125]];
const CLOSES: &[(u16, &str)] = &[
    (1000, ""),
    (1001, "fort"),
    (3000, "Grüße, 世界"),
    (4999, LONGEST_REASON),
];
/// The longest reason there is.
pub(super) const LONGEST_REASON: &str = "123456789 123456789 123456789 123456789 123456789 123456789 \
     123456789 123456789 123456789 123456789 123456789 123456789 123";
