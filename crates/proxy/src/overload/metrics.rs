use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use leno_ir::OverloadAction;
use leno_telemetry::metric::{Collector, DescriptorEncoder, MetricType, NoLabelSet};

use super::{Overload, Shed, WHOLE};

#[derive(Debug)]
pub(super) struct OverloadCollector(pub(super) Arc<Overload>);

impl Collector for OverloadCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(overload) = self;
        let ratio = |parts: u32| f64::from(parts) / f64::from(WHOLE);
        let help = "How much of what a monitor allows is in use";
        let mut metric =
            encoder.encode_descriptor("leno_proxy_overload_pressure_ratio", help, None, MetricType::Gauge)?;
        if overload.config.max_heap_size_bytes.is_some() {
            let pressure = ratio(overload.pressure.load(Ordering::Relaxed));
            metric.encode_family(&[("monitor", "fixed_heap")])?.encode_gauge(&pressure)?;
        }
        if let Some(limit) = overload.config.max_downstream_connections {
            let pressure = overload.connections.load(Ordering::Relaxed) as f64 / limit as f64;
            metric.encode_family(&[("monitor", "global_downstream_max_connections")])?.encode_gauge(&pressure)?;
        }
        let help = "How much of an action is in force";
        let mut metric =
            encoder.encode_descriptor("leno_proxy_overload_action_ratio", help, None, MetricType::Gauge)?;
        for OverloadAction { kind, .. } in &overload.config.actions {
            metric.encode_family(&[("action", kind.as_str())])?.encode_gauge(&ratio(overload.state(*kind)))?;
        }
        let help = "What was refused or ended because of an overload";
        let mut metric = encoder.encode_descriptor("leno_proxy_overload_shed", help, None, MetricType::Counter)?;
        for what in Shed::ALL {
            let count = overload.shed[what as usize].load(Ordering::Relaxed);
            metric.encode_family(&[("what", what.as_str())])?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
        }
        let failed = overload.failed_updates.load(Ordering::Relaxed);
        encoder
            .encode_descriptor(
                "leno_proxy_overload_failed_updates",
                "Looks at the memory that failed",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, f64>(&failed, None)
    }
}
