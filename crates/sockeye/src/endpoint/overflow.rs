//! Sessions whose peers read too slowly: counts the messages that they lose, and logs each such session once.

use std::time::Instant;

use sockeye_mailbox::{Overflow, Overflowed};

use super::session::Session;
use crate::observer::Event;
use crate::stats::Counters;

/// The messages that one broadcast made full sessions lose. Collected while the sessions are locked, and reported
/// afterwards: no line is logged under a lock.
#[derive(Default)]
pub(super) struct Losses {
    dropped: usize,
    first: Vec<(Session, Overflow)>,
}

impl Losses {
    /// Adds what one session lost.
    #[cold]
    pub(super) fn add(&mut self, session: &Session, lost: Overflowed) {
        self.dropped += lost.dropped;
        if lost.is_first {
            self.first.push((session.clone(), lost.policy));
        }
    }

    pub(super) fn report(self, counters: &Counters) {
        if self.dropped > 0 {
            counters.observe(Event::MessagesDropped(self.dropped));
        }
        for (session, policy) in self.first {
            session.log_overflow(policy);
        }
    }
}

impl Session {
    /// Counts a message of the asynchronous remote that found no room, and logs the session once.
    #[cold]
    pub(crate) fn count_overflow(&self, lost: Overflowed) {
        self.counters()
            .observe(Event::MessagesDropped(lost.dropped));
        if lost.is_first {
            self.log_overflow(lost.policy);
        }
    }

    fn log_overflow(&self, policy: Overflow) {
        // Any number of peers may be slow.
        let Some(left_out) = self.counters().log.slow_session.admit(Instant::now()) else {
            return;
        };
        let (session, peer) = (self.id(), self.request().peer_addr());
        match policy {
            Overflow::Close => {
                tracing::warn!(%session, ?peer, left_out, "the peer reads too slowly: closed with 1013");
            }
            policy => {
                tracing::warn!(%session, ?peer, ?policy, left_out, "the peer reads too slowly: messages are dropped");
            }
        }
    }
}
