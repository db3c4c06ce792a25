use leno_telemetry::Registry;
use leno_telemetry::metric::{Counter, Gauge};

/// What the client counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) connected: Gauge,
    pub(crate) streams: Counter,
    pub(crate) failures: Counter,
    pub(crate) updates: Counter,
    pub(crate) rejections: Counter,
    pub(crate) persist_failures: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.register("leno_xds_client_connected", "1 while a stream is open", metrics.connected.clone());
        registry.register("leno_xds_client_streams", "streams opened", metrics.streams.clone());
        registry.register("leno_xds_client_failures", "streams that failed or broke", metrics.failures.clone());
        registry.register("leno_xds_client_updates", "configurations given to the proxy", metrics.updates.clone());
        registry.register("leno_xds_client_rejections", "resources not used", metrics.rejections.clone());
        registry.register(
            "leno_xds_client_persist_failures",
            "failed writes of the saved configuration",
            metrics.persist_failures.clone(),
        );
        metrics
    }
}
