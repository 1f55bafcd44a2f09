//! The primitives that tasks share, which loom replaces where it checks them.

// Counting references is not what loom has to check, and no method can take loom's `Arc` as `self`.
pub(crate) use std::sync::Arc;

#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic::AtomicU16};
#[cfg(not(loom))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic::AtomicU16};

/// Locks, whether or not a thread panicked while it held the lock: what these mutexes guard is changed
/// in steps that leave it whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
