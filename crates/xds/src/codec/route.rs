use leno_ir::{
    DirectResponse, Flavor, Forward, HeaderMatch, HeaderMatchKind, Mirror, PathMatch, QueryMatch, QueryMatchKind,
    Redirect, RedirectPath, Rewrite, Route, RouteAction, RouteMatch, RouteTable, VirtualHost, WeightedCluster,
};
use leno_proto::envoy::config::core::v3::{DataSource, data_source::Specifier as DataSpecifier};
use leno_proto::envoy::config::route::v3::{
    DirectResponseAction, HeaderMatcher, QueryParameterMatcher, RedirectAction, Route as ProtoRoute,
    RouteAction as ProtoRouteAction, RouteConfiguration, RouteMatch as ProtoRouteMatch,
    VirtualHost as ProtoVirtualHost, WeightedCluster as ProtoWeightedCluster, header_matcher::HeaderMatchSpecifier,
    query_parameter_matcher::QueryParameterMatchSpecifier, redirect_action, route, route_action, route_match,
    weighted_cluster::ClusterWeight,
};
use leno_proto::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;
use leno_proto::envoy::r#type::v3::Int64Range;
use std::time::Duration;

use super::common::{
    bool_value, duration, duration_or_off, headers_to_add, read_duration, read_fraction, read_header_ops, read_limit,
    read_visible, runtime_fraction, u32_value,
};
use super::error::{At, DecodeError, Result, refuse};
use super::{filter, hash, matching, policy};

/// What Envoy does with a route that says nothing.
const ENVOY_TIMEOUT: Duration = Duration::from_secs(15);
/// Replaces a whole path; the query is not part of what it sees.
const WHOLE_PATH: &str = "^.*$";

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
        r#match: Some(encode_match(&route.matches, flavor)),
        action: Some(match &route.action {
            RouteAction::Direct(direct) => route::Action::DirectResponse(encode_direct(direct)),
            // A sum of zero would make Envoy and gRPC refuse the whole table.
            RouteAction::Forward(forward) if flavor != Flavor::Leno && takes_nothing(forward) => {
                route::Action::DirectResponse(DirectResponseAction { status: 503, ..Default::default() })
            }
            RouteAction::Forward(forward) => route::Action::Route(encode_forward(forward, &route.matches.path, flavor)),
            RouteAction::Redirect(redirect) => {
                route::Action::Redirect(encode_redirect(redirect, &route.matches.path, flavor))
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

fn takes_nothing(forward: &Forward) -> bool {
    forward.clusters.iter().all(|cluster| cluster.weight == 0)
}

fn encode_match(matches: &RouteMatch, flavor: Flavor) -> ProtoRouteMatch {
    use route_match::PathSpecifier;
    let (path, ignore_case) = match &matches.path {
        PathMatch::Exact { text, ignore_case } => (PathSpecifier::Path(text.clone()), *ignore_case),
        PathMatch::PathSeparatedPrefix { text, ignore_case } if flavor == Flavor::Grpc => {
            (PathSpecifier::SafeRegex(matching::regex(&whole_segments(text, *ignore_case))), false)
        }
        PathMatch::PathSeparatedPrefix { text, ignore_case } => {
            (PathSpecifier::PathSeparatedPrefix(text.clone()), *ignore_case)
        }
        PathMatch::Prefix { text, ignore_case } => (PathSpecifier::Prefix(text.clone()), *ignore_case),
        PathMatch::Regex(pattern) => (PathSpecifier::SafeRegex(matching::regex(pattern.as_str())), false),
    };
    ProtoRouteMatch {
        path_specifier: Some(path),
        case_sensitive: ignore_case.then_some(leno_proto::google::protobuf::BoolValue { value: false }),
        headers: matches.headers.iter().map(encode_header_match).collect(),
        query_parameters: matches.query.iter().map(encode_query_match).collect(),
        grpc: matches.grpc.then(route_match::GrpcRouteMatchOptions::default),
        runtime_fraction: matches.fraction.map(runtime_fraction),
        ..ProtoRouteMatch::default()
    }
}

/// gRPC refuses a table with `path_separated_prefix` (A28), but its regular expressions match whole paths.
fn whole_segments(prefix: &str, ignore_case: bool) -> String {
    literal(prefix, ignore_case) + "(/.*)?"
}

/// A regular expression that matches this text.
fn literal(text: &str, ignore_case: bool) -> String {
    let mut pattern = String::from(if ignore_case { "(?i)" } else { "" });
    for letter in text.chars() {
        if letter.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// Others put the new prefix in front of what is left, slash included: `/a` replaced by `/` would turn `/a/b` into `//b`. Where
/// that matters they get an expression that takes the slash away.
fn prefix_substitution(new: &str, matched: &PathMatch, flavor: Flavor) -> Option<RegexMatchAndSubstitute> {
    match matched {
        PathMatch::PathSeparatedPrefix { text, ignore_case } if flavor != Flavor::Leno && new.ends_with('/') => {
            let pattern = format!("^{}/?(.*)$", literal(text, *ignore_case));
            Some(substitution(&pattern, &(new.replace('\\', "\\\\") + "\\1")))
        }
        _ => None,
    }
}

fn encode_header_match(header: &HeaderMatch) -> HeaderMatcher {
    HeaderMatcher {
        name: header.name.clone(),
        invert_match: header.invert,
        treat_missing_header_as_empty: header.treat_missing_as_empty,
        header_match_specifier: Some(match &header.kind {
            HeaderMatchKind::Present(present) => HeaderMatchSpecifier::PresentMatch(*present),
            HeaderMatchKind::Range { start, end } => {
                HeaderMatchSpecifier::RangeMatch(Int64Range { start: *start, end: *end })
            }
            HeaderMatchKind::Value(value) => HeaderMatchSpecifier::StringMatch(matching::encode(value)),
        }),
    }
}

fn encode_query_match(query: &QueryMatch) -> QueryParameterMatcher {
    QueryParameterMatcher {
        name: query.name.clone(),
        query_parameter_match_specifier: Some(match &query.kind {
            QueryMatchKind::Present(present) => QueryParameterMatchSpecifier::PresentMatch(*present),
            QueryMatchKind::Value(value) => QueryParameterMatchSpecifier::StringMatch(matching::encode(value)),
        }),
    }
}

fn encode_direct(direct: &DirectResponse) -> DirectResponseAction {
    let body =
        DataSource { specifier: Some(DataSpecifier::InlineString(direct.body.clone())), ..DataSource::default() };
    DirectResponseAction {
        status: direct.status.into(),
        body: (!direct.body.is_empty()).then_some(body),
        ..DirectResponseAction::default()
    }
}

fn encode_redirect(redirect: &Redirect, matched: &PathMatch, flavor: Flavor) -> RedirectAction {
    use redirect_action::{PathRewriteSpecifier, RedirectResponseCode as Code, SchemeRewriteSpecifier};
    RedirectAction {
        host_redirect: redirect.host.clone().unwrap_or_default(),
        port_redirect: redirect.port.unwrap_or_default().into(),
        response_code: match redirect.status {
            302 => Code::Found,
            303 => Code::SeeOther,
            307 => Code::TemporaryRedirect,
            308 => Code::PermanentRedirect,
            _ => Code::MovedPermanently,
        }
        .into(),
        strip_query: redirect.strip_query,
        scheme_rewrite_specifier: redirect.scheme.clone().map(SchemeRewriteSpecifier::SchemeRedirect),
        path_rewrite_specifier: redirect.path.as_ref().map(|path| match path {
            RedirectPath::Full(path) => PathRewriteSpecifier::PathRedirect(path.clone()),
            RedirectPath::Prefix(prefix) => match prefix_substitution(prefix, matched, flavor) {
                Some(rewrite) => PathRewriteSpecifier::RegexRewrite(rewrite),
                None => PathRewriteSpecifier::PrefixRewrite(prefix.clone()),
            },
        }),
    }
}

fn encode_forward(forward: &Forward, matched: &PathMatch, flavor: Flavor) -> ProtoRouteAction {
    let mut action = ProtoRouteAction {
        timeout: duration_or_off(forward.timeout),
        idle_timeout: forward.idle_timeout.and_then(duration),
        // gRPC refuses a policy of no attempts (A44).
        retry_policy: forward
            .retry
            .as_ref()
            .filter(|retry| flavor != Flavor::Grpc || retry.attempts > 0)
            .map(|retry| policy::encode_retry(retry, flavor)),
        host_rewrite_specifier: forward
            .host_rewrite
            .clone()
            .map(route_action::HostRewriteSpecifier::HostRewriteLiteral),
        request_mirror_policies: forward.mirrors.iter().map(encode_mirror).collect(),
        cluster_specifier: Some(encode_clusters(&forward.clusters, flavor)),
        hash_policy: forward.hash_policies.iter().map(hash::encode).collect(),
        // The only time limit of a route that gRPC knows (A31).
        max_stream_duration: forward.timeout.filter(|_| flavor == Flavor::Grpc).map(|timeout| {
            route_action::MaxStreamDuration { max_stream_duration: duration(timeout), ..Default::default() }
        }),
        ..ProtoRouteAction::default()
    };
    match &forward.rewrite {
        None => {}
        Some(Rewrite::Prefix(prefix)) => match prefix_substitution(prefix, matched, flavor) {
            Some(rewrite) => action.regex_rewrite = Some(rewrite),
            None => action.prefix_rewrite.clone_from(prefix),
        },
        Some(Rewrite::Path(path)) => action.regex_rewrite = Some(substitution(WHOLE_PATH, &path.replace('\\', "\\\\"))),
        Some(Rewrite::Regex { pattern, substitution: by }) => action.regex_rewrite = Some(substitution(pattern, by)),
    }
    action
}

fn substitution(pattern: &str, by: &str) -> RegexMatchAndSubstitute {
    RegexMatchAndSubstitute { pattern: Some(matching::regex(pattern)), substitution: by.to_owned() }
}

fn encode_mirror(mirror: &Mirror) -> route_action::RequestMirrorPolicy {
    route_action::RequestMirrorPolicy {
        cluster: mirror.cluster.clone(),
        runtime_fraction: Some(runtime_fraction(mirror.fraction)),
        ..Default::default()
    }
}

/// A single cluster without more to say is written the short way.
fn encode_clusters(clusters: &[WeightedCluster], flavor: Flavor) -> route_action::ClusterSpecifier {
    if let [only] = clusters
        && only.weight == 1
        && only.request_headers.is_empty()
        && only.response_headers.is_empty()
        && only.filters.is_empty()
    {
        return route_action::ClusterSpecifier::Cluster(only.name.clone());
    }
    let encode = |cluster: &WeightedCluster| ClusterWeight {
        name: cluster.name.clone(),
        weight: u32_value(cluster.weight),
        request_headers_to_add: headers_to_add(&cluster.request_headers),
        request_headers_to_remove: cluster.request_headers.remove.clone(),
        response_headers_to_add: headers_to_add(&cluster.response_headers),
        response_headers_to_remove: cluster.response_headers.remove.clone(),
        typed_per_filter_config: filter::encode_overrides(&cluster.filters, flavor),
        ..ClusterWeight::default()
    };
    let clusters = clusters.iter().map(encode).collect();
    route_action::ClusterSpecifier::WeightedClusters(ProtoWeightedCluster { clusters, ..Default::default() })
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
        matches: decode_match(matches).at("match")?,
        action: match &route.action {
            Some(route::Action::DirectResponse(direct)) => {
                RouteAction::Direct(decode_direct(direct).at("direct_response")?)
            }
            Some(route::Action::Route(forward)) => RouteAction::Forward(Box::new(decode_forward(forward).at("route")?)),
            Some(route::Action::Redirect(redirect)) => RouteAction::Redirect(decode_redirect(redirect).at("redirect")?),
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

fn decode_match(matches: &ProtoRouteMatch) -> Result<RouteMatch> {
    use route_match::PathSpecifier;
    refuse!(matches, cookies, dynamic_metadata, filter_state, tls_context);
    let ignore_case = matches.case_sensitive.as_ref().is_some_and(|sensitive| !sensitive.value);
    let path = match &matches.path_specifier {
        Some(PathSpecifier::Path(text)) => PathMatch::Exact { text: text.clone(), ignore_case },
        Some(PathSpecifier::PathSeparatedPrefix(text)) => {
            PathMatch::PathSeparatedPrefix { text: text.clone(), ignore_case }
        }
        Some(PathSpecifier::Prefix(text)) => PathMatch::Prefix { text: text.clone(), ignore_case },
        Some(PathSpecifier::SafeRegex(regex)) => PathMatch::Regex(matching::read_regex(regex).at("safe_regex")?),
        Some(_) => return Err(DecodeError::unsupported("path_specifier")),
        None => return Err(DecodeError::new("path_specifier", "is missing")),
    };
    let mut headers = Vec::with_capacity(matches.headers.len());
    for (index, header) in matches.headers.iter().enumerate() {
        headers.push(decode_header_match(header).at_index("headers", index)?);
    }
    let mut query = Vec::with_capacity(matches.query_parameters.len());
    for (index, parameter) in matches.query_parameters.iter().enumerate() {
        query.push(decode_query_match(parameter).at_index("query_parameters", index)?);
    }
    let share = matches.runtime_fraction.as_ref().and_then(|share| share.default_value.as_ref());
    Ok(RouteMatch {
        path,
        headers,
        query,
        grpc: matches.grpc.is_some(),
        fraction: share.map(read_fraction).transpose().at("runtime_fraction")?,
    })
}

#[allow(deprecated, reason = "other control planes still write the older fields")]
fn decode_header_match(header: &HeaderMatcher) -> Result<HeaderMatch> {
    use leno_ir::StringMatch;
    let value = |matches| HeaderMatchKind::Value(matches);
    let loose = |text: &String| (text.clone(), false);
    let kind = match &header.header_match_specifier {
        None => HeaderMatchKind::Present(true),
        Some(HeaderMatchSpecifier::PresentMatch(present)) => HeaderMatchKind::Present(*present),
        Some(HeaderMatchSpecifier::RangeMatch(range)) => HeaderMatchKind::Range { start: range.start, end: range.end },
        Some(HeaderMatchSpecifier::StringMatch(matcher)) => value(matching::decode(matcher).at("string_match")?),
        Some(HeaderMatchSpecifier::ExactMatch(text)) => value(StringMatch::exact(text.clone())),
        Some(HeaderMatchSpecifier::PrefixMatch(text)) => value(StringMatch::prefix(text.clone())),
        Some(HeaderMatchSpecifier::SuffixMatch(text)) => {
            let (text, ignore_case) = loose(text);
            value(StringMatch::Suffix { text, ignore_case })
        }
        Some(HeaderMatchSpecifier::ContainsMatch(text)) => {
            let (text, ignore_case) = loose(text);
            value(StringMatch::Contains { text, ignore_case })
        }
        Some(HeaderMatchSpecifier::SafeRegexMatch(regex)) => {
            value(StringMatch::Regex(matching::read_regex(regex).at("safe_regex_match")?))
        }
    };
    Ok(HeaderMatch {
        name: header.name.to_ascii_lowercase(),
        kind,
        invert: header.invert_match,
        treat_missing_as_empty: header.treat_missing_header_as_empty,
    })
}

fn decode_query_match(parameter: &QueryParameterMatcher) -> Result<QueryMatch> {
    let kind = match &parameter.query_parameter_match_specifier {
        None => QueryMatchKind::Present(true),
        Some(QueryParameterMatchSpecifier::PresentMatch(present)) => QueryMatchKind::Present(*present),
        Some(QueryParameterMatchSpecifier::StringMatch(matcher)) => {
            QueryMatchKind::Value(matching::decode(matcher).at("string_match")?)
        }
    };
    Ok(QueryMatch { name: parameter.name.clone(), kind })
}

fn decode_direct(direct: &DirectResponseAction) -> Result<DirectResponse> {
    let body = match direct.body.as_ref().and_then(|body| body.specifier.as_ref()) {
        None => String::new(),
        Some(DataSpecifier::InlineString(text)) => text.clone(),
        Some(DataSpecifier::InlineBytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Some(_) => return Err(DecodeError::new("body", "only an inline body is supported")),
    };
    let status = u16::try_from(direct.status).ok().filter(|status| (200..600).contains(status));
    Ok(DirectResponse { status: status.ok_or_else(|| DecodeError::new("status", "is not from 200 to 599"))?, body })
}

fn decode_redirect(redirect: &RedirectAction) -> Result<Redirect> {
    use redirect_action::{PathRewriteSpecifier, RedirectResponseCode as Code, SchemeRewriteSpecifier};
    let port = u16::try_from(redirect.port_redirect).map_err(|_| DecodeError::new("port_redirect", "is no port"))?;
    Ok(Redirect {
        scheme: redirect
            .scheme_rewrite_specifier
            .as_ref()
            .and_then(|scheme| match scheme {
                SchemeRewriteSpecifier::HttpsRedirect(https) => https.then(|| Ok("https".to_owned())),
                SchemeRewriteSpecifier::SchemeRedirect(scheme) => Some(read_visible(scheme, "scheme_redirect")),
            })
            .transpose()?,
        host: Some(read_visible(&redirect.host_redirect, "host_redirect")?).filter(|host| !host.is_empty()),
        port: (port != 0).then_some(port),
        path: match &redirect.path_rewrite_specifier {
            None => None,
            Some(PathRewriteSpecifier::PathRedirect(path)) => {
                Some(RedirectPath::Full(read_visible(path, "path_redirect")?))
            }
            Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => {
                Some(RedirectPath::Prefix(read_visible(prefix, "prefix_rewrite")?))
            }
            Some(_) => {
                return Err(DecodeError::new(
                    "path_rewrite_specifier",
                    "only path_redirect and prefix_rewrite are supported",
                ));
            }
        },
        status: match redirect.response_code() {
            Code::MovedPermanently => 301,
            Code::Found => 302,
            Code::SeeOther => 303,
            Code::TemporaryRedirect => 307,
            Code::PermanentRedirect => 308,
        },
        strip_query: redirect.strip_query,
    })
}

fn decode_forward(action: &ProtoRouteAction) -> Result<Forward> {
    refuse!(action, internal_redirect_policy, hedge_policy, metadata_match, path_rewrite_policy);
    refuse!(action, path_rewrite, append_x_forwarded_host, retry_policy_typed_config, upgrade_configs);
    refuse!(action, cluster_not_found_response_code);
    check_stream_duration(action)?;
    let mut mirrors = Vec::with_capacity(action.request_mirror_policies.len());
    for (index, mirror) in action.request_mirror_policies.iter().enumerate() {
        let share = mirror.runtime_fraction.as_ref().and_then(|share| share.default_value.as_ref());
        let fraction = share.map_or(Ok(leno_names::Fraction::ONE), read_fraction);
        let fraction = fraction.at_index("request_mirror_policies", index)?;
        mirrors.push(Mirror { cluster: mirror.cluster.clone(), fraction });
    }
    Ok(Forward {
        clusters: decode_clusters(action.cluster_specifier.as_ref())?,
        timeout: read_limit(action.timeout.as_ref(), Some(ENVOY_TIMEOUT)),
        idle_timeout: read_duration(action.idle_timeout.as_ref()),
        retry: action.retry_policy.as_ref().map(policy::decode_retry).transpose().at("retry_policy")?,
        rewrite: decode_rewrite(action)?,
        host_rewrite: match &action.host_rewrite_specifier {
            None => None,
            Some(route_action::HostRewriteSpecifier::HostRewriteLiteral(host)) => {
                Some(read_visible(host, "host_rewrite_literal")?)
            }
            Some(_) => {
                return Err(DecodeError::new("host_rewrite_specifier", "only host_rewrite_literal is supported"));
            }
        },
        mirrors,
        hash_policies: hash::decode_all(&action.hash_policy)?,
    })
}

/// Zero, which turns the limit off, is what Istio writes.
fn check_stream_duration(action: &ProtoRouteAction) -> Result<()> {
    let Some(limits) = &action.max_stream_duration else { return Ok(()) };
    let values = [&limits.max_stream_duration, &limits.grpc_timeout_header_max, &limits.grpc_timeout_header_offset];
    let is_set = values.into_iter().any(|value| read_duration(value.as_ref()).is_some_and(|limit| !limit.is_zero()));
    if is_set { Err(DecodeError::unsupported("max_stream_duration")) } else { Ok(()) }
}

fn decode_rewrite(action: &ProtoRouteAction) -> Result<Option<Rewrite>> {
    if !action.prefix_rewrite.is_empty() {
        return Ok(Some(Rewrite::Prefix(read_visible(&action.prefix_rewrite, "prefix_rewrite")?)));
    }
    let Some(rewrite) = &action.regex_rewrite else { return Ok(None) };
    let pattern = rewrite.pattern.clone().unwrap_or_default().regex;
    read_visible(&rewrite.substitution, "regex_rewrite.substitution")?;
    let whole = pattern == WHOLE_PATH && !rewrite.substitution.replace("\\\\", "").contains('\\');
    Ok(Some(if whole {
        Rewrite::Path(rewrite.substitution.replace("\\\\", "\\"))
    } else {
        leno_ir::Pattern::new(&pattern).map_err(|error| DecodeError::new("regex_rewrite", error.to_string()))?;
        Rewrite::Regex { pattern, substitution: rewrite.substitution.clone() }
    }))
}

fn decode_clusters(specifier: Option<&route_action::ClusterSpecifier>) -> Result<Vec<WeightedCluster>> {
    match specifier {
        Some(route_action::ClusterSpecifier::Cluster(name)) => Ok(vec![WeightedCluster::new(name.clone(), 1)]),
        Some(route_action::ClusterSpecifier::WeightedClusters(weighted)) if !weighted.clusters.is_empty() => {
            weighted.clusters.iter().map(decode_weight).collect::<Result<_>>().at("weighted_clusters")
        }
        Some(route_action::ClusterSpecifier::WeightedClusters(_)) => {
            Err(DecodeError::new("weighted_clusters.clusters", "is empty"))
        }
        Some(_) => Err(DecodeError::new("cluster_specifier", "only cluster and weighted_clusters are supported")),
        None => Err(DecodeError::new("cluster_specifier", "is missing")),
    }
}

fn decode_weight(cluster: &ClusterWeight) -> Result<WeightedCluster> {
    refuse!(cluster, cluster_header, metadata_match, host_rewrite_specifier);
    Ok(WeightedCluster {
        name: cluster.name.clone(),
        weight: cluster.weight.as_ref().map_or(0, |weight| weight.value),
        request_headers: read_header_ops(&cluster.request_headers_to_add, &cluster.request_headers_to_remove)
            .at("request_headers_to_add")?,
        response_headers: read_header_ops(&cluster.response_headers_to_add, &cluster.response_headers_to_remove)
            .at("response_headers_to_add")?,
        filters: filter::decode_overrides(&cluster.typed_per_filter_config)?,
    })
}
