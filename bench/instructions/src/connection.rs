//! A loop on a plain connection, as a user writes it, with its defaults; its client is in memory.

use std::sync::Arc;

use sockeye::proto::{Config, MessageBuffer, Role};
use sockeye::{Connection, Error};

use crate::Result;
use crate::client::Client;
use crate::endpoint::block_on;
use crate::script::{self, Script};

/// Texts of `size` bytes, `in_read` of them in each read.
pub(crate) fn echo(size: usize, in_read: usize, count: u64) -> Result<()> {
    let text = script::ascii(size);
    let script = Script::repeated(script::batch(&vec![text.as_str(); in_read]));
    let (client, done) = Client::open(&Arc::new(script), count);
    block_on(async {
        let ws = Connection::server(client, Config::new(Role::Server));
        let echoing = tokio::spawn(answer_all(ws));
        done.await.map_err(|_| "the client is gone".to_owned())??;
        let ended = echoing.await.map_err(|error| error.to_string())?;
        ended.map_err(|error| error.to_string())
    })
}

async fn answer_all(mut ws: Connection<Client>) -> Result<(), Error> {
    let mut message = MessageBuffer::default();
    while ws.recv_into(&mut message).await? {
        match &message {
            MessageBuffer::Text(text) => ws.feed_text(text).await?,
            MessageBuffer::Binary(bytes) => ws.feed_binary(bytes).await?,
        }
    }
    Ok(())
}
