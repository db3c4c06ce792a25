//! HTTP/2 on both sides, by the `h2` crate: one task per connection.
//!
//! Invariants  a peer gets flow-control credit back only for what the other side has taken
//! Source      RFC 9113; windows as chosen below

mod body;
mod convert;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod keepalive;
mod names;
mod resets;
mod server;
mod streams;

use std::task::{Context, Poll};

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;

pub(super) use self::body::{BodySink, BodySource};
pub(super) use self::convert::{request_to, response_from};
pub(crate) use self::keepalive::Keepalive;
pub(super) use self::server::serve;
use super::head::{Frame, Framing, ResponseHead};

/// The client's side of one stream.
#[derive(Debug)]
pub(super) struct ServerStream {
    pub(super) source: BodySource,
    responder: SendResponse<Bytes>,
    pub(super) sink: Option<BodySink>,
    has_failed: bool,
}

impl ServerStream {
    fn new(source: BodySource, responder: SendResponse<Bytes>) -> Self {
        Self { source, responder, sink: None, has_failed: false }
    }

    /// Ready when the client has reset the stream, or its connection is gone: that is the error.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reason, h2::Error>> {
        match &mut self.sink {
            Some(sink) => sink.poll_reset(cx),
            None => self.responder.poll_reset(cx),
        }
    }

    pub(super) fn inform(&mut self, head: &ResponseHead) {
        // A client that cannot be informed is found gone by the next call.
        let _ = self.responder.send_informational(convert::response_to(head));
    }

    pub(super) fn respond(&mut self, head: &ResponseHead, framing: Framing) {
        let ends = framing.is_empty();
        match self.responder.send_response(convert::response_to(head), ends) {
            Ok(stream) => self.sink = Some(BodySink::new(stream, ends)),
            Err(_) => self.has_failed = true,
        }
    }

    pub(super) fn push(&mut self, frame: Frame) {
        if let Some(sink) = &mut self.sink {
            sink.push(frame);
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        match &mut self.sink {
            _ if self.has_failed => Poll::Ready(Err(Reason::CANCEL.into())),
            Some(sink) => sink.poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    pub(super) fn reset(&mut self, reason: Reason) {
        match &mut self.sink {
            Some(sink) => sink.reset(reason),
            None => self.responder.send_reset(reason),
        }
    }
}
