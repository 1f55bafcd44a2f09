//! What a server logs when a peer repeats a fault.

use std::sync::{Arc, Mutex, OnceLock};

use sockeye::endpoint::{Configurator, Handshake, HandshakeResponse, LogLimit, Parsed, Refusal};
use sockeye::server::ServerBuilder;
use sockeye::transport::Stream;
use sockeye::{Server, endpoint, server_endpoint};
use tokio::io::DuplexStream;
use tracing::Level;
use tracing::field::{Field, Visit};

use crate::support::{FIELDS, Raw, TEXT};

/// Keeps the log lines of this thread.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<(Level, String)>>>);

impl Lines {
    /// Collects the log lines of this thread until the guard is dropped.
    pub(crate) fn keep(&self) -> tracing::subscriber::DefaultGuard {
        // While the process has one subscriber, tracing asks only the thread that first reaches a log call. If that
        // thread belongs to a test without a subscriber, the log call is off for all threads. With two subscribers,
        // tracing asks both.
        static SECOND: OnceLock<tracing::Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| tracing::Dispatch::new(Self::default()));
        tracing::subscriber::set_default(self.clone())
    }

    /// Takes the lines at `info` and above.
    fn take_loud(&self) -> Vec<String> {
        let all = self.take().into_iter();
        let loud = all.filter(|(level, _)| *level <= Level::INFO);
        loud.map(|(_, line)| line).collect()
    }

    /// Takes all lines, with their levels.
    pub(crate) fn take(&self) -> Vec<(Level, String)> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("sockeye")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!("{field}={value:?} ");
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        let mut lines = self.0.lock().expect("no panic");
        lines.push((*event.metadata().level(), line.0));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

pub(crate) async fn server(builder: ServerBuilder) -> Server {
    builder.bind("127.0.0.1:0").await.expect("a free port")
}

/// A connection in memory, so that the clock may stand still.
fn connect(server: &Server) -> Raw<DuplexStream> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(server.serve_stream(Stream::new(near)));
    Raw::new(far)
}

async fn status(server: &Server, path: &str, host: &str, fields: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{FIELDS}{fields}\r\n");
    connect(server).request(&request).await.status
}

pub(crate) async fn open(server: &Server, path: &str) -> Raw<DuplexStream> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{FIELDS}\r\n");
    let mut peer = connect(server);
    assert_eq!(peer.request(&request).await.status, 101);
    peer
}

#[derive(Default)]
struct Numbers;

#[server_endpoint("/numbers/{first}")]
impl Numbers {
    #[on_open]
    async fn opened(&mut self, #[path] first: u32) {
        let _ = first;
    }

    #[on_message]
    fn doubled(&mut self, number: Parsed<u32>) -> String {
        (number.0 * 2).to_string()
    }
}

#[derive(Default)]
struct Fragile;

#[server_endpoint("/fragile")]
impl Fragile {
    #[on_message]
    fn text(&mut self, text: &str) -> sockeye::HandlerResult<String> {
        match text {
            "panic" => panic!("as the test wants"),
            "fail" => Err("as the test wants".into()),
            text => Ok(text.to_owned()),
        }
    }
}

struct Undecided;

impl Configurator for Undecided {
    async fn modify_handshake(
        &self,
        _: &Handshake,
        _: &mut HandshakeResponse,
    ) -> Result<(), Refusal> {
        Err(std::io::Error::other("no table of users"))?
    }
}

/// Tries what [`Undecided`] does, and lets the request in although it fails.
struct Forgiving;

impl Configurator for Forgiving {
    async fn modify_handshake(
        &self,
        request: &Handshake,
        response: &mut HandshakeResponse,
    ) -> Result<(), Refusal> {
        let refused = Undecided.modify_handshake(request, response).await;
        assert_eq!(refused.expect_err("it always fails").status(), 500);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_becomes_a_refusal_is_logged_when_the_refusal_is_sent_and_not_before() {
    let lines = Lines::default();
    let _logged = lines.keep();
    let builder = Server::builder()
        .endpoint(endpoint("/forgiving", |_| Fragile).configurator(Forgiving))
        .endpoint(endpoint("/undecided", |_| Fragile).configurator(Undecided));
    let server = server(builder).await;
    drop(open(&server, "/forgiving").await);
    assert_eq!(lines.take_loud(), [""; 0]);
    let request = format!("GET /undecided HTTP/1.1\r\nHost: localhost\r\n{FIELDS}\r\n");
    let answer = connect(&server).request(&request).await;
    assert_eq!(answer.status, 500);
    assert!(!answer.body.contains("no table of users"), "{answer:?}");
    let [line] = &lines.take_loud()[..] else {
        panic!("one line")
    };
    assert!(line.contains("a configurator failed"), "{line}");
    assert!(line.contains("error=no table of users "), "{line}");
}

#[tokio::test(start_paused = true)]
async fn faults_of_a_peer_are_counted_and_write_no_line_at_info() {
    let lines = Lines::default();
    let _logged = lines.keep();
    let server = server(Server::builder().default_endpoint::<Numbers>()).await;
    let stats = || server.handle().stats();

    let mut peer = open(&server, "/numbers/1").await;
    for _ in 0..1_000 {
        peer.send(TEXT, b"no number").await;
    }
    peer.send(TEXT, b"21").await;
    assert_eq!(peer.recv_text().await, "42");
    assert_eq!(stats().undecodable_messages, 1_000);

    for _ in 0..20 {
        // A parameter of the path that does not parse, an unmasked frame, a transport that ends, no HTTP.
        let mut peer = open(&server, "/numbers/none").await;
        assert_eq!(peer.recv_close().await.0, 1011);
        let mut peer = open(&server, "/numbers/1").await;
        peer.write(b"\x81\x00").await;
        assert_eq!(peer.recv_close().await.0, 1002);
        let mut peer = open(&server, "/numbers/1").await;
        peer.fin().await;
        while peer.recv().await.is_some() {}
        let mut peer = connect(&server);
        assert_eq!(peer.request("\0\r\n\r\n").await.status, 400);
    }
    // The connections of HTTP end in tasks of their own.
    while stats().failed_http_connections < 20 {
        tokio::task::yield_now().await;
    }
    assert_eq!((stats().protocol_errors, stats().lost_sessions), (20, 20));
    assert_eq!(lines.take_loud(), [""; 0]);
    assert_eq!(stats().log_lines_left_out, 0);
}

#[tokio::test(start_paused = true)]
async fn errors_and_panics_of_handlers_that_a_peer_repeats_write_one_line_in_ten_seconds() {
    let lines = Lines::default();
    let _logged = lines.keep();
    let undecided = endpoint("/undecided", |_| Fragile).configurator(Undecided);
    let builder = Server::builder().default_endpoint::<Fragile>();
    let server = server(builder.endpoint(undecided)).await;
    for round in 0..2 {
        let mut peer = open(&server, "/fragile").await;
        for _ in 0..100 {
            peer.send(TEXT, b"fail").await;
        }
        peer.send(TEXT, b"done").await;
        assert_eq!(peer.recv_text().await, "done");
        for _ in 0..10 {
            let mut peer = open(&server, "/fragile").await;
            peer.send(TEXT, b"panic").await;
            assert_eq!(peer.recv_close().await.0, 1011);
            assert_eq!(status(&server, "/undecided", "localhost", "").await, 500);
        }
        let (failed, others) = [(0, 0), (99, 9)][round];
        let mut loud = lines.take_loud();
        loud.sort();
        assert_eq!(loud.len(), 3, "{loud:#?}");
        for (line, (says, left_out)) in loud.iter().zip([
            ("a configurator failed", others),
            ("a callback failed", failed),
            ("a callback panicked", others),
        ]) {
            let line = loud.iter().find(|line| line.contains(says)).unwrap_or(line);
            assert!(line.contains(says), "{line}");
            assert!(line.contains(&format!("left_out={left_out} ")), "{line}");
        }
        tokio::time::advance(LogLimit::INTERVAL).await;
    }
    assert_eq!(server.handle().stats().log_lines_left_out, 2 * (99 + 9 + 9));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_origin_or_host_is_one_line_at_info_with_both_values_escaped() {
    let lines = Lines::default();
    let _logged = lines.keep();
    let server = server(Server::builder().default_endpoint::<Fragile>()).await;
    let host = "rebound.example";
    assert_eq!(status(&server, "/fragile", host, "").await, 403);
    let [line] = &lines.take_loud()[..] else {
        panic!("one line")
    };
    assert!(line.contains(r#"host="rebound.example""#), "{line}");
    assert!(line.contains(r#"origin="""#), "{line}");

    let evil = format!(
        "Origin: http://evil\u{202e}.example/{}\r\n",
        "a".repeat(4_000)
    );
    for _ in 0..50 {
        assert_eq!(
            status(&server, "/fragile", "localhost:80", &evil).await,
            403
        );
    }
    let [line] = &lines.take_loud()[..] else {
        panic!("one line for each reason")
    };
    assert!(
        line.contains(r#"origin="http://evil\u{202e}.example/aaa"#),
        "{line}"
    );
    assert!(line.contains(r#"host="localhost:80""#), "{line}");
    assert!(line.len() < 500 && !line.contains('\n'), "{line}");
    tokio::time::advance(LogLimit::INTERVAL).await;
    let two = "Origin: http://a.example\r\nOrigin: http://b.example\r\n";
    assert_eq!(status(&server, "/fragile", "localhost", two).await, 403);
    let [line] = &lines.take_loud()[..] else {
        panic!("one line")
    };
    let both = r#"origin="http://a.example, http://b.example" host="localhost" left_out=49 "#;
    assert!(line.contains(both), "{line}");
    let stats = server.handle().stats();
    assert_eq!((stats.forbidden_hosts, stats.forbidden_origins), (1, 51));
}
