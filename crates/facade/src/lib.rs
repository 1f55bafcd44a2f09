//! The names of the public face: the type of each value that the API of `sockeye` returns, written out.
//!
//! The crate depends on `sockeye` and on the crates whose types may stand in its API. It does not compile when a type
//! cannot be named, or when a type of another crate comes into the API. Nothing calls its functions.

mod client;
mod connection;
mod endpoint;
mod proto;
mod server;
mod test;
mod topics;

pub use self::client::{blocking, browser, client, errors_of_connecting, reconnect, topic_client};
pub use self::connection::{bridging, connection, split};
pub use self::endpoint::{Word, callbacks, handlers, handshake, is_an_argument, remotes, session};
pub use self::proto::{handshake_types, messages};
pub use self::server::{acceptor, axum, container, result_of_main, server};
pub use self::test::{scripts, sessions_under_test};
pub use self::topics::{authorize, handle, subscriptions, topics};
