//! The limits of commands, and the refusal of a command that breaks one.

use std::fmt;

/// The limit of characters in the name of a person.
pub(super) const MAX_NAME: usize = 40;

/// The limit of characters in the name of a room.
pub(super) const MAX_ROOM_NAME: usize = 64;

/// The limit of characters in a text.
pub(super) const MAX_TEXT: usize = 4000;

/// The reason why a command is refused. The client stays connected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Missing,
    NameEmpty,
    NameTooLong,
    NameUnreadable,
    NotUnderstood(String),
    RoomEmpty,
    RoomTooLong,
    RoomUnreadable,
    TextEmpty,
    TextTooLong,
    Unavailable,
}

impl Refusal {
    /// Returns the code by which programs recognize the reason.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Missing => "messages-missing",
            Self::NameEmpty => "name-empty",
            Self::NameTooLong => "name-too-long",
            Self::NameUnreadable => "name-unreadable",
            Self::NotUnderstood(_) => "not-understood",
            Self::RoomEmpty => "room-empty",
            Self::RoomTooLong => "room-too-long",
            Self::RoomUnreadable => "room-unreadable",
            Self::TextEmpty => "text-empty",
            Self::TextTooLong => "text-too-long",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Displays the reason for people.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("some messages of the room are missing"),
            Self::NameEmpty => f.write_str("the name needs at least one visible character"),
            Self::NameTooLong => write!(f, "the name is longer than {MAX_NAME} characters"),
            Self::NameUnreadable => f.write_str("the name has control characters"),
            Self::NotUnderstood(why) => write!(f, "not understood: {why}"),
            Self::RoomEmpty => {
                f.write_str("the name of the room needs at least one visible character")
            }
            Self::RoomTooLong => {
                write!(
                    f,
                    "the name of the room is longer than {MAX_ROOM_NAME} characters"
                )
            }
            Self::RoomUnreadable => f.write_str("the name of the room has control characters"),
            Self::TextEmpty => f.write_str("the text is empty"),
            Self::TextTooLong => write!(f, "the text is longer than {MAX_TEXT} characters"),
            Self::Unavailable => f.write_str("the room cannot take the message now; try again"),
        }
    }
}
