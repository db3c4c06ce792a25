//! A stream of bytes inside a request to an upstream that speaks HTTP.
//!
//! Shape       1 TCP connection -> 1 `Tunnel` -> 1 request: its body carries one way, its response's body the other
//! Invariants  at most one piece of each direction is held; the upstream gets credit (HTTP/2) for what the client has taken
//! Errors      a response that agrees to nothing is no tunnel; a request that ends early is a broken connection
//! Source      RFC 9110 §9.3.6, RFC 9113 §8.5; Envoy tcp_proxy.proto `TunnelingConfig`

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::Method;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head::{Frame, Framing, RequestHead, ResponseHead};
use super::peer::{Peer, PeerError};
use crate::exchange::Protocol;
use crate::proxy_protocol::ProxyAddresses;
use crate::upstream::{Caller, ConnectError, HttpLease, Pick};
use crate::worker::Worker;

/// Most that waits for the upstream before no more is taken from the client, in bytes. Chosen: a window of HTTP/2 at its default.
const MOST_WAITING_BYTES: usize = 64 * 1024;

/// A request that was agreed to. Dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Tunnel {
    peer: Peer,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) protocol: Protocol,
    /// Come, and not taken yet.
    read: Bytes,
    has_read_all: bool,
    has_said_all: bool,
}

/// Why there is no tunnel through an endpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TunnelError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the request for a tunnel broke: {0}")]
    Broken(&'static str),
    #[error("a tunnel was refused with status {0}")]
    Refused(u16),
}

impl From<PeerError> for TunnelError {
    fn from(error: PeerError) -> Self {
        Self::Broken(describe(&error))
    }
}

impl TunnelError {
    /// Whether another endpoint may be asked.
    pub(crate) fn retryable(&self) -> bool {
        match self {
            Self::Connect(error) => error.retryable(),
            Self::Broken(_) | Self::Refused(_) => true,
        }
    }
}

impl Tunnel {
    /// Asks the picked endpoint, and waits for its answer as long as it takes.
    ///
    /// # Errors
    /// When the endpoint cannot be reached, or does not agree.
    pub(crate) async fn open(
        worker: &Rc<Worker>,
        pick: &Pick,
        client: ProxyAddresses,
        request: &RequestHead,
    ) -> Result<Self, TunnelError> {
        let cluster = pick.cluster();
        let framing = if request.method == Method::CONNECT { Framing::None } else { Framing::Chunked };
        let caller = Caller { client: Some(client), ..Caller::default() };
        let (mut peer, local, protocol) = match cluster.http(worker, pick, &caller, false).await? {
            HttpLease::Http1(lease) => {
                let local = lease.local();
                (Peer::http1(lease, request, framing), local, Protocol::Http11)
            }
            HttpLease::Http2(lease) => {
                let local = lease.local();
                (Peer::http2(lease, request, framing)?, local, Protocol::Http2)
            }
        };
        let mut response = ResponseHead { status: 100, ..ResponseHead::default() };
        let mut framing = Framing::None;
        while response.is_informational() {
            let head = poll_fn(|cx| {
                // Ready or not, the response is what ends it.
                let _ = peer.poll_flush(cx);
                peer.poll_head(cx, &mut response)
            });
            framing = head.await?;
        }
        // As Envoy, which takes any 2xx (RFC 9110 §9.3.6) only in HTTP/1.
        let is_agreed = match protocol {
            Protocol::Http2 => response.status == 200,
            _ => (200..300).contains(&response.status),
        };
        if !is_agreed || framing.is_empty() {
            peer.cancel(h2::Reason::CANCEL);
            return Err(TunnelError::Refused(response.status));
        }
        if request.method == Method::CONNECT {
            peer.become_tunnel();
        }
        Ok(Self { peer, local, protocol, read: Bytes::new(), has_read_all: false, has_said_all: false })
    }

    /// The connection may carry another request when both sides have come to their ends.
    pub(crate) fn finish(self) {
        if self.has_read_all && self.has_said_all {
            self.peer.finish();
        } else {
            self.peer.cancel(h2::Reason::CANCEL);
        }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.read.is_empty() && !this.has_read_all {
            match ready!(this.peer.poll_response(cx)).map_err(broken)? {
                Frame::Data { bytes, last } => (this.read, this.has_read_all) = (bytes, last),
                Frame::Trailers(_) | Frame::End => this.has_read_all = true,
            }
        }
        let count = buffer.remaining().min(this.read.len());
        buffer.put_slice(&this.read[..count]);
        this.read.advance(count);
        if this.read.is_empty() {
            this.peer.release_credit();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.peer.backlog() >= MOST_WAITING_BYTES {
            ready!(this.peer.poll_flush(cx));
        }
        let frame = Frame::Data { bytes: Bytes::copy_from_slice(bytes), last: false };
        this.peer.push(frame).map_err(broken)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().peer.poll_flush(cx).map(Ok)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.has_said_all, true) {
            this.peer.push(Frame::End).map_err(broken)?;
        }
        ready!(this.peer.poll_flush(cx));
        this.peer.poll_shutdown(cx).map(Ok)
    }
}

fn describe(error: &PeerError) -> &'static str {
    match error {
        PeerError::Closed => "the connection was closed",
        PeerError::Protocol(details) => details,
        PeerError::Reset(_) => "the stream was reset",
    }
}

fn broken(error: PeerError) -> io::Error {
    let kind = match error {
        PeerError::Reset(_) => io::ErrorKind::ConnectionReset,
        PeerError::Closed | PeerError::Protocol(_) => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, describe(&error))
}
