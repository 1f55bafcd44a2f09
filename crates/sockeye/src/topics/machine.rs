//! The machine of a session that speaks the subprotocol, and what it sends from places that cannot wait.

use sockeye_proto::{Message, Text};
use sockeye_pubsub::wire::{Failure, Reference, Reply, ServerLimits, ServerMachine};

use super::surroundings::now;
use crate::endpoint::Session;
use crate::sync::{Mutex, MutexGuard, lock};

/// The machine of a session that speaks the subprotocol. It exists from the first frame on.
#[derive(Default)]
pub(super) struct Machine(Mutex<Option<Box<ServerMachine>>>);

impl Machine {
    fn lock(&self) -> MutexGuard<'_, Option<Box<ServerMachine>>> {
        lock(&self.0)
    }

    /// Calls the machine.
    pub(super) fn with<R>(&self, call: impl FnOnce(&mut ServerMachine) -> R) -> R {
        let mut machine = self.lock();
        call(machine.get_or_insert_with(|| Box::new(ServerMachine::new(&ServerLimits::default()))))
    }
}

impl Session {
    /// Calls the machine of the session. `None` if the session has ended.
    pub(super) fn with_machine<R>(&self, call: impl FnOnce(&mut ServerMachine) -> R) -> Option<R> {
        Some(self.topics_part()?.machine.with(call))
    }

    /// Puts frames into the outbox at once. Their number is bounded by what the client may ask for.
    pub(super) fn push_frames(&self, frames: impl IntoIterator<Item = Text>) {
        let frames = frames.into_iter().map(|frame| Message::Text(frame).into());
        // If the connection is closing, nothing wants the frames.
        let _ = self.mailbox().push_admitted(frames);
    }

    /// Answers a request at once, from a place that cannot wait.
    pub(super) fn push_failure(&self, reference: Reference, failure: impl Into<Failure>) {
        let reply = self.with_machine(|machine| machine.failed(reference, failure, now()));
        if let Some(Reply { frame, close }) = reply.flatten() {
            self.push_frames(frame);
            if let Some(reason) = close {
                self.mailbox().close(reason);
            }
        }
    }
}
