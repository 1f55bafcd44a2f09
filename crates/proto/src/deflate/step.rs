//! One call of a zlib-rs state, with the number of bytes that it took and made. zlib-rs itself counts the bytes of the
//! whole stream.

use zlib_rs::{Deflate, DeflateError, DeflateFlush, Inflate, InflateError, InflateFlush, Status};

/// The result of one call.
pub(super) struct CodecStep<E> {
    /// The number of bytes taken from the input.
    pub(super) taken: usize,
    /// The number of bytes written to the room.
    pub(super) made: usize,
    pub(super) status: Result<Status, E>,
}

/// Compresses from `input` to `room`, and flushes.
pub(super) fn compress(
    state: &mut Deflate,
    input: &[u8],
    room: &mut [u8],
) -> CodecStep<DeflateError> {
    let (total_in, total_out) = (state.total_in(), state.total_out());
    let status = state.compress(input, room, DeflateFlush::SyncFlush);
    CodecStep {
        taken: difference(state.total_in(), total_in),
        made: difference(state.total_out(), total_out),
        status,
    }
}

/// Inflates from `input` to `room`.
pub(super) fn inflate(
    state: &mut Inflate,
    input: &[u8],
    room: &mut [u8],
    flush: InflateFlush,
) -> CodecStep<InflateError> {
    let (total_in, total_out) = (state.total_in(), state.total_out());
    let status = state.decompress(input, room, flush);
    CodecStep {
        taken: difference(state.total_in(), total_in),
        made: difference(state.total_out(), total_out),
        status,
    }
}

fn difference(after: u64, before: u64) -> usize {
    usize::try_from(after - before).unwrap_or(usize::MAX)
}
