//! References of Gateway API's routes, read leniently.

use serde_json::Value;

use crate::Object;
use crate::json::{list, number, text};
use crate::kinds::{self, Kind};
use crate::objects::Objects;

/// Kinds of route, and the protocols of the listeners that take them.
pub(crate) const ROUTES: [(Kind, &[&str]); 5] = [
    (kinds::HTTP_ROUTE, &["HTTP", "HTTPS"]),
    (kinds::GRPC_ROUTE, &["HTTP", "HTTPS"]),
    (kinds::TLS_ROUTE, &["TLS"]),
    (kinds::TCP_ROUTE, &["TCP", "TLS"]),
    (kinds::UDP_ROUTE, &["UDP"]),
];

/// A reference to an object, with what is left out filled in.
pub(crate) struct Reference<'a> {
    pub(crate) field: String,
    pub(crate) group: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) port: Option<i64>,
    pub(crate) section: &'a str,
}

impl<'a> Reference<'a> {
    pub(crate) fn read(json: &'a Value, field: String, default: (&'a str, &'a str), from: &'a Object) -> Self {
        let or = |key: &str, default: &'a str| if json.get(key).is_none() { default } else { text(json, key) };
        let namespace = match text(json, "namespace") {
            "" => from.namespace.as_str(),
            named => named,
        };
        Self {
            field,
            group: or("group", default.0),
            kind: or("kind", default.1),
            namespace,
            name: text(json, "name"),
            port: number(json, "port"),
            section: text(json, "sectionName"),
        }
    }

    pub(crate) fn is(&self, kind: Kind) -> bool {
        (self.group, self.kind) == kind
    }

    /// The object that is meant; kinds are static, so an unknown one finds nothing.
    pub(crate) fn find<'b>(&self, objects: &'b Objects, kind: Kind) -> Option<&'b Object> {
        self.is(kind).then(|| objects.find(kind, self.namespace, self.name)).flatten()
    }
}

/// What a route hangs on.
pub(crate) fn parents(route: &Object) -> impl Iterator<Item = Reference<'_>> {
    list(&route.json, "spec.parentRefs")
        .iter()
        .enumerate()
        .map(move |(index, parent)| Reference::read(parent, format!("spec.parentRefs[{index}]"), kinds::GATEWAY, route))
}

/// Where a route sends requests, mirrors included.
pub(crate) fn backends(route: &Object) -> Vec<Reference<'_>> {
    let mut all = Vec::new();
    for (index, rule) in list(&route.json, "spec.rules").iter().enumerate() {
        let at = format!("spec.rules[{index}]");
        mirrors(route, rule, &at, &mut all);
        for (place, backend) in list(rule, "backendRefs").iter().enumerate() {
            let field = format!("{at}.backendRefs[{place}]");
            mirrors(route, backend, &field, &mut all);
            all.push(Reference::read(backend, field, kinds::SERVICE, route));
        }
    }
    all
}

fn mirrors<'a>(route: &'a Object, of: &'a Value, at: &str, all: &mut Vec<Reference<'a>>) {
    for (index, filter) in list(of, "filters").iter().enumerate() {
        if let Some(backend) = filter.get("requestMirror").and_then(|mirror| mirror.get("backendRef")) {
            let field = format!("{at}.filters[{index}].requestMirror.backendRef");
            all.push(Reference::read(backend, field, kinds::SERVICE, route));
        }
    }
}

/// Whether a ReferenceGrant lets `from` name objects of another namespace.
pub(crate) fn is_granted(from: &Object, to: &Reference<'_>, objects: &Objects) -> bool {
    let mut grants = objects.of(kinds::REFERENCE_GRANT).filter(|grant| grant.namespace == to.namespace);
    from.namespace == to.namespace
        || grants.any(|grant| {
            let by = list(&grant.json, "spec.from").iter().any(|by| {
                (text(by, "group"), text(by, "kind"), text(by, "namespace"))
                    == (from.group.as_str(), from.kind.as_str(), from.namespace.as_str())
            });
            let onto = list(&grant.json, "spec.to").iter().any(|onto| {
                (text(onto, "group"), text(onto, "kind")) == (to.group, to.kind)
                    && ["", to.name].contains(&text(onto, "name"))
            });
            by && onto
        })
}
