use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use h2::Reason;
use tokio::io::AsyncWrite;

use super::codec::{BodyDecoder, HeadLimits, Malformed, Names, encode_response};
use super::head::{Frame, Framing, ResponseHead, Version};
use super::http1::{Http1Io, ReadError};
use super::http2::{BodySink, ServerStream};
use crate::drain::DrainSignal;
use crate::stream::Stream;

/// The client's side of one exchange.
#[derive(Debug)]
pub(super) enum Downstream<'a> {
    Http1(Http1Downstream<'a>),
    Http2(Box<ServerStream>),
}

#[derive(Debug)]
pub(super) struct Http1Downstream<'a> {
    pub(super) stream: &'a mut Stream,
    pub(super) io: &'a mut Http1Io,
    pub(super) version: Version,
    /// Whether another request may follow; only ever turned off.
    pub(super) keep_alive: bool,
    pub(super) request_is_done: bool,
    pub(super) tunnel: bool,
    /// The end of a body without length is told by closing.
    shuts_down: bool,
    pub(super) drain: Rc<DrainSignal>,
    /// When the connection is as old as it may be.
    pub(super) expires: Option<Instant>,
}

/// Why the client's side ended before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownstreamError {
    #[error("the client went away")]
    Gone,
    #[error(transparent)]
    Malformed(Malformed),
}

impl From<ReadError> for DownstreamError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Malformed(Malformed::Closed) | ReadError::Io(_) => Self::Gone,
            ReadError::Malformed(error) => Self::Malformed(error),
        }
    }
}

impl<'a> Http1Downstream<'a> {
    pub(super) fn new(
        stream: &'a mut Stream,
        io: &'a mut Http1Io,
        version: Version,
        keep_alive: bool,
        drain: Rc<DrainSignal>,
    ) -> Self {
        let request_is_done = io.decoder.is_done();
        Self {
            stream,
            io,
            version,
            keep_alive,
            request_is_done,
            tunnel: false,
            shuts_down: false,
            drain,
            expires: None,
        }
    }
}

/// Bytes of the next requests kept while one is served.
const MOST_PIPELINED_BYTES: usize = 64 * 1024;

impl Downstream<'_> {
    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    pub(super) fn request_is_done(&self) -> bool {
        match self {
            Self::Http1(http1) => http1.request_is_done,
            Self::Http2(stream) => stream.source.is_done,
        }
    }

    /// The next piece of the request's body. Not to be called after its end.
    pub(super) fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, DownstreamError>> {
        match self {
            Self::Http1(http1) => {
                let frame = ready!(http1.io.poll_frame(http1.stream, cx))?;
                http1.request_is_done = !matches!(frame, Frame::Data { last: false, .. });
                Poll::Ready(Ok(frame))
            }
            Self::Http2(stream) => stream.source.poll_frame(cx).map_err(|_| DownstreamError::Gone),
        }
    }

    /// Ready when the client has gone while we wait for something else.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http1(http1) => {
                if !http1.request_is_done || http1.tunnel {
                    return Poll::Pending;
                }
                while http1.io.read.len() < MOST_PIPELINED_BYTES {
                    match ready!(http1.io.poll_fill(http1.stream, cx)) {
                        Ok(0) | Err(_) => return Poll::Ready(()),
                        Ok(_) => {}
                    }
                }
                Poll::Pending
            }
            Self::Http2(stream) => stream.poll_reset(cx).map(|_| ()),
        }
    }

    /// Everything pushed from the request's body has been taken by the upstream: the client may send more.
    pub(super) fn release(&mut self) {
        if let Self::Http2(stream) = self {
            stream.source.release();
        }
    }

    /// `100 Continue` and its like.
    pub(super) fn inform(&mut self, head: &ResponseHead) {
        match self {
            // RFC 9110 §15.2: not to HTTP/1.0 clients.
            Self::Http1(http1) if http1.version == Version::Http11 => {
                let names = Names::of(head.keeps_names, http1.io.names);
                encode_response(head, Framing::None, http1.version, true, names, &mut http1.io.out);
            }
            Self::Http1(_) => {}
            Self::Http2(stream) => stream.inform(head),
        }
    }

    /// Queues the head; [`Downstream::poll_flush`] sends it together with what of the body is pushed by then.
    pub(super) fn respond(&mut self, head: &ResponseHead, framing: Framing) {
        match self {
            Self::Http1(http1) => {
                let framing = match framing {
                    Framing::UntilClose | Framing::Chunked if !http1.tunnel => match http1.version {
                        Version::Http10 => Framing::UntilClose,
                        _ => Framing::Chunked,
                    },
                    framing => framing,
                };
                let is_old = http1.expires.is_some_and(|at| at <= Instant::now());
                let closes =
                    framing == Framing::UntilClose || !http1.request_is_done || http1.drain.is_draining() || is_old;
                http1.keep_alive &= !closes;
                http1.shuts_down = framing == Framing::UntilClose;
                let keep_alive = http1.keep_alive || http1.tunnel;
                let names = Names::of(head.keeps_names, http1.io.names);
                encode_response(head, framing, http1.version, keep_alive, names, &mut http1.io.out);
                http1.io.start_body(framing, names);
            }
            Self::Http2(stream) => stream.respond(head, framing),
        }
    }

    pub(super) fn push(&mut self, frame: Frame) -> Result<(), DownstreamError> {
        match self {
            Self::Http1(http1) => http1.io.encoder.encode(frame, &mut http1.io.out).map_err(|_| DownstreamError::Gone),
            Self::Http2(stream) => {
                stream.push(frame);
                Ok(())
            }
        }
    }

    pub(super) fn backlog(&self) -> usize {
        match self {
            Self::Http1(http1) => http1.io.out.len(),
            Self::Http2(stream) => stream.sink.as_ref().map_or(0, BodySink::backlog),
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DownstreamError>> {
        match self {
            Self::Http1(http1) => http1.io.poll_flush(http1.stream, cx).map_err(|_: io::Error| DownstreamError::Gone),
            Self::Http2(stream) => stream.poll_flush(cx).map_err(|_| DownstreamError::Gone),
        }
    }

    /// After the last byte of a tunnel: tells the client that nothing follows, and still listens.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http1(http1) if http1.shuts_down && http1.tunnel => {
                // A client that cannot be told is gone.
                Pin::new(&mut *http1.stream).poll_shutdown(cx).map(|_| ())
            }
            _ => Poll::Ready(()),
        }
    }

    /// HTTP/1: no other request may follow.
    pub(super) fn takes_no_more(&mut self) {
        if let Self::Http1(http1) = self {
            http1.keep_alive = false;
        }
    }

    /// The response cannot be finished: the client must not take it for complete.
    pub(super) fn abort(&mut self, reason: Reason) {
        match self {
            Self::Http1(http1) => {
                http1.keep_alive = false;
                http1.io.out.clear();
            }
            Self::Http2(stream) => stream.reset(reason),
        }
    }

    /// From now on bytes, both ways, without frames.
    pub(super) fn become_tunnel(&mut self) {
        if let Self::Http1(http1) = self {
            http1.tunnel = true;
            http1.request_is_done = false;
            http1.keep_alive = false;
            let limits = HeadLimits { bytes: 0, fields: 0 };
            http1.io.decoder = BodyDecoder::new(Framing::UntilClose, limits);
        }
    }
}
