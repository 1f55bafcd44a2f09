//! Endpoints that are added to a server, or a container, while it serves.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::support::serving::{Serving, both};
use crate::support::{BINARY, Raw, TEXT, request, soon};
use http::StatusCode;
use sockeye::endpoint::{
    Configurator, EndpointConfig, Handshake, HandshakeResponse, Incoming, IncomingKind, Refusal,
    Reply,
};
use sockeye::proto::{Config, Role};
use sockeye::{Endpoint, HandlerResult, Server, Session, endpoint};
use tokio::sync::Barrier;

/// Says its name, then echoes.
struct Named(&'static str);

impl Endpoint for Named {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        let room = session.path_parameter("room").unwrap_or("-");
        let said = format!("{} {room}", self.0);
        session.basic_remote().send_text(said).await?;
        Ok(())
    }

    async fn on_message<'m>(
        &mut self,
        _: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        Ok(Reply::from(message))
    }
}

fn named(path: &str, name: &'static str) -> EndpointConfig {
    endpoint(path, move |_| Named(name))
}

async fn status_of(addr: SocketAddr, target: &str) -> u16 {
    let request = request(addr, target, "");
    Raw::connect(addr).await.request(&request).await.status
}

async fn echoes(peer: &mut Raw, text: &str) {
    peer.send(TEXT, text.as_bytes()).await;
    assert_eq!(peer.recv_text().await, text);
}

#[tokio::test]
async fn an_endpoint_is_added_while_others_serve_and_open_connections_stay_where_they_are() {
    let builder = || Server::builder().endpoint(named("/chat/{room}", "any"));
    for (serving, addr, stop, task) in both(builder).await {
        let mut early = Raw::open(addr, "/chat/lobby").await;
        assert_eq!(early.recv_text().await, "any lobby");
        assert_eq!(status_of(addr, "/news").await, 404);

        serving.add(named("/news", "news")).unwrap();
        // From now on this is better for what the first would have had.
        serving.add(named("/chat/lobby", "lobby")).unwrap();
        let mut news = Raw::open(addr, "/news").await;
        assert_eq!(news.recv_text().await, "news -");
        let mut late = Raw::open(addr, "/chat/lobby").await;
        assert_eq!(late.recv_text().await, "lobby -");
        let mut other = Raw::open(addr, "/chat/cellar").await;
        assert_eq!(other.recv_text().await, "any cellar");
        for peer in [&mut early, &mut news, &mut late, &mut other] {
            echoes(peer, "still here").await;
        }

        // All sessions get a Close when it stops.
        stop.send(()).unwrap();
        for mut peer in [early, news, late, other] {
            assert_eq!(peer.recv_close().await.0, 1001);
            peer.close().await;
        }
        soon(task).await.unwrap();
        // This does no harm: no client can connect any more.
        serving.add(named("/late", "late")).unwrap();
    }
}

#[tokio::test]
async fn an_endpoint_that_contradicts_another_is_refused_and_nothing_has_changed() {
    let builder = || Server::builder().endpoint(named("/chat/{room}", "first"));
    for (serving, addr, _stop, _task) in both(builder).await {
        let mut open = Raw::open(addr, "/chat/a").await;
        assert_eq!(open.recv_text().await, "first a");
        let error = serving.add(named("/chat/{name}", "second")).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("/chat/{room}") && error.contains("/chat/{name}"),
            "{error}"
        );
        let error = serving.add(named("/deep/{er", "broken")).unwrap_err();
        assert!(error.to_string().contains("`/deep/{er`"), "{error}");
        assert_eq!(status_of(addr, "/deep/x").await, 404);
        let mut again = Raw::open(addr, "/chat/b").await;
        assert_eq!(again.recv_text().await, "first b");
        echoes(&mut open, "still here").await;
        // The refused endpoint may be added under another path.
        serving.add(named("/talk/{name}", "second")).unwrap();
        let mut talk = Raw::open(addr, "/talk/c").await;
        assert_eq!(talk.recv_text().await, "second -");
    }
}

#[tokio::test]
async fn what_the_builder_and_the_configuration_say_holds_for_an_added_endpoint() {
    struct Closed;

    impl Configurator for Closed {
        async fn modify_handshake(
            &self,
            _: &Handshake,
            _: &mut HandshakeResponse,
        ) -> Result<(), Refusal> {
            Err(Refusal::new(StatusCode::FORBIDDEN))
        }
    }

    let builder = || Server::builder().config(Config::new(Role::Server).max_message(10));
    for (serving, addr, _stop, _task) in both(builder).await {
        serving
            .add(named("/a", "a").max_message(IncomingKind::Binary, 5))
            .unwrap();
        serving
            .add(named("/closed", "b").configurator(Closed))
            .unwrap();
        assert_eq!(status_of(addr, "/closed").await, 403);
        for (opcode, most) in [(TEXT, 10), (BINARY, 5)] {
            let mut peer = Raw::open(addr, "/a").await;
            assert_eq!(peer.recv_text().await, "a -");
            peer.send(opcode, &vec![b'x'; most]).await;
            let echoed = (opcode, vec![b'x'; most]);
            assert_eq!(peer.recv().await, Some(echoed));
            peer.send(opcode, &vec![b'x'; most + 1]).await;
            assert_eq!(peer.recv_close().await.0, 1009);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_are_added_at_once_each_path_has_one_and_none_is_lost() {
    const PATHS: usize = 20;
    const RIVALS: usize = 4;
    for (serving, addr, _stop, _task) in both(Server::builder).await {
        let barrier = Arc::new(Barrier::new(PATHS * RIVALS));
        let mut adding = Vec::new();
        for index in 0..PATHS * RIVALS {
            let (serving, barrier) = (serving.clone(), Arc::clone(&barrier));
            adding.push(tokio::spawn(async move {
                barrier.wait().await;
                let path = format!("/{}", index % PATHS);
                let is_added = serving.add(named(&path, "x")).is_ok();
                // The endpoint exists, whichever task added it.
                let mut peer = Raw::open(addr, &path).await;
                assert_eq!(peer.recv_text().await, "x -");
                is_added
            }));
        }
        let mut added = 0;
        for adding in adding {
            added += usize::from(soon(adding).await.unwrap());
        }
        assert_eq!(added, PATHS);
    }
}

#[tokio::test]
async fn a_session_may_add_an_endpoint() {
    /// Adds an endpoint at the path that a message names.
    struct Adds(Serving);

    impl Endpoint for Adds {
        async fn on_message<'m>(
            &mut self,
            _: &Session,
            path: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            if let Incoming::Text(path) = &path {
                let serving = self.0.clone();
                self.0.add(endpoint(path, move |_| Self(serving.clone())))?;
            }
            Ok(Reply::from(path))
        }
    }

    for (serving, addr, _stop, _task) in both(Server::builder).await {
        let shared = serving.clone();
        serving
            .add(endpoint("/", move |_| Adds(shared.clone())))
            .unwrap();
        let mut peer = Raw::open(addr, "/").await;
        echoes(&mut peer, "/a").await;
        let mut peer = Raw::open(addr, "/a").await;
        echoes(&mut peer, "/b").await;
        assert_eq!(status_of(addr, "/b").await, 101);
    }
}
