//! The frames of a connection: a ring of different messages, which are sent around and around.

/// Frames one behind the other, the first ones again behind the last: so whatever a window holds is one
/// piece, and is written at once.
pub(super) struct Ring {
    bytes: Vec<u8>,
    /// Where each frame begins, and the last one ends.
    starts: Vec<usize>,
    /// How many frames are different.
    len: usize,
}

/// Where a connection is in the ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    /// Which byte is the next to be written.
    at: usize,
    /// Up to which frame it may write.
    released: usize,
}

impl Ring {
    pub(super) fn new(frames: &[Vec<u8>], window: usize) -> Self {
        let mut starts = vec![0];
        let mut bytes = Vec::new();
        for frame in frames.iter().cycle().take(frames.len() + window) {
            bytes.extend_from_slice(frame);
            starts.push(bytes.len());
        }
        Self {
            bytes,
            starts,
            len: frames.len(),
        }
    }
}

impl Position {
    pub(super) fn new(window: usize) -> Self {
        Self {
            at: 0,
            released: window,
        }
    }

    /// So many more frames may be written.
    pub(super) fn release(&mut self, frames: usize) {
        self.released += frames;
    }

    /// What may be written.
    pub(super) fn waiting<'a>(&self, ring: &'a Ring) -> &'a [u8] {
        &ring.bytes[self.at..ring.starts[self.released]]
    }

    pub(super) fn written(&mut self, bytes: usize, ring: &Ring) {
        self.at += bytes;
        let round = ring.starts[ring.len];
        while self.at >= round {
            self.at -= round;
            self.released -= ring.len;
        }
    }
}

/// How many different messages a ring has. As many as stay in a processor's cache, since the load may not
/// be slower than a server.
pub(super) fn len(size: usize) -> usize {
    (BYTES / size).clamp(1, MESSAGES)
}

const BYTES: usize = 64 * 1024;
const MESSAGES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(window: usize) -> Ring {
        Ring::new(&[b"a".to_vec(), b"bb".to_vec(), b"ccc".to_vec()], window)
    }

    #[test]
    fn a_window_is_one_piece_wherever_it_begins() {
        for window in 1..8 {
            let ring = ring(window);
            let mut position = Position::new(window);
            let mut sent = Vec::new();
            for _ in 0..20 {
                let waiting = position.waiting(&ring);
                sent.extend_from_slice(waiting);
                position.written(waiting.len(), &ring);
                assert!(position.waiting(&ring).is_empty());
                position.release(window);
            }
            let expected: Vec<u8> = [b"a", &b"bb"[..], b"ccc"]
                .into_iter()
                .cycle()
                .take(20 * window)
                .flatten()
                .copied()
                .collect();
            assert_eq!(sent, expected);
        }
    }

    #[test]
    fn what_is_written_in_parts_goes_on_where_it_ended() {
        let ring = ring(3);
        let mut position = Position::new(3);
        position.written(2, &ring);
        assert_eq!(position.waiting(&ring), b"bccc");
        position.written(4, &ring);
        position.release(1);
        assert_eq!(position.waiting(&ring), b"a");
    }

    #[test]
    fn large_messages_make_a_small_ring() {
        assert_eq!([len(16), len(16 * 1024), len(1 << 20)], [64, 4, 1]);
    }
}
