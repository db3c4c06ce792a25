use leno_ir::{RetryOn, RetryPolicy};
use leno_model::RouteObject;
use leno_model::api::{BackendRef, Filter, HttpRetry, HttpRouteMatch, HttpTimeouts, SessionPersistence};

use super::matches::{Condition, grpc, http};
use crate::forward;
use crate::requests::Said;

/// What HTTPRoute and GRPCRoute have in common.
pub(super) struct Rule<'a> {
    pub(super) name: String,
    /// Where it stands in its object.
    pub(super) at: String,
    pub(super) matches: Vec<Condition>,
    pub(super) filters: &'a [Filter],
    pub(super) backends: &'a [BackendRef],
    pub(super) timeouts: HttpTimeouts,
    pub(super) session: Option<&'a SessionPersistence>,
    retry: Option<&'a HttpRetry>,
}

/// Nothing for routes that know no requests.
pub(super) fn of(object: &RouteObject) -> Vec<Rule<'_>> {
    match object {
        RouteObject::Derived { route, .. } | RouteObject::Http(route) => {
            let rules = route.spec.rules.iter().enumerate();
            rules
                .map(|(index, rule)| Rule {
                    name: name(rule.name.as_deref(), &route.metadata.name, index),
                    at: format!("spec.rules[{index}]"),
                    matches: or_any(rule.matches.iter().filter_map(http), rule.matches.is_empty()),
                    filters: &rule.filters,
                    backends: &rule.backend_refs,
                    timeouts: rule.timeouts.clone(),
                    session: rule.session_persistence.as_ref(),
                    retry: rule.retry.as_ref(),
                })
                .collect()
        }
        RouteObject::Grpc(route) => {
            let rules = route.spec.rules.iter().enumerate();
            rules
                .map(|(index, rule)| Rule {
                    name: name(rule.name.as_deref(), &route.metadata.name, index),
                    at: format!("spec.rules[{index}]"),
                    matches: or_any(rule.matches.iter().filter_map(grpc), rule.matches.is_empty()),
                    filters: &rule.filters,
                    backends: &rule.backend_refs,
                    timeouts: HttpTimeouts::default(),
                    session: rule.session_persistence.as_ref(),
                    retry: None,
                })
                .collect()
        }
        RouteObject::Tcp(_) | RouteObject::Tls(_) => Vec::new(),
    }
}

fn name(written: Option<&str>, route: &str, index: usize) -> String {
    written.map_or_else(|| format!("{route}.{index}"), str::to_owned)
}

fn or_any(conditions: impl Iterator<Item = Condition>, any: bool) -> Vec<Condition> {
    let mut all: Vec<_> = conditions.collect();
    if any {
        all.extend(http(&HttpRouteMatch::default()));
    }
    all
}

impl Rule<'_> {
    pub(super) fn said(&self) -> Said {
        Said {
            retries: self.retry.is_some(),
            timeout: self.timeouts.request.is_some(),
            try_timeout: self.timeouts.backend_request.is_some(),
            fault: false,
        }
    }

    pub(super) fn retry(&self) -> RetryPolicy {
        let mut policy = forward::default_retry();
        policy.per_try_timeout = self.timeouts.backend_request.map(|timeout| timeout.0).filter(|t| !t.is_zero());
        let Some(written) = self.retry else { return policy };
        // HTTPRouteRetry: whoever asks for retries means failures of connections and timeouts of the backend, too.
        policy.on.push(RetryOn::Reset);
        policy.attempts = written.attempts.unwrap_or(policy.attempts);
        if let Some(base) = written.backoff {
            policy.back_off_base = base.0;
            policy.back_off_max = base.0.saturating_mul(10);
        }
        if !written.codes.is_empty() {
            policy.on.push(RetryOn::RetriableStatusCodes);
            policy.retriable_status_codes = written.codes.clone();
            policy.retry_non_idempotent = true;
        }
        policy
    }
}
