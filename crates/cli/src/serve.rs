//! `sockeye serve`: a server with a chat, a drawboard and a game with their pages, an echo and a push.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use sockeye::endpoint::{EndpointConfig, IncomingKind};
use sockeye::error::ErrorChain;
use sockeye::proto::handshake::{InvalidOrigin, Origin, OriginPolicy};
use sockeye::proto::{Config, DeflateConfig, Role};
use sockeye::tls::{self, TlsError};
use sockeye::topics::EngineError;
use sockeye::{Server, Topics};
use sockeye_redis::{AddressError, RedisEngine};

use crate::chat::{self, Chat, Nodes, Rooms};
use crate::drawboard::{self, Board, Drawboard};
use crate::echo::Echo;
use crate::exit::Exit;
use crate::log::{self, queue::LineQueue};
use crate::pace::Rate;
use crate::page;
use crate::push::{self, Push};
use crate::secret::{Secret, SecretError, variable};
use crate::signal::Signals;
use crate::size::parse_size;
use crate::snake::{self, Field, Snake};
use crate::topics::{self, TopicsEndpoint};

/// Serve a chat, a drawboard and a game with their web pages, an echo and a push
///
/// The first line of stdout is the URL of the server. Open it in a browser, or connect to one of the endpoints with any
/// WebSocket client.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Options {
    /// Address to listen on, HOST:PORT. Port 0 selects a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: Listen,

    /// Serve over TLS (https: and wss:) with the certificate chain in this PEM file, the server's
    /// certificate first
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,

    /// Private key of --cert, a PEM file
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// Allow pages of this origin to connect, in addition to pages of the server's own host, for example
    /// https://chat.example or http://localhost:3000. `any` allows all pages. May be repeated
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<Pages>,

    /// Accept any Host field on a loopback address, for proxies that pass on the client's Host. Without this option
    /// only the names of the loopback are accepted. That stops pages whose name resolves to the loopback (DNS rebinding)
    #[arg(long)]
    any_host: bool,

    /// Size limit of the head of a request, with its cookies. The answer to a larger head is 431
    #[arg(long, value_name = "SIZE", default_value = "16KiB", value_parser = parse_size)]
    max_head: u64,

    /// Size limit of received messages. A longer message closes its connection with 1009
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = parse_size)]
    max_message: u64,

    /// Limit of people in one room of the chat. The next connection is closed with 1013
    #[arg(long, value_name = "N", default_value_t = chat::MAX_PEOPLE)]
    max_people: NonZeroUsize,

    /// Limit of messages that a connection may send to the chat each second. The server reads a faster connection at
    /// this rate
    #[arg(long, value_name = "N", default_value_t = chat::RATE.per_second)]
    rate: NonZeroU32,

    /// Limit of messages that a connection may send to the chat at once after a pause
    #[arg(long, value_name = "N", default_value_t = chat::RATE.burst)]
    burst: NonZeroU32,

    /// Use the topic patterns of this TOML file, besides room/{id} of the chat. Without it clients may publish to
    /// demo/{id}
    #[arg(long, value_name = "FILE")]
    topics: Option<PathBuf>,

    /// Name of this server, which clients of topics are told. A random one by default
    #[arg(long, value_name = "NAME")]
    node: Option<String>,

    /// Share the chat and all topics with other servers by this Redis or Valkey server, for example
    /// redis://user:password@redis.example/0. rediss:// is with TLS, unix:///path is a socket. ?prefix=NAME names the keys.
    /// @FILE reads the URL from a file
    #[arg(long, value_name = "URL")]
    redis: Option<Secret>,

    /// Send no Ping to a silent client. The server then keeps the connections of clients that are gone
    #[arg(long)]
    no_ping: bool,

    /// How long to wait for the end of open connections when the server stops
    #[arg(long, value_name = "SECS", default_value_t = 10)]
    stop_timeout: u32,
}

const AFTER_HELP: &str = "\
Endpoints:
  /             the page of the chat; /?room=ROOM&name=NAME joins at once
  /chat/{room}  the chat, in JSON; a client speaks with
                {\"type\":\"message\",\"text\":\"hello\"}
  /drawboard    a shared sheet to draw on, and its page
  /snake        a game of snakes, and its page
  /echo         sends every message back; the text `close 4001 why` makes it
                close with the code 4001 and the reason `why`
  /push         sends the time, at once and then each second
  /topics       topics, by the subprotocol sockeye.topics.v0; /sockeye.js is its
                client for pages
  /push-or-poll a page that compares /push with a request for /time each second

Signals:
  Ctrl-C, SIGTERM or SIGHUP stops the server in order: it accepts no more
  connections, and sends each open one a Close with 1001. A second signal ends
  the program at once.

Exit codes:
  0    stopped in order
  1    cannot listen on the address, or cannot use the certificate, the topics or
       the Redis server
  2    invalid command line
  130  ended by a second signal

SIZE is a number with or without a unit: 500000, 64KiB, 1.5MiB, 2MB.

Other users of this machine can see the command line. --redis @FILE reads the URL
from a file. Without the option the variable SOCKEYE_REDIS applies.

Log lines go to stderr. The variable SOCKEYE_LOG selects them: `debug`, `warn`,
`off`, `sockeye=trace`, ... The default is `info`.";

/// Runs the server until a signal stops it.
pub(crate) fn run(options: &Options) -> Exit {
    let log = log::init("info");
    log.take_panics();
    // Each connection takes a descriptor; the usual soft limit is 1,024.
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "limit of open files"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
    let runtime = runtime().map_err(Failure::Runtime);
    match runtime.and_then(|runtime| runtime.block_on(serve(options))) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            log.complain(&failure.to_string());
            failure.exit()
        }
    }
}

/// Returns a runtime that checks its sockets after each 16 polls of tasks.
///
/// Each poll may take one turn of a connection, 128 KiB of work. With tokio's default of 61, an idle client waits for 61
/// turns of busy clients. Measured under attack, as the 99th percentile of an idle client's echo: 9.4 ms at 61, 3.1 ms
/// at 16, no better at 8.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    const POLLS_BETWEEN_CHECKS: u32 = 16;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(POLLS_BETWEEN_CHECKS)
        .build()
}

async fn serve(options: &Options) -> Result<(), Failure> {
    let rate = Rate {
        per_second: options.rate,
        burst: options.burst,
    };
    let engine = engine(options)?;
    let nodes = match engine {
        Some(_) => Nodes::Many,
        None => Nodes::One,
    };
    let topics = start_topics(options, engine).await?;
    let rooms = Rooms::new(topics.clone(), options.max_people, nodes);
    let board = Board::default();
    let field = Field::default();
    let config = config(options);
    let limited = |endpoint, most| limit(endpoint, options.max_message, most);
    let chat = Chat::endpoint(move |request| Chat::new(rooms.clone(), rate, request));
    let drawboard = Drawboard::endpoint(move |_| Drawboard::new(board.clone()));
    let snake = Snake::endpoint(move |_| Snake::new(field.clone()));
    let push = Push::endpoint(|_| Push::default());
    let mut server = Server::builder()
        .endpoint(limited(chat, chat::MAX_COMMAND))
        .endpoint(limited(drawboard, drawboard::MAX_COMMAND))
        .endpoint(limited(snake, snake::MAX_COMMAND))
        .endpoint(limited(push, push::MAX_COMMAND))
        .default_endpoint::<Echo>()
        .default_endpoint::<TopicsEndpoint>()
        .topics(topics.clone())
        .http(page::service(nodes == Nodes::Many))
        .config(config)
        .compression(DeflateConfig::default())
        .origins(origins(&options.origin))
        .max_head(usize::try_from(options.max_head).unwrap_or(usize::MAX))
        .stop_timeout(Duration::from_secs(options.stop_timeout.into()));
    if options.any_host {
        server = server.any_host();
    }
    let secure = options.cert.as_ref().zip(options.key.as_ref());
    if let Some((cert, key)) = secure {
        server = server.tls(tls::server_config(cert, key).map_err(Failure::Tls)?);
    }
    let server = server
        .bind(&*options.listen.0)
        .await
        .map_err(|error| Failure::Listen(options.listen.clone(), error))?;
    let signals = Signals::new().map_err(Failure::Runtime)?;
    let mut stop = signals.stop();
    let stdout =
        LineQueue::stdout(|error| tracing::warn!(%error, "cannot write the URL to stdout"));
    announce(&stdout, server.local_addr(), secure.is_some());
    let stop = async {
        stop.asked().await;
        let timeout = options.stop_timeout;
        tracing::info!("stopping within {timeout} s; a second Ctrl-C ends the program at once");
    };
    let served = server.serve_until(stop).await;
    // The other nodes need not wait for the end of the lease.
    if let Err(error) = topics.stop(STOP_TOPICS_WITHIN).await {
        tracing::debug!(%error, "cannot stop the engine of the topics in order");
    }
    served.map_err(Failure::Runtime)?;
    tracing::info!("stopped");
    stdout.finish();
    Ok(())
}

/// Makes the engine of topics by the URL in the option or in the environment. Without one the topics stay in memory.
fn engine(options: &Options) -> Result<Option<RedisEngine>, Failure> {
    const VARIABLE: &str = "SOCKEYE_REDIS";
    let (source, url) = match &options.redis {
        Some(secret) => ("--redis", secret.read().map(Some)),
        None => (VARIABLE, variable(VARIABLE)),
    };
    let url = url.map_err(Failure::Secret)?;
    let engine = url.as_deref().map(RedisEngine::new).transpose();
    engine.map_err(|error| Failure::Address(source, error))
}

/// Makes the topics, and starts their engine. The engine logs each later change of its state.
async fn start_topics(options: &Options, engine: Option<RedisEngine>) -> Result<Topics, Failure> {
    let is_shared = engine.is_some();
    let topics = topics::topics(options.topics.as_deref(), options.node.as_deref(), engine);
    let topics = topics.map_err(Failure::Topics)?;
    topics.start().await.map_err(Failure::Engine)?;
    if is_shared {
        tracing::info!(
            "the chat and the topics are shared; the drawboard and the game stay on this node"
        );
    }
    Ok(topics)
}

/// The time that the engine has to release what it holds for this node.
const STOP_TOPICS_WITHIN: Duration = Duration::from_secs(2);

fn origins(pages: &[Pages]) -> OriginPolicy {
    let mut list = Vec::new();
    for pages in pages {
        match pages {
            Pages::All => return OriginPolicy::Any,
            Pages::Of(origin) => list.push(origin.clone()),
        }
    }
    OriginPolicy::SameHostOr(list)
}

/// Limits messages of both kinds to `most` bytes, or to `--max-message` if that is less.
fn limit(endpoint: EndpointConfig, max_message: u64, most: u64) -> EndpointConfig {
    let bytes = most.min(max_message);
    endpoint
        .max_message(IncomingKind::Text, bytes)
        .max_message(IncomingKind::Binary, bytes)
}

fn config(options: &Options) -> Config {
    let config = Config::new(Role::Server).max_message(options.max_message);
    match options.no_ping {
        true => config.keep_alive(None),
        false => config,
    }
}

/// Prints the URL. The server continues if stdout is not read.
fn announce(stdout: &LineQueue, addr: SocketAddr, secure: bool) {
    let scheme = if secure { "https" } else { "http" };
    stdout.push(format!("{scheme}://{}/\n", reachable(addr)).as_bytes());
    tracing::debug!(%addr, "listening");
}

/// Returns an address to connect to. A server that listens on all addresses also listens on the loopback.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            addr.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            addr.set_ip(std::net::Ipv6Addr::LOCALHOST.into());
        }
        _ => {}
    }
    addr
}

/// An address to listen on: `127.0.0.1:8080`, `[::1]:0`, `localhost:8080`.
#[derive(Clone, Debug)]
struct Listen(String);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.parse::<SocketAddr>().is_ok() {
            return Ok(Self(text.to_owned()));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err("no port; write HOST:PORT, for example 127.0.0.1:8080".to_owned());
        };
        if port.parse::<u16>().is_err() {
            return Err(format!(
                "not a port: `{port}`; expected a number from 0 to 65535"
            ));
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
        if host.is_empty() || !host.chars().all(is_name) {
            return Err(format!(
                "not a host: `{host}`; expected a name, an IPv4 address, or an IPv6 address in brackets"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Pages that may connect: `any`, or those of one origin.
#[derive(Clone, Debug)]
enum Pages {
    All,
    Of(Origin),
}

impl FromStr for Pages {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        match text {
            "any" => Ok(Self::All),
            text => text.parse().map(Self::Of),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why the server does not run.
#[derive(Debug)]
enum Failure {
    /// The option or the variable that holds the URL, and why it cannot be used.
    Address(&'static str, AddressError),
    Engine(EngineError),
    Listen(Listen, sockeye::server::BindError),
    Runtime(io::Error),
    Secret(SecretError),
    Tls(TlsError),
    Topics(topics::FileError),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Address(..) => Exit::Usage,
            _ => Exit::Failed,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(source, error) => write!(f, "{source}: {}", ErrorChain::new(error)),
            Self::Engine(error) => write!(f, "cannot share the topics: {error}"),
            Self::Listen(addr, sockeye::server::BindError::Io(error))
                if error.kind() == io::ErrorKind::AddrInUse =>
            {
                write!(
                    f,
                    "cannot listen on {addr}: the address is in use; choose another address with --listen, \
                     or a free port with port 0"
                )
            }
            Self::Listen(addr, sockeye::server::BindError::Io(error)) => {
                write!(f, "cannot listen on {addr}: {error}")
            }
            Self::Listen(_, error) => ErrorChain::new(error).fmt(f),
            Self::Runtime(error) => write!(f, "cannot start: {error}"),
            Self::Secret(error) => write!(f, "cannot read the URL of the Redis server: {error}"),
            Self::Topics(error) => error.fmt(f),
            Self::Tls(error) => write!(f, "cannot serve over TLS: {}", ErrorChain::new(error)),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn a_silent_client_is_pinged_unless_no_ping_is_asked_for() {
        let config = |arguments: &[&str]| config(&Line::parse_from(arguments).options);
        assert!(config(&["serve"]).keep_alive.is_some());
        assert!(config(&["serve", "--no-ping"]).keep_alive.is_none());
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in ["127.0.0.1:8080", "[::1]:0", "localhost:80", "0.0.0.0:65535"] {
            assert!(text.parse::<Listen>().is_ok(), "{text}");
        }
        for text in [
            "",
            "8080",
            "localhost",
            ":8080",
            "localhost:http",
            "1.2.3.4:65536",
            "::1:80",
            "a b:1",
        ] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_unspecified_address_is_printed_as_the_loopbacks() {
        let printed = |text: &str| text.parse().map(|addr| reachable(addr).to_string());
        assert_eq!(printed("0.0.0.0:80"), Ok("127.0.0.1:80".to_owned()));
        assert_eq!(printed("[::]:80"), Ok("[::1]:80".to_owned()));
        assert_eq!(printed("192.0.2.1:80"), Ok("192.0.2.1:80".to_owned()));
    }
}
