use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Forwarder;
use crate::exchange::LogMoment;
use crate::flags::ResponseFlags;
use crate::http::downstream::DownstreamError;
use crate::http::failure::Failure;
use crate::http::head::{Frame, Framing};
use crate::http::peer::{Peer, PeerError};
use crate::http::replay::Replay;

/// Bytes under way per direction; above it the source is not read. Chosen: keeps a fast pair of sockets busy.
const HIGH_WATER_BYTES: usize = 256 * 1024;

impl From<DownstreamError> for Failure {
    fn from(error: DownstreamError) -> Self {
        match error {
            DownstreamError::Gone => Self::DownstreamGone,
            DownstreamError::Malformed(malformed) => Self::DownstreamMalformed(malformed),
            DownstreamError::Reset => Self::DownstreamReset,
        }
    }
}

/// How far the relay of a response has come.
#[derive(Debug, Default)]
struct Relay {
    response_is_done: bool,
    upstream_was_shut: bool,
    downstream_was_shut: bool,
    /// Of a tunnel: the client ended its side before the upstream did.
    client_was_first: bool,
}

impl Forwarder<'_, '_> {
    /// Waits for something that is no I/O of ours, within the deadlines, and while the client is there.
    pub(super) async fn guard<T>(
        &mut self,
        mut future: Pin<&mut (impl Future<Output = T> + ?Sized)>,
    ) -> Result<T, Failure> {
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll_interruption(cx).map(Err),
        })
        .await
    }

    pub(super) fn poll_interruption(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        if let Poll::Ready(gone) = self.downstream.poll_gone(cx) {
            return Poll::Ready(gone.into());
        }
        if let Some(hedge) = &mut self.hedge
            && hedge.poll_answer(cx, self.context.worker.now()).is_ready()
        {
            return Poll::Ready(Failure::Hedged);
        }
        while let Some(at) = self.logs_at
            && self.deadlines.next().is_none_or(|deadline| at < deadline)
        {
            if self.timer.poll(cx, Some(at)).is_pending() {
                return Poll::Pending;
            }
            self.log_at(LogMoment::Periodic);
            self.logs_at =
                self.context.config().access_log_moments.interval.and_then(|interval| at.checked_add(interval));
        }
        let deadlines = &self.deadlines;
        let request_was_complete = self.downstream.request_is_done();
        self.timer
            .poll(cx, deadlines.next())
            .map(|()| deadlines.failure(self.context.worker.now(), request_was_complete))
    }

    /// Sends the request until the response's head is there; it is left in `self.response`.
    pub(super) async fn exchange_heads(&mut self, peer: &mut Peer, replay: &mut Replay) -> Result<Framing, Failure> {
        loop {
            let framing = poll_fn(|cx| {
                if let Poll::Ready(Err(failure)) = self.poll_request(cx, peer, replay) {
                    return Poll::Ready(Err(failure));
                }
                if let Poll::Ready(result) = peer.poll_head(cx, self.response) {
                    return Poll::Ready(result.map_err(Failure::Peer));
                }
                self.poll_interruption(cx).map(Err)
            })
            .await?;
            self.touch();
            if !self.response.is_informational() {
                return Ok(framing);
            }
            if self.context.config().forwards_informational {
                self.downstream.inform(self.response);
                poll_fn(|cx| self.downstream.poll_flush(cx)).await?;
            }
        }
    }

    /// Ready when the whole request is with the upstream's connection.
    pub(super) fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        peer: &mut Peer,
        replay: &mut Replay,
    ) -> Poll<Result<(), Failure>> {
        loop {
            let mut is_waiting = false;
            let mut has_moved = false;
            while peer.backlog() < HIGH_WATER_BYTES {
                let frame = match replay.next() {
                    Some(frame) => frame,
                    None if self.request_is_done() => break,
                    None if self.request.wants_tunnel() && !self.is_tunnel && self.framing.is_empty() => {
                        // The upstream has not agreed yet.
                        is_waiting = true;
                        break;
                    }
                    None => match self.poll_request_frame(cx) {
                        Poll::Ready(frame) => {
                            let frame = frame?;
                            replay.keep(&frame);
                            frame
                        }
                        Poll::Pending => {
                            is_waiting = true;
                            break;
                        }
                    },
                };
                has_moved = true;
                peer.push(frame).map_err(Failure::Peer)?;
            }
            if peer.poll_flush(cx).is_pending() {
                return Poll::Pending;
            }
            // Also for what an earlier call pushed.
            self.downstream.release();
            if has_moved {
                self.touch();
            }
            if is_waiting {
                return Poll::Pending;
            }
            if self.request_is_done() && !has_moved {
                return Poll::Ready(Ok(()));
            }
        }
    }

    pub(super) fn note_received(&mut self, frame: &Frame) {
        if let Frame::Data { bytes, .. } = frame {
            self.exchange.bytes_received += bytes.len() as u64;
        }
        if !matches!(frame, Frame::Data { last: false, .. }) {
            self.request_is_complete();
        }
    }

    /// The time-outs of route and try start now.
    pub(super) fn request_is_complete(&mut self) {
        // Without a body and without filters there was nothing to wait for since it began.
        let is_new = self.framing.is_empty() && self.run.is_none();
        let now = if is_new { self.last_activity() } else { self.touch() };
        self.deadlines.request = None;
        // Not anew for one that a filter held back.
        let took = now.saturating_duration_since(self.exchange.started);
        self.exchange.request_duration.get_or_insert(took);
        self.deadlines.start_route(now);
    }

    /// Streams the response, and what is left of the request.
    pub(super) async fn relay(
        &mut self,
        peer: &mut Peer,
        replay: &mut Replay,
        framing: Framing,
    ) -> Result<(), Failure> {
        let mut relay = Relay { response_is_done: framing.is_empty() && !self.is_tunnel, ..Relay::default() };
        let waits_for_trailers = peer.is_http2() && framing != Framing::None;
        relay.response_is_done &= !waits_for_trailers;
        let result = poll_fn(|cx| self.poll_relay(cx, peer, replay, &mut relay)).await;
        if self.is_tunnel && relay.client_was_first && !self.downstream.is_http2() {
            // Nobody can tell a client that has gone from one that only listens.
            self.exchange.details = "downstream_remote_disconnect".into();
            self.exchange.flags.insert(ResponseFlags::DOWNSTREAM_TERMINATION);
        }
        result
    }

    fn poll_relay(
        &mut self,
        cx: &mut Context<'_>,
        peer: &mut Peer,
        replay: &mut Replay,
        relay: &mut Relay,
    ) -> Poll<Result<(), Failure>> {
        if let Poll::Ready(result) = self.poll_response(cx, peer, relay)? {
            if !self.is_tunnel {
                return Poll::Ready(Ok(result));
            }
            if !relay.downstream_was_shut {
                relay.downstream_was_shut = self.downstream.poll_shutdown(cx).is_ready();
            }
        }
        match self.poll_request(cx, peer, replay) {
            // Of the request's fate after the response began only the client's end matters.
            Poll::Ready(Err(
                failure @ (Failure::DownstreamGone | Failure::DownstreamMalformed(_) | Failure::DownstreamReset),
            )) => {
                return Poll::Ready(Err(failure));
            }
            Poll::Ready(Ok(())) if self.is_tunnel || self.raw.is_some() => {
                if !relay.upstream_was_shut {
                    relay.client_was_first |= !relay.response_is_done;
                    relay.upstream_was_shut = peer.poll_shutdown(cx).is_ready();
                }
                if self.is_tunnel && relay.upstream_was_shut && relay.downstream_was_shut {
                    return Poll::Ready(Ok(()));
                }
            }
            _ => {}
        }
        self.poll_interruption(cx).map(Err)
    }

    /// Ready when the whole response is with the client's connection.
    fn poll_response(&mut self, cx: &mut Context<'_>, peer: &mut Peer, relay: &mut Relay) -> Poll<Result<(), Failure>> {
        loop {
            let mut is_waiting = false;
            let mut has_moved = false;
            let mut broken = None;
            while !relay.response_is_done && self.downstream.backlog() < HIGH_WATER_BYTES {
                match self.poll_response_frame(cx, peer) {
                    Poll::Ready(Ok(frame)) => {
                        has_moved = true;
                        relay.response_is_done = !matches!(frame, Frame::Data { last: false, .. });
                        self.push_response(frame)?;
                    }
                    Poll::Ready(Err(error)) => {
                        broken = Some(error);
                        break;
                    }
                    Poll::Pending => {
                        is_waiting = true;
                        break;
                    }
                }
            }
            let flushed = self.downstream.poll_flush(cx)?;
            if let Some(error) = broken {
                return Poll::Ready(Err(Failure::Peer(error)));
            }
            if has_moved {
                self.touch();
            }
            if flushed.is_pending() {
                if relay.response_is_done {
                    self.deadlines.start_flush();
                }
                return Poll::Pending;
            }
            peer.release_credit();
            if relay.response_is_done {
                if !has_moved {
                    self.touch();
                }
                return Poll::Ready(Ok(()));
            }
            if is_waiting {
                return Poll::Pending;
            }
        }
    }

    pub(super) fn note_sent(&mut self, frame: &Frame) {
        match frame {
            Frame::Data { bytes, .. } => self.exchange.bytes_sent += bytes.len() as u64,
            Frame::Trailers(trailers) => {
                if self.context.manager.access_log.wants_trailers() {
                    self.exchange.trailers = Some(Box::new(trailers.clone()));
                }
                if let Some(status) = trailers.get_str("grpc-status").and_then(|status| status.parse().ok()) {
                    self.exchange.grpc_status = Some(status);
                }
            }
            Frame::End => {}
        }
    }
}

impl From<PeerError> for Failure {
    fn from(error: PeerError) -> Self {
        Self::Peer(error)
    }
}
