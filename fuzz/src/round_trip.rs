//! What one end sends, in any form, and what the other receives of it, however it is cut.

use arbitrary::{Arbitrary, Unstructured};
use sockeye_proto::{
    Cause, CloseCode, CloseReason, DeflateConfig, DeflateParams, Message, MessageBuffer,
    MessageKind, PreparedMessage, Role,
};

use crate::end::{End, Seen, Setup};

/// Each command arrives as what it was, in order.
pub fn round_trip(data: &[u8]) {
    let Ok(input) = Exchange::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let (from, to) = if input.from_client {
        (Role::Client, Role::Server)
    } else {
        (Role::Server, Role::Client)
    };
    let deflate = input.deflate.map(|takeover| {
        let mut params = DeflateParams::default();
        params.server_no_context_takeover = !takeover;
        params.client_no_context_takeover = !takeover;
        (
            params,
            DeflateConfig::default().threshold(usize::from(input.threshold)),
        )
    });
    let setup = |role| Setup {
        deflate: deflate.clone(),
        room: usize::from(input.room).max(1),
        ..Setup::new(role)
    };
    let (mut from, mut to) = (End::new(setup(from)), End::new(setup(to)));
    let mut expected = Vec::new();
    for command in input.commands.iter().take(MAX_COMMANDS) {
        command.send(&mut from, &mut expected);
    }
    if let Some((code, reason)) = input.close {
        let code = CloseCode::try_from(3000 + code % 2000).unwrap();
        let reason = CloseReason::new(code, &reason).unwrap_or_else(|_| CloseReason::no_status());
        from.connection.send_close(&reason, from.now).unwrap();
        from.pushed();
        expected.push(Seen::Close(reason));
    }
    from.writes(usize::MAX);
    from.legal_output();
    to.reads(&from.output, input.steps.iter().copied());
    assert_eq!(to.seen, expected);

    // What comes back is the pongs, and the answer to the Close.
    to.take_events_and_write();
    from.reads(&to.output, input.steps.iter().copied());
    let back: Vec<Seen> = expected
        .into_iter()
        .filter_map(|seen| match seen {
            Seen::Ping(payload) => Some(Seen::Pong(payload)),
            close @ Seen::Close(_) => Some(close),
            _ => None,
        })
        .collect();
    assert_eq!(from.seen, back);
    assert_eq!(from.connection.is_finished(), to.connection.is_finished());
}

#[derive(Arbitrary, Debug)]
struct Exchange {
    from_client: bool,
    /// Whether windows are kept, if messages are compressed at all.
    deflate: Option<bool>,
    threshold: u8,
    room: u16,
    steps: Vec<u8>,
    commands: Vec<Command>,
    close: Option<(u16, String)>,
}

#[derive(Arbitrary, Debug)]
enum Command {
    Text(String),
    Binary(Vec<u8>),
    Long {
        text: bool,
        len: u16,
        times: u8,
    },
    Prepared(String),
    /// A message in parts of these lengths, with Pings between.
    Parts {
        payload: Payload,
        lens: Vec<u8>,
        pings: bool,
    },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Payload {
    Text(String),
    Binary(Vec<u8>),
}

impl Command {
    fn send(&self, from: &mut End, expected: &mut Vec<Seen>) {
        let connection = &mut from.connection;
        let seen = match self {
            Self::Text(text) => {
                connection.send_text(text, Cause::Push).unwrap();
                Seen::Message(MessageBuffer::Text(text.clone()))
            }
            Self::Binary(bytes) => {
                connection.send_binary(bytes, Cause::Input).unwrap();
                Seen::Message(MessageBuffer::Binary(bytes.clone()))
            }
            Self::Long { text, len, times } => {
                let len = usize::from(*len) * usize::from(1 + times % 3);
                let buffer = if *text {
                    MessageBuffer::Text("x".repeat(len))
                } else {
                    MessageBuffer::Binary(vec![*times; len])
                };
                let message = Message::from(buffer.clone());
                connection.send_message(&message, Cause::Push).unwrap();
                Seen::Message(buffer)
            }
            Self::Prepared(text) => {
                let prepared = PreparedMessage::new(text.as_str());
                connection.send_message(&prepared, Cause::Push).unwrap();
                Seen::Message(MessageBuffer::Text(text.clone()))
            }
            Self::Parts {
                payload,
                lens,
                pings,
            } => {
                let (kind, mut bytes) = match payload {
                    Payload::Text(text) => (MessageKind::Text, text.as_bytes()),
                    Payload::Binary(bytes) => (MessageKind::Binary, &bytes[..]),
                };
                for len in lens {
                    let (part, rest) = bytes.split_at(usize::from(*len).min(bytes.len()));
                    bytes = rest;
                    connection
                        .send_part(kind, part, false, Cause::Push)
                        .unwrap();
                    if *pings {
                        connection
                            .send_ping(part.get(..125).unwrap_or(part))
                            .unwrap();
                        let payload = part.get(..125).unwrap_or(part).to_vec();
                        expected.push(Seen::Ping(payload));
                    }
                }
                connection
                    .send_part(kind, bytes, true, Cause::Push)
                    .unwrap();
                Seen::Message(match payload {
                    Payload::Text(text) => MessageBuffer::Text(text.clone()),
                    Payload::Binary(bytes) => MessageBuffer::Binary(bytes.clone()),
                })
            }
            Self::Ping(payload) => {
                let payload = payload.get(..125).unwrap_or(payload);
                connection.send_ping(payload).unwrap();
                Seen::Ping(payload.to_vec())
            }
            Self::Pong(payload) => {
                let payload = payload.get(..125).unwrap_or(payload);
                connection.send_pong(payload).unwrap();
                Seen::Pong(payload.to_vec())
            }
        };
        expected.push(seen);
        from.pushed();
    }
}

const MAX_COMMANDS: usize = 12;
