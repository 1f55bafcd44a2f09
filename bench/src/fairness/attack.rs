//! The attacks, by the names under which they are reported, and the bytes that they send.

use std::time::Duration;

use crate::Result;
use crate::message::{self, BINARY, CONTINUATION, FIN, JSON_SIZE, KEY, PING, Payload, RSV1, TEXT};
use crate::server::{Job, Setting};

/// What is done to a server while a bystander waits for its answers.
#[derive(Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// What it is, for the reader of the table.
    pub(crate) about: &'static str,
    pub(crate) connections: usize,
    /// The endpoint of `sockeye serve` that is attacked.
    pub(crate) path: &'static str,
    /// Whether the connections offer compression.
    pub(crate) compressed: bool,
    pub(crate) traffic: Traffic,
}

/// What the connections of an attack send.
#[derive(Debug)]
pub(crate) enum Traffic {
    /// These bytes again and again, as fast as the server takes them.
    Flood(fn() -> Vec<u8>),
    /// These bytes, then a pause, then the same again.
    Trickle(fn() -> Vec<u8>, Duration),
    /// Nothing: each connection is reset when it is open, and opened anew.
    Churn,
    /// The first connection floods; all others are in the same room and read.
    Room(fn() -> Vec<u8>),
}

impl Attack {
    /// What the bare echo has to do under this attack.
    pub(crate) fn raw_setting(&self) -> Setting {
        let job = match self.traffic {
            Traffic::Room(_) => Job::FanOut,
            _ => Job::Echo,
        };
        Setting {
            job,
            ..Setting::default()
        }
    }

    /// The bytes that a connection sends, and sends again; empty where it only reads.
    pub(crate) fn bytes(&self, connection: usize) -> Vec<u8> {
        match self.traffic {
            Traffic::Flood(bytes) | Traffic::Trickle(bytes, _) => bytes(),
            Traffic::Room(bytes) if connection == 0 => bytes(),
            Traffic::Room(_) | Traffic::Churn => Vec::new(),
        }
    }
}

pub(crate) const ALL: &[Attack] = &[
    Attack {
        name: "calm",
        about: "no attack",
        connections: 0,
        path: "/echo",
        compressed: false,
        traffic: Traffic::Flood(Vec::new),
    },
    Attack {
        name: "chat-json-4",
        about: "4 connections send JSON to /chat, 5 KB that inflate to 1 MiB",
        connections: 4,
        path: CHAT,
        compressed: true,
        traffic: Traffic::Flood(compressed_json),
    },
    Attack {
        name: "chat-json-8",
        about: "the same by 8 connections",
        connections: 8,
        path: CHAT,
        compressed: true,
        traffic: Traffic::Flood(compressed_json),
    },
    Attack {
        name: "chat-arrays",
        about: "4 connections send 1 MiB of `[],[],` to /chat, not compressed",
        connections: 4,
        path: CHAT,
        compressed: false,
        traffic: Traffic::Flood(|| text(&arrays())),
    },
    Attack {
        name: "drawboard-json",
        about: "8 connections send JSON to /drawboard, 5 KB that inflate to 1 MiB",
        connections: 8,
        path: "/drawboard",
        compressed: true,
        traffic: Traffic::Flood(compressed_json),
    },
    Attack {
        name: "push-zeros",
        about: "4 connections send zeros to /push, 1 KiB that inflates to 1 MiB",
        connections: 4,
        path: "/push",
        compressed: true,
        traffic: Traffic::Flood(compressed_zeros),
    },
    Attack {
        name: "echo-zeros",
        about: "4 connections send the same to /echo, which compresses them again",
        connections: 4,
        path: ECHO,
        compressed: true,
        traffic: Traffic::Flood(compressed_zeros),
    },
    Attack {
        name: "echo-json",
        about: "8 connections send JSON to /echo, 5 KB that inflate to 1 MiB",
        connections: 8,
        path: ECHO,
        compressed: true,
        traffic: Traffic::Flood(compressed_json),
    },
    Attack {
        name: "echo-large",
        about: "4 connections send binary messages of 1 MiB to /echo, not compressed",
        connections: 4,
        path: ECHO,
        compressed: false,
        traffic: Traffic::Flood(|| {
            message::frame(FIN | BINARY, &Payload::Binary.bytes(MIB, 0), Some(KEY))
        }),
    },
    Attack {
        name: "tiny-messages",
        about: "8 connections send texts of 1 byte to /echo",
        connections: 8,
        path: ECHO,
        compressed: false,
        traffic: Traffic::Flood(|| text(b"x").repeat(4096)),
    },
    Attack {
        name: "tiny-compressed",
        about: "8 connections send compressed texts of 1 byte to /echo",
        connections: 8,
        path: ECHO,
        compressed: true,
        traffic: Traffic::Flood(|| compressed(TEXT, b"x").repeat(4096)),
    },
    Attack {
        name: "pings",
        about: "8 connections send pings of 125 bytes to /echo",
        connections: 8,
        path: ECHO,
        compressed: false,
        traffic: Traffic::Flood(|| message::frame(FIN | PING, &[7; 125], Some(KEY)).repeat(1024)),
    },
    Attack {
        name: "pings-empty",
        about: "8 connections send empty pings to /echo",
        connections: 8,
        path: ECHO,
        compressed: false,
        traffic: Traffic::Flood(|| message::frame(FIN | PING, &[], Some(KEY)).repeat(4096)),
    },
    Attack {
        name: "fragments-empty",
        about: "8 connections send messages of 100,000 empty fragments to /echo",
        connections: 8,
        path: ECHO,
        compressed: false,
        traffic: Traffic::Flood(|| fragments(TEXT, &[], 0)),
    },
    Attack {
        name: "fragments-byte",
        about: "8 connections send messages of 100,000 fragments of 1 byte to /echo",
        connections: 8,
        path: ECHO,
        compressed: false,
        traffic: Traffic::Flood(|| fragments(TEXT, &[b'x'; FRAGMENTS], 1)),
    },
    Attack {
        name: "inflating-bytes",
        about: "8 connections send JSON to /echo in compressed fragments of 1 byte, 5 KB that inflate to 1 MiB",
        connections: 8,
        path: ECHO,
        compressed: true,
        traffic: Traffic::Flood(|| fragments(TEXT | RSV1, &message::compress(&json()), 1)),
    },
    Attack {
        name: "churn",
        about: "connections to /echo are opened and reset, 64 at once",
        connections: 64,
        path: ECHO,
        compressed: true,
        traffic: Traffic::Churn,
    },
    Attack {
        name: "crowd-zeros",
        about: "100 connections send zeros to /push, 1 KiB that inflates to 1 MiB",
        connections: 100,
        path: "/push",
        compressed: true,
        traffic: Traffic::Flood(compressed_zeros),
    },
    Attack {
        name: "crowd-little",
        about: "1,000 connections each send 1 KiB of compressed JSON to /echo ten times a second",
        connections: 1000,
        path: ECHO,
        compressed: true,
        traffic: Traffic::Trickle(
            || compressed(TEXT, &Payload::Json.bytes(JSON_SIZE, 0)),
            Duration::from_millis(100),
        ),
    },
    Attack {
        name: "room",
        about: "1 connection says 1 KB again and again in a room of /chat where 400 read",
        connections: 401,
        path: CHAT,
        compressed: false,
        traffic: Traffic::Room(|| text(&spoken()).repeat(16)),
    },
];

/// The attacks of these names; all of them unless some are named.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<&'static Attack>> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    names.iter().map(|name| find(name)).collect()
}

pub(crate) fn find(name: &str) -> Result<&'static Attack> {
    ALL.iter()
        .find(|attack| attack.name == name)
        .ok_or_else(|| {
            let known: Vec<_> = ALL.iter().map(|attack| attack.name).collect();
            format!(
                "`{name}` is not known: expected one of {}",
                known.join(", ")
            )
        })
}

fn text(payload: &[u8]) -> Vec<u8> {
    message::frame(FIN | TEXT, payload, Some(KEY))
}

fn compressed(opcode: u8, payload: &[u8]) -> Vec<u8> {
    message::frame(FIN | RSV1 | opcode, &message::compress(payload), Some(KEY))
}

fn compressed_zeros() -> Vec<u8> {
    compressed(BINARY, &vec![0; MIB])
}

fn compressed_json() -> Vec<u8> {
    compressed(TEXT, &json())
}

/// A message in fragments of that size, 100,000 at most. Of an empty payload all fragments are empty.
fn fragments(first: u8, payload: &[u8], size: usize) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = match size {
        0 => vec![&[]; FRAGMENTS],
        _ => payload.chunks(size).collect(),
    };
    let last = parts.pop().unwrap_or_default();
    let mut bytes = Vec::new();
    let mut opcode = first;
    for part in parts {
        bytes.extend(message::frame(opcode, part, Some(KEY)));
        opcode = CONTINUATION;
    }
    bytes.extend(message::frame(FIN | opcode, last, Some(KEY)));
    bytes
}

/// What the chat takes for something that is said, with a field that it does not know.
fn json() -> Vec<u8> {
    let mut json = String::from("{\"type\":\"message\",\"text\":\"hello\",\"rows\":[");
    for number in 0.. {
        // The more numbers, the less it can be compressed.
        let row = match number % 1000 {
            0 => format!("{{\"row\":{number}}},"),
            _ => "{\"tags\":[]},".to_owned(),
        };
        if json.len() + row.len() + END.len() > MIB {
            break;
        }
        json.push_str(&row);
    }
    json.push_str(END);
    json.into_bytes()
}

/// 1 MiB of empty arrays.
fn arrays() -> Vec<u8> {
    let mut arrays = String::from("[");
    arrays.push_str(&"[],".repeat((MIB - 4) / 3));
    arrays.push_str("[]]");
    arrays.into_bytes()
}

/// Something of 1,000 characters that is said in a room.
fn spoken() -> Vec<u8> {
    let text = "x".repeat(1000);
    format!("{{\"type\":\"message\",\"text\":\"{text}\"}}").into_bytes()
}

const ECHO: &str = "/echo";
const CHAT: &str = "/chat/fairness";
const END: &str = "{}]}";
/// The longest message that `sockeye serve` takes.
const MIB: usize = 1 << 20;
/// Fewer than the limit of a server, 131,072.
const FRAGMENTS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_is_found_by_its_name() {
        for attack in ALL {
            assert_eq!(find(attack.name).unwrap().about, attack.about);
        }
        assert!(find("no-attack").is_err());
        assert_eq!(chosen(&[]).unwrap().len(), ALL.len());
    }

    #[test]
    fn the_json_is_json_of_a_mebibyte_at_most_and_compresses_to_a_few_kilobytes() {
        for json in [json(), arrays()] {
            serde_json::from_slice::<serde_json::Value>(&json).unwrap();
            assert!((MIB - 64..=MIB).contains(&json.len()), "{}", json.len());
        }
        let compressed = message::compress(&json()).len();
        assert!((4500..6500).contains(&compressed), "{compressed}");
    }

    #[test]
    fn zeros_compress_to_a_kibibyte() {
        let compressed = compressed_zeros().len();
        assert!((900..1200).contains(&compressed), "{compressed}");
    }

    #[test]
    fn the_fragments_of_a_message_are_of_one_message() {
        let one = message::frame(TEXT, b"a", Some(KEY));
        let two = message::frame(CONTINUATION, b"b", Some(KEY));
        let three = message::frame(FIN | CONTINUATION, b"c", Some(KEY));
        assert_eq!(fragments(TEXT, b"abc", 1), [one, two, three].concat());
        let empty = fragments(TEXT, &[], 0);
        assert_eq!(
            empty.len(),
            FRAGMENTS * message::frame(TEXT, &[], Some(KEY)).len()
        );
    }

    #[test]
    fn in_a_room_only_the_first_connection_speaks() {
        let room = find("room").unwrap();
        assert!(!room.bytes(0).is_empty());
        assert!(room.bytes(1).is_empty());
        assert_eq!(room.raw_setting().job, Job::FanOut);
    }
}
