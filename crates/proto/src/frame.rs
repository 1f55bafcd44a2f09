//! Frame headers (RFC 6455 §5.2): parsed from bytes, and written to bytes. Knows the rules for a single header. The
//! rules for a sequence of frames are in [`connection`](crate::connection).
//!
//! ```text
//!   0                   1                   2                   3
//!   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!  +-+-+-+-+-------+-+-------------+-------------------------------+
//!  |F|R|R|R| opcode|M| length      | length, 16 or 64 bits, if     |
//!  |I|S|S|S|  (4)  |A|  (7)        | those 7 are 126 or 127        |
//!  |N|V|V|V|       |S|             |                               |
//!  +-+-+-+-+-------+-+-------------+ - - - - - - - - - - - - - - - +
//!  | … | masking key, 4 bytes, if MASK is set   | payload …        |
//!  +---+----------------------------------------+------------------+
//! ```

use crate::error::ProtocolError;
use crate::mask::MaskingKey;

/// The role of an end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a connection has two ends")]
pub enum Role {
    /// The end that sent the opening handshake. Its frames are masked (§5.1).
    Client,
    /// The end that answered the opening handshake. Its frames are not masked (§5.1).
    Server,
}

/// The type of a frame (§5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the opcodes of RFC 6455")]
pub enum OpCode {
    /// 0x0: continues the open message.
    Continuation = 0x0,
    /// 0x1: starts a text message.
    Text = 0x1,
    /// 0x2: starts a binary message.
    Binary = 0x2,
    /// 0x8: starts or answers the closing handshake.
    Close = 0x8,
    /// 0x9: asks for a Pong.
    Ping = 0x9,
    /// 0xA: answers a Ping, or is unsolicited.
    Pong = 0xA,
}

impl OpCode {
    /// Returns the opcode for these four bits; `None` for the reserved ones.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// Returns the four bits of the opcode.
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// Returns whether the frame is a control frame (§5.5), and carries no data of a message.
    pub const fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }
}

/// The three reserved bits of a frame, for extensions (§5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReservedBits(u8);

impl ReservedBits {
    /// None of the three.
    pub const NONE: Self = Self(0);
    /// RSV1, which marks a compressed message (RFC 7692 §6).
    pub const RSV1: Self = Self(0b100_0000);

    const MASK: u8 = 0b111_0000;

    /// Returns whether each bit of `self` is set in `allowed` too.
    pub const fn is_within(self, allowed: Self) -> bool {
        self.0 & !allowed.0 == 0
    }

    /// Returns whether RSV1 is set.
    pub const fn rsv1(self) -> bool {
        self.0 & Self::RSV1.0 != 0
    }
}

/// The header of a frame. A header from [`parse`](Self::parse) obeys all rules of §5.2 and §5.5 for a single header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether the frame is the last one of its message.
    pub fin: bool,
    /// The reserved bits.
    pub reserved: ReservedBits,
    /// The type of the frame.
    pub opcode: OpCode,
    /// The key with which the payload is masked; `None` if it is not masked.
    pub masking_key: Option<MaskingKey>,
    /// The payload's length in bytes; the most significant bit is never set.
    pub payload_len: u64,
}

impl FrameHeader {
    /// The length of the longest header, in bytes.
    pub const MAX_LEN: usize = 14;
    /// The longest payload of a control frame (§5.5), in bytes.
    pub const MAX_CONTROL_PAYLOAD: usize = 125;

    /// Creates the header of an unfragmented frame without reserved bits and without a mask.
    pub const fn new(opcode: OpCode, payload_len: u64) -> Self {
        Self {
            fin: true,
            reserved: ReservedBits::NONE,
            opcode,
            masking_key: None,
            payload_len,
        }
    }

    /// Parses the header at the start of `input`. Returns the header and its length in bytes; `None` if more bytes are
    /// needed. `receiver` is the role of the end that reads the frame. `allowed` are the reserved bits that an
    /// extension uses.
    ///
    /// ```
    /// use sockeye_proto::{FrameHeader, OpCode, ReservedBits, Role};
    ///
    /// let ping = FrameHeader::parse(b"\x89\x05Hello", Role::Client, ReservedBits::NONE);
    /// assert_eq!(ping, Ok(Some((FrameHeader::new(OpCode::Ping, 5), 2))));
    /// ```
    ///
    /// # Errors
    ///
    /// The first rule that the header breaks. It is found as soon as the bytes that break it are in `input`.
    pub fn parse(
        input: &[u8],
        receiver: Role,
        allowed: ReservedBits,
    ) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some((&first, rest)) = input.split_first() else {
            return Ok(None);
        };
        let fin = first & 0x80 != 0;
        let reserved = ReservedBits(first & ReservedBits::MASK);
        let bits = first & 0x0F;
        // §5.2: an opcode that is not defined fails the connection.
        let opcode =
            OpCode::from_bits(bits).ok_or(ProtocolError::ReservedOpCode { opcode: bits })?;
        // §5.2: a reserved bit that no extension defines fails the connection. RSV1 is defined for the first frame of a
        // message only (RFC 7692 §6.1).
        let allowed = match opcode {
            OpCode::Text | OpCode::Binary => allowed,
            _ => ReservedBits::NONE,
        };
        if !reserved.is_within(allowed) {
            return Err(ProtocolError::ReservedBit);
        }
        // §5.5: control frames are never fragmented.
        if opcode.is_control() && !fin {
            return Err(ProtocolError::ControlFrameFragmented);
        }

        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        let masked = second & 0x80 != 0;
        // §5.1: a client masks each frame, and a server masks no frame.
        match (receiver, masked) {
            (Role::Server, false) => return Err(ProtocolError::UnmaskedFrame),
            (Role::Client, true) => return Err(ProtocolError::MaskedFrame),
            _ => {}
        }
        let short = second & 0x7F;
        // §5.5: a control frame's length fits the seven bits.
        if opcode.is_control() && usize::from(short) > Self::MAX_CONTROL_PAYLOAD {
            return Err(ProtocolError::ControlFrameTooLong);
        }
        // §5.2: the length has its shortest form, and the top bit of the 64-bit form is zero.
        let (payload_len, rest) = match short {
            127 => {
                let Some((len, rest)) = rest.split_first_chunk::<8>() else {
                    return Ok(None);
                };
                let len = u64::from_be_bytes(*len);
                if len > i64::MAX.unsigned_abs() {
                    return Err(ProtocolError::LengthOutOfRange);
                }
                if len <= u64::from(u16::MAX) {
                    return Err(ProtocolError::LengthNotMinimal);
                }
                (len, rest)
            }
            126 => {
                let Some((len, rest)) = rest.split_first_chunk::<2>() else {
                    return Ok(None);
                };
                let len = u16::from_be_bytes(*len);
                if len < 126 {
                    return Err(ProtocolError::LengthNotMinimal);
                }
                (u64::from(len), rest)
            }
            len => (u64::from(len), rest),
        };
        let (masking_key, rest) = if masked {
            let Some((key, rest)) = rest.split_first_chunk::<4>() else {
                return Ok(None);
            };
            (Some(MaskingKey::new(*key)), rest)
        } else {
            (None, rest)
        };
        let header = Self {
            fin,
            reserved,
            opcode,
            masking_key,
            payload_len,
        };
        Ok(Some((header, input.len() - rest.len())))
    }

    /// Appends the header's bytes to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut bytes = [0; Self::MAX_LEN];
        let len = self.encode(&mut bytes);
        out.extend_from_slice(bytes.get(..len).unwrap_or_default());
    }

    /// Writes the header's bytes to the front of `out`, and returns their number.
    #[inline(always)]
    pub(crate) fn encode(&self, out: &mut [u8; Self::MAX_LEN]) -> usize {
        let fin = if self.fin { 0x80 } else { 0 };
        let mask = if self.masking_key.is_some() { 0x80 } else { 0 };
        out[0] = fin | self.reserved.0 | self.opcode.bits();
        // §5.2: the shortest of the three forms.
        let len = if let Ok(short @ 0..=125) = u8::try_from(self.payload_len) {
            out[1] = mask | short;
            2
        } else if let Ok(len) = u16::try_from(self.payload_len) {
            out[1] = mask | 126;
            out[2..4].copy_from_slice(&len.to_be_bytes());
            4
        } else {
            out[1] = mask | 127;
            out[2..10].copy_from_slice(&self.payload_len.to_be_bytes());
            10
        };
        let Some(key) = self.masking_key else {
            return len;
        };
        // INVARIANT: `len` is at most 10.
        if let Some(last) = out.get_mut(len..len + 4) {
            last.copy_from_slice(&key.to_bytes());
        }
        len + 4
    }
}

/// The most common form of a frame: a whole message of less than 64 KiB, without reserved bits. Its payload is still
/// masked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PlainFrame<'a> {
    /// Whether the message is text; otherwise it is binary.
    pub(crate) is_text: bool,
    pub(crate) masking_key: Option<MaskingKey>,
    pub(crate) payload: &'a mut [u8],
}

impl<'a> PlainFrame<'a> {
    /// Takes a frame of this kind from `input`, if it is complete there and its payload has at most `limit` bytes. This
    /// is the fast path. It returns `None` for any other frame, for a frame that breaks a rule, and for an incomplete one:
    /// [`FrameHeader::parse`] tells these apart.
    #[inline(always)]
    pub(crate) fn take(input: &mut &'a mut [u8], receiver: Role, limit: u16) -> Option<Self> {
        let &mut [first, second, ref rest @ ..] = *input else {
            return None;
        };
        let is_text = match first {
            0x81 => true,
            0x82 => false,
            _ => return None,
        };
        // §5.1: a client masks each frame, and a server masks no frame. With the wrong mask bit the XOR below gives at
        // least 128, which no arm matches.
        let (mask_bit, key_len) = match receiver {
            Role::Server => (0x80, 4),
            Role::Client => (0, 0),
        };
        let (payload_len, header_len) = match second ^ mask_bit {
            len @ 0..=125 => (usize::from(len), 2),
            126 => {
                let len = u16::from_be_bytes(*rest.first_chunk()?);
                if len < 126 {
                    return None;
                }
                (usize::from(len), 4)
            }
            _ => return None,
        };
        let payload_start = header_len + key_len;
        if payload_len > usize::from(limit) || input.len() < payload_start + payload_len {
            return None;
        }
        let (frame, rest) = std::mem::take(input).split_at_mut(payload_start + payload_len);
        *input = rest;
        let (header, payload) = frame.split_at_mut(payload_start);
        let masking_key = match receiver {
            Role::Server => header.last_chunk().copied().map(MaskingKey::new),
            Role::Client => None,
        };
        Some(Self {
            is_text,
            masking_key,
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use proptest::prelude::*;

    use super::*;

    fn parse(input: &[u8], receiver: Role) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
        FrameHeader::parse(input, receiver, ReservedBits::NONE)
    }

    #[test]
    fn the_examples_of_section_5_7_are_parsed() {
        let unmasked_text = FrameHeader::new(OpCode::Text, 5);
        assert_eq!(
            parse(b"\x81\x05Hello", Role::Client),
            Ok(Some((unmasked_text, 2)))
        );
        let masked_text = FrameHeader {
            masking_key: Some(MaskingKey::new([0x37, 0xfa, 0x21, 0x3d])),
            ..unmasked_text
        };
        assert_eq!(
            parse(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f", Role::Server),
            Ok(Some((masked_text, 6)))
        );
        let first_fragment = FrameHeader {
            fin: false,
            ..FrameHeader::new(OpCode::Text, 3)
        };
        assert_eq!(
            parse(b"\x01\x03Hel", Role::Client),
            Ok(Some((first_fragment, 2)))
        );
        assert_eq!(
            parse(b"\x80\x02lo", Role::Client),
            Ok(Some((FrameHeader::new(OpCode::Continuation, 2), 2)))
        );
        assert_eq!(
            parse(b"\x82\x7e\x01\x00", Role::Client),
            Ok(Some((FrameHeader::new(OpCode::Binary, 256), 4)))
        );
        assert_eq!(
            parse(b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", Role::Client),
            Ok(Some((FrameHeader::new(OpCode::Binary, 65_536), 10)))
        );
    }

    #[test]
    fn each_rule_of_the_header_is_enforced_as_soon_as_its_bytes_are_there() {
        let cases: [(&[u8], Role, ProtocolError); 10] = [
            (
                b"\x83",
                Role::Client,
                ProtocolError::ReservedOpCode { opcode: 3 },
            ),
            (b"\xc1", Role::Client, ProtocolError::ReservedBit),
            (b"\x09", Role::Client, ProtocolError::ControlFrameFragmented),
            (b"\x81\x05", Role::Server, ProtocolError::UnmaskedFrame),
            (b"\x81\x85", Role::Client, ProtocolError::MaskedFrame),
            (
                b"\x89\x7e",
                Role::Client,
                ProtocolError::ControlFrameTooLong,
            ),
            (
                b"\x81\x7e\x00\x7d",
                Role::Client,
                ProtocolError::LengthNotMinimal,
            ),
            (
                b"\x81\x7f\0\0\0\0\0\0\xff\xff",
                Role::Client,
                ProtocolError::LengthNotMinimal,
            ),
            (
                b"\x81\x7f\x80\0\0\0\0\0\0\0",
                Role::Client,
                ProtocolError::LengthOutOfRange,
            ),
            (
                b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
                Role::Client,
                ProtocolError::LengthOutOfRange,
            ),
        ];
        for (input, receiver, error) in cases {
            assert_eq!(parse(input, receiver), Err(error), "{input:x?}");
            assert_eq!(
                parse(&input[..input.len() - 1], receiver),
                Ok(None),
                "{input:x?}"
            );
        }
    }

    #[test]
    fn a_reserved_bit_is_legal_once_an_extension_uses_it() {
        let compressed = FrameHeader::parse(b"\xc1\x05", Role::Client, ReservedBits::RSV1);
        assert!(compressed.unwrap().unwrap().0.reserved.rsv1());
        assert_eq!(
            FrameHeader::parse(b"\xa1", Role::Client, ReservedBits::RSV1),
            Err(ProtocolError::ReservedBit)
        );
    }

    fn header() -> impl Strategy<Value = FrameHeader> {
        let opcode = prop::sample::select(vec![
            OpCode::Continuation,
            OpCode::Text,
            OpCode::Binary,
            OpCode::Close,
            OpCode::Ping,
            OpCode::Pong,
        ]);
        let len = prop_oneof![
            0..=125_u64,
            126..=65_535_u64,
            65_536..=i64::MAX.unsigned_abs()
        ];
        (
            any::<bool>(),
            opcode,
            any::<Option<[u8; 4]>>(),
            len,
            0..8_u8,
        )
            .prop_map(|(fin, opcode, key, len, reserved)| FrameHeader {
                fin: fin || opcode.is_control(),
                reserved: match opcode {
                    OpCode::Text | OpCode::Binary => ReservedBits(reserved << 4),
                    _ => ReservedBits::NONE,
                },
                opcode,
                masking_key: key.map(MaskingKey::new),
                payload_len: if opcode.is_control() { len % 126 } else { len },
            })
    }

    /// Finds by [`FrameHeader::parse`] what [`PlainFrame::take`] has to find: a header, and the range of its payload.
    fn plain(input: &[u8], receiver: Role, limit: u16) -> Option<(FrameHeader, Range<usize>)> {
        let (header, start) = parse(input, receiver).ok()??;
        let len = usize::try_from(header.payload_len).ok()?;
        let end = start.checked_add(len)?;
        let whole = header.fin && matches!(header.opcode, OpCode::Text | OpCode::Binary);
        let fits = len <= usize::from(limit) && end <= input.len();
        (whole && fits).then_some((header, start..end))
    }

    /// Headers of data messages for the most part, right and wrong, with about as many bytes behind as they announce.
    fn nearly_plain() -> impl Strategy<Value = Vec<u8>> {
        let first = prop_oneof![4 => Just(0x81), 4 => Just(0x82), 1 => any::<u8>()];
        let len = prop_oneof![0..300_usize, 65_500..65_600_usize];
        let form = prop_oneof![3 => Just(0), 1 => 0..3_u8];
        (first, len, form, any::<bool>(), 0..12_usize).prop_map(
            |(first, len, form, masked, more)| {
                let least = match len {
                    0..=125 => 0,
                    126..=65_535 => 1,
                    _ => 2,
                };
                // A length in more bytes than it needs breaks a rule (§5.2).
                let bytes = (len as u64).to_be_bytes();
                let announced = match least.max(form) {
                    0 => bytes[7..].to_vec(),
                    1 => [&[126], &bytes[6..]].concat(),
                    _ => [&[127], &bytes[..]].concat(),
                };
                let mut bytes = [&[first][..], &announced].concat();
                bytes[1] |= u8::from(masked) << 7;
                let payload = (len + more).saturating_sub(4);
                bytes.extend((0..=u8::MAX).cycle().take(payload));
                bytes
            },
        )
    }

    proptest! {
        #[test]
        fn parse_of_write_is_identity(header in header(), tail: Vec<u8>) {
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            let len = bytes.len();
            prop_assert!(len <= FrameHeader::MAX_LEN);
            bytes.extend_from_slice(&tail);
            let receiver = if header.masking_key.is_some() { Role::Server } else { Role::Client };
            let all = ReservedBits(ReservedBits::MASK);
            prop_assert_eq!(FrameHeader::parse(&bytes, receiver, all), Ok(Some((header, len))));
            for short in 0..len {
                prop_assert_eq!(FrameHeader::parse(&bytes[..short], receiver, all), Ok(None));
            }
        }

        #[test]
        fn a_plain_frame_is_one_that_parse_finds_plain_and_complete(
            input in nearly_plain(),
            receiver in prop::sample::select(vec![Role::Client, Role::Server]),
            limit in prop_oneof![0..300_u16, 65_500..=u16::MAX],
        ) {
            let expected = plain(&input, receiver, limit);
            let mut bytes = input.clone();
            let mut rest = &mut bytes[..];
            let taken = PlainFrame::take(&mut rest, receiver, limit);
            let len = input.len() - rest.len();
            match (&taken, expected) {
                (Some(frame), Some((header, payload))) => {
                    prop_assert_eq!(frame.is_text, header.opcode == OpCode::Text);
                    prop_assert_eq!(frame.masking_key, header.masking_key);
                    prop_assert_eq!(&*frame.payload, &input[payload.clone()]);
                    prop_assert_eq!(len, payload.end);
                }
                (None, None) => prop_assert_eq!(len, 0, "nothing is taken"),
                (taken, expected) => prop_assert!(false, "{taken:?} is not {expected:?}"),
            }
        }
    }
}
