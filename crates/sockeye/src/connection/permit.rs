//! The permit of a session: one of those that a server has for its sessions.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permit of one session, which returns to its server when it is dropped.
///
/// It is a pointer. tokio's [`OwnedSemaphorePermit`] also holds a number, and each idle session would pay for it.
#[derive(Debug)]
pub(crate) struct SessionPermit(Arc<Semaphore>);

impl From<OwnedSemaphorePermit> for SessionPermit {
    fn from(permit: OwnedSemaphorePermit) -> Self {
        debug_assert_eq!(permit.num_permits(), 1);
        let semaphore = Arc::clone(permit.semaphore());
        permit.forget();
        Self(semaphore)
    }
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_returns_once_and_when_it_is_dropped() {
        let semaphore = Arc::new(Semaphore::new(2));
        let permit = Arc::clone(&semaphore).try_acquire_owned().unwrap();
        let permit = SessionPermit::from(permit);
        assert_eq!(semaphore.available_permits(), 1);
        drop(permit);
        assert_eq!(semaphore.available_permits(), 2);
    }

    #[test]
    fn a_permit_takes_one_pointer() {
        assert_eq!(size_of::<Option<SessionPermit>>(), size_of::<usize>());
    }
}
