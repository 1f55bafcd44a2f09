//! The opening handshake, RFC 6455 sections 3, 4, 9.1, 10.2 and 11.3, for both roles.
//!
//! This module has the rules only. Requests and responses are values of the `http` crate: the caller has parsed their
//! bytes and limited their size. The module knows no socket, no TLS, no HTTP parsing, no randomness (the nonce is an
//! argument), and no particular extension. It reads and writes extension lists, returns the offers, and checks that an
//! answer names only offered extensions.
//!
//! ```text
//!   client                                             server
//!
//!   WebSocketUri::parse
//!        │
//!   ClientHandshake::new(uri, nonce)
//!        │ subprotocols, extensions, header
//!        │
//!     request() ──────────── GET ────────────►  ServerHandshake::receive ──► RequestError
//!                                                      │                     (405 505 400 426)
//!                                               OriginPolicy::check ───────► Forbidden (403)
//!                                                      │
//!                                               choose_subprotocol, the extensions' negotiation
//!                                                      │
//!     receive() ◄──────────── 101 ────────────      accept()
//!      │     │
//!   Accepted  ResponseError
//! ```
//!
//! The two ends of one handshake:
//!
//! ```
//! use sockeye_proto::handshake::{ClientHandshake, OriginPolicy, ServerHandshake, WebSocketUri};
//!
//! let uri = WebSocketUri::parse("ws://server.example.com/chat")?;
//! let client = ClientHandshake::new(uri, *b"the sample nonce").subprotocols(["chat", "superchat"])?;
//!
//! let (request, ()) = client.request().into_parts();
//! let server = ServerHandshake::receive(&request)?;
//! OriginPolicy::SameHost.check(&request, false)?;
//! let subprotocol = server.choose_subprotocol(&["superchat"]);
//!
//! let (response, ()) = server.accept(subprotocol, &[])?.into_parts();
//! let accepted = client.receive(&response)?;
//! assert_eq!(accepted.subprotocol.as_deref(), Some("superchat"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
mod extension;
mod header;
mod host;
mod key;
mod origin;
mod server;
mod uri;

pub use client::{Accepted, ClientHandshake, OfferError, ResponseError};
pub use extension::{Extension, NotAToken};
pub use host::host_is_loopback;
pub use key::{Accept, InvalidKey, Key};
pub use origin::{Forbidden, InvalidOrigin, Origin, OriginPolicy, OriginProblem};
pub use server::{AcceptError, RequestError, ServerHandshake, is_websocket_request};
pub use uri::{UriError, WebSocketUri};
