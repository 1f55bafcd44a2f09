//! tokio-websockets, fed: it writes when its buffer is full.

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio_websockets::{Error, ServerBuilder, WebSocketStream};

use crate::Result;

use super::Codec;
use super::tape::Tape;

pub(super) struct Echo {
    ws: WebSocketStream<Tape>,
    messages: usize,
}

impl Echo {
    pub(super) fn new(tape: Tape) -> Self {
        let messages = tape.batch().messages();
        let ws = ServerBuilder::new().serve(tape);
        Self { ws, messages }
    }

    async fn some(&mut self, messages: usize) -> Result<(), Error> {
        for _ in 0..messages {
            if let Some(message) = self.ws.next().await.transpose()? {
                self.ws.feed(message).await?;
            }
        }
        Ok(())
    }
}

impl Codec for Echo {
    fn echo(&mut self, batches: usize) -> Result<()> {
        let messages = batches * self.messages;
        let done = self.some(messages).now_or_never();
        done.ok_or("a tape never waits")?
            .map_err(|error| error.to_string())
    }

    fn flush(&mut self) -> Result<()> {
        let done = SinkExt::flush(&mut self.ws).now_or_never();
        done.ok_or("a tape never waits")?
            .map_err(|error| error.to_string())
    }
}
