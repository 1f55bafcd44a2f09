//! The joins of a topic that wait.

use std::time::Instant;

use super::context::Context;
use super::outlet::{Outlet, Wants};
use crate::error::SubscribeError;

/// A join that waits.
#[derive(Debug)]
pub(super) struct PendingJoin<J> {
    pub(super) join: J,
    pub(super) wants: Wants,
    /// When the wait ends.
    pub(super) until: Instant,
}

/// The joins of a topic that wait, in their order.
#[derive(Debug)]
pub(super) struct Joins<J>(Vec<PendingJoin<J>>);

impl<J> Joins<J> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether no join wants messages of the past.
    pub(super) fn are_live(&self) -> bool {
        self.0.iter().all(|pending| pending.wants == Wants::Live)
    }

    /// Adds a join. The topic is called when the first of its joins has waited long enough.
    pub(super) fn push<O>(&mut self, context: &mut Context<'_, O>, pending: PendingJoin<J>)
    where
        O: Outlet<Join = J>,
    {
        if self.0.is_empty() {
            context.call_at(pending.until);
        }
        self.0.push(pending);
    }

    pub(super) fn into_iter(self) -> impl Iterator<Item = PendingJoin<J>> {
        self.0.into_iter()
    }

    pub(super) fn take(&mut self) -> Self {
        Self(std::mem::take(&mut self.0))
    }

    /// Answers all joins that the topic is unavailable.
    pub(super) fn refuse<O: Outlet<Join = J>>(self, context: &Context<'_, O>) {
        for pending in self.0 {
            context.refuse(pending.join);
        }
    }

    /// Answers the joins that have waited too long. Returns their number.
    pub(super) fn expire<O>(&mut self, context: &mut Context<'_, O>, now: Instant) -> usize
    where
        O: Outlet<Join = J>,
    {
        let expired = self.0.extract_if(.., |pending| pending.until <= now);
        let expired: Vec<_> = expired.collect();
        let count = expired.len();
        for pending in expired {
            context.refuse(pending.join);
        }
        if let Some(next) = self.0.iter().map(|pending| pending.until).min() {
            context.call_at(next);
        }
        count
    }

    /// Removes joins without an answer. Returns their number.
    pub(super) fn cancel(&mut self, mut is_meant: impl FnMut(&J) -> bool) -> usize {
        let before = self.0.len();
        self.0.retain(|pending| !is_meant(&pending.join));
        before - self.0.len()
    }

    /// Removes joins, and answers that they were evicted. Returns their number.
    pub(super) fn evict<O>(&mut self, outlet: &O, mut is_meant: impl FnMut(&J) -> bool) -> usize
    where
        O: Outlet<Join = J>,
    {
        let evicted = self.0.extract_if(.., |pending| is_meant(&pending.join));
        let evicted: Vec<_> = evicted.collect();
        let count = evicted.len();
        for pending in evicted {
            outlet.refuse(pending.join, SubscribeError::Evicted);
        }
        count
    }
}
