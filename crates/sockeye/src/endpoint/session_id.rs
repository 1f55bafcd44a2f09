//! The name of a session. It hides the session's slot among the open sessions, so that one session is found without a
//! search, and without a table.
//!
//! ```text
//!   64 random bits │ 32 random bits │ 32 bits: the slot, under a mask
//!                                      mask = keyed hash of the random bits; the key is the process's own
//! ```

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;
use std::sync::LazyLock;

/// The name of a session: 128 bits that cannot be guessed. 96 of them are random. The others say where the server keeps
/// the session, in a form that only this process can read.
///
/// As text it is 32 digits in base 16, and is parsed from the same:
///
/// ```
/// use sockeye::endpoint::SessionId;
///
/// let id: SessionId = "00112233445566778899aabbccddeeff".parse()?;
/// assert_eq!(id.to_string(), "00112233445566778899aabbccddeeff");
/// # Ok::<(), sockeye::endpoint::InvalidSessionId>(())
/// ```
// Two words: a `u128` would round the size of a session up to a multiple of 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u64; 2]);

/// The error of a text that is not the name of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a session: expected 32 hexadecimal digits")]
pub struct InvalidSessionId;

impl SessionId {
    /// Makes a new name for the session at this slot.
    pub(super) fn random_at(slot: u32) -> Self {
        let [high, low]: [u64; 2] = rand::random();
        let random = low & !SLOT;
        Self([high, random | u64::from(slot ^ mask(high, random))])
    }

    /// Returns the slot of the session. Any text parses as a name, so the session at the slot may be another one.
    pub(super) fn slot(self) -> usize {
        let [high, low] = self.0;
        let slot = (low & SLOT) as u32 ^ mask(high, low & !SLOT);
        slot as usize
    }
}

/// The bits of the second word that hold the slot.
const SLOT: u64 = u32::MAX as u64;

/// Returns what hides a slot. Without it, names would show how many sessions are open, and which one came first.
fn mask(high: u64, random: u64) -> u32 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEY.hash_one((high, random)) as u32
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (high, low) = text.split_at_checked(16).ok_or(InvalidSessionId)?;
        let word = |text| u64::from_str_radix(text, 16).map_err(|_| InvalidSessionId);
        if is_hex {
            Ok(Self([word(high)?, word(low)?]))
        } else {
            Err(InvalidSessionId)
        }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [high, low] = self.0;
        write!(f, "{high:016x}{low:016x}")
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_leads_to_its_slot_also_as_text() {
        for slot in [0, 1, 0x1234_5678, u32::MAX] {
            let id = SessionId::random_at(slot);
            assert_eq!(id.slot(), slot as usize);
            let parsed: SessionId = id.to_string().parse().unwrap();
            assert_eq!((parsed, parsed.slot()), (id, slot as usize));
        }
    }

    /// The text of a name may be shown to peers.
    #[test]
    fn names_of_one_slot_have_nothing_in_common() {
        let ids: Vec<SessionId> = (0..256).map(|_| SessionId::random_at(7)).collect();
        for bit in 0..128 {
            let values: BTreeSet<u64> = ids
                .iter()
                .map(|id| id.0[bit / 64] >> (bit % 64) & 1)
                .collect();
            assert_eq!(values.len(), 2, "bit {bit} is always the same");
        }
    }

    #[test]
    fn other_texts_are_no_names() {
        let digits = "0123456789abcdef0123456789abcdef";
        assert!(digits.parse::<SessionId>().is_ok());
        assert!(digits.to_uppercase().parse::<SessionId>().is_ok());
        let long = format!("{digits}0");
        let signed = format!("+{}", &digits[1..]);
        let cut = format!("{}é{}", &digits[..15], &digits[..15]);
        for text in [
            "",
            &digits[1..],
            &long,
            &signed,
            &cut,
            &digits.replace('a', "g"),
        ] {
            assert_eq!(text.parse::<SessionId>(), Err(InvalidSessionId), "{text:?}");
        }
    }
}
