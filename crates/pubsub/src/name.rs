//! The names of topics.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// The name of a topic: segments between slashes, as in `room/42`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

/// An error: a text is not the name of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidTopicName {
    /// The name is empty.
    #[error("a topic's name is empty")]
    Empty,
    /// The name is too long.
    #[error("a topic's name of {len} bytes is longer than 255")]
    TooLong {
        /// The length of the name in bytes.
        len: usize,
    },
    /// A segment is empty: the name begins or ends with `/`, or has two of them in a row.
    #[error("a segment of the topic's name is empty, at byte {at}")]
    EmptySegment {
        /// The byte at which the segment begins.
        at: usize,
    },
    /// A segment is `.` or `..`.
    #[error("a segment of the topic's name is `.` or `..`, at byte {at}")]
    DotSegment {
        /// The byte at which the segment begins.
        at: usize,
    },
    /// The name has a control character.
    #[error("the topic's name has a control character, at byte {at}")]
    Control {
        /// The byte at which the character begins.
        at: usize,
    },
    /// The name begins with `$`, which is reserved.
    #[error("the topic's name begins with `$`, which is reserved")]
    Reserved,
}

impl TopicName {
    /// The length of the longest name, in bytes.
    pub const MAX_LEN: usize = 255;

    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`InvalidTopicName`], which says what is wrong and where.
    pub fn new(name: impl Into<Arc<str>> + AsRef<str>) -> Result<Self, InvalidTopicName> {
        Self::check(name.as_ref())?;
        Ok(Self(name.into()))
    }

    /// Checks a name, without keeping it.
    ///
    /// # Errors
    ///
    /// [`InvalidTopicName`], which says what is wrong and where.
    #[inline]
    pub fn check(name: &str) -> Result<(), InvalidTopicName> {
        if name.len() <= Self::MAX_LEN && is_plain(name.as_bytes()) {
            return Ok(());
        }
        Self::check_thoroughly(name)
    }

    /// Checks a name that is not plain.
    #[cold]
    #[inline(never)]
    fn check_thoroughly(name: &str) -> Result<(), InvalidTopicName> {
        if name.is_empty() {
            return Err(InvalidTopicName::Empty);
        }
        if name.len() > Self::MAX_LEN {
            return Err(InvalidTopicName::TooLong { len: name.len() });
        }
        if name.starts_with('$') {
            return Err(InvalidTopicName::Reserved);
        }
        if let Some((at, _)) = name.char_indices().find(|(_, c)| c.is_control()) {
            return Err(InvalidTopicName::Control { at });
        }
        let mut at = 0;
        for segment in name.split('/') {
            match segment {
                "" => return Err(InvalidTopicName::EmptySegment { at }),
                "." | ".." => return Err(InvalidTopicName::DotSegment { at }),
                _ => at += segment.len() + 1,
            }
        }
        Ok(())
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether the name is valid, as one pass over its bytes shows: it is printable ASCII, does not begin with `$`, and no
/// segment is empty or begins with a dot. Each publish checks a name, and nearly all names are plain.
#[inline]
fn is_plain(name: &[u8]) -> bool {
    let mut before = b'/';
    for byte in name {
        let is_first = before == b'/';
        match byte {
            b'/' | b'.' if is_first => return false,
            b' '..=b'~' => before = *byte,
            _ => return false,
        }
    }
    before != b'/' && name.first() != Some(&b'$')
}

impl Deref for TopicName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for TopicName {
    type Err = InvalidTopicName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_segments_between_slashes() {
        for name in [
            "a",
            "room/42",
            "é/日本",
            "a b/c%2F/*",
            "...",
            "a/.b/c$",
            "{x}",
        ] {
            assert_eq!(TopicName::new(name).unwrap().as_str(), name);
        }
        let longest = "a".repeat(255);
        assert_eq!(&*TopicName::new(longest.clone()).unwrap(), longest);
    }

    /// All texts of up to four of these characters: the quick look accepts no name that the thorough one refuses.
    #[test]
    fn a_plain_name_is_valid() {
        let mut texts = vec![String::new()];
        let mut from = 0;
        for _ in 0..4 {
            let longer = texts[from..].iter();
            let longer = longer.flat_map(|text| {
                "a/.$ ~\u{1f}\u{7f}\u{85}\u{e9}"
                    .chars()
                    .map(move |c| format!("{text}{c}"))
            });
            let longer: Vec<String> = longer.collect();
            from = texts.len();
            texts.extend(longer);
        }
        assert!(is_plain(b"room/42"));
        for text in texts.iter().filter(|text| is_plain(text.as_bytes())) {
            assert_eq!(TopicName::check_thoroughly(text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_reason_and_the_place() {
        let long = "a".repeat(256);
        for (name, text) in [
            ("", "a topic's name is empty"),
            (&*long, "a topic's name of 256 bytes is longer than 255"),
            ("/a", "a segment of the topic's name is empty, at byte 0"),
            ("a/", "a segment of the topic's name is empty, at byte 2"),
            ("é//b", "a segment of the topic's name is empty, at byte 3"),
            (
                "a/./b",
                "a segment of the topic's name is `.` or `..`, at byte 2",
            ),
            (
                "..",
                "a segment of the topic's name is `.` or `..`, at byte 0",
            ),
            (
                "a\nb",
                "the topic's name has a control character, at byte 1",
            ),
            (
                "a\u{85}",
                "the topic's name has a control character, at byte 1",
            ),
            (
                "a/\0",
                "the topic's name has a control character, at byte 2",
            ),
            (
                "$sys",
                "the topic's name begins with `$`, which is reserved",
            ),
        ] {
            assert_eq!(TopicName::new(name).unwrap_err().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn each_accepted_name_obeys_all_rules(name in "[a-c./$\u{e9}\u{7f}]{0,8}") {
            let obeys = !name.is_empty()
                && !name.starts_with('$')
                && !name.contains('\u{7f}')
                && name.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
            prop_assert_eq!(TopicName::check(&name).is_ok(), obeys);
        }
    }
}
