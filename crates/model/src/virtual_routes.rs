//! VirtualServices as clients see them: what they delegate is put in its place, and what other clients are meant by is gone.
//!
//! Source      Istio VirtualService: `delegate` (a route of the delegate is left out unless each of its conditions fits one of
//!             the route that delegates), `sourceLabels`, `sourceNamespace`

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_api::{HttpMatch, HttpRoute, ResourceKey, StringMatch, TcpRoute, TlsRoute, VirtualService};
use serde::{Serialize, Serializer};

use crate::client::Differences;
use crate::{Problem, Scope, Visibility};

/// The routes of one VirtualService.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualRoutes {
    pub key: ResourceKey,
    pub http: Vec<HttpRule>,
    /// With the place in `spec.tcp`.
    pub tcp: Vec<(usize, TcpRoute)>,
    /// With the place in `spec.tls`.
    pub tls: Vec<(usize, TlsRoute)>,
}

/// A route, and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRule {
    pub object: ResourceKey,
    /// In `spec.http` of the object.
    pub index: usize,
    pub route: HttpRoute,
}

impl Serialize for VirtualRoutes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.key.name)
    }
}

/// A VirtualService that others may delegate to.
pub(crate) type Delegates = BTreeMap<(String, String), (Arc<VirtualService>, Visibility)>;

impl VirtualRoutes {
    pub(crate) fn new(
        key: &ResourceKey,
        object: &VirtualService,
        delegates: &Delegates,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut http = Vec::new();
        for (index, route) in object.spec.http.iter().enumerate() {
            if route.delegate.is_none() {
                http.push(HttpRule { object: key.clone(), index, route: route.clone() });
                continue;
            }
            http.extend(delegated(key, index, route, delegates, problems));
        }
        let tcp = object.spec.tcp.iter().cloned().enumerate().collect();
        let tls = object.spec.tls.iter().cloned().enumerate().collect();
        Self { key: key.clone(), http, tcp, tls }
    }

    /// Notes what of a client decides which of the routes hold for it.
    pub(crate) fn tell_apart(&self, differences: &mut Differences) {
        let http = self.http.iter().flat_map(|rule| &rule.route.r#match);
        let http = http.map(|one| (&one.source_labels, &one.source_namespace));
        let tcp = self.tcp.iter().flat_map(|(_, route)| &route.r#match);
        let tcp = tcp.map(|one| (&one.source_labels, &one.source_namespace));
        let tls = self.tls.iter().flat_map(|(_, route)| &route.r#match);
        let tls = tls.map(|one| (&one.source_labels, &one.source_namespace));
        for (labels, namespace) in http.chain(tcp).chain(tls) {
            differences.select(labels);
            differences.namespaces.extend(namespace.clone());
        }
    }

    /// Without the conditions that clients of the scope do not fulfil, and without routes of which no condition is left.
    pub(crate) fn for_clients(&self, scope: &Scope) -> Self {
        let mut own = self.clone();
        own.http.retain_mut(|rule| {
            keep(&mut rule.route.r#match, |one| fits(scope, &one.source_labels, one.source_namespace.as_ref()))
        });
        own.tcp.retain_mut(|(_, route)| {
            keep(&mut route.r#match, |one| fits(scope, &one.source_labels, one.source_namespace.as_ref()))
        });
        own.tls.retain_mut(|(_, route)| {
            keep(&mut route.r#match, |one| fits(scope, &one.source_labels, one.source_namespace.as_ref()))
        });
        own
    }
}

fn fits(scope: &Scope, labels: &BTreeMap<String, String>, namespace: Option<&String>) -> bool {
    scope.has(labels) && namespace.is_none_or(|namespace| namespace.is_empty() || *namespace == scope.namespace)
}

/// Whether the route of these conditions still holds for anything.
fn keep<T>(conditions: &mut Vec<T>, fits: impl Fn(&T) -> bool) -> bool {
    let had_some = !conditions.is_empty();
    conditions.retain(fits);
    !(had_some && conditions.is_empty())
}

/// The delegate's routes in the place of `route`.
fn delegated(
    key: &ResourceKey,
    index: usize,
    route: &HttpRoute,
    delegates: &Delegates,
    problems: &mut Vec<Problem>,
) -> Vec<HttpRule> {
    let at = format!("spec.http[{index}].delegate");
    let wanted = route.delegate.clone().unwrap_or_default();
    let namespace = wanted.namespace.filter(|namespace| !namespace.is_empty());
    let place = (namespace.unwrap_or_else(|| key.namespace.clone()), wanted.name);
    let seen = delegates.get(&place).filter(|(_, visibility)| visibility.includes(&key.namespace));
    let Some((delegate, _)) = seen else {
        let message = format!("no VirtualService {}/{} without hosts is visible here", place.0, place.1);
        problems.push(Problem::error(key, at, "unknown_delegate", message));
        return Vec::new();
    };
    let object = ResourceKey { namespace: place.0, name: place.1, ..key.clone() };
    let mut rules = Vec::new();
    for (index, inner) in delegate.spec.http.iter().enumerate() {
        let at = format!("spec.http[{index}]");
        if inner.delegate.is_some() {
            let message = "a delegate delegates no further; the route has no effect";
            problems.push(Problem::error(&object, format!("{at}.delegate"), "nested_delegate", message));
            continue;
        }
        match merged(route, inner) {
            Some(route) => rules.push(HttpRule { object: object.clone(), index, route }),
            None => {
                let message = format!("contradicts the route of {key} that delegates here; the route has no effect");
                problems.push(Problem::error(&object, format!("{at}.match"), "delegate_conflict", message));
            }
        }
    }
    rules
}

/// The delegate's route within the root's: what it does not say the root does. `None` where their conditions exclude each other.
fn merged(root: &HttpRoute, inner: &HttpRoute) -> Option<HttpRoute> {
    let mut route = inner.clone();
    route.r#match = conditions(&root.r#match, &inner.r#match)?;
    route.name = joined(root.name.as_ref(), inner.name.as_ref());
    route.cors_policy = route.cors_policy.or_else(|| root.cors_policy.clone());
    route.direct_response = route.direct_response.or_else(|| root.direct_response.clone());
    route.fault = route.fault.or_else(|| root.fault.clone());
    route.mirror = route.mirror.or_else(|| root.mirror.clone());
    route.mirror_percent = route.mirror_percent.or(root.mirror_percent);
    route.mirror_percent_old = route.mirror_percent_old.or(root.mirror_percent_old);
    route.mirror_percentage = route.mirror_percentage.or_else(|| root.mirror_percentage.clone());
    route.retries = route.retries.or_else(|| root.retries.clone());
    route.rewrite = route.rewrite.or_else(|| root.rewrite.clone());
    route.timeout = route.timeout.or(root.timeout);
    if route.mirrors.is_empty() {
        route.mirrors.clone_from(&root.mirrors);
    }
    if route.headers == Default::default() {
        route.headers.clone_from(&root.headers);
    }
    Some(route)
}

fn joined(root: Option<&String>, inner: Option<&String>) -> Option<String> {
    match (root, inner) {
        (Some(root), Some(inner)) => Some(format!("{root}-{inner}")),
        (one, other) => one.or(other).cloned(),
    }
}

/// Each of the inner conditions together with each of the root's that it fits into; it must fit into one.
fn conditions(root: &[HttpMatch], inner: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    if root.is_empty() || inner.is_empty() {
        return Some(if root.is_empty() { inner.to_vec() } else { root.to_vec() });
    }
    let mut all = Vec::new();
    for inner in inner {
        let before = all.len();
        all.extend(root.iter().filter(|root| !contradict(root, inner)).map(|root| both(root, inner)));
        if all.len() == before {
            return None;
        }
    }
    Some(all)
}

fn both(root: &HttpMatch, inner: &HttpMatch) -> HttpMatch {
    let mut one = inner.clone();
    one.name = joined(root.name.as_ref(), inner.name.as_ref());
    one.uri = one.uri.or_else(|| root.uri.clone());
    one.scheme = one.scheme.or_else(|| root.scheme.clone());
    one.method = one.method.or_else(|| root.method.clone());
    one.authority = one.authority.or_else(|| root.authority.clone());
    one.port = one.port.or(root.port);
    one.source_namespace = one.source_namespace.or_else(|| root.source_namespace.clone());
    add(&mut one.headers, &root.headers);
    add(&mut one.without_headers, &root.without_headers);
    add(&mut one.query_params, &root.query_params);
    add(&mut one.source_labels, &root.source_labels);
    if one.gateways.is_empty() {
        one.gateways.clone_from(&root.gateways);
    }
    one
}

fn add<T: Clone>(to: &mut BTreeMap<String, T>, from: &BTreeMap<String, T>) {
    for (name, value) in from {
        to.entry(name.clone()).or_insert_with(|| value.clone());
    }
}

/// Whether no request can, or may, fulfil both.
fn contradict(root: &HttpMatch, inner: &HttpMatch) -> bool {
    let texts = [
        (&root.uri, &inner.uri),
        (&root.scheme, &inner.scheme),
        (&root.method, &inner.method),
        (&root.authority, &inner.authority),
    ];
    let maps = [
        (&root.headers, &inner.headers),
        (&root.without_headers, &inner.without_headers),
        (&root.query_params, &inner.query_params),
    ];
    let differ = |(name, value): (&String, &String)| root.source_labels.get(name).is_some_and(|other| other != value);
    texts.into_iter().any(|(root, inner)| outside(root.as_ref(), inner.as_ref()))
        || maps.into_iter().any(|(root, inner)| inner.iter().any(|(name, text)| outside(root.get(name), Some(text))))
        || root.ignore_uri_case.unwrap_or_default() != inner.ignore_uri_case.unwrap_or_default()
        || root.port.zip(inner.port).is_some_and(|(root, inner)| root != inner)
        || root.source_namespace.as_ref().zip(inner.source_namespace.as_ref()).is_some_and(|(a, b)| a != b)
        || inner.source_labels.iter().any(differ)
        || !root.gateways.is_empty() && inner.gateways.iter().any(|gateway| !root.gateways.contains(gateway))
}

/// Whether `inner` allows a text that `root` does not. Of patterns nobody can say.
fn outside(root: Option<&StringMatch>, inner: Option<&StringMatch>) -> bool {
    let (Some(root), Some(inner)) = (root, inner) else { return false };
    let is_any = |text: &StringMatch| text.exact.is_none() && text.prefix.is_none() && text.regex.is_none();
    if is_any(root) || is_any(inner) {
        return false;
    }
    match (&root.exact, &root.prefix, &inner.exact, &inner.prefix) {
        (Some(root), _, Some(inner), _) => root != inner,
        (_, Some(root), Some(inner), _) | (_, Some(root), _, Some(inner)) => !inner.starts_with(root.as_str()),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(exact: Option<&str>, prefix: Option<&str>, regex: Option<&str>) -> StringMatch {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        StringMatch { exact: owned(exact), prefix: owned(prefix), regex: owned(regex) }
    }

    #[test]
    fn a_condition_of_a_delegate_lies_within_the_roots() {
        let prefix = |text: &str| self::text(None, Some(text), None);
        let exact = |text: &str| self::text(Some(text), None, None);
        let regex = self::text(None, None, Some("a.*"));
        let cases = [
            (prefix("/a"), prefix("/a/b"), false),
            (prefix("/a"), exact("/ab"), false),
            (prefix("/a"), exact("/b"), true),
            (prefix("/a/b"), prefix("/a"), true),
            (exact("/a"), prefix("/a"), true),
            (exact("/a"), exact("/a"), false),
            (regex.clone(), exact("/a"), true),
            (prefix("/a"), regex, true),
        ];
        for (root, inner, is_outside) in cases {
            assert_eq!(outside(Some(&root), Some(&inner)), is_outside, "{root:?} {inner:?}");
        }
        assert!(!outside(None, Some(&prefix("/a"))));
    }

    #[test]
    fn conditions_multiply_where_they_fit() {
        let uri = |prefix: &str| HttpMatch { uri: Some(text(None, Some(prefix), None)), ..HttpMatch::default() };
        let root = [uri("/a"), uri("/b")];
        let found = conditions(&root, &[HttpMatch { port: Some(80), ..HttpMatch::default() }]).expect("they fit");
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|one| one.port == Some(80) && one.uri.is_some()));
        assert_eq!(conditions(&root, &[uri("/a/1")]), Some(vec![uri("/a/1")]));
        assert_eq!(conditions(&root, &[uri("/a/1"), uri("/c")]), None);
    }
}
