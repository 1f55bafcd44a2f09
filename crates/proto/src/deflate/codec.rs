//! Compressing and inflating the payloads of messages (RFC 7692 §7.2). The states that zlib-rs needs are
//! large, so they are made when the first message needs one, and those that keep no window from message
//! to message are shared by a pool.

use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status};

use super::negotiation::WindowBits;
use super::pool::{DeflatePool, Kind};

/// The payload of a compressed message is not DEFLATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payload is not DEFLATE")]
pub struct InvalidDeflate;

/// Compresses this end's messages.
pub(crate) struct Deflater {
    pool: DeflatePool,
    level: u8,
    window: WindowBits,
    takeover: bool,
    state: Option<Deflate>,
    // Whether the state is to be cleared before it is used again, if it is.
    stale: bool,
}

impl Deflater {
    pub(crate) fn new(pool: DeflatePool, level: u8, window: WindowBits, takeover: bool) -> Self {
        Self {
            pool,
            level,
            window,
            takeover,
            state: None,
            stale: false,
        }
    }

    /// One of the same kind that compresses single messages, with a window of its own.
    pub(crate) fn alone(&self, window: WindowBits) -> Self {
        Self::new(self.pool.clone(), self.level, window, false)
    }

    /// Appends `payload` to `out`, compressed, without the four bytes that end it (§7.2.1).
    pub(crate) fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let stale = std::mem::take(&mut self.stale);
        let mut state = match self.state.take() {
            Some(mut state) => {
                if stale {
                    state.reset();
                }
                state
            }
            None => self.pool.deflate(self.kind()),
        };
        let start = out.len();
        let mut payload = payload;
        let mut room = payload.len() / 2 + 64;
        loop {
            let at = out.len();
            out.resize(at + room, 0);
            let (total_in, total_out) = (state.total_in(), state.total_out());
            let flushed = state.compress(
                payload,
                out.get_mut(at..).unwrap_or_default(),
                DeflateFlush::SyncFlush,
            );
            debug_assert!(flushed.is_ok(), "{flushed:?}");
            let taken = difference(state.total_in(), total_in);
            let made = difference(state.total_out(), total_out);
            payload = payload.get(taken..).unwrap_or_default();
            out.truncate(at + made);
            // Room that is left says that all has been flushed.
            if payload.is_empty() && made < room {
                break;
            }
            room = room.saturating_mul(2).min(1 << 20);
        }
        // §7.2.1: the flush ends in 00 00 ff ff, which the receiver knows.
        debug_assert!(out.ends_with(&TAIL));
        out.truncate(out.len().saturating_sub(TAIL.len()).max(start));
        if self.takeover {
            self.state = Some(state);
        } else {
            self.pool.recycle_deflate(self.kind(), state);
        }
    }

    /// Starts anew: what is compressed next refers to nothing before it.
    pub(crate) fn restart(&mut self) {
        self.stale = true;
    }

    /// The window that the peer has for what this compresses.
    pub(crate) fn window(&self) -> WindowBits {
        self.window
    }

    /// Whether the window is kept from message to message.
    pub(crate) fn keeps_window(&self) -> bool {
        self.takeover
    }

    /// The bytes of memory that the state takes, about: zlib's windows, hashes and pending output.
    pub(crate) fn retained_bytes(&self) -> usize {
        self.state.as_ref().map_or(0, |_| DEFLATE_STATE)
    }

    fn kind(&self) -> Kind {
        Kind {
            level: self.level,
            // zlib cannot make raw DEFLATE with a window of 2^8. With 2^9 it never looks back further
            // than 250 bytes, since it keeps 262 of the window for what comes: a window of 2^8 does.
            bits: self.window.get().max(9),
        }
    }
}

/// Inflates the peer's messages.
pub(crate) struct Inflater {
    pool: DeflatePool,
    takeover: bool,
    state: Option<Inflate>,
    // The last bytes that were inflated: what may still be referred to after a final block.
    window: Vec<u8>,
    // How much of the tail that the sender cut off has been fed.
    tail: usize,
}

impl Inflater {
    pub(crate) fn new(pool: DeflatePool, takeover: bool) -> Self {
        Self {
            pool,
            takeover,
            state: None,
            window: Vec::new(),
            tail: 0,
        }
    }

    /// Inflates from `input` to `room`, and says how many bytes it took and how many it made. It stops
    /// when either is used up.
    pub(crate) fn inflate(
        &mut self,
        input: &[u8],
        room: &mut [u8],
    ) -> Result<(usize, usize), InvalidDeflate> {
        let (mut taken, mut made) = (0, 0);
        while made < room.len() {
            let pool = &self.pool;
            let state = self.state.get_or_insert_with(|| pool.inflate());
            let (total_in, total_out) = (state.total_in(), state.total_out());
            let rest = input.get(taken..).unwrap_or_default();
            let free = room.get_mut(made..).unwrap_or_default();
            let status = state.decompress(rest, free, InflateFlush::SyncFlush);
            let (more_in, more_out) = (
                difference(state.total_in(), total_in),
                difference(state.total_out(), total_out),
            );
            let produced = room.get(made..made + more_out).unwrap_or_default();
            remember(&mut self.window, produced);
            taken += more_in;
            made += more_out;
            match status.map_err(|_| InvalidDeflate)? {
                // §7.2.3.4: a final block may stand inside a message. What follows it starts on a byte's
                // boundary, and may refer to what was before.
                Status::StreamEnd => {
                    state.reset(false);
                    state
                        .set_dictionary(&self.window)
                        .map_err(|_| InvalidDeflate)?;
                }
                _ if more_in == 0 && more_out == 0 => break,
                _ => {}
            }
        }
        Ok((taken, made))
    }

    /// Inflates what the message's end, and the tail that its sender cut off (§7.2.2), still hold. Says
    /// how many bytes it made; fewer than there is room for when the message is done.
    pub(crate) fn finish(&mut self, room: &mut [u8]) -> Result<usize, InvalidDeflate> {
        let rest = TAIL.get(self.tail..).unwrap_or_default();
        let (taken, made) = self.inflate(rest, room)?;
        self.tail += taken;
        if made < room.len() {
            self.tail = 0;
            if !self.takeover {
                self.release();
            }
        }
        Ok(made)
    }

    /// The bytes of memory that the state takes, about.
    pub(crate) fn retained_bytes(&self) -> usize {
        self.state.as_ref().map_or(0, |_| INFLATE_STATE) + self.window.capacity()
    }

    /// Nothing more will be inflated: gives back what that takes.
    pub(crate) fn release(&mut self) {
        self.tail = 0;
        self.window = Vec::new();
        if let Some(state) = self.state.take() {
            self.pool.recycle_inflate(state);
        }
    }
}

/// What ends a flushed block (§7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// DEFLATE refers no further back.
const MAX_WINDOW: usize = 32 * 1024;
/// What zlib-rs allocates for the largest window, measured.
const DEFLATE_STATE: usize = 288 * 1024;
const INFLATE_STATE: usize = 48 * 1024;

fn difference(after: u64, before: u64) -> usize {
    usize::try_from(after - before).unwrap_or(usize::MAX)
}

/// Keeps the last [`MAX_WINDOW`] bytes. The buffer grows to twice as much, so that each byte is moved
/// about once.
fn remember(window: &mut Vec<u8>, produced: &[u8]) {
    let last = produced
        .get(produced.len().saturating_sub(MAX_WINDOW)..)
        .unwrap_or_default();
    if window.len() + last.len() > 2 * MAX_WINDOW {
        let surplus = (window.len() + last.len())
            .saturating_sub(MAX_WINDOW)
            .min(window.len());
        window.drain(..surplus);
    }
    window.extend_from_slice(last);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::strict::StrictInflater;
    use super::*;

    fn inflater(takeover: bool) -> Inflater {
        Inflater::new(DeflatePool::default(), takeover)
    }

    /// Inflates a message whose payload is `input`, with `step` bytes of room at a time.
    fn inflate(
        inflater: &mut Inflater,
        input: &[u8],
        step: usize,
    ) -> Result<Vec<u8>, InvalidDeflate> {
        let mut out = Vec::new();
        let mut room = vec![0; step];
        let mut input = input;
        while !input.is_empty() {
            let (taken, made) = inflater.inflate(input, &mut room)?;
            input = &input[taken..];
            out.extend_from_slice(&room[..made]);
            if taken == 0 && made == 0 {
                break;
            }
        }
        loop {
            let made = inflater.finish(&mut room)?;
            out.extend_from_slice(&room[..made]);
            if made < step {
                return Ok(out);
            }
        }
    }

    #[test]
    fn the_examples_of_section_7_2_3_are_inflated() {
        let cases: [&[u8]; 5] = [
            b"\xf2\x48\xcd\xc9\xc9\x07\x00",
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00",
        ];
        for case in cases {
            for step in [1, 2, 5, 6, 100] {
                let out = inflate(&mut inflater(false), case, step).unwrap();
                assert_eq!(out, b"Hello", "{case:x?} by {step}");
            }
        }
    }

    #[test]
    fn the_window_is_kept_where_that_is_agreed() {
        let (first, second) = (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x00\x11\x00\x00");
        let mut kept = inflater(true);
        assert_eq!(inflate(&mut kept, first, 100).unwrap(), b"Hello");
        assert_eq!(inflate(&mut kept, second, 100).unwrap(), b"Hello");
        let mut dropped = inflater(false);
        assert_eq!(inflate(&mut dropped, first, 100).unwrap(), b"Hello");
        assert!(inflate(&mut dropped, second, 100).is_err());
    }

    #[test]
    fn a_final_block_does_not_end_the_window() {
        let mut inflater = inflater(true);
        let last = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
        assert_eq!(inflate(&mut inflater, last, 100).unwrap(), b"Hello");
        let refers_back = b"\xf2\x00\x11\x00\x00";
        assert_eq!(inflate(&mut inflater, refers_back, 100).unwrap(), b"Hello");
    }

    #[test]
    fn what_is_no_deflate_is_an_error() {
        assert_eq!(
            inflate(&mut inflater(false), b"\x06", 10),
            Err(InvalidDeflate)
        );
    }

    #[test]
    fn no_state_is_kept_without_takeover() {
        let mut inflater = inflater(false);
        inflate(&mut inflater, b"\xf2\x48\xcd\xc9\xc9\x07\x00", 10).unwrap();
        assert_eq!(inflater.retained_bytes(), 0);
        let mut deflater = Deflater::new(DeflatePool::default(), 4, WindowBits::MAX, false);
        deflater.compress(&[7; 1000], &mut Vec::new());
        assert_eq!(deflater.retained_bytes(), 0);
    }

    fn compressible() -> impl Strategy<Value = Vec<u8>> {
        (
            any::<Vec<u8>>(),
            prop::collection::vec(0..4_u8, 0..2000),
            1..8_usize,
        )
            .prop_map(|(head, words, times)| [head, words].concat().repeat(times))
    }

    proptest! {
        #[test]
        fn inflate_of_compress_is_identity(
            messages in prop::collection::vec(compressible(), 1..5),
            bits in 8..=15_u8,
            level in 1..=9_u8,
            takeover: bool,
            step in 1..5000_usize,
        ) {
            let bits = WindowBits::new(bits).unwrap();
            let mut deflater = Deflater::new(DeflatePool::default(), level, bits, takeover);
            let mut inflater = inflater(takeover);
            let mut strict = StrictInflater::new(bits.get(), takeover);
            for message in messages {
                let mut out = Vec::new();
                deflater.compress(&message, &mut out);
                prop_assert_eq!(inflate(&mut inflater, &out, step).unwrap(), message.clone());
                prop_assert_eq!(strict.inflate(&out), message);
            }
        }

        #[test]
        fn any_bytes_are_inflated_or_refused(input: Vec<u8>, takeover: bool, step in 1..300_usize) {
            let _ = inflate(&mut inflater(takeover), &input, step);
        }
    }
}
