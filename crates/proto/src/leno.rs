//! Leno's own typed extensions of xDS: what Envoy's API cannot say.

/// The type of [`PeakEwma`] inside `google.protobuf.Any`.
pub const PEAK_EWMA_TYPE: &str = "leno.dev.lb.v1.PeakEwma";

/// Balancing by decaying peak latency times requests under way.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PeakEwma {
    /// Assumed of an endpoint that was never measured.
    #[prost(message, optional, tag = "1")]
    pub default_rtt: Option<crate::google::protobuf::Duration>,
    /// Time after which an old measurement counts 1/e.
    #[prost(message, optional, tag = "2")]
    pub decay: Option<crate::google::protobuf::Duration>,
    #[prost(message, optional, tag = "3")]
    pub slow_start: Option<crate::envoy::extensions::load_balancing_policies::common::v3::SlowStartConfig>,
}
