//! The bytes that a link has read and its machine has not yet consumed. Lends them, makes room for the next read,
//! and keeps the rest in a small buffer while the connection waits. Knows nothing of frames.

use crate::connection::pool::Scratch;

/// Bytes that were read and not yet consumed: in the scratch while the connection is being driven, in
/// a buffer just large enough when it is not.
#[derive(Default)]
pub(super) struct Input {
    pub(super) scratch: Option<Scratch>,
    pub(super) kept: Box<[u8]>,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Input {
    /// What was read and is not consumed, and where that begins.
    #[inline]
    pub(super) fn unread(&mut self) -> (&mut [u8], &mut usize) {
        let bytes = match &mut self.scratch {
            Some(scratch) => &mut scratch[..],
            None => &mut self.kept[..],
        };
        (&mut bytes[self.start..self.end], &mut self.start)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Where to read to: the scratch, with what is unread at its front.
    // INVARIANT: reading goes on only when the machine has consumed all but part of a header or of a
    // control frame, so what is unread fits, and leaves room.
    #[inline]
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.is_empty() {
            self.forget();
        } else {
            self.move_to_front();
        }
        let scratch = self.scratch.get_or_insert_with(Scratch::take);
        &mut scratch[self.end..]
    }

    /// Holds nothing of its own once all is consumed.
    #[inline]
    fn forget(&mut self) {
        if !self.kept.is_empty() {
            self.kept = Box::default();
        }
        (self.start, self.end) = (0, 0);
    }

    fn move_to_front(&mut self) {
        let unread = self.start..self.end;
        match &mut self.scratch {
            Some(scratch) => scratch.copy_within(unread.clone(), 0),
            None => {
                let mut scratch = Scratch::take();
                scratch[..unread.len()].copy_from_slice(&self.kept[unread.clone()]);
                self.scratch = Some(scratch);
            }
        }
        self.kept = Box::default();
        (self.start, self.end) = (0, unread.len());
    }

    #[inline]
    pub(super) fn park(&mut self) {
        if self.scratch.is_some() || self.is_empty() {
            self.leave_scratch();
        }
    }

    fn leave_scratch(&mut self) {
        let scratch = self.scratch.take();
        if self.is_empty() {
            self.forget();
        } else if let Some(scratch) = scratch {
            self.kept = scratch[self.start..self.end].into();
            (self.start, self.end) = (0, self.kept.len());
        }
    }
}
