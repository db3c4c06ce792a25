//! Rules of HTTPRoute and GRPCRoute to routes, in the specification's order of precedence: for a service (GAMMA) and for
//! gateways.
//!
//! Shape       1 rule x n matches -> n ranked groups -> in each: shares that fail, backends with filters of their own, the rest
//! Errors      a backend that cannot be used gets its share of the requests as 500; its author reads why in the status
//! Source      Gateway API v1.6: HTTPRouteRule, GRPCRouteRule

mod backends;
mod filters;
mod matches;
mod rule;

use std::collections::BTreeSet;

use leno_ir::{Forward, HeaderOps, Redirect, RedirectPath, Route, RouteAction, RouteMatch};
use leno_model::api::ResourceKey;
use leno_model::{HeldPolicies, MeshRoute, Problem, RouteObject, ServicePort, Snapshot};
use leno_names::{Fraction, ServiceKey};

use crate::{forward, requests};
use backends::Backends;
use filters::{Effects, parts, replacement};
use matches::Rank;
use rule::Rule;

/// Where routes are compiled for, and what they turn out to need.
pub(crate) struct Scope<'a> {
    pub(crate) snapshot: &'a Snapshot,
    /// Of the service that the routes are attached to; `None`: to a gateway.
    pub(crate) default_port: Option<u16>,
    /// The listener of a gateway: TLS to backends follows policies, and redirects stay on its port unless told otherwise.
    pub(crate) gateway: Option<Entry>,
    /// What holds where no policy speaks of the route: of the service, or of the listener.
    pub(crate) policies: HeldPolicies,
    /// Service and port of every backend.
    pub(crate) used: &'a mut BTreeSet<(ServiceKey, u16)>,
    pub(crate) problems: &'a mut Vec<Problem>,
}

/// How requests come to a gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
}

/// Routes of one match, in their order.
pub(crate) struct Ranked {
    pub(crate) rank: Rank,
    pub(crate) routes: Vec<Route>,
}

/// The routes of a service's port; `None` when no route is attached to it. Requests that no rule matches get 404.
pub(crate) fn compile(
    snapshot: &Snapshot,
    port: &ServicePort,
    routes: &[MeshRoute],
    policies: &HeldPolicies,
    problems: &mut Vec<Problem>,
) -> Option<Vec<Route>> {
    let http = |route: &&MeshRoute| {
        matches!(route.route, RouteObject::Derived { .. } | RouteObject::Grpc(_) | RouteObject::Http(_))
            && route.port.is_none_or(|number| number == port.number)
    };
    let attached: Vec<_> = routes.iter().filter(http).collect();
    if attached.is_empty() {
        return None;
    }
    let mut used = BTreeSet::new();
    let mut scope = Scope {
        snapshot,
        default_port: Some(port.number),
        gateway: None,
        policies: policies.clone(),
        used: &mut used,
        problems,
    };
    // In a mesh hostnames say nothing: the service is the host.
    let mut all: Vec<_> = attached.iter().flat_map(|route| ranked(&mut scope, &route.route)).collect();
    // Stable: among equals the older object, then the earlier rule, stays first.
    all.sort_by_key(|one| one.rank);
    Some(all.into_iter().flat_map(|one| one.routes).collect())
}

/// All rules of a route, unsorted.
pub(crate) fn ranked(scope: &mut Scope<'_>, object: &RouteObject) -> Vec<Ranked> {
    let key = object.key();
    let mut all = Vec::new();
    for rule in rule::of(object) {
        let backends = Backends::of(scope, &key, &rule);
        let effects = Effects::of(scope, &key, &rule);
        let policies = policies(scope, &key, &rule);
        for condition in &rule.matches {
            let mut routes = routes(scope, &rule, &backends, &effects, &condition.matches);
            routes.iter_mut().for_each(|route| requests::apply(&policies, rule.said(), route));
            all.push(Ranked { rank: condition.rank, routes });
        }
    }
    all
}

/// What holds for a rule. At a gateway a service's policies hold for rules that lead to it alone.
fn policies(scope: &Scope<'_>, route: &ResourceKey, rule: &Rule<'_>) -> HeldPolicies {
    let own = scope.snapshot.route_policies.of_rule(route, Some(&rule.name));
    let backend = match rule.backends {
        [only] if scope.gateway.is_some() => {
            let found = scope.snapshot.backend((route.kind, &route.namespace), only).ok();
            found.and_then(|(service, port)| {
                Some(service.attached.as_ref()?.own.section(port.name.as_deref()).by_callers())
            })
        }
        _ => None,
    };
    own.or(&backend.unwrap_or_default()).or(&scope.policies)
}

/// What one match gives: what fails, what goes elsewhere, and the rest.
fn routes(
    scope: &Scope<'_>,
    rule: &Rule<'_>,
    backends: &Backends,
    effects: &Effects,
    matches: &RouteMatch,
) -> Vec<Route> {
    let with_share = |share: Fraction| {
        let fraction = Some(share).filter(|share| *share != Fraction::ONE);
        RouteMatch { fraction, ..matches.clone() }
    };
    if effects.is_unknown {
        return vec![forward::direct(rule.name.clone(), matches.clone(), 500, String::new())];
    }
    if let Some(redirect) = &effects.redirect {
        return vec![redirected(scope, rule, effects, redirect, matches.clone())];
    }
    let mut routes = Vec::new();
    let mut left = backends.total();
    if backends.broken > 0 || left == 0 {
        let share = if left == 0 { Fraction::ONE } else { parts(backends.broken, left) };
        routes.push(forward::direct(rule.name.clone(), with_share(share), 500, String::new()));
        left -= backends.broken.min(left);
    }
    for special in &backends.special {
        if left == 0 {
            break;
        }
        let matches = with_share(parts(special.weight, left));
        left -= special.weight.min(left);
        let together = effects.and(&special.effects);
        routes.push(match &together.redirect {
            Some(redirect) => redirected(scope, rule, &together, redirect, matches),
            None => forwarded(rule, &together, vec![special.cluster.clone()], matches),
        });
    }
    if left > 0 {
        routes.push(forwarded(rule, effects, backends.plain.clone(), matches.clone()));
    }
    routes
}

fn forwarded(
    rule: &Rule<'_>,
    effects: &Effects,
    clusters: Vec<leno_ir::WeightedCluster>,
    matches: RouteMatch,
) -> Route {
    let mut forward = Forward::to("");
    forward.clusters = clusters;
    forward.timeout = rule.timeouts.request.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero());
    forward.retry = Some(rule.retry());
    forward.mirrors = effects.mirrors.clone();
    forward.host_rewrite = effects.host_rewrite.clone().map(Into::into);
    forward.rewrite = effects.rewrite(&matches.path);
    Route {
        request_headers: effects.request.clone(),
        response_headers: effects.response.clone(),
        filters: effects.filters.clone(),
        ..Route::new(&rule.name, matches, RouteAction::Forward(Box::new(forward)))
    }
}

fn redirected(
    scope: &Scope<'_>,
    rule: &Rule<'_>,
    effects: &Effects,
    written: &leno_model::api::RequestRedirect,
    matches: RouteMatch,
) -> Route {
    let path = written.path.as_ref().and_then(|path| {
        let prefix = path.replace_prefix_match.as_deref();
        let prefix = prefix.map(|new| RedirectPath::Prefix(replacement(&matches.path, new)));
        path.replace_full_path.clone().map(RedirectPath::Full).or(prefix)
    });
    let action = RouteAction::Redirect(Redirect {
        scheme: written.scheme.clone(),
        host: written.hostname.clone(),
        port: redirect_port(scope.gateway, written),
        path,
        status: written.status_code.unwrap_or(302),
        strip_query: false,
    });
    let none = HeaderOps::default();
    Route {
        request_headers: none,
        response_headers: effects.response.clone(),
        filters: effects.filters.clone(),
        ..Route::new(&rule.name, matches, action)
    }
}

/// HTTPRequestRedirectFilter.port: without one the scheme's own port, and without a scheme the listener's; the usual port of
/// a scheme is not said.
fn redirect_port(entry: Option<Entry>, written: &leno_model::api::RequestRedirect) -> Option<u16> {
    let Some(entry) = entry else { return written.port };
    let scheme = written.scheme.as_deref().unwrap_or(if entry.is_tls { "https" } else { "http" });
    let usual = if scheme == "https" { 443 } else { 80 };
    let port = match (written.port, &written.scheme) {
        (Some(port), _) => port,
        (None, Some(_)) => usual,
        (None, None) => entry.port,
    };
    Some(port).filter(|port| *port != usual)
}
