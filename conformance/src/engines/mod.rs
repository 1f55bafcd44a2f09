//! Redis and Valkey: the servers that `sockeye-redis` puts topics on, and the judge of that engine.

mod backend;
mod judge;
pub(crate) mod monitor;
mod node;
pub(crate) mod program;
pub(crate) mod server;

pub(crate) use self::judge::judge;
