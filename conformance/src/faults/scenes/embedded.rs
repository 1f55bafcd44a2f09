//! A node in the process of the bench: for what `sockeye serve` has no command for.

use sockeye::endpoint::EndpointConfig;
use sockeye::topics::TopicsBuilder;
use sockeye::{Endpoint, Server, Topics};
use sockeye_redis::RedisEngine;
use tokio::task::AbortHandle;

use crate::error::Result;

/// A node that serves clients of topics. It ends with this value.
pub(super) struct Embedded {
    pub(super) topics: Topics,
    address: String,
    serving: AbortHandle,
}

impl Embedded {
    /// Starts a node on the server of a URL.
    pub(super) async fn start(topics: TopicsBuilder, url: &str) -> Result<Self> {
        let topics = started(topics, url).await?;
        let endpoint = EndpointConfig::new("/topics", |_| Silent).topics();
        let server = Server::builder().topics(topics.clone()).endpoint(endpoint);
        let server = server.bind("127.0.0.1:0").await?;
        let address = server.local_addr().to_string();
        let serving = tokio::spawn(server.serve()).abort_handle();
        Ok(Self {
            topics,
            address,
            serving,
        })
    }

    /// Returns `host:port`.
    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Starts topics without a listener, on the server of a URL.
pub(super) async fn started(topics: TopicsBuilder, url: &str) -> Result<Topics> {
    let topics = topics.engine(RedisEngine::new(url)?).build()?;
    topics.start().await?;
    Ok(topics)
}

/// An endpoint for clients that only use topics.
struct Silent;

impl Endpoint for Silent {}
