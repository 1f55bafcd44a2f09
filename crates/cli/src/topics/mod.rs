//! `/topics`: clients of the subprotocol `sockeye.topics.v0` subscribe and publish. Patterns say what they may do.

use std::path::Path;

use sockeye::topics::TopicsBuilder;
use sockeye::{CloseCode, Session, Topics, server_endpoint};
use sockeye_redis::RedisEngine;

mod builtin;
mod file;

pub(crate) use self::file::FileError;

/// The endpoint of one connection, without state.
#[derive(Debug, Default)]
pub(crate) struct TopicsEndpoint;

#[server_endpoint("/topics", topics)]
impl TopicsEndpoint {
    /// A client without the subprotocol can do nothing here.
    #[on_open]
    fn open(&self, session: &Session) {
        if !session.speaks_topics() {
            let reason = "ask for the subprotocol sockeye.topics.v0";
            let closed = session.close(CloseCode::POLICY_VIOLATION, reason);
            debug_assert!(closed.is_ok(), "1008 may be sent");
        }
    }

    /// A message of the application has no meaning here.
    #[on_message]
    fn text(&self, _: &str) {}

    #[on_message]
    fn binary(&self, _: &[u8]) {}
}

/// Returns the topics of the server: the built-in patterns, and those of a file. With a file the pattern `demo/{id}` is
/// off, which lets each client publish. Without an engine this node is alone.
pub(crate) fn topics(
    file: Option<&Path>,
    node: Option<&str>,
    engine: Option<RedisEngine>,
) -> Result<Topics, FileError> {
    let mut builder = builtin::rooms(TopicsBuilder::default());
    if let Some(engine) = engine {
        builder = builder.engine(engine);
    }
    if let Some(node) = node {
        builder = builder.node(node);
    }
    let Some(path) = file else {
        return builtin::demo(builder).build().map_err(FileError::builtin);
    };
    file::read(path, builder)
}
