//! Write buffers that idle connections do not need: whoever writes takes one, so that a busy connection gets its own back
//! without a call of the allocator.

use std::cell::RefCell;

/// Chosen: connections that write at the same moment on one thread; the rest is freed.
const MOST: usize = 16;
/// A buffer that grew beyond this is not kept.
const MOST_BYTES: usize = 64 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Empty; one without capacity when there is none.
pub(crate) fn take() -> Vec<u8> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

pub(crate) fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > MOST_BYTES {
        return;
    }
    buffer.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < MOST {
            spare.push(buffer);
        }
    });
}
