//! A puppet of tokio-tungstenite, in both roles: it obeys the line protocol of
//! `conformance/src/peers/puppet.rs`.

use std::error::Error;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, accept_async, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut lines = BufReader::new(stdin()).lines();
    let mut puppet = Puppet::default();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => println!("{}", puppet.obey(&line).await),
                None => return Ok(()),
            },
            opened = accept(puppet.listener.as_ref()) => {
                puppet.socket = Some(opened?);
                println!("event open");
            }
            message = next(puppet.socket.as_mut()) => puppet.tell(message),
        }
    }
}

#[derive(Default)]
struct Puppet {
    socket: Option<Socket>,
    listener: Option<TcpListener>,
    close: Option<(u16, String)>,
}

impl Puppet {
    async fn obey(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        match self.try_to(&words).await {
            Ok(answer) => answer,
            Err(error) => format!("failed {error}").replace('\n', " "),
        }
    }

    async fn try_to(&mut self, words: &[&str]) -> Result<String> {
        let message = match *words {
            ["version"] => return Ok(format!("ok {}", version().unwrap_or("?"))),
            ["connect" | "accept", .., deflate] if deflate.contains(',') => {
                return Ok("cannot it does not compress messages".to_owned());
            }
            ["connect", url, _] => {
                self.socket = Some(connect_async(url).await?.0);
                return Ok("ok".to_owned());
            }
            ["accept", _] => {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let port = listener.local_addr()?.port();
                self.listener = Some(listener);
                return Ok(format!("ok {port}"));
            }
            ["fragments", kind, ref payloads @ ..] => {
                self.send_fragments(kind, payloads).await?;
                return Ok("ok".to_owned());
            }
            ["text", payload] => Message::text(text(payload)?),
            ["binary", payload] => Message::binary(decode(payload)?),
            ["ping", payload] => Message::Ping(decode(payload)?.into()),
            ["close", "-", _] => Message::Close(None),
            ["close", code, reason] => Message::Close(Some(CloseFrame {
                code: CloseCode::from(code.parse::<u16>()?),
                reason: text(reason)?.into(),
            })),
            _ => return Err(format!("no command {words:?}").into()),
        };
        self.socket()?.send(message).await?;
        Ok("ok".to_owned())
    }

    async fn send_fragments(&mut self, kind: &str, payloads: &[&str]) -> Result<()> {
        let socket = self.socket()?;
        for (at, payload) in payloads.iter().enumerate() {
            let data = match (at, kind) {
                (0, "text") => Data::Text,
                (0, _) => Data::Binary,
                _ => Data::Continue,
            };
            let is_last = at + 1 == payloads.len();
            let frame = Frame::message(decode(payload)?, OpCode::Data(data), is_last);
            socket.send(Message::Frame(frame)).await?;
            if !is_last {
                socket
                    .send(Message::Ping(Bytes::from_static(b"between")))
                    .await?;
            }
        }
        Ok(())
    }

    fn socket(&mut self) -> Result<&mut Socket> {
        Ok(self.socket.as_mut().ok_or("there is no connection")?)
    }

    fn tell(&mut self, message: Option<Message>) {
        match message {
            Some(Message::Text(text)) => println!("event text {}", encode(text.as_bytes())),
            Some(Message::Binary(bytes)) => println!("event binary {}", encode(&bytes)),
            Some(Message::Close(frame)) => {
                self.close = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                self.close.get_or_insert((1005, String::new()));
            }
            Some(_) => {}
            None => {
                self.socket = None;
                let (code, reason) = self.close.take().unwrap_or((1006, String::new()));
                println!("event closed {code} {}", encode(reason.as_bytes()));
            }
        }
    }
}

/// Accepts the next connection. Never completes without a listener.
async fn accept(listener: Option<&TcpListener>) -> Result<Socket> {
    match listener {
        Some(listener) => {
            let (stream, _) = listener.accept().await?;
            Ok(accept_async(MaybeTlsStream::Plain(stream)).await?)
        }
        None => std::future::pending().await,
    }
}

/// The next message, `None` at the end, however it comes; never, where there is no connection.
async fn next(socket: Option<&mut Socket>) -> Option<Message> {
    match socket {
        Some(socket) => socket.next().await?.ok(),
        None => std::future::pending().await,
    }
}

/// The version that Cargo chose.
fn version() -> Option<&'static str> {
    let lock = include_str!("../Cargo.lock");
    let (_, rest) = lock.split_once("name = \"tokio-tungstenite\"\nversion = \"")?;
    rest.split('"').next()
}

fn encode(payload: &[u8]) -> String {
    if payload.is_empty() {
        return "-".to_owned();
    }
    BASE64_STANDARD.encode(payload)
}

fn decode(word: &str) -> Result<Vec<u8>> {
    match word {
        "-" => Ok(Vec::new()),
        _ => Ok(BASE64_STANDARD.decode(word)?),
    }
}

fn text(word: &str) -> Result<String> {
    Ok(String::from_utf8(decode(word)?)?)
}
