//! Sockeye: the annotated endpoint with its defaults, and a loop on a plain connection: one whose handshake is done here, one
//! that is accepted, and one inside axum's server.

use std::sync::OnceLock;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use sockeye::axum::WebSocketUpgrade;
use sockeye::endpoint::{OpenSessions, ServerEndpoint};
use sockeye::proto::{Config, DeflateConfig, MessageBuffer, Role, Text};
use sockeye::server::ServerBuilder;
use sockeye::topics::{Clients, History, Policy};
use sockeye::{Connection, Error, HandlerResult, Server, Session, Topics, server_endpoint};
use sockeye_proto::handshake::Key;
use sockeye_redis::RedisEngine;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::task::{accept, block_on, listen};
use super::{Job, Setting, Shared, announce, tls};
use crate::Result;

#[derive(Default)]
struct Echo;

#[server_endpoint("/")]
impl Echo {
    #[on_message]
    fn text<'m>(&self, text: &'m str) -> &'m str {
        text
    }

    #[on_message]
    fn binary<'m>(&self, bytes: &'m [u8]) -> &'m [u8] {
        bytes
    }
}

/// Takes its messages for itself: a large one goes back without a copy.
#[derive(Default)]
struct OwningEcho;

#[server_endpoint("/")]
impl OwningEcho {
    #[on_message]
    fn text(&self, text: Text) -> Text {
        text
    }

    #[on_message]
    fn binary(&self, bytes: Bytes) -> Bytes {
        bytes
    }
}

/// The sessions that publishers send to: those of the other endpoint, known once the first one has opened.
static SUBSCRIBERS: OnceLock<OpenSessions> = OnceLock::new();

#[derive(Default)]
struct Subscribe;

#[server_endpoint("/subscribe")]
impl Subscribe {
    #[on_open]
    fn open(&self, session: &Session) {
        SUBSCRIBERS.get_or_init(|| session.open_sessions().clone());
    }
}

#[derive(Default)]
struct Publish;

#[server_endpoint("/publish")]
impl Publish {
    #[on_message]
    fn binary(&self, bytes: Bytes) {
        if let Some(subscribers) = SUBSCRIBERS.get() {
            subscribers.broadcast(bytes);
        }
    }
}

/// A session of `/subscribe/N` is a subscriber of topic N.
#[derive(Default)]
struct SubscribeToTopic;

#[server_endpoint("/subscribe/{topic}")]
impl SubscribeToTopic {
    #[on_open]
    async fn open(&self, session: &Session, #[path] topic: &str) -> HandlerResult {
        session.subscribe(topic).await?;
        Ok(())
    }
}

/// Publishes to the topics in turn.
struct PublishToTopics {
    names: Vec<String>,
    next: usize,
}

#[server_endpoint("/publish")]
impl PublishToTopics {
    #[on_message]
    fn binary(&mut self, session: &Session, bytes: Bytes) -> HandlerResult {
        let name = &self.names[self.next];
        self.next = (self.next + 1) % self.names.len();
        session.topics().publish(name, bytes).queue()?;
        Ok(())
    }
}

/// Clients of the subprotocol subscribe by themselves.
#[derive(Default)]
struct ClientsOfTopics;

#[server_endpoint("/topics", topics)]
impl ClientsOfTopics {
    #[on_message]
    fn binary(&self, _: &[u8]) {}
}

async fn with_topics(number: u8, setting: &Setting) -> Result<ServerBuilder> {
    let publish = sockeye::endpoint("/publish", move |_| PublishToTopics {
        names: (0..number).map(|topic| topic.to_string()).collect(),
        next: 0,
    });
    let topics = match setting.shared.zip(setting.redis) {
        None => Topics::builder(),
        Some((shared, redis)) => {
            let engine = RedisEngine::new(&format!("redis://{redis}"));
            let engine = engine.map_err(|error| error.to_string())?;
            Topics::builder()
                .engine(engine)
                .pattern("{topic}", policy(shared))
        }
    };
    let topics = topics.build().map_err(|error| error.to_string())?;
    // Clients that come before the engine is there are refused.
    let started = topics.start().await;
    started.map_err(|error| error.to_string())?;
    let server = Server::builder()
        .topics(topics)
        .endpoint(publish)
        .default_endpoint::<SubscribeToTopic>();
    Ok(match setting.subprotocol {
        true => server.default_endpoint::<ClientsOfTopics>(),
        false => server,
    })
}

fn policy(shared: Shared) -> Policy {
    let policy = Policy::new().clients(Clients::subscribe());
    match shared {
        Shared::Live => policy,
        Shared::Window => policy.history(History::window(100, KEPT)),
    }
}

/// How long a history keeps a message: longer than a measurement lasts.
const KEPT: Duration = Duration::from_secs(600);

async fn serve<E: ServerEndpoint + Default>(setting: &Setting) -> Result<()> {
    let mut server = match (setting.job, setting.topics) {
        (Job::Echo, _) => Server::builder().default_endpoint::<E>(),
        (Job::FanOut, Some(topics)) => with_topics(topics, setting).await?,
        (Job::FanOut, None) => Server::builder()
            .default_endpoint::<Publish>()
            .default_endpoint::<Subscribe>(),
    };
    if let Some(level) = setting.deflate {
        let config = DeflateConfig::default().context_takeover(setting.takeover);
        server = server.compression(config.level(level.try_into().unwrap_or(u8::MAX)));
    }
    if setting.tls {
        server = server.tls(tls::config()?);
    }
    let server = server
        .bind("127.0.0.1:0")
        .await
        .map_err(|error| error.to_string())?;
    announce(server.local_addr())?;
    server.serve().await.map_err(|error| error.to_string())
}

pub(super) fn endpoint(setting: &Setting) -> Result<()> {
    block_on(serve::<Echo>(setting))
}

pub(super) fn owning_endpoint(setting: &Setting) -> Result<()> {
    block_on(serve::<OwningEcho>(setting))
}

/// As `#[tokio::main]` runs it.
pub(super) fn endpoint_on_threads(setting: &Setting) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(serve::<Echo>(setting))
}

/// A loop that sends what it received: it is written when there is nothing more to receive.
pub(super) fn connection() -> Result<()> {
    block_on(accept(|tcp| async {
        // The reason why a connection ends does not matter here.
        let _ = echo(tcp).await;
    }))
}

/// As [`connection`], but Sockeye reads the request.
pub(super) fn accepted() -> Result<()> {
    block_on(accept(|tcp| async {
        let _ = accept_and_echo(tcp).await;
    }))
}

/// As [`connection`], in a handler of axum's.
pub(super) fn in_axum() -> Result<()> {
    let handler = async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(|ws| async {
            let _ = echo_messages(ws).await;
        })
    };
    let router = Router::new().route("/", any(handler));
    block_on(async {
        axum::serve(listen().await?, router)
            .await
            .map_err(|error| error.to_string())
    })
}

async fn accept_and_echo(tcp: TcpStream) -> sockeye::Result {
    echo_messages(sockeye::accept(tcp).await?).await?;
    Ok(())
}

async fn echo(mut tcp: TcpStream) -> Result<(), Error> {
    let answer = answer(&head(&mut tcp).await?);
    tcp.write_all(answer.as_bytes()).await?;
    echo_messages(Connection::server(tcp, Config::new(Role::Server))).await
}

async fn echo_messages<T>(mut ws: Connection<T>) -> Result<(), Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut message = MessageBuffer::default();
    while ws.recv_into(&mut message).await? {
        match &message {
            MessageBuffer::Text(text) => ws.feed_text(text).await?,
            MessageBuffer::Binary(bytes) => ws.feed_binary(bytes).await?,
        }
    }
    Ok(())
}

async fn head(tcp: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if tcp.read_buf(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    String::from_utf8(head).map_err(std::io::Error::other)
}

fn answer(head: &str) -> String {
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then_some(value)
    });
    let key = Key::parse(key.unwrap_or_default().as_bytes());
    let accept = key.map(|key| key.accept().as_str().to_owned());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept.unwrap_or_default()
    )
}
