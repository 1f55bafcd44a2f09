//! One payload that is compressed for many connections (RFC 7692 §7.2.1). It refers to no earlier message, so that any
//! connection may send it. It is compressed once for each size of the agreed windows.

use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;

use super::codec::Deflater;
use super::negotiation::WindowBits;

/// The compressed forms of one payload. The first connection that needs a form makes it. Other threads that need it
/// meanwhile wait, for no longer than they would need to make it themselves.
#[derive(Default)]
pub(crate) struct SharedPayload([OnceLock<Option<Bytes>>; WINDOWS]);

/// zlib compresses with windows of 2^9 to 2^15 bytes.
const WINDOWS: usize = 7;

impl SharedPayload {
    /// Returns `payload` in the compressed form that the peer of `deflater` can inflate behind any other message.
    /// Returns `None` if that is not smaller than the payload. Each call has to pass the same payload.
    pub(crate) fn compressed(&self, payload: &[u8], deflater: &Deflater) -> Option<Bytes> {
        let window = deflater.window();
        // No reference goes back beyond the payload's start, so a window that holds the whole payload is as good as the
        // largest one.
        let bits = if payload.len() <= 1 << window.get() {
            WindowBits::MAX
        } else {
            window
        };
        let index = usize::from(WindowBits::MAX.get() - bits.get()).min(WINDOWS - 1);
        let compressed = self.0.get(index)?.get_or_init(|| {
            let mut compressed = Vec::new();
            let mut alone = deflater.alone(bits);
            alone.compress(payload, &mut compressed);
            let smaller = compressed.len() < payload.len();
            // Boxed, so that it keeps no unused capacity: it may be kept for long.
            smaller.then(|| Bytes::from(compressed.into_boxed_slice()))
        });
        compressed.clone()
    }
}

impl fmt::Debug for SharedPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedPayload").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pool::DeflatePool;
    use super::super::strict::StrictInflater;
    use super::*;

    fn deflater(window: u8, takeover: bool) -> Deflater {
        let window = WindowBits::new(window).unwrap();
        Deflater::new(DeflatePool::default(), 4, window, takeover)
    }

    #[test]
    fn a_payload_is_compressed_once_for_each_window_that_is_smaller_than_it() {
        for (len, different) in [
            (200, 1),
            (512, 2),
            (513, 2),
            (1000, 2),
            (30_000, 7),
            (70_000, 7),
        ] {
            let payload: Vec<u8> = (0..len).map(|i: u32| (i / 50).to_le_bytes()[0]).collect();
            let shared = SharedPayload::default();
            let all = (8..=15).map(|window| {
                let deflater = deflater(window, false);
                let compressed = shared.compressed(&payload, &deflater).unwrap();
                let again = shared.compressed(&payload, &deflater).unwrap();
                assert_eq!(again.as_ptr(), compressed.as_ptr());
                compressed.as_ptr()
            });
            let mut all: Vec<_> = all.collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), different, "{len}");
        }
    }

    #[test]
    fn what_becomes_no_smaller_is_not_kept() {
        let shared = SharedPayload::default();
        assert_eq!(shared.compressed(b"abc", &deflater(15, false)), None);
    }

    proptest! {
        #[test]
        fn what_is_shared_can_be_inflated_amid_a_connections_own(
            messages in prop::collection::vec(
                // Words that repeat at distances around the sizes of small windows.
                (prop::collection::vec(any::<u8>(), 1..3000), 1..5000_usize, any::<bool>()),
                1..8,
            ),
            window in prop_oneof![8..=12_u8, Just(15)],
            level in 1..=9_u8,
            takeover: bool,
        ) {
            let bits = WindowBits::new(window).unwrap();
            let mut deflater = Deflater::new(DeflatePool::default(), level, bits, takeover);
            let mut peer = StrictInflater::new(window, takeover);
            for (word, len, shared) in messages {
                let payload: Vec<u8> = word.into_iter().cycle().take(len).collect();
                let mut compressed = Vec::new();
                if shared {
                    match SharedPayload::default().compressed(&payload, &deflater) {
                        Some(bytes) => compressed.extend_from_slice(&bytes),
                        None => continue,
                    }
                    deflater.restart();
                } else {
                    deflater.compress(&payload, &mut compressed);
                }
                prop_assert_eq!(peer.inflate(&compressed), payload);
            }
        }
    }
}
