//! The window of one direction of a connection (RFC 7692 §7.1.1): the last bytes, which the next message may refer to.
//! It is kept apart from the zlib-rs state, so that the state can return to the pool. It knows no DEFLATE.

use super::negotiation::WindowBits;

/// A ring of the last bytes, up to the agreed size.
///
/// It grows by blocks that are never moved or given back one by one. A buffer that is allocated anew each time it grows
/// leaves holes between the windows of many connections: up to half as much memory again was measured.
// Boxed: most connections keep no window.
#[derive(Default)]
pub(super) struct Window(Option<Box<Ring>>);

#[derive(Default)]
struct Ring {
    blocks: Vec<Box<[u8]>>,
    // How many bytes the blocks have together. Less than the window's size only while nothing is forgotten.
    capacity: usize,
    // Where the next byte goes, and how many there are before it.
    next: usize,
    len: usize,
}

/// The least size of a block that is not the first.
const LEAST_BLOCK: usize = 256;

impl Window {
    /// Forgets what is too far back once `more` has come.
    pub(super) fn push(&mut self, more: &[u8], bits: WindowBits) {
        if more.is_empty() {
            return;
        }
        let size = 1 << bits.get();
        let surplus = more.len().saturating_sub(size);
        let more = more.get(surplus..).unwrap_or_default();
        let ring = self.0.get_or_insert_default();
        ring.grow((ring.len + more.len()).min(size), size);
        ring.write(more);
    }

    /// The last `len` bytes, or all, in the order in which they came.
    pub(super) fn last(&self, len: usize) -> impl Iterator<Item = &[u8]> {
        self.0.iter().flat_map(move |ring| ring.last(len))
    }

    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    pub(super) fn retained_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |ring| ring.capacity)
    }
}

impl Ring {
    /// Makes room for `needed` bytes: at least a quarter more than before, and at most `size`.
    fn grow(&mut self, needed: usize, size: usize) {
        if needed <= self.capacity {
            return;
        }
        let step = (self.capacity / 4).max(LEAST_BLOCK);
        let grown = needed.max(self.capacity + step).min(size);
        self.blocks.reserve_exact(1);
        self.blocks
            .push(vec![0; grown - self.capacity].into_boxed_slice());
        // A full ring that grows has been written to its end, and goes on there.
        if self.next == 0 {
            self.next = self.len;
        }
        self.capacity = grown;
    }

    fn write(&mut self, mut bytes: &[u8]) {
        self.len = (self.len + bytes.len()).min(self.capacity);
        while !bytes.is_empty() {
            let mut start = 0;
            for block in &mut self.blocks {
                let at = self.next - start;
                start += block.len();
                if let Some(room) = block.get_mut(at..)
                    && !room.is_empty()
                {
                    let count = room.len().min(bytes.len());
                    let (now, later) = bytes.split_at(count);
                    if let Some(room) = room.get_mut(..count) {
                        room.copy_from_slice(now);
                    }
                    bytes = later;
                    self.next += count;
                    if bytes.is_empty() {
                        break;
                    }
                }
            }
            if self.next == self.capacity {
                self.next = 0;
            }
        }
    }

    /// The last `len` bytes, or all: those at the end of the ring, then those at its front.
    fn last(&self, len: usize) -> impl Iterator<Item = &[u8]> {
        let len = len.min(self.len);
        let front = self.next.min(len);
        let end = self.capacity - (len - front)..self.capacity;
        let front = self.next - front..self.next;
        [end, front].into_iter().flat_map(|range| {
            let mut start = 0;
            self.blocks.iter().filter_map(move |block| {
                let from = range.start.saturating_sub(start).min(block.len());
                let to = range.end.saturating_sub(start).min(block.len());
                start += block.len();
                block.get(from..to).filter(|part| !part.is_empty())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn last(window: &Window, len: usize) -> Vec<u8> {
        window.last(len).collect::<Vec<_>>().concat()
    }

    proptest! {
        #[test]
        fn a_window_is_the_end_of_what_came_and_takes_no_more_than_its_size(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..20),
            bits in 8..=13_u8,
            some in 0..9000_usize,
        ) {
            let mut window = Window::default();
            let agreed = WindowBits::new(bits).unwrap();
            let mut all = Vec::new();
            for piece in &pieces {
                window.push(piece, agreed);
                all.extend_from_slice(piece);
                let end = &all[all.len().saturating_sub(1 << bits)..];
                prop_assert_eq!(last(&window, usize::MAX), end);
                prop_assert_eq!(last(&window, some), &end[end.len().saturating_sub(some)..]);
                let retained = window.retained_bytes();
                prop_assert!(retained <= 1 << bits && retained <= end.len() + end.len() / 4 + LEAST_BLOCK);
            }
        }
    }

    #[test]
    fn a_full_window_takes_its_size_and_is_never_moved() {
        let mut window = Window::default();
        let mut first = None;
        for _ in 0..300 {
            window.push(&[1; 300], WindowBits::MAX);
            let place = window.0.as_ref().unwrap().blocks[0].as_ptr();
            assert_eq!(*first.get_or_insert(place), place);
        }
        assert_eq!(window.retained_bytes(), 32 * 1024);
        assert!(window.0.as_ref().unwrap().blocks.len() <= 24);
    }

    #[test]
    fn a_window_that_forgets_takes_no_memory() {
        let mut window = Window::default();
        window.push(&[1; 1000], WindowBits::MAX);
        window.forget();
        assert_eq!(last(&window, usize::MAX), b"");
        assert_eq!(window.retained_bytes(), 0);
    }
}
