//! Leno's RateLimitPolicy as Envoy's filters: `local_ratelimit`, one for each limit, which has its own tokens; for limits of the
//! whole mesh `ratelimit`, one for each policy, which asks the control plane.
//!
//! Shape       a service's policy -> filters of its instances' inbound listeners; a route's or gateway's -> filters that are off
//!             but where a route turns them on
//! Invariants  a limit is one bucket in all routes of a listener

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leno_ir::{
    Cluster, Config, Discovery, Endpoint, EndpointSet, FilterChain, FilterOverride, HeaderMetadata, HeaderMetadataKind,
    HeaderMetadataValue, HeaderOps, HeaderToMetadata, HeaderToMetadataRule, HttpConnectionManager, HttpFilter,
    HttpFilterConfig, LimitedDescriptor, LocalRateLimit, LocalityEndpoints, MetadataSource, MetadataSourceField,
    NetworkFilter, Node, PeerValidation, RateLimit, RateLimitAction, RateLimitRule, RateLimitedRequests, Route,
    RouteSource, RouteTable, StringMatch, TokenBucket, UpstreamProtocol, UpstreamTls, VirtualHostRules,
};
use leno_model::api::ResourceKey;
use leno_model::api::leno::{FailureMode, LimitBy, LimitKey, LimitScope, RateLimitPolicySpec, RequestLimit};
use leno_model::{Held, MeshSettings, RoutePolicies};
use leno_names::{CONTROL_NAMESPACE, CONTROL_SERVICE_ACCOUNT, Fraction, SpiffeId};

use crate::requests;

/// Where the SPIFFE ID of the caller is kept for limits.
const NAMESPACE: &str = "leno.rate_limit";
const IDENTITY: &str = "identity";
const IDENTITY_FILTER: &str = "leno.rate_limit.identity";
/// Buckets of one limit, chosen: 10,000 callers, of which the one that was away the longest is forgotten first.
const MAX_BUCKETS: u32 = 10_000;

/// The control plane, which counts for all proxies.
const CLUSTER: &str = "leno_control";
/// How long a request waits to be counted, chosen: many round trips within a data centre, and short enough that a control plane
/// that hangs is a nuisance and no outage.
const TIMEOUT: Duration = Duration::from_millis(250);

/// `leno.rate_limit/shop/per-user/0`.
fn name(held: &Held<RateLimitPolicySpec>, index: usize) -> String {
    format!("leno.rate_limit/{}/{}/{index}", held.object.namespace, held.object.name)
}

/// The route is under the policy.
pub(crate) fn turn_on(held: &Held<RateLimitPolicySpec>, route: &mut Route) {
    for index in 0..held.spec.limits.len() {
        route.filters.insert(name(held, index), FilterOverride::Enabled);
    }
    if needs_identity(&held.spec) {
        route.filters.insert(IDENTITY_FILTER.to_owned(), FilterOverride::Enabled);
    }
}

/// For everything that a connection manager takes.
pub(crate) fn limit_all(held: &Held<RateLimitPolicySpec>, manager: &mut HttpConnectionManager) {
    add(held, manager, false);
}

/// Gives a connection manager the filters that its routes turn on.
pub(crate) fn limit_routes(
    manager: &mut HttpConnectionManager,
    tables: &BTreeMap<String, Arc<RouteTable>>,
    policies: &RoutePolicies,
) {
    let RouteSource::Rds(table) = &manager.routes else { return };
    let Some(table) = tables.get(table) else { return };
    let routes = table.virtual_hosts.iter().flat_map(|host| &host.routes);
    let used: std::collections::BTreeSet<_> =
        routes.flat_map(|route| route.filters.keys()).filter(|name| name.starts_with("leno.rate_limit/")).collect();
    if used.is_empty() {
        return;
    }
    let attached = policies.routes.values().chain(policies.gateways.values());
    let held = attached.flat_map(|attached| std::iter::once(&attached.whole).chain(attached.sections.values()));
    let held: BTreeMap<_, _> = held
        .filter_map(|policies| policies.rate_limit.as_ref())
        .filter(|held| used.contains(&name(held, 0)))
        .map(|held| (&held.object, held))
        .collect();
    held.into_values().for_each(|held| add(held, manager, true));
}

fn add(held: &Held<RateLimitPolicySpec>, manager: &mut HttpConnectionManager, disabled: bool) {
    let has_identity = manager.filters.iter().any(|filter| filter.name == IDENTITY_FILTER);
    if needs_identity(&held.spec) && !has_identity {
        let config = HttpFilterConfig::HeaderToMetadata(identity());
        manager.filters.push(HttpFilter { name: IDENTITY_FILTER.to_owned(), disabled, config });
    }
    if held.spec.scope == Some(LimitScope::Mesh) {
        let config = HttpFilterConfig::RateLimit(Box::new(shared(held)));
        manager.filters.push(HttpFilter { name: name(held, 0), disabled, config });
        return;
    }
    // Nobody verifies tokens yet, and without the claim all would be counted together; the author is told.
    for (index, limit) in held.spec.limits.iter().enumerate().filter(|(_, limit)| is_known(limit)) {
        let config = HttpFilterConfig::LocalRateLimit(Box::new(local(limit)));
        manager.filters.push(HttpFilter { name: name(held, index), disabled, config });
    }
}

fn is_known(limit: &RequestLimit) -> bool {
    limit.by.iter().all(|by| by.r#type != LimitKey::Claim)
}

/// What the control plane knows the limits of a policy by.
pub fn domain(policy: &ResourceKey) -> String {
    format!("leno.dev/{}/{}", policy.namespace, policy.name)
}

/// The control plane, asked about all limits of the policy at once; the first entry says which limit it is.
fn shared(held: &Held<RateLimitPolicySpec>) -> RateLimit {
    let limits = held.spec.limits.iter().enumerate().filter(|(_, limit)| is_known(limit));
    let rules = limits.map(|(index, limit)| {
        let place = RateLimitAction::GenericKey { key: "limit".to_owned(), value: index.to_string() };
        RateLimitRule::new(std::iter::once(place).chain(parts(limit).into_iter().map(|(action, _)| action)).collect())
    });
    RateLimit {
        domain: domain(&held.object),
        stage: 0,
        requests: RateLimitedRequests::Both,
        timeout: Some(TIMEOUT),
        failure_mode_deny: held.spec.failure_mode == Some(FailureMode::Closed),
        failure_mode_deny_share: None,
        enabled: Fraction::ONE,
        enforced: Fraction::ONE,
        rules: rules.collect(),
        resource_exhausted: true,
        cluster: CLUSTER.to_owned(),
        limit_headers: true,
        ratelimited_header: false,
        rate_limited_status: LocalRateLimit::STATUS,
        status_on_error: 500,
        response_headers: HeaderOps::default(),
        stat_prefix: String::new(),
    }
}

/// The control plane as a cluster, where a listener asks it.
pub(crate) fn cluster(config: &Config, node: &Node, settings: &MeshSettings) -> Option<Cluster> {
    let chains = config.listeners.values().flat_map(|one| one.filter_chains.iter().chain(&one.default_filter_chain));
    let asks = |chain: &FilterChain| match &chain.filter {
        NetworkFilter::Http(manager) => manager
            .filters
            .iter()
            .any(|filter| matches!(&filter.config, HttpFilterConfig::RateLimit(limit) if limit.cluster == CLUSTER)),
        NetworkFilter::Tcp(_) => false,
    };
    let address = node.control.filter(|_| chains.into_iter().any(asks))?;
    let locality =
        LocalityEndpoints { weight: 1, endpoints: vec![Endpoint::new(address)], ..LocalityEndpoints::default() };
    let set = EndpointSet { name: CLUSTER.to_owned(), localities: vec![locality], ..EndpointSet::default() };
    let mut cluster = Cluster::new(CLUSTER, Discovery::Static(Arc::new(set)));
    cluster.http.protocol = UpstreamProtocol::Http2;
    // Refused connections are told at once; of one that hangs nobody should wait for long.
    cluster.connect_timeout = TIMEOUT;
    let id = SpiffeId::new(settings.trust_domain.clone(), CONTROL_NAMESPACE, CONTROL_SERVICE_ACCOUNT);
    cluster.tls = Some(UpstreamTls {
        alpn: vec!["h2".to_owned()],
        ..UpstreamTls::of_mesh(PeerValidation::of_mesh([StringMatch::exact(id.to_string())]))
    });
    Some(cluster)
}

fn needs_identity(spec: &RateLimitPolicySpec) -> bool {
    spec.limits.iter().flat_map(|limit| &limit.by).any(|by| by.r#type == LimitKey::Identity)
}

/// The SPIFFE ID out of what the proxy itself says of the client's certificate.
fn identity() -> HeaderToMetadata {
    HeaderToMetadata {
        request_rules: vec![HeaderToMetadataRule {
            source: MetadataSourceField::Header { name: "x-forwarded-client-cert".to_owned(), remove: false },
            present: Some(HeaderMetadata {
                namespace: NAMESPACE.to_owned(),
                key: IDENTITY.to_owned(),
                value: HeaderMetadataValue::Rewritten {
                    pattern: "^.*URI=([^;,]*).*$".to_owned(),
                    substitution: "\\1".to_owned(),
                },
                kind: HeaderMetadataKind::String,
                is_base64: false,
            }),
            missing: None,
        }],
        ..HeaderToMetadata::default()
    }
}

fn local(limit: &RequestLimit) -> LocalRateLimit {
    let bucket = bucket(limit);
    // Requests that no descriptor is about are not counted: they are not meant, or say nothing to tell them apart by.
    let is_plain = limit.by.is_empty() && limit.headers.is_empty();
    let (actions, entries): (Vec<_>, Vec<_>) = parts(limit).into_iter().unzip();
    LocalRateLimit {
        stat_prefix: "http_local_rate_limiter".to_owned(),
        status: LocalRateLimit::STATUS,
        token_bucket: is_plain.then_some(bucket),
        enabled: Fraction::ONE,
        enforced: Fraction::ONE,
        unenforced_request_headers: HeaderOps::default(),
        response_headers: HeaderOps::default(),
        descriptors: if is_plain {
            Vec::new()
        } else {
            vec![LimitedDescriptor { entries, token_bucket: bucket, is_shadow: false }]
        },
        stage: 0,
        rules: if is_plain { Vec::new() } else { vec![RateLimitRule::new(actions)] },
        virtual_host_rules: VirtualHostRules::default(),
        per_connection: false,
        shared_by_cluster: false,
        always_consumes_default: true,
        max_dynamic_descriptors: MAX_BUCKETS,
        limit_headers: true,
        retry_after_header: true,
        resource_exhausted: true,
    }
}

fn bucket(limit: &RequestLimit) -> TokenBucket {
    TokenBucket {
        max_tokens: limit.burst.unwrap_or(limit.requests).min(if limit.requests == 0 { 0 } else { u32::MAX }),
        tokens_per_fill: limit.requests.max(1),
        fill_interval: limit.per.map_or(Duration::from_secs(1), |per| per.0).max(TokenBucket::MIN_FILL_INTERVAL),
    }
}

/// What a request is described by, and the entry that it must then have; a blank one stands for any.
fn parts(limit: &RequestLimit) -> Vec<(RateLimitAction, (String, String))> {
    let mut all = Vec::new();
    if !limit.headers.is_empty() {
        let (key, value) = ("headers".to_owned(), "match".to_owned());
        let headers = limit.headers.iter().map(|(name, value)| requests::header(name, value)).collect();
        let action =
            RateLimitAction::HeaderValueMatch { key: key.clone(), value: value.clone(), expect_match: true, headers };
        all.push((action, (key, value)));
    }
    all.extend(limit.by.iter().filter_map(part));
    all
}

fn part(by: &LimitBy) -> Option<(RateLimitAction, (String, String))> {
    let named = || by.name.clone().unwrap_or_default();
    let (key, action) = match by.r#type {
        LimitKey::Claim => return None,
        LimitKey::ClientAddress => ("remote_address".to_owned(), RateLimitAction::RemoteAddress),
        LimitKey::Header => {
            let header = named().to_ascii_lowercase();
            let key = header.clone();
            (key.clone(), RateLimitAction::RequestHeader { header, key, skip_if_absent: false })
        }
        LimitKey::Identity => {
            let action = RateLimitAction::Metadata {
                key: IDENTITY.to_owned(),
                source: MetadataSource::Dynamic,
                namespace: NAMESPACE.to_owned(),
                path: vec![IDENTITY.to_owned()],
                default: String::new(),
                skip_if_absent: false,
            };
            (IDENTITY.to_owned(), action)
        }
        LimitKey::QueryParameter => {
            let (name, key) = (named(), named());
            (key.clone(), RateLimitAction::QueryParameter { name, key, skip_if_absent: false })
        }
    };
    Some((action, (key, String::new())))
}
