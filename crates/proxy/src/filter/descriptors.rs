//! What rate limits know a request by.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use leno_balance::DescriptorEntry;
use leno_ir::{
    MetadataSource, MetadataValue, QueryMatch, RateLimitAction, RateLimitRule, RouteAction, VirtualHostRules,
    metadata_value,
};
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
            RateLimitAction::MaskedRemoteAddress { v4_prefix_len, v6_prefix_len } => {
                let network = network(remote_ip(cx), *v4_prefix_len, *v6_prefix_len);
                (Cow::Borrowed("masked_remote_address"), Cow::Owned(network))
            }
            RateLimitAction::Metadata { key, source, namespace, path, default, skip_if_absent } => {
                match text(*source, namespace, path, cx) {
                    Some(text) => (Cow::Borrowed(key), Cow::Borrowed(text)),
                    None if !default.is_empty() => (Cow::Borrowed(key), Cow::Borrowed(default)),
                    None if *skip_if_absent => continue,
                    None => return None,
                }
            }
            RateLimitAction::QueryParameter { name, key, skip_if_absent } => match query(name, cx.request) {
                Some(value) => (Cow::Borrowed(key), value),
                None if *skip_if_absent => continue,
                None => return None,
            },
            RateLimitAction::QueryValueMatch { key, value, expect_match, parameters } => {
                let is_match = |parameter: &QueryMatch| {
                    let value = query(&parameter.name, cx.request);
                    leno_routing::query_value_matches(&parameter.kind, value.as_deref())
                };
                if parameters.iter().all(is_match) != *expect_match {
                    return None;
                }
                (or(key, "query_match"), Cow::Borrowed(value))
            }
            RateLimitAction::RemoteAddress => (Cow::Borrowed("remote_address"), Cow::Owned(remote_ip(cx).to_string())),
            RateLimitAction::SourceCluster => {
                (Cow::Borrowed("source_cluster"), Cow::Borrowed(cx.worker.local_cluster()))
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

fn remote_ip(cx: &RequestContext<'_>) -> IpAddr {
    cx.exchange.remote.unwrap_or(cx.connection.remote).ip()
}

/// `10.1.0.0/16`
fn network(ip: IpAddr, v4_prefix_len: u8, v6_prefix_len: u8) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(v4_prefix_len)).unwrap_or_default();
            format!("{}/{v4_prefix_len}", Ipv4Addr::from_bits(ip.to_bits() & mask))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(v6_prefix_len)).unwrap_or_default();
            format!("{}/{v6_prefix_len}", Ipv6Addr::from_bits(ip.to_bits() & mask))
        }
    }
}

/// `None`: there is none, or an empty one.
fn text<'r>(source: MetadataSource, namespace: &str, path: &[String], cx: &'r RequestContext<'_>) -> Option<&'r str> {
    let metadata = match source {
        MetadataSource::Dynamic => &cx.exchange.metadata,
        MetadataSource::Route => cx.route?.metadata()?,
    };
    match metadata_value(metadata, namespace, path)? {
        MetadataValue::String(text) => Some(text.as_str()).filter(|text| !text.is_empty()),
        _ => None,
    }
}

/// Percent-decoded.
fn query<'r>(name: &str, request: &'r RequestHead) -> Option<Cow<'r, str>> {
    let path = request.path.as_ref();
    leno_routing::query_parameter(std::str::from_utf8(path).ok()?, name).map(percent_decoded)
}

/// What is no escape stays as it is.
fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let digit = |at: usize| char::from(*others.get(at)?).to_digit(16);
        let byte = (*first == b'%').then(|| Some(digit(0)? * 16 + digit(1)?)).flatten();
        match byte.and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = others.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(*first);
                rest = others;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// Of several lines the first, as Envoy.
fn first_value<'r>(name: &str, request: &'r RequestHead) -> Option<Cow<'r, str>> {
    if name.starts_with(':') || name == "host" {
        return request.pseudo_header(name).map(Cow::Borrowed);
    }
    request.headers.get(name).map(String::from_utf8_lossy)
}
