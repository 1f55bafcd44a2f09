//! The memory that the replays of all sessions of a node may take together. Each session has some free, so that sessions
//! that do not read keep no other session from its own short replay.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;

use crate::proto::{Message, Outgoing, Text};
use crate::sync::Arc;

/// The memory for the replays of a node.
pub(super) struct ReplayRoom {
    limit: usize,
    taken: AtomicUsize,
}

/// The part of the room that one replay takes. Dropping it gives the part back.
pub(super) struct ReplayPart {
    room: Arc<ReplayRoom>,
    bytes: usize,
}

impl ReplayRoom {
    /// The bytes that the replays of all sessions take at most, beside those that are free.
    pub(super) const LIMIT: usize = 64 << 20;
    /// The bytes of the replays of one session that are free. As many bytes has the tail of a topic.
    pub(super) const FREE: usize = 16 << 10;

    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            taken: AtomicUsize::new(0),
        })
    }

    /// Takes room for a replay of so many bytes. `waiting` bytes of other replays of its session are not written yet.
    /// Returns `None` if the node has no room now. A replay alone always has room.
    pub(super) fn take(self: &Arc<Self>, bytes: usize, waiting: usize) -> Option<ReplayPart> {
        let free = Self::FREE.saturating_sub(waiting);
        let bytes = bytes.saturating_sub(free);
        let add = |taken: usize| {
            let sum = taken.saturating_add(bytes);
            (bytes == 0 || taken == 0 || sum <= self.limit).then_some(sum)
        };
        let is_taken = self.taken.fetch_update(Relaxed, Relaxed, add).is_ok();
        is_taken.then(|| ReplayPart {
            room: Arc::clone(self),
            bytes,
        })
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }
}

impl ReplayPart {
    /// Gives the part back when the last of these frames is dropped: it is written then, or its session has ended.
    pub(super) fn until_dropped(
        self,
        frames: impl ExactSizeIterator<Item = Outgoing>,
    ) -> impl Iterator<Item = Outgoing> {
        let last = frames.len();
        let mut part = (self.bytes > 0).then_some(self);
        frames.zip(1..).map(move |(frame, number)| {
            let is_last = number == last;
            match part.take_if(|_| is_last) {
                Some(part) => part.hold(frame),
                None => frame,
            }
        })
    }

    /// Lets the payload of a frame own the part. Copies nothing.
    fn hold(self, frame: Outgoing) -> Outgoing {
        let payload = Payload {
            bytes: frame.message().clone().into_bytes(),
            _part: self,
        };
        let payload = Bytes::from_owner(payload);
        let message = match frame.message() {
            Message::Text(_) => match Text::try_from(payload) {
                Ok(text) => Message::Text(text),
                // It was a text before. Else the part is given back too early, and the message is as it was.
                Err(_) => return frame,
            },
            Message::Binary(_) => Message::Binary(payload),
        };
        if frame.may_be_compressed() {
            message.into()
        } else {
            Outgoing::uncompressed(message)
        }
    }
}

impl Drop for ReplayPart {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Relaxed);
    }
}

/// A payload, and what lives as long as it does.
struct Payload {
    bytes: Bytes,
    _part: ReplayPart,
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: usize = ReplayRoom::FREE;

    #[test]
    fn replays_take_the_room_to_the_last_byte_and_no_more() {
        let room = ReplayRoom::new(1000);
        let most = room.take(FREE + 999, 0).unwrap();
        assert!(room.take(FREE + 2, 0).is_none());
        let last = room.take(FREE + 1, 0).unwrap();
        assert_eq!(room.taken(), 1000);
        assert!(room.take(FREE + 1, 0).is_none());
        drop(last);
        assert!(room.take(FREE + 1, 0).is_some());
        drop(most);
        assert_eq!(room.taken(), 0);
    }

    #[test]
    fn the_first_bytes_of_a_session_are_free() {
        let room = ReplayRoom::new(10);
        let full = room.take(FREE + 10, 0).unwrap();
        assert!(room.take(FREE, 0).is_some());
        assert!(room.take(FREE - 5, 5).is_some());
        assert!(room.take(FREE - 4, 5).is_none());
        assert!(room.take(1, FREE).is_none());
        drop(full);
        assert!(room.take(1, FREE).is_some());
    }

    #[test]
    fn a_replay_larger_than_the_room_has_room_alone() {
        let room = ReplayRoom::new(10);
        let large = room.take(FREE + 11, 0).unwrap();
        assert!(room.take(FREE + 1, 0).is_none());
        drop(large);
        let small = room.take(FREE + 1, 0).unwrap();
        assert!(room.take(FREE + 11, 0).is_none());
        drop(small);
    }

    #[test]
    fn the_last_frame_holds_the_part_and_stays_as_it_was() {
        let room = ReplayRoom::new(10);
        let binary = Outgoing::uncompressed(Message::binary(vec![1, 2]));
        for last in [Outgoing::from("text"), binary] {
            let part = room.take(FREE + 7, 0).unwrap();
            let frames = [Outgoing::from("first"), last.clone()];
            let mut frames: Vec<_> = part.until_dropped(frames.into_iter()).collect();
            let held = frames.pop().unwrap();
            drop(frames);
            assert_eq!(held.message(), last.message());
            assert_eq!(held.may_be_compressed(), last.may_be_compressed());
            assert_eq!(room.taken(), 7);
            drop(held);
            assert_eq!(room.taken(), 0);
        }
    }

    #[test]
    fn a_replay_without_frames_gives_its_part_back() {
        let room = ReplayRoom::new(10);
        let part = room.take(FREE + 7, 0).unwrap();
        assert_eq!(part.until_dropped([].into_iter()).count(), 0);
        assert_eq!(room.taken(), 0);
    }
}
