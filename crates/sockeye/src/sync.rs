//! The synchronisation primitives that tasks share. Under loom its versions replace them.

// `Arc` is std's under loom too: reference counts need no check, and no method can take loom's `Arc` as `self`.
pub(crate) use std::sync::Arc;

#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic::AtomicU16};
#[cfg(not(loom))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic::AtomicU16};

/// Locks a mutex, also after a thread panicked while it held the lock. Each change of the guarded values leaves them
/// consistent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
