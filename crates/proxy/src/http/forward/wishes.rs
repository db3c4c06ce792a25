//! What clients ask for in `x-envoy-…` headers: taken from those that are trusted, removed from the requests of all others.
//!
//! Cost        a request without such headers: one look at the beginning of each name
//! Source      Envoy router filter and HTTP header sanitizing

use std::borrow::Cow;

use leno_ir::{HeaderMatch, HeaderMatchKind, RetryOn, RetryPolicy, RouteTable, StrictHeader};
use leno_routing::header_matches;

use super::edge::Client;
use super::{Forwarder, timeouts};
use crate::http::failure::Failure;
use crate::http::headers::Headers;

const RETRIABLE_HEADER_NAMES: &str = "x-envoy-retriable-header-names";
const RETRIABLE_STATUS_CODES: &str = "x-envoy-retriable-status-codes";
const PREFIX: &[u8] = b"x-envoy-";

/// Says that a request is of one of ours; nobody else may say it.
const OF_OURS: &str = "x-envoy-internal";
/// Those of Envoy that nobody who connects to us from outside may send.
const OF_EDGE: [&str; 5] = [
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-original-host",
    "x-envoy-original-path",
];
/// Those of Envoy that only trusted clients may send.
const INTERNAL: [&str; 16] = [
    OF_OURS,
    StrictHeader::MaxRetries.as_str(),
    StrictHeader::RetryGrpcOn.as_str(),
    StrictHeader::RetryOn.as_str(),
    RETRIABLE_HEADER_NAMES,
    RETRIABLE_STATUS_CODES,
    timeouts::ALT_RESPONSE,
    timeouts::PER_TRY_TIMEOUT,
    timeouts::TIMEOUT,
    timeouts::EXPECTED,
    "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-ip-tags",
    "x-envoy-original-url",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-stream-duration-ms",
];

impl Forwarder<'_, '_> {
    /// Before anything of the request is read.
    pub(super) fn sanitize(&mut self, table: Option<&RouteTable>, client: Client) {
        let respects_expected = self.router().respect_expected_timeout;
        let headers = &mut self.request.headers;
        self.has_envoy_headers = headers.iter().any(|(name, _)| is_of_envoy(name));
        if client == Client::Internal {
            headers.set(OF_OURS, b"true");
            self.introduce(client);
            return;
        }
        if self.has_envoy_headers {
            // A proxy of our own mesh in front of us: when it gives up, so may we.
            let is_peer = self.context.connection.mtls && respects_expected;
            headers.retain(|name, _| {
                let is = |internal: &str| name.eq_ignore_ascii_case(internal.as_bytes());
                let of_edge = matches!(client, Client::Edge(_)) && OF_EDGE.into_iter().any(is);
                let is_internal = is_of_envoy(name) && (INTERNAL.into_iter().any(is) || of_edge);
                !is_internal || (is_peer && is(timeouts::EXPECTED))
            });
            self.has_envoy_headers = is_peer;
        }
        for name in table.map(|table| table.internal_only_headers.as_slice()).unwrap_or_default() {
            self.request.headers.remove(name);
        }
        self.introduce(client);
    }

    /// # Errors
    /// When a header that must be understood is not.
    pub(super) fn check_wishes(&self) -> Result<(), Failure> {
        let strict = &self.router().strict_check_headers;
        if !self.has_envoy_headers || strict.is_empty() {
            return Ok(());
        }
        for header in strict {
            let Some(value) = self.request.headers.get(header.as_str()) else { continue };
            let text = std::str::from_utf8(value).unwrap_or_default();
            let is_known = match header {
                StrictHeader::MaxRetries | StrictHeader::PerTryTimeout | StrictHeader::Timeout => {
                    text.parse::<u64>().is_ok()
                }
                StrictHeader::RetryGrpcOn => words(text).all(|word| condition(word, true).is_some()),
                StrictHeader::RetryOn => words(text).all(|word| condition(word, false).is_some()),
            };
            if !is_known {
                let value = String::from_utf8_lossy(value).into_owned();
                return Err(Failure::WrongHeader { name: header.as_str(), value });
            }
        }
        Ok(())
    }

    /// The route's policy as the client changes it; `None`: no try after the first. The client's words leave the request.
    pub(super) fn retry_policy<'f>(&mut self, route: Option<&'f RetryPolicy>) -> Option<Cow<'f, RetryPolicy>> {
        let mut policy = route.map(Cow::Borrowed);
        if self.has_envoy_headers {
            policy = merge(policy, &self.request.headers);
            for name in [StrictHeader::MaxRetries, StrictHeader::RetryGrpcOn, StrictHeader::RetryOn] {
                self.request.headers.remove(name.as_str());
            }
            self.request.headers.remove(RETRIABLE_HEADER_NAMES);
            self.request.headers.remove(RETRIABLE_STATUS_CODES);
        }
        let allows = |conditions: &[HeaderMatch]| {
            conditions.is_empty() || conditions.iter().any(|condition| header_matches(condition, &*self.request))
        };
        policy
            .filter(|policy| policy.attempts > 0 && !policy.on.is_empty() && allows(&policy.retriable_request_headers))
    }
}

/// Conditions add up; the number of tries is the client's when there is any condition.
fn merge<'f>(policy: Option<Cow<'f, RetryPolicy>>, headers: &Headers) -> Option<Cow<'f, RetryPolicy>> {
    let (on, grpc_on) = (headers.get_str("x-envoy-retry-on"), headers.get_str("x-envoy-retry-grpc-on"));
    let tries = headers.get_str("x-envoy-max-retries").and_then(|tries| tries.trim().parse().ok());
    let codes = headers.get_str(RETRIABLE_STATUS_CODES);
    let names = headers.get_str(RETRIABLE_HEADER_NAMES);
    if on.is_none() && grpc_on.is_none() && tries.is_none() && codes.is_none() && names.is_none() {
        return policy;
    }
    let mut policy = policy.map_or_else(RetryPolicy::default, Cow::into_owned);
    for (text, is_grpc) in [(on, false), (grpc_on, true)] {
        policy.on.extend(words(text.unwrap_or_default()).filter_map(|word| condition(word, is_grpc)));
        policy.retry_non_idempotent |= text.is_some();
    }
    policy.attempts = tries.unwrap_or(policy.attempts);
    policy.retriable_status_codes.extend(words(codes.unwrap_or_default()).filter_map(|code| code.parse::<u16>().ok()));
    policy.retriable_headers.extend(words(names.unwrap_or_default()).map(|name| HeaderMatch {
        name: name.to_ascii_lowercase(),
        kind: HeaderMatchKind::Present(true),
        invert: false,
        treat_missing_as_empty: false,
    }));
    Some(Cow::Owned(policy))
}

fn is_of_envoy(name: &[u8]) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn condition(word: &str, is_grpc: bool) -> Option<RetryOn> {
    RetryOn::from_word(word).filter(|on| on.is_grpc() == is_grpc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_s_conditions_add_to_the_route_s_and_its_number_replaces_it() {
        let mut headers = Headers::default();
        headers.append(b"x-envoy-retry-on", b"5xx, cancelled,retriable-headers");
        headers.append(b"x-envoy-retry-grpc-on", b"cancelled");
        headers.append(b"x-envoy-max-retries", b"4");
        headers.append(b"x-envoy-retriable-status-codes", b"418,no");
        headers.append(b"x-envoy-retriable-header-names", b"X-Again");
        let route = RetryPolicy { on: vec![RetryOn::ConnectFailure], ..RetryPolicy::default() };
        let policy = merge(Some(Cow::Borrowed(&route)), &headers).expect("a policy");
        let on = [RetryOn::ConnectFailure, RetryOn::FiveXx, RetryOn::RetriableHeaders, RetryOn::Cancelled];
        assert_eq!(policy.on, on, "a word counts only in its own header");
        assert_eq!((policy.attempts, policy.retriable_status_codes.as_slice()), (4, &[418][..]));
        assert_eq!(policy.retriable_headers.first().map(|header| header.name.as_str()), Some("x-again"));
        assert!(matches!(merge(Some(Cow::Borrowed(&route)), &Headers::default()), Some(Cow::Borrowed(_))));
    }
}
