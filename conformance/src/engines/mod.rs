//! Redis and Valkey: the servers that `sockeye-redis` puts topics on.

pub(crate) mod program;
pub(crate) mod server;
