use std::time::Duration;

use leno_telemetry::Registry;
use leno_telemetry::metric::{Counter, Family, Gauge, Histogram};
use leno_xds::ResourceKind;

/// What the discovery service counts.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) streams_active: Gauge,
    pushes: Family<TypeLabel, Counter>,
    rejects: Family<TypeLabel, Counter>,
    push_bytes: Family<TypeLabel, Counter>,
    push_seconds: Histogram,
    pub(crate) handshake_failures: Counter,
}

/// `type="CDS"` and so on.
type TypeLabel = [(&'static str, &'static str); 1];

/// From 0.1 ms, doubling, to 1.6 s: a push is CPU work, and worth a look above 100 ms.
const PUSH_BUCKETS: [f64; 15] = [
    0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.0064, 0.0128, 0.0256, 0.0512, 0.1024, 0.2048, 0.4096, 0.8192,
    1.6384,
];

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let metrics = Self {
            streams_active: Gauge::default(),
            pushes: Family::default(),
            rejects: Family::default(),
            push_bytes: Family::default(),
            push_seconds: Histogram::new(PUSH_BUCKETS),
            handshake_failures: Counter::default(),
        };
        registry.register("leno_xds_streams_active", "open discovery streams", metrics.streams_active.clone());
        registry.register("leno_xds_pushes", "responses sent, by type", metrics.pushes.clone());
        registry.register("leno_xds_rejects", "resources that nodes rejected, by type", metrics.rejects.clone());
        registry.register("leno_xds_push_bytes", "size of the responses sent, by type", metrics.push_bytes.clone());
        registry.register(
            "leno_xds_push_seconds",
            "time from a new configuration or request to its last response, per stream",
            metrics.push_seconds.clone(),
        );
        registry.register(
            "leno_xds_handshake_failures",
            "connections that did not complete the TLS handshake",
            metrics.handshake_failures.clone(),
        );
        metrics
    }

    pub(crate) fn pushed(&self, type_url: &str, bytes: usize) {
        let label = [("type", service(type_url))];
        self.pushes.get_or_create(&label).inc();
        self.push_bytes.get_or_create(&label).inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    pub(crate) fn rejected(&self, kind: ResourceKind, resources: usize) {
        let label = [("type", kind.service())];
        self.rejects.get_or_create(&label).inc_by(u64::try_from(resources).unwrap_or(u64::MAX));
    }

    pub(crate) fn push_took(&self, time: Duration) {
        self.push_seconds.observe(time.as_secs_f64());
    }
}

/// A label of few values: what foreign type a client asked for is its own choice.
fn service(type_url: &str) -> &'static str {
    ResourceKind::from_type_url(type_url).map_or("other", ResourceKind::service)
}
