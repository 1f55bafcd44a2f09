//! Sockeye: the annotated endpoint with its defaults, and a loop on a plain connection.

use futures_util::FutureExt;
use sockeye::{Config, Connection, Error, Role, Server, server_endpoint};
use sockeye_proto::handshake::Key;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{accept, announce, block_on};
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

async fn serve() -> Result<()> {
    let server = Server::builder()
        .default_endpoint::<Echo>()
        .bind("127.0.0.1:0")
        .await
        .map_err(|error| error.to_string())?;
    announce(server.local_addr())?;
    server.serve().await.map_err(|error| error.to_string())
}

pub(super) fn endpoint() -> Result<()> {
    block_on(serve())
}

/// As `#[tokio::main]` runs it.
pub(super) fn endpoint_on_threads() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(serve())
}

/// A loop that sends what it received, and flushes when there is nothing more to receive.
pub(super) fn connection() -> Result<()> {
    block_on(accept(|tcp| async {
        // What ends a connection is none of ours.
        let _ = echo(tcp).await;
    }))
}

async fn echo(mut tcp: TcpStream) -> Result<(), Error> {
    let answer = answer(&head(&mut tcp).await?);
    tcp.write_all(answer.as_bytes()).await?;
    let mut ws = Connection::server(tcp, Config::new(Role::Server));
    loop {
        let received = match ws.recv().now_or_never() {
            Some(received) => received?,
            None => {
                ws.flush().await?;
                ws.recv().await?
            }
        };
        let Some(message) = received else {
            return Ok(());
        };
        ws.feed(message).await?;
    }
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
