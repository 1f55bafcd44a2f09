//! Names of people and rooms. Names that look the same have the same key.

use std::fmt::Write as _;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};
use sha1::{Digest, Sha1};
use sockeye::endpoint::SessionId;

use super::refusal::{MAX_NAME, MAX_ROOM_NAME, Refusal};
use crate::escape::is_deceptive;

/// The name of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    /// Parses the name that a client wishes for. Blanks around it are removed; several blanks become one space.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let name = tidy(text);
        if name.chars().any(is_deceptive) {
            return Err(Refusal::NameUnreadable);
        }
        if name.chars().count() > MAX_NAME {
            return Err(Refusal::NameTooLong);
        }
        if !name.chars().any(is_visible) {
            return Err(Refusal::NameEmpty);
        }
        Ok(Self(name))
    }

    /// Returns the name for a client that asks for none: `guest-7f3a`.
    pub(super) fn guest(id: SessionId) -> Self {
        let id = id.to_string();
        Self(format!("guest-{}", id.get(..4).unwrap_or_default()))
    }

    /// Returns the name with a number behind it: `Ada-2`.
    pub(super) fn numbered(&self, number: usize) -> Self {
        let suffix = format!("-{number}");
        let kept = self.0.chars().take(MAX_NAME - suffix.len());
        Self(kept.chain(suffix.chars()).collect())
    }

    /// Returns the key of the name. Two names with the same key look the same.
    pub(super) fn key(&self) -> String {
        key(&self.0)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoomName(String);

impl RoomName {
    /// Parses the name that a path holds.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.chars().any(is_deceptive) {
            return Err(Refusal::RoomUnreadable);
        }
        if text.chars().count() > MAX_ROOM_NAME {
            return Err(Refusal::RoomTooLong);
        }
        if !text.chars().any(is_visible) {
            return Err(Refusal::RoomEmpty);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the key of the room. Two names with the same key look the same, and name one room.
    pub(super) fn key(&self) -> String {
        key(&self.0)
    }

    /// Returns the name of the room's topic. Rooms with one key have one topic, and rooms with different keys have different
    /// topics.
    ///
    /// The topic has the key as its second segment. Characters that a segment cannot have are percent-encoded. A key that is
    /// too long is cut, and its digest follows behind `%~`, which no encoded key has.
    pub(super) fn topic(&self) -> String {
        let key = self.key();
        let mut topic = String::from("room/");
        let is_dots = matches!(key.as_str(), "." | "..");
        for c in key.chars() {
            match c {
                '/' | '%' => percent_encode(c, &mut topic),
                '.' if is_dots => percent_encode(c, &mut topic),
                c if c.is_control() => percent_encode(c, &mut topic),
                c => topic.push(c),
            }
        }
        if topic.len() > MAX_TOPIC {
            let is_boundary = |at: &usize| topic.is_char_boundary(*at);
            let cut = (0..=MAX_CUT).rev().find(is_boundary);
            topic.truncate(cut.unwrap_or_default());
            topic.push_str("%~");
            for byte in Sha1::digest(key.as_bytes()) {
                let _ = write!(topic, "{byte:02x}");
            }
        }
        topic
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn percent_encode(c: char, to: &mut String) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        let _ = write!(to, "%{byte:02X}");
    }
}

/// The length of the longest name of a topic, in bytes.
const MAX_TOPIC: usize = 255;
/// The number of bytes of a long name before `%~` and the 40 digits.
const MAX_CUT: usize = MAX_TOPIC - 42;

/// Returns the key by which names are compared: NFKC, without letter case and without invisible characters.
///
/// Case is removed through upper case, so that `ß` equals `SS` and `ς` equals `σ`. Letters of different scripts
/// that look alike, such as the Latin and the Cyrillic `a`, stay different.
fn key(text: &str) -> String {
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    let shown: String = text.chars().filter(|c| !is_ignorable(*c)).collect();
    let upper = nfkc.normalize(&shown).to_uppercase();
    let folded: String = upper.chars().flat_map(char::to_lowercase).collect();
    // Normalization may uncover ignorable characters and blanks: U+FFA0 becomes U+1160.
    let normal = nfkc.normalize(&folded);
    let shown: String = normal.chars().filter(|c| !is_ignorable(*c)).collect();
    tidy(&shown)
}

/// Removes blanks around the text, and replaces each run of blanks in it with one space.
fn tidy(text: &str) -> String {
    let words = text.split(is_blank).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// Whether a character is visible by itself: a letter, a number, punctuation or a symbol.
fn is_visible(c: char) -> bool {
    const VISIBLE: GeneralCategoryGroup = GeneralCategoryGroup::Letter
        .union(GeneralCategoryGroup::Number)
        .union(GeneralCategoryGroup::Punctuation)
        .union(GeneralCategoryGroup::Symbol);
    VISIBLE.contains(category(c)) && !is_ignorable(c) && !is_blank(c)
}

/// Whether a character is invisible, always or where it is not supported: a zero-width joiner, a variation selector.
fn is_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || category(c) == GeneralCategory::Format
}

/// Whether a character looks like empty space. Some of them are symbols in Unicode: the Braille pattern without dots, and
/// the musical null notehead.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{2800}' | '\u{1d159}')
}

fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

#[cfg(test)]
mod tests {
    use sockeye::topics::TopicName;

    use super::*;

    fn parsed(text: &str) -> Result<String, Refusal> {
        Name::parse(text).map(|name| name.0)
    }

    #[test]
    fn blanks_around_and_within_a_name_are_tidied() {
        assert_eq!(parsed("  Ada \t King\n"), Ok("Ada King".to_owned()));
        assert_eq!(
            parsed("Ada\u{2800}\u{a0}King\u{3000}"),
            Ok("Ada King".to_owned())
        );
    }

    #[test]
    fn a_name_has_1_to_40_characters() {
        assert_eq!(parsed(" \n "), Err(Refusal::NameEmpty));
        assert_eq!(parsed("鮭"), Ok("鮭".to_owned()));
        assert_eq!(parsed(&"鮭".repeat(40)), Ok("鮭".repeat(40)));
        assert_eq!(parsed(&"a".repeat(41)), Err(Refusal::NameTooLong));
    }

    #[test]
    fn a_name_has_no_control_characters_and_none_that_turn_the_text_around() {
        for text in ["A\u{1b}[31mda", "\u{202e}adA", "Ada\u{2067}", "Ada\u{200f}"] {
            assert_eq!(parsed(text), Err(Refusal::NameUnreadable), "{text:?}");
        }
    }

    #[test]
    fn a_name_has_at_least_one_character_that_shows() {
        // Joiners, fillers, soft hyphens, variation selectors, blank symbols, and marks without a letter.
        for text in [
            "\u{200d}",
            "\u{200c}\u{200d}",
            "\u{ad}",
            "\u{34f}",
            "\u{115f}\u{1160}",
            "\u{3164}",
            "\u{ffa0}",
            "\u{fe0f}",
            "\u{180b}",
            "\u{2800}",
            "\u{1d159}",
            "\u{1d173}",
            "\u{13430}",
            "\u{301}",
            "\u{20dd}",
            "\u{e000}",
            "\u{378}",
        ] {
            assert_eq!(parsed(text), Err(Refusal::NameEmpty), "{text:?}");
            assert_eq!(RoomName::parse(text), Err(Refusal::RoomEmpty), "{text:?}");
        }
        for text in [
            "7",
            "鮭",
            "👩\u{200d}👧",
            "❤\u{fe0f}",
            "می\u{200c}خواهم",
            "-",
            "हिन्दी",
        ] {
            assert_eq!(parsed(text), Ok(text.to_owned()));
        }
    }

    #[test]
    fn names_that_look_the_same_have_the_same_key() {
        for text in [
            "ada",
            "ADA",
            "A\u{200d}da",
            "Ada\u{200c}",
            "\u{ad}Ada",
            "Ada\u{34f}",
            "Ada\u{3164}",
            "Ada\u{ffa0}",
            "Ada\u{fe0f}",
            "Ada\u{13430}",
            "Ada\u{2800}",
            "Ａｄａ",
            "𝐀𝐝𝐚",
            "ᴬda",
        ] {
            assert_eq!(key(text), "ada", "{text:?}");
        }
        for (one, other) in [
            ("Zoë", "Zoe\u{308}"),
            ("ﬁn", "FIN"),
            ("Straße", "STRASSE"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("ſam", "Sam"),
            ("Ada  King", "Ada \u{200d} King"),
            ("①", "1"),
        ] {
            assert_eq!(key(one), key(other), "{one:?} {other:?}");
        }
        for (one, other) in [("Ada", "Áda"), ("Ada", "Аda"), ("Ada King", "AdaKing")] {
            assert_ne!(key(one), key(other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_number_does_not_make_a_name_too_long() {
        let name = Name("鮭".repeat(40)).numbered(12);
        assert_eq!(name.0, "鮭".repeat(37) + "-12");
        assert_eq!(Name("Ada".to_owned()).numbered(2).0, "Ada-2");
    }

    #[test]
    fn each_room_has_one_topic_whose_name_is_valid() {
        let topic = |text: &str| RoomName::parse(text).expect("a room").topic();
        for (room, expected) in [
            ("river", "room/river"),
            ("Ri\u{200d}VER", "room/river"),
            ("Zoë's room", "room/zoë's room"),
            ("a/b", "room/a%2Fb"),
            ("a%2Fb", "room/a%252fb"),
            (".", "room/%2E"),
            ("..", "room/%2E%2E"),
            ("...", "room/..."),
        ] {
            assert_eq!(topic(room), expected, "{room:?}");
        }
        let (one, other) = (topic(&"/".repeat(64)), topic(&"👩".repeat(64)));
        assert_eq!(one, format!("room/{}", "%2F".repeat(64)));
        assert!(other.contains("%~"), "{other}");
        // This letter has 18 letters in its normal form.
        let long = |last: &str| topic(&("\u{fdfa}".repeat(63) + last));
        assert_eq!(long("a"), long("A"));
        assert_ne!(long("a"), long("b"));
        for name in [one, other, long("a")] {
            assert_eq!(TopicName::check(&name), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_room_has_at_most_64_characters_that_show() {
        assert!(RoomName::parse(&"r".repeat(64)).is_ok());
        assert_eq!(RoomName::parse(&"r".repeat(65)), Err(Refusal::RoomTooLong));
        assert_eq!(RoomName::parse("a\rb"), Err(Refusal::RoomUnreadable));
        assert_eq!(RoomName::parse("  "), Err(Refusal::RoomEmpty));
    }
}
