//! The messages of the chat as JSON. This module does not know rooms and sessions.

use serde::{Deserialize, Serialize};

use super::refusal::Refusal;

/// A command of a client.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    Message { text: String },
    Name { name: String },
}

impl Command {
    /// Reads the type first, then the fields of that type. So unknown fields take no memory. serde's tagged enums would
    /// store all fields before they know the type.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let Tag { kind } = read(text)?;
        Ok(match kind {
            Kind::Message => {
                let Message { text } = read(text)?;
                Self::Message { text }
            }
            Kind::Name => {
                let Rename { name } = read(text)?;
                Self::Name { name }
            }
        })
    }
}

#[derive(Deserialize)]
struct Tag {
    #[serde(rename = "type")]
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Message,
    Name,
}

#[derive(Deserialize)]
struct Message {
    text: String,
}

#[derive(Deserialize)]
struct Rename {
    name: String,
}

fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Refusal> {
    // serde also accepts a list for a structure.
    if !text.trim_start().starts_with('{') {
        return Err(Refusal::NotUnderstood("expected a JSON object".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| Refusal::NotUnderstood(cut(&error.to_string())))
}

/// Shortens an error that may quote the peer.
fn cut(error: &str) -> String {
    match error.char_indices().nth(MAX_QUOTED) {
        Some((at, _)) => format!("{}…", error.get(..at).unwrap_or_default()),
        None => error.to_owned(),
    }
}

/// The number of characters that remain of an error that quotes the peer.
const MAX_QUOTED: usize = 200;

/// A message to clients. `id` is the id of the member that it is about.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Event<'a> {
    Error {
        code: &'static str,
        message: &'a str,
    },
    Joined {
        name: &'a str,
        id: &'a str,
    },
    Left {
        name: &'a str,
        id: &'a str,
    },
    Message {
        from: &'a str,
        text: &'a str,
        time: &'a str,
        id: &'a str,
    },
    People {
        people: Vec<&'a str>,
        #[serde(skip_serializing_if = "is_zero")]
        more: usize,
    },
    Renamed {
        from: &'a str,
        to: &'a str,
        id: &'a str,
    },
    Welcome {
        room: &'a str,
        name: &'a str,
        people: Vec<&'a str>,
        #[serde(skip_serializing_if = "is_zero")]
        more: usize,
        id: &'a str,
        /// The position of the room's topic for which the list is right.
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<&'a str>,
        /// The room's topic.
        history: &'a str,
    },
}

/// An event of a room, as a node reads it in the room's topic.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Seen {
    Joined {
        name: String,
        id: String,
    },
    Left {
        id: String,
    },
    Message {
        from: String,
        id: String,
    },
    People {
        people: Vec<String>,
        #[serde(default)]
        more: usize,
    },
    Renamed {
        to: String,
        id: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Event<'_> {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts, and lists of them, have a form in JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_and_a_text_are_enough_to_speak() {
        let said = Command::parse(r#"{"type":"message","text":"hi","later":[1]}"#);
        let text = "hi".to_owned();
        assert_eq!(said, Ok(Command::Message { text }));
    }

    #[test]
    fn what_is_no_command_is_refused_with_the_reason() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "hi",
            "[]",
            "{}",
            r#"{"type":"shout"}"#,
            r#"{"type":"message","text":1}"#,
            &deep,
        ] {
            let refusal = Command::parse(text).expect_err(text);
            assert_eq!(refusal.code(), "not-understood");
            assert!(refusal.to_string().len() > "not understood: ".len());
        }
    }

    #[test]
    fn an_error_that_quotes_the_peer_is_cut() {
        let long = "é".repeat(30_000);
        for text in [
            format!(r#"{{"type":"{long}"}}"#),
            format!(r#"{{"type":"message","text":{{"{long}":1}}}}"#),
            format!(r#"{{"{long}":1}}"#),
        ] {
            let refusal = Command::parse(&text).expect_err("a refusal").to_string();
            let characters = refusal.chars().count();
            assert!(
                characters <= "not understood: ".len() + MAX_QUOTED + 1,
                "{refusal}"
            );
        }
        let refusal = Command::parse(r#"{"type":"shout"}"#).expect_err("a refusal");
        let whole = "unknown variant `shout`, expected `message` or `name` at line 1 column 15";
        assert_eq!(refusal, Refusal::NotUnderstood(whole.to_owned()));
    }

    #[test]
    fn unknown_fields_are_ignored_with_any_content() {
        let text = format!(
            r#"{{"name":1,"deep":{}{},"type":"message","text":"hi","more":{{}}}}"#,
            "[".repeat(100),
            "]".repeat(100)
        );
        let said = Command::parse(&text);
        assert_eq!(
            said,
            Ok(Command::Message {
                text: "hi".to_owned()
            })
        );
    }

    #[test]
    fn events_are_json_objects_of_one_line() {
        let event = Event::Message {
            from: "Ada",
            text: "a\n\"b\"\u{1b}",
            time: "2026-07-09T16:04:05.678Z",
            id: "a1",
        };
        assert_eq!(
            event.to_json(),
            r#"{"type":"message","from":"Ada","text":"a\n\"b\"\u001b","time":"2026-07-09T16:04:05.678Z","id":"a1"}"#
        );
    }
}
