//! The memory that the logs of many channels may keep together.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crate::sync::{Arc, AtomicU64};

/// The bytes that all logs which share this budget keep.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    kept: AtomicU64,
}

impl Budget {
    /// The default limit in bytes. A message of less than 64 bytes counts as 64.
    pub const DEFAULT_LIMIT: usize = 64 << 20;

    /// Creates a budget of which no log keeps anything.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: limit as u64,
            kept: AtomicU64::new(0),
        })
    }

    /// The bytes that the logs keep now.
    pub fn kept(&self) -> usize {
        usize::try_from(self.kept.load(Relaxed)).unwrap_or(usize::MAX)
    }

    fn try_take(&self, bytes: usize) -> bool {
        let take = |kept: u64| {
            let kept = kept.saturating_add(bytes as u64);
            (kept <= self.limit).then_some(kept)
        };
        self.kept.fetch_update(AcqRel, Acquire, take).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.kept.fetch_sub(bytes as u64, AcqRel);
    }
}

/// The bytes that one log keeps. They go back to the budget when the log drops them, and when it is dropped itself.
#[derive(Debug, Default)]
pub(super) struct Share {
    bytes: usize,
    budget: Option<Arc<Budget>>,
}

impl Share {
    /// An empty share. Without a budget it may grow without limit.
    pub(super) fn of(budget: Option<&Arc<Budget>>) -> Self {
        Self {
            bytes: 0,
            budget: budget.cloned(),
        }
    }

    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds bytes. Returns false, and adds none, if the budget does not have them.
    #[inline]
    pub(super) fn try_add(&mut self, bytes: usize) -> bool {
        let has_them = self.budget.as_ref();
        let has_them = has_them.is_none_or(|budget| budget.try_take(bytes));
        if has_them {
            self.bytes += bytes;
        }
        has_them
    }

    #[inline]
    pub(super) fn remove(&mut self, bytes: usize) {
        self.bytes -= bytes;
        if let Some(budget) = &self.budget {
            budget.give_back(bytes);
        }
    }

    /// Changes the share to this many bytes. Returns false, and changes nothing, if the budget does not have them.
    pub(super) fn try_change(&mut self, bytes: usize) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes) else {
            self.remove(self.bytes - bytes);
            return true;
        };
        self.try_add(more)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.remove(self.bytes);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_share_takes_what_the_budget_has_and_gives_it_back() {
        let budget = Budget::new(100);
        let mut one = Share::of(Some(&budget));
        let mut other = Share::of(Some(&budget));
        assert!(one.try_add(60));
        assert!(!other.try_add(41));
        assert!(other.try_add(40));
        assert_eq!((budget.kept(), one.bytes(), other.bytes()), (100, 60, 40));
        one.remove(10);
        assert!(!other.try_change(51));
        assert!(other.try_change(50));
        assert!(other.try_change(5));
        assert_eq!(budget.kept(), 55);
        drop(one);
        assert_eq!(budget.kept(), 5);
        drop(other);
        assert_eq!(budget.kept(), 0);
    }

    #[test]
    fn without_a_budget_a_share_has_no_limit() {
        let mut share = Share::of(None);
        assert!(share.try_add(usize::MAX / 2));
        assert!(share.try_change(usize::MAX));
    }
}
