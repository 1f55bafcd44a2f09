//! A chat inside an axum application: a login by cookie, rooms, and pages that see and close the sessions of the chat.
//!
//! ```sh
//! cargo run --example axum --features axum
//! curl -i -X POST http://127.0.0.1:8080/login/ann
//! sockeye connect -H 'Cookie: login=THE-TOKEN' ws://127.0.0.1:8080/rooms/lobby
//! curl http://127.0.0.1:8080/people/lobby
//! curl -X POST http://127.0.0.1:8080/kick/ann
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use http::header::{COOKIE, SET_COOKIE};
use http::{StatusCode, request::Parts};
use sockeye::axum::WebSocketUpgrade;
use sockeye::endpoint::{ConnectionInfo, ServerEndpoint};
use sockeye::server::{Container, DeploymentError};
use sockeye::{CloseCode, CloseReason, Server, Session, server_endpoint};
use tokio::net::TcpListener;

/// What the pages and the chat share: cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    /// The names of the logged-in people, by their tokens.
    people: Arc<Mutex<HashMap<String, String>>>,
    pub(crate) container: Container,
}

/// One connection of the chat.
struct Chat {
    app: App,
}

#[server_endpoint("/rooms/{room}")]
impl Chat {
    #[on_open]
    fn joined(&mut self, session: &Session, #[path] room: &str) {
        let from = session.request().peer_addr();
        let from = from.map_or("somewhere".to_owned(), |addr| addr.ip().to_string());
        self.tell(session, room, &format!("is here, from {from}"));
    }

    #[on_message(max = 4096)]
    fn said(&mut self, session: &Session, text: &str, #[path] room: &str) {
        self.tell(session, room, &format!("says {text}"));
    }

    #[on_close]
    fn left(&mut self, session: &Session, _: CloseReason, #[path] room: &str) {
        self.tell(session, room, "has gone");
    }
}

impl Chat {
    fn tell(&self, session: &Session, room: &str, news: &str) {
        let (who, online) = (
            session.principal().unwrap_or("?"),
            self.app.container.stats().open_sessions,
        );
        let room = session.open_sessions().with_path_parameter("room", room);
        room.broadcast(format!("{who} {news} ({online} online)"));
    }
}

/// Who asks, as an extractor: the name behind the cookie, else 401.
struct Login(String);

impl FromRequestParts<App> for Login {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let cookies = parts.headers.get_all(COOKIE).into_iter();
        let cookies = cookies.filter_map(|value| value.to_str().ok());
        let mut cookies = cookies.flat_map(|value| value.split("; "));
        let token = cookies.find_map(|cookie| cookie.strip_prefix("login="));
        let people = app.people.lock().expect("no panic under the lock");
        let name = token.and_then(|token| people.get(token)).cloned();
        name.map(Self)
            .ok_or((StatusCode::UNAUTHORIZED, "log in first\n"))
    }
}

async fn login(State(app): State<App>, Path(name): Path<String>) -> impl IntoResponse {
    // A real application asks for a password. The token cannot be guessed.
    let token = format!("{:032x}", rand::random::<u128>());
    let cookie = format!("login={token}; HttpOnly; SameSite=Strict; Path=/");
    app.people
        .lock()
        .expect("no panic under the lock")
        .insert(token, name);
    ([(SET_COOKIE, cookie)], "welcome\n")
}

/// Gives the request to the chat, with what only this handler knows.
async fn chat(
    State(app): State<App>,
    Login(name): Login,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let info = ConnectionInfo::default().peer_addr(peer);
    upgrade
        .principal(name)
        .connection_info(info)
        .endpoint(&app.container)
        .await
}

async fn people(State(app): State<App>, Path(room): Path<String>) -> String {
    let chat = app.container.open_sessions(Chat::PATH);
    let sessions = chat.map(|chat| chat.with_path_parameter("room", &room).to_vec());
    let names = sessions.iter().flatten().filter_map(Session::principal);
    names.map(|name| format!("{name}\n")).collect()
}

async fn kick(State(app): State<App>, Path(name): Path<String>) -> String {
    let mut sessions = app.container.sessions();
    sessions.retain(|session| session.principal() == Some(&*name));
    for session in &sessions {
        // The code and the reason may be sent.
        let _ = session.close(CloseCode::POLICY_VIOLATION, "you were asked to leave");
    }
    format!("{} closed\n", sessions.len())
}

/// The whole application. The chat holds the state, and the state the container of the chat.
pub(crate) fn application() -> Result<(Router, App), DeploymentError> {
    let app = App {
        people: Arc::default(),
        container: Server::builder().container()?,
    };
    let shared = app.clone();
    app.container
        .add_endpoint(Chat::endpoint(move |_handshake| Chat {
            app: shared.clone(),
        }))?;
    let router = Router::new()
        .route("/login/{name}", post(login))
        .route("/rooms/{room}", any(chat))
        .route("/people/{room}", get(people))
        .route("/kick/{name}", post(kick))
        .with_state(app.clone());
    Ok((router, app))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1);
    let listener = TcpListener::bind(addr.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    let (router, app) = application()?;
    #[expect(clippy::print_stdout, reason = "a client needs the address")]
    {
        println!("http://{}/", listener.local_addr()?);
    }
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    // axum waits for its own connections; those that were upgraded are the container's.
    app.container.stop().await;
    Ok(())
}
