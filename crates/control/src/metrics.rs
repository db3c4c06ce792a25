use leno_telemetry::Registry;
use leno_telemetry::metric::{Counter, Gauge};

#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) snapshots: Counter,
    pub(crate) services: Gauge,
    pub(crate) nodes: Gauge,
    pub(crate) problems: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.register("leno_control_snapshots", "Snapshots built", metrics.snapshots.clone());
        registry.register("pilot_services", "Services of the mesh", metrics.services.clone());
        registry.register("pilot_xds", "Nodes with an open stream", metrics.nodes.clone());
        registry.register("leno_control_problems", "Problems of the objects in force", metrics.problems.clone());
        metrics
    }
}
