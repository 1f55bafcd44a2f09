//! `Sec-WebSocket-Key` and the `Sec-WebSocket-Accept` that answers it: RFC 6455 sections 1.3, 4.1,
//! 4.2.2.
//!
//! Knows nothing of header fields: text comes in, text goes out.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD};
use sha1::{Digest, Sha1};

/// A `Sec-WebSocket-Key`: the base64 form of a 16-byte nonce, 24 characters, legal by construction.
///
/// ```
/// use sockeye_proto::handshake::Key;
///
/// let key = Key::from_nonce(*b"the sample nonce");
/// assert_eq!(key.as_str(), "dGhlIHNhbXBsZSBub25jZQ==");
/// assert_eq!(key.accept().as_str(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 24]);

impl Key {
    /// The key for a nonce, which the caller takes from a random source anew for each connection
    /// (section 4.1).
    pub fn from_nonce(nonce: [u8; 16]) -> Self {
        Self(encoded(&nonce))
    }

    /// Reads the value of a `Sec-WebSocket-Key` field.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] unless the value is the base64 form of exactly 16 bytes, with its padding. Bits that are set
    /// behind the last byte are passed over.
    pub fn parse(value: &[u8]) -> Result<Self, InvalidKey> {
        let mut nonce = [0; 18];
        // §4.2.1: the value, decoded, is 16 bytes long. 24 characters make at most 18 bytes: the
        // decoder refuses a longer value unread. The example of §4.1 itself has bits set behind its
        // last byte.
        match LENIENT.decode_slice(value, &mut nonce) {
            Ok(16) => value.try_into().map(Self).map_err(|_| InvalidKey),
            _ => Err(InvalidKey),
        }
    }

    /// The key as it stands in the field.
    pub fn as_str(&self) -> &str {
        ascii(&self.0)
    }

    /// The value with which a server proves that it understood the request.
    pub fn accept(&self) -> Accept {
        let mut hash = Sha1::new();
        // §4.2.2: the key's text goes in as it was sent, not decoded.
        hash.update(self.0);
        hash.update(GUID);
        Accept(encoded(&hash.finalize()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.as_str()).finish()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A `Sec-WebSocket-Accept`: base64(SHA-1(key + GUID)).
///
/// Comparing it needs no constant time. It is no secret and authenticates nobody: anyone who has
/// seen the key can compute it. It shows that the answer comes from a WebSocket server and not from
/// a cache or an unaware one.
///
/// ```
/// use sockeye_proto::handshake::Key;
///
/// let accept = Key::parse(b"1b4pqvztbM4cor6UUZSDqw==")?.accept();
/// assert_eq!(accept.to_string(), "aJvXj0bbnSSeXm32ngvbBilP0lE=");
/// # Ok::<(), sockeye_proto::handshake::InvalidKey>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Accept([u8; 28]);

impl Accept {
    /// The value as it stands in the field.
    pub fn as_str(&self) -> &str {
        ascii(&self.0)
    }
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Accept").field(&self.as_str()).finish()
    }
}

impl fmt::Display for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A `Sec-WebSocket-Key` value that is not the base64 form of 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is the base64 form of 16 bytes")]
pub struct InvalidKey;

/// The base64 of so many bytes that it is `N` characters.
fn encoded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut text = [0; N];
    let len = STANDARD.encode_slice(bytes, &mut text);
    debug_assert_eq!(len, Ok(N));
    text
}

fn ascii(text: &[u8]) -> &str {
    str::from_utf8(text).expect("base64 is ASCII")
}

/// Reads base64 whose last character has bits set that belong to no byte, as other servers do.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    PAD.with_decode_allow_trailing_bits(true),
);

/// What section 1.3 appends to the key, so that only an endpoint that knows WebSocket makes the
/// right answer.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
