//! Some of an endpoint's open sessions, chosen by the parameters of their paths.

use sockeye::{Endpoint, HandlerResult, Server, Session, endpoint};

use crate::support::{Raw, serve, soon};

#[tokio::test]
async fn open_sessions_are_chosen_by_the_values_of_their_path_parameters() {
    let (opened, mut sessions) = tokio::sync::mpsc::channel(8);
    let addr = serve(
        Server::builder().endpoint(endpoint("/{house}/{room}", move |_| Opens(opened.clone()))),
    )
    .await;
    let mut peers = Vec::new();
    let mut session = None;
    for target in ["/a/1", "/a/2", "/b/1", "/a/%31"] {
        peers.push(Raw::open(addr, target).await);
        session = soon(sessions.recv()).await;
    }
    let session: Session = session.expect("four");
    let all = session.open_sessions();
    let firsts = all.with_path_parameter("room", "1");
    assert_eq!((firsts.len(), firsts.to_vec().len()), (3, 3));
    let of_a = all
        .with_path_parameter("house", "a")
        .with_path_parameter("room", "1");
    assert_eq!(of_a.broadcast("to /a/1"), 2);
    assert_eq!(all.broadcast("to all"), 4);
    assert_eq!(all.with_path_parameter("house", "b").broadcast("to b"), 1);
    let nowhere = all.with_path_parameter("haus", "a");
    assert!(nowhere.is_empty() && nowhere.broadcast("to no session") == 0);

    let came: [&[&str]; 4] = [
        &["to /a/1", "to all"],
        &["to all"],
        &["to all", "to b"],
        &["to /a/1", "to all"],
    ];
    for (mut peer, texts) in peers.into_iter().zip(came) {
        for text in texts {
            assert_eq!(peer.recv_text().await, *text);
        }
        peer.send_close(1000, "").await;
        assert_eq!(peer.recv_close().await.0, 1000);
    }
}

/// Hands its session out.
struct Opens(tokio::sync::mpsc::Sender<Session>);

impl Endpoint for Opens {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        self.0.try_send(session.clone())?;
        Ok(())
    }
}
