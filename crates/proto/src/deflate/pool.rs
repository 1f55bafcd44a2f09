//! The pool of zlib-rs states for compressing and inflating. The states are large, so connections share them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zlib_rs::{Deflate, Inflate};

use super::negotiation::WindowBits;

/// States for compressing and inflating that connections share between messages. Cheap to clone; one for
/// each server or client.
#[derive(Clone, Default)]
pub struct DeflatePool(Arc<Mutex<States>>);

#[derive(Default)]
struct States {
    // Boxed: a connection has room for a pointer, and only pointers move.
    #[expect(clippy::vec_box, reason = "see above")]
    inflates: Vec<Box<Inflate>>,
    deflates: Vec<(Kind, Box<Deflate>)>,
}

/// The parameters of a state for compressing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) level: u8,
    pub(super) bits: u8,
}

// Making, clearing and dropping a state take microseconds. So none of them is done under the lock, which all
// connections share.
impl DeflatePool {
    pub(super) fn inflate(&self) -> Box<Inflate> {
        let pooled = self.states().inflates.pop();
        match pooled {
            Some(mut inflate) => {
                inflate.reset(false);
                inflate
            }
            // The largest window can inflate for every window of a peer.
            None => Box::new(Inflate::new(false, WindowBits::MAX.get())),
        }
    }

    pub(super) fn recycle_inflate(&self, inflate: Box<Inflate>) {
        let surplus = keep(&mut self.states().inflates, inflate);
        drop(surplus);
    }

    pub(super) fn deflate(&self, kind: Kind) -> Box<Deflate> {
        let pooled = self.states().take_deflate(kind);
        match pooled {
            Some(mut deflate) => {
                deflate.reset();
                deflate
            }
            None => Box::new(Deflate::new_with_config(zlib_rs::DeflateConfig {
                level: i32::from(kind.level),
                // Negative: without zlib's header.
                window_bits: -i32::from(kind.bits),
                mem_level: MEM_LEVEL,
                ..zlib_rs::DeflateConfig::default()
            })),
        }
    }

    pub(super) fn recycle_deflate(&self, kind: Kind, deflate: Box<Deflate>) {
        let surplus = keep(&mut self.states().deflates, (kind, deflate));
        drop(surplus);
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for DeflatePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeflatePool").finish_non_exhaustive()
    }
}

impl States {
    fn take_deflate(&mut self, wanted: Kind) -> Option<Box<Deflate>> {
        let at = self.deflates.iter().position(|(kind, _)| *kind == wanted)?;
        Some(self.deflates.swap_remove(at).1)
    }
}

/// Keeps a state. Returns the first state if the pool was full, so that an unused kind does not fill it for ever.
fn keep<T>(states: &mut Vec<T>, state: T) -> Option<T> {
    let surplus = (states.len() == MAX_STATES).then(|| states.swap_remove(0));
    states.push(state);
    surplus
}

/// The largest number of states in the pool. Only as many are in use as threads compress at once.
const MAX_STATES: usize = 8;
/// zlib-rs clears a buffer of 192 bytes times two to this power before each block. With its default, 8, that is
/// 48 KiB for each message, and twice as much if no window is kept. 6 compresses as well.
const MEM_LEVEL: i32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Kind = Kind { level: 4, bits: 9 };
    const LARGE: Kind = Kind { level: 4, bits: 15 };

    fn kept(pool: &DeflatePool) -> (usize, usize) {
        let states = pool.states();
        (states.inflates.len(), states.deflates.len())
    }

    #[test]
    fn what_one_gives_back_another_is_given() {
        let pool = DeflatePool::default();
        pool.recycle_inflate(pool.inflate());
        pool.recycle_deflate(SMALL, pool.deflate(SMALL));
        assert_eq!(kept(&pool), (1, 1));
        let _large = pool.deflate(LARGE);
        assert_eq!(kept(&pool), (1, 1), "the pool has no state of this kind");
        let (_inflate, _small) = (pool.inflate(), pool.deflate(SMALL));
        assert_eq!(kept(&pool), (0, 0));
    }

    #[test]
    fn no_more_than_eight_of_each_are_kept_and_no_kind_for_ever() {
        let pool = DeflatePool::default();
        let inflates = [(); 9].map(|()| pool.inflate());
        let small = [(); 9].map(|()| pool.deflate(SMALL));
        for (inflate, deflate) in inflates.into_iter().zip(small) {
            pool.recycle_inflate(inflate);
            pool.recycle_deflate(SMALL, deflate);
        }
        assert_eq!(kept(&pool), (8, 8));
        pool.recycle_deflate(LARGE, pool.deflate(LARGE));
        assert_eq!(kept(&pool), (8, 8));
        let _large = pool.deflate(LARGE);
        assert_eq!(kept(&pool), (8, 7));
    }
}
