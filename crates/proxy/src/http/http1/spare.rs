//! Read buffers that idle connections do not need: the next connection that reads takes one, so that a busy connection gets
//! its own back without a call of the allocator.

use std::cell::RefCell;

use bytes::BytesMut;

/// Chosen: connections that read at the same moment on one thread; the rest is freed.
const MOST: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// One without capacity when there is none.
pub(super) fn take() -> BytesMut {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

pub(super) fn give(buffer: BytesMut) {
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < MOST {
            spare.push(buffer);
        }
    });
}
