mod forward;
pub(super) mod matches;
mod reply;
mod rewrite;

use leno_ir::{Flavor, Route, RouteAction, RouteTable, VirtualHost};
use leno_proto::envoy::config::route::v3::{
    DirectResponseAction, Route as ProtoRoute, RouteConfiguration, VirtualHost as ProtoVirtualHost, route,
};

use super::common::{bool_value, headers_to_add, read_header_ops};
use super::error::{At, DecodeError, Result, refuse};
use super::{filter, policy};

pub(super) fn encode(table: &RouteTable, flavor: Flavor) -> RouteConfiguration {
    RouteConfiguration {
        name: table.name.clone(),
        virtual_hosts: table.virtual_hosts.iter().map(|host| encode_host(host, flavor)).collect(),
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
        routes: host.routes.iter().map(|route| encode_route(route, flavor)).collect(),
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
        typed_per_filter_config: filter::encode_overrides(&route.filters, flavor),
        ..ProtoRoute::default()
    }
}

pub(super) fn decode(table: &RouteConfiguration) -> Result<RouteTable> {
    refuse!(table, vhds, internal_only_headers, request_mirror_policies, ignore_port_in_host_matching, vhost_header);
    refuse!(table, ignore_path_parameters_in_path_matching);
    let headers = read_header_ops(&table.request_headers_to_add, &table.request_headers_to_remove)?;
    if !headers.is_empty() || !table.response_headers_to_add.is_empty() || !table.response_headers_to_remove.is_empty()
    {
        return Err(DecodeError::unsupported("request_headers_to_add and response_headers_to_add of a whole table"));
    }
    let mut virtual_hosts = Vec::with_capacity(table.virtual_hosts.len());
    for (index, host) in table.virtual_hosts.iter().enumerate() {
        virtual_hosts.push(decode_host(host).at_index("virtual_hosts", index)?);
    }
    let filters = filter::decode_overrides(&table.typed_per_filter_config)?;
    Ok(RouteTable { name: table.name.clone(), virtual_hosts, filters })
}

fn decode_host(host: &ProtoVirtualHost) -> Result<VirtualHost> {
    refuse!(host, matcher, require_tls, hedge_policy, request_mirror_policies);
    refuse!(host, retry_policy_typed_config);
    let mut routes = Vec::with_capacity(host.routes.len());
    for (index, route) in host.routes.iter().enumerate() {
        let mut route = decode_route(route).at_index("routes", index)?;
        if let (RouteAction::Forward(forward), Some(retry)) = (&mut route.action, &host.retry_policy)
            && forward.retry.is_none()
        {
            forward.retry = Some(policy::decode_retry(retry).at("retry_policy")?);
        }
        routes.push(route);
    }
    Ok(VirtualHost {
        name: host.name.clone(),
        domains: host.domains.clone(),
        routes,
        request_headers: read_header_ops(&host.request_headers_to_add, &host.request_headers_to_remove)
            .at("request_headers_to_add")?,
        response_headers: read_header_ops(&host.response_headers_to_add, &host.response_headers_to_remove)
            .at("response_headers_to_add")?,
        filters: filter::decode_overrides(&host.typed_per_filter_config)?,
    })
}

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
                RouteAction::Forward(Box::new(forward::decode(forward).at("route")?))
            }
            Some(route::Action::Redirect(redirect)) => {
                RouteAction::Redirect(reply::decode_redirect(redirect).at("redirect")?)
            }
            Some(_) => return Err(DecodeError::unsupported("action")),
            None => return Err(DecodeError::new("action", "is missing")),
        },
        request_headers: read_header_ops(&route.request_headers_to_add, &route.request_headers_to_remove)
            .at("request_headers_to_add")?,
        response_headers: read_header_ops(&route.response_headers_to_add, &route.response_headers_to_remove)
            .at("response_headers_to_add")?,
        filters: filter::decode_overrides(&route.typed_per_filter_config)?,
    })
}
