//! Compressing and inflating the payloads of messages (RFC 7692 §7.2). The states of zlib-rs are large, so
//! connections share them in a pool. A connection has a state only while messages pass. An idle connection keeps a
//! copy of the window, if the window is kept from message to message (§7.1.1). The next state is filled from that
//! copy. This takes less time than to fetch a state from memory that has not been used for a while.

use zlib_rs::{Deflate, Inflate, InflateFlush, Status};

use super::negotiation::WindowBits;
use super::pool::{DeflatePool, Kind};
use super::probe::{Probe, Verdict};
use super::step::{self, CodecStep};
use super::window::Window;

/// The payload of a compressed message is not DEFLATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payload is not DEFLATE")]
pub struct InvalidDeflate;

/// Compresses this end's messages.
pub(crate) struct Deflater {
    pool: DeflatePool,
    level: u8,
    bits: WindowBits,
    takeover: bool,
    state: Option<Box<Deflate>>,
    // The bytes that the next message may refer to.
    window: Window,
}

impl Deflater {
    pub(crate) fn new(pool: DeflatePool, level: u8, bits: WindowBits, takeover: bool) -> Self {
        Self {
            pool,
            level,
            bits,
            takeover,
            state: None,
            window: Window::default(),
        }
    }

    /// Makes a deflater of the same kind that compresses single messages, with a window of its own.
    pub(crate) fn alone(&self, bits: WindowBits) -> Self {
        Self::new(self.pool.clone(), self.level, bits, false)
    }

    /// Appends `payload` to `out`, compressed, without the four bytes that end it (§7.2.1).
    pub(crate) fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let mut state = match self.state.take() {
            Some(state) => state,
            None => self.filled_state(payload.len()),
        };
        let all = payload;
        let start = out.len();
        let mut payload = payload;
        let mut room = payload.len() / 2 + 64;
        loop {
            let at = out.len();
            out.resize(at + room, 0);
            let CodecStep {
                taken,
                made,
                status,
            } = step::compress(&mut state, payload, out.get_mut(at..).unwrap_or_default());
            debug_assert!(status.is_ok(), "{status:?}");
            payload = payload.get(taken..).unwrap_or_default();
            out.truncate(at + made);
            // If room is left, everything has been flushed.
            if payload.is_empty() && made < room {
                break;
            }
            room = room.saturating_mul(2).min(1 << 20);
        }
        // §7.2.1: the flush ends in 00 00 ff ff, which the receiver appends itself.
        debug_assert!(out.ends_with(&TAIL));
        out.truncate(out.len().saturating_sub(TAIL.len()).max(start));
        if self.takeover {
            self.window.push(all, self.bits);
            self.state = Some(state);
        } else {
            self.pool.recycle_deflate(self.kind(), state);
        }
    }

    /// Appends a part of a message to `out`, compressed. The four bytes that end it are left out behind the last
    /// part only. Each part may use another state: it refers only to the window and to itself.
    pub(crate) fn compress_part(&mut self, payload: &[u8], last: bool, out: &mut Vec<u8>) {
        if payload.is_empty() {
            // zlib flushes nothing twice. So the last part is an empty block, without its tail (§7.2.3.6).
            if last {
                out.push(0);
            }
            return;
        }
        self.compress(payload, out);
        if !last {
            out.extend_from_slice(&TAIL);
        }
    }

    /// Forgets the window: the next message refers to no earlier message.
    pub(crate) fn restart(&mut self) {
        self.window.forget();
        self.give_back();
    }

    /// Returns the state to the pool, until the next message.
    pub(crate) fn rest(&mut self) {
        if self.state.is_some() {
            self.give_back();
        }
    }

    /// The peer's window for this end's messages.
    pub(crate) fn window(&self) -> WindowBits {
        self.bits
    }

    /// Whether the window is kept from message to message.
    pub(crate) fn keeps_window(&self) -> bool {
        self.takeover
    }

    /// The approximate bytes of memory of the state: zlib's windows, hashes and pending output.
    pub(crate) fn retained_bytes(&self) -> usize {
        self.state.as_ref().map_or(0, |_| DEFLATE_STATE) + self.window.retained_bytes()
    }

    /// Returns a state that has seen the end of the window: more of it for a larger message, of `len` bytes. The RFC
    /// does not demand the whole window, and filling a state takes about as long as compressing.
    fn filled_state(&self, len: usize) -> Box<Deflate> {
        let mut state = self.pool.deflate(self.kind());
        for part in self.window.last(len.saturating_mul(2).max(FILLED)) {
            if !part.is_empty() {
                let filled = state.set_dictionary(part);
                debug_assert!(filled.is_ok(), "{filled:?}");
            }
        }
        state
    }

    fn give_back(&mut self) {
        if let Some(state) = self.state.take() {
            self.pool.recycle_deflate(self.kind(), state);
        }
    }

    fn kind(&self) -> Kind {
        Kind {
            level: self.level,
            // zlib cannot make raw DEFLATE with a window of 2^8. With 2^9 it never looks back further
            // than 250 bytes, because it reserves 262 bytes of the window. So a window of 2^8 is enough.
            bits: self.bits.get().max(9),
        }
    }
}

/// Inflates the peer's messages.
pub(crate) struct Inflater {
    pool: DeflatePool,
    bits: WindowBits,
    takeover: bool,
    // Whether the peer may keep its window although it must not. `takeover` is true until that is known.
    in_doubt: bool,
    state: Option<Box<Inflate>>,
    probe: Option<Box<Probe>>,
    // The last inflated bytes. A new state needs them, and so does a state after a final block.
    window: Window,
    // How many bytes of the tail that the sender cut off have been inflated.
    tail: u8,
    // Whether a message is unfinished.
    within: bool,
    work: u64,
}

impl Inflater {
    /// Makes an inflater for a peer that refers to nothing outside its window.
    pub(crate) fn new(pool: DeflatePool, bits: WindowBits, takeover: bool) -> Self {
        Self {
            pool,
            bits,
            takeover,
            in_doubt: false,
            state: None,
            probe: None,
            window: Window::default(),
            tail: 0,
            within: false,
            work: 0,
        }
    }

    /// Makes an inflater for a peer that must not keep its window, and did not say that it understands that. The
    /// window is kept until the peer's messages show that it obeys. If they refer to earlier messages, the window is
    /// kept for good.
    pub(crate) fn in_doubt(pool: DeflatePool, bits: WindowBits) -> Self {
        Self {
            in_doubt: true,
            ..Self::new(pool, bits, true)
        }
    }

    /// The largest piece of a payload for one call. A caller that checks the work after each call then checks it soon
    /// enough, whatever the bytes are.
    pub(crate) const TAKEN_AT_ONCE: usize = 16 * 1024;

    /// Returns the work since the last call: see `Connection::take_work`.
    pub(crate) fn take_work(&mut self) -> u64 {
        std::mem::take(&mut self.work)
    }

    /// Whether the caller should check the work.
    pub(crate) fn has_worked_much(&self) -> bool {
        self.work >= RESTART
    }

    /// Inflates from `input` to `room`. Returns the number of bytes taken and of bytes made. It stops when either
    /// is used up, and after the second end of a stream.
    pub(crate) fn inflate(
        &mut self,
        input: &[u8],
        room: &mut [u8],
    ) -> Result<(usize, usize), InvalidDeflate> {
        if self.in_doubt && !self.within && self.window.retained_bytes() > 0 {
            self.probe
                .get_or_insert_with(|| Box::new(Probe::new()))
                .start(&self.pool);
        }
        self.within = true;
        let (mut taken, mut made, mut ended) = (0, 0, 0);
        while made < room.len() {
            let state = match &mut self.state {
                Some(state) => state,
                empty => {
                    let mut state = self.pool.inflate();
                    fill(&mut state, &self.window)?;
                    empty.insert(state)
                }
            };
            let rest = input.get(taken..).unwrap_or_default();
            let free = room.get_mut(made..).unwrap_or_default();
            let CodecStep {
                taken: more_in,
                made: more_out,
                status,
            } = step::inflate(state, rest, free, InflateFlush::SyncFlush);
            let produced = room.get(made..made + more_out).unwrap_or_default();
            self.window.push(produced, self.bits);
            if let Some(probe) = &mut self.probe {
                probe.inflate(rest.get(..more_in).unwrap_or_default());
            }
            taken += more_in;
            made += more_out;
            match status.map_err(|_| InvalidDeflate)? {
                // §7.2.3.4: a final block may stand inside a message. The next block starts on a byte's
                // boundary, and may refer to earlier bytes.
                Status::StreamEnd => {
                    state.reset(false);
                    fill(state, &self.window)?;
                    self.work += RESTART;
                    ended += 1;
                    // The first stream may have ended without taking a byte of this input. The second has taken some.
                    if ended == 2 {
                        break;
                    }
                }
                _ if more_in == 0 && more_out == 0 => break,
                _ => {}
            }
        }
        let work = 3 * taken as u64 + made as u64;
        // A probe inflates everything once more.
        self.work += work * (1 + u64::from(self.probe.is_some()));
        Ok((taken, made))
    }

    /// Inflates the end of the message, with the tail that its sender cut off (§7.2.2). Returns the number of bytes
    /// made: less than the room when the message is complete.
    pub(crate) fn finish(&mut self, room: &mut [u8]) -> Result<usize, InvalidDeflate> {
        let mut made = 0;
        loop {
            let rest = TAIL.get(usize::from(self.tail)..).unwrap_or_default();
            let (taken, more) = self.inflate(rest, room.get_mut(made..).unwrap_or_default())?;
            made += more;
            self.tail = self
                .tail
                .saturating_add(u8::try_from(taken).unwrap_or(u8::MAX));
            if made == room.len() || taken == 0 && more == 0 {
                break;
            }
        }
        if made < room.len() {
            self.tail = 0;
            self.within = false;
            self.judge();
            if !self.takeover {
                self.release();
            } else if !self.is_between_blocks() {
                // The next message begins with a new block, so it needs a new state.
                self.give_back();
            }
        }
        Ok(made)
    }

    /// Ends the doubt when the messages so far show whether the peer keeps its window.
    fn judge(&mut self) {
        let Some(probe) = &mut self.probe else {
            return;
        };
        let verdict = probe.finish(&self.pool);
        if verdict != Verdict::Undecided {
            self.in_doubt = false;
            self.probe = None;
            self.takeover = verdict == Verdict::KeepsWindow;
        }
    }

    /// Returns the state to the pool, unless a message is unfinished.
    pub(crate) fn rest(&mut self) {
        if self.state.is_some() && !self.within {
            self.give_back();
        }
    }

    /// The approximate bytes of memory of the state and the window.
    pub(crate) fn retained_bytes(&self) -> usize {
        self.state.as_ref().map_or(0, |_| INFLATE_STATE) + self.window.retained_bytes()
    }

    /// Returns the state to the pool and drops the window: nothing more will be inflated.
    pub(crate) fn release(&mut self) {
        self.tail = 0;
        self.probe = None;
        self.window.forget();
        self.give_back();
    }

    /// Whether all blocks of the message are complete, as §7.2.1 demands. Otherwise the state is useless, and it
    /// does not say so. This test feeds it an empty block and one more byte: between two blocks, it takes the block
    /// and not the byte.
    fn is_between_blocks(&mut self) -> bool {
        const EMPTY_BLOCK: usize = 5;
        let Some(state) = &mut self.state else {
            return true;
        };
        let block_and_byte = [0, 0, 0, 0xff, 0xff, 0];
        let step = step::inflate(state, &block_and_byte, &mut [0], InflateFlush::Block);
        step.status == Ok(Status::Ok) && step.taken == EMPTY_BLOCK
    }

    fn give_back(&mut self) {
        if let Some(state) = self.state.take() {
            self.pool.recycle_inflate(state);
        }
    }
}

/// The four bytes that end a flushed block (§7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// The work to go on after the end of a stream: the window is copied.
const RESTART: u64 = 32 * 1024;
/// The least number of bytes that a state for compressing is filled with. Measured: after this many bytes, a text of
/// 1 KiB becomes as small as after a whole window.
const FILLED: usize = 4 * 1024;
/// The bytes that zlib-rs allocates for the largest window, measured.
const DEFLATE_STATE: usize = 288 * 1024;
const INFLATE_STATE: usize = 48 * 1024;

/// Fills `state` with the window.
fn fill(state: &mut Inflate, window: &Window) -> Result<(), InvalidDeflate> {
    for part in window.last(usize::MAX) {
        if !part.is_empty() {
            state.set_dictionary(part).map_err(|_| InvalidDeflate)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::strict::StrictInflater;
    use super::*;

    #[test]
    fn work_is_what_is_made_three_times_what_is_taken_and_32_kib_for_each_stream_that_ends() {
        let mut stored = vec![0x00, 0xe8, 0x03, 0x17, 0xfc];
        stored.resize(5 + 1000, 7);
        let mut inflater = inflater(false);
        let made = inflater.inflate(&stored, &mut [0; 2000]).unwrap();
        assert_eq!(made, (1005, 1000));
        assert_eq!(inflater.take_work(), 3 * 1005 + 1000);
        assert_eq!(inflater.take_work(), 0);
        assert!(!inflater.has_worked_much());
        // Empty final blocks: it stops behind the second.
        let ends = [0x03, 0x00].repeat(5);
        let (taken, made) = inflater.inflate(&ends, &mut [0; 10]).unwrap();
        assert_eq!((taken, made), (4, 0));
        assert_eq!(inflater.take_work(), 3 * 4 + 2 * RESTART);
    }

    fn inflater(takeover: bool) -> Inflater {
        Inflater::new(DeflatePool::default(), WindowBits::MAX, takeover)
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

    /// §7.2.3.1: the bytes of the RFC.
    #[test]
    fn the_four_bytes_that_end_a_flush_are_cut_off_a_message() {
        let mut deflater = Deflater::new(DeflatePool::default(), 4, WindowBits::MAX, false);
        let mut out = Vec::new();
        deflater.compress(b"Hello", &mut out);
        assert_eq!(out, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
    }

    #[test]
    fn the_four_bytes_that_end_a_flush_stay_in_all_parts_but_the_last() {
        let mut deflater = Deflater::new(DeflatePool::default(), 4, WindowBits::MAX, true);
        for (part, last) in [
            (&b"Hello"[..], false),
            (b"again", false),
            (b"and last", true),
        ] {
            let mut out = Vec::new();
            deflater.compress_part(part, last, &mut out);
            assert_eq!(out.ends_with(&TAIL), !last, "{out:x?}");
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
        fn parts_are_one_message_to_whoever_inflates_it(
            messages in prop::collection::vec(
                prop::collection::vec(prop_oneof![compressible(), Just(Vec::new())], 1..5),
                1..4,
            ),
            bits in 8..=15_u8,
            takeover: bool,
            rests: bool,
        ) {
            let bits = WindowBits::new(bits).unwrap();
            let mut deflater = Deflater::new(DeflatePool::default(), 4, bits, takeover);
            let mut inflater = inflater(takeover);
            let mut strict = StrictInflater::new(bits.get(), takeover);
            for parts in messages {
                let mut compressed = Vec::new();
                for (i, part) in parts.iter().enumerate() {
                    deflater.compress_part(part, i + 1 == parts.len(), &mut compressed);
                    if rests {
                        deflater.rest();
                    }
                }
                prop_assert_eq!(&inflate(&mut inflater, &compressed, 1000).unwrap(), &parts.concat());
                prop_assert_eq!(strict.inflate(&compressed), parts.concat());
            }
        }

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
