//! The output of a connection: small frames are copied into one contiguous buffer, and large payloads are
//! shared segments between them. It knows the order of the bytes and their cause, not their meaning.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use crate::frame::{FrameHeader, OpCode};

/// The cause of a frame. It decides what has to wait while the peer does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "input or not")]
pub enum Cause {
    /// The peer's input: pongs, the answer to a Close, the replies of handlers. While more than
    /// [`Config::output_mark`](crate::Config::output_mark) bytes of this output wait, the connection returns no event.
    Input,
    /// Anything else. Its sender limits it, and it never stops reading.
    Push,
}

/// The bytes to write, in order. It is a [`Buf`]: show its chunks to the transport, then
/// [`advance`](Buf::advance) by what was written.
#[derive(Debug, Default)]
// Boxed: an idle connection holds no buffers, and connections lend them to each other often.
pub struct Output(Option<Box<Buffers>>);

#[derive(Debug)]
struct Buffers {
    // Beyond `end` it is room: so a frame that is put in costs one look at how much there is.
    inline: Vec<u8>,
    end: usize,
    // How much of `inline` is written already.
    written: usize,
    // Runs of `inline` and the shared segments between them. The last run of `inline` is apart: as a rule
    // it is all that there is.
    segments: VecDeque<Segment>,
    last_start: usize,
    last_cause: Cause,
    // Of all; and how much of the segments the peer's input caused.
    len: usize,
    caused_by_input: usize,
}

/// Bytes of `inline` that have one cause.
#[derive(Debug)]
struct Run {
    len: usize,
    cause: Cause,
}

#[derive(Debug)]
enum Segment {
    Inline(Run),
    Shared { bytes: Bytes, cause: Cause },
}

impl Output {
    /// The length in bytes from which on a payload is shared and not copied.
    pub const SHARED_FROM: usize = 64 * 1024;

    /// The number of bytes that wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |buffers| buffers.len)
    }

    /// Whether no bytes wait.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of waiting bytes that the peer's input caused.
    #[inline]
    pub fn caused_by_input(&self) -> usize {
        self.0
            .as_ref()
            .map_or(0, |buffers| buffers.caused_by_input())
    }

    /// The bytes of memory that the buffers take, shared payloads included.
    pub fn retained_bytes(&self) -> usize {
        self.0
            .as_ref()
            .map_or(0, |buffers| buffers.retained_bytes())
    }

    /// Whether the output has buffers: its own, or lent ones.
    pub(crate) fn is_lent(&self) -> bool {
        self.0.is_some()
    }

    /// Copies a frame, and masks the copy where the header has a key.
    #[inline]
    pub(crate) fn push_frame(&mut self, header: &FrameHeader, payload: &[u8], cause: Cause) {
        self.buffers().push_frame(header, payload, cause);
    }

    /// Copies a frame of a whole message, without extension bits and without a mask.
    #[inline(always)]
    pub(crate) fn push_unmasked(&mut self, opcode: OpCode, payload: &[u8], cause: Cause) {
        self.buffers().push_unmasked(opcode, payload, cause);
    }

    /// Appends encoded bytes, copied.
    #[inline]
    pub(crate) fn push_copied(&mut self, bytes: &[u8], cause: Cause) {
        self.buffers().push_copied(bytes, cause);
    }

    /// Appends encoded bytes: few are copied, many are shared.
    pub(crate) fn push_shared(&mut self, bytes: Bytes, cause: Cause) {
        self.buffers().push_shared(bytes, cause);
    }

    /// Appends the header of a frame whose payload follows by [`push_shared`](Self::push_shared).
    pub(crate) fn push_header(&mut self, header: &FrameHeader, cause: Cause) {
        self.push_frame(header, &[], cause);
    }

    /// Drops all waiting bytes.
    pub(crate) fn discard(&mut self) {
        self.0 = None;
    }

    #[inline]
    fn buffers(&mut self) -> &mut Buffers {
        // Not `get_or_insert_default`, which the compiler makes a call of.
        match &mut self.0 {
            Some(buffers) => buffers,
            none => Self::allocate(none),
        }
    }

    #[cold]
    #[inline(never)]
    fn allocate(none: &mut Option<Box<Buffers>>) -> &mut Buffers {
        none.insert(Box::default())
    }
}

impl Buf for Output {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |buffers| buffers.chunk())
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.0
            .as_ref()
            .map_or(0, |buffers| buffers.chunks_vectored(slices))
    }

    #[inline]
    fn advance(&mut self, written: usize) {
        if let Some(buffers) = &mut self.0 {
            buffers.advance(written);
        }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            inline: Vec::new(),
            end: 0,
            written: 0,
            segments: VecDeque::new(),
            last_start: 0,
            last_cause: Cause::Input,
            len: 0,
            caused_by_input: 0,
        }
    }
}

impl Buffers {
    fn retained_bytes(&self) -> usize {
        let own = size_of::<Self>() + self.inline.capacity();
        let shared = self.len - (self.end - self.written);
        own + self.segments.capacity() * size_of::<Segment>() + shared
    }

    #[inline]
    fn caused_by_input(&self) -> usize {
        match self.last_cause {
            Cause::Input => self.caused_by_input + self.last_len(),
            Cause::Push => self.caused_by_input,
        }
    }

    /// The number of bytes in the last run of `inline`.
    #[inline]
    fn last_len(&self) -> usize {
        self.end - self.last_start
    }

    #[inline]
    fn push_frame(&mut self, header: &FrameHeader, payload: &[u8], cause: Cause) {
        self.put(payload.len(), cause, |room| {
            let (header_len, copied) = put_frame(header, payload, room);
            if let Some(key) = header.masking_key {
                key.apply(copied, 0);
            }
            header_len
        });
    }

    #[inline(always)]
    fn push_unmasked(&mut self, opcode: OpCode, payload: &[u8], cause: Cause) {
        let header = FrameHeader::new(opcode, payload.len() as u64);
        let put = |room: &mut [u8]| put_frame(&header, payload, room).0;
        self.put(payload.len(), cause, put);
    }

    #[inline]
    fn push_copied(&mut self, bytes: &[u8], cause: Cause) {
        self.put(bytes.len(), cause, |room| {
            if let Some(room) = room.get_mut(..bytes.len()) {
                room.copy_from_slice(bytes);
            }
            0
        });
    }

    fn push_shared(&mut self, bytes: Bytes, cause: Cause) {
        if bytes.len() < Output::SHARED_FROM {
            self.push_copied(&bytes, cause);
        } else {
            self.set_last_apart(cause);
            self.len += bytes.len();
            if cause == Cause::Input {
                self.caused_by_input += bytes.len();
            }
            self.segments.push_back(Segment::Shared { bytes, cause });
        }
    }

    /// Puts `len` bytes behind the others, and as many before them as `put` says that it has put there: a header's
    /// at most.
    #[inline(always)]
    fn put(&mut self, len: usize, cause: Cause, put: impl FnOnce(&mut [u8]) -> usize) {
        if self.last_cause != cause {
            self.set_last_apart(cause);
        }
        let most = FrameHeader::MAX_LEN + len;
        if self.inline.len() - self.end < most {
            self.grow(most);
        }
        // INVARIANT: there is as much.
        let room = self.inline.get_mut(self.end..self.end + most);
        let added = len + put(room.unwrap_or_default());
        self.end += added;
        self.len += added;
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, room: usize) {
        const LEAST: usize = 512;
        let least = self.end + room;
        let len = least.max(2 * self.inline.len()).max(LEAST);
        self.inline.resize(len, 0);
    }

    /// Begins a new last run, of this cause.
    #[inline(never)]
    fn set_last_apart(&mut self, cause: Cause) {
        let run = Run {
            len: self.last_len(),
            cause: self.last_cause,
        };
        // A run of no bytes would stand in the way of those behind it.
        if run.len > 0 {
            self.caused_by_input = self.caused_by_input();
            self.segments.push_back(Segment::Inline(run));
        }
        self.last_start = self.end;
        self.last_cause = cause;
    }

    /// Takes `written` bytes off the first segment's account, the whole segment at most.
    fn advance_segment(&mut self, written: usize) -> usize {
        let (taken, cause) = match self.segments.front_mut() {
            Some(Segment::Shared { bytes, cause }) => {
                let taken = written.min(bytes.len());
                bytes.advance(taken);
                let taken = (taken, *cause);
                if bytes.is_empty() {
                    self.segments.pop_front();
                }
                taken
            }
            Some(Segment::Inline(run)) => {
                let taken = (run.advance(written), run.cause);
                self.written += taken.0;
                if run.len == 0 {
                    self.segments.pop_front();
                }
                taken
            }
            None => {
                let taken = written.min(self.last_len());
                self.written += taken;
                self.last_start = self.written;
                self.len -= taken;
                return taken;
            }
        };
        self.len -= taken;
        if cause == Cause::Input {
            self.caused_by_input -= taken;
        }
        taken
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        if self.segments.is_empty() {
            inline_run(&self.inline, self.written, self.last_len())
        } else {
            self.first_of_several()
        }
    }

    fn first_of_several(&self) -> &[u8] {
        if let Some(Segment::Shared { bytes, .. }) = self.segments.front() {
            return bytes;
        }
        // Runs of `inline` that differ in their cause only are one chunk.
        let mut run = 0;
        for segment in &self.segments {
            match segment {
                Segment::Inline(next) => run += next.len,
                Segment::Shared { .. } => return inline_run(&self.inline, self.written, run),
            }
        }
        inline_run(&self.inline, self.written, run + self.last_len())
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut at = self.written;
        let mut inline = |len| {
            let run = inline_run(&self.inline, at, len);
            at += len;
            run
        };
        let mut segments = self.segments.iter();
        let mut last = Some(self.last_len()).filter(|len| *len > 0);
        let mut filled = 0;
        for slice in slices {
            let bytes = match (segments.next(), &mut last) {
                (Some(Segment::Inline(run)), _) => inline(run.len),
                (Some(Segment::Shared { bytes, .. }), _) => bytes,
                (None, last) => match last.take() {
                    Some(len) => inline(len),
                    None => break,
                },
            };
            *slice = IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, written: usize) {
        if self.segments.is_empty() && written >= self.len {
            // As a rule.
            (self.written, self.last_start, self.end, self.len) = (0, 0, 0, 0);
            return;
        }
        self.advance_by_segments(written);
    }

    fn advance_by_segments(&mut self, written: usize) {
        let mut left = written;
        while left > 0 {
            let taken = self.advance_segment(left);
            if taken == 0 {
                break;
            }
            left -= taken;
        }
        if self.written == self.end {
            (self.written, self.last_start, self.end) = (0, 0, 0);
        } else if self.written >= Output::SHARED_FROM && self.written >= self.end / 2 {
            // A peer that reads slowly must not let the written part grow. Not before half is written:
            // so each byte moves once or so, however much waits.
            self.inline.copy_within(self.written..self.end, 0);
            self.last_start -= self.written;
            self.end -= self.written;
            self.written = 0;
        }
    }
}

impl Run {
    /// Takes `written` bytes off it, all of it at most, and says how many.
    fn advance(&mut self, written: usize) -> usize {
        let taken = written.min(self.len);
        self.len -= taken;
        taken
    }
}

/// Puts a frame at the front of the room for the largest header and the payload. Gives the header's length, and the
/// payload's copy.
#[inline(always)]
fn put_frame<'r>(
    header: &FrameHeader,
    payload: &[u8],
    room: &'r mut [u8],
) -> (usize, &'r mut [u8]) {
    // INVARIANT: the room is for that.
    let header_len = room
        .first_chunk_mut()
        .map_or(0, |first| header.encode(first));
    let copied = room.get_mut(header_len..header_len + payload.len());
    let copied = copied.unwrap_or_default();
    if copied.len() == payload.len() {
        copied.copy_from_slice(payload);
    }
    (header_len, copied)
}

fn inline_run(inline: &[u8], at: usize, len: usize) -> &[u8] {
    // INVARIANT: the runs' lengths add up to what `inline` holds behind `written`.
    inline.get(at..at + len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(output: &Output) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = output.chunks_vectored(&mut slices);
        let slices: Vec<&[u8]> = slices[..filled].iter().map(|slice| &slice[..]).collect();
        slices.concat()
    }

    #[test]
    fn small_frames_of_one_cause_are_one_chunk() {
        let mut output = Output::default();
        output.push_frame(&FrameHeader::new(OpCode::Text, 2), b"hi", Cause::Input);
        output.push_frame(&FrameHeader::new(OpCode::Pong, 0), b"", Cause::Push);
        assert_eq!(output.chunk(), b"\x81\x02hi\x8a\x00");
        assert_eq!((output.len(), output.caused_by_input()), (6, 4));
        output.advance(5);
        assert_eq!((output.len(), output.caused_by_input()), (1, 0));
        assert_eq!(output.chunk(), b"\x00");
    }

    #[test]
    fn a_large_payload_is_shared_and_not_copied() {
        let payload = Bytes::from(vec![7; Output::SHARED_FROM]);
        let mut output = Output::default();
        output.push_header(
            &FrameHeader::new(OpCode::Binary, payload.len() as u64),
            Cause::Push,
        );
        output.push_shared(payload.clone(), Cause::Push);
        output.advance(10);
        assert_eq!(output.chunk().as_ptr(), payload.as_ptr());
    }

    #[test]
    fn pushing_nothing_leaves_nothing_in_the_way() {
        let mut output = Output::default();
        output.push_shared(Bytes::new(), Cause::Input);
        output.push_shared(Bytes::from_static(b"hi"), Cause::Push);
        assert_eq!(output.chunk(), b"hi");
        output.advance(2);
        assert!(output.is_empty());
    }

    #[test]
    fn bytes_that_wait_are_seldom_moved_however_small_the_steps_are() {
        const LEN: usize = 4 << 20;
        const STEP: usize = 16 * 1024;
        let mut output = Output::default();
        let header = FrameHeader::new(OpCode::Binary, LEN as u64);
        output.push_frame(&header, &vec![7; LEN], Cause::Push);
        let mut moves = 0;
        while output.len() > STEP {
            let next = output.chunk()[STEP..].as_ptr();
            output.advance(STEP);
            moves += usize::from(output.chunk().as_ptr() != next);
        }
        assert!(moves <= 8, "{moves} moves");
    }

    #[test]
    fn what_is_written_of_a_long_output_is_given_back_at_half() {
        let mut output = Output::default();
        let frame = vec![7; 1000];
        let header = FrameHeader::new(OpCode::Binary, 1000);
        for _ in 0..1000 {
            // The peer reads as fast as is pushed, but there is always a backlog.
            output.push_frame(&header, &frame, Cause::Push);
            if output.len() > 100_000 {
                output.advance(1004);
            }
        }
        assert!(output.retained_bytes() < 500_000);
    }

    /// Lengths at which something changes.
    fn len() -> impl Strategy<Value = usize> {
        prop_oneof![0..300_usize, 65_400..65_700_usize, Just(200_000)]
    }

    proptest! {
        #[test]
        fn bytes_leave_in_order_whatever_is_written_at_once(
            // A push with its cause, or how many bytes are written.
            steps in prop::collection::vec((any::<bool>(), len(), any::<Option<bool>>()), 1..24),
        ) {
            let mut output = Output::default();
            let mut expected: Vec<u8> = Vec::new();
            let mut caused: Vec<(usize, bool)> = Vec::new();
            let mut at = 0;
            for (i, (write, len, input)) in steps.into_iter().enumerate() {
                if write {
                    let written = len.min(output.remaining());
                    output.advance(written);
                    at += written;
                } else {
                    let bytes = vec![u8::try_from(i).unwrap(); len];
                    expected.extend_from_slice(&bytes);
                    let input = input.unwrap_or_default();
                    caused.push((expected.len(), input));
                    output.push_shared(bytes.into(), if input { Cause::Input } else { Cause::Push });
                }
                prop_assert!(all(&output) == expected[at..]);
                prop_assert!(expected[at..].starts_with(output.chunk()));
                prop_assert_eq!(output.chunk().is_empty(), output.is_empty());
                prop_assert_eq!(output.len(), expected.len() - at);
                let mut start = 0;
                let mut by_input = 0;
                for &(end, input) in &caused {
                    by_input += if input { end.max(at) - at.max(start) } else { 0 };
                    start = end;
                }
                prop_assert_eq!(output.caused_by_input(), by_input);
            }
        }
    }
}
