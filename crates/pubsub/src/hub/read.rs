//! A read of a topic, as the topic sees it.

use std::time::{Duration, Instant};

use super::context::Context;
use super::fault::Fault;
use super::outlet::Outlet;
use super::request::ReadNumber;

/// A read that is queued, under way, or to be repeated.
#[derive(Debug)]
pub(super) struct Read {
    number: ReadNumber,
    /// When the read is repeated. Until then no reply counts.
    again_at: Option<Instant>,
    /// How many replies could not be used.
    unused: u8,
    is_repeated: bool,
}

impl Read {
    /// Queues a read.
    pub(super) fn start<O: Outlet>(context: &Context<'_, O>, only_top: bool) -> Self {
        Self {
            number: context.read(only_top),
            again_at: None,
            unused: 0,
            is_repeated: false,
        }
    }

    /// Returns whether a number is that of this read.
    pub(super) fn is(&self, number: ReadNumber) -> bool {
        self.again_at.is_none() && (self.number == number || Fault::NoGeneration.is_on())
    }

    /// Returns whether this read is not the first one.
    pub(super) fn is_repeated(&self) -> bool {
        self.is_repeated
    }

    /// Counts a reply that could not be used. Returns whether the read may be repeated: there are three at most.
    pub(super) fn may_repeat(&mut self) -> bool {
        self.unused += 1;
        self.unused < MOST_READS
    }

    /// Repeats the read after a pause.
    pub(super) fn repeat_after<O: Outlet>(
        &mut self,
        context: &mut Context<'_, O>,
        pause: Duration,
    ) {
        self.again_at = Some(context.call_after(pause));
        self.is_repeated = true;
    }

    /// Repeats the read after the usual pause.
    pub(super) fn repeat<O: Outlet>(&mut self, context: &mut Context<'_, O>) {
        let pause = context.shared.config.read_pause;
        self.repeat_after(context, pause);
    }

    /// Acts on the time.
    pub(super) fn time<O: Outlet>(&mut self, context: &Context<'_, O>, now: Instant) {
        if self.again_at.is_some_and(|at| at <= now) {
            // A repeated read asks for messages, whatever the first one asked for.
            self.number = context.read(false);
            self.again_at = None;
        }
    }
}

/// The most reads for the same joins, or for the same missing messages.
const MOST_READS: u8 = 3;
