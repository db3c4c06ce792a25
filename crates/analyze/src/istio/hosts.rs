//! Which hosts there are, and from where they can be seen.

use std::collections::BTreeMap;

use leno_model::covers;
use serde_json::Value;

use crate::Object;
use crate::json::{Labels, labels, list, number, texts};
use crate::kinds::{SERVICE, SERVICE_ENTRY};
use crate::objects::Objects;

/// Stands for every namespace in `exportTo`.
pub(crate) const ALL: &str = "*";

/// What stands behind a host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub(crate) ports: Vec<i64>,
    /// Of a ServiceEntry that selects workloads.
    pub(crate) selector: Labels,
}

/// By scope (a namespace, or all) and whole name.
#[derive(Debug, Default)]
pub(crate) struct Hosts(BTreeMap<(String, String), Host>);

impl Hosts {
    pub(crate) fn of(objects: &Objects) -> Self {
        let mut hosts = Self::default();
        for entry in objects.of(SERVICE_ENTRY) {
            let host = Host {
                ports: list(&entry.json, "spec.ports").iter().filter_map(|port| number(port, "number")).collect(),
                selector: labels(&entry.json, "spec.workloadSelector.labels"),
            };
            for name in texts(&entry.json, "spec.hosts") {
                for scope in scopes(&texts(&entry.json, "spec.exportTo"), &entry.namespace) {
                    hosts.0.insert((scope, whole(&entry.namespace, name)), host.clone());
                }
            }
        }
        for service in objects.of(SERVICE) {
            let ports = list(&service.json, "spec.ports").iter().filter_map(|port| number(port, "port")).collect();
            let host = Host { ports, selector: Labels::new() };
            let exported = service.annotation("networking.istio.io/exportTo").filter(|to| !to.is_empty());
            let exported: Vec<_> = exported.map(|to| to.split(',').map(str::trim).collect()).unwrap_or_default();
            for scope in scopes(&exported, &service.namespace) {
                hosts.0.insert((scope, whole(&service.namespace, &service.name)), host.clone());
            }
        }
        hosts
    }

    /// What `host` means in `namespace`, to somebody whose own object goes to `exported`.
    pub(crate) fn find(&self, host: &str, namespace: &str, exported: &[&str]) -> Option<&Host> {
        let name = whole(namespace, host);
        let own = if exported.is_empty() { vec!["."] } else { exported.to_vec() };
        let own = own.into_iter().map(|scope| if scope == "." { namespace } else { scope });
        let mut exact = std::iter::once(ALL).chain(own).map(|scope| (scope.to_owned(), name.clone()));
        exact.find_map(|key| self.0.get(&key)).or_else(|| self.wildcard(host, namespace))
    }

    fn wildcard(&self, host: &str, namespace: &str) -> Option<&Host> {
        let tail = host.strip_prefix('*').unwrap_or(host);
        let fits = |((scope, name), _): &(&(String, String), &Host)| {
            name.strip_prefix('*').is_some_and(|suffix| tail.ends_with(suffix)) && (scope == ALL || scope == namespace)
        };
        self.0.iter().find(fits).map(|(_, host)| host)
    }
}

/// Namespaces of `exportTo`; `*` alone when it is for all.
pub(crate) fn scopes(exported: &[&str], namespace: &str) -> Vec<String> {
    if exported.is_empty() || exported.contains(&ALL) {
        return vec![ALL.to_owned()];
    }
    let mut scopes: Vec<_> =
        exported.iter().map(|scope| if *scope == "." { namespace } else { scope }).map(str::to_owned).collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

/// A short name is one of the namespace.
pub(crate) fn whole(namespace: &str, host: &str) -> String {
    if host.starts_with('*') || host.contains('.') {
        host.to_owned()
    } else {
        format!("{host}.{namespace}.svc.cluster.local")
    }
}

/// Whether two hosts, either of which may begin with `*`, have a name in common.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    covers(a, b) || covers(b, a)
}

/// A destination of a VirtualService, and where it stands.
pub(crate) struct Target<'a> {
    pub(crate) field: String,
    pub(crate) destination: &'a Value,
    pub(crate) is_mirror: bool,
}

/// Every destination of a VirtualService.
pub(crate) fn targets(route: &Object) -> Vec<Target<'_>> {
    let mut all = Vec::new();
    for protocol in ["tcp", "tls", "http"] {
        for (index, rule) in list(&route.json, &format!("spec.{protocol}")).iter().enumerate() {
            let at = format!("spec.{protocol}[{index}]");
            for (list_name, is_mirror) in [("route", false), ("mirrors", true)] {
                for (place, item) in list(rule, list_name).iter().enumerate() {
                    let field = format!("{at}.{list_name}[{place}].destination");
                    all.push(Target { field, destination: crate::json::at(item, "destination"), is_mirror });
                }
            }
            if let Some(destination) = rule.get("mirror") {
                all.push(Target { field: format!("{at}.mirror"), destination, is_mirror: true });
            }
        }
    }
    all
}
