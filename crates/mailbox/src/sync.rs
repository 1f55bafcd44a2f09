//! The synchronisation primitives that tasks share. Under loom its versions replace them.

// `Arc` is std's under loom too: reference counts need no check, and no method can take loom's `Arc` as `self`.
pub use std::sync::Arc;

#[cfg(loom)]
pub(crate) use loom::sync::atomic::AtomicU64;
#[cfg(loom)]
pub use loom::sync::{Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::AtomicU64;
#[cfg(not(loom))]
pub use std::sync::{Mutex, MutexGuard};

/// Locks a mutex, also after a thread panicked while it held the lock. Each change of the guarded values leaves them
/// consistent.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
