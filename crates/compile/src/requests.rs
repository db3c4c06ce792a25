//! What Leno's own policies change in routes. What a route says itself stays.

use leno_ir::{
    Fault, FaultAbort, FaultAbortKind, FaultDelay, FaultDelayKind, FilterOverride, Forward, GrpcTimeout, HeaderMatch,
    HeaderMatchKind, RetryOn, RetryPolicy, Route, RouteAction, RouteFilterConfig, StringMatch,
};
use leno_model::HeldPolicies;
use leno_model::api::grpc_status;
use leno_model::api::leno::{
    DeadlinePolicySpec, FaultPolicySpec, HedgePolicySpec, RetryMethods, RetryPolicySpec, RetryWhen,
};
use leno_names::Fraction;

use crate::forward::default_retry;
use crate::{rate_limit, route_filters};

/// What the author of a route has said of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    pub(crate) retries: bool,
    pub(crate) timeout: bool,
    pub(crate) try_timeout: bool,
    pub(crate) fault: bool,
}

pub(crate) fn apply(policies: &HeldPolicies, said: Said, route: &mut Route) {
    if let RouteAction::Forward(forward) = &mut route.action {
        if let Some(held) = policies.retry.as_ref().filter(|_| !said.retries) {
            let tried_for = forward.retry.as_ref().and_then(|retry| retry.per_try_timeout);
            forward.retry = retry(&held.spec);
            if let Some(retry) = forward.retry.as_mut().filter(|_| tried_for.is_some()) {
                retry.per_try_timeout = tried_for;
            }
        }
        if let Some(held) = &policies.deadline {
            deadline(&held.spec, said, forward);
        }
        if let Some(held) = policies.hedge.as_ref().filter(|_| !said.try_timeout) {
            hedge(&held.spec, forward);
        }
    }
    if let Some(held) = policies.fault.as_ref().filter(|_| !said.fault) {
        let config = RouteFilterConfig::Fault(Box::new(fault(&held.spec)));
        route.filters.insert(route_filters::FAULT.to_owned(), FilterOverride::Config(config));
    }
    if let Some(held) = &policies.rate_limit {
        rate_limit::turn_on(held, route);
    }
}

/// `None`: no retries.
fn retry(spec: &RetryPolicySpec) -> Option<RetryPolicy> {
    let mut policy = default_retry();
    policy.attempts = spec.attempts.unwrap_or(policy.attempts);
    policy.per_try_timeout = spec.per_try_timeout.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero());
    policy.avoid_previous_hosts = spec.avoid_previous_hosts.unwrap_or(policy.avoid_previous_hosts);
    policy.retry_non_idempotent = spec.methods == Some(RetryMethods::Any);
    if !spec.on.is_empty() {
        policy.on = spec.on.iter().copied().map(on).collect();
    }
    if !spec.codes.is_empty() {
        policy.retriable_status_codes = spec.codes.clone();
        if !policy.on.contains(&RetryOn::RetriableStatusCodes) {
            policy.on.push(RetryOn::RetriableStatusCodes);
        }
    }
    if let Some(backoff) = &spec.backoff {
        policy.back_off_base = backoff.base.0;
        policy.back_off_max = backoff.max.map_or(backoff.base.0.saturating_mul(10), |max| max.0);
    }
    Some(policy).filter(|policy| policy.attempts > 0)
}

const fn on(word: RetryWhen) -> RetryOn {
    match word {
        RetryWhen::Cancelled => RetryOn::Cancelled,
        RetryWhen::ConnectFailure => RetryOn::ConnectFailure,
        RetryWhen::DeadlineExceeded => RetryOn::DeadlineExceeded,
        RetryWhen::FiveXx => RetryOn::FiveXx,
        RetryWhen::GatewayError => RetryOn::GatewayError,
        RetryWhen::Internal => RetryOn::Internal,
        RetryWhen::RefusedStream => RetryOn::RefusedStream,
        RetryWhen::Reset => RetryOn::Reset,
        RetryWhen::ResetBeforeRequest => RetryOn::ResetBeforeRequest,
        RetryWhen::ResourceExhausted => RetryOn::ResourceExhausted,
        RetryWhen::RetriableStatusCodes => RetryOn::RetriableStatusCodes,
        RetryWhen::Retriable4xx => RetryOn::Retriable4xx,
        RetryWhen::Unavailable => RetryOn::Unavailable,
    }
}

fn deadline(spec: &DeadlinePolicySpec, said: Said, forward: &mut Forward) {
    if let Some(request) = spec.request.filter(|_| !said.timeout) {
        forward.timeout = Some(request.0).filter(|timeout| !timeout.is_zero());
    }
    if let Some(grpc) = spec.grpc.as_ref().filter(|_| !said.timeout) {
        // Who brings no deadline along has that of all requests.
        let max = grpc.max.or(spec.request).map(|max| max.0).filter(|max| !max.is_zero());
        forward.grpc_timeout = Some(GrpcTimeout { max, offset: grpc.offset.map(|offset| offset.0) });
    }
    if let Some(idle) = spec.idle {
        forward.idle_timeout = Some(idle.0);
    }
    if let Some(timeout) = spec.backend_request.filter(|timeout| !said.try_timeout && !timeout.0.is_zero()) {
        // Without retries there is one try, which has its time all the same.
        let retry = forward.retry.get_or_insert_with(|| RetryPolicy { attempts: 0, ..RetryPolicy::default() });
        retry.per_try_timeout = Some(timeout.0);
    }
}

/// A try that is late goes on beside the next.
fn hedge(spec: &HedgePolicySpec, forward: &mut Forward) {
    let retry = forward.retry.get_or_insert_with(|| RetryPolicy { attempts: 0, ..default_retry() });
    retry.attempts = retry.attempts.max(spec.max_requests.unwrap_or(2).saturating_sub(1));
    retry.per_try_timeout = Some(spec.after.0);
    retry.retry_non_idempotent |= spec.methods == Some(RetryMethods::Any);
    forward.hedge_on_per_try_timeout = true;
}

fn fault(spec: &FaultPolicySpec) -> Fault {
    let delay = spec.delay.as_ref();
    let delay =
        delay.map(|delay| FaultDelay { kind: FaultDelayKind::Fixed(delay.duration.0), share: share(delay.percent) });
    let abort = spec.abort.as_ref().and_then(|abort| {
        let kind = match (abort.status, &abort.grpc_status) {
            (Some(status), _) => FaultAbortKind::Http(status),
            (None, Some(name)) => FaultAbortKind::Grpc(grpc_status(name)?),
            (None, None) => return None,
        };
        Some(FaultAbort { kind, share: share(abort.percent), body: String::new() })
    });
    let headers = spec.headers.iter().map(|(name, value)| header(name, value));
    Fault { delay, abort, headers: headers.collect(), ..Fault::default() }
}

pub(crate) fn header(name: &str, value: &str) -> HeaderMatch {
    HeaderMatch {
        name: name.to_ascii_lowercase(),
        kind: HeaderMatchKind::Value(StringMatch::exact(value)),
        invert: false,
        treat_missing_as_empty: false,
    }
}

fn share(percent: Option<f64>) -> Fraction {
    percent.map_or(Fraction::ONE, |percent| Fraction::from_percent_f64(percent).unwrap_or(Fraction::ONE))
}
