//! Names of people and rooms: short, and of characters that show.

use sockeye::SessionId;

use super::message::Refusal;
use crate::escape::is_deceptive;

/// What somebody is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    /// The most characters of a name.
    pub(super) const MAX: usize = 40;

    /// A name that somebody wishes for. Spaces around it, and more than one in it, do not count.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let name = words.join(" ");
        if name.is_empty() {
            return Err(Refusal::NameEmpty);
        }
        if name.chars().any(is_deceptive) {
            return Err(Refusal::NameUnreadable);
        }
        if name.chars().count() > Self::MAX {
            return Err(Refusal::NameTooLong);
        }
        Ok(Self(name))
    }

    /// The name of one who brings none: `guest-7f3a`.
    pub(super) fn guest(id: SessionId) -> Self {
        let id = id.to_string();
        Self(format!("guest-{}", id.get(..4).unwrap_or_default()))
    }

    /// The name with a number behind it: `Ada-2`.
    pub(super) fn numbered(&self, number: usize) -> Self {
        let suffix = format!("-{number}");
        let kept = self.0.chars().take(Self::MAX - suffix.len());
        Self(kept.chain(suffix.chars()).collect())
    }

    /// Names with the same key look alike.
    pub(super) fn key(&self) -> String {
        self.0.to_lowercase()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a room is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoomName(String);

impl RoomName {
    /// The most characters of a room's name.
    pub(super) const MAX: usize = 64;

    /// The name that a path holds.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.chars().any(is_deceptive) {
            return Err(Refusal::RoomUnreadable);
        }
        if text.chars().count() > Self::MAX {
            return Err(Refusal::RoomTooLong);
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, Refusal> {
        Name::parse(text).map(|name| name.0)
    }

    #[test]
    fn spaces_around_and_within_a_name_are_tidied() {
        assert_eq!(parsed("  Ada \t King\n"), Ok("Ada King".to_owned()));
    }

    #[test]
    fn a_name_has_1_to_40_characters_that_show() {
        assert_eq!(parsed(" \n "), Err(Refusal::NameEmpty));
        assert_eq!(parsed(&"鮭".repeat(40)), Ok("鮭".repeat(40)));
        assert_eq!(parsed(&"a".repeat(41)), Err(Refusal::NameTooLong));
        assert_eq!(parsed("A\u{1b}[31mda"), Err(Refusal::NameUnreadable));
        assert_eq!(parsed("\u{202e}adA"), Err(Refusal::NameUnreadable));
    }

    #[test]
    fn a_number_does_not_make_a_name_too_long() {
        let name = Name("鮭".repeat(40)).numbered(12);
        assert_eq!(name.0, "鮭".repeat(37) + "-12");
        assert_eq!(Name("Ada".to_owned()).numbered(2).0, "Ada-2");
    }

    #[test]
    fn a_room_has_at_most_64_characters_that_show() {
        assert!(RoomName::parse(&"r".repeat(64)).is_ok());
        assert_eq!(RoomName::parse(&"r".repeat(65)), Err(Refusal::RoomTooLong));
        assert_eq!(RoomName::parse("a\rb"), Err(Refusal::RoomUnreadable));
    }
}
