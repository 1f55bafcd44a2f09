//! One request, and all the ways to a WebSocket: a server, a container, an upgrade inside hyper, an acceptor on a stream, and
//! axum. They answer alike.

use std::net::SocketAddr;

use crate::support::serving::{self, bind};
use crate::support::{Answer, Raw, serve};
use sockeye::server::Acceptor;
use sockeye::{Endpoint, Server, endpoint};

struct Silent;

impl Endpoint for Silent {}

fn builder() -> sockeye::server::ServerBuilder {
    Server::builder().endpoint(endpoint("/", |_| Silent))
}

async fn by_acceptor() -> SocketAddr {
    let (listener, addr) = bind().await;
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let accepted = Acceptor::new().accept(tcp).await;
                // The error and the answer have one status.
                if let Ok(mut ws) = accepted {
                    let _ = ws.recv().await;
                }
            });
        }
    });
    addr
}

#[cfg(feature = "axum")]
async fn by_axum() -> SocketAddr {
    use axum::Router;
    use axum::routing::any;
    use sockeye::axum::WebSocketUpgrade;
    let handler = async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(|mut ws| async move {
            let _ = ws.recv().await;
        })
    };
    let router: Router = Router::new().route("/", any(handler));
    let (listener, addr) = bind().await;
    tokio::spawn(axum::serve(listener, router).into_future());
    addr
}

/// All ways, by their names.
async fn ways() -> Vec<(&'static str, SocketAddr)> {
    let container = builder().container().expect("one endpoint");
    let upgrade = |mut request| {
        let (response, upgrading) = sockeye::upgrade(&mut request);
        tokio::spawn(async move {
            if let Ok(mut ws) = upgrading.await {
                let _ = ws.recv().await;
            }
        });
        async { response }
    };
    vec![
        ("server", serve(builder()).await),
        (
            "container",
            serving::hyper(move |request| container.upgrade(request)).await,
        ),
        ("upgrade", serving::hyper(upgrade).await),
        ("acceptor", by_acceptor().await),
        #[cfg(feature = "axum")]
        ("axum", by_axum().await),
    ]
}

/// What of an answer has to be the same. The lists in `Connection` are compared as sets: hyper adds to them.
fn facts(answer: &Answer) -> (u16, String, Vec<String>, [Option<String>; 4]) {
    let connection = answer.field("connection").unwrap_or_default();
    let connection = connection.to_ascii_lowercase();
    let mut listed: Vec<_> = connection.split(", ").map(str::to_owned).collect();
    listed.sort();
    let fields = ["upgrade", "allow", "sec-websocket-version", "content-type"];
    let fields = fields.map(|name| answer.field(name).map(str::to_owned));
    (answer.status, answer.body.clone(), listed, fields)
}

#[tokio::test]
async fn bad_requests_get_the_same_status_and_reason_in_every_way() {
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    const VERSION: &str = "Sec-WebSocket-Version: 13";
    const HOST: &str = "Host: localhost";
    const UPGRADE: &str = "Upgrade: websocket";
    const CONNECTION: &str = "Connection: Upgrade";
    let elsewhere = "Origin: https://elsewhere.example";
    let good = [HOST, UPGRADE, CONNECTION, VERSION, KEY];
    let ways = ways().await;
    for (line, fields, status, reason) in [
        ("GET / HTTP/1.1", &good[..], 101, ""),
        ("GET / HTTP/1.0", &good, 505, "HTTP/1.1"),
        ("POST / HTTP/1.1", &good, 405, "GET"),
        ("POST / HTTP/1.1", &[HOST], 405, "GET"),
        ("PUT / HTTP/1.1", &good, 405, "GET"),
        // No upgrade is asked for, or something else.
        ("GET / HTTP/1.1", &[HOST], 426, "Upgrade"),
        (
            "GET / HTTP/1.1",
            &[HOST, CONNECTION, VERSION, KEY],
            426,
            "Upgrade",
        ),
        (
            "GET / HTTP/1.1",
            &[HOST, "Upgrade: h2c", CONNECTION, VERSION, KEY],
            426,
            "Upgrade",
        ),
        (
            "GET / HTTP/1.1",
            &[HOST, UPGRADE, VERSION, KEY],
            400,
            "Connection",
        ),
        (
            "GET / HTTP/1.1",
            &[HOST, UPGRADE, "Connection: keep-alive", VERSION, KEY],
            400,
            "Connection",
        ),
        (
            "GET / HTTP/1.1",
            &[HOST, UPGRADE, CONNECTION, KEY],
            400,
            "Version",
        ),
        (
            "GET / HTTP/1.1",
            &[HOST, UPGRADE, CONNECTION, "Sec-WebSocket-Version: 8", KEY],
            426,
            "13",
        ),
        (
            "GET / HTTP/1.1",
            &[HOST, UPGRADE, CONNECTION, VERSION, VERSION, KEY],
            400,
            "Version",
        ),
        (
            "GET / HTTP/1.1",
            &[HOST, UPGRADE, CONNECTION, VERSION],
            400,
            "Key",
        ),
        (
            "GET / HTTP/1.1",
            &[HOST, UPGRADE, CONNECTION, VERSION, KEY, KEY],
            400,
            "Key",
        ),
        (
            "GET / HTTP/1.1",
            &[
                HOST,
                UPGRADE,
                CONNECTION,
                VERSION,
                "Sec-WebSocket-Key: short",
            ],
            400,
            "Key",
        ),
        (
            "GET / HTTP/1.1",
            &[UPGRADE, CONNECTION, VERSION, KEY],
            400,
            "Host",
        ),
        (
            "GET / HTTP/1.1",
            &[HOST, UPGRADE, CONNECTION, VERSION, KEY, "Content-Length: 1"],
            400,
            "body",
        ),
        (
            "GET / HTTP/1.1",
            &[
                HOST,
                UPGRADE,
                CONNECTION,
                VERSION,
                KEY,
                "Sec-WebSocket-Protocol: a, a",
            ],
            400,
            "twice",
        ),
        (
            "GET / HTTP/1.1",
            &[
                HOST,
                UPGRADE,
                CONNECTION,
                VERSION,
                KEY,
                "Sec-WebSocket-Extensions: ;",
            ],
            400,
            "Extensions",
        ),
        (
            "GET / HTTP/1.1",
            &[HOST, UPGRADE, CONNECTION, VERSION, KEY, elsewhere],
            403,
            "origin",
        ),
        (
            "GET / HTTP/1.1",
            &[HOST, UPGRADE, CONNECTION, VERSION, KEY, "Origin: null"],
            403,
            "origin",
        ),
    ] {
        let request = format!("{line}\r\n{}\r\n\r\n", fields.join("\r\n"));
        let mut answers = Vec::new();
        for (way, addr) in &ways {
            let mut peer = Raw::connect(*addr).await;
            let answer = peer.request(&request).await;
            assert_eq!(answer.status, status, "{way}: {request}{answer:?}");
            assert!(answer.body.contains(reason), "{way}: {request}{answer:?}");
            if status != 101 {
                assert!(answer.body.len() > 10, "{way}: {answer:?}");
                peer.recv_end().await;
            }
            answers.push((way, facts(&answer)));
        }
        for (way, answer) in &answers[1..] {
            assert_eq!(*answer, answers[0].1, "{way}: {request}");
        }
    }
}
