//! Tries that ran out of their time and go on beside later ones: the first good response is taken.
//!
//! Shape       per-try time-out -> `Slow` -> polled wherever the exchange waits -> `Failure::Hedged` interrupts that, `Answer`
//! Invariants  there are `Slow` tries only before a response is chosen; those not chosen are reset
//! Cost        nothing where routes do not hedge; a copy of the retry policy once a try is late
//! Source      Envoy `hedge_policy.hedge_on_per_try_timeout`, `x-envoy-hedge-on-per-try-timeout`

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use leno_ir::{Forward, RetryPolicy};

use super::Forwarder;
use super::retry::wants_retry_after_response;
use super::tries::Answer;
use crate::exchange::Protocol;
use crate::http::failure::Failure;
use crate::http::head::{Framing, ResponseHead};
use crate::http::headers::Headers;
use crate::http::peer::{Peer, PeerError};
use crate::http::replay::Replay;
use crate::stats::WorkloadId;
use crate::upstream::{Outcome, Pick};

const WISH: &str = "x-envoy-hedge-on-per-try-timeout";

#[derive(Debug, Default)]
pub(super) struct Hedge {
    slow: Vec<Slow>,
    /// What makes a response one to wait past.
    policy: Option<RetryPolicy>,
    /// No other try is under way or about to be, so that the last of these counts whatever it says.
    is_alone: bool,
    chosen: Option<(Slow, Framing)>,
    /// Why the last of them ended without a response.
    failure: Option<PeerError>,
}

#[derive(Debug)]
struct Slow {
    peer: Peer,
    pick: Pick,
    sent: Instant,
    head: ResponseHead,
    /// What the record says of the try.
    upstream: Option<SocketAddr>,
    local: Option<SocketAddr>,
    protocol: Option<Protocol>,
    workload: WorkloadId,
}

impl Slow {
    /// Informational responses are passed over: the client may have had some of another try.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Framing, PeerError>> {
        loop {
            // Ready or not, the response is what ends it.
            let _ = self.peer.poll_flush(cx);
            let framing = ready!(self.peer.poll_head(cx, &mut self.head))?;
            if !self.head.is_informational() {
                return Poll::Ready(Ok(framing));
            }
        }
    }

    fn give_up(self, outcome: Outcome, now: Instant) {
        self.pick.finish(outcome, now);
        self.peer.cancel(h2::Reason::CANCEL);
    }
}

impl Hedge {
    pub(super) fn is_waiting(&self) -> bool {
        !self.slow.is_empty()
    }

    /// Ready when one of them has a response to pass on, or when nothing else is to be waited for.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        let mut at = 0;
        while let Some(slow) = self.slow.get_mut(at).filter(|_| self.chosen.is_none()) {
            let Poll::Ready(result) = slow.poll_head(cx) else {
                at += 1;
                continue;
            };
            let slow = self.slow.swap_remove(at);
            let is_last = self.is_alone && self.slow.is_empty();
            match result {
                Ok(framing) if is_last || !self.is_bad(&slow.head) => self.chosen = Some((slow, framing)),
                Ok(_) => {
                    let latency = now.saturating_duration_since(slow.sent);
                    let status = slow.head.status;
                    slow.give_up(Outcome::Response { status, latency }, now);
                }
                Err(error) => {
                    slow.give_up(Outcome::Reset, now);
                    self.failure = Some(error);
                }
            }
        }
        let is_over = self.is_alone && self.slow.is_empty();
        if self.chosen.is_some() || is_over { Poll::Ready(()) } else { Poll::Pending }
    }

    fn is_bad(&self, response: &ResponseHead) -> bool {
        self.policy.as_ref().is_some_and(|policy| wants_retry_after_response(policy, response))
    }
}

impl Forwarder<'_, '_> {
    /// Of the request's head, before its time-outs are told to the upstream.
    pub(super) fn read_hedging(&mut self, forward: &Forward) {
        let mut is_on = forward.hedge_on_per_try_timeout;
        if self.has_envoy_headers {
            is_on = wanted(&self.request.headers).unwrap_or(is_on);
            self.request.headers.remove(WISH);
        }
        self.hedge = is_on.then(Box::default);
    }

    /// The present try goes on without us.
    pub(super) fn hedge(
        &mut self,
        policy: &RetryPolicy,
        (mut peer, pick, sent): (Peer, Pick, Instant),
        replay: &mut Replay,
    ) {
        // It was complete when its time began; what waited for room is bounded by what may be kept.
        while let Some(frame) = replay.next() {
            if peer.push(frame).is_err() {
                break;
            }
        }
        let Some(hedge) = &mut self.hedge else { return };
        hedge.policy.get_or_insert_with(|| policy.clone());
        hedge.slow.push(Slow {
            peer,
            pick,
            sent,
            head: ResponseHead::default(),
            upstream: self.exchange.upstream,
            local: self.exchange.upstream_local,
            protocol: self.exchange.upstream_protocol,
            workload: self.exchange.workload,
        });
    }

    /// Whether the response that is there is one to wait past, for a try that may do better.
    pub(super) fn waits_for_better(&self) -> bool {
        self.hedge.as_ref().is_some_and(|hedge| hedge.is_waiting() && hedge.is_bad(self.response))
    }

    /// After the last try: what the late ones say, or what that one failed of.
    pub(super) async fn hedged_answer(&mut self, failure: Failure) -> Result<Answer, Failure> {
        let is_of_try = matches!(
            failure,
            Failure::Connect(_)
                | Failure::Hedged
                | Failure::NoHealthyUpstream { .. }
                | Failure::Peer(_)
                | Failure::PerTryIdle
        );
        let Some(hedge) =
            self.hedge.as_mut().filter(|hedge| is_of_try && (hedge.is_waiting() || hedge.chosen.is_some()))
        else {
            return Err(failure);
        };
        if hedge.chosen.is_none() {
            hedge.is_alone = true;
            self.deadlines.end_try();
            let interruption = poll_fn(|cx| self.poll_interruption(cx)).await;
            if !matches!(interruption, Failure::Hedged) {
                return Err(interruption);
            }
        }
        let (chosen, failed) =
            self.hedge.as_mut().map(|hedge| (hedge.chosen.take(), hedge.failure.take())).unwrap_or_default();
        let Some((slow, framing)) = chosen else { return Err(failed.map_or(failure, Failure::Peer)) };
        let Slow { peer, pick, sent, head, upstream, local, protocol, workload } = slow;
        *self.response = head;
        self.exchange.upstream = upstream;
        self.exchange.host = Some(pick.source());
        (self.exchange.upstream_local, self.exchange.upstream_protocol) = (local, protocol);
        self.exchange.workload = workload;
        self.touch();
        Ok(Answer { peer, pick, framing, sent })
    }

    /// A response was chosen, or there will be none.
    pub(super) fn end_hedging(&mut self) {
        let Some(hedge) = self.hedge.take() else { return };
        let now = self.context.worker.now();
        let chosen = hedge.chosen.into_iter().map(|(slow, _)| slow);
        hedge.slow.into_iter().chain(chosen).for_each(|slow| slow.give_up(Outcome::Timeout, now));
    }
}

/// Whether the client wants it; `None`: it does not say.
fn wanted(headers: &Headers) -> Option<bool> {
    match headers.get(WISH)? {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}
