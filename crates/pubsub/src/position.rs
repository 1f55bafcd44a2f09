//! Positions: where a message stands in the history of its topic.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

/// The name of one life of a topic's history: 64 random bits. A topic whose history was lost begins a new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(NonZeroU64);

/// The name of one message: 64 random bits. `None` stands before the first message of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId(NonZeroU64);

/// The place of a message in the history of a topic. Its text is `epoch:offset:id`, and applications treat it as opaque.
///
/// The id tells two histories apart that have the same epoch and the same offset, as after a failover that lost
/// acknowledged messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The life of the history.
    pub epoch: Epoch,
    /// The number of the message in its epoch. The first message has 1; 0 stands before it.
    pub offset: u64,
    /// The message at the offset. `None` before the first message.
    pub id: Option<MessageId>,
}

/// An error: a text is not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a position: expected `epoch:offset:id`, as a server has sent it")]
pub struct InvalidPosition;

impl Epoch {
    /// Makes an epoch of random bits. Zero counts as one.
    pub fn new(random: u64) -> Self {
        Self(NonZeroU64::new(random).unwrap_or(NonZeroU64::MIN))
    }

    /// Returns the bits.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl MessageId {
    /// Makes an id of random bits. Zero counts as one.
    pub fn new(random: u64) -> Self {
        Self(NonZeroU64::new(random).unwrap_or(NonZeroU64::MIN))
    }

    /// Returns the bits.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl Position {
    /// Returns the position before the first message of an epoch.
    pub fn start(epoch: Epoch) -> Self {
        Self {
            epoch,
            offset: 0,
            id: None,
        }
    }

    /// Returns the position of the message that follows this one.
    #[must_use]
    pub fn next(self, id: MessageId) -> Self {
        Self {
            offset: self.offset.saturating_add(1),
            id: Some(id),
            ..self
        }
    }
}

/// The number of characters of 64 bits in base64url.
const WORD: usize = 11;

/// Writes 64 bits as 11 characters of base64url.
pub(crate) fn write_word(f: &mut fmt::Formatter<'_>, word: u64) -> fmt::Result {
    let mut text = [0; WORD];
    let written = URL_SAFE_NO_PAD.encode_slice(word.to_be_bytes(), &mut text);
    debug_assert_eq!(written.ok(), Some(WORD));
    f.write_str(std::str::from_utf8(&text).unwrap_or_default())
}

/// Reads 64 bits that [`write_word`] has written.
pub(crate) fn read_word(text: &str) -> Option<u64> {
    let mut word = [0; 8];
    // The decoder refuses text whose last character has bits that do not count: so each word has one spelling.
    match URL_SAFE_NO_PAD.decode_slice(text, &mut word) {
        Ok(8) => Some(u64::from_be_bytes(word)),
        _ => None,
    }
}

fn read_id(text: &str) -> Option<NonZeroU64> {
    read_word(text).and_then(NonZeroU64::new)
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_word(f, self.get())
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_word(f, self.get())
    }
}

impl FromStr for Epoch {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read_id(text).map(Self).ok_or(InvalidPosition)
    }
}

impl FromStr for MessageId {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read_id(text).map(Self).ok_or(InvalidPosition)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.epoch, self.offset)?;
        match self.id {
            Some(id) => write!(f, "{id}"),
            None => f.write_str("0"),
        }
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let (Some(epoch), Some(offset), Some(id), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidPosition);
        };
        let is_decimal = offset.bytes().all(|byte| byte.is_ascii_digit());
        let is_padded = offset.len() > 1 && offset.starts_with('0');
        if !is_decimal || is_padded {
            return Err(InvalidPosition);
        }
        let offset = offset.parse().map_err(|_| InvalidPosition)?;
        let id = match id {
            "0" => None,
            id => Some(id.parse()?),
        };
        // Only the position before the first message has no id.
        if (offset == 0) != id.is_none() {
            return Err(InvalidPosition);
        }
        Ok(Self {
            epoch: epoch.parse()?,
            offset,
            id,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_position_is_its_epoch_its_offset_and_its_id() {
        let start = Position::start(Epoch::new(1));
        assert_eq!(start.to_string(), "AAAAAAAAAAE:0:0");
        let first = start.next(MessageId::new(u64::MAX));
        assert_eq!(first.to_string(), "AAAAAAAAAAE:1:__________8");
        assert_eq!("AAAAAAAAAAE:0:0".parse(), Ok(start));
        assert_eq!("AAAAAAAAAAE:1:__________8".parse(), Ok(first));
    }

    #[test]
    fn other_texts_are_no_positions() {
        for text in [
            "",
            "AAAAAAAAAAE",
            "AAAAAAAAAAE:0",
            "AAAAAAAAAAE:0:0:",
            "AAAAAAAAAAE:0:AAAAAAAAAAE",
            "AAAAAAAAAAE:1:0",
            "AAAAAAAAAAE:01:AAAAAAAAAAE",
            "AAAAAAAAAAE:+1:AAAAAAAAAAE",
            "AAAAAAAAAAE::AAAAAAAAAAE",
            "AAAAAAAAAAE:18446744073709551616:AAAAAAAAAAE",
            // An epoch and an id are never zero.
            "AAAAAAAAAAA:0:0",
            "AAAAAAAAAAE:1:AAAAAAAAAAA",
            // The last character has bits that do not count.
            "AAAAAAAAAAF:0:0",
            "AAAAAAAAAE:0:0",
            "AAAAAAAAAAAE:0:0",
            "AAAAAAAAAA=:0:0",
            "AAAAAAAAA+8:0:0",
            " AAAAAAAAAAE:0:0",
        ] {
            assert_eq!(text.parse::<Position>(), Err(InvalidPosition), "{text}");
        }
    }

    #[test]
    fn random_bits_of_zero_are_one() {
        assert_eq!(Epoch::new(0).get(), 1);
        assert_eq!(MessageId::new(0).get(), 1);
    }

    proptest! {
        #[test]
        fn a_position_has_one_text(epoch: u64, offset in 1..=u64::MAX, id: u64) {
            let position = Position {
                epoch: Epoch::new(epoch),
                offset,
                id: Some(MessageId::new(id)),
            };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn a_text_that_is_a_position_is_its_text(text in "[AE8_]{11}:[0-9]{1,3}:([AE8_]{11}|0)") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string(), text);
            }
        }
    }
}
