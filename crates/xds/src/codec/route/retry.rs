use leno_ir::{Flavor, HeaderMatch, RateLimitedBackOff, ResetFormat, ResetHeader, RetryOn, RetryPolicy};
use leno_proto::envoy::config::route::v3::{
    HeaderMatcher, HedgePolicy, RetryPolicy as Proto,
    retry_policy::{RateLimitedRetryBackOff, ResetHeader as ProtoResetHeader, ResetHeaderFormat, RetryBackOff},
};

use super::{matches, retry_hosts};
use crate::codec::common::{duration, read_duration, u32_value};
use crate::codec::error::{At, DecodeError, Result, refuse};

/// Envoy passes over words it does not know; to us it says that only safe requests may be sent again.
const SAFE_ONLY: &str = "leno-safe-only";

pub(super) fn encode(retry: &RetryPolicy, flavor: Flavor) -> Proto {
    let predicates = retry_hosts::encode(retry);
    let mut words: Vec<&str> = retry.on.iter().map(|on| on.as_str()).collect();
    if flavor == Flavor::Leno && !retry.retry_non_idempotent {
        words.push(SAFE_ONLY);
    }
    Proto {
        retry_on: words.join(","),
        num_retries: u32_value(retry.attempts),
        per_try_timeout: retry.per_try_timeout.and_then(duration),
        per_try_idle_timeout: retry.per_try_idle_timeout.and_then(duration),
        retriable_status_codes: retry.retriable_status_codes.iter().map(|code| (*code).into()).collect(),
        retriable_headers: retry.retriable_headers.iter().map(matches::encode_header).collect(),
        retriable_request_headers: retry.retriable_request_headers.iter().map(matches::encode_header).collect(),
        host_selection_retry_max_attempts: if predicates.is_empty() { 0 } else { 5 },
        retry_host_predicate: predicates,
        retry_priority: retry.other_priorities.map(retry_hosts::encode_priority),
        retry_back_off: Some(RetryBackOff {
            base_interval: duration(retry.back_off_base),
            // Envoy refuses less than the base.
            max_interval: duration(retry.back_off_max.max(retry.back_off_base)),
        }),
        rate_limited_retry_back_off: retry.rate_limited_back_off.as_ref().map(encode_rate_limited),
        ..Proto::default()
    }
}

fn encode_rate_limited(back_off: &RateLimitedBackOff) -> RateLimitedRetryBackOff {
    let header = |header: &ResetHeader| ProtoResetHeader {
        name: header.name.clone(),
        format: match header.format {
            ResetFormat::Seconds => ResetHeaderFormat::Seconds,
            ResetFormat::UnixTimestamp => ResetHeaderFormat::UnixTimestamp,
        }
        .into(),
    };
    RateLimitedRetryBackOff {
        reset_headers: back_off.headers.iter().map(header).collect(),
        max_interval: duration(back_off.max),
    }
}

pub(super) fn decode(retry: &Proto) -> Result<RetryPolicy> {
    let mut on = Vec::new();
    let mut retry_non_idempotent = true;
    for word in retry.retry_on.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match RetryOn::from_word(word) {
            Some(condition) => on.push(condition),
            None if word == SAFE_ONLY => retry_non_idempotent = false,
            None => return Err(DecodeError::new("retry_on", format!("\"{word}\" is not supported"))),
        }
    }
    refuse!(retry, retry_options_predicates, refresh_cluster_on_retry);
    let back_off = retry.retry_back_off.as_ref();
    let base = back_off.and_then(|back_off| read_duration(back_off.base_interval.as_ref()));
    let base = base.unwrap_or(RetryPolicy::BACK_OFF_BASE);
    let max = back_off.and_then(|back_off| read_duration(back_off.max_interval.as_ref()));
    let max = max.unwrap_or(base.saturating_mul(10));
    if max < base {
        return Err(DecodeError::new("retry_back_off.max_interval", "is below base_interval"));
    }
    let limit = |value| read_duration(value).filter(|limit| !limit.is_zero());
    let mut policy = RetryPolicy {
        on,
        retriable_status_codes: retry
            .retriable_status_codes
            .iter()
            .filter_map(|code| (*code).try_into().ok())
            .collect(),
        attempts: retry.num_retries.as_ref().map_or(1, |tries| tries.value),
        per_try_timeout: limit(retry.per_try_timeout.as_ref()),
        per_try_idle_timeout: limit(retry.per_try_idle_timeout.as_ref()),
        retriable_headers: decode_headers(&retry.retriable_headers, "retriable_headers")?,
        retriable_request_headers: decode_headers(&retry.retriable_request_headers, "retriable_request_headers")?,
        back_off_base: base,
        back_off_max: max,
        rate_limited_back_off: retry
            .rate_limited_retry_back_off
            .as_ref()
            .map(decode_rate_limited)
            .transpose()
            .at("rate_limited_retry_back_off")?,
        retry_non_idempotent,
        ..RetryPolicy::default()
    };
    retry_hosts::decode(retry, &mut policy)?;
    Ok(policy)
}

pub(super) fn encode_hedge(on_per_try_timeout: bool) -> Option<HedgePolicy> {
    on_per_try_timeout.then(|| HedgePolicy { hedge_on_per_try_timeout: true, ..HedgePolicy::default() })
}

/// Only the switch that Envoy has built too.
pub(super) fn decode_hedge(policy: Option<&HedgePolicy>) -> Result<bool> {
    let Some(policy) = policy else { return Ok(false) };
    if policy.initial_requests.is_some_and(|requests| requests.value != 1) {
        return Err(DecodeError::unsupported("initial_requests"));
    }
    if policy.additional_request_chance.is_some_and(|chance| chance.numerator != 0) {
        return Err(DecodeError::unsupported("additional_request_chance"));
    }
    Ok(policy.hedge_on_per_try_timeout)
}

fn decode_headers(headers: &[HeaderMatcher], field: &str) -> Result<Vec<HeaderMatch>> {
    let headers = headers.iter().enumerate();
    headers.map(|(index, header)| matches::decode_header(header).at_index(field, index)).collect()
}

fn decode_rate_limited(back_off: &RateLimitedRetryBackOff) -> Result<RateLimitedBackOff> {
    if back_off.reset_headers.is_empty() {
        return Err(DecodeError::new("reset_headers", "is empty"));
    }
    let header = |header: &ProtoResetHeader| ResetHeader {
        name: header.name.to_ascii_lowercase(),
        format: match header.format() {
            ResetHeaderFormat::Seconds => ResetFormat::Seconds,
            ResetHeaderFormat::UnixTimestamp => ResetFormat::UnixTimestamp,
        },
    };
    Ok(RateLimitedBackOff {
        headers: back_off.reset_headers.iter().map(header).collect(),
        max: read_duration(back_off.max_interval.as_ref()).unwrap_or(RateLimitedBackOff::MAX),
    })
}
