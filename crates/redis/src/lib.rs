//! Topics on many machines: an engine on one Redis or Valkey server.
//!
//! `Topics::builder().engine(RedisEngine::new("redis://localhost")?)` makes all processes with the same server and prefix
//! behave as one.
//!
//! # Shape
//!
//! ```text
//!  hub ── listen, publish, catch_up, tops, presence ──▶ engine ──▶ commands ──▶ server
//!   ▲                                                     ▲  scripts, in one order       │
//!   │ delivered, gap, listened                            │ state of the link            │ PUBLISH
//!   └───────────── workers ◀── queues, bounded ◀── feed ◀─┴──────────────────────────────┘
//! ```
//!
//! - `address`: the URL, and what it may say. `layout`: partitions, tags, the names of keys and channels.
//! - `transport`: streams to the server by TCP, TLS or a Unix socket. `heard`: when bytes last came. `connection`: one
//!   connection, which opens in the same way for commands and for the feed. `failure`: why it does not open.
//! - `encoding`: the bytes of a message on the feed and in a stream. It takes any bytes, and never panics.
//! - `script`: the scripts in `scripts/`, their hashes, and their arguments. `reply`: what the server may answer.
//!   `outcome`: why a call failed, and whether a publish that failed may have been published.
//! - `commands`: one life of the connection for commands: what is checked when it opens.
//!   `publish`, `read` (catch up, tops, keep), `presence`, `lease`: what is asked over it. `incarnation`: the names under
//!   which a node writes its members.
//! - `feed`: one life of the connection for messages. Its push closure runs in the driver task of the `redis` crate. It never
//!   waits: it puts a push into one of a few bounded queues by partition (`queue`). A worker for each queue decodes and
//!   delivers. A push that finds its queue full ends the generation of its partition.
//! - `beat`: judges beats, with time as an argument. `listening`: which topics this node listens to, the generations of
//!   the 256 partitions, and what is to be subscribed again. `subscribe`: batches of subscriptions on one feed, at the
//!   speed of `pace`. `reports`: what the hub is told of generations, in an order in which no topic waits for ever.
//! - `upkeep`: what the server would forget of topics without publishers.
//! - `link`: the state machine and the task that keeps both connections open. `engine`: the face. `fault`: defences that
//!   a build for tests can switch off.

mod address;
mod beat;
mod clock;
mod commands;
mod connection;
mod encoding;
mod engine;
mod failure;
mod fault;
mod feed;
mod heard;
mod incarnation;
mod layout;
mod lease;
mod link;
mod listening;
mod outcome;
mod pace;
mod presence;
mod publish;
mod queue;
mod read;
mod reply;
mod reports;
mod script;
mod subscribe;
#[cfg(test)]
mod tests;
mod transport;
mod upkeep;

pub use self::address::AddressError;
pub use self::engine::RedisEngine;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/scale.md")]
struct Guide;
