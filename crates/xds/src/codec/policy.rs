//! Circuit breakers, both ways.

use std::time::Duration;

use leno_ir::{CircuitBreakers, RetryBudget, RoutingPriority, Thresholds};
use leno_names::Fraction;
use leno_proto::envoy::config::cluster::v3::{
    CircuitBreakers as ProtoBreakers,
    circuit_breakers::{Thresholds as ProtoThresholds, thresholds::RetryBudget as ProtoBudget},
};
use leno_proto::envoy::config::core::v3::RoutingPriority as ProtoPriority;
use leno_proto::envoy::r#type::v3::Percent;
use leno_proto::google::protobuf::UInt32Value;

use super::common::u32_value;
use super::error::{At, Result, refuse};

pub(super) fn encode_breakers(breakers: &CircuitBreakers) -> ProtoBreakers {
    let of = || {
        let high = breakers.high.as_deref().map(|high| (RoutingPriority::High, high));
        std::iter::once((RoutingPriority::Default, &breakers.default)).chain(high)
    };
    let per_host = |(priority, thresholds): (RoutingPriority, &Thresholds)| {
        let max_connections = u32_value(thresholds.max_connections_per_endpoint?);
        Some(ProtoThresholds { priority: encode_priority(priority), max_connections, ..ProtoThresholds::default() })
    };
    ProtoBreakers {
        thresholds: of().map(encode_thresholds).collect(),
        per_host_thresholds: of().filter_map(per_host).collect(),
    }
}
fn encode_thresholds((priority, thresholds): (RoutingPriority, &Thresholds)) -> ProtoThresholds {
    ProtoThresholds {
        priority: encode_priority(priority),
        max_connections: u32_value(thresholds.max_connections),
        max_pending_requests: u32_value(thresholds.max_pending_requests),
        max_requests: u32_value(thresholds.max_requests),
        max_retries: u32_value(thresholds.max_retries),
        retry_budget: thresholds.retry_budget.as_ref().map(|budget| ProtoBudget {
            budget_percent: Some(Percent { value: budget.budget.as_f64() * 100.0 }),
            min_retry_concurrency: u32_value(budget.min_retry_concurrency),
            ..ProtoBudget::default()
        }),
        ..ProtoThresholds::default()
    }
}

pub(super) fn encode_priority(priority: RoutingPriority) -> i32 {
    match priority {
        RoutingPriority::Default => ProtoPriority::Default,
        RoutingPriority::High => ProtoPriority::High,
    }
    .into()
}

/// As in Envoy the first thresholds of a priority count.
pub(super) fn decode_breakers(breakers: Option<&ProtoBreakers>) -> Result<CircuitBreakers> {
    let none = ProtoBreakers::default();
    let breakers = breakers.unwrap_or(&none);
    let thresholds = |priority: ProtoPriority| {
        let is_of = |limits: &&ProtoThresholds| limits.priority() == priority;
        let per_host = breakers.per_host_thresholds.iter().find(is_of).and_then(|limits| limits.max_connections);
        let of = breakers.thresholds.iter().find(is_of).map(decode_thresholds).transpose()?;
        let most = per_host.map(|most| most.value);
        let found = of.is_some() || most.is_some();
        Ok(found.then(|| Thresholds { max_connections_per_endpoint: most, ..of.unwrap_or(Thresholds::ENVOY) }))
    };
    for limits in &breakers.per_host_thresholds {
        refuse!(limits, max_pending_requests, max_requests, max_retries, max_connection_pools, retry_budget);
    }
    Ok(CircuitBreakers {
        default: thresholds(ProtoPriority::Default)?.unwrap_or(Thresholds::ENVOY),
        high: thresholds(ProtoPriority::High)?.map(Box::new),
    })
}

/// Envoy's documented defaults for what is not said.
fn decode_thresholds(limits: &ProtoThresholds) -> Result<Thresholds> {
    refuse!(limits, max_connection_pools);
    let number = |value: Option<UInt32Value>, default: u32| value.map_or(default, |value| value.value);
    let budget = |budget: &ProtoBudget| {
        refuse!(budget, budget_interval);
        let percent = budget.budget_percent.as_ref();
        Ok(RetryBudget {
            budget: percent
                .and_then(|percent| Fraction::from_percent_f64(percent.value).ok())
                .unwrap_or_else(|| RetryBudget::default().budget),
            min_retry_concurrency: number(budget.min_retry_concurrency, 3),
        })
    };
    Ok(Thresholds {
        max_connections: number(limits.max_connections, Thresholds::ENVOY.max_connections),
        max_pending_requests: number(limits.max_pending_requests, Thresholds::ENVOY.max_pending_requests),
        max_requests: number(limits.max_requests, Thresholds::ENVOY.max_requests),
        max_retries: number(limits.max_retries, Thresholds::ENVOY.max_retries),
        retry_budget: limits.retry_budget.as_ref().map(budget).transpose().at("retry_budget")?,
        max_connections_per_endpoint: None,
    })
}

/// Longest time a connection may take to be made when nothing is said (Envoy).
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
