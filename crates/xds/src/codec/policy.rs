//! Outlier detection, circuit breakers: fields that differ from `ir` in shape.

use std::time::Duration;

use leno_ir::{CircuitBreakers, RetryBudget};
use leno_names::Fraction;
use leno_proto::envoy::config::cluster::v3::{
    CircuitBreakers as ProtoBreakers, circuit_breakers::Thresholds,
    circuit_breakers::thresholds::RetryBudget as ProtoBudget,
};
use leno_proto::envoy::r#type::v3::Percent;
use leno_proto::google::protobuf::UInt32Value;

use super::common::u32_value;

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
