//! A server that serves before its engine has started: a session that subscribes meanwhile waits.

use std::time::Duration;

use sockeye::transport::Stream;
use sockeye::{Endpoint, HandlerResult, Server, Session, Topics, endpoint};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::sleep;

use super::fake::{Fake, channel};
use super::peer::{Peers, dial};
use crate::RedisEngine;
use crate::address::Address;

/// An endpoint whose session subscribes to the topic `a` when it opens, and gives up if that fails.
struct Reader;

impl Endpoint for Reader {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        session.subscribe("a").await?;
        Ok(())
    }
}

/// A server whose engine has no Redis server yet, and a client that was accepted.
async fn server() -> (Server, DuplexStream, Peers) {
    let (dial, peers) = dial();
    let engine = RedisEngine::with_dial(Address::parse("redis://localhost").unwrap(), dial);
    let topics = Topics::builder().engine(engine).build().unwrap();
    let server = Server::builder()
        .topics(topics)
        .endpoint(endpoint("/", |_| Reader));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let (near, mut client) = duplex(1 << 16);
    tokio::spawn(server.serve_stream(Stream::new(near)));
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(client.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    (server, client, peers)
}

/// Reads a short frame: its first byte, and its payload.
async fn frame(client: &mut DuplexStream) -> (u8, Vec<u8>) {
    let first = client.read_u8().await.unwrap();
    let mut payload = vec![0; client.read_u8().await.unwrap().into()];
    client.read_exact(&mut payload).await.unwrap();
    (first, payload)
}

#[tokio::test(start_paused = true)]
async fn a_session_that_opens_before_the_engine_has_started_subscribes_when_it_has() {
    let (server, mut client, peers) = server().await;
    // Some attempts to reach the Redis server fail.
    sleep(Duration::from_secs(4)).await;
    let fake = Fake::serve(peers);
    while server.topics().subscribers("a") == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    fake.publish(&channel("a"), b"0 AAAAAAAAAAE\n\x00live")
        .await;
    assert_eq!(frame(&mut client).await, (0x81, b"live".to_vec()));
}
