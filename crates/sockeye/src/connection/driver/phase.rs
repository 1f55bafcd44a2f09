//! How far the driver has come with its connection.
//!
//! ```text
//!              a handler is suspended,            the handler
//!              and something came                 is done
//!      Open ─────────────────────────▶ Ahead ────────────────▶ Open
//!        │                               │
//!        │ the connection ends           │ the connection ends
//!        ▼                               ▼
//!      Ended ◀──── its owner takes ─── Ended, with one Next ahead
//! ```

use std::pin::Pin;

use sockeye_proto::MessageBuffer;
use tokio::time::Sleep;

use super::event::{Ending, Next};

#[derive(Debug, Default)]
pub(super) enum Phase {
    /// The driver hands on what comes.
    #[default]
    Open,
    /// Something came while the owner was busy. The driver reads no further.
    Ahead(Box<Ahead>),
    /// Nothing comes any more.
    Ended(Box<Ended>),
}

/// What came while the owner was busy: the message or the part is in the buffer.
pub(super) type Ahead = (Next, MessageBuffer);

#[derive(Debug)]
pub(super) struct Ended {
    pub(super) why: Ending,
    // It came before the end, so the owner gets it first.
    ahead: Option<Ahead>,
    // Until when a handler that runs on without a transport keeps the session's permit.
    pub(super) permit_until: Option<Pin<Box<Sleep>>>,
}

impl Phase {
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self, Self::Ended(_))
    }

    pub(super) fn ahead(&self) -> Option<&Ahead> {
        match self {
            Self::Open => None,
            Self::Ahead(ahead) => Some(ahead),
            Self::Ended(ended) => ended.ahead.as_ref(),
        }
    }

    /// Keeps what came, until the owner asks for it.
    pub(super) fn put_ahead(&mut self, next: Next, message: MessageBuffer) {
        debug_assert!(self.is_open(), "{self:?}");
        *self = Self::Ahead(Box::new((next, message)));
    }

    pub(super) fn take_ahead(&mut self) -> Option<Ahead> {
        match std::mem::take(self) {
            Self::Open => None,
            Self::Ahead(ahead) => Some(*ahead),
            Self::Ended(mut ended) => {
                let ahead = ended.ahead.take();
                *self = Self::Ended(ended);
                ahead
            }
        }
    }

    /// Ends the connection. The first reason counts.
    pub(super) fn end(&mut self, why: Ending) {
        if self.is_ended() {
            return;
        }
        let ahead = self.take_ahead();
        *self = Self::Ended(Box::new(Ended {
            why,
            ahead,
            permit_until: None,
        }));
    }

    /// Ends the connection for the application, which wants nothing of what came, and no other reason.
    pub(super) fn abort(&mut self) {
        *self = Self::Open;
        self.end(Ending::Aborted);
    }

    pub(super) fn ended(&mut self) -> Option<&mut Ended> {
        match self {
            Self::Open | Self::Ahead(_) => None,
            Self::Ended(ended) => Some(ended),
        }
    }

    /// Why nothing comes any more.
    pub(super) fn ending(&self) -> Option<&Ending> {
        match self {
            Self::Open | Self::Ahead(_) => None,
            Self::Ended(ended) => Some(&ended.why),
        }
    }
}
