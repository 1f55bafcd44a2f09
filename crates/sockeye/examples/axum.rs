//! Endpoints inside an axum application, beside its pages: they share its state, and stop with it.
//!
//! ```sh
//! cargo run --example axum
//! sockeye connect ws://127.0.0.1:8080/ws/greet/you
//! curl http://127.0.0.1:8080/listeners
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sockeye::endpoint::ConnectionInfo;
use sockeye::server::{Container, DeploymentError};
use sockeye::{CloseReason, Server, Session, server_endpoint};
use tokio::net::TcpListener;

/// What the pages and the endpoints share.
#[derive(Default)]
struct App {
    listeners: AtomicUsize,
}

/// Greets by name, and answers what is said to it.
struct Greeter {
    app: Arc<App>,
}

#[server_endpoint("/greet/{name}")]
impl Greeter {
    #[on_open]
    async fn opened(&mut self, session: &Session, #[path] name: &str) -> sockeye::HandlerResult {
        self.app.listeners.fetch_add(1, Ordering::Relaxed);
        let from = session.request().peer_addr();
        let from = from.map_or("somewhere".to_owned(), |addr| addr.ip().to_string());
        let greeting = format!("hello {name} from {from}");
        session.basic_remote().send_text(greeting).await?;
        Ok(())
    }

    #[on_message]
    fn said(&mut self, text: &str) -> String {
        text.to_uppercase()
    }

    #[on_close]
    fn closed(&mut self, _: CloseReason) {
        self.app.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The whole application, and its endpoints, to be stopped with it.
pub(crate) fn application() -> Result<(Router, Container), DeploymentError> {
    let app = Arc::new(App::default());
    let shared = Arc::clone(&app);
    let greeter = Greeter::endpoint(move |_handshake| Greeter {
        app: Arc::clone(&shared),
    });
    let container = Server::builder().endpoint(greeter).container()?;
    let listeners = async move |State(app): State<Arc<App>>| {
        format!("{}\n", app.listeners.load(Ordering::Relaxed))
    };
    let router = Router::new()
        .route("/listeners", get(listeners))
        .with_state(app)
        // An endpoint's path is what is behind the prefix. As a service it would be as short as
        // `.nest_service("/ws", container.clone())`; a handler may look at the request before.
        .nest(
            "/ws",
            Router::new()
                .fallback(upgrade)
                .with_state(container.clone()),
        );
    Ok((router, container))
}

/// Upgrades a request. The peer's address comes from axum: only axum knows it.
async fn upgrade(
    State(container): State<Container>,
    ConnectInfo(peer_addr): ConnectInfo<SocketAddr>,
    mut request: Request,
) -> Response {
    let info = ConnectionInfo::default().peer_addr(peer_addr);
    request.extensions_mut().insert(info);
    container.upgrade(request).await.into_response()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1);
    let listener = TcpListener::bind(addr.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    let (router, container) = application()?;
    #[expect(clippy::print_stdout, reason = "a client needs the address")]
    {
        println!("ws://{}/ws/greet/you", listener.local_addr()?);
    }
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    // axum waits for its own connections; those that were upgraded are the container's.
    container.stop().await;
    Ok(())
}
