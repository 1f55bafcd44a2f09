//! The unread input: bytes that the link has read and the machine has not consumed. It makes room for the next read,
//! and moves to a small buffer while the connection waits. Nothing here knows of frames.

use crate::connection::pool::Scratch;

/// The unread input. While the task runs it is in a scratch buffer of the thread. While the task waits it is in `kept`,
/// which is just large enough.
#[derive(Default)]
pub(super) struct Input {
    pub(super) scratch: Option<Scratch>,
    pub(super) kept: Box<[u8]>,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Input {
    /// The unread bytes, and the index of the first one.
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

    /// Room for the next read, in the scratch behind the unread bytes.
    // INVARIANT: the link reads only when the machine has consumed all but a part of a header or of a control frame. So
    // the unread bytes fit, and leave room.
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

    /// Drops the small buffer, once everything is consumed.
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
    pub(super) fn release_buffers(&mut self) {
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
