//! The protocol's machine alone: frames of a client in, the same messages out, no transport. What is counted
//! includes one copy of the input, which is unmasked in place and so has to be made anew for each read.

use std::hint::black_box;
use std::time::Instant;

use sockeye_proto::{Cause, Config, Connection, Event, Role};

use crate::Result;
use crate::script::{self, Batch};

pub(crate) fn text(size: usize, in_read: usize, count: u64) -> Result<()> {
    let text = script::ascii(size);
    echo(&script::batch(&[text.as_str()].repeat(in_read)), count)
}

pub(crate) fn non_ascii(size: usize, in_read: usize, count: u64) -> Result<()> {
    let text = script::non_ascii(size);
    echo(&script::batch(&[text.as_str()].repeat(in_read)), count)
}

pub(crate) fn binary(size: usize, in_read: usize, count: u64) -> Result<()> {
    let bytes = bytes::Bytes::from(script::ascii(size));
    echo(&script::batch(&vec![bytes; in_read]), count)
}

fn echo(batch: &Batch, count: u64) -> Result<()> {
    let now = Instant::now();
    let mut server = Connection::server(Config::new(Role::Server), now);
    let mut input = vec![0; batch.bytes.len()];
    for _ in 0..batch.times(count)? {
        input.copy_from_slice(&batch.bytes);
        let mut unread = black_box(&mut input[..]);
        let mut sent = 0;
        loop {
            let event = server.receive(&mut unread, now);
            match event.map_err(|error| error.to_string())? {
                Some(Event::Text(text)) => server.send_text(text, Cause::Input),
                Some(Event::Binary(bytes)) => server.send_binary(bytes, Cause::Input),
                Some(other) => return Err(format!("a message came as {other:?}")),
                None => break,
            }
            .map_err(|error| error.to_string())?;
            // As a transport that takes everything, in large pieces.
            if server.output().len() >= WRITE_AT {
                sent += write(&mut server, now);
            }
        }
        sent += write(&mut server, now);
        if sent != batch.reply_bytes {
            return Err(format!("{sent} bytes came back"));
        }
    }
    Ok(())
}

fn write(server: &mut Connection, now: Instant) -> usize {
    let written = black_box(server.output()).len();
    server.handle_written(written, now);
    written
}

const WRITE_AT: usize = 64 * 1024;
