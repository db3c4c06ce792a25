use std::num::NonZeroU32;

use leno_ir::{DirectResponse, RetryOn, RetryPolicy, Route, RouteAction, RouteMatch};
use leno_model::api::{HttpRetries, MeshConfig};

/// Istio's: the first try and the second take what is near.
const REMOTE_AFTER: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// The mesh's own policy: only what surely was not processed is sent again, so any method may be.
pub(crate) fn default_retry() -> RetryPolicy {
    RetryPolicy {
        on: vec![
            RetryOn::ConnectFailure,
            RetryOn::RefusedStream,
            RetryOn::Unavailable,
            RetryOn::Cancelled,
            RetryOn::ResetBeforeRequest,
        ],
        attempts: 2,
        avoid_previous_hosts: true,
        retry_non_idempotent: false,
        ..RetryPolicy::default()
    }
}

/// What the user wrote, and the conditions that are not known. `None`: no retries.
pub(crate) fn retry(written: Option<&HttpRetries>, mesh: &MeshConfig) -> (Option<RetryPolicy>, Vec<String>) {
    let mut policy = default_retry();
    let written = written.or(mesh.default_http_retry_policy.as_ref());
    let Some(written) = written else { return (Some(policy), Vec::new()) };
    policy.attempts = written.attempts.unwrap_or(policy.attempts);
    policy.per_try_timeout = written.per_try_timeout.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero());
    policy.avoid_previous_hosts = written.retry_ignore_previous_hosts.unwrap_or(true);
    if written.retry_remote_localities == Some(true) {
        policy.other_priorities = Some(REMOTE_AFTER);
    }
    if let Some(base) = written.backoff {
        policy.back_off_base = base.0;
        policy.back_off_max = base.0.saturating_mul(10);
    }
    let mut unknown = Vec::new();
    let words = written.retry_on.as_deref().unwrap_or_default();
    let words: Vec<_> = words.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    if !words.is_empty() {
        policy.retry_non_idempotent = true;
        policy.on.clear();
        for word in words {
            match (RetryOn::from_word(word), word.parse::<u16>()) {
                (Some(on), _) => policy.on.push(on),
                (None, Ok(status)) if (100..=599).contains(&status) => policy.retriable_status_codes.push(status),
                _ => unknown.push(word.to_owned()),
            }
        }
        if !policy.retriable_status_codes.is_empty() && !policy.on.contains(&RetryOn::RetriableStatusCodes) {
            policy.on.push(RetryOn::RetriableStatusCodes);
        }
    }
    (Some(policy).filter(|policy| policy.attempts > 0), unknown)
}

pub(crate) fn direct(name: String, matches: RouteMatch, status: u16, body: String) -> Route {
    let action = RouteAction::Direct(DirectResponse { status, body });
    Route::new(name, matches, action)
}
