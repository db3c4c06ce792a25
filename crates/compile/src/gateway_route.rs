//! HTTPRoutes of a service (GAMMA) to routes, in the specification's order of precedence.

use std::cmp::Reverse;
use std::sync::Arc;

use leno_ir::{
    Forward, HeaderMatch, HeaderMatchKind, HeaderOps, Mirror, PathMatch, Pattern, QueryMatch, QueryMatchKind, Redirect,
    RedirectPath, RetryOn, Rewrite, Route, RouteAction, RouteMatch, StringMatch, WeightedCluster,
};
use leno_model::api::{
    BackendRef, Filter, GatewayHttpRoute, HttpRouteMatch, HttpRouteRule, Kind, PathKind, PathModifier, ResourceKey,
    ValueMatch, ValueMatchKind,
};
use leno_model::{Problem, Service, ServicePort, Snapshot};
use leno_names::{Fraction, ServiceKey};

use crate::{forward, headers};

/// `None` when no route is attached to `port`. Requests that no rule matches get 404.
pub(crate) fn compile(
    snapshot: &Snapshot,
    service: &Service,
    port: &ServicePort,
    objects: &[Arc<GatewayHttpRoute>],
    problems: &mut Vec<Problem>,
) -> Option<Vec<Route>> {
    let attached = |object: &&Arc<GatewayHttpRoute>| {
        object.spec.parent_refs.iter().any(|parent| {
            parent.kind.as_deref() == Some("Service")
                && parent.name == service.key.name
                && parent.port.is_none_or(|number| number == port.number)
        })
    };
    let mut found = false;
    let mut ranked = Vec::new();
    for object in objects.iter().filter(attached) {
        found = true;
        let key = ResourceKey::new(Kind::HttpRoute, object.metadata.namespace(), &object.metadata.name);
        for (index, rule) in object.spec.rules.iter().enumerate() {
            let name = rule.name.clone().unwrap_or_else(|| format!("{}.{index}", object.metadata.name));
            let mut compiling = Compiling { snapshot, port, key: &key, at: format!("spec.rules[{index}]"), problems };
            let action = compiling.action(rule);
            let any = [HttpRouteMatch::default()];
            let conditions = if rule.matches.is_empty() { &any[..] } else { &rule.matches };
            for condition in conditions {
                if let Some(matches) = route_match(condition) {
                    ranked.push((rank(condition), action.routes(&name, &matches)));
                }
            }
        }
    }
    // Stable: among equals the older object, then the earlier rule, stays first.
    ranked.sort_by_key(|(rank, _)| *rank);
    found.then(|| ranked.into_iter().flat_map(|(_, routes)| routes).collect())
}

/// HTTPRouteRule.matches: exact path, longest prefix, method, most headers, most query parameters.
type Rank = (u8, Reverse<usize>, bool, Reverse<usize>, Reverse<usize>);

fn rank(condition: &HttpRouteMatch) -> Rank {
    let path = condition.path.as_ref();
    let length = path.and_then(|path| path.value.as_ref()).map_or(1, String::len);
    let kind = match path.and_then(|path| path.r#type).unwrap_or(PathKind::PathPrefix) {
        PathKind::Exact => 0,
        // Where patterns stand is the implementation's choice; before prefixes, as they are more specific.
        PathKind::RegularExpression => 1,
        PathKind::PathPrefix => 2,
    };
    let (headers, query) = (condition.headers.len(), condition.query_params.len());
    (kind, Reverse(length), condition.method.is_none(), Reverse(headers), Reverse(query))
}

/// What a rule does with a request, before it is known which condition matched.
struct Action {
    /// Share of requests whose backend does not exist: they get 500.
    broken: Fraction,
    kind: RouteAction,
    path: Option<PathModifier>,
    request: HeaderOps,
    response: HeaderOps,
}

impl Action {
    fn routes(&self, name: &str, matches: &RouteMatch) -> Vec<Route> {
        let mut routes = Vec::new();
        if self.broken != Fraction::ZERO {
            let fraction = Some(self.broken).filter(|share| *share != Fraction::ONE);
            let matches = RouteMatch { fraction, ..matches.clone() };
            routes.push(forward::direct(name.to_owned(), matches, 500, String::new()));
        }
        if self.broken == Fraction::ONE {
            return routes;
        }
        let mut action = self.kind.clone();
        match (&mut action, &self.path) {
            (RouteAction::Forward(forward), Some(path)) => {
                let prefix = path.replace_prefix_match.as_deref().map(|new| replacement(&matches.path, new));
                forward.rewrite = path.replace_full_path.clone().map(Rewrite::Path).or(prefix.map(Rewrite::Prefix));
            }
            (RouteAction::Redirect(Redirect { path: Some(RedirectPath::Prefix(new)), .. }), _) => {
                *new = replacement(&matches.path, new);
            }
            _ => {}
        }
        routes.push(Route {
            request_headers: self.request.clone(),
            response_headers: self.response.clone(),
            ..Route::new(name, matches.clone(), action)
        });
        routes
    }
}

/// What stands where the prefix stood. Nothing means `/`, and behind the prefix `/` the rest has no slash of its own.
fn replacement(matched: &PathMatch, new: &str) -> String {
    let bare = new.is_empty() || matches!(matched, PathMatch::Prefix { .. }) && !new.ends_with('/');
    if bare { format!("{new}/") } else { new.to_owned() }
}

struct Compiling<'a> {
    snapshot: &'a Snapshot,
    port: &'a ServicePort,
    key: &'a ResourceKey,
    at: String,
    problems: &'a mut Vec<Problem>,
}

impl Compiling<'_> {
    fn action(&mut self, rule: &HttpRouteRule) -> Action {
        let (clusters, broken) = self.backends(rule);
        let mut forward = Forward::to("");
        forward.clusters = clusters;
        forward.timeout = rule.timeouts.request.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero());
        forward.retry = Some(retry(rule));
        let mut action = Action {
            broken,
            kind: RouteAction::Forward(Box::new(forward)),
            path: None,
            request: HeaderOps::default(),
            response: HeaderOps::default(),
        };
        for (index, filter) in rule.filters.iter().enumerate() {
            self.filter(filter, index, &mut action);
        }
        action
    }

    fn filter(&mut self, filter: &Filter, index: usize, action: &mut Action) {
        modify(filter, &mut action.request, &mut action.response);
        if let Some(redirect) = &filter.request_redirect {
            let path = redirect.path.as_ref();
            action.broken = Fraction::ZERO;
            action.kind = RouteAction::Redirect(Redirect {
                scheme: redirect.scheme.clone(),
                host: redirect.hostname.clone(),
                port: redirect.port,
                path: path.and_then(|path| {
                    let prefix = path.replace_prefix_match.clone().map(RedirectPath::Prefix);
                    path.replace_full_path.clone().map(RedirectPath::Full).or(prefix)
                }),
                status: redirect.status_code.unwrap_or(302),
                strip_query: false,
            });
        }
        let RouteAction::Forward(forward) = &mut action.kind else { return };
        if let Some(rewrite) = &filter.url_rewrite {
            forward.host_rewrite = rewrite.hostname.clone().map(Into::into);
            action.path = rewrite.path.clone();
        }
        if let Some(mirror) = &filter.request_mirror {
            let share = mirror.fraction.as_ref().map(|fraction| {
                let whole = u64::from(fraction.denominator.unwrap_or(100).max(1));
                parts(u64::from(fraction.numerator), whole)
            });
            let share = share.or_else(|| mirror.percent.and_then(Fraction::from_percent)).unwrap_or(Fraction::ONE);
            let at = format!("{}.filters[{index}].requestMirror.backendRef", self.at);
            let cluster = self.backend(&mirror.backend_ref, &at);
            forward.mirrors.extend(cluster.map(|cluster| Mirror::new(cluster, share)));
        }
    }

    /// The usable backends, and the share of requests that the others should have got.
    fn backends(&mut self, rule: &HttpRouteRule) -> (Vec<WeightedCluster>, Fraction) {
        let (mut clusters, mut good, mut bad) = (Vec::new(), 0_u64, 0_u64);
        for (index, backend) in rule.backend_refs.iter().enumerate() {
            let weight = backend.weight.unwrap_or(1);
            let at = format!("{}.backendRefs[{index}]", self.at);
            let Some(name) = self.backend(backend, &at) else {
                bad += u64::from(weight);
                continue;
            };
            good += u64::from(weight);
            let mut cluster = WeightedCluster::new(name, weight);
            for filter in &backend.filters {
                modify(filter, &mut cluster.request_headers, &mut cluster.response_headers);
                if filter.request_header_modifier.is_none() && filter.response_header_modifier.is_none() {
                    let message = "not supported yet: a filter of one backend other than header modifiers";
                    self.problems.push(Problem::warning(
                        self.key,
                        format!("{at}.filters"),
                        "not_supported_yet",
                        message,
                    ));
                }
            }
            clusters.push(cluster);
        }
        let broken = if good == 0 { Fraction::ONE } else { parts(bad, good + bad) };
        (clusters, broken)
    }

    fn backend(&mut self, backend: &BackendRef, at: &str) -> Option<String> {
        let mut fail = |code, message: String| {
            let message = format!("{message}; its share of the requests gets 500");
            self.problems.push(Problem::error(self.key, at, code, message));
            None
        };
        let group = backend.group.as_deref().unwrap_or_default();
        let kind = backend.kind.as_deref().unwrap_or("Service");
        if !group.is_empty() || kind != "Service" {
            return fail("unknown_kind", format!("a backend of kind {kind} is not known"));
        }
        let namespace = backend.namespace.as_deref().unwrap_or(&self.key.namespace);
        if namespace != self.key.namespace {
            return fail("not_permitted", format!("a backend in namespace {namespace} needs a ReferenceGrant"));
        }
        let key = ServiceKey::new(namespace, &backend.name);
        let Some(service) = self.snapshot.services.get(&key) else {
            return fail("unknown_host", format!("there is no service {key}"));
        };
        let port = backend.port.unwrap_or(self.port.number);
        if service.port(port).is_none() {
            return fail("unknown_port", format!("service {key} has no port {port}"));
        }
        Some(service.cluster_name(port, None))
    }
}

fn parts(share: u64, whole: u64) -> Fraction {
    let parts = share.saturating_mul(1_000_000) / whole.max(1);
    u32::try_from(parts).ok().and_then(Fraction::from_parts_per_million).unwrap_or(Fraction::ONE)
}

fn modify(filter: &Filter, request: &mut HeaderOps, response: &mut HeaderOps) {
    filter.request_header_modifier.iter().for_each(|modifier| headers::gateway(modifier, request));
    filter.response_header_modifier.iter().for_each(|modifier| headers::gateway(modifier, response));
}

fn retry(rule: &HttpRouteRule) -> leno_ir::RetryPolicy {
    let mut policy = forward::default_retry();
    policy.per_try_timeout = rule.timeouts.backend_request.map(|timeout| timeout.0).filter(|t| !t.is_zero());
    if let Some(written) = &rule.retry {
        policy.attempts = written.attempts.unwrap_or(policy.attempts);
        if let Some(base) = written.backoff {
            policy.back_off_base = base.0;
            policy.back_off_max = base.0.saturating_mul(10);
        }
        if !written.codes.is_empty() {
            policy.on.push(RetryOn::RetriableStatusCodes);
            policy.retriable_status_codes = written.codes.clone();
            policy.retry_non_idempotent = true;
        }
    }
    policy
}

/// `None` when a pattern is not usable; those were reported when the object was read.
fn route_match(condition: &HttpRouteMatch) -> Option<RouteMatch> {
    let mut matches = RouteMatch::any();
    if let Some(path) = &condition.path {
        let text = path.value.clone().unwrap_or_else(|| "/".to_owned());
        matches.path = match path.r#type.unwrap_or(PathKind::PathPrefix) {
            PathKind::Exact => PathMatch::Exact { text, ignore_case: false },
            PathKind::RegularExpression => PathMatch::Regex(Pattern::new(&text).ok()?),
            PathKind::PathPrefix => match text.trim_end_matches('/') {
                "" => matches.path,
                prefix => PathMatch::PathSeparatedPrefix { text: prefix.to_owned(), ignore_case: false },
            },
        };
    }
    if let Some(method) = &condition.method {
        matches.headers.push(header(":method".to_owned(), StringMatch::exact(method)));
    }
    for entry in &condition.headers {
        matches.headers.push(header(entry.name.to_ascii_lowercase(), string_match(entry)?));
    }
    for entry in &condition.query_params {
        let kind = QueryMatchKind::Value(string_match(entry)?);
        matches.query.push(QueryMatch { name: entry.name.clone(), kind });
    }
    Some(matches)
}

fn header(name: String, value: StringMatch) -> HeaderMatch {
    HeaderMatch { name, kind: HeaderMatchKind::Value(value), invert: false, treat_missing_as_empty: false }
}

fn string_match(entry: &ValueMatch) -> Option<StringMatch> {
    match entry.r#type.unwrap_or(ValueMatchKind::Exact) {
        ValueMatchKind::Exact => Some(StringMatch::exact(&entry.value)),
        ValueMatchKind::RegularExpression => Pattern::new(&entry.value).ok().map(StringMatch::Regex),
    }
}
