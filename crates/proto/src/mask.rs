//! Masking of payloads (RFC 6455 §5.3). Knows nothing of frames.

/// The 32-bit value with which a client masks the payload of one frame.
///
/// A client needs a new key for each frame, from a strong source of randomness (§10.3). The code that constructs the
/// [`Connection`](crate::Connection) provides that source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaskingKey([u8; 4]);

impl MaskingKey {
    /// Creates a key from its four bytes, in the order of the frame's header.
    ///
    /// ```
    /// use sockeye_proto::MaskingKey;
    ///
    /// let mut payload = *b"\x7f\x9f\x4d\x51\x58";
    /// MaskingKey::new([0x37, 0xfa, 0x21, 0x3d]).apply(&mut payload, 0);
    /// assert_eq!(&payload, b"Hello");
    /// ```
    pub const fn new(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// Returns the key's bytes in the order of the header.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0
    }

    /// Masks or unmasks `payload`. §5.3 defines one operation for both: byte `i` of the frame's payload XOR byte `i mod
    /// 4` of the key. `offset` is the number of bytes of the frame's payload before `payload`.
    #[inline]
    pub fn apply(self, payload: &mut [u8], offset: u64) {
        self.apply_gathering(payload, offset);
    }

    /// Applies the key from the start of the frame's payload, and returns whether the result is ASCII. This takes no
    /// second pass over the payload, and saves most texts the validation.
    #[inline]
    pub(crate) fn apply_noting_ascii(self, payload: &mut [u8]) -> bool {
        self.apply_gathering(payload, 0) & 0x8080_8080_8080_8080 == 0
    }

    /// Applies the key. Returns the bitwise OR of the resulting bytes, spread over the eight bytes of the result.
    #[inline]
    fn apply_gathering(self, payload: &mut [u8], offset: u64) -> u64 {
        let key = self.rotated(offset);
        #[cfg(target_arch = "x86_64")]
        return wide::apply(payload, key);
        #[cfg(not(target_arch = "x86_64"))]
        apply_words(payload, key)
    }

    #[inline]
    fn rotated(self, offset: u64) -> [u8; 4] {
        // Little-endian: the key's first byte is the lowest.
        let bits = 8 * (offset % 4) as u32;
        u32::from_le_bytes(self.0).rotate_right(bits).to_le_bytes()
    }
}

#[inline(always)]
fn apply_words(payload: &mut [u8], key: [u8; 4]) -> u64 {
    let short = u32::from_ne_bytes(key);
    let wide = u64::from(short) << 32 | u64::from(short);
    let mut gathered = 0;
    // A loop over single words without branches. The compiler vectorizes it for words of 64 bits, but not of 128.
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        let value = u64::from_ne_bytes(*word) ^ wide;
        *word = value.to_ne_bytes();
        gathered |= value;
    }
    if let Some((word, _)) = rest.split_first_chunk_mut::<4>() {
        let value = u32::from_ne_bytes(*word) ^ short;
        *word = value.to_ne_bytes();
        gathered |= u64::from(value);
    }
    let rest = rest.get_mut(rest.len() / 4 * 4..).unwrap_or_default();
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
        gathered |= u64::from(*byte);
    }
    gathered
}

/// The same operation in vector instructions, against two weaknesses of the compiler's code. For a short payload the
/// vector loop's start and end cost more than the loop. For a long payload the code does not use a newer processor's
/// instructions.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m128i, _mm_cvtsi128_si64, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi32,
        _mm_setzero_si128, _mm_unpackhi_epi64, _mm_xor_si128,
    };

    /// The payload length in bytes from which the instructions of newer processors are worth a call.
    const FROM: usize = 256;

    #[inline]
    #[expect(
        unsafe_code,
        reason = "64 B are unmasked by two thirds of the instructions: docs/performance.md"
    )]
    pub(super) fn apply(payload: &mut [u8], key: [u8; 4]) -> u64 {
        if payload.len() >= FROM
            && let Some(gathered) = apply_long(payload, key)
        {
            return gathered;
        }
        let (blocks, rest) = payload.as_chunks_mut();
        // SAFETY: each processor of this architecture has these instructions.
        let gathered = unsafe { apply_sse2(blocks, key) };
        gathered | super::apply_words(rest, key)
    }

    #[expect(
        unsafe_code,
        reason = "1 KiB is unmasked in half the time: docs/performance.md"
    )]
    fn apply_long(payload: &mut [u8], key: [u8; 4]) -> Option<u64> {
        if !std::arch::is_x86_feature_detected!("avx2") {
            return None;
        }
        // SAFETY: the check above found that the processor has these instructions.
        Some(unsafe { apply_avx2(payload, key) })
    }

    #[target_feature(enable = "avx2")]
    fn apply_avx2(payload: &mut [u8], key: [u8; 4]) -> u64 {
        super::apply_words(payload, key)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn apply_sse2(blocks: &mut [[u8; 16]], key: [u8; 4]) -> u64 {
        let key = _mm_set1_epi32(i32::from_ne_bytes(key));
        let mut gathered = _mm_setzero_si128();
        for block in blocks {
            let (words, _) = block.as_chunks_mut();
            if let [low, high] = words {
                let (l, h) = (i64::from_ne_bytes(*low), i64::from_ne_bytes(*high));
                let value = _mm_xor_si128(_mm_set_epi64x(h, l), key);
                gathered = _mm_or_si128(gathered, value);
                [*low, *high] = halves(value).map(i64::to_ne_bytes);
            }
        }
        let [low, high] = halves(gathered);
        (low | high).cast_unsigned()
    }

    /// Returns the lower half and the higher half.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn halves(value: __m128i) -> [i64; 2] {
        let high = _mm_unpackhi_epi64(value, value);
        [_mm_cvtsi128_si64(value), _mm_cvtsi128_si64(high)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(key: [u8; 4], payload: &mut [u8]) {
        for (i, byte) in payload.iter_mut().enumerate() {
            *byte ^= key[i % 4];
        }
    }

    /// Short payloads, and payloads that are long enough for the other instructions.
    fn payload() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<Vec<u8>>(),
            prop::collection::vec(any::<u8>(), 200..2000)
        ]
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn other_instructions_do_the_same() {
        for len in (0..600).chain([4096, 4099]) {
            let payload: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
            let (mut wide, mut words) = (payload.clone(), payload);
            let key = [0x37, 0xfa, 0x21, 0x3d];
            let gathered = wide::apply(&mut wide, key);
            let expected = apply_words(&mut words, key);
            assert_eq!(wide, words);
            let any = |bits: u64| {
                bits.to_ne_bytes()
                    .into_iter()
                    .fold(0, |all, byte| all | byte)
            };
            assert_eq!(any(gathered), any(expected));
        }
    }

    proptest! {
        #[test]
        fn masking_equals_the_loop_of_section_5_3(key: [u8; 4], payload in payload()) {
            let (mut ours, mut theirs) = (payload.clone(), payload);
            MaskingKey::new(key).apply(&mut ours, 0);
            naive(key, &mut theirs);
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn what_came_out_is_said_to_be_ascii_where_it_is(key: [u8; 4], payload in payload(), ascii: bool) {
            let mut payload = payload;
            let key = MaskingKey::new(key);
            if ascii {
                payload.iter_mut().for_each(|byte| *byte &= 0x7f);
                key.apply(&mut payload, 0);
            }
            let noted = key.apply_noting_ascii(&mut payload);
            prop_assert_eq!(noted, payload.is_ascii());
        }

        #[test]
        fn masking_in_pieces_equals_masking_at_once(key: [u8; 4], payload: Vec<u8>, at: prop::sample::Index) {
            let at = at.index(payload.len() + 1);
            let (mut pieces, mut whole) = (payload.clone(), payload);
            let (head, tail) = pieces.split_at_mut(at);
            MaskingKey::new(key).apply(head, 0);
            MaskingKey::new(key).apply(tail, at as u64);
            MaskingKey::new(key).apply(&mut whole, 0);
            prop_assert_eq!(pieces, whole);
        }

        #[test]
        fn masking_twice_restores_the_payload(key: [u8; 4], payload: Vec<u8>, offset: u64) {
            let mut twice = payload.clone();
            MaskingKey::new(key).apply(&mut twice, offset);
            MaskingKey::new(key).apply(&mut twice, offset);
            prop_assert_eq!(twice, payload);
        }
    }
}
