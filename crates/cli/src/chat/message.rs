//! The chat's messages as JSON. Knows no rooms and no sessions.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::MAX_TEXT;
use super::name::{Name, RoomName};

/// What a client asks for.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Command {
    Message { text: String },
    Name { name: String },
}

impl Command {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        serde_json::from_str(text).map_err(|error| Refusal::NotUnderstood(error.to_string()))
    }
}

/// What a client is told.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Event<'a> {
    Error {
        code: &'static str,
        message: &'a str,
    },
    Joined {
        name: &'a str,
    },
    Left {
        name: &'a str,
    },
    Message {
        from: &'a str,
        text: &'a str,
        time: &'a str,
    },
    Renamed {
        from: &'a str,
        to: &'a str,
    },
    Welcome {
        room: &'a str,
        name: &'a str,
        people: Vec<&'a str>,
    },
}

impl Event<'_> {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts, and lists of them, have a form in JSON")
    }
}

/// Why a client's wish is not granted. It stays connected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NameEmpty,
    NameTooLong,
    NameUnreadable,
    NotUnderstood(String),
    RoomEmpty,
    RoomTooLong,
    RoomUnreadable,
    TextEmpty,
    TextTooLong,
}

impl Refusal {
    /// What a program tells it by.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NameEmpty => "name-empty",
            Self::NameTooLong => "name-too-long",
            Self::NameUnreadable => "name-unreadable",
            Self::NotUnderstood(_) => "not-understood",
            Self::RoomEmpty => "room-empty",
            Self::RoomTooLong => "room-too-long",
            Self::RoomUnreadable => "room-unreadable",
            Self::TextEmpty => "text-empty",
            Self::TextTooLong => "text-too-long",
        }
    }
}

/// What a person reads.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameEmpty => f.write_str("a name has at least one character that shows"),
            Self::NameTooLong => write!(f, "a name has at most {} characters", Name::MAX),
            Self::NameUnreadable => f.write_str("a name has no control characters"),
            Self::NotUnderstood(why) => write!(f, "not understood: {why}"),
            Self::RoomEmpty => {
                f.write_str("a room's name has at least one character that shows")
            }
            Self::RoomTooLong => {
                write!(f, "a room's name has at most {} characters", RoomName::MAX)
            }
            Self::RoomUnreadable => f.write_str("a room's name has no control characters"),
            Self::TextEmpty => f.write_str("a text says something"),
            Self::TextTooLong => write!(f, "a text has at most {MAX_TEXT} characters"),
        }
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
    fn events_are_json_objects_of_one_line() {
        let event = Event::Message {
            from: "Ada",
            text: "a\n\"b\"\u{1b}",
            time: "2026-07-09T16:04:05.678Z",
        };
        assert_eq!(
            event.to_json(),
            r#"{"type":"message","from":"Ada","text":"a\n\"b\"\u001b","time":"2026-07-09T16:04:05.678Z"}"#
        );
    }
}
