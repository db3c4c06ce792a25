//! What a schema cannot say: names, ports, patterns and required fields. Each finding is (field path, message).

use leno_names::{dns_label, dns_name};

use crate::{
    ConsistentHash, CorsPolicy, Destination, DestinationRuleSpec, Filter, Headers, HttpFault, HttpRoute, HttpRouteSpec,
    Kind, Resource, ServiceSpec, StringMatch, TlsMode, TlsRoute, TrafficPolicy, VirtualServiceSpec, WorkloadEntrySpec,
};

mod http;
mod istio_gateway;
mod service_entry;
mod sidecar;

pub(crate) type Checked = Vec<(String, String)>;

const MISSING: &str = "required field is missing";

pub(crate) fn check(resource: &Resource) -> Checked {
    let mut found = Vec::new();
    metadata(resource, &mut found);
    match resource {
        Resource::DestinationRule(object) => destination_rule(&object.spec, &mut found),
        Resource::FaultPolicy(object) if !object.spec.until.is_empty() && object.spec.end().is_none() => {
            let message = format!("\"{}\" is no moment; write it like 2030-01-31T18:00:00Z", object.spec.until);
            report(&mut found, "spec.until", message);
        }
        Resource::HttpRoute(object) => http_route(&object.spec, &mut found),
        Resource::IstioGateway(object) => istio_gateway::check(&object.spec, &mut found),
        Resource::Service(object) => service(&object.spec, &mut found),
        Resource::Sidecar(object) => sidecar::check(&object.spec, &mut found),
        Resource::ServiceEntry(object) => service_entry::check(&object.spec, &mut found),
        Resource::VirtualService(object) => virtual_service(&object.spec, &mut found),
        Resource::WorkloadEntry(object) => workload(&object.spec, "spec", &mut found),
        Resource::WorkloadGroup(object) => workload(&object.spec.template, "spec.template", &mut found),
        // Their schemas say it all.
        _ => {}
    }
    found
}

fn report(found: &mut Checked, path: impl Into<String>, message: impl Into<String>) {
    found.push((path.into(), message.into()));
}

fn require(found: &mut Checked, path: impl Into<String>, text: &str) {
    if text.is_empty() {
        report(found, path, MISSING);
    }
}

fn metadata(resource: &Resource, found: &mut Checked) {
    let metadata = resource.metadata();
    require(found, "metadata.name", &metadata.name);
    match resource.kind() {
        _ if metadata.name.is_empty() => {}
        Kind::Namespace | Kind::Service => {
            if let Err(error) = dns_label(&metadata.name) {
                report(found, "metadata.name", error.to_string());
            }
        }
        _ if is_object_name(&metadata.name) => {}
        _ => {
            let message = format!(
                "\"{}\" is no name of an object (at most 253 of a-z, 0-9, \"-\" and \".\", with a letter or digit at \
                 each end of what dots divide)",
                metadata.name
            );
            report(found, "metadata.name", message);
        }
    }
    if resource.kind().is_namespaced()
        && let Err(error) = dns_label(metadata.namespace())
    {
        report(found, "metadata.namespace", error.to_string());
    }
}

/// Kubernetes' names: as DNS names, but for the length of a label.
fn is_object_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        label.bytes().all(|byte| inner(byte) || byte == b'-')
            && label.bytes().next().is_some_and(inner)
            && label.bytes().last().is_some_and(inner)
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn port(found: &mut Checked, path: String, number: Option<u16>) {
    if number == Some(0) {
        report(found, path, "a port is between 1 and 65535");
    }
}

fn regex(found: &mut Checked, path: String, pattern: &str) {
    if let Err(error) = regex::RegexBuilder::new(pattern).size_limit(1 << 20).build() {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        report(found, path, format!("\"{pattern}\" is not a usable regular expression: {reason}"));
    }
}

fn service(spec: &ServiceSpec, found: &mut Checked) {
    let mut seen = std::collections::BTreeSet::new();
    for (index, entry) in spec.ports.iter().enumerate() {
        let at = format!("spec.ports[{index}]");
        if entry.port == 0 {
            report(found, format!("{at}.port"), "a port between 1 and 65535 is required");
        } else if !seen.insert((entry.port, entry.protocol.clone())) {
            report(found, format!("{at}.port"), format!("port {} is there twice", entry.port));
        }
        if let Some(crate::IntOrString::Int(0)) = entry.target_port {
            report(found, format!("{at}.targetPort"), "a port is between 1 and 65535");
        }
        if let Some(protocol) = entry.protocol.as_deref().filter(|p| !matches!(*p, "TCP" | "UDP" | "SCTP")) {
            report(found, format!("{at}.protocol"), crate::tree::unknown("value", protocol, &["TCP", "UDP", "SCTP"]));
        }
    }
}

fn workload(spec: &WorkloadEntrySpec, at: &str, found: &mut Checked) {
    for (name, number) in &spec.ports {
        port(found, format!("{at}.ports.{name}"), Some(*number));
    }
    if let Some(Err(error)) = spec.locality.as_ref().map(|locality| locality.parse::<leno_names::Locality>()) {
        report(found, format!("{at}.locality"), error.to_string());
    }
}

fn virtual_service(spec: &VirtualServiceSpec, found: &mut Checked) {
    for (index, host) in spec.hosts.iter().enumerate() {
        self::host(found, format!("spec.hosts[{index}]"), host);
    }
    for (index, route) in spec.http.iter().enumerate() {
        virtual_service_route(route, &format!("spec.http[{index}]"), found);
    }
    for (index, route) in spec.tls.iter().enumerate() {
        tls_route(route, &format!("spec.tls[{index}]"), found);
    }
    for (index, route) in spec.tcp.iter().enumerate() {
        for (target_index, target) in route.route.iter().enumerate() {
            destination(&target.destination, format!("spec.tcp[{index}].route[{target_index}].destination"), found);
        }
    }
}

fn tls_route(route: &TlsRoute, at: &str, found: &mut Checked) {
    if route.r#match.is_empty() {
        report(found, format!("{at}.match"), "a TLS route says which server names it is for");
    }
    for (index, condition) in route.r#match.iter().enumerate() {
        for (name_index, name) in condition.sni_hosts.iter().enumerate() {
            host(found, format!("{at}.match[{index}].sniHosts[{name_index}]"), name);
        }
        if condition.sni_hosts.is_empty() {
            report(found, format!("{at}.match[{index}].sniHosts"), MISSING);
        }
    }
    for (index, target) in route.route.iter().enumerate() {
        destination(&target.destination, format!("{at}.route[{index}].destination"), found);
    }
}

fn host(found: &mut Checked, path: String, host: &str) {
    let name = host.strip_prefix("*.").unwrap_or(host);
    if host.is_empty() {
        report(found, path, MISSING);
    } else if host != "*"
        && name.parse::<std::net::IpAddr>().is_err()
        && let Err(error) = dns_name(&name.to_ascii_lowercase())
    {
        report(found, path, error.to_string());
    }
}

fn destination(destination: &Destination, at: String, found: &mut Checked) {
    host(found, format!("{at}.host"), &destination.host);
    port(found, format!("{at}.port.number"), destination.port.as_ref().map(|port| port.number));
}

fn virtual_service_route(route: &HttpRoute, at: &str, found: &mut Checked) {
    let actions =
        [!route.route.is_empty(), route.redirect.is_some(), route.direct_response.is_some(), route.delegate.is_some()];
    match actions.into_iter().filter(|set| *set).count() {
        0 => report(found, at, "one of route, redirect, directResponse or delegate is required"),
        1 => {}
        _ => report(found, at, "only one of route, redirect, directResponse and delegate may be set"),
    }
    for (index, condition) in route.r#match.iter().enumerate() {
        let at = format!("{at}.match[{index}]");
        let single = [
            ("authority", &condition.authority),
            ("method", &condition.method),
            ("scheme", &condition.scheme),
            ("uri", &condition.uri),
        ];
        for (name, text) in single {
            text.iter().for_each(|text| string_match(text, format!("{at}.{name}"), found));
        }
        let maps = [
            ("headers", &condition.headers),
            ("queryParams", &condition.query_params),
            ("withoutHeaders", &condition.without_headers),
        ];
        for (map, entries) in maps {
            entries.iter().for_each(|(name, text)| string_match(text, format!("{at}.{map}.{name}"), found));
        }
        port(found, format!("{at}.port"), condition.port);
    }
    for (index, target) in route.route.iter().enumerate() {
        destination(&target.destination, format!("{at}.route[{index}].destination"), found);
        headers(&target.headers, &format!("{at}.route[{index}].headers"), found);
    }
    if !route.route.is_empty() && route.route.iter().all(|target| target.weight == Some(0)) {
        report(found, format!("{at}.route"), "every weight is 0: nobody would get a request");
    }
    weights(route.route.iter().filter_map(|target| target.weight), &format!("{at}.route"), found);
    headers(&route.headers, &format!("{at}.headers"), found);
    if let Some(fault) = &route.fault {
        self::fault(fault, &format!("{at}.fault"), found);
    }
    if let Some(policy) = &route.cors_policy {
        cors(policy, &format!("{at}.corsPolicy"), found);
    }
    if let Some(response) = &route.direct_response
        && !(200..=599).contains(&response.status)
    {
        report(found, format!("{at}.directResponse.status"), "a status between 200 and 599 is required");
    }
    if let Some(code) = route.redirect.as_ref().and_then(|redirect| redirect.redirect_code)
        && !matches!(code, 301 | 302 | 303 | 307 | 308)
    {
        report(found, format!("{at}.redirect.redirectCode"), "must be 301, 302, 303, 307 or 308");
    }
    if let Some(redirect) = &route.redirect {
        http::redirect(redirect, &format!("{at}.redirect"), found);
    }
    if let Some(rewrite) = &route.rewrite {
        http::rewrite(rewrite, &format!("{at}.rewrite"), found);
    }
    if let Some(rewrite) = route.rewrite.as_ref().and_then(|rewrite| rewrite.uri_regex_rewrite.as_ref()) {
        regex(found, format!("{at}.rewrite.uriRegexRewrite.match"), &rewrite.r#match);
    }
}

fn fault(fault: &HttpFault, at: &str, found: &mut Checked) {
    let percentages = [
        ("abort", fault.abort.as_ref().and_then(|abort| abort.percentage.as_ref())),
        ("delay", fault.delay.as_ref().and_then(|delay| delay.percentage.as_ref())),
    ];
    for (name, percent) in percentages {
        if percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent.value)) {
            report(found, format!("{at}.{name}.percentage.value"), "a percentage is between 0 and 100");
        }
    }
    if let Some(abort) = &fault.abort {
        match (abort.http_status, &abort.grpc_status) {
            (None, None) => report(found, format!("{at}.abort"), "one of httpStatus and grpcStatus is required"),
            (Some(_), Some(_)) => {
                report(found, format!("{at}.abort"), "only one of httpStatus and grpcStatus may be set");
            }
            (Some(status), None) if !(200..=599).contains(&status) => {
                report(found, format!("{at}.abort.httpStatus"), "a status between 200 and 599 is required");
            }
            (None, Some(status)) if grpc_status(status).is_none() => {
                let message = format!("\"{status}\" is no gRPC status; write it like UNAVAILABLE");
                report(found, format!("{at}.abort.grpcStatus"), message);
            }
            _ => {}
        }
    }
    if let Some(delay) = &fault.delay {
        if delay.fixed_delay.is_none_or(|span| span.0 < std::time::Duration::from_millis(1)) {
            report(found, format!("{at}.delay.fixedDelay"), "a delay of at least 1ms is required");
        }
        if delay.percent.is_some_and(|percent| percent > 100) {
            report(found, format!("{at}.delay.percent"), "a percentage is between 0 and 100");
        }
    }
}

/// The number of a status by its name (gRPC, "Status codes and their use in gRPC").
pub fn grpc_status(name: &str) -> Option<u32> {
    leno_names::GRPC_STATUSES.iter().position(|known| *known == name).and_then(|at| u32::try_from(at).ok())
}

fn cors(policy: &CorsPolicy, at: &str, found: &mut Checked) {
    for (index, origin) in policy.allow_origins.iter().enumerate() {
        string_match(origin, format!("{at}.allowOrigins[{index}]"), found);
    }
    if let Some(what) = policy.unmatched_preflights.as_deref()
        && !matches!(what, "FORWARD" | "IGNORE" | "UNSPECIFIED")
    {
        report(found, format!("{at}.unmatchedPreflights"), "must be FORWARD or IGNORE");
    }
}

/// Envoy, too, counts the sum in 32 bits.
fn weights(weights: impl Iterator<Item = u32>, at: &str, found: &mut Checked) {
    if weights.map(u64::from).sum::<u64>() > u64::from(u32::MAX) {
        report(found, at, format!("the weights add up to more than {}", u32::MAX));
    }
}

fn string_match(text: &StringMatch, at: String, found: &mut Checked) {
    let set = [&text.exact, &text.prefix, &text.regex].into_iter().flatten().count();
    if set > 1 {
        report(found, at.clone(), "only one of exact, prefix and regex may be set");
    }
    if let Some(pattern) = &text.regex {
        regex(found, format!("{at}.regex"), pattern);
    }
}

fn headers(headers: &Headers, at: &str, found: &mut Checked) {
    http::istio_headers(&headers.request, &format!("{at}.request"), found);
    http::istio_headers(&headers.response, &format!("{at}.response"), found);
}

fn destination_rule(spec: &DestinationRuleSpec, found: &mut Checked) {
    host(found, "spec.host".to_owned(), &spec.host);
    let mut seen = std::collections::BTreeSet::new();
    for (index, subset) in spec.subsets.iter().enumerate() {
        let at = format!("spec.subsets[{index}]");
        require(found, format!("{at}.name"), &subset.name);
        if !seen.insert(&subset.name) {
            report(found, format!("{at}.name"), format!("subset \"{}\" is there twice", subset.name));
        }
        if let Some(policy) = &subset.traffic_policy {
            traffic_policy(policy, &format!("{at}.trafficPolicy"), found);
        }
    }
    if let Some(policy) = &spec.traffic_policy {
        traffic_policy(policy, "spec.trafficPolicy", found);
    }
}

fn traffic_policy(policy: &TrafficPolicy, at: &str, found: &mut Checked) {
    let levels = policy.port_level_settings.iter().enumerate();
    let levels = levels.map(|(index, level)| (format!("{at}.portLevelSettings[{index}].tls"), &level.tls));
    for (at, tls) in levels.chain([(format!("{at}.tls"), &policy.tls)]) {
        let Some(tls) = tls.as_ref().filter(|tls| tls.mode == Some(TlsMode::Mutual)) else { continue };
        let has = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let proves_itself = has(&tls.credential_name) || has(&tls.client_certificate) && has(&tls.private_key);
        if !proves_itself {
            report(found, at, "MUTUAL needs a clientCertificate with its privateKey, or a credentialName");
        }
    }
    if let Some(outlier) = &policy.outlier_detection {
        for (name, value) in
            [("maxEjectionPercent", outlier.max_ejection_percent), ("minHealthPercent", outlier.min_health_percent)]
        {
            if value.is_some_and(|percent| percent > 100) {
                report(found, format!("{at}.outlierDetection.{name}"), "a percentage is between 0 and 100");
            }
        }
    }
    if let Some(hash) = policy.load_balancer.as_ref().and_then(|balancer| balancer.consistent_hash.as_ref()) {
        consistent_hash(hash, &format!("{at}.loadBalancer.consistentHash"), found);
    }
    for (index, level) in policy.port_level_settings.iter().enumerate() {
        if let Some(hash) = level.load_balancer.as_ref().and_then(|balancer| balancer.consistent_hash.as_ref()) {
            consistent_hash(hash, &format!("{at}.portLevelSettings[{index}].loadBalancer.consistentHash"), found);
        }
        port(found, format!("{at}.portLevelSettings[{index}].port.number"), Some(level.port.number));
    }
}

/// As Istio's validation: one key, a cookie has a name.
fn consistent_hash(hash: &ConsistentHash, at: &str, found: &mut Checked) {
    let keys = [
        hash.http_cookie.is_some(),
        hash.http_header_name.is_some(),
        hash.http_query_parameter_name.is_some(),
        hash.use_source_ip.is_some(),
    ];
    if keys.into_iter().filter(|set| *set).count() != 1 {
        let message = "exactly one of httpCookie, httpHeaderName, httpQueryParameterName and useSourceIp is required";
        report(found, at, message);
    }
    if hash.maglev.is_some() && hash.ring_hash.is_some() {
        report(found, at, "only one of maglev and ringHash may be set");
    }
    if let Some(name) = &hash.http_header_name {
        let token = name.strip_prefix(':').unwrap_or(name);
        http::header_name(token, name, &format!("{at}.httpHeaderName"), found);
    }
    if let Some(name) = &hash.http_query_parameter_name {
        require(found, format!("{at}.httpQueryParameterName"), name);
    }
    if let Some(cookie) = &hash.http_cookie {
        // It is written into a header of the response.
        http::header_name(&cookie.name, &cookie.name, &format!("{at}.httpCookie.name"), found);
        let path = cookie.path.as_deref().unwrap_or_default();
        if path.bytes().any(|byte| !(b' '..=b'~').contains(&byte) || byte == b';') {
            report(found, format!("{at}.httpCookie.path"), "a path of a cookie is printable and has no \";\"");
        }
    }
}

fn http_route(spec: &HttpRouteSpec, found: &mut Checked) {
    for (index, parent) in spec.parent_refs.iter().enumerate() {
        require(found, format!("spec.parentRefs[{index}].name"), &parent.name);
    }
    for (index, rule) in spec.rules.iter().enumerate() {
        let at = format!("spec.rules[{index}]");
        for (match_index, condition) in rule.matches.iter().enumerate() {
            let at = format!("{at}.matches[{match_index}]");
            if let Some(path) = &condition.path {
                let value = path.value.as_deref().unwrap_or("/");
                if path.r#type == Some(crate::PathKind::RegularExpression) {
                    regex(found, format!("{at}.path.value"), value);
                } else if !value.starts_with('/') {
                    report(found, format!("{at}.path.value"), "a path starts with \"/\"");
                }
            }
            for (name, list) in [("headers", &condition.headers), ("queryParams", &condition.query_params)] {
                for (entry, value) in list.iter().enumerate() {
                    require(found, format!("{at}.{name}[{entry}].name"), &value.name);
                    if value.r#type == Some(crate::ValueMatchKind::RegularExpression) {
                        regex(found, format!("{at}.{name}[{entry}].value"), &value.value);
                    }
                }
            }
        }
        for (entry, filter) in rule.filters.iter().enumerate() {
            self::filter(filter, &format!("{at}.filters[{entry}]"), found);
        }
        weights(rule.backend_refs.iter().filter_map(|backend| backend.weight), &format!("{at}.backendRefs"), found);
        for (entry, backend) in rule.backend_refs.iter().enumerate() {
            for (index, filter) in backend.filters.iter().enumerate() {
                self::filter(filter, &format!("{at}.backendRefs[{entry}].filters[{index}]"), found);
            }
            require(found, format!("{at}.backendRefs[{entry}].name"), &backend.name);
            port(found, format!("{at}.backendRefs[{entry}].port"), backend.port);
        }
        if let (Some(whole), Some(attempt)) = (rule.timeouts.request, rule.timeouts.backend_request)
            && attempt > whole
            && !whole.0.is_zero()
        {
            report(found, format!("{at}.timeouts.backendRequest"), "must not exceed the request timeout");
        }
    }
}

fn filter(filter: &Filter, at: &str, found: &mut Checked) {
    if let Some(modifier) = &filter.request_header_modifier {
        http::gateway_headers(modifier, &format!("{at}.requestHeaderModifier"), found);
    }
    if let Some(modifier) = &filter.response_header_modifier {
        http::gateway_headers(modifier, &format!("{at}.responseHeaderModifier"), found);
    }
    if let Some(redirect) = &filter.request_redirect {
        http::visible(redirect.hostname.as_deref(), &format!("{at}.requestRedirect.hostname"), found);
        http::visible(redirect.scheme.as_deref(), &format!("{at}.requestRedirect.scheme"), found);
        http::path_modifier(redirect.path.as_ref(), &format!("{at}.requestRedirect"), found);
    }
    if let Some(rewrite) = &filter.url_rewrite {
        http::visible(rewrite.hostname.as_deref(), &format!("{at}.urlRewrite.hostname"), found);
        http::path_modifier(rewrite.path.as_ref(), &format!("{at}.urlRewrite"), found);
    }
}
