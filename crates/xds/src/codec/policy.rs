//! Outlier detection, circuit breakers: fields that differ from `ir` in shape.

use std::time::Duration;

use leno_ir::{CircuitBreakers, OutlierDetection, RetryBudget};
use leno_names::Fraction;
use leno_proto::envoy::config::cluster::v3::{
    CircuitBreakers as ProtoBreakers, OutlierDetection as ProtoOutlierDetection, circuit_breakers::Thresholds,
    circuit_breakers::thresholds::RetryBudget as ProtoBudget,
};
use leno_proto::envoy::r#type::v3::Percent;
use leno_proto::google::protobuf::UInt32Value;

use super::common::{duration, read_duration, u32_value};

pub(super) fn encode_outlier(detection: &OutlierDetection) -> ProtoOutlierDetection {
    // A detector is turned off by never enforcing it.
    let enforced = |threshold: Option<u32>| u32_value(if threshold.is_some() { 100 } else { 0 });
    ProtoOutlierDetection {
        consecutive_5xx: detection.consecutive_5xx.and_then(u32_value),
        enforcing_consecutive_5xx: enforced(detection.consecutive_5xx),
        consecutive_gateway_failure: detection.consecutive_gateway_errors.and_then(u32_value),
        enforcing_consecutive_gateway_failure: enforced(detection.consecutive_gateway_errors),
        split_external_local_origin_errors: detection.consecutive_local_origin_failures.is_some(),
        consecutive_local_origin_failure: detection.consecutive_local_origin_failures.and_then(u32_value),
        enforcing_consecutive_local_origin_failure: enforced(detection.consecutive_local_origin_failures),
        enforcing_success_rate: u32_value(0),
        enforcing_local_origin_success_rate: u32_value(0),
        interval: duration(detection.interval),
        base_ejection_time: duration(detection.base_ejection_time),
        max_ejection_time: duration(detection.max_ejection_time.max(detection.base_ejection_time)),
        max_ejection_percent: u32_value(percent(detection.max_ejection)),
        ..ProtoOutlierDetection::default()
    }
}

fn percent(fraction: Fraction) -> u32 {
    fraction.parts_per_million() / 10_000
}

pub(super) fn decode_outlier(detection: &ProtoOutlierDetection) -> OutlierDetection {
    let default = OutlierDetection::default();
    let value = |value: Option<&UInt32Value>, default: u32| value.map_or(default, |value| value.value);
    let detector = |threshold: Option<&UInt32Value>, enforcing: Option<&UInt32Value>, default: u32| {
        (value(enforcing, default) > 0).then(|| value(threshold, 5))
    };
    let base = read_duration(detection.base_ejection_time.as_ref()).unwrap_or(default.base_ejection_time);
    let max = read_duration(detection.max_ejection_time.as_ref()).unwrap_or(default.max_ejection_time);
    OutlierDetection {
        consecutive_5xx: detector(
            detection.consecutive_5xx.as_ref(),
            detection.enforcing_consecutive_5xx.as_ref(),
            100,
        ),
        consecutive_gateway_errors: detector(
            detection.consecutive_gateway_failure.as_ref(),
            detection.enforcing_consecutive_gateway_failure.as_ref(),
            0,
        ),
        consecutive_local_origin_failures: detector(
            detection.consecutive_local_origin_failure.as_ref(),
            detection.enforcing_consecutive_local_origin_failure.as_ref(),
            100,
        )
        .filter(|_| detection.split_external_local_origin_errors),
        interval: read_duration(detection.interval.as_ref()).unwrap_or(default.interval),
        base_ejection_time: base,
        max_ejection_time: max.max(base),
        max_ejection: Fraction::from_percent(value(detection.max_ejection_percent.as_ref(), 10).min(100))
            .unwrap_or(Fraction::ONE),
    }
}

pub(super) fn encode_breakers(breakers: &CircuitBreakers) -> ProtoBreakers {
    ProtoBreakers {
        thresholds: vec![Thresholds {
            max_connections: u32_value(breakers.max_connections),
            max_pending_requests: u32_value(breakers.max_pending_requests),
            max_requests: u32_value(breakers.max_requests),
            max_retries: u32_value(breakers.max_retries),
            retry_budget: breakers.retry_budget.as_ref().map(|budget| ProtoBudget {
                budget_percent: Some(Percent { value: budget.budget.as_f64() * 100.0 }),
                min_retry_concurrency: u32_value(budget.min_retry_concurrency),
                ..ProtoBudget::default()
            }),
            ..Thresholds::default()
        }],
        ..ProtoBreakers::default()
    }
}

pub(super) fn decode_breakers(breakers: Option<&ProtoBreakers>) -> CircuitBreakers {
    // Envoy's documented defaults for what is not said.
    let thresholds = breakers.and_then(|breakers| breakers.thresholds.iter().find(|limits| limits.priority == 0));
    let value = |read: fn(&Thresholds) -> Option<&UInt32Value>, default: u32| {
        thresholds.and_then(read).map_or(default, |value| value.value)
    };
    let budget = thresholds.and_then(|limits| limits.retry_budget.as_ref());
    CircuitBreakers {
        max_connections: value(|limits| limits.max_connections.as_ref(), 1024),
        max_pending_requests: value(|limits| limits.max_pending_requests.as_ref(), 1024),
        max_requests: value(|limits| limits.max_requests.as_ref(), 1024),
        max_retries: value(|limits| limits.max_retries.as_ref(), 3),
        retry_budget: budget.map(|budget| RetryBudget {
            budget: budget
                .budget_percent
                .as_ref()
                .and_then(|percent| Fraction::from_percent_f64(percent.value).ok())
                .unwrap_or_else(|| RetryBudget::default().budget),
            min_retry_concurrency: budget.min_retry_concurrency.as_ref().map_or(3, |value| value.value),
        }),
    }
}

/// Longest time a connection may take to be made when nothing is said (Envoy).
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
