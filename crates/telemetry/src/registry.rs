use std::sync::{Arc, Mutex, PoisonError};

use crate::metric::{Collector, Metric};

/// All metrics of a process. Clones share them.
///
/// Cost: the lock is taken to register and to scrape, never to count.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    inner: Arc<Mutex<prometheus_client::registry::Registry>>,
}

impl Registry {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `metric` under `name`; counters get `_total` appended by the format, so leave it off.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).register(name, help, metric);
    }

    /// Adds what `collector` reports at each scrape, for counts that are kept elsewhere and merged on demand.
    pub fn register_collector(&self, collector: impl Collector) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).register_collector(Box::new(collector));
    }

    /// The state of all metrics in the text format that Prometheus scrapes.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let registry = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
            tracing::error!(%error, "metrics cannot be encoded");
        }
        text
    }
}
