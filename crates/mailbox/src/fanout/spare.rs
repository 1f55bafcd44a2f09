//! Memory that logs have released. Each thread keeps a little of it, for the next log that gets a message. A small channel
//! takes and releases the memory for each message, and would else allocate four buffers each time.

use std::cell::RefCell;

use super::unread::Unread;

thread_local! {
    #[expect(clippy::vec_box, reason = "a log takes the box as it is")]
    static SPARE: RefCell<Vec<Box<Unread>>> = const { RefCell::new(Vec::new()) };
}

/// How many a thread keeps.
const MANY: usize = 16;
/// How many bytes each of them has at most.
const MAX_BYTES: usize = 2048;

/// Takes memory for what is unread.
pub(super) fn take() -> Box<Unread> {
    // A thread that ends has none.
    let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
    spare.ok().flatten().unwrap_or_default()
}

/// Gives memory back, when all is read.
pub(super) fn give(mut unread: Box<Unread>) {
    unread.finish();
    if unread.memory() > MAX_BYTES {
        return;
    }
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < MANY {
            spare.push(unread);
        }
    });
}

#[cfg(all(test, not(loom)))]
mod tests {
    use sockeye_proto::PreparedMessage;

    use super::*;
    use crate::fanout::budget::{Budget, Share};
    use crate::sync::Arc;

    /// Takes memory, and uses it for one message of this size. Returns where it is.
    fn use_once(size: usize) -> (Box<Unread>, *const Unread) {
        let mut unread = take();
        unread.start(7, 1, 1, Share::default());
        assert!(unread.push(&PreparedMessage::new("a".repeat(size))));
        unread.move_on(0, 7, 8);
        let at = &raw const *unread;
        (unread, at)
    }

    #[test]
    fn memory_that_is_given_back_is_taken_again_and_remembers_nothing() {
        let (used, at) = use_once(64);
        give(used);
        let mut again = take();
        assert_eq!(&raw const *again, at);
        let budget = Budget::new(1000);
        again.start(3, 2, 2, Share::of(Some(&budget)));
        assert_eq!((again.end(), again.position(1)), (3, Some(3)));
        assert!(again.push(&PreparedMessage::new("b")));
        assert_eq!(again.weight_between(3, 4), 64);
        again.move_on(0, 3, 4);
        assert!(!again.is_empty());
        again.move_on(1, 3, 4);
        assert!(again.is_empty());
        give(again);
        assert_eq!(Arc::strong_count(&budget), 1);
    }

    #[test]
    fn a_thread_keeps_few_and_no_large_ones() {
        let kept = || SPARE.with(|spare| spare.borrow().len());
        let used: Vec<_> = (0..MANY + 1).map(|_| use_once(1).0).collect();
        used.into_iter().for_each(give);
        assert_eq!(kept(), MANY);
        // A long message makes one of them large.
        give(use_once(MAX_BYTES).0);
        assert_eq!(kept(), MANY - 1);
    }
}
