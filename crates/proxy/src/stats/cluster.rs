use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::codes::Codes;
use super::names::{ClusterCounter, ClusterGauge, ClusterHistogram, OfCluster};
use super::scope::{Held, Scope, ScopeCells};

/// The limits of a circuit breaker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Limit {
    Connections,
    Pending,
    Requests,
    Retries,
}

impl Limit {
    pub(super) const ALL: [Self; 4] = [Self::Connections, Self::Pending, Self::Requests, Self::Retries];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Pending => "pending",
            Self::Requests => "requests",
            Self::Retries => "retries",
        }
    }

    /// What counts the times it was reached.
    pub(super) const fn counter(self) -> ClusterCounter {
        match self {
            Self::Connections => ClusterCounter::CxOverflow,
            Self::Pending => ClusterCounter::RqPendingOverflow,
            Self::Requests => ClusterCounter::RqActiveOverflow,
            Self::Retries => ClusterCounter::RqRetryOverflow,
        }
    }
}

/// Counts for one cluster. Clones count together; all stay on one worker.
#[derive(Clone, Debug)]
pub(crate) struct ClusterStats {
    scope: Scope<OfCluster>,
    codes: Rc<ClusterCodes>,
}

#[derive(Debug)]
struct ClusterCodes {
    all: Codes,
    external: Codes,
    internal: Codes,
    retried: Codes,
}

impl Deref for ClusterStats {
    type Target = Scope<OfCluster>;

    fn deref(&self) -> &Self::Target {
        &self.scope
    }
}

/// Whom a request came from, as `x-envoy-internal` says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    External,
    Internal,
}

impl ClusterStats {
    pub(super) fn new(cells: Arc<ScopeCells>) -> Self {
        let codes = ClusterCodes {
            all: Codes::new(""),
            external: Codes::new("external."),
            internal: Codes::new("internal."),
            retried: Codes::new("retry."),
        };
        Self { scope: Scope::new(cells), codes: Rc::new(codes) }
    }

    /// A connection is being made, and counted until the guard is dropped.
    pub(crate) fn connection_started(&self, now: Instant) -> ConnectionGuard {
        self.count(ClusterCounter::CxTotal);
        ConnectionGuard {
            stats: self.clone(),
            _active: self.hold(ClusterGauge::CxActive),
            started: now,
            by_remote: Cell::new(false),
            has_request: Cell::new(false),
        }
    }

    /// A request waits for a connection until the guard is told how that ended.
    pub(crate) fn request_waits(&self) -> Waiting {
        self.count(ClusterCounter::RqPendingTotal);
        Waiting { stats: self.clone(), _active: self.hold(ClusterGauge::RqPendingActive), is_over: false }
    }

    /// The answer that the client got, of an endpoint or of ours in its place.
    pub(crate) fn answered(&self, status: u16, origin: Origin) {
        self.codes.all.count(&self.scope, status);
        match origin {
            Origin::External => &self.codes.external,
            Origin::Internal => &self.codes.internal,
        }
        .count(&self.scope, status);
    }

    /// An answer instead of which there is another try.
    pub(crate) fn retried_after(&self, status: u16) {
        self.codes.retried.count(&self.scope, status);
    }

    pub(crate) fn overflowed(&self, limit: Limit) {
        self.count(limit.counter());
    }

    /// How many endpoints are out now.
    pub(crate) fn set_ejected_endpoints(&self, endpoints: usize) {
        self.set(ClusterGauge::EjectionsActive, i64::try_from(endpoints).unwrap_or(i64::MAX));
    }
}

/// One upstream connection, from the first attempt to its end.
#[derive(Debug)]
#[must_use]
pub(crate) struct ConnectionGuard {
    stats: ClusterStats,
    _active: Held,
    started: Instant,
    by_remote: Cell<bool>,
    has_request: Cell<bool>,
}

impl ConnectionGuard {
    /// The peer closed it.
    pub(crate) fn closed_by_remote(&self) {
        self.by_remote.set(true);
    }

    /// Nobody has needed it for too long.
    pub(crate) fn was_idle(&self) {
        self.stats.count(ClusterCounter::CxIdleTimeout);
    }

    /// Whether a request is under way on it, which its end would cut.
    pub(crate) fn set_request(&self, is_under_way: bool) {
        self.has_request.set(is_under_way);
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        use ClusterCounter::*;
        let stats = &self.stats;
        let (by, with_request) = match self.by_remote.get() {
            true => (CxDestroyRemote, CxDestroyRemoteWithActiveRq),
            false => (CxDestroyLocal, CxDestroyLocalWithActiveRq),
        };
        stats.count(CxDestroy);
        stats.count(by);
        if self.has_request.get() {
            stats.count(CxDestroyWithActiveRq);
            stats.count(with_request);
        }
        stats.observe(ClusterHistogram::CxLength, self.started.elapsed());
    }
}

/// A request that waits for a connection. Dropped without a word it was given up.
#[derive(Debug)]
#[must_use]
pub(crate) struct Waiting {
    stats: ClusterStats,
    _active: Held,
    is_over: bool,
}

impl Waiting {
    /// It has one, or never will.
    pub(crate) fn end(mut self, has_connection: bool) {
        self.is_over = true;
        if !has_connection {
            self.stats.count(ClusterCounter::RqPendingFailureEject);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_over {
            self.stats.count(ClusterCounter::RqCancelled);
        }
    }
}
