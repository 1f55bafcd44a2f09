//! The buffers that the connections of a thread share. A connection has buffers only while its task runs, so an idle
//! connection has none. A buffer returns when it is dropped, on every path.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut, RangeInclusive};

use bytes::Bytes;
use sockeye_mailbox::Taken;
use sockeye_proto::{Message, MessageBuffer, Output, Text, WholeMessage};

/// The most bytes of one read. Messages of 16 KiB cost a tenth less with 128 KiB than with 64 KiB.
pub(crate) const SCRATCH_LEN: usize = 128 * 1024;
/// The most scratch buffers that a thread keeps: few of its connections are in the middle of a turn at once.
const MAX_SCRATCHES: usize = 2;
const MAX_BUFFERS: usize = 16;
const MAX_OUTPUTS: usize = 16;
/// The capacity above which a buffer is large. The thread keeps a few large buffers. When a large buffer is freed, the
/// allocator may return its pages to the kernel, and the next large message pays one page fault for each 4 KiB.
pub(crate) const MAX_KEPT_CAPACITY: usize = 128 * 1024;
/// The thread frees a buffer above this capacity.
const MAX_LARGE_CAPACITY: usize = 2 * 1024 * 1024;
/// The total capacity of the large buffers that a thread keeps.
const MAX_LARGE_BUFFERS: usize = 4 * 1024 * 1024;
const LARGE: usize = MAX_KEPT_CAPACITY + 1;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::new()) };
}

struct Pool {
    scratches: Vec<Box<[u8]>>,
    buffers: Vec<Vec<u8>>,
    outputs: Vec<Output>,
    // The last one was used most recently.
    large_buffers: Vec<Vec<u8>>,
    // One is enough: it serves one connection at a time.
    items: Vec<Taken>,
}

impl Pool {
    const fn new() -> Self {
        Self {
            scratches: Vec::new(),
            buffers: Vec::new(),
            outputs: Vec::new(),
            large_buffers: Vec::new(),
            items: Vec::new(),
        }
    }

    /// Keeps a large buffer, and frees the least recently used ones above the limit.
    fn keep_large(&mut self, buffer: Vec<u8>) {
        let kept = &mut self.large_buffers;
        kept.push(buffer);
        while kept.iter().map(Vec::capacity).sum::<usize>() > MAX_LARGE_BUFFERS {
            kept.remove(0);
        }
    }
}

/// A read buffer, on loan from the thread.
#[derive(Debug)]
pub(crate) struct Scratch(Box<[u8]>);

impl Scratch {
    pub(crate) fn take() -> Self {
        let pooled = POOL.with_borrow_mut(|pool| pool.scratches.pop());
        Self(pooled.unwrap_or_else(|| vec![0; SCRATCH_LEN].into()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let scratch = std::mem::take(&mut self.0);
        // While the thread ends, its pool is gone.
        let _ = POOL.try_with(|pool| {
            let pool = &mut pool.borrow_mut().scratches;
            if pool.len() < MAX_SCRATCHES {
                pool.push(scratch);
            }
        });
    }
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// An empty list for the items of an outbox.
pub(crate) fn take_items() -> Vec<Taken> {
    POOL.with_borrow_mut(|pool| std::mem::take(&mut pool.items))
}

/// Returns the list, which is empty.
pub(crate) fn recycle_items(items: Vec<Taken>) {
    debug_assert!(items.is_empty());
    POOL.with_borrow_mut(|pool| pool.items = items);
}

/// An empty buffer for a message.
pub(crate) fn take_buffer() -> Vec<u8> {
    POOL.with_borrow_mut(|pool| pool.buffers.pop())
        .unwrap_or_default()
}

/// Returns the buffer of a message.
pub(crate) fn recycle_buffer(mut buffer: Vec<u8>) {
    buffer.clear();
    // While the thread ends, its pool is gone.
    let _ = POOL.try_with(|pool| {
        let pool = &mut *pool.borrow_mut();
        match buffer.capacity() {
            1..=MAX_KEPT_CAPACITY if pool.buffers.len() < MAX_BUFFERS => pool.buffers.push(buffer),
            LARGE..=MAX_LARGE_CAPACITY => pool.keep_large(buffer),
            _ => {}
        }
    });
}

/// Takes an empty large buffer whose capacity is in the range.
pub(crate) fn take_large_buffer(capacity: RangeInclusive<usize>) -> Option<Vec<u8>> {
    POOL.with_borrow_mut(|pool| {
        let kept = &mut pool.large_buffers;
        let fitting = kept
            .iter()
            .rposition(|buffer| capacity.contains(&buffer.capacity()));
        fitting.map(|at| kept.remove(at))
    })
}

/// Returns the buffer of a message that was handled.
#[inline]
pub(crate) fn recycle_message(message: &mut MessageBuffer) {
    if message.capacity() > 0 {
        recycle_buffer_of(message);
    }
}

#[inline(never)]
fn recycle_buffer_of(message: &mut MessageBuffer) {
    recycle_buffer(std::mem::take(message).into_vec());
}

/// Copies a borrowed message into a buffer that is used again.
#[inline]
pub(crate) fn set_message(message: &mut MessageBuffer, lent: WholeMessage<'_>) {
    match lent {
        WholeMessage::Text(text) => set_text(message, text),
        WholeMessage::Binary(bytes) => set_binary(message, bytes),
    }
}

/// Copies a text into a buffer that is used again.
// Inlined: a call would cost as much as a short copy.
#[inline(always)]
pub(crate) fn set_text(message: &mut MessageBuffer, text: &str) {
    if message.capacity() == 0 {
        *message = MessageBuffer::Binary(take_buffer());
    }
    message.set_text(text);
}

/// Copies bytes into a buffer that is used again.
#[inline(always)]
pub(crate) fn set_binary(message: &mut MessageBuffer, bytes: &[u8]) {
    if message.capacity() == 0 {
        *message = MessageBuffer::Binary(take_buffer());
    }
    message.set_binary(bytes);
}

/// Makes a message from its buffer. A small message in a large buffer is copied, so that it does not keep the buffer.
pub(crate) fn into_message(buffer: MessageBuffer) -> Message {
    if buffer.len() >= buffer.capacity() / 2 {
        return buffer.into();
    }
    let message = match &buffer {
        MessageBuffer::Text(text) => Message::from(text.as_str()),
        MessageBuffer::Binary(bytes) => Message::from(bytes.as_slice()),
    };
    recycle_buffer(buffer.into_vec());
    message
}

/// Makes a shared message from its buffer. The last clone returns the buffer to the pool of its thread.
pub(crate) fn share(buffer: MessageBuffer) -> Message {
    match buffer {
        MessageBuffer::Text(text) => Message::Text(Text::from_owner(Lent(text))),
        MessageBuffer::Binary(bytes) => Message::Binary(Bytes::from_owner(Lent(bytes))),
    }
}

/// A message's buffer that returns to the pool on drop.
struct Lent<B: Default + Into<Vec<u8>>>(B);

impl<B: Default + Into<Vec<u8>>> Drop for Lent<B> {
    fn drop(&mut self) {
        recycle_buffer(std::mem::take(&mut self.0).into());
    }
}

impl AsRef<str> for Lent<String> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<[u8]> for Lent<Vec<u8>> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Empty output buffers.
pub(crate) fn take_output() -> Output {
    POOL.with_borrow_mut(|pool| pool.outputs.pop())
        .unwrap_or_default()
}

/// Returns empty output buffers.
pub(crate) fn recycle_output(output: Output) {
    let retained = output.retained_bytes();
    if retained == 0 || retained > MAX_KEPT_CAPACITY {
        return;
    }
    POOL.with_borrow_mut(|pool| {
        if pool.outputs.len() < MAX_OUTPUTS {
            pool.outputs.push(output);
        }
    });
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_goes_back_whole_and_is_used_again() {
        let scratch = Scratch::take();
        let at = scratch.as_ptr();
        drop(scratch);
        let again = Scratch::take();
        assert_eq!(again.as_ptr(), at);
        assert_eq!(again.len(), SCRATCH_LEN);
    }

    #[test]
    fn large_buffers_are_kept_apart_and_not_for_small_messages() {
        recycle_buffer(Vec::with_capacity(MAX_KEPT_CAPACITY));
        recycle_buffer(vec![1; LARGE]);
        assert_eq!(take_buffer().capacity(), MAX_KEPT_CAPACITY);
        assert_eq!(take_buffer().capacity(), 0);
        assert_eq!(take_large_buffer(0..=LARGE - 1), None);
        assert_eq!(take_large_buffer(LARGE + 1..=usize::MAX), None);
        let taken = take_large_buffer(LARGE..=LARGE).unwrap();
        assert_eq!((taken.len(), taken.capacity()), (0, LARGE));
        assert_eq!(take_large_buffer(0..=usize::MAX), None);
    }

    #[test]
    fn the_large_buffers_that_came_back_last_are_kept_up_to_4_mib() {
        let third = MAX_LARGE_BUFFERS / 3;
        for capacity in [third - 2, third - 1, third, third + 1] {
            recycle_buffer(Vec::with_capacity(capacity));
        }
        let mut kept = std::iter::from_fn(|| take_large_buffer(0..=usize::MAX));
        let capacities: Vec<_> = kept.by_ref().map(|buffer| buffer.capacity()).collect();
        assert_eq!(capacities, [third + 1, third, third - 1]);
    }

    #[test]
    fn a_buffer_that_is_larger_than_the_largest_is_not_kept() {
        recycle_buffer(Vec::with_capacity(MAX_LARGE_CAPACITY));
        let kept = take_large_buffer(0..=usize::MAX).unwrap();
        assert_eq!(kept.capacity(), MAX_LARGE_CAPACITY);
        recycle_buffer(Vec::with_capacity(MAX_LARGE_CAPACITY + 1));
        assert_eq!(take_large_buffer(0..=usize::MAX), None);
        assert_eq!(take_buffer().capacity(), 0);
    }

    #[test]
    fn a_small_message_to_keep_leaves_its_large_buffer() {
        let mut buffer = Vec::with_capacity(1000);
        buffer.extend_from_slice(b"small");
        let at = buffer.as_ptr();
        let message = into_message(MessageBuffer::Binary(buffer));
        assert_eq!(message.as_bytes(), b"small");
        let buffer = take_buffer();
        assert_eq!(buffer.as_ptr(), at);
        let message = into_message(MessageBuffer::Text("all of it".to_owned()));
        assert_eq!(message.as_text(), Some("all of it"));
    }

    #[test]
    fn the_buffer_of_a_message_that_is_shared_goes_back_with_the_last_of_those_that_share_it() {
        for buffer in [
            MessageBuffer::Text("text".to_owned()),
            MessageBuffer::Binary(b"bytes".to_vec()),
        ] {
            let (expected, capacity) = (Message::from(buffer.clone()), buffer.capacity());
            let message = share(buffer);
            assert_eq!(message, expected);
            let clone = message.clone();
            drop(message);
            assert_eq!(take_buffer().capacity(), 0);
            drop(clone);
            assert_eq!(take_buffer().capacity(), capacity);
        }
    }

    #[test]
    fn a_message_is_put_into_a_buffer_that_was_used_before() {
        recycle_buffer(Vec::with_capacity(1000));
        let mut message = MessageBuffer::default();
        set_text(&mut message, "text");
        assert_eq!(message, MessageBuffer::Text("text".to_owned()));
        let capacity = message.capacity();
        assert!(capacity >= 1000);
        set_binary(&mut message, b"bytes");
        assert_eq!(message, MessageBuffer::Binary(b"bytes".to_vec()));
        assert_eq!(message.capacity(), capacity);
        recycle_message(&mut message);
        assert_eq!(message.capacity(), 0);
        assert_eq!(take_buffer().capacity(), capacity);
    }
}
