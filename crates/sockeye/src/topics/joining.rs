//! The session of a join, with the room that it has reserved for its replay.

use std::ops::Deref;

use super::handle::Topics;
use crate::endpoint::Session;

/// The session of a join, and the bytes that are reserved in its outbox for the replay. Dropping it gives the room back.
///
/// It may be dropped while the hub is locked. The last handle of a session then goes to the node, which drops it later: with
/// the session go properties, whose drop is code of the application.
pub(super) struct Joining {
    // Taken by the drop alone.
    session: Option<Session>,
    reserved: usize,
}

impl Joining {
    pub(super) fn new(session: &Session, reserved: usize) -> Self {
        Self {
            session: Some(session.clone()),
            reserved,
        }
    }

    /// Returns the bytes that are reserved.
    pub(super) fn reserved(&self) -> usize {
        self.reserved
    }

    /// Takes the room, for the replay itself.
    pub(super) fn take_reserved(&mut self) -> usize {
        std::mem::take(&mut self.reserved)
    }
}

impl Deref for Joining {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session.as_ref().expect("only the drop takes it")
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        session.release_replay(self.reserved);
        if let Some(last) = session.into_last() {
            let topics = Topics::clone(last.topics());
            topics.0.hub.outlet().drop_later(last);
        }
    }
}
