//! The wakers of the tasks that wait for one thing, in the order in which the tasks came.

use std::task::Waker;

/// The wakers of waiting tasks, first come first. A task is known by its key, and registers again at each poll.
#[derive(Debug)]
pub(super) struct WakerList<T = ()>(Vec<Waiter<T>>);

#[derive(Debug)]
struct Waiter<T> {
    key: u64,
    waits_for: T,
    waker: Waker,
}

impl<T> Default for WakerList<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl WakerList {
    /// Registers a task for the only thing that this list is for.
    pub(super) fn register(&mut self, key: u64, waker: &Waker) {
        self.register_for(key, (), waker);
    }
}

impl<T> WakerList<T> {
    /// Registers a task behind the others. A task that is registered already keeps its place and gets the new waker.
    pub(super) fn register_for(&mut self, key: u64, waits_for: T, waker: &Waker) {
        match self.0.iter_mut().find(|waiter| waiter.key == key) {
            Some(waiter) => waiter.waker.clone_from(waker),
            None => self.0.push(Waiter {
                key,
                waits_for,
                waker: waker.clone(),
            }),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, key: u64) -> bool {
        self.0.iter().any(|waiter| waiter.key == key)
    }

    /// The key and the waker of the task that waits longest. It stays in the list.
    pub(super) fn first(&self) -> Option<(u64, &Waker)> {
        self.0.first().map(|waiter| (waiter.key, &waiter.waker))
    }

    /// Removes one task.
    pub(super) fn remove(&mut self, key: u64) -> Option<Waker> {
        let at = self.0.iter().position(|waiter| waiter.key == key)?;
        Some(self.0.remove(at).waker)
    }

    /// The wakers of the tasks that wait for a thing of this sort. The tasks stay in the list.
    pub(super) fn waiting_for(&self, is_meant: impl Fn(&T) -> bool) -> impl Iterator<Item = Waker> {
        let meant = self.0.iter().filter(move |w| is_meant(&w.waits_for));
        meant.map(|waiter| waiter.waker.clone())
    }

    /// Removes the tasks that wait for a thing of this sort.
    pub(super) fn take_waiting_for(
        &mut self,
        is_meant: impl Fn(&T) -> bool,
    ) -> impl Iterator<Item = Waker> {
        let meant = self.0.extract_if(.., move |w| is_meant(&w.waits_for));
        meant.map(|waiter| waiter.waker)
    }

    /// Removes all tasks.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Waker> {
        self.0.drain(..).map(|waiter| waiter.waker)
    }
}
