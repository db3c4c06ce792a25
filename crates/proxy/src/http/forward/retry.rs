use std::time::{Duration, SystemTime};

use h2::Reason;
use http::Method;
use leno_ir::{RateLimitedBackOff, ResetFormat, ResetHeader, RetryOn, RetryPolicy};
use leno_routing::header_matches;

use crate::http::failure::Failure;
use crate::http::head::ResponseHead;
use crate::http::headers::Headers;
use crate::http::peer::PeerError;
use crate::upstream::ConnectError;

/// RFC 9110 §9.2.2.
pub(super) fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE)
}

/// Whether the upstream cannot have acted on the request.
pub(super) fn is_unprocessed(failure: &Failure) -> bool {
    matches!(failure, Failure::Connect(_) | Failure::Peer(PeerError::Reset(Reason::REFUSED_STREAM)))
}

/// Whether the policy wants another try after a try that had no response.
pub(super) fn wants_retry_after_failure(policy: &RetryPolicy, failure: &Failure) -> bool {
    let is_on = |on: RetryOn| policy.on.contains(&on);
    // Envoy counts every reset without a response as 5xx and as gateway error too.
    let is_reset = is_on(RetryOn::Reset) || is_on(RetryOn::FiveXx) || is_on(RetryOn::GatewayError);
    match failure {
        Failure::Connect(ConnectError::Overflow(_)) => false,
        Failure::Connect(_) => is_reset || is_on(RetryOn::ConnectFailure) || is_on(RetryOn::ResetBeforeRequest),
        Failure::Peer(PeerError::Reset(Reason::REFUSED_STREAM)) => is_reset || is_on(RetryOn::RefusedStream),
        Failure::Peer(_) => is_reset,
        Failure::PerTryIdle | Failure::PerTryTimeout => is_reset,
        _ => false,
    }
}

/// Whether the policy wants another try instead of this response.
pub(super) fn wants_retry_after_response(policy: &RetryPolicy, response: &ResponseHead) -> bool {
    if response.headers.contains("x-envoy-ratelimited") {
        return policy.on.contains(&RetryOn::EnvoyRatelimited);
    }
    let status = response.status;
    // A status in the head means that there is no body: trailers-only.
    let grpc_status = response.headers.get("grpc-status").unwrap_or_default();
    policy.on.iter().any(|on| match on {
        RetryOn::FiveXx => status >= 500,
        RetryOn::GatewayError => matches!(status, 502..=504),
        RetryOn::Retriable4xx => status == 409,
        RetryOn::RetriableStatusCodes => policy.retriable_status_codes.contains(&status),
        RetryOn::Cancelled => grpc_status == b"1",
        RetryOn::DeadlineExceeded => grpc_status == b"4",
        RetryOn::ResourceExhausted => grpc_status == b"8",
        RetryOn::Internal => grpc_status == b"13",
        RetryOn::Unavailable => grpc_status == b"14",
        RetryOn::RetriableHeaders => policy.retriable_headers.iter().any(|header| header_matches(header, response)),
        RetryOn::ConnectFailure
        | RetryOn::EnvoyRatelimited
        | RetryOn::Http3PostConnectFailure
        | RetryOn::RefusedStream
        | RetryOn::Reset
        | RetryOn::ResetBeforeRequest => false,
    })
}

/// Whether a response proves that trying again does no harm although the method is not idempotent. gRPC's UNAVAILABLE
/// says so by definition; the conditions that name a gRPC status were written for gRPC, which only has POST.
pub(super) fn is_grpc_refusal(response: &ResponseHead) -> bool {
    response.headers.get("grpc-status").is_some_and(|status| status == b"14")
}

/// Before try `retry` (1 for the first retry): random, below an exponentially growing bound.
pub(super) fn back_off(policy: &RetryPolicy, retry: u32, random: u64) -> Duration {
    let base = policy.back_off_base.as_micros().min(u128::from(u32::MAX)) as u64;
    let most = policy.back_off_max.as_micros().min(u128::from(u32::MAX)) as u64;
    let bound = base.saturating_mul(1_u64 << retry.saturating_sub(1).min(16)).min(most);
    Duration::from_micros(if bound == 0 { 0 } else { random % bound })
}

/// The wait that a response asks for: the first header that can be read and does not ask for too much.
pub(super) fn asked_wait(limited: &RateLimitedBackOff, headers: &Headers, now: SystemTime) -> Option<Duration> {
    let read = |header: &ResetHeader| {
        let seconds = Duration::from_secs(headers.get_str(&header.name)?.trim().parse().ok()?);
        let wait = match header.format {
            ResetFormat::Seconds => seconds,
            ResetFormat::UnixTimestamp => {
                let now = Duration::from_secs(now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs());
                seconds.checked_sub(now)?
            }
        };
        (wait <= limited.max).then_some(wait)
    };
    limited.headers.iter().find_map(read).filter(|wait| *wait > Duration::from_millis(1))
}

/// Up to half as much again, so that those who were told the same do not come back together.
pub(super) fn at_least(asked: Duration, random: u64) -> Duration {
    let half = asked.as_millis().min(u128::from(u32::MAX)) as u64 / 2;
    asked.saturating_add(Duration::from_millis(if half == 0 { 0 } else { random % half }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(on: &[RetryOn]) -> RetryPolicy {
        RetryPolicy { on: on.to_vec(), retriable_status_codes: vec![418], attempts: 2, ..RetryPolicy::default() }
    }

    #[test]
    fn conditions_are_read_as_envoy_reads_them() {
        let response = |status| ResponseHead { status, ..ResponseHead::default() };
        assert!(wants_retry_after_response(&policy(&[RetryOn::FiveXx]), &response(500)));
        assert!(!wants_retry_after_response(&policy(&[RetryOn::GatewayError]), &response(500)));
        assert!(wants_retry_after_response(&policy(&[RetryOn::GatewayError]), &response(503)));
        assert!(wants_retry_after_response(&policy(&[RetryOn::RetriableStatusCodes]), &response(418)));
        assert!(!wants_retry_after_response(&policy(&[RetryOn::ConnectFailure]), &response(503)));
        assert!(wants_retry_after_failure(&policy(&[RetryOn::Reset]), &Failure::Peer(PeerError::Closed)));
        assert!(!wants_retry_after_failure(&policy(&[RetryOn::ConnectFailure]), &Failure::Peer(PeerError::Closed)));
        let refused = Failure::Peer(PeerError::Reset(Reason::REFUSED_STREAM));
        assert!(wants_retry_after_failure(&policy(&[RetryOn::RefusedStream]), &refused) && is_unprocessed(&refused));
    }

    #[test]
    fn back_off_stays_below_its_bound() {
        let policy = policy(&[]);
        for retry in 1..40 {
            assert!(back_off(&policy, retry, u64::MAX - 7) < RetryPolicy::BACK_OFF_MAX);
        }
        assert!(back_off(&policy, 1, u64::MAX) < RetryPolicy::BACK_OFF_BASE);
    }

    #[test]
    fn a_response_may_ask_for_a_longer_wait() {
        let header = |name: &str, format| ResetHeader { name: name.to_owned(), format };
        let headers = vec![header("retry-after", ResetFormat::Seconds), header("x-reset", ResetFormat::UnixTimestamp)];
        let limited = RateLimitedBackOff { headers, max: Duration::from_secs(10) };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let asked = |lines: &[(&str, &str)]| {
            let mut headers = Headers::default();
            lines.iter().for_each(|(name, value)| headers.append(name.as_bytes(), value.as_bytes()));
            asked_wait(&limited, &headers, now)
        };
        assert_eq!(asked(&[("retry-after", "3")]), Some(Duration::from_secs(3)));
        assert_eq!(asked(&[("retry-after", "30"), ("x-reset", "1004")]), Some(Duration::from_secs(4)));
        assert_eq!(asked(&[("retry-after", "soon"), ("x-reset", "999")]), None);
        let most = at_least(Duration::from_secs(2), u64::MAX);
        assert!(most >= Duration::from_secs(2) && most < Duration::from_secs(3));
    }
}
