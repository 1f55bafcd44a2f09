//! Sizes on the command line: `500000`, `64KiB`, `1MiB`.

use std::fmt;
use std::str::FromStr;

/// A number of bytes, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(u64);

impl Size {
    pub(crate) fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = text[digits.len()..].trim();
        let number: u64 = match digits.parse() {
            Ok(number) => number,
            Err(_) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(InvalidSize::TooLarge);
            }
            Err(_) => return Err(InvalidSize::NoNumber),
        };
        let (_, factor) = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .ok_or_else(|| InvalidSize::Unit(unit.to_owned()))?;
        match number.checked_mul(*factor) {
            Some(0) => Err(InvalidSize::Zero),
            Some(bytes) => Ok(Self(bytes)),
            None => Err(InvalidSize::TooLarge),
        }
    }
}

/// In the largest unit that leaves no fraction.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, factor) = BINARY
            .iter()
            .find(|(_, factor)| self.0.is_multiple_of(*factor))
            .unwrap_or(&("", 1));
        write!(f, "{}{name}", self.0 / factor)
    }
}

/// Why a text is no size.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum InvalidSize {
    NoNumber,
    TooLarge,
    Unit(String),
    Zero,
}

impl fmt::Display for InvalidSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNumber => f.write_str("a size is a whole number of bytes, as 500000 or 64KiB"),
            Self::TooLarge => f.write_str("more bytes than can be counted"),
            Self::Unit(unit) => write!(
                f,
                "no unit `{unit}`: there are B, kB, MB, GB, KiB, MiB, GiB"
            ),
            Self::Zero => f.write_str("at least one byte"),
        }
    }
}

impl std::error::Error for InvalidSize {}

const BINARY: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
const UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    BINARY[2],
    BINARY[1],
    BINARY[0],
];

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Result<u64, InvalidSize> {
        text.parse().map(Size::bytes)
    }

    #[test]
    fn a_number_counts_bytes_unless_a_unit_follows() {
        assert_eq!(bytes("500000"), Ok(500_000));
        assert_eq!(bytes("1B"), Ok(1));
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("1MiB"), Ok(1 << 20));
        assert_eq!(bytes("2 gib"), Ok(2 << 30));
        assert_eq!(bytes("3MB"), Ok(3_000_000));
    }

    #[test]
    fn what_is_no_size_is_refused_with_its_reason() {
        for text in ["", "KiB", "-1", "1.5MiB", "1 2"] {
            assert_eq!(bytes(text), Err(InvalidSize::NoNumber), "{text:?}");
        }
        assert_eq!(bytes("1Mb it"), Err(InvalidSize::Unit("Mb it".to_owned())));
        assert_eq!(bytes("0"), Err(InvalidSize::Zero));
        assert_eq!(bytes("99999999999999999999"), Err(InvalidSize::TooLarge));
        assert_eq!(bytes("17179869184GiB"), Err(InvalidSize::TooLarge));
    }

    #[test]
    fn a_size_is_shown_as_it_may_be_written() {
        for text in ["500000", "64KiB", "1MiB", "2GiB"] {
            assert_eq!(
                text.parse().map(|size: Size| size.to_string()),
                Ok(text.to_owned())
            );
        }
    }
}
