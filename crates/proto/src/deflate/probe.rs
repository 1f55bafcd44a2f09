//! Finds out whether a peer keeps its window although it must not (RFC 7692 §7.1.1.2).

use zlib_rs::{Inflate, InflateFlush, Status};

use super::pool::DeflatePool;
use super::step::{self, CodecStep};

/// Inflates each message a second time, without a window. If that fails, the message refers to an earlier one.
pub(super) struct Probe {
    // Of the message at hand; none when nothing more of it has to be looked at.
    state: Option<Box<Inflate>>,
    refers_back: bool,
    // Of the message at hand, and of those that referred to none before.
    made: usize,
    bytes: usize,
    messages: usize,
}

/// The verdict on a peer, from its messages so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    KeepsWindow,
    DropsWindow,
    Undecided,
}

impl Probe {
    pub(super) fn new() -> Self {
        Self {
            state: None,
            refers_back: false,
            made: 0,
            bytes: 0,
            messages: 0,
        }
    }

    /// Begins a message.
    pub(super) fn start(&mut self, pool: &DeflatePool) {
        self.state = Some(pool.inflate());
        self.made = 0;
    }

    /// Inflates a piece of the message, as it came.
    pub(super) fn inflate(&mut self, input: &[u8]) {
        let mut input = input;
        let mut room = [0; 4096];
        // Behind a whole window of the message's own bytes nothing can refer to what was before.
        while self.made < LARGEST_WINDOW {
            let Some(state) = &mut self.state else { return };
            let CodecStep {
                taken,
                made,
                status,
            } = step::inflate(state, input, &mut room, InflateFlush::SyncFlush);
            input = input.get(taken..).unwrap_or_default();
            self.made += made;
            match status {
                Err(_) => {
                    self.refers_back = true;
                    self.state = None;
                }
                // §7.2.3.4: what follows a final block may refer to what is before it, which this state
                // has forgotten.
                Ok(Status::StreamEnd) => self.state = None,
                Ok(_) if taken == 0 && made == 0 => return,
                Ok(_) => {}
            }
        }
    }

    /// Ends the message, and returns the verdict.
    pub(super) fn finish(&mut self, pool: &DeflatePool) -> Verdict {
        if let Some(state) = self.state.take() {
            pool.recycle_inflate(state);
        }
        if self.refers_back {
            return Verdict::KeepsWindow;
        }
        self.messages += 1;
        self.bytes += self.made;
        match self.messages >= ENOUGH_MESSAGES && self.bytes >= ENOUGH_BYTES {
            true => Verdict::DropsWindow,
            false => Verdict::Undecided,
        }
    }
}

const LARGEST_WINDOW: usize = 32 * 1024;
/// The number of messages in a row that show a peer without a window, if none of them refers to an earlier one. A
/// compressor that keeps its window would have found three equal bytes in it by then.
const ENOUGH_MESSAGES: usize = 4;
/// The least number of bytes that these messages have together.
const ENOUGH_BYTES: usize = 512;
