//! Text that is UTF-8 by construction, and the validation of text while its bytes arrive (RFC 6455 §8.1). Knows no
//! frames.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use crate::mask::MaskingKey;

/// The payload of a text message: shared, cheap to clone, and UTF-8 by construction.
///
/// ```
/// use sockeye_proto::Text;
///
/// let text = Text::from("grüezi");
/// assert_eq!(text.len(), 7);
/// assert!(Text::from_utf8(vec![0xff].into()).is_err());
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text {
    // INVARIANT: valid UTF-8. Only this module makes a `Text`, and `Bytes` never changes.
    bytes: Bytes,
}

impl Text {
    /// Validates `bytes` and takes them without a copy.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] if they are not UTF-8.
    pub fn from_utf8(bytes: Bytes) -> Result<Self, InvalidUtf8> {
        simdutf8::basic::from_utf8(&bytes).map_err(|_| InvalidUtf8)?;
        Ok(Self { bytes })
    }

    /// Creates a text from a static string, without a copy.
    pub const fn from_static(text: &'static str) -> Self {
        Self {
            bytes: Bytes::from_static(text.as_bytes()),
        }
    }

    /// Takes the text of `owner` without a copy. The last clone of the text drops `owner`.
    pub fn from_owner(owner: impl AsRef<str> + Send + 'static) -> Self {
        Self {
            bytes: Bytes::from_owner(AsBytes(owner)),
        }
    }

    /// Returns the text.
    #[expect(
        unsafe_code,
        reason = "another validation at each access would be O(n)"
    )]
    pub fn as_str(&self) -> &str {
        // SAFETY: the invariant of `bytes`.
        unsafe { std::str::from_utf8_unchecked(&self.bytes) }
    }

    /// Returns the bytes of the text, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// Gives the bytes of a text to [`Bytes::from_owner`].
struct AsBytes<T>(T);

impl<T: AsRef<str>> AsRef<[u8]> for AsBytes<T> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().as_bytes()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self {
            bytes: text.into_bytes().into(),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self {
            bytes: Bytes::copy_from_slice(text.as_bytes()),
        }
    }
}

impl From<Text> for Bytes {
    fn from(text: Text) -> Self {
        text.bytes
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl TryFrom<Bytes> for Text {
    type Error = InvalidUtf8;

    fn try_from(bytes: Bytes) -> Result<Self, InvalidUtf8> {
        Self::from_utf8(bytes)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// An error: bytes of a text are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid UTF-8")]
pub struct InvalidUtf8;

/// Converts `bytes` to a `String` without a copy.
///
/// # Errors
///
/// [`InvalidUtf8`] if they are not UTF-8; the bytes are dropped.
#[expect(
    unsafe_code,
    reason = "std validates non-ASCII text at an eighth of simdutf8's speed"
)]
pub fn into_string(bytes: Vec<u8>) -> Result<String, InvalidUtf8> {
    simdutf8::basic::from_utf8(&bytes).map_err(|_| InvalidUtf8)?;
    // SAFETY: validated in the line above.
    Ok(unsafe { String::from_utf8_unchecked(bytes) })
}

/// Unmasks the whole payload of a text message (§5.3), and returns it as text.
///
/// # Errors
///
/// [`InvalidUtf8`] if it is not UTF-8. The payload is unmasked even then.
#[inline]
#[expect(
    unsafe_code,
    reason = "a second look at 64 bytes of known ASCII costs a third of the time that a message of them takes"
)]
pub(crate) fn unmask_text(payload: &mut [u8], key: MaskingKey) -> Result<&str, InvalidUtf8> {
    if key.apply_noting_ascii(payload) {
        // SAFETY: each byte is ASCII, so the whole is UTF-8.
        return Ok(unsafe { std::str::from_utf8_unchecked(payload) });
    }
    simdutf8::basic::from_utf8(payload).map_err(|_| InvalidUtf8)
}

/// Validates UTF-8 in pieces, which may end inside a character. It rejects the text at the first byte that cannot be
/// part of valid UTF-8.
#[derive(Clone, Debug, Default)]
pub struct Utf8Validator {
    // The start of an incomplete character: at most three of the four bytes are used.
    partial: [u8; 4],
    partial_len: u8,
}

impl Utf8Validator {
    /// Validates the next bytes of the text.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] as soon as one of them cannot be part of valid UTF-8.
    pub fn accept(&mut self, bytes: &[u8]) -> Result<(), InvalidUtf8> {
        let mut bytes = bytes;
        while self.partial_len > 0 {
            let Some((&next, rest)) = bytes.split_first() else {
                return Ok(());
            };
            bytes = rest;
            self.extend_partial(next)?;
        }
        match simdutf8::compat::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(InvalidUtf8),
            Err(error) => {
                let incomplete = bytes.get(error.valid_up_to()..).unwrap_or_default();
                for &byte in incomplete {
                    self.extend_partial(byte)?;
                }
                Ok(())
            }
        }
    }

    /// Checks that the text may end here.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] if the text ends inside a character.
    pub fn finish(&self) -> Result<(), InvalidUtf8> {
        if self.partial_len == 0 {
            Ok(())
        } else {
            Err(InvalidUtf8)
        }
    }

    fn extend_partial(&mut self, byte: u8) -> Result<(), InvalidUtf8> {
        let slot = self.partial.get_mut(usize::from(self.partial_len));
        *slot.ok_or(InvalidUtf8)? = byte;
        self.partial_len += 1;
        let partial = self.partial.get(..usize::from(self.partial_len));
        match std::str::from_utf8(partial.unwrap_or_default()) {
            Ok(_) => self.partial_len = 0,
            Err(error) if error.error_len().is_some() => return Err(InvalidUtf8),
            Err(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the position at which the validator rejects `bytes` if they arrive one at a time.
    fn refused_at(bytes: &[u8]) -> Option<usize> {
        let mut validator = Utf8Validator::default();
        bytes
            .iter()
            .position(|&byte| validator.accept(&[byte]).is_err())
    }

    #[test]
    fn refuses_at_the_first_byte_that_cannot_go_on() {
        assert_eq!(refused_at(b"\xc3\x28"), Some(1));
        assert_eq!(refused_at(b"\xf4\x90\x80\x80"), Some(1));
        assert_eq!(refused_at(b"\xed\xa0\x80"), Some(1));
        assert_eq!(refused_at(b"\xc0\xaf"), Some(0));
        assert_eq!(refused_at(b"\xe0\x80\xaf"), Some(1));
        assert_eq!(refused_at(b"a\xff"), Some(1));
    }

    #[test]
    fn text_that_ends_inside_a_character_is_refused_at_its_end() {
        let mut validator = Utf8Validator::default();
        validator.accept(b"\xe2\x82").unwrap();
        assert_eq!(validator.finish(), Err(InvalidUtf8));
        validator.accept(b"\xac").unwrap();
        assert_eq!(validator.finish(), Ok(()));
    }

    fn almost_utf8() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<Vec<u8>>(),
            any::<String>().prop_map(String::into_bytes),
            (any::<String>(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
                |(text, at, byte)| {
                    let mut bytes = text.into_bytes();
                    let at = at.index(bytes.len() + 1);
                    bytes.insert(at, byte);
                    bytes
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn any_split_is_judged_as_std_judges_the_whole(
            bytes in almost_utf8(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let mut validator = Utf8Validator::default();
            let mut from = 0;
            let judged = cuts
                .into_iter()
                .try_for_each(|cut| {
                    let piece = &bytes[from..cut];
                    from = cut;
                    validator.accept(piece)
                })
                .and_then(|()| validator.finish());
            prop_assert_eq!(judged.is_ok(), std::str::from_utf8(&bytes).is_ok());
        }

        #[test]
        fn no_prefix_of_valid_text_is_refused(text: String) {
            prop_assert_eq!(refused_at(text.as_bytes()), None);
        }

        #[test]
        fn a_text_is_unmasked_as_std_takes_what_is_unmasked(bytes in almost_utf8(), key: [u8; 4]) {
            let key = MaskingKey::new(key);
            let mut masked = bytes.clone();
            key.apply(&mut masked, 0);
            let text = unmask_text(&mut masked, key);
            prop_assert_eq!(text.ok(), std::str::from_utf8(&bytes).ok());
        }

        #[test]
        fn text_and_string_are_made_as_std_makes_them(bytes in almost_utf8()) {
            let std = String::from_utf8(bytes.clone()).ok();
            prop_assert_eq!(into_string(bytes.clone()).ok(), std.clone());
            prop_assert_eq!(Text::from_utf8(bytes.into()).ok().map(String::from), std);
        }
    }
}
