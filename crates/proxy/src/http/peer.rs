use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::Reason;
use h2::client::ResponseFuture;
use http::Method;
use leno_ir::{HeaderNames, ResponseHeaders, UpstreamHttp};
use tokio::io::AsyncWrite;

use super::codec::{
    BodyDecoder, BodyEncoder, HeadLimits, Malformed, Names, RequestStyle, decode_response, encode_request,
};
use super::head::{Frame, Framing, RequestHead, ResponseHead};
use super::http1::{Http1Io, ReadError};
use super::http2::{BodySink, BodySource, request_to, response_from};
use crate::stream::Stream;
use crate::upstream::{Connected, Http1Lease, Http2Lease};

/// Of who sends bytes and no responses.
const NO_LIMITS: HeadLimits = HeadLimits { bytes: 0, fields: 0 };
/// Buffers kept per worker for the next exchange.
const MOST_SPARE: usize = 64;

thread_local! {
    #[expect(clippy::vec_box, reason = "exchanges hold them boxed; taking one must not copy it")]
    static SPARE: RefCell<Vec<Box<Http1Io>>> = const { RefCell::new(Vec::new()) };
}

/// The upstream's side of one try.
#[derive(Debug)]
pub(super) enum Peer {
    Http1(Http1Peer),
    Http2(Box<Http2Peer>),
}

#[derive(Debug)]
pub(super) struct Http1Peer {
    transport: Transport,
    io: Option<Box<Http1Io>>,
    method: Method,
    /// Of the response's head.
    limits: HeadLimits,
    keep_alive: bool,
    response_is_done: bool,
    tunnel: bool,
    has_read: bool,
    write_failed: bool,
}

#[derive(Debug)]
enum Transport {
    Lease(Http1Lease),
    /// A connection of its own: `CONNECT`.
    Raw(Connected),
}

#[derive(Debug)]
pub(super) struct Http2Peer {
    // Before the lease, whose end frees the place of the stream.
    response: Option<ResponseFuture>,
    /// What an extended `CONNECT` asks for.
    upgrade: Option<Bytes>,
    is_connect: bool,
    sink: BodySink,
    source: Option<BodySource>,
    reused: bool,
    /// By the other side.
    has_failed: bool,
    lease: Http2Lease,
}

/// Why a try ended before its response did.
#[derive(Debug)]
pub(super) enum PeerError {
    /// The connection closed or broke.
    Closed,
    /// Bytes that are not HTTP as we take it.
    Protocol(&'static str),
    /// By the peer, with RFC 9113 §7's code.
    Reset(Reason),
}

impl From<ReadError> for PeerError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(_) | ReadError::Malformed(Malformed::Closed) => Self::Closed,
            ReadError::Malformed(error) => Self::Protocol(error.details()),
        }
    }
}

impl From<h2::Error> for PeerError {
    fn from(error: h2::Error) -> Self {
        match error.reason() {
            // A GOAWAY that leaves the stream out: the peer has not looked at it (RFC 9113 §6.8).
            Some(Reason::NO_ERROR) if error.is_go_away() => Self::Reset(Reason::REFUSED_STREAM),
            Some(reason) if error.is_reset() && error.is_remote() => Self::Reset(reason),
            Some(_) if error.is_library() => Self::Protocol("http2.protocol_error"),
            _ => Self::Closed,
        }
    }
}

impl Transport {
    /// Notes whose end it is that an exchange fails with.
    fn failed(&self, error: PeerError) -> PeerError {
        if let PeerError::Closed = error {
            match self {
                Self::Lease(lease) => lease.closed_by_remote(),
                Self::Raw(connected) => connected.counted.closed_by_remote(),
            }
        }
        error
    }

    fn stream(&mut self) -> &mut Stream {
        match self {
            Self::Lease(lease) => lease.stream(),
            Self::Raw(connected) => &mut connected.stream,
        }
    }
}

impl Peer {
    /// Queues the head on a pooled connection.
    pub(super) fn http1(lease: Http1Lease, head: &RequestHead, framing: Framing) -> Self {
        let mut io = spare();
        let UpstreamHttp { http1: options, response_headers, .. } = lease.options();
        io.set_options(options);
        let limits = limits(response_headers);
        let names = Names::of(head.keeps_names, options.names);
        let style = RequestStyle { names, is_absolute: options.absolute_target };
        encode_request(head, framing, style, &mut io.out);
        io.start_body(framing, names);
        Self::Http1(Http1Peer::new(Transport::Lease(lease), io, head.method.clone(), limits))
    }

    /// Bytes to a TCP upstream, for `CONNECT`.
    pub(super) fn raw(connected: Connected) -> Self {
        let mut peer = Http1Peer::new(Transport::Raw(connected), spare(), Method::CONNECT, NO_LIMITS);
        peer.become_tunnel();
        Self::Http1(peer)
    }

    /// Sends the head on a stream of a shared connection.
    pub(super) fn http2(mut lease: Http2Lease, head: &RequestHead, framing: Framing) -> Result<Self, PeerError> {
        let request = request_to(head).ok_or(PeerError::Protocol("http2.invalid_request"))?;
        let ends = framing.is_empty() && !head.wants_tunnel();
        let (response, stream) = lease.sender.send_request(request, ends)?;
        Ok(Self::Http2(Box::new(Http2Peer {
            response: Some(response),
            upgrade: head.upgrade.clone(),
            is_connect: head.method == Method::CONNECT,
            sink: BodySink::new(stream, ends),
            source: None,
            reused: lease.reused,
            has_failed: false,
            lease,
        })))
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Whether a close before the response may be the peer's idle time-out meeting our request.
    pub(super) fn may_be_stale(&self) -> bool {
        match self {
            Self::Http1(peer) => matches!(&peer.transport, Transport::Lease(lease) if lease.reused) && !peer.has_read,
            Self::Http2(peer) => peer.reused && peer.response.is_some(),
        }
    }

    pub(super) fn push(&mut self, frame: Frame) -> Result<(), PeerError> {
        match self {
            Self::Http1(peer) => match &mut peer.io {
                Some(io) if !peer.write_failed => {
                    io.encoder.encode(frame, &mut io.out).map_err(|_| PeerError::Protocol("wrong_request_length"))
                }
                _ => Ok(()),
            },
            Self::Http2(peer) => {
                peer.sink.push(frame);
                Ok(())
            }
        }
    }

    pub(super) fn backlog(&self) -> usize {
        match self {
            Self::Http1(peer) => peer.io.as_ref().map_or(0, |io| io.out.len()),
            Self::Http2(peer) => peer.sink.backlog(),
        }
    }

    /// Ready when the connection has taken all. A failure to write is left for the reader to explain, because the
    /// response may be there already (RFC 9112 §9.5).
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http1(peer) => {
                let Some(io) = &mut peer.io else { return Poll::Ready(()) };
                if let Err(_error) = ready!(io.poll_flush(peer.transport.stream(), cx)) {
                    peer.write_failed = true;
                    peer.keep_alive = false;
                    io.out.clear();
                }
                Poll::Ready(())
            }
            Self::Http2(peer) => peer.sink.poll_flush(cx).map(|_| ()),
        }
    }

    /// The next head: informational ones first, then the final one, whose framing is returned.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<Framing, PeerError>> {
        match self {
            Self::Http1(peer) => peer.poll_head(cx, head),
            Self::Http2(peer) => peer.poll_head(cx, head),
        }
    }

    pub(super) fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, PeerError>> {
        match self {
            Self::Http1(peer) => {
                let Some(io) = &mut peer.io else { return Poll::Ready(Err(PeerError::Closed)) };
                let frame = match ready!(io.poll_frame(peer.transport.stream(), cx)) {
                    Ok(frame) => frame,
                    // Envoy's word for it: a parser met the end where there is none.
                    Err(ReadError::Malformed(error @ Malformed::Closed)) => {
                        let error = PeerError::Protocol(error.details());
                        return Poll::Ready(Err(peer.transport.failed(error)));
                    }
                    Err(error) => return Poll::Ready(Err(peer.transport.failed(error.into()))),
                };
                peer.response_is_done = !matches!(frame, Frame::Data { last: false, .. });
                Poll::Ready(Ok(frame))
            }
            Self::Http2(peer) => match &mut peer.source {
                Some(source) => {
                    let polled = source.poll_frame(cx).map_err(PeerError::from);
                    peer.has_failed |= matches!(polled, Poll::Ready(Err(_)));
                    polled
                }
                None => Poll::Ready(Err(PeerError::Closed)),
            },
        }
    }

    /// Everything of the response pushed so far was taken by the client.
    pub(super) fn release_credit(&mut self) {
        if let Self::Http2(peer) = self
            && let Some(source) = &mut peer.source
        {
            source.release();
        }
    }

    pub(super) fn become_tunnel(&mut self) {
        if let Self::Http1(peer) = self {
            peer.become_tunnel();
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            // An upstream that cannot be told is gone.
            Self::Http1(peer) if peer.tunnel => Pin::new(peer.transport.stream()).poll_shutdown(cx).map(|_| ()),
            _ => Poll::Ready(()),
        }
    }

    /// The response ended: the connection goes back to the pool if it can carry another request.
    pub(super) fn finish(self) {
        match self {
            Self::Http1(peer) => peer.finish(),
            Self::Http2(mut peer) => {
                // A server may answer before the end of the request and want no more of it (RFC 9113 §8.1).
                if !peer.sink.is_done() {
                    peer.sink.reset(Reason::NO_ERROR);
                }
            }
        }
    }

    /// The try is given up.
    pub(super) fn cancel(self, reason: Reason) {
        if let Self::Http2(mut peer) = self {
            if !peer.has_failed {
                peer.lease.was_reset();
            }
            peer.sink.reset(reason);
        }
    }
}

impl Http1Peer {
    fn new(transport: Transport, io: Box<Http1Io>, method: Method, limits: HeadLimits) -> Self {
        Self {
            transport,
            io: Some(io),
            method,
            limits,
            keep_alive: false,
            response_is_done: false,
            tunnel: false,
            has_read: false,
            write_failed: false,
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> Poll<Result<Framing, PeerError>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Err(PeerError::Closed)) };
        let polled = io.poll_head(self.transport.stream(), cx, self.limits);
        self.has_read |= !io.read.is_empty();
        let length = match ready!(polled) {
            Ok(Some(length)) => length,
            Ok(None) => return Poll::Ready(Err(self.transport.failed(PeerError::Closed))),
            Err(error) => return Poll::Ready(Err(self.transport.failed(error.into()))),
        };
        let decoded =
            decode_response(&mut io.read, length, self.limits, &self.method, head).map_err(ReadError::from)?;
        head.keeps_names = io.names == HeaderNames::AsReceived;
        io.decoder = BodyDecoder::new(decoded.framing, self.limits);
        self.keep_alive = decoded.keep_alive && !self.write_failed;
        self.response_is_done = io.decoder.is_done();
        Poll::Ready(Ok(decoded.framing))
    }

    fn become_tunnel(&mut self) {
        self.tunnel = true;
        self.keep_alive = false;
        if let Some(io) = &mut self.io {
            io.decoder = BodyDecoder::new(Framing::UntilClose, NO_LIMITS);
            io.encoder = BodyEncoder::new(Framing::UntilClose);
        }
    }

    fn finish(mut self) {
        let Some(io) = self.io.take() else { return };
        if let Transport::Lease(lease) = &self.transport {
            lease.is_answered();
        }
        // Bytes beyond the response would be taken for the next one's.
        let is_clean = io.read.is_empty() && io.out.is_empty() && io.encoder.is_done();
        if self.keep_alive && self.response_is_done && is_clean {
            give_back(io);
            if let Transport::Lease(lease) = self.transport {
                lease.release();
            }
        }
    }
}

impl Http2Peer {
    fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> Poll<Result<Framing, PeerError>> {
        let Some(response) = &mut self.response else { return Poll::Ready(Err(PeerError::Closed)) };
        if let Poll::Ready(Some(informational)) = response.poll_informational(cx) {
            self.has_failed |= informational.is_err();
            let (parts, ()) = informational?.into_parts();
            response_from(&parts, head);
            return Poll::Ready(Ok(Framing::None));
        }
        let polled = ready!(Pin::new(response).poll(cx));
        self.has_failed |= polled.is_err();
        let (parts, body) = polled?.into_parts();
        self.response = None;
        if parts.headers.len() > self.lease.options().response_headers.most_count as usize {
            return Poll::Ready(Err(PeerError::Protocol("http2.too_many_headers")));
        }
        response_from(&parts, head);
        if self.upgrade.is_some() && (200..300).contains(&head.status) {
            // RFC 8441 §4: what 101 is in HTTP/1.1.
            (head.status, head.upgrade) = (101, self.upgrade.take());
            head.headers.remove("content-length");
        }
        let source = BodySource::new(body);
        let length = head.headers.get_str("content-length").and_then(|length| length.parse().ok());
        let framing = match length {
            _ if source.is_done => Framing::None,
            _ if head.status == 101 || (self.is_connect && (200..300).contains(&head.status)) => Framing::UntilClose,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        self.source = Some(source);
        Poll::Ready(Ok(framing))
    }
}

fn limits(of: &ResponseHeaders) -> HeadLimits {
    HeadLimits { bytes: of.most_bytes as usize, fields: of.most_count as usize }
}

fn spare() -> Box<Http1Io> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Box::new(Http1Io::new(BytesMut::new())))
}

fn give_back(mut io: Box<Http1Io>) {
    io.recycle();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < MOST_SPARE {
            spare.push(io);
        }
    });
}
