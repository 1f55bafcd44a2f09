//! sockeye-proto, driven as its documentation has it: read, take each event, send, write once.

use std::io::{Read, Write};
use std::time::Instant;

use bytes::Buf;
use sockeye_proto::{Cause, Config, Connection, Event, Role};

use crate::Result;

use super::Codec;
use super::tape::Tape;

pub(super) struct Echo {
    connection: Connection,
    tape: Tape,
    /// As large as a batch: what a batch leaves is nothing.
    scratch: Vec<u8>,
}

impl Echo {
    pub(super) fn new(tape: Tape) -> Self {
        Self {
            connection: Connection::server(Config::new(Role::Server), Instant::now()),
            scratch: vec![0; tape.batch().frames()],
            tape,
        }
    }
}

impl Codec for Echo {
    fn echo(&mut self, batches: usize) -> Result<()> {
        for _ in 0..batches {
            let now = Instant::now();
            let read = self.tape.read(&mut self.scratch);
            let read = read.map_err(|error| error.to_string())?;
            let mut input = &mut self.scratch[..read];
            while let Some(event) = self
                .connection
                .receive(&mut input, now)
                .map_err(|error| error.to_string())?
            {
                match event {
                    Event::Binary(bytes) => self
                        .connection
                        .send_binary(bytes, Cause::Input)
                        .map_err(|error| error.to_string())?,
                    other => return Err(format!("unexpected: {other:?}")),
                }
            }
            while !self.connection.output().is_empty() {
                let written = self.tape.write(self.connection.output().chunk());
                let written = written.map_err(|error| error.to_string())?;
                self.connection.handle_written(written, now);
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
