use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::Method;
use leno_ir::RoutingPriority;

use super::grpc_frame::{frame, message_of};
use super::head::{Frame, Framing, RequestHead, ResponseHead, Version};
use super::headers::Headers;
use super::peer::Peer;
use crate::upstream::{Caller, Outcome, Pick, RequestPermit};
use crate::worker::Worker;

/// Longest answer taken, in bytes. Chosen: far above what services of filters say.
const MOST_BYTES: usize = 1 << 20;

/// Why a call of ours has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the answer is no gRPC message")]
    Malformed,
    #[error("gRPC status {0}")]
    Status(u32),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("cluster \"{0}\" has nobody who answers")]
    Unreachable(String),
}

/// One message to a service behind a cluster of this worker, and its answer (gRPC over HTTP/2).
///
/// # Errors
/// When there is no answer in time, or one that is an error.
pub(crate) async fn call(
    worker: Rc<Worker>,
    cluster: &str,
    path: &'static str,
    message: &[u8],
    timeout: Option<Duration>,
) -> Result<Bytes, CallError> {
    let answering = answer(worker, cluster, path, message, timeout);
    match timeout {
        None => answering.await,
        Some(after) => tokio::time::timeout(after, answering).await.map_err(|_| CallError::Timeout(after))?,
    }
}

async fn answer(
    worker: Rc<Worker>,
    name: &str,
    path: &'static str,
    message: &[u8],
    timeout: Option<Duration>,
) -> Result<Bytes, CallError> {
    let mut call = Call::open(&worker, name, path, timeout).await?;
    call.push(message, true)?;
    let answer = read(&mut call.peer).await;
    let outcome = match &answer {
        Ok(_) => Outcome::Response { status: 200, latency: worker.now().saturating_duration_since(call.started) },
        Err(_) => Outcome::Abandoned,
    };
    call.pick.finish(outcome, worker.now());
    call.peer.finish();
    answer
}

/// A request under way.
#[derive(Debug)]
struct Call {
    name: String,
    peer: Peer,
    pick: Pick,
    started: Instant,
    _admitted: RequestPermit,
}

impl Call {
    async fn open(
        worker: &Rc<Worker>,
        name: &str,
        path: &'static str,
        timeout: Option<Duration>,
    ) -> Result<Self, CallError> {
        let unreachable = || CallError::Unreachable(name.to_owned());
        let cluster = worker.cluster(name).ok_or_else(unreachable)?;
        let admitted = cluster.admit(RoutingPriority::Default).map_err(|_| unreachable())?;
        let started = worker.now();
        let pick = cluster.pick(worker, started, &[]).ok_or_else(unreachable)?;
        let mut headers = Headers::default();
        headers.append(b"te", b"trailers");
        headers.append(b"content-type", b"application/grpc");
        if let Some(timeout) = timeout {
            headers.append(b"grpc-timeout", format!("{}m", timeout.as_millis()).as_bytes());
        }
        let head = RequestHead {
            method: Method::POST,
            path: Bytes::from_static(path.as_bytes()),
            authority: Bytes::copy_from_slice(name.as_bytes()),
            version: Version::Http2,
            headers,
            ..RequestHead::default()
        };
        let lease = match cluster.http2(worker, &pick, &Caller::default()).await {
            Ok(lease) => lease,
            Err(error) => {
                let outcome = if error.blames_endpoint() { Outcome::ConnectFailure } else { Outcome::Abandoned };
                pick.finish(outcome, worker.now());
                return Err(unreachable());
            }
        };
        let peer = Peer::http2(lease, &head, Framing::Chunked).map_err(|_| unreachable())?;
        Ok(Self { name: name.to_owned(), peer, pick, started, _admitted: admitted })
    }

    fn push(&mut self, message: &[u8], last: bool) -> Result<(), CallError> {
        let frame = Frame::Data { bytes: frame(message), last };
        self.peer.push(frame).map_err(|_| CallError::Unreachable(self.name.clone()))
    }
}

/// A call on which one message after the other is sent; answers are not wanted.
#[derive(Debug)]
pub(crate) struct ClientStream {
    call: Call,
    response: ResponseHead,
    has_head: bool,
}

impl ClientStream {
    /// # Errors
    /// When there is nobody who takes it in time.
    pub(crate) async fn open(
        worker: &Rc<Worker>,
        cluster: &str,
        path: &'static str,
        timeout: Duration,
    ) -> Result<Self, CallError> {
        let opening = tokio::time::timeout(timeout, Call::open(worker, cluster, path, None));
        let call = opening.await.map_err(|_| CallError::Timeout(timeout))??;
        Ok(Self { call, response: ResponseHead::default(), has_head: false })
    }

    /// # Errors
    /// When the other side has ended the stream, or does not take the message in time.
    pub(crate) async fn send(&mut self, message: &[u8], timeout: Duration) -> Result<(), CallError> {
        if self.has_ended() {
            return Err(CallError::Unreachable(self.call.name.clone()));
        }
        self.call.push(message, false)?;
        let peer = &mut self.call.peer;
        tokio::time::timeout(timeout, poll_fn(|cx| peer.poll_flush(cx))).await.map_err(|_| CallError::Timeout(timeout))
    }

    fn has_ended(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        if !self.has_head {
            match self.call.peer.poll_head(&mut cx, &mut self.response) {
                Poll::Pending => return false,
                Poll::Ready(Ok(framing)) if !framing.is_empty() => self.has_head = true,
                Poll::Ready(_) => return true,
            }
        }
        while let Poll::Ready(frame) = self.call.peer.poll_response(&mut cx) {
            self.call.peer.release_credit();
            if !matches!(frame, Ok(Frame::Data { last: false, .. })) {
                return true;
            }
        }
        false
    }
}

async fn read(peer: &mut Peer) -> Result<Bytes, CallError> {
    let mut response = ResponseHead { status: 100, ..ResponseHead::default() };
    let mut framing = Framing::None;
    while response.is_informational() {
        framing = poll_fn(|cx| {
            // Ready or not, the response is what ends it.
            let _ = peer.poll_flush(cx);
            peer.poll_head(cx, &mut response)
        })
        .await
        .map_err(|_| CallError::Malformed)?;
    }
    let mut status = grpc_status(&response.headers);
    let mut body = BytesMut::new();
    while !framing.is_empty() {
        let frame = poll_fn(|cx| peer.poll_response(cx)).await.map_err(|_| CallError::Malformed)?;
        peer.release_credit();
        match frame {
            Frame::Data { bytes, last } => {
                body.extend_from_slice(&bytes);
                if body.len() > MOST_BYTES {
                    return Err(CallError::Malformed);
                }
                if last {
                    break;
                }
            }
            Frame::Trailers(trailers) => {
                status = status.or(grpc_status(&trailers));
                break;
            }
            Frame::End => break,
        }
    }
    match status {
        Some(0) if response.status == 200 => {}
        Some(status) => return Err(CallError::Status(status)),
        None => return Err(CallError::Malformed),
    }
    let body = body.freeze();
    message_of(&body).map(|message| body.slice_ref(message)).ok_or(CallError::Malformed)
}

fn grpc_status(headers: &Headers) -> Option<u32> {
    headers.get_str("grpc-status")?.parse().ok()
}
