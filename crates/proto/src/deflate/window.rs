//! The last bytes of one direction of a connection (RFC 7692 §7.1.1): what the next message may refer to, kept
//! apart from the state that compresses or inflates it, so that the state can be given away. Knows no DEFLATE.

use std::collections::VecDeque;

use super::negotiation::WindowBits;

/// A ring of at most as many bytes as were agreed on, so that none is moved when others are forgotten.
// A pointer: most connections keep none.
#[derive(Default)]
#[expect(clippy::box_collection, reason = "see above")]
pub(super) struct Window(Option<Box<VecDeque<u8>>>);

impl Window {
    /// Forgets what is too far back once `more` has come.
    pub(super) fn push(&mut self, more: &[u8], bits: WindowBits) {
        let size = 1 << bits.get();
        let bytes = self.0.get_or_insert_default();
        let surplus = more.len().saturating_sub(size);
        let more = more.get(surplus..).unwrap_or_default();
        let surplus = (bytes.len() + more.len()).saturating_sub(size);
        bytes.drain(..surplus);
        let (len, capacity) = (bytes.len() + more.len(), bytes.capacity());
        if len > capacity {
            // By itself it would grow beyond the window.
            let grown = len.max(2 * capacity).min(size);
            bytes.reserve_exact(grown - bytes.len());
        }
        bytes.extend(more);
    }

    /// The last `len` bytes, or all, in the order in which they came.
    pub(super) fn last(&self, len: usize) -> [&[u8]; 2] {
        let Some(bytes) = &self.0 else {
            return [&[], &[]];
        };
        let (first, second) = bytes.as_slices();
        let surplus = bytes.len().saturating_sub(len);
        let from_second = surplus.saturating_sub(first.len());
        [
            first.get(surplus..).unwrap_or_default(),
            second.get(from_second..).unwrap_or_default(),
        ]
    }

    /// Takes no more memory than it has bytes.
    pub(super) fn shrink(&mut self) {
        if let Some(bytes) = &mut self.0 {
            bytes.shrink_to_fit();
        }
    }

    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    pub(super) fn retained_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |bytes| bytes.capacity())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_window_is_the_end_of_what_came_and_takes_no_more_than_its_size(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..20),
            bits in 8..=10_u8,
            last in 0..1100_usize,
        ) {
            let mut window = Window::default();
            let agreed = WindowBits::new(bits).unwrap();
            let mut all = Vec::new();
            for (i, piece) in pieces.iter().enumerate() {
                window.push(piece, agreed);
                all.extend_from_slice(piece);
                let end = &all[all.len().saturating_sub(1 << bits)..];
                prop_assert_eq!(window.last(usize::MAX).concat(), end);
                prop_assert_eq!(window.last(last).concat(), &end[end.len().saturating_sub(last)..]);
                prop_assert!(window.retained_bytes() <= 1 << bits);
                if i % 3 == 0 {
                    window.shrink();
                    prop_assert_eq!(window.last(usize::MAX).concat(), end);
                    prop_assert_eq!(window.retained_bytes(), end.len());
                }
            }
        }
    }

    #[test]
    fn a_window_that_forgets_takes_no_memory() {
        let mut window = Window::default();
        window.push(&[1; 1000], WindowBits::MAX);
        window.forget();
        assert_eq!(window.last(usize::MAX).concat(), b"");
        assert_eq!(window.retained_bytes(), 0);
    }
}
