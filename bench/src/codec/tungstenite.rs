//! tungstenite, with the buffer that suits it best, writing when its buffer is full.

use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, WebSocket};

use crate::Result;

use super::Codec;
use super::tape::Tape;

pub(super) struct Echo {
    ws: WebSocket<Tape>,
    messages: usize,
}

impl Echo {
    pub(super) fn new(tape: Tape) -> Self {
        let messages = tape.batch().messages();
        let config = WebSocketConfig::default().read_buffer_size(8 * 1024);
        let ws = WebSocket::from_raw_socket(tape, Role::Server, Some(config));
        Self { ws, messages }
    }

    fn one(&mut self) -> Result<(), Error> {
        let message = self.ws.read()?;
        self.ws.write(message)
    }
}

impl Codec for Echo {
    fn echo(&mut self, batches: usize) -> Result<()> {
        for _ in 0..batches * self.messages {
            self.one().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.ws.flush().map_err(|error| error.to_string())
    }
}
