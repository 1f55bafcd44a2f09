//! WebSocket in the handlers of an axum application. It needs the feature `axum`.
//!
//! [`WebSocketUpgrade`] is an extractor. A handler answers with it, and gets a plain [`Connection`](crate::Connection):
//!
//! ```
//! use axum::Router;
//! use axum::extract::Path;
//! use axum::response::Response;
//! use axum::routing::any;
//! use sockeye::axum::WebSocketUpgrade;
//!
//! async fn greet(Path(name): Path<String>, upgrade: WebSocketUpgrade) -> Response {
//!     upgrade.on_upgrade(|mut ws| async move {
//!         // The client may have gone.
//!         let _ = ws.send(format!("hello {name}")).await;
//!         while let Ok(Some(message)) = ws.recv().await {
//!             println!("{name} says {message}");
//!         }
//!     })
//! }
//!
//! let router: Router = Router::new().route("/greet/{name}", any(greet));
//! ```
//!
//! Or it gives the request to an endpoint of a [`Container`](crate::server::Container), with what the handler knows of the
//! peer:
//!
//! ```
//! use axum::Router;
//! use axum::extract::State;
//! use axum::response::Response;
//! use axum::routing::any;
//! use sockeye::axum::WebSocketUpgrade;
//! use sockeye::server::Container;
//! use sockeye::{Server, Session, server_endpoint};
//!
//! #[derive(Default)]
//! struct Chat;
//!
//! #[server_endpoint("/chat/{room}")]
//! impl Chat {
//!     #[on_message]
//!     fn said(&mut self, session: &Session, text: &str, #[path] room: &str) {
//!         let who = session.principal().unwrap_or("a guest");
//!         let room = session.open_sessions().with_path_parameter("room", room);
//!         room.broadcast(format!("{who}: {text}"));
//!     }
//! }
//!
//! async fn chat(State(container): State<Container>, upgrade: WebSocketUpgrade) -> Response {
//!     // Any other extractor may find out who it is: a cookie's, for example.
//!     upgrade.principal("ann").endpoint(&container).await
//! }
//!
//! # fn main() -> sockeye::Result {
//! let container = Server::builder().default_endpoint::<Chat>().container()?;
//! let router: Router = Router::new().route("/chat/{room}", any(chat)).with_state(container);
//! # Ok(())
//! # }
//! ```
//!
//! `Path`, `State`, cookies and layers work as in any handler. `examples/axum.rs` is a whole application.

mod rejection;
mod upgrade;

pub use self::rejection::WebSocketUpgradeRejection;
pub use self::upgrade::WebSocketUpgrade;
