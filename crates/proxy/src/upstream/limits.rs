use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use leno_balance::SharedCounts;
use leno_ir::{RoutingPriority, Thresholds};

/// How much of one cluster's limits is in use.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    default: Arc<Usage>,
    high: Arc<Usage>,
    /// Connections by endpoint, where those are limited.
    pub(super) endpoints: SharedCounts,
}

impl Limits {
    pub(super) fn of(&self, priority: RoutingPriority) -> &Arc<Usage> {
        match priority {
            RoutingPriority::Default => &self.default,
            RoutingPriority::High => &self.high,
        }
    }
}

/// What requests of one priority use, on all workers together.
///
/// Shared atomics instead of a share per worker: a limit of 1 stays 1 whatever the number of workers, and a busy worker
/// may use what an idle one leaves. Cost: two relaxed additions per request on a line that at most the workers share.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    connections: AtomicU32,
    pending: AtomicU32,
    requests: AtomicU32,
    retries: AtomicU32,
}

/// Which limit is used up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Overflow {
    #[error("max_connections is reached")]
    Connections,
    #[error("max_pending_requests is reached")]
    Pending,
    #[error("max_requests is reached")]
    Requests,
    #[error("the retry budget is used up")]
    Retries,
}

/// One request under way. Dropped when its response has ended.
#[derive(Debug)]
#[must_use]
pub(crate) struct RequestPermit {
    usage: Arc<Usage>,
}

/// One retry under way.
#[derive(Debug)]
#[must_use]
pub(crate) struct RetryPermit {
    usage: Arc<Usage>,
}

/// One open connection.
#[derive(Debug)]
#[must_use]
pub(crate) struct ConnectionPermit {
    usage: Arc<Usage>,
    endpoint: Option<Arc<AtomicU32>>,
}

/// One request that waits for a connection.
#[derive(Debug)]
#[must_use]
pub(crate) struct PendingPermit {
    usage: Arc<Usage>,
}

impl Usage {
    /// Whether each limit is reached, in the order of the fields.
    pub(crate) fn are_reached(&self, config: &Thresholds) -> [bool; 4] {
        let is = |counter: &AtomicU32, most: u32| counter.load(Ordering::Relaxed) >= most;
        [
            is(&self.connections, config.max_connections),
            is(&self.pending, config.max_pending_requests),
            is(&self.requests, config.max_requests),
            is(&self.retries, self.most_retries(config)),
        ]
    }

    fn most_retries(&self, config: &Thresholds) -> u32 {
        match &config.retry_budget {
            Some(budget) => {
                let active = u64::from(self.requests.load(Ordering::Relaxed));
                u32::try_from(budget.budget.of(active)).unwrap_or(u32::MAX).max(budget.min_retry_concurrency)
            }
            None => config.max_retries,
        }
    }

    pub(crate) fn request(self: &Arc<Self>, config: &Thresholds) -> Result<RequestPermit, Overflow> {
        take(&self.requests, config.max_requests, Overflow::Requests)?;
        Ok(RequestPermit { usage: self.clone() })
    }

    /// With a budget its share of the active requests, otherwise `max_retries`.
    pub(crate) fn retry(self: &Arc<Self>, config: &Thresholds) -> Result<RetryPermit, Overflow> {
        take(&self.retries, self.most_retries(config), Overflow::Retries)?;
        Ok(RetryPermit { usage: self.clone() })
    }

    /// `endpoint` counts the connections to the endpoint, where those are limited.
    pub(crate) fn connection(
        self: &Arc<Self>,
        config: &Thresholds,
        endpoint: Option<&Arc<AtomicU32>>,
    ) -> Result<ConnectionPermit, Overflow> {
        let most = config.max_connections_per_endpoint.unwrap_or(u32::MAX);
        if endpoint.is_some_and(|open| open.load(Ordering::Relaxed) >= most) {
            return Err(Overflow::Connections);
        }
        take(&self.connections, config.max_connections, Overflow::Connections)?;
        Ok(self.counted(endpoint))
    }

    /// For a worker that has no connection to the endpoint yet: it gets one beyond the limit, as in Envoy, because
    /// it cannot wait for a connection that another worker holds.
    pub(crate) fn first_connection(self: &Arc<Self>, endpoint: Option<&Arc<AtomicU32>>) -> ConnectionPermit {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.counted(endpoint)
    }

    fn counted(self: &Arc<Self>, endpoint: Option<&Arc<AtomicU32>>) -> ConnectionPermit {
        if let Some(open) = endpoint {
            open.fetch_add(1, Ordering::Relaxed);
        }
        ConnectionPermit { usage: self.clone(), endpoint: endpoint.cloned() }
    }

    pub(crate) fn pending(self: &Arc<Self>, config: &Thresholds) -> Result<PendingPermit, Overflow> {
        take(&self.pending, config.max_pending_requests, Overflow::Pending)?;
        Ok(PendingPermit { usage: self.clone() })
    }
}

fn take(counter: &AtomicU32, most: u32, overflow: Overflow) -> Result<(), Overflow> {
    if counter.fetch_add(1, Ordering::Relaxed) < most {
        return Ok(());
    }
    counter.fetch_sub(1, Ordering::Relaxed);
    Err(overflow)
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        self.usage.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for RetryPermit {
    fn drop(&mut self) {
        self.usage.retries.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.usage.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(open) = &self.endpoint {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for PendingPermit {
    fn drop(&mut self) {
        self.usage.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use leno_ir::RetryBudget;
    use leno_names::Fraction;

    use super::*;

    #[test]
    fn a_limit_of_one_admits_one_at_a_time() {
        let config = Thresholds { max_requests: 1, ..Thresholds::default() };
        let limits = Arc::new(Usage::default());
        let first = limits.request(&config).expect("room for one");
        assert_eq!(limits.request(&config).err(), Some(Overflow::Requests));
        drop(first);
        assert!(limits.request(&config).is_ok());
    }

    #[test]
    fn retries_are_a_share_of_the_active_requests_but_at_least_the_minimum() {
        let budget = RetryBudget { budget: Fraction::from_percent(20).expect("in range"), min_retry_concurrency: 1 };
        let config = Thresholds { retry_budget: Some(budget), ..Thresholds::default() };
        let limits = Arc::new(Usage::default());
        let first = limits.retry(&config).expect("the minimum");
        assert_eq!(limits.retry(&config).err(), Some(Overflow::Retries));
        let _requests: Vec<_> = (0..10).map(|_| limits.request(&config).expect("no limit")).collect();
        let second = limits.retry(&config).expect("20 % of 10 is 2");
        assert!(limits.retry(&config).is_err());
        drop((first, second));
    }
}
