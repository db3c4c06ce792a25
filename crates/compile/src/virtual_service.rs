//! VirtualService to routes.

use leno_ir::{
    Forward, HeaderMatch, HeaderMatchKind, Mirror, PathMatch, Pattern, QueryMatch, QueryMatchKind, Redirect,
    RedirectPath, Rewrite, Route, RouteAction, RouteMatch, StringMatch, WeightedCluster,
};
use leno_model::api::{self, DerivePort, Destination, HttpMatch, HttpRoute, Percent, ResourceKey};
use leno_model::{HeldPolicies, HttpRule, Problem, Snapshot, VirtualRoutes, gateway_named};
use leno_names::Fraction;

use crate::requests::{self, Said};
use crate::{forward, headers, route_filters};

/// Where routes are to hold.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub port: u16,
    /// `None`: in sidecars.
    pub gateway: Option<&'a ResourceKey>,
}

impl Place<'_> {
    pub(crate) const fn of_mesh(port: u16) -> Self {
        Self { port, gateway: None }
    }

    /// Whether a condition that names gateways, in an object of `namespace`, holds here.
    pub(crate) fn is_among(self, gateways: &[String], namespace: &str) -> bool {
        let is_here = |text: &String| match (gateway_named(text, namespace), self.gateway) {
            (None, here) => here.is_none(),
            (Some((namespace, name)), Some(here)) => here.namespace == namespace && here.name == name,
            (Some(_), None) => false,
        };
        gateways.is_empty() || gateways.iter().any(is_here)
    }
}

/// The routes that hold in a place, in the order written.
pub(crate) fn compile(
    snapshot: &Snapshot,
    place: Place<'_>,
    routes: &VirtualRoutes,
    policies: &HeldPolicies,
    problems: &mut Vec<Problem>,
) -> Vec<Route> {
    let mut compiled = Vec::new();
    for HttpRule { object, index, route } in &routes.http {
        let mut compiling = Compiling { snapshot, place, object, problems };
        let Some(action) = compiling.action(route, *index) else { continue };
        let said = Said {
            retries: route.retries.is_some(),
            timeout: route.timeout.is_some(),
            try_timeout: route.retries.as_ref().is_some_and(|retries| retries.per_try_timeout.is_some()),
            fault: route.fault.is_some(),
        };
        for matches in compiling.matches(route) {
            let name = route.name.clone().unwrap_or_else(|| format!("{}.{index}", object.name));
            let action = action_for(&action, route, &matches);
            let mut one = Route {
                request_headers: headers::istio(&route.headers.request),
                response_headers: headers::istio(&route.headers.response),
                filters: route_filters::compile(route),
                ..Route::new(name, matches, action)
            };
            requests::apply(policies, said, &mut one);
            compiled.push(one);
        }
    }
    compiled
}

struct Compiling<'a> {
    snapshot: &'a Snapshot,
    place: Place<'a>,
    object: &'a ResourceKey,
    problems: &'a mut Vec<Problem>,
}

impl Compiling<'_> {
    fn matches(&self, route: &HttpRoute) -> Vec<RouteMatch> {
        if route.r#match.is_empty() {
            return vec![RouteMatch::any()];
        }
        let is_here = |condition: &&HttpMatch| {
            condition.port.is_none_or(|port| port == self.place.port)
                && self.place.is_among(&condition.gateways, &self.object.namespace)
        };
        route.r#match.iter().filter(is_here).filter_map(route_match).collect()
    }

    fn action(&mut self, route: &HttpRoute, index: usize) -> Option<RouteAction> {
        let at = format!("spec.http[{index}]");
        if let Some(redirect) = &route.redirect {
            return Some(RouteAction::Redirect(self::redirect(redirect, self.place.port)));
        }
        if let Some(direct) = &route.direct_response {
            let body = direct.body.as_ref().and_then(|body| body.string.clone()).unwrap_or_default();
            return Some(RouteAction::Direct(leno_ir::DirectResponse { status: direct.status, body }));
        }
        if route.route.is_empty() {
            return None;
        }
        let single = route.route.len() == 1;
        let mut clusters = Vec::new();
        for (number, target) in route.route.iter().enumerate() {
            let name = self.cluster(&target.destination, &format!("{at}.route[{number}].destination"));
            let mut cluster = WeightedCluster::new(name, target.weight.unwrap_or(u32::from(single)));
            cluster.host_rewrite = headers::authority(&target.headers.request);
            cluster.request_headers = headers::istio(&target.headers.request);
            cluster.response_headers = headers::istio(&target.headers.response);
            clusters.push(cluster);
        }
        let (retry, unknown) = forward::retry(route.retries.as_ref(), &self.snapshot.mesh);
        for word in unknown {
            let message = format!("unknown condition \"{word}\"; it is left out");
            let field = format!("{at}.retries.retryOn");
            self.problems.push(Problem::error(self.object, field, "unknown_retry_condition", message));
        }
        Some(RouteAction::Forward(Box::new(Forward {
            clusters,
            timeout: route.timeout.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero()),
            retry,
            host_rewrite: route
                .rewrite
                .as_ref()
                .and_then(|rewrite| rewrite.authority.clone())
                .or_else(|| headers::authority(&route.headers.request))
                .map(Into::into),
            mirrors: self.mirrors(route, &at),
            // Hash policies are those of the destinations, which come last.
            ..Forward::to("")
        })))
    }

    /// A name that no cluster has makes the proxy answer 503, as in Istio.
    fn cluster(&mut self, destination: &Destination, at: &str) -> String {
        let namespace = &self.object.namespace;
        let wanted = destination.port.as_ref().map(|port| port.number);
        let subset = destination.subset.as_deref();
        let Some(service) = self.snapshot.service(&destination.host, namespace) else {
            let message = format!("no service of the mesh is called \"{}\"; requests get 503", destination.host);
            self.problems.push(Problem::error(self.object, format!("{at}.host"), "unknown_host", message));
            let port = wanted.unwrap_or(self.place.port);
            return format!("outbound|{port}|{}|{}", subset.unwrap_or_default(), destination.host);
        };
        // Without a port: the one that was called, or the only one there is.
        let only = (service.ports.len() == 1).then(|| service.ports.first().map(|port| port.number)).flatten();
        let same = service.port(self.place.port).map(|port| port.number);
        let port = wanted.or(same).or(only).unwrap_or(self.place.port);
        if service.port(port).is_none() {
            let message = format!("service {} has no port {port}; requests get 503", service.key);
            self.problems.push(Problem::error(self.object, format!("{at}.port"), "unknown_port", message));
        }
        if let Some(subset) = subset.filter(|name| service.subsets().iter().all(|subset| subset.name != *name)) {
            let message = format!("no DestinationRule of {} has a subset \"{subset}\"; requests get 503", service.key);
            self.problems.push(Problem::error(self.object, format!("{at}.subset"), "unknown_subset", message));
        }
        service.cluster_name(port, subset)
    }

    fn mirrors(&mut self, route: &HttpRoute, at: &str) -> Vec<Mirror> {
        let mut mirrors = Vec::new();
        if let Some(destination) = &route.mirror {
            let old =
                route.mirror_percent.or(route.mirror_percent_old).map(|percent| Percent { value: f64::from(percent) });
            let share = route.mirror_percentage.as_ref().or(old.as_ref());
            mirrors.push(Mirror::new(self.cluster(destination, &format!("{at}.mirror")), fraction(share)));
        }
        for (number, mirror) in route.mirrors.iter().enumerate() {
            let cluster = self.cluster(&mirror.destination, &format!("{at}.mirrors[{number}].destination"));
            mirrors.push(Mirror::new(cluster, fraction(mirror.percentage.as_ref())));
        }
        mirrors
    }
}

fn fraction(percent: Option<&Percent>) -> Fraction {
    percent.map_or(Fraction::ONE, |percent| Fraction::from_percent_f64(percent.value).unwrap_or(Fraction::ONE))
}

/// A rewrite replaces what the route's own condition matched.
fn action_for(action: &RouteAction, route: &HttpRoute, matches: &RouteMatch) -> RouteAction {
    let mut action = action.clone();
    if let (RouteAction::Forward(forward), Some(rewrite)) = (&mut action, &route.rewrite) {
        let regex = rewrite
            .uri_regex_rewrite
            .as_ref()
            .map(|regex| Rewrite::Regex { pattern: regex.r#match.clone(), substitution: regex.rewrite.clone() });
        let uri = rewrite.uri.clone().map(|uri| match matches.path {
            PathMatch::Prefix { .. } | PathMatch::PathSeparatedPrefix { .. } => Rewrite::Prefix(uri),
            PathMatch::Connect | PathMatch::Exact { .. } | PathMatch::Regex(_) => Rewrite::Path(uri),
        });
        forward.rewrite = uri.or(regex);
    }
    action
}

fn redirect(written: &api::HttpRedirect, port: u16) -> Redirect {
    let full = written.uri.clone().map(RedirectPath::Full);
    Redirect {
        scheme: written.scheme.clone(),
        host: written.authority.clone(),
        port: written.port.or((written.derive_port == Some(DerivePort::FromRequestPort)).then_some(port)),
        path: full.or_else(|| written.prefix_rewrite.clone().map(RedirectPath::Prefix)),
        status: written.redirect_code.unwrap_or(301),
        strip_query: false,
    }
}

/// `None` when a pattern is not usable; those were reported when the object was read.
fn route_match(condition: &HttpMatch) -> Option<RouteMatch> {
    let mut matches = RouteMatch::any();
    if let Some(uri) = &condition.uri {
        let ignore_case = condition.ignore_uri_case == Some(true);
        matches.path = match (&uri.exact, &uri.prefix, &uri.regex) {
            (Some(text), ..) => PathMatch::Exact { text: text.clone(), ignore_case },
            (_, Some(text), _) => PathMatch::Prefix { text: text.clone(), ignore_case },
            (.., Some(pattern)) => PathMatch::Regex(Pattern::new(pattern).ok()?),
            _ => matches.path,
        };
    }
    let pseudo = [(":authority", &condition.authority), (":method", &condition.method), (":scheme", &condition.scheme)];
    for (name, text) in pseudo {
        if let Some(text) = text {
            matches.headers.push(header(name, text, false)?);
        }
    }
    for (name, text) in &condition.headers {
        matches.headers.push(header(name, text, false)?);
    }
    for (name, text) in &condition.without_headers {
        matches.headers.push(header(name, text, true)?);
    }
    for (name, text) in &condition.query_params {
        let kind = string_match(text)?.map_or(QueryMatchKind::Present(true), QueryMatchKind::Value);
        matches.query.push(QueryMatch { name: name.clone(), kind });
    }
    Some(matches)
}

fn header(name: &str, text: &api::StringMatch, without: bool) -> Option<HeaderMatch> {
    let value = string_match(text)?;
    let kind = value.map_or(HeaderMatchKind::Present(true), HeaderMatchKind::Value);
    // A header that is absent does not have the value: `withoutHeaders` holds.
    let treat_missing_as_empty = without && matches!(kind, HeaderMatchKind::Value(_));
    Some(HeaderMatch { name: name.to_ascii_lowercase(), kind, invert: without, treat_missing_as_empty })
}

/// `Some(None)`: any value.
pub(crate) fn string_match(text: &api::StringMatch) -> Option<Option<StringMatch>> {
    Some(match (&text.exact, &text.prefix, &text.regex) {
        (Some(text), ..) => Some(StringMatch::exact(text)),
        (_, Some(text), _) => Some(StringMatch::prefix(text)),
        (.., Some(pattern)) => Some(StringMatch::Regex(Pattern::new(pattern).ok()?)),
        _ => None,
    })
}
