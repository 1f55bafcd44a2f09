//! A process that is stopped while a deadline on its peer passes: what the peer sent meanwhile is in the socket when
//! the process goes on, and counts. The stopped process is this test program itself, run once more.
#![cfg(all(unix, feature = "macros"))]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use sockeye::proto::{Config, KeepAlive, Role};
use sockeye::{Client, Server, blocking, server_endpoint};
use sockeye_proto::handshake::Key;

use crate::support::{PING, PONG, TEXT, masked, request, unmasked};

/// In the environment of the process that is to be stopped: the role that it takes, and where it connects to.
const ROLE: &str = "SOCKEYE_TEST_STOPPED";
const SILENCE: KeepAlive = KeepAlive::new(Duration::from_millis(500), Duration::from_secs(3));
const CONNECTIONS: usize = 20;

#[derive(Default)]
struct Echo;

#[server_endpoint("/")]
impl Echo {
    #[on_message]
    fn text<'m>(&self, text: &'m str) -> &'m str {
        text
    }
}

/// Not a test by itself: what the other process does.
#[test]
fn the_process_that_is_stopped() {
    match std::env::var(ROLE).as_deref() {
        Ok("server") => in_runtime(async {
            let config = Config::new(Role::Server).keep_alive(SILENCE);
            let server = Server::builder().config(config).default_endpoint::<Echo>();
            let server = server.bind("127.0.0.1:0").await.unwrap();
            println!("at {}", server.local_addr());
            server.serve().await.unwrap();
        }),
        Ok("client") => in_runtime(async {
            let config = Config::new(Role::Client).keep_alive(SILENCE);
            let client = Client::builder().config(config).build();
            let mut ws = client.connect(target()).await.unwrap();
            println!("got {:?}", ws.recv().await);
        }),
        Ok("blocking") => {
            let config = Config::new(Role::Client).keep_alive(SILENCE);
            let mut ws = blocking::Client::builder()
                .config(config)
                .build()
                .connect(target())
                .unwrap();
            println!("got {:?}", ws.recv());
        }
        _ => {}
    }
}

#[test]
fn a_server_that_was_stopped_reads_what_its_peers_sent_before_it_gives_them_up() {
    let mut server = stoppable("server", None);
    let addr: SocketAddr = server.line("at ").parse().unwrap();
    let mut peers: Vec<TcpStream> = (0..CONNECTIONS).map(|_| open(addr)).collect();
    for peer in &mut peers {
        assert_eq!(read_frame(peer).0, PING);
    }
    server.stop_for(SILENCE.timeout + SILENCE.interval, || {
        for peer in &mut peers {
            // The Ping of the keep-alive is the only one: any Pong shows that the peer lives.
            peer.write_all(&masked(PONG, b"")).unwrap();
            peer.write_all(&masked(TEXT, b"here")).unwrap();
        }
    });
    for peer in &mut peers {
        assert_eq!(first_text(peer), b"here");
    }
}

#[test]
fn a_client_that_was_stopped_reads_what_the_server_sent_before_it_gives_it_up() {
    a_stopped_client_reads("client");
}

#[test]
fn a_blocking_client_that_was_stopped_reads_what_the_server_sent_before_it_gives_it_up() {
    a_stopped_client_reads("blocking");
}

fn a_stopped_client_reads(role: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut client = stoppable(role, Some(addr));
    let (mut peer, _) = listener.accept().unwrap();
    let head = read_head(&mut peer);
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-key: "));
    let key = Key::parse(key.unwrap().as_bytes()).unwrap();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        key.accept()
    );
    peer.write_all(answer.as_bytes()).unwrap();
    assert_eq!(read_frame(&mut peer).0, PING);
    client.stop_for(SILENCE.timeout + SILENCE.interval, || {
        peer.write_all(&unmasked(PONG, b"")).unwrap();
        peer.write_all(&unmasked(TEXT, b"here")).unwrap();
    });
    assert_eq!(client.line("got "), r#"Ok(Some(Text("here")))"#);
}

fn in_runtime(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(work);
}

fn target() -> String {
    std::env::var("SOCKEYE_TEST_URL").unwrap()
}

/// The other process. Killed when it is dropped.
struct Stoppable {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

fn stoppable(role: &str, server: Option<SocketAddr>) -> Stoppable {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "stopped::the_process_that_is_stopped"])
        .arg("--nocapture")
        .env(ROLE, role)
        .stdout(Stdio::piped());
    if let Some(server) = server {
        command.env("SOCKEYE_TEST_URL", format!("ws://{server}/"));
    }
    let mut child = command.spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    Stoppable { child, stdout }
}

impl Stoppable {
    /// The rest of the next line that begins so.
    fn line(&mut self, start: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "no {start}");
            if let Some(at) = line.find(start) {
                return line[at + start.len()..].trim_end().to_owned();
            }
        }
    }

    /// Stops the process for `time`, and runs `meanwhile`.
    fn stop_for(&self, time: Duration, meanwhile: impl FnOnce()) {
        self.signal("-STOP");
        meanwhile();
        // It is this time that has to pass while the process is stopped.
        thread::sleep(time);
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let status = kill.arg(name).arg(self.child.id().to_string()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn open(addr: SocketAddr) -> TcpStream {
    let mut peer = TcpStream::connect(addr).unwrap();
    peer.write_all(request(addr, "/", "").as_bytes()).unwrap();
    assert!(read_head(&mut peer).starts_with("HTTP/1.1 101 "));
    peer
}

fn read_head(peer: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        peer.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

fn first_text(peer: &mut TcpStream) -> Vec<u8> {
    loop {
        let (opcode, payload) = read_frame(peer);
        if opcode == TEXT {
            return payload;
        }
        assert_eq!(opcode, PING);
    }
}

/// A short frame of either side: its opcode and payload.
fn read_frame(peer: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    peer.read_exact(&mut head).unwrap();
    let mut key = [0; 4];
    if head[1] & 0x80 != 0 {
        peer.read_exact(&mut key).unwrap();
    }
    let mut payload = vec![0; usize::from(head[1] & 0x7f)];
    peer.read_exact(&mut payload).unwrap();
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    (head[0] & 0x0f, payload)
}
