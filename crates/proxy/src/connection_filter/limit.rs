use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use leno_balance::TokenBucket;
use leno_ir::{ConnectionLimit, ConnectionRateLimit, ListenerRateLimit, TokenBucket as Settings};

use crate::stats::{Counter, Gauge, GaugeGuard};
use crate::worker::Worker;

/// Refuses a connection when as many are open as may be.
#[derive(Debug)]
pub(super) struct LimitFilter {
    config: ConnectionLimit,
    open: Arc<AtomicU64>,
    active: Gauge,
    limited: Counter,
}

/// One open connection.
#[derive(Debug)]
pub(super) struct LimitPermit {
    open: Arc<AtomicU64>,
    _active: GaugeGuard,
}

impl LimitFilter {
    pub(super) fn new(config: &ConnectionLimit, place: &str, worker: &Worker) -> Self {
        let prefix = format!("connection_limit.{}", config.stat_prefix);
        Self {
            open: worker.shared_states().get(format!("{place} {config:?}"), AtomicU64::default),
            active: worker.stats.filter_gauge(format!("{prefix}.active_connections")),
            limited: worker.stats.filter_counter(format!("{prefix}.limited_connections")),
            config: config.clone(),
        }
    }

    /// Counts the connection, whether it is within the limit (`true`) or must go: until it has gone it is there.
    pub(super) fn take(&self) -> (LimitPermit, bool) {
        let is_within = self.open.fetch_add(1, Ordering::Relaxed) < self.config.max_connections;
        if !is_within {
            self.limited.increment();
        }
        (LimitPermit { open: self.open.clone(), _active: self.active.one_more() }, is_within)
    }

    pub(super) fn delay(&self) -> Option<Duration> {
        self.config.delay
    }
}

impl Drop for LimitPermit {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Refuses a connection when there is no token for it.
#[derive(Debug)]
pub(crate) struct RateLimitFilter {
    bucket: Arc<TokenBucket>,
    limited: Counter,
}

impl RateLimitFilter {
    pub(super) fn of_chain(config: &ConnectionRateLimit, place: &str, worker: &Worker) -> Self {
        let bucket = &config.token_bucket;
        let key = match config.share_key.as_str() {
            "" => format!("{place} {config:?}"),
            shared => format!("connection rate limit {shared:?} {bucket:?}"),
        };
        Self::new(bucket, key, format!("local_rate_limit.{}.rate_limited", config.stat_prefix), worker)
    }

    pub(crate) fn of_listener(config: &ListenerRateLimit, place: &str, worker: &Worker) -> Self {
        let counter = format!("listener_local_ratelimit.{}.rate_limited", config.stat_prefix);
        Self::new(&config.token_bucket, format!("{place} {config:?}"), counter, worker)
    }

    fn new(bucket: &Settings, key: String, counter: String, worker: &Worker) -> Self {
        Self {
            bucket: worker.shared_states().get(key, || TokenBucket::new(bucket, worker.now())),
            limited: worker.stats.filter_counter(counter),
        }
    }

    pub(crate) fn take(&self, now: Instant) -> bool {
        let is_within = self.bucket.take(now);
        if !is_within {
            self.limited.increment();
        }
        is_within
    }
}
