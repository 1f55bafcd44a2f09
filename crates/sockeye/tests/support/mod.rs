//! The common parts of the tests over TCP: a server, a peer that speaks bytes, and a log of events.
#![allow(
    dead_code,
    reason = "each test binary includes it and takes what it needs"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use sockeye::server::ServerBuilder;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub(crate) mod end;
pub(crate) mod label;
pub(crate) mod proxy;
pub(crate) mod record;
pub(crate) mod serving;

/// The time after which a test counts as hanging. No test checks how long anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Completes as `future` does; a test that would hang fails instead.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    let waiting = tokio::time::timeout(PATIENCE, future);
    waiting.await.expect("this should be done long since")
}

/// Serves on a free port of the loopback until the test ends.
pub(crate) async fn serve(builder: ServerBuilder) -> SocketAddr {
    let server = builder.bind("127.0.0.1:0").await.expect("a free port");
    let addr = server.local_addr();
    tokio::spawn(server.serve());
    addr
}

/// A server that the test stops.
pub(crate) struct Stoppable {
    pub(crate) addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Stoppable {
    pub(crate) async fn serve(builder: ServerBuilder) -> Self {
        let server = builder.bind("127.0.0.1:0").await.expect("a free port");
        let (stop, stopped) = oneshot::channel();
        Self {
            addr: server.local_addr(),
            stop: Some(stop),
            serving: tokio::spawn(server.serve_until(async {
                let _ = stopped.await;
            })),
        }
    }

    pub(crate) fn stop(&mut self) {
        self.stop
            .take()
            .expect("stopped once")
            .send(())
            .expect("it serves");
    }

    pub(crate) fn is_done(&self) -> bool {
        self.serving.is_finished()
    }

    pub(crate) async fn done(self) {
        soon(self.serving)
            .await
            .expect("no panic")
            .expect("no error");
    }
}

/// The events that callbacks report to a test, in order.
#[derive(Clone)]
pub(crate) struct Log(mpsc::Sender<String>);

pub(crate) struct Events(mpsc::Receiver<String>);

pub(crate) fn log() -> (Log, Events) {
    let (log, events) = mpsc::channel(256);
    (Log(log), Events(events))
}

impl Log {
    pub(crate) fn push(&self, event: impl Into<String>) {
        self.0.try_send(event.into()).expect("the test listens");
    }
}

impl Events {
    pub(crate) async fn next(&mut self) -> String {
        soon(self.0.recv()).await.expect("one more event")
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.0.is_empty()
    }
}

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The key of RFC 6455 §1.3, and the request's lines that every handshake needs.
pub(crate) const FIELDS: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// A peer that speaks bytes.
pub(crate) struct Raw<T = TcpStream> {
    pub(crate) stream: T,
    buffer: Vec<u8>,
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a field that stands once.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

impl Raw {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let tcp = TcpStream::connect(addr).await.expect("it listens");
        tcp.set_nodelay(true).expect("a socket");
        Self::new(tcp)
    }

    /// A connection whose opening handshake is done.
    pub(crate) async fn open(addr: SocketAddr, target: &str) -> Self {
        let mut peer = Self::connect(addr).await;
        let answer = peer.request(&request(addr, target, "")).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        peer
    }

    /// An RST.
    pub(crate) fn rst(self) {
        self.stream.set_zero_linger().expect("a socket");
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Raw<T> {
    pub(crate) fn new(stream: T) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// The transport, when nothing is left unread.
    pub(crate) fn into_inner(self) -> T {
        assert!(self.buffer.is_empty(), "{:?}", self.buffer);
        self.stream
    }

    /// Sends a request and takes the answer.
    pub(crate) async fn request(&mut self, request: &str) -> Answer {
        self.write(request.as_bytes()).await;
        self.answer().await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes))
            .await
            .expect("it takes what comes");
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("an answer")
    }

    /// An answer, or none and the transport's end.
    pub(crate) async fn try_answer(&mut self) -> Option<Answer> {
        let head = self.head().await?;
        let status = head.split(' ').nth(1).expect("a status line");
        let mut answer = Answer {
            status: status.parse().expect("a status"),
            head,
            body: String::new(),
        };
        let length = answer.field("content-length").unwrap_or("0").to_owned();
        let length: usize = length.parse().expect("a length");
        while self.buffer.len() < length {
            assert!(self.fill().await > 0, "the body ends early");
        }
        let body = self.buffer.drain(..length).collect();
        answer.body = String::from_utf8(body).expect("a text");
        Some(answer)
    }

    /// Takes a head; none at the transport's end.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.buffer.drain(..at + 4).collect();
                return Some(String::from_utf8(head).expect("ASCII"));
            }
            match soon(self.stream.read_buf(&mut self.buffer)).await {
                Ok(0) | Err(_) => {
                    assert!(self.buffer.is_empty(), "half a head: {:?}", self.buffer);
                    return None;
                }
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.write(&masked(opcode, payload)).await;
    }

    pub(crate) async fn send_close(&mut self, code: u16, reason: &str) {
        self.write(&masked_close(code, reason)).await;
    }

    /// The next frame, which must be whole; `None` at the transport's end.
    pub(crate) async fn recv(&mut self) -> Option<(u8, Vec<u8>)> {
        let (first, payload) = self.recv_frame().await?;
        Some((first & 0x0f, payload))
    }

    /// Receives the next frame like [`recv`](Self::recv). Returns its first byte with the bits beside the opcode.
    pub(crate) async fn recv_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((first, start, end)) = frame(&self.buffer) {
                let mut payload = self.buffer[start..end].to_vec();
                if self.buffer[1] & 0x80 != 0 {
                    let key = self.buffer[start - 4..start].iter().cycle();
                    payload
                        .iter_mut()
                        .zip(key)
                        .for_each(|(byte, key)| *byte ^= key);
                }
                self.buffer.drain(..end);
                return Some((first, payload));
            }
            match soon(self.stream.read_buf(&mut self.buffer)).await {
                Ok(0) | Err(_) => {
                    assert!(self.buffer.is_empty(), "half a frame: {:?}", self.buffer);
                    return None;
                }
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn recv_text(&mut self) -> String {
        let (opcode, payload) = self.recv().await.expect("a message");
        assert_eq!(opcode, TEXT, "{payload:?}");
        String::from_utf8(payload).expect("UTF-8")
    }

    pub(crate) async fn recv_binary(&mut self) -> Vec<u8> {
        let (opcode, payload) = self.recv().await.expect("a message");
        assert_eq!(opcode, BINARY, "{payload:?}");
        payload
    }

    /// The next frame, which must be a Close.
    pub(crate) async fn recv_close(&mut self) -> (u16, String) {
        let (opcode, payload) = self.recv().await.expect("a Close");
        assert_eq!(opcode, CLOSE, "{:?}", String::from_utf8_lossy(&payload));
        let (code, reason) = payload.split_at(2);
        let code = u16::from_be_bytes([code[0], code[1]]);
        (code, String::from_utf8(reason.to_vec()).expect("UTF-8"))
    }

    /// Checks that the transport ends, and that no byte comes before.
    pub(crate) async fn recv_end(&mut self) {
        assert_eq!(self.recv().await, None);
    }

    /// Closes with 1000 and waits for the end.
    pub(crate) async fn close(mut self) {
        self.send_close(1000, "").await;
        while self.recv().await.is_some() {}
    }

    /// A FIN: nothing more is sent.
    pub(crate) async fn fin(&mut self) {
        self.stream.shutdown().await.expect("it holds");
    }

    async fn fill(&mut self) -> usize {
        let read = soon(self.stream.read_buf(&mut self.buffer)).await;
        read.expect("the transport holds")
    }
}

/// A handshake's request, with further fields, each with its line end.
pub(crate) fn request(addr: SocketAddr, target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {addr}\r\n{FIELDS}{fields}\r\n")
}

/// A frame as clients send it.
pub(crate) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = header(opcode, payload.len(), 0x80);
    bytes.extend_from_slice(&KEY);
    let masked = payload.iter().zip(KEY.iter().cycle());
    bytes.extend(masked.map(|(byte, key)| byte ^ key));
    bytes
}

pub(crate) fn masked_close(code: u16, reason: &str) -> Vec<u8> {
    masked(CLOSE, &close_body(code, reason))
}

/// A frame as servers send it.
pub(crate) fn unmasked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(opcode, payload.len(), 0);
    bytes.extend_from_slice(payload);
    bytes
}

pub(crate) fn unmasked_close(code: u16, reason: &str) -> Vec<u8> {
    unmasked(CLOSE, &close_body(code, reason))
}

fn close_body(code: u16, reason: &str) -> Vec<u8> {
    let mut body = code.to_be_bytes().to_vec();
    body.extend_from_slice(reason.as_bytes());
    body
}

fn header(opcode: u8, len: usize, mask: u8) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match u16::try_from(len) {
        Ok(len @ 0..126) => bytes.push(mask | len as u8),
        Ok(len) => {
            bytes.push(mask | 126);
            bytes.extend_from_slice(&len.to_be_bytes());
        }
        Err(_) => {
            bytes.push(mask | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    bytes
}

/// The first byte of the frame at the front, masked or not, and where its payload is.
fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (len, mut start) = match second & 0x7f {
        126 => (u16::from_be_bytes(*rest.first_chunk()?).into(), 4),
        127 => (u64::from_be_bytes(*rest.first_chunk()?), 10),
        len => (len.into(), 2),
    };
    if second & 0x80 != 0 {
        start += 4;
    }
    let end = start + usize::try_from(len).expect("a test's frame");
    (bytes.len() >= end).then_some((first, start, end))
}

/// Returns a listener for a server that speaks bytes, and its URL.
pub(crate) async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("bound"));
    (listener, url)
}

/// A server that speaks bytes: accepts one connection, answers its handshake with `fields` more, and
/// `tail` in the same segment.
pub(crate) async fn raw_server(listener: &TcpListener, fields: &str, tail: &[u8]) -> Raw {
    let (tcp, _) = soon(listener.accept()).await.expect("a client");
    let mut peer = Raw::new(tcp);
    let request = peer.head().await.expect("a request");
    let answer = accept(&request, fields);
    peer.write(&[answer.as_bytes(), tail].concat()).await;
    peer
}

/// The 101 to a request.
pub(crate) fn accept(request: &str, fields: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{fields}\r\n",
        accept_value(request)
    )
}

/// Returns the value of `Sec-WebSocket-Accept` for a request.
pub(crate) fn accept_value(request: &str) -> String {
    let key = request.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then_some(value.trim())
    });
    let key = sockeye_proto::handshake::Key::parse(key.expect("a key").as_bytes());
    key.expect("a good key").accept().as_str().to_owned()
}
