use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};

/// How the request body of a stream ended. The gRPC layer cannot tell: to it a peer that resets the stream with CANCEL,
/// as a dying process does, looks like one that has finished.
#[derive(Clone, Debug, Default)]
pub(crate) struct BodyEnd {
    in_order: Arc<AtomicBool>,
}

impl BodyEnd {
    /// Whether the peer closed its side with END_STREAM (RFC 9113 §5.1). False while it is open.
    pub(crate) fn is_in_order(&self) -> bool {
        self.in_order.load(Ordering::Acquire)
    }
}

/// A request body that notes its end.
#[derive(Debug)]
pub(crate) struct WatchedBody<B> {
    inner: B,
    end: BodyEnd,
}

impl<B> WatchedBody<B> {
    pub(crate) fn new(inner: B) -> (Self, BodyEnd) {
        let end = BodyEnd::default();
        (Self { inner, end: end.clone() }, end)
    }
}

impl<B: Body + Unpin> Body for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if frame.is_none() && self.inner.is_end_stream() {
            self.end.in_order.store(true, Ordering::Release);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        // Never early: tonic would stop polling, and the end would go unnoted.
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
