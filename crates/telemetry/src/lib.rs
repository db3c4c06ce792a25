//! Metrics, access log and the process log: what the parts report, in the formats others read.
//!
//! Source      Prometheus text format (OpenMetrics 1.0); Istio's standard metrics; Envoy's access log operators
#![forbid(unsafe_code)]

pub mod access_log;
mod chain;
mod log;
mod registry;

pub use chain::Chain;
pub use log::{LogError, LogFormat, init_log, log_filter, set_log_filter};
pub use registry::Registry;

/// The metric types of the registry, so that every crate uses one version of them.
pub mod metric {
    pub use prometheus_client::collector::Collector;
    pub use prometheus_client::encoding::{
        DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, LabelSetEncoder, LabelValueEncoder, MetricEncoder,
        NoLabelSet,
    };
    pub use prometheus_client::metrics::MetricType;
    pub use prometheus_client::metrics::counter::Counter;
    pub use prometheus_client::metrics::family::{Family, MetricConstructor};
    pub use prometheus_client::metrics::gauge::Gauge;
    pub use prometheus_client::metrics::histogram::Histogram;
    pub use prometheus_client::registry::Metric;
}
