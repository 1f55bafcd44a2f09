//! Each form that a callback may have. Warnings are errors: the generated code has none.
#![deny(
    warnings,
    elided_lifetimes_in_paths,
    rust_2018_idioms,
    unnameable_types,
    unreachable_pub,
    unused_qualifications
)]

use std::{
    fmt,
    net::IpAddr,
    str::FromStr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use sockeye::endpoint::{Decoder, Encoder, Parsed, Ping, Pong, TextReader};
use sockeye::proto::{Outgoing, Text};
use sockeye::{CloseReason, Endpoint, Error, HandlerResult, Message, Session, server_endpoint};

/// A method with a mark alone, and no method for messages.
struct Silent;

#[server_endpoint("/")]
impl Silent {
    #[on_open]
    fn open(&mut self) {}
}

/// The rest of the path, messages of either kind, and pings.
struct Rest;

#[server_endpoint("/proxy/{host}/{*rest}")]
impl Rest {
    #[on_open]
    fn open(&mut self, #[path] host: &str, #[path] rest: &str, #[path("rest")] owned: String) {
        assert!(!host.is_empty() && rest == owned);
    }

    #[on_message(max = 10)]
    async fn any(&mut self, message: Message) -> Message {
        message
    }

    #[on_message]
    fn pinged(&mut self, _: Ping) {}
}

const _: () = assert!(<Rest as Endpoint>::PINGS && !<Silent as Endpoint>::PINGS);
const _: () = assert!(<Rest as Endpoint>::MAX_MESSAGES.len() == 2);

/// Parameters in any order, and each type of a path parameter.
struct Parameters;

#[derive(Clone, Copy)]
struct Even(u32);

impl FromStr for Even {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let n = text.parse::<u32>().map_err(|error| error.to_string())?;
        if n % 2 == 0 {
            Ok(Self(n))
        } else {
            Err(format!("{n} is odd"))
        }
    }
}

#[server_endpoint("/{text}/{number}/literal/{address}/{type}/{even}/")]
impl Parameters {
    #[on_open]
    async fn open(
        &mut self,
        #[path] address: IpAddr,
        session: &Session,
        #[path] r#type: bool,
        #[path("type")] kind: String,
        #[path] mut number: f64,
        #[path] text: &str,
    ) -> HandlerResult {
        number += 1.0;
        session
            .basic_remote()
            .send_text(format!("{address}{type}{kind}{number}{text}"))
            .await?;
        Ok(())
    }

    #[on_message]
    async fn message(
        &mut self,
        #[path] even: Even,
        text: String,
        _: &Session,
        #[path("text")] word: &str,
    ) where
        Even: Copy,
    {
        let _ = (even.0, text, word);
    }

    #[on_close]
    fn close(&mut self, #[path] number: char, reason: &CloseReason, _session: &Session) {
        let _ = (number, reason);
    }

    #[on_error]
    async fn error(self: &mut Self, #[path] number: u8, error: &Error, #[path] text: &str) {
        let _ = (number, error, text);
    }
}

/// Each type of message, and each type of reply.
struct Owned;

type Alias = String;

#[server_endpoint("/owned")]
impl Owned {
    #[on_message]
    fn text(&self, message: Alias) -> Result<Option<Alias>, fmt::Error> {
        Ok(Some(message))
    }

    #[on_message]
    async fn binary(&self, message: Bytes) -> Vec<u8> {
        message.to_vec()
    }

    #[on_message]
    fn pong(&self, _: Pong) {}

    #[on_close]
    async fn close(self: &Self) -> Result<(), fmt::Error> {
        Err(fmt::Error)
    }
}

struct Borrowed;

#[sockeye::server_endpoint("/borrowed")]
impl Borrowed {
    #[sockeye::endpoint::on_open]
    fn open(&self) -> HandlerResult {
        Ok(())
    }

    #[sockeye::endpoint::on_message]
    async fn text<'text>(&mut self, message: &'text str) -> Option<&'text str> {
        message.strip_prefix('/')
    }

    #[on_message]
    async fn binary(&mut self, _message: &'_ [u8]) -> &'static str {
        "binary"
    }

    #[on_error]
    fn error(&self, error: &Error) -> () {
        let _ = error;
    }
}

struct Others;

#[server_endpoint("/others")]
impl Others {
    #[on_message]
    async fn text(&self, _message: Text) {}

    #[on_message]
    async fn binary(&self, _message: Vec<u8>) {}

    #[cfg(any())]
    #[on_message]
    async fn absent(&self, _message: String) {}

    #[cfg(any())]
    #[on_open]
    async fn absent_too(&self) {}

    #[cfg(all())]
    #[on_open]
    async fn present(&self) {}
}

/// A store that the application chooses.
trait Store: Send + Sync + 'static {
    type Line: FromStr<Err = fmt::Error> + Send;

    fn keep(&self, line: &str);
}

#[derive(Default)]
struct Memory(Mutex<Vec<String>>);

impl Store for Memory {
    type Line = Word;

    fn keep(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

struct Word;

impl FromStr for Word {
    type Err = fmt::Error;

    fn from_str(_: &str) -> Result<Self, fmt::Error> {
        Ok(Self)
    }
}

struct Generic<S, const LIMIT: usize>(S);

#[server_endpoint("/generic/{line}", subprotocols = ["generic"])]
impl<S, const LIMIT: usize> Generic<S, LIMIT>
where
    S: Store,
{
    #[on_open]
    async fn open(&self, #[path] line: S::Line) {
        let _ = line;
    }

    #[on_message]
    async fn message(&self, text: &str) -> Option<String> {
        self.0.keep(text);
        (text.len() > LIMIT).then(|| "too long".to_owned())
    }

    #[on_message]
    async fn binary(&self, data: &[u8]) {
        let _ = data;
    }
}

/// Types of the application's own, and limits.
struct Codec;

struct Line(String);

impl Decoder for Line {
    type Message = str;
    type Error = fmt::Error;

    fn decode(text: &str) -> Result<Self, fmt::Error> {
        Ok(Self(text.to_owned()))
    }
}

impl Encoder for Line {
    type Error = fmt::Error;

    fn encode(&self) -> Result<Outgoing, fmt::Error> {
        Ok(self.0.as_str().into())
    }
}

struct Bits(usize);

impl Decoder for Bits {
    type Message = [u8];
    type Error = fmt::Error;

    fn decode(bytes: &[u8]) -> Result<Self, fmt::Error> {
        Ok(Self(8 * bytes.len()))
    }
}

const LONGEST: u64 = 10;

#[server_endpoint("/codec")]
impl Codec {
    #[on_message(max = 64 * 1024)]
    async fn text(&self, line: Line) -> Option<Line> {
        Some(line)
    }

    #[sockeye::endpoint::on_message(max = LONGEST,)]
    fn binary(&self, bits: Bits) -> HandlerResult<Parsed<usize>> {
        Ok(Parsed(bits.0))
    }

    #[cfg(any())]
    #[on_message(max = 5)]
    fn absent(&self, text: &str) {}
}

const _: () = assert!(<Codec as Endpoint>::MAX_MESSAGES.len() == 2);

struct Parts;

#[server_endpoint("/parts")]
impl Parts {
    #[on_message(max = u64::MAX)]
    async fn text<'text>(&self, (part, is_last): (&'text str, bool)) -> Option<&'text str> {
        is_last.then_some(part)
    }

    #[on_message]
    fn binary(&self, part: (Bytes, bool)) {
        let _ = part;
    }
}

const _: () = assert!(<Parts as Endpoint>::IN_PARTS.len() == 2);

/// Messages that a handler reads while they arrive.
struct Readers;

#[server_endpoint("/readers")]
impl Readers {
    #[on_message(max = u64::MAX)]
    async fn text(&mut self, body: TextReader, session: &Session) -> HandlerResult<Option<String>> {
        let _ = session;
        Ok(Some(format!("{body:?}")))
    }

    #[on_message]
    fn binary(&mut self, body: sockeye::endpoint::BinaryReader) {
        drop(body);
    }
}

const _: () = assert!(<Readers as Endpoint>::IN_PARTS.len() == 2);
const _: () = assert!(<Arc<Parts> as Endpoint>::IN_PARTS.len() == 2);
const _: () = assert!(<Codec as Endpoint>::IN_PARTS.is_empty());

struct Json;

#[server_endpoint("/json")]
impl Json {
    #[on_message(max = 5)]
    fn text<'text>(&self, sockeye::endpoint::Json(words): sockeye::endpoint::Json<Vec<&'text str>>) -> sockeye::endpoint::Json<usize> {
        sockeye::endpoint::Json(words.len())
    }
}

/// Types that pass through `macro_rules!`.
struct Made;

macro_rules! made {
    ($session:ty, $message:ty, $room:ty) => {
        #[server_endpoint("/made/{room}")]
        impl Made {
            #[on_message]
            fn message(&self, session: $session, message: $message, #[path] room: $room) {
                let _ = (session, message, room);
            }
        }
    };
}

made!(&Session, &str, &str);

fn main() {
    let _ = Silent::endpoint(|_| Silent);
    let _ = Parameters::endpoint(|_| Parameters);
    let _ = Owned::endpoint(|_| Owned);
    let _ = Borrowed::endpoint(|_| Borrowed);
    let _ = Others::endpoint(|_| Others);
    let _ = Made::endpoint(|_| Made);
    let _ = Codec::endpoint(|_| Codec);
    let _ = Parts::endpoint(|_| Parts);
    let _ = Readers::endpoint(|_| Readers);
    let _ = Json::endpoint(|_| Json);
    let _ = Generic::<Memory, 80>::endpoint(|_| Generic(Memory::default()));
    let shared = Arc::new(Generic::<Memory, 80>(Memory::default()));
    let _ = Generic::endpoint(move |_| shared.clone());
}
