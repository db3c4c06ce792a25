//! What an exchange adds to the counts that have Envoy's names. Where a try itself knows best, it counts there.

use super::Forwarder;
use crate::exchange::Protocol;
use crate::http::codec::Malformed;
use crate::http::failure::Failure;
use crate::http::peer::PeerError;
use crate::stats::{ClusterCounter, ClusterHistogram, ClusterStats, HttpCounter, HttpHistogram, Origin};

impl Forwarder<'_, '_> {
    pub(super) fn count_request(&self) {
        let stats = &self.context.manager.stats;
        stats.count(HttpCounter::RqTotal);
        stats.count(match self.exchange.protocol {
            Protocol::Http2 => HttpCounter::RqHttp2Total,
            Protocol::Http10 | Protocol::Http11 | Protocol::Tcp => HttpCounter::RqHttp1Total,
        });
    }

    /// The head of an answer goes out.
    pub(super) fn count_head(&self) {
        // Envoy counts no answers to those.
        if !self.exchange.is_health_check {
            self.context.manager.stats.answered(self.response.status);
        }
    }

    pub(super) fn count_end(&self) {
        let stats = &self.context.manager.stats;
        stats.observe(HttpHistogram::RqTime, self.exchange.duration);
        if self.exchange.details == "request_payload_too_large" {
            stats.count(HttpCounter::RqTooLarge);
        }
        if self.has_responded && !self.downstream.request_is_done() {
            stats.count(HttpCounter::RqResponseBeforeRqComplete);
        }
    }

    /// An exchange that ends with a failure, whoever's it is.
    pub(super) fn count_failure(&self, failure: &Failure) {
        let stats = &self.context.manager.stats;
        if self.has_responded && matches!(failure, Failure::Peer(_)) {
            stats.count(HttpCounter::RqRxReset);
            stats.count(HttpCounter::RqTxReset);
            // Otherwise the status has told already what came of it (Envoy).
            if self.exchange.is_grpc && self.exchange.grpc_status.is_none() {
                stats.count(HttpCounter::RqResetAfterResponseStarted);
            }
        }
        let is_http2 = self.downstream.is_http2();
        match failure {
            Failure::DownstreamGone if !is_http2 => {
                self.context.connection.closed_by_client.set(true);
                stats.count(HttpCounter::CxDestroyActiveRq);
                stats.count(HttpCounter::CxDestroyRemoteActiveRq);
            }
            // The rest of what was said is not read.
            Failure::DownstreamMalformed(_) if !is_http2 => {
                stats.count(HttpCounter::RqResponseBeforeRqComplete);
                stats.count(HttpCounter::RqRxReset);
            }
            _ => {}
        }
        stats.count(match failure {
            Failure::DownstreamGone | Failure::DownstreamReset => HttpCounter::RqRxReset,
            Failure::DownstreamMalformed(Malformed::Closed) => return,
            Failure::DownstreamMalformed(_) => HttpCounter::CxProtocolError,
            Failure::Idle { .. } => HttpCounter::RqIdleTimeout,
            Failure::NoCluster { .. } => HttpCounter::NoCluster,
            Failure::NoRoute => HttpCounter::NoRoute,
            Failure::Overload => HttpCounter::RqOverloadClose,
            Failure::Refused { details: "upgrade_failed", .. } => HttpCounter::RqWsOnNonWsRoute,
            Failure::Refused { details: "request_header_timeout", .. } => HttpCounter::RqHeaderTimeout,
            Failure::Refused { details: "path_normalization_failed", .. } => HttpCounter::RqFailedPathNormalization,
            Failure::StreamDuration { .. } => HttpCounter::RqMaxDurationReached,
            _ => return,
        });
    }

    pub(super) fn origin(&self) -> Origin {
        match self.request.headers.get("x-envoy-internal") {
            Some(b"true") => Origin::Internal,
            _ => Origin::External,
        }
    }

    /// What a cluster counts of an exchange that ends with a failure of the router's.
    pub(super) fn count_upstream_failure(&self, stats: &ClusterStats, failure: &Failure) {
        if matches!(failure, Failure::Timeout) {
            stats.count(ClusterCounter::RqTimeout);
        }
        let is_ours = matches!(
            failure,
            Failure::Connect(_)
                | Failure::Dropped(_)
                | Failure::NoHealthyUpstream { .. }
                | Failure::Overflow
                | Failure::PerTryIdle
                | Failure::PerTryTimeout
                | Failure::Peer(_)
                | Failure::Timeout
        );
        if is_ours && !self.has_responded {
            stats.answered(failure.status(), self.origin());
        }
    }

    /// What a cluster counts of a try without an answer.
    pub(super) fn count_miss(stats: &ClusterStats, failure: &Failure) {
        stats.count(match failure {
            Failure::NoHealthyUpstream { .. } => ClusterCounter::CxNoneHealthy,
            Failure::PerTryIdle => ClusterCounter::RqPerTryIdleTimeout,
            Failure::PerTryTimeout => ClusterCounter::RqPerTryTimeout,
            Failure::Peer(PeerError::Protocol(_)) => ClusterCounter::CxProtocolError,
            Failure::Peer(PeerError::Reset(_)) => ClusterCounter::RqRxReset,
            _ => return,
        });
    }

    /// The end of an upstream's answer.
    pub(super) fn count_answer_time(&self, stats: &ClusterStats) {
        let now = self.last_activity();
        let complete = self.exchange.request_duration.and_then(|took| self.exchange.started.checked_add(took));
        let took = complete.map(|complete| now.saturating_duration_since(complete));
        stats.observe(ClusterHistogram::RqTime, took.unwrap_or_default());
    }
}
