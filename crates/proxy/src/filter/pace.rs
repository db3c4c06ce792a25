use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::http::Frame;

/// How often bytes are let through (Envoy's `StreamRateLimiter`).
const SLICE: Duration = Duration::from_millis(50);
const SLICES_PER_SECOND: u64 = 20;

/// Lets so many bytes of a body through a second, a slice at a time. What is not used of a slice is lost.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_slice: usize,
    left: usize,
    /// The end of the slice.
    timer: Pin<Box<Sleep>>,
    held: Option<Frame>,
}

impl Pace {
    pub(super) fn new(kib_per_second: u64) -> Self {
        let bytes = kib_per_second.saturating_mul(1024) / SLICES_PER_SECOND;
        let bytes_per_slice = usize::try_from(bytes).unwrap_or(usize::MAX).max(1);
        Self { bytes_per_slice, left: bytes_per_slice, timer: Box::pin(tokio::time::sleep(SLICE)), held: None }
    }

    /// The next frame, or as much of it as may go now.
    pub(crate) fn poll_frame<E>(
        &mut self,
        cx: &mut Context<'_>,
        next: impl FnOnce(&mut Context<'_>) -> Poll<Result<Frame, E>>,
    ) -> Poll<Result<Frame, E>> {
        let frame = match self.held.take() {
            Some(frame) => frame,
            None => ready!(next(cx))?,
        };
        let Frame::Data { mut bytes, last } = frame else { return Poll::Ready(Ok(frame)) };
        if bytes.is_empty() {
            return Poll::Ready(Ok(Frame::Data { bytes, last }));
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            self.left = self.bytes_per_slice;
            self.timer.as_mut().reset(Instant::now() + SLICE);
        }
        if self.left == 0 {
            self.held = Some(Frame::Data { bytes, last });
            return Poll::Pending;
        }
        let rest = bytes.split_off(self.left.min(bytes.len()));
        self.left -= bytes.len();
        let last_now = last && rest.is_empty();
        if !rest.is_empty() {
            self.held = Some(Frame::Data { bytes: rest, last });
        }
        Poll::Ready(Ok(Frame::Data { bytes, last: last_now }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slice_lets_its_bytes_through_and_no_more() {
        let mut pace = Pace::new(10);
        let mut source = Some(Frame::Data { bytes: vec![0; 700].into(), last: true });
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut poll = || pace.poll_frame(&mut cx, |_| Poll::Ready(source.take().ok_or(())));
        let first = poll();
        assert!(
            matches!(&first, Poll::Ready(Ok(Frame::Data { bytes, last: false })) if bytes.len() == 512),
            "{first:?}"
        );
        assert!(poll().is_pending());
        let rest = std::future::poll_fn(|cx| pace.poll_frame(cx, |_| Poll::Ready(Err(())))).await;
        assert!(matches!(&rest, Ok(Frame::Data { bytes, last: true }) if bytes.len() == 188), "{rest:?}");
    }
}
