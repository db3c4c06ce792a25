mod clusters;
mod forward;
mod internal_redirect;
pub(super) mod matches;
mod mirror;
pub(super) mod rate_limit;
mod reply;
mod retry;
mod retry_hosts;
pub(in crate::codec) mod rewrite;
mod template;
mod timeouts;

use std::sync::Arc;

use leno_ir::{AttemptCount, Flavor, HeaderOrder, Mirror, RequireTls, Route, RouteAction, RouteTable, VirtualHost};
use leno_proto::envoy::config::route::v3::virtual_host::TlsRequirementType;
use leno_proto::envoy::config::route::v3::{
    DirectResponseAction, Route as ProtoRoute, RouteConfiguration, VirtualHost as ProtoVirtualHost, route,
};
use leno_proto::google::protobuf::{UInt32Value, UInt64Value};

use super::common::{bool_value, headers_to_add, read_header_ops};

use super::error::{At, DecodeError, Result, refuse};
use super::filter;
use super::metadata;

pub(super) fn encode(table: &RouteTable, flavor: Flavor) -> RouteConfiguration {
    RouteConfiguration {
        name: table.name.clone(),
        virtual_hosts: table.virtual_hosts.iter().map(|host| encode_host(host, flavor)).collect(),
        request_headers_to_add: headers_to_add(&table.request_headers),
        request_headers_to_remove: table.request_headers.remove.clone(),
        response_headers_to_add: headers_to_add(&table.response_headers),
        response_headers_to_remove: table.response_headers.remove.clone(),
        most_specific_header_mutations_wins: table.header_order == HeaderOrder::TableFirst,
        internal_only_headers: table.internal_only_headers.clone(),
        ignore_port_in_host_matching: table.ignore_port_in_host_matching,
        vhost_header: table.host_header.clone().unwrap_or_default(),
        // Envoy would otherwise refuse a table whose clusters come a moment later.
        validate_clusters: bool_value(false),
        typed_per_filter_config: filter::encode_overrides(&table.filters, flavor),
        ..RouteConfiguration::default()
    }
}

fn encode_host(host: &VirtualHost, flavor: Flavor) -> ProtoVirtualHost {
    ProtoVirtualHost {
        name: host.name.clone(),
        domains: host.domains.clone(),
        rate_limits: rate_limit::encode(&host.rate_limits),
        routes: host.routes.iter().map(|route| encode_route(route, flavor)).collect(),
        require_tls: match host.require_tls {
            RequireTls::All => TlsRequirementType::All,
            RequireTls::ExternalOnly => TlsRequirementType::ExternalOnly,
            RequireTls::None => TlsRequirementType::None,
        }
        .into(),
        include_request_attempt_count: host.attempt_count.in_request,
        include_attempt_count_in_response: host.attempt_count.in_response,
        include_is_timeout_retry_header: host.attempt_count.timeout_retry,
        request_headers_to_add: headers_to_add(&host.request_headers),
        request_headers_to_remove: host.request_headers.remove.clone(),
        response_headers_to_add: headers_to_add(&host.response_headers),
        response_headers_to_remove: host.response_headers.remove.clone(),
        typed_per_filter_config: filter::encode_overrides(&host.filters, flavor),
        ..ProtoVirtualHost::default()
    }
}

fn encode_route(route: &Route, flavor: Flavor) -> ProtoRoute {
    ProtoRoute {
        name: route.name.clone(),
        r#match: Some(matches::encode(&route.matches, flavor)),
        action: Some(match &route.action {
            RouteAction::Direct(direct) => route::Action::DirectResponse(reply::encode_direct(direct)),
            // A sum of zero would make Envoy and gRPC refuse the whole table.
            RouteAction::Forward(forward) if flavor != Flavor::Leno && forward::takes_nothing(forward) => {
                route::Action::DirectResponse(DirectResponseAction { status: 503, ..Default::default() })
            }
            RouteAction::Forward(forward) => {
                route::Action::Route(forward::encode(forward, &route.matches.path, flavor))
            }
            RouteAction::Redirect(redirect) => {
                route::Action::Redirect(reply::encode_redirect(redirect, &route.matches.path, flavor))
            }
        }),
        request_headers_to_add: headers_to_add(&route.request_headers),
        request_headers_to_remove: route.request_headers.remove.clone(),
        response_headers_to_add: headers_to_add(&route.response_headers),
        response_headers_to_remove: route.response_headers.remove.clone(),
        request_body_buffer_limit: route.request_buffer_limit_bytes.map(|value| UInt64Value { value }),
        typed_per_filter_config: filter::encode_overrides(&route.filters, flavor),
        metadata: metadata::encode(&route.metadata),
        ..ProtoRoute::default()
    }
}

pub(super) fn decode(table: &RouteConfiguration) -> Result<RouteTable> {
    refuse!(table, vhds, cluster_specifier_plugins);
    refuse!(table, ignore_path_parameters_in_path_matching);
    let mut virtual_hosts = Vec::with_capacity(table.virtual_hosts.len());
    for (index, host) in table.virtual_hosts.iter().enumerate() {
        virtual_hosts.push(decode_host(host).at_index("virtual_hosts", index)?);
    }
    let mirrors = mirror::decode_all(&table.request_mirror_policies)?;
    virtual_hosts.iter_mut().for_each(|host: &mut VirtualHost| inherit_mirrors(&mut host.routes, &mirrors));
    let filters = filter::decode_overrides(&table.typed_per_filter_config)?;
    Ok(RouteTable {
        name: table.name.clone(),
        host_header: Some(table.vhost_header.to_ascii_lowercase()).filter(|name| !name.is_empty()),
        virtual_hosts,
        filters,
        request_headers: read_header_ops(&table.request_headers_to_add, &table.request_headers_to_remove)
            .at("request_headers_to_add")?,
        response_headers: read_header_ops(&table.response_headers_to_add, &table.response_headers_to_remove)
            .at("response_headers_to_add")?,
        header_order: if table.most_specific_header_mutations_wins {
            HeaderOrder::TableFirst
        } else {
            HeaderOrder::TableLast
        },
        internal_only_headers: table.internal_only_headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
        ignore_port_in_host_matching: table.ignore_port_in_host_matching,
    })
}

#[allow(deprecated, reason = "other control planes still write the older field")]
fn decode_host(host: &ProtoVirtualHost) -> Result<VirtualHost> {
    refuse!(host, matcher, retry_policy_typed_config);
    let mut routes = Vec::with_capacity(host.routes.len());
    let hedges = retry::decode_hedge(host.hedge_policy.as_ref()).at("hedge_policy")?;
    for (index, proto) in host.routes.iter().enumerate() {
        let mut route = decode_route(proto).at_index("routes", index)?;
        if let (RouteAction::Forward(forward), Some(route::Action::Route(action))) = (&mut route.action, &proto.action)
            && action.hedge_policy.is_none()
        {
            forward.hedge_on_per_try_timeout = hedges;
        }
        if let (RouteAction::Forward(forward), Some(retry)) = (&mut route.action, &host.retry_policy)
            && forward.retry.is_none()
        {
            forward.retry = Some(retry::decode(retry).at("retry_policy")?);
        }
        let inherited =
            buffer_limit(host.request_body_buffer_limit.as_ref(), host.per_request_buffer_limit_bytes.as_ref());
        route.request_buffer_limit_bytes = route.request_buffer_limit_bytes.or(inherited);
        routes.push(route);
    }
    inherit_mirrors(&mut routes, &mirror::decode_all(&host.request_mirror_policies)?);
    Ok(VirtualHost {
        name: host.name.clone(),
        domains: host.domains.clone(),
        routes,
        require_tls: match host.require_tls() {
            TlsRequirementType::None => RequireTls::None,
            TlsRequirementType::ExternalOnly => RequireTls::ExternalOnly,
            TlsRequirementType::All => RequireTls::All,
        },
        attempt_count: AttemptCount {
            in_request: host.include_request_attempt_count,
            in_response: host.include_attempt_count_in_response,
            timeout_retry: host.include_is_timeout_retry_header,
        },
        request_headers: read_header_ops(&host.request_headers_to_add, &host.request_headers_to_remove)
            .at("request_headers_to_add")?,
        response_headers: read_header_ops(&host.response_headers_to_add, &host.response_headers_to_remove)
            .at("response_headers_to_add")?,
        filters: filter::decode_overrides(&host.typed_per_filter_config)?,
        rate_limits: rate_limit::decode(&host.rate_limits)?,
    })
}

/// Of the level above, by routes that have none of their own.
fn inherit_mirrors(routes: &mut [Route], mirrors: &[Mirror]) {
    for route in routes {
        if let RouteAction::Forward(forward) = &mut route.action
            && forward.mirrors.is_empty()
        {
            forward.mirrors = mirrors.to_vec();
        }
    }
}

/// The newer field wins over the older.
fn buffer_limit(newer: Option<&UInt64Value>, older: Option<&UInt32Value>) -> Option<u64> {
    newer.map(|limit| limit.value).or_else(|| older.map(|limit| limit.value.into()))
}

#[allow(deprecated, reason = "other control planes still write the older field")]
fn decode_route(route: &ProtoRoute) -> Result<Route> {
    let matches = route.r#match.as_ref().ok_or_else(|| DecodeError::new("match", "is missing"))?;
    Ok(Route {
        name: route.name.clone(),
        matches: matches::decode(matches).at("match")?,
        action: match &route.action {
            Some(route::Action::DirectResponse(direct)) => {
                RouteAction::Direct(reply::decode_direct(direct).at("direct_response")?)
            }
            Some(route::Action::Route(forward)) => {
                RouteAction::Forward(Box::new(forward::decode(forward, matches).at("route")?))
            }
            Some(route::Action::Redirect(redirect)) => {
                RouteAction::Redirect(reply::decode_redirect(redirect).at("redirect")?)
            }
            Some(_) => return Err(DecodeError::unsupported("action")),
            None => return Err(DecodeError::new("action", "is missing")),
        },
        request_buffer_limit_bytes: buffer_limit(
            route.request_body_buffer_limit.as_ref(),
            route.per_request_buffer_limit_bytes.as_ref(),
        ),
        request_headers: read_header_ops(&route.request_headers_to_add, &route.request_headers_to_remove)
            .at("request_headers_to_add")?,
        response_headers: read_header_ops(&route.response_headers_to_add, &route.response_headers_to_remove)
            .at("response_headers_to_add")?,
        filters: filter::decode_overrides(&route.typed_per_filter_config)?,
        metadata: Arc::new(metadata::decode(route.metadata.as_ref()).at("metadata")?),
    })
}
