//! A server that runs out of descriptors. A binary of its own: the limit is the whole process's.
#![cfg(unix)]

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rlimit::Resource;
use sockeye::endpoint::{Incoming, Reply};
use sockeye::{Endpoint, HandlerResult, Server, Session, endpoint};
use support::{Raw, TEXT, soon};

struct Echo;

impl Endpoint for Echo {
    async fn on_message<'m>(
        &mut self,
        _: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        Ok(Reply::from(message))
    }
}

/// Opens as many files as it can, and says how many.
struct Files;

impl Endpoint for Files {
    async fn on_message<'m>(
        &mut self,
        session: &Session,
        _: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        let files: Vec<_> = (0..100_000)
            .map_while(|_| File::open("/dev/null").ok())
            .collect();
        let remote = session.basic_remote();
        remote.send_text(files.len().to_string()).await?;
        Ok(Reply::None)
    }
}

/// One test at a time: each takes some thousand descriptors.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A server in a process of its own, with a limit of descriptors.
struct Elsewhere {
    child: Child,
    addr: SocketAddr,
}

const DESCRIPTORS: &str = "SOCKEYE_TEST_DESCRIPTORS";
const MAX_CONNECTIONS: &str = "SOCKEYE_TEST_MAX_CONNECTIONS";

impl Elsewhere {
    /// Without `max_connections` the server has its default.
    fn start(descriptors: u64, max_connections: Option<usize>) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command
            .args(["--exact", "serves_another_test", "--nocapture"])
            .env(DESCRIPTORS, descriptors.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(max_connections) = max_connections {
            command.env(MAX_CONNECTIONS, max_connections.to_string());
        }
        let mut child = command.spawn().expect("it starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut lines = stdout.lines().map_while(Result::ok);
        let addr = lines.find_map(|line| Some(line.rsplit_once("listens at ")?.1.to_owned()));
        // The rest is read, so that nothing is stuck.
        std::thread::spawn(move || lines.count());
        let addr = addr.expect("an address").parse().expect("an address");
        Self { child, addr }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: the process that [`Elsewhere`] starts. Its deadlines are longer than a test runs.
#[test]
fn serves_another_test() {
    let Ok(descriptors) = std::env::var(DESCRIPTORS) else {
        return;
    };
    let descriptors = descriptors.parse().expect("a number");
    rlimit::setrlimit(Resource::NOFILE, descriptors, descriptors).expect("it is lower");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut builder = Server::builder()
            .endpoint(endpoint("/", |_| Echo))
            .endpoint(endpoint("/files", |_| Files))
            .http(|_| async { http::Response::new("hello".into()) })
            .handshake_timeout(Duration::from_secs(24 * 60 * 60));
        if let Ok(max_connections) = std::env::var(MAX_CONNECTIONS) {
            builder = builder.max_connections(max_connections.parse().expect("a number"));
        }
        let server = builder.bind("127.0.0.1:0").await.expect("a free port");
        println!("listens at {}", server.local_addr());
        server.serve().await.expect("it serves");
    });
}

/// A process with few descriptors cannot be its own crowd.
fn have_many_descriptors() {
    let limit = rlimit::increase_nofile_limit(8_192).expect("a limit");
    assert!(
        limit >= 4_096,
        "these tests take 4,096 descriptors: {limit}"
    );
}

/// Opens connections, each of which sends this and then nothing.
fn crowd(addr: SocketAddr, connections: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = TcpStream::connect(addr).expect("it listens");
        // It may have been dropped already.
        let _ = stream.write_all(bytes);
        stream
    };
    (0..connections).map(connect).collect()
}

async fn files(addr: SocketAddr) -> u64 {
    let mut peer = Raw::open(addr, "/files").await;
    peer.send(TEXT, b"how many?").await;
    peer.recv_text().await.parse().expect("a number")
}

#[tokio::test]
async fn a_handshake_is_done_and_files_are_left_while_1500_connections_are_silent() {
    let _alone = ALONE.lock().await;
    have_many_descriptors();
    for descriptors in [256, 1_024] {
        let server = Elsewhere::start(descriptors, None);
        let addr = server.addr;
        let crowd = tokio::task::spawn_blocking(move || crowd(addr, 1_500, b""));
        let crowd = soon(crowd).await.expect("they connect");
        let mut peer = Raw::open(addr, "/").await;
        peer.send(TEXT, b"served").await;
        assert_eq!(peer.recv_text().await, "served");
        // The process has some 12 for itself.
        let left = files(addr).await;
        assert!(left >= descriptors / 10 - 16, "{left} of {descriptors}");
        drop(crowd);
    }
}

#[tokio::test]
async fn a_handshake_is_done_while_1500_connections_wait_for_another_request_of_http() {
    let _alone = ALONE.lock().await;
    have_many_descriptors();
    for descriptors in [256, 1_024] {
        let server = Elsewhere::start(descriptors, None);
        let addr = server.addr;
        let crowd = move || {
            crowd(
                addr,
                1_500,
                b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n",
            )
        };
        let crowd = soon(tokio::task::spawn_blocking(crowd)).await;
        let crowd = crowd.expect("they connect");
        let mut peer = Raw::open(addr, "/").await;
        peer.send(TEXT, b"served").await;
        assert_eq!(peer.recv_text().await, "served");
        let left = files(addr).await;
        assert!(left >= descriptors / 10 - 16, "{left} of {descriptors}");
        drop(crowd);
    }
}

#[tokio::test]
async fn where_the_system_has_no_descriptor_left_silent_connections_give_way_too() {
    let _alone = ALONE.lock().await;
    have_many_descriptors();
    let server = Elsewhere::start(256, Some(1_000_000));
    let addr = server.addr;
    let crowd = tokio::task::spawn_blocking(move || crowd(addr, 1_500, b""));
    let crowd = soon(crowd).await.expect("they connect");
    let mut peer = Raw::open(addr, "/").await;
    peer.send(TEXT, b"served").await;
    assert_eq!(peer.recv_text().await, "served");
    drop(crowd);
}

#[tokio::test]
async fn sessions_keep_their_places_and_others_are_told_that_there_are_too_many() {
    let _alone = ALONE.lock().await;
    have_many_descriptors();
    let server = Elsewhere::start(256, None);
    let mut sessions = Vec::new();
    let refused = loop {
        let mut peer = Raw::connect(server.addr).await;
        let request = support::request(server.addr, "/", "");
        let answer = peer.request(&request).await;
        if answer.status != 101 {
            break answer;
        }
        sessions.push(peer);
    };
    assert_eq!(refused.status, 503);
    // Nine tenths of the descriptors. Some of these are kept for connections that are refused.
    assert_eq!(sessions.len(), 225 - 14);
    let addr = server.addr;
    let crowd = tokio::task::spawn_blocking(move || crowd(addr, 500, b""));
    let crowd = soon(crowd).await.expect("they connect");
    let mut peer = Raw::connect(addr).await;
    let answer = peer.request(&support::request(addr, "/", "")).await;
    assert_eq!(answer.status, 503);
    for peer in &mut sessions {
        peer.send(TEXT, b"still served").await;
        assert_eq!(peer.recv_text().await, "still served");
    }
    drop(crowd);
}

#[tokio::test]
async fn a_server_out_of_descriptors_serves_its_sessions_and_accepts_again_when_some_are_free() {
    const ROOM: usize = 3;
    const NAME: &str =
        "a_server_out_of_descriptors_serves_its_sessions_and_accepts_again_when_some_are_free";
    // In a process of its own: others open and close descriptors meanwhile.
    if std::env::var_os(DESCRIPTORS).is_none() {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        let status = command
            .args(["--exact", NAME])
            .env(DESCRIPTORS, "")
            .status();
        assert!(status.expect("it starts").success());
        return;
    }
    let builder = Server::builder().endpoint(endpoint("/", |_| Echo));
    let addr = support::serve(builder).await;
    let mut sessions = Vec::new();
    for _ in 0..ROOM {
        sessions.push(Raw::open(addr, "/").await);
    }
    // They wait in the system's queue: nothing is accepted until this task suspends.
    let request = support::request(addr, "/", "");
    let waiting = crowd(addr, 2 * ROOM, request.as_bytes());
    // Descriptors are given out from the lowest: what a file gets now is the next.
    let next = File::open("/dev/null").expect("it is there").as_raw_fd() as u64;
    let (soft, hard) = rlimit::getrlimit(Resource::NOFILE).expect("a limit");
    rlimit::setrlimit(Resource::NOFILE, next, hard).expect("it is lower");
    for peer in &mut sessions {
        peer.send(TEXT, b"still served").await;
        assert_eq!(peer.recv_text().await, "still served");
    }
    // By now accepting has failed.
    assert!(File::open("/dev/null").is_err());
    for peer in sessions {
        peer.close().await;
    }
    // Each that ended freed two: the server's and the test's own.
    for tcp in waiting {
        tcp.set_nonblocking(true).expect("a socket");
        let tcp = tokio::net::TcpStream::from_std(tcp).expect("a runtime");
        assert_eq!(Raw::new(tcp).answer().await.status, 101);
    }
    rlimit::setrlimit(Resource::NOFILE, soft, hard).expect("it was so");
}
