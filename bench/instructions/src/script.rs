//! What clients say, prepared before anything is counted: a request, and batches of masked frames with what
//! has to come back for each.

use std::time::Instant;

use bytes::Buf;
use sockeye_proto::{
    Cause, Config, Connection, DeflateConfig, DeflatePool, MaskingKey, Message, Role,
};

use crate::Result;

/// Frames that a client writes at once.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) messages: usize,
    /// Of the same messages as a server sends them; none for compressed ones, whose frames are counted.
    pub(crate) reply_bytes: usize,
}

/// The messages of a client: `opening` once, then `cycle` again and again.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) request: String,
    pub(crate) opening: Vec<Batch>,
    pub(crate) cycle: Vec<Batch>,
    pub(crate) close: Vec<u8>,
    pub(crate) compressed: bool,
}

impl Batch {
    /// How often it has to be sent to be so many messages.
    pub(crate) fn times(&self, count: u64) -> Result<u64> {
        let messages = self.messages as u64;
        if count.is_multiple_of(messages) {
            Ok(count / messages)
        } else {
            Err(format!("{count} is no multiple of {messages}"))
        }
    }
}

impl Script {
    /// A client that says `batch` again and again.
    pub(crate) fn repeated(batch: Batch) -> Self {
        Self {
            request: request(""),
            opening: Vec::new(),
            cycle: vec![batch],
            close: CLOSE.to_vec(),
            compressed: false,
        }
    }

    /// A client that says nothing.
    pub(crate) fn silent() -> Self {
        Self {
            cycle: Vec::new(),
            ..Self::repeated(batch::<&str>(&[]))
        }
    }

    /// What is said after so many batches.
    pub(crate) fn batch(&self, said: usize) -> &Batch {
        match said.checked_sub(self.opening.len()) {
            None => &self.opening[said],
            Some(said) => &self.cycle[said % self.cycle.len()],
        }
    }

    /// Whether this is the answer that the request is to have.
    pub(crate) fn check_answer(&self, answer: &[u8]) -> Result<(), &'static str> {
        let answer = answer.to_ascii_lowercase();
        let has = |text: &str| {
            answer
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        if !answer.starts_with(b"http/1.1 101 ") {
            return Err("the handshake was refused");
        }
        if has("permessage-deflate") != self.compressed || has("no_context_takeover") {
            return Err("something else was agreed on about compression");
        }
        Ok(())
    }

    /// A client that compresses with context takeover. Its texts are more than a window holds before one
    /// comes again, so none is found as a whole in what went before. They are compressed twice: the second
    /// time behind themselves, as they are from then on.
    pub(crate) fn compressed(config: &DeflateConfig, in_read: usize) -> Result<Self> {
        let texts: Vec<String> = (0..CYCLE).map(json).collect();
        let offer = config.offer();
        let (params, _) = config
            .answer(std::slice::from_ref(&offer))
            .ok_or("the offer is declined")?;
        let mut client = client().with_deflate(params, config, DeflatePool::default());
        let mut batches = || -> Vec<Batch> {
            let reads = texts.chunks(in_read).map(|texts| Batch {
                bytes: sent(&mut client, texts.iter().map(String::as_str)),
                messages: texts.len(),
                reply_bytes: 0,
            });
            reads.collect()
        };
        Ok(Self {
            request: request(&format!("Sec-WebSocket-Extensions: {offer}\r\n")),
            opening: batches(),
            cycle: batches(),
            close: CLOSE.to_vec(),
            compressed: true,
        })
    }
}

/// These messages in frames of a client.
pub(crate) fn batch<M: Into<Message> + Clone>(messages: &[M]) -> Batch {
    let mut server = Connection::server(Config::new(Role::Server), Instant::now());
    Batch {
        bytes: sent(&mut client(), messages.iter().cloned()),
        messages: messages.len(),
        reply_bytes: sent(&mut server, messages.iter().cloned()).len(),
    }
}

/// A frame of a server with this text.
pub(crate) fn server_frame(text: &str) -> Vec<u8> {
    let mut server = Connection::server(Config::new(Role::Server), Instant::now());
    sent(&mut server, [text])
}

pub(crate) fn ascii(size: usize) -> String {
    (0..size)
        .map(|at| char::from(b' ' + (at % 95) as u8))
        .collect()
}

/// Text of which every third character has two bytes.
pub(crate) fn non_ascii(size: usize) -> String {
    let mut text = "ab\u{e9}".repeat(size / 4);
    text.push_str(&"x".repeat(size % 4));
    text
}

/// A list of things as an API gives it, of [`JSON`] bytes.
fn json(number: usize) -> String {
    const END: &str = "]}";
    // Numerical Recipes' generator: the same on every machine.
    let mut state = number as u32;
    let mut below = move |limit: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % limit
    };
    let mut text = format!("{{\"page\":{number},\"items\":[");
    loop {
        let item = format!(
            "{{\"id\":{},\"name\":\"{} {}\",\"price\":{}.{:02},\"stock\":{},\"new\":{}}}",
            below(100_000),
            NAMES[below(16) as usize],
            NAMES[below(16) as usize],
            below(500),
            below(100),
            below(1000),
            below(2) == 0,
        );
        if text.len() + item.len() + 1 + END.len() > JSON {
            break;
        }
        text.push_str(&item);
        text.push(',');
    }
    text.pop();
    text.push_str(&" ".repeat(JSON - END.len() - text.len()));
    text.push_str(END);
    text
}

fn client() -> Connection {
    let key = || MaskingKey::new([0x37, 0xfa, 0x21, 0x3d]);
    Connection::client(Config::new(Role::Client), Box::new(key), Instant::now())
}

fn sent<M: Into<Message>>(
    machine: &mut Connection,
    messages: impl IntoIterator<Item = M>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        let sent = machine.send_message(message.into(), Cause::Push);
        sent.expect("an open connection sends");
        while machine.output().has_remaining() {
            let output = machine.output();
            let chunk = output.chunk();
            bytes.extend_from_slice(chunk);
            let written = chunk.len();
            machine.handle_written(written, Instant::now());
        }
    }
    bytes
}

fn request(fields: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    )
}

/// A Close with 1000, masked with zeroes.
const CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
const JSON: usize = 1024;
/// Twice the 32 KiB of a window.
const CYCLE: usize = 64;
const NAMES: [&str; 16] = [
    "amber", "basalt", "cedar", "delta", "ember", "fjord", "garnet", "heron", "indigo", "juniper",
    "kestrel", "lupin", "maple", "nimbus", "onyx", "plover",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_to_compress_are_json_of_their_size_and_differ() {
        let texts: Vec<String> = (0..CYCLE).map(json).collect();
        for (number, text) in texts.iter().enumerate() {
            let parsed: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(parsed["page"], number);
            assert_eq!(text.len(), JSON);
            assert!(texts.iter().filter(|other| *other == text).count() == 1);
        }
    }

    #[test]
    fn a_count_that_ends_within_a_batch_is_refused() {
        let batch = batch(&["a", "b"]);
        assert_eq!((batch.bytes.len(), batch.reply_bytes), (14, 6));
        assert_eq!(batch.times(4), Ok(2));
        assert!(batch.times(3).is_err());
    }
}
