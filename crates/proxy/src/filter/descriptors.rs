//! What rate limits know a request by.

use std::borrow::Cow;

use leno_balance::DescriptorEntry;
use leno_ir::{RateLimitAction, RateLimitRule, RouteAction, VirtualHostRules};
use leno_routing::HeaderView as _;

use super::{RequestContext, RouteRef};
use crate::http::RequestHead;

/// The rules of that stage of a route that forwards, and those of its virtual host where they count.
pub(super) fn rules_of_route(
    route: &RouteRef,
    stage: u32,
    host_rules: VirtualHostRules,
) -> impl Iterator<Item = &RateLimitRule> {
    let forward = |matched: leno_routing::Matched<'_>| matches!(matched.route.action, RouteAction::Forward(_));
    let matched = route.matched().filter(|matched| forward(*matched));
    let all = matched.into_iter().flat_map(move |matched| {
        let RouteAction::Forward(forward) = &matched.route.action else { return [].iter().chain(&[]) };
        let includes_host = forward.include_host_rate_limits
            || match host_rules {
                VirtualHostRules::Ignore => false,
                VirtualHostRules::Include => true,
                VirtualHostRules::Override => forward.rate_limits.is_empty(),
            };
        let of_host: &[RateLimitRule] = if includes_host { &matched.virtual_host.rate_limits } else { &[] };
        forward.rate_limits.iter().chain(of_host)
    });
    all.filter(move |rule| rule.stage == stage)
}

/// `None`: an action has nothing to say about this request.
pub(super) fn describe<'r>(rule: &'r RateLimitRule, cx: &'r RequestContext<'_>) -> Option<Vec<DescriptorEntry<'r>>> {
    let or = |key: &'r String, default: &'static str| Cow::Borrowed(if key.is_empty() { default } else { key });
    let mut entries = Vec::with_capacity(rule.actions.len());
    for action in &rule.actions {
        let (key, value): DescriptorEntry<'r> = match action {
            RateLimitAction::DestinationCluster => {
                (Cow::Borrowed("destination_cluster"), Cow::Borrowed(&cx.route?.cluster()?.name))
            }
            RateLimitAction::GenericKey { key, value } => (or(key, "generic_key"), Cow::Borrowed(value)),
            RateLimitAction::HeaderValueMatch { key, value, expect_match, headers } => {
                let all_match = headers.iter().all(|header| leno_routing::header_matches(header, &*cx.request));
                if all_match != *expect_match {
                    return None;
                }
                (or(key, "header_match"), Cow::Borrowed(value))
            }
            RateLimitAction::RemoteAddress => {
                let remote = cx.exchange.remote.unwrap_or(cx.connection.remote);
                (Cow::Borrowed("remote_address"), Cow::Owned(remote.ip().to_string()))
            }
            RateLimitAction::RequestHeader { header, key, skip_if_absent } => match first_value(header, cx.request) {
                Some(value) => (Cow::Borrowed(key), value),
                None if *skip_if_absent => continue,
                None => return None,
            },
        };
        entries.push((key, value));
    }
    (!entries.is_empty()).then_some(entries)
}

/// Of several lines the first, as Envoy.
fn first_value<'r>(name: &str, request: &'r RequestHead) -> Option<Cow<'r, str>> {
    if name.starts_with(':') || name == "host" {
        return request.pseudo_header(name).map(Cow::Borrowed);
    }
    request.headers.get(name).map(String::from_utf8_lossy)
}
