//! Retries, outlier detection, circuit breakers: fields that differ from `ir` in shape.

use std::time::Duration;

use leno_ir::{CircuitBreakers, Flavor, OutlierDetection, RetryBudget, RetryOn, RetryPolicy};
use leno_names::Fraction;
use leno_proto::envoy::config::cluster::v3::{
    CircuitBreakers as ProtoBreakers, OutlierDetection as ProtoOutlierDetection, circuit_breakers::Thresholds,
    circuit_breakers::thresholds::RetryBudget as ProtoBudget,
};
use leno_proto::envoy::config::route::v3::{
    RetryPolicy as ProtoRetryPolicy, retry_policy::RetryBackOff, retry_policy::RetryHostPredicate,
    retry_policy::retry_host_predicate::ConfigType,
};
use leno_proto::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use leno_proto::envoy::r#type::v3::Percent;
use leno_proto::google::protobuf::UInt32Value;

use super::common::{any, duration, read_duration, u32_value};
use super::error::{DecodeError, Result, refuse};

const PREVIOUS_HOSTS: &str = "envoy.retry_host_predicates.previous_hosts";
const PREVIOUS_HOSTS_TYPE: &str = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
/// Envoy passes over words it does not know; to us it says that only safe requests may be sent again.
const SAFE_ONLY: &str = "leno-safe-only";

pub(super) fn encode_retry(retry: &RetryPolicy, flavor: Flavor) -> ProtoRetryPolicy {
    let mut words: Vec<&str> = retry.on.iter().map(|on| on.as_str()).collect();
    if flavor == Flavor::Leno && !retry.retry_non_idempotent {
        words.push(SAFE_ONLY);
    }
    let predicate = RetryHostPredicate {
        name: PREVIOUS_HOSTS.to_owned(),
        config_type: Some(ConfigType::TypedConfig(any(PREVIOUS_HOSTS_TYPE, &PreviousHostsPredicate {}))),
    };
    ProtoRetryPolicy {
        retry_on: words.join(","),
        num_retries: u32_value(retry.attempts),
        per_try_timeout: retry.per_try_timeout.and_then(duration),
        retriable_status_codes: retry.retriable_status_codes.iter().map(|code| (*code).into()).collect(),
        retry_host_predicate: retry.avoid_previous_hosts.then_some(predicate).into_iter().collect(),
        host_selection_retry_max_attempts: if retry.avoid_previous_hosts { 5 } else { 0 },
        retry_back_off: Some(RetryBackOff {
            base_interval: duration(retry.back_off_base),
            // Envoy refuses less than the base.
            max_interval: duration(retry.back_off_max.max(retry.back_off_base)),
        }),
        ..ProtoRetryPolicy::default()
    }
}

pub(super) fn decode_retry(retry: &ProtoRetryPolicy) -> Result<RetryPolicy> {
    let mut on = Vec::new();
    let mut retry_non_idempotent = true;
    for word in retry.retry_on.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match RetryOn::from_word(word) {
            Some(condition) => on.push(condition),
            None if word == SAFE_ONLY => retry_non_idempotent = false,
            None => return Err(DecodeError::new("retry_on", format!("\"{word}\" is not supported"))),
        }
    }
    refuse!(retry, retry_priority, retriable_headers, retriable_request_headers, per_try_idle_timeout);
    refuse!(retry, retry_options_predicates, rate_limited_retry_back_off);
    if let Some(other) = retry.retry_host_predicate.iter().find(|predicate| predicate.name != PREVIOUS_HOSTS) {
        return Err(DecodeError::new("retry_host_predicate", format!("{} is not supported", other.name)));
    }
    let back_off = retry.retry_back_off.as_ref();
    let base = back_off.and_then(|back_off| read_duration(back_off.base_interval.as_ref()));
    let base = base.unwrap_or(RetryPolicy::BACK_OFF_BASE);
    let max = back_off.and_then(|back_off| read_duration(back_off.max_interval.as_ref()));
    Ok(RetryPolicy {
        on,
        retriable_status_codes: retry
            .retriable_status_codes
            .iter()
            .filter_map(|code| (*code).try_into().ok())
            .collect(),
        attempts: retry.num_retries.as_ref().map_or(1, |tries| tries.value),
        per_try_timeout: read_duration(retry.per_try_timeout.as_ref()).filter(|timeout| !timeout.is_zero()),
        back_off_base: base,
        back_off_max: max.unwrap_or(base.saturating_mul(10)),
        avoid_previous_hosts: retry.retry_host_predicate.iter().any(|predicate| predicate.name == PREVIOUS_HOSTS),
        retry_non_idempotent,
    })
}

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
