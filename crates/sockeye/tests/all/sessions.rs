//! Sessions from outside of an endpoint: by the handle of a server, and by a container.

use std::sync::{Arc, Weak};

use crate::support::serving::{Serving, both};
use crate::support::{Raw, TEXT, soon};
use sockeye::endpoint::{EndpointConfig, Incoming, Reply, SessionId};
use sockeye::{CloseCode, Endpoint, HandlerResult, Server, Session, endpoint};

/// Says its session's name, then echoes.
struct Named;

impl Endpoint for Named {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        let id = session.id().to_string();
        session.basic_remote().send_text(id).await?;
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

fn named(path: &str) -> EndpointConfig {
    endpoint(path, |_| Named)
}

fn builder() -> sockeye::server::ServerBuilder {
    Server::builder()
        .endpoint(named("/chat/{room}"))
        .endpoint(named("/news"))
}

/// A peer, and the name of its session.
async fn open(addr: std::net::SocketAddr, target: &str) -> (Raw, SessionId) {
    let mut peer = Raw::open(addr, target).await;
    let id = peer.recv_text().await.parse().expect("an id");
    (peer, id)
}

fn ids(sessions: &[Session]) -> Vec<SessionId> {
    let mut ids: Vec<_> = sessions.iter().map(Session::id).collect();
    ids.sort();
    ids
}

fn sorted<const N: usize>(mut ids: [SessionId; N]) -> Vec<SessionId> {
    ids.sort();
    ids.to_vec()
}

#[tokio::test]
async fn the_open_sessions_of_an_endpoint_are_found_by_its_template() {
    for (serving, addr, _stop, _task) in both(builder).await {
        let chat = serving.open_sessions("/chat/{room}").unwrap();
        let news = serving.open_sessions("/news").unwrap();
        assert!(chat.is_empty() && news.is_empty());

        let (mut ann, ann_id) = open(addr, "/chat/lobby").await;
        let (mut bob, bob_id) = open(addr, "/chat/cellar").await;
        let (mut eve, eve_id) = open(addr, "/news").await;
        assert_eq!(ids(&chat.to_vec()), sorted([ann_id, bob_id]));
        assert_eq!(ids(&news.to_vec()), [eve_id]);
        assert_eq!(ids(&serving.sessions()), sorted([ann_id, bob_id, eve_id]));

        assert_eq!(chat.broadcast("to all"), 2);
        let lobby = chat.with_path_parameter("room", "lobby");
        assert_eq!(lobby.broadcast("to the lobby"), 1);
        assert_eq!(news.broadcast("news"), 1);
        assert_eq!(ann.recv_text().await, "to all");
        assert_eq!(ann.recv_text().await, "to the lobby");
        assert_eq!(bob.recv_text().await, "to all");
        assert_eq!(eve.recv_text().await, "news");
    }
}

#[tokio::test]
async fn what_is_no_template_of_an_endpoint_has_no_sessions() {
    for (serving, addr, _stop, _task) in both(builder).await {
        let _open = open(addr, "/chat/lobby").await;
        for path in [
            "",
            "/",
            "/chat/lobby",
            "/chat/{name}",
            "chat/{room}",
            "/news/",
        ] {
            assert!(serving.open_sessions(path).is_none(), "{path:?}");
        }
    }
}

#[tokio::test]
async fn an_added_endpoint_has_sessions_too() {
    for (serving, addr, _stop, _task) in both(builder).await {
        assert!(serving.open_sessions("/late").is_none());
        serving.add(named("/late")).unwrap();
        let late = serving.open_sessions("/late").unwrap();
        let (_peer, id) = open(addr, "/late").await;
        assert_eq!(ids(&late.to_vec()), [id]);
        assert_eq!(serving.session(id).unwrap().id(), id);
    }
}

#[tokio::test]
async fn one_session_is_found_by_its_name_until_it_has_ended() {
    for (serving, addr, _stop, _task) in both(builder).await {
        let mut peers = Vec::new();
        for number in 0..20 {
            let target = ["/chat/lobby", "/news"][number % 2];
            peers.push(open(addr, target).await);
        }
        let chat = serving.open_sessions("/chat/{room}").unwrap();
        for (number, (_, id)) in peers.iter().enumerate() {
            assert_eq!(serving.session(*id).unwrap().id(), *id);
            assert_eq!(chat.get(*id).is_some(), number % 2 == 0);
        }

        // Another task sends to it, and closes it.
        let (mut kicked, id) = peers.remove(6);
        let session = serving.session(id).unwrap();
        session.basic_remote().send_text("goodbye").await.unwrap();
        session
            .close(CloseCode::POLICY_VIOLATION, "kicked")
            .unwrap();
        assert_eq!(kicked.recv_text().await, "goodbye");
        assert_eq!(kicked.recv_close().await, (1008, "kicked".to_owned()));
        kicked.send_close(1008, "").await;
        kicked.recv_end().await;
        soon(session.closed()).await;
        assert!(serving.session(id).is_none());

        // The next session has its slot, and another name.
        let (_next, next_id) = open(addr, "/chat/lobby").await;
        assert!(serving.session(id).is_none());
        assert_eq!(serving.session(next_id).unwrap().id(), next_id);
        for (peer, _) in &mut peers {
            peer.send(TEXT, b"still here").await;
            assert_eq!(peer.recv_text().await, "still here");
        }
    }
}

#[tokio::test]
async fn a_name_that_no_session_has_leads_to_none() {
    for (serving, addr, _stop, _task) in both(builder).await {
        let _open = open(addr, "/news").await;
        for digit in "0123456789abcdef".chars() {
            let id: SessionId = digit.to_string().repeat(32).parse().unwrap();
            assert!(serving.session(id).is_none());
        }
    }
}

/// What the state of an application holds, and what its endpoints hold of it.
struct App {
    serving: Serving,
}

struct OfApp {
    app: Arc<App>,
}

impl Endpoint for OfApp {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        let known = self.app.serving.session(session.id()).is_some();
        session.basic_remote().send_text(known.to_string()).await?;
        Ok(())
    }
}

/// The state holds the server, and the server's endpoint holds the state.
#[tokio::test]
async fn a_circle_of_state_and_server_works_and_is_freed_when_the_server_has_stopped() {
    for (serving, addr, stop, task) in both(Server::builder).await {
        let app = Arc::new(App {
            serving: serving.clone(),
        });
        let weak: Weak<App> = Arc::downgrade(&app);
        let of_app = endpoint("/app", move |_| OfApp {
            app: Arc::clone(&app),
        });
        serving.add(of_app).unwrap();
        let mut peer = Raw::open(addr, "/app").await;
        assert_eq!(peer.recv_text().await, "true");

        stop.send(()).unwrap();
        assert_eq!(peer.recv_close().await.0, 1001);
        peer.close().await;
        soon(task).await.unwrap();
        // The endpoint of the session is dropped in the session's task.
        soon(async {
            while weak.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(serving.open_sessions("/app").is_none());
    }
}
