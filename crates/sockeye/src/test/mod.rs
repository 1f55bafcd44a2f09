//! Help for tests, over memory: endpoints without a listener, and scripted servers for client code. Only with the feature
//! `test-util`.
//!
//! No socket is bound, so the tests of a program may run with tokio's paused clock: when all tasks wait, the clock jumps
//! to the next deadline. So a keep-alive's Ping, an idle timeout or a backoff passes at once. The feature also switches
//! tokio's `test-util` on, for `#[tokio::test(start_paused = true)]`.
//!
//! ```
//! use sockeye::connection::ConnectionEvent;
//! use sockeye::test::TestServer;
//! use sockeye::{HandlerResult, Session, server_endpoint};
//!
//! #[derive(Default)]
//! struct Greeter;
//!
//! #[server_endpoint("/greet/{name}")]
//! impl Greeter {
//!     #[on_open]
//!     async fn opened(&mut self, session: &Session, #[path] name: &str) -> HandlerResult {
//!         session.basic_remote().send_text(format!("hello {name}")).await?;
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> sockeye::Result {
//! let server = TestServer::of::<Greeter>()?;
//! let mut peer = server.get("/greet/ann").open().await?;
//! assert_eq!(peer.recv().await?, Some("hello ann".into()));
//! // After 20 s of silence the keep-alive sends a Ping.
//! assert!(matches!(peer.recv_event().await?, Some(ConnectionEvent::Ping(_))));
//! # Ok(())
//! # }
//! ```
//!
//! Client code is tested against a [`Script`]: what a server expects and sends, connection after connection.

mod script;
mod server;

pub use self::script::{Peer, Script, ScriptError};
pub use self::server::{Refused, TestPeer, TestRequest, TestServer};
