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
    /// Creates the key for a nonce. The caller takes a new random nonce for each connection (section 4.1).
    pub fn from_nonce(nonce: [u8; 16]) -> Self {
        Self(encoded(&nonce))
    }

    /// Reads the value of a `Sec-WebSocket-Key` field.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] unless the value is the base64 form of exactly 16 bytes, with padding. Bits behind the last byte
    /// are ignored.
    pub fn parse(value: &[u8]) -> Result<Self, InvalidKey> {
        let mut nonce = [0; 18];
        // §4.2.1: the decoded value is 16 bytes long. 24 characters make at most 18 bytes, and the decoder rejects a
        // longer value without reading it. The example of §4.1 has bits set behind its last byte, so these are allowed.
        match LENIENT.decode_slice(value, &mut nonce) {
            Ok(16) => value.try_into().map(Self).map_err(|_| InvalidKey),
            _ => Err(InvalidKey),
        }
    }

    /// Returns the key as the text of the field.
    pub fn as_str(&self) -> &str {
        ascii(&self.0)
    }

    /// Returns the value with which a server proves that it understood the request.
    pub fn accept(&self) -> Accept {
        let mut hash = Sha1::new();
        // §4.2.2: the hash is over the key's text as it was sent, not over the decoded nonce.
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
/// To compare it needs no constant time. It is not a secret, and does not authenticate: it can be computed from the
/// key. It shows that the answer comes from a WebSocket server, and not from a cache or from a server that does not
/// know WebSocket.
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
    /// Returns the value as the text of the field.
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
#[error("not a Sec-WebSocket-Key: expected the base64 form of 16 bytes")]
pub struct InvalidKey;

/// Encodes bytes in base64, as `N` characters.
fn encoded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut text = [0; N];
    let len = STANDARD.encode_slice(bytes, &mut text);
    debug_assert_eq!(len, Ok(N));
    text
}

fn ascii(text: &[u8]) -> &str {
    str::from_utf8(text).expect("base64 is ASCII")
}

/// A decoder that ignores bits of the last character that belong to no byte, as other servers do.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    PAD.with_decode_allow_trailing_bits(true),
);

/// The text that section 1.3 appends to the key, so that only an endpoint that knows WebSocket gives the right answer.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
