//! fastwebsockets, which writes each frame when it is sent.

use fastwebsockets::{FragmentCollector, Role, WebSocket, WebSocketError};
use futures_util::FutureExt;

use crate::Result;

use super::Codec;
use super::tape::Tape;

pub(super) struct Echo {
    ws: FragmentCollector<Tape>,
    messages: usize,
}

impl Echo {
    pub(super) fn new(tape: Tape) -> Self {
        let messages = tape.batch().messages();
        let ws = FragmentCollector::new(WebSocket::after_handshake(tape, Role::Server));
        Self { ws, messages }
    }

    async fn some(&mut self, messages: usize) -> Result<(), WebSocketError> {
        for _ in 0..messages {
            let frame = self.ws.read_frame().await?;
            self.ws.write_frame(frame).await?;
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
        Ok(())
    }
}
