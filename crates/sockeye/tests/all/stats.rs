//! The counters of a server and of a container.

use sockeye::endpoint::Parsed;
use sockeye::{Server, Session, endpoint, server_endpoint};

use crate::support::{Raw, TEXT, request};

/// Sends the number of open sessions, after `on_open`.
#[derive(Default)]
struct Numbers;

#[server_endpoint("/numbers")]
impl Numbers {
    #[on_open]
    async fn opened(&mut self, session: &Session) -> sockeye::HandlerResult {
        let count = session.open_sessions().len();
        session
            .basic_remote()
            .send_text(format!("{count} open"))
            .await?;
        Ok(())
    }

    #[on_message]
    fn doubled(&mut self, number: Parsed<u32>) -> String {
        (number.0 * 2).to_string()
    }
}

struct Silent;

impl sockeye::Endpoint for Silent {}

#[tokio::test]
async fn a_server_counts_sessions_refusals_and_messages_that_do_not_decode() {
    let server = Server::builder()
        .default_endpoint::<Numbers>()
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let (addr, handle) = (server.local_addr(), server.handle());
    handle
        .add_endpoint(endpoint("/silent", |_| Silent))
        .unwrap();
    tokio::spawn(server.serve());
    assert_eq!(handle.stats(), sockeye::server::Stats::default());

    let mut peer = Raw::open(addr, "/numbers").await;
    assert_eq!(peer.recv_text().await, "1 open");
    let mut other = Raw::open(addr, "/numbers").await;
    assert_eq!(other.recv_text().await, "2 open");
    let stats = handle.stats();
    assert_eq!((stats.open_sessions, stats.opened_sessions), (2, 2));

    // The answer to the last message comes behind the handling of the first two.
    for text in ["four", "-1", "21"] {
        peer.send(TEXT, text.as_bytes()).await;
    }
    assert_eq!(peer.recv_text().await, "42");
    assert_eq!(handle.stats().undecodable_messages, 2);

    let foreign = request(addr, "/silent", "Origin: http://elsewhere.example\r\n");
    let refused = Raw::connect(addr).await.request(&foreign).await;
    assert_eq!(refused.status, 403);
    // No endpoint has refused this one.
    let unknown = request(addr, "/unknown", "");
    assert_eq!(Raw::connect(addr).await.request(&unknown).await.status, 404);
    assert_eq!(handle.stats().refused_handshakes, 1);

    other.close().await;
    peer.close().await;
    let stats = handle.stats();
    assert_eq!((stats.open_sessions, stats.opened_sessions), (0, 2));
}
