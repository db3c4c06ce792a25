//! What the clients of one scope get, kept from one snapshot to the next.
//!
//! Shape       1 scope -> n services -> their resources, together by type; listeners for each way to dress them
//! Invariants  resources that did not change keep their identity
//! Cost        of a new snapshot: what has changed of it, and the services whose routes lead there

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use leno_ir::{Cluster, EndpointSet, Flavor, Listener, NetworkFilter, Node, Resources, RouteTable};
use leno_model::api::OutboundMode;
use leno_model::{MeshSettings, Service, Snapshot};
use leno_names::ServiceKey;

use crate::pieces::{Pieces, Pool, Subject};
use crate::{endpoints, listener, mesh, rate_limit, route_filters, routes};

#[derive(Debug)]
pub(crate) struct ForScope {
    pub seen: Arc<Snapshot>,
    services: BTreeMap<ServiceKey, (Subject, Arc<Pieces>)>,
    clusters: BTreeMap<Flavor, Resources<Cluster>>,
    pub endpoints: Resources<EndpointSet>,
    routes: Resources<RouteTable>,
    grpc_routes: Resources<RouteTable>,
    /// Services whose endpoints are not the same to all clients.
    pub arranged: BTreeSet<ServiceKey>,
    /// With something wrong.
    wrong: BTreeSet<ServiceKey>,
    dressed: BTreeMap<Dress, Dressed>,
    /// Another one with every change, of whichever scope.
    pub revision: u64,
    /// The one before.
    pub last_revision: u64,
    /// The revision of the last change that was not of endpoints alone.
    pub rules: u64,
    /// The services that the last change was about; `None`: all.
    pub last_changed: Option<BTreeSet<ServiceKey>>,
    /// Somebody has asked since the last snapshot.
    pub is_used: bool,
}

/// What of a node its outbound listeners depend on.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Dress {
    flavor: Flavor,
    prefix: Option<[u8; 2]>,
    access_log: Option<String>,
    access_log_format: Option<String>,
    /// Where services are called by short names.
    namespace: Option<String>,
}

#[derive(Debug)]
struct Dressed {
    /// One of those who dress so.
    node: Node,
    listeners: Resources<Listener>,
    names: BTreeMap<ServiceKey, Vec<String>>,
    /// Services whose listeners ask the control plane.
    asking: BTreeSet<ServiceKey>,
    /// The forward proxy's, of the rules of that number.
    table: Option<(u64, Arc<RouteTable>)>,
    is_used: bool,
}

impl Dress {
    fn of(node: &Node) -> Self {
        let by_name = node.flavor == Flavor::Grpc || node.http_proxy.is_some();
        Self {
            flavor: node.flavor,
            prefix: node.outbound_prefix,
            access_log: node.access_log.clone(),
            access_log_format: node.access_log_format.clone(),
            namespace: by_name.then(|| node.namespace.clone()),
        }
    }
}

impl ForScope {
    /// Of a mesh without anything.
    pub(crate) fn new(settings: &MeshSettings) -> Self {
        Self {
            seen: Arc::new(Snapshot::empty(settings.clone())),
            services: BTreeMap::new(),
            clusters: BTreeMap::new(),
            endpoints: Resources::new(),
            routes: Resources::new(),
            grpc_routes: Resources::new(),
            arranged: BTreeSet::new(),
            wrong: BTreeSet::new(),
            dressed: BTreeMap::new(),
            revision: 0,
            last_revision: 0,
            rules: 0,
            last_changed: None,
            is_used: false,
        }
    }

    /// Takes over a new snapshot, as the scope sees it. `all`: nothing of before holds. `next`: the revision of what changes.
    pub(crate) fn update(
        &mut self,
        seen: &Arc<Snapshot>,
        flavors: &BTreeSet<Flavor>,
        pool: &mut Pool,
        all: bool,
        next: u64,
    ) {
        let before = std::mem::replace(&mut self.seen, seen.clone());
        let mut changed = BTreeSet::new();
        // Those that routes of others may depend on; and whether there are others now.
        let (mut other, mut others_come) = (BTreeSet::new(), false);
        for item in before.services.diff(&seen.services) {
            let (key, old, new) = match item {
                DiffItem::Add(key, new) => (key, None, Some(new)),
                DiffItem::Remove(key, old) => (key, Some(old), None),
                DiffItem::Update { old: (key, old), new: (_, new) } => (key, Some(old), Some(new)),
            };
            match old.zip(new) {
                Some((old, new)) if old.fqdn == new.fqdn => {
                    if !old.differs_only_in_workloads(new) {
                        other.insert(key.clone());
                    }
                }
                _ => others_come = true,
            }
            changed.insert(key.clone());
        }
        let mut rules: BTreeSet<_> = if all { seen.services.keys().cloned().collect() } else { BTreeSet::new() };
        if !all && (others_come || !other.is_empty()) {
            rules.extend(self.services.iter().filter_map(|(key, (subject, _))| {
                let sees_other = if others_come {
                    subject.looks_out() && !Subject::new(seen, &subject.service).looks_like(subject)
                } else {
                    subject.looks_at(&other)
                };
                sees_other.then(|| key.clone())
            }));
        }
        for key in &changed {
            let (old, new) = (before.services.get(key), seen.services.get(key));
            let only_endpoints = old.zip(new).is_some_and(|(old, new)| {
                old.has_endpoint_sets() && new.has_endpoint_sets() && old.differs_only_in_workloads(new)
            });
            if !only_endpoints {
                rules.insert(key.clone());
            }
        }
        changed.extend(rules.iter().cloned());
        // Those that are gone first: a host, and all that is called after it, may now be another service's.
        let (there, gone): (Vec<_>, Vec<_>) = changed.iter().partition(|key| seen.services.contains_key(*key));
        for key in gone.into_iter().chain(there) {
            self.service(key, flavors, pool, rules.contains(key), all);
        }
        self.dressed.retain(|_, dressed| std::mem::take(&mut dressed.is_used));
        self.dress_anew(&rules, all);
        let same_ingress = before.ingress == seen.ingress
            && before.outbound == seen.outbound
            && (Arc::ptr_eq(&before.envoy_filters, &seen.envoy_filters) || before.envoy_filters == seen.envoy_filters);
        if !changed.is_empty() || !same_ingress || all {
            self.last_revision = std::mem::replace(&mut self.revision, next);
            self.last_changed = (!all).then_some(changed);
        }
        if !rules.is_empty() || !same_ingress || all {
            self.rules = next;
        }
    }

    fn service(&mut self, key: &ServiceKey, flavors: &BTreeSet<Flavor>, pool: &mut Pool, rules: bool, all: bool) {
        let last = self.services.remove(key).map(|(_, pieces)| pieces);
        let new = self.seen.services.get(key).map(|service| {
            let subject = Subject::new(&self.seen, service);
            let found = pool.find(&subject).cloned();
            let pieces = found.unwrap_or_else(|| {
                let rules = rules || all;
                let pieces = Arc::new(Pieces::compile(&self.seen, service, flavors, last.as_deref(), rules));
                pool.add(&subject, &pieces);
                pieces
            });
            (subject, pieces)
        });
        let none = Pieces::default();
        let old = last.as_deref().unwrap_or(&none);
        let pieces = new.as_ref().map_or(&none, |(_, pieces)| pieces);
        replace(&mut self.endpoints, &old.endpoints, &pieces.endpoints, |set| &set.name);
        if rules || all || new.is_none() {
            replace(&mut self.routes, &old.routes, &pieces.routes, |table| &table.name);
            replace(&mut self.grpc_routes, &old.grpc_routes, &pieces.grpc_routes, |table| &table.name);
            for flavor in flavors {
                let of = |pieces: &'_ Pieces| pieces.clusters.get(flavor).cloned().unwrap_or_default();
                let clusters = self.clusters.entry(*flavor).or_default();
                replace(clusters, &of(old), &of(pieces), |cluster| &cluster.name);
            }
        }
        note(&mut self.wrong, key, !pieces.problems.is_empty());
        let locality = self.seen.mesh.locality_lb_setting.as_ref();
        let service = new.as_ref().map(|(subject, _)| &*subject.service);
        note(&mut self.arranged, key, service.is_some_and(|service| endpoints::is_arranged(service, locality)));
        drop(last);
        match new {
            Some(new) => drop(self.services.insert(key.clone(), new)),
            None => pool.sweep(key),
        }
    }

    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Pieces> {
        self.wrong.iter().filter_map(|key| self.services.get(key)).map(|(_, pieces)| &**pieces)
    }

    pub(crate) fn clusters(&self, flavor: Flavor) -> Resources<Cluster> {
        self.clusters.get(&flavor).cloned().unwrap_or_default()
    }

    pub(crate) fn routes(&self, flavor: Flavor) -> &Resources<RouteTable> {
        if flavor == Flavor::Grpc { &self.grpc_routes } else { &self.routes }
    }

    /// The listeners through which applications beside nodes of this kind reach services. The node's access log is the one
    /// that is written.
    pub(crate) fn outbound(&mut self, node: &Node) -> Resources<Listener> {
        self.dressed(node).listeners.clone()
    }

    /// Whether any of these listeners asks the control plane.
    pub(crate) fn outbound_asks(&mut self, node: &Node) -> bool {
        !self.dressed(node).asking.is_empty()
    }

    /// The table of the forward proxy.
    pub(crate) fn proxy_table(&mut self, node: &Node) -> Arc<RouteTable> {
        let rules = self.rules;
        if let Some((_, table)) = self.dressed(node).table.as_ref().filter(|(of, _)| *of == rules) {
            return table.clone();
        }
        let table_of = |_: &Service, name: &str| self.routes.get(name).map(AsRef::as_ref);
        let outbound = self.outbound_mode(node);
        let table = Arc::new(routes::proxy_table(&self.seen, &node.namespace, outbound, table_of));
        let dressed = self.dressed(node);
        let table = match dressed.table.take() {
            Some((_, old)) if old == table => old,
            _ => table,
        };
        dressed.table = Some((rules, table.clone()));
        table
    }

    /// What becomes of requests to strangers. Guests cannot look up what a request names.
    pub(crate) fn outbound_mode(&self, node: &Node) -> OutboundMode {
        if node.flavor == Flavor::Leno { self.seen.outbound } else { OutboundMode::RegistryOnly }
    }

    fn dressed(&mut self, node: &Node) -> &mut Dressed {
        let dressed = self.dressed.entry(Dress::of(node)).or_insert_with(|| {
            let mut new = Dressed::new(node.clone());
            self.seen.services.keys().for_each(|key| new.service(&self.seen, key, &self.routes));
            new
        });
        dressed.is_used = true;
        dressed
    }

    fn dress_anew(&mut self, rules: &BTreeSet<ServiceKey>, all: bool) {
        let gone: Vec<_> = match all {
            true => {
                let named = self.dressed.values().flat_map(|dressed| dressed.names.keys());
                named.filter(|key| !self.seen.services.contains_key(*key)).cloned().collect()
            }
            false => Vec::new(),
        };
        for dressed in self.dressed.values_mut() {
            let (there, left): (Vec<_>, Vec<_>) = rules.iter().partition(|key| self.seen.services.contains_key(*key));
            for key in gone.iter().chain(left).chain(there) {
                dressed.service(&self.seen, key, &self.routes);
            }
        }
    }
}

impl Dressed {
    fn new(node: Node) -> Self {
        Self {
            node,
            listeners: Resources::new(),
            names: BTreeMap::new(),
            asking: BTreeSet::new(),
            table: None,
            is_used: true,
        }
    }

    /// Listeners of one service, in the place of those it had.
    fn service(&mut self, seen: &Snapshot, key: &ServiceKey, tables: &Resources<RouteTable>) {
        let new = seen.services.get(key).map(|service| listener::outbound(seen, &self.node, service));
        let new: Vec<_> =
            new.into_iter().flatten().map(|listener| finished(listener, seen, &self.node, tables)).collect();
        let old = self.names.remove(key).unwrap_or_default();
        for name in old.iter().filter(|name| !new.iter().any(|listener| listener.name == **name)) {
            self.listeners.remove(name);
        }
        note(&mut self.asking, key, new.iter().any(rate_limit::asks));
        let names: Vec<_> = new.iter().map(|listener| listener.name.clone()).collect();
        for listener in new {
            if self.listeners.get(&listener.name).is_none_or(|old| **old != listener) {
                self.listeners.insert(listener.name.clone(), Arc::new(listener));
            }
        }
        if !names.is_empty() {
            self.names.insert(key.clone(), names);
        }
    }
}

/// With the filters that its routes speak of, and what the mesh wants of all.
pub(crate) fn finished(
    mut listener: Listener,
    seen: &Snapshot,
    node: &Node,
    tables: &Resources<RouteTable>,
) -> Listener {
    if node.flavor != Flavor::Grpc {
        route_filters::add(&mut listener, tables);
        mesh::normalize(&mut listener, &seen.mesh);
        for chain in listener.filter_chains.iter_mut().chain(&mut listener.default_filter_chain) {
            if let NetworkFilter::Http(manager) = &mut chain.filter {
                rate_limit::limit_routes(manager, tables, &seen.route_policies);
            }
        }
    }
    listener
}

fn note(keys: &mut BTreeSet<ServiceKey>, key: &ServiceKey, holds: bool) {
    match holds {
        true => drop(keys.insert(key.clone())),
        false => drop(keys.remove(key)),
    }
}

fn replace<T>(all: &mut Resources<T>, old: &[Arc<T>], new: &[Arc<T>], name: impl Fn(&T) -> &String) {
    for gone in old.iter().filter(|old| !new.iter().any(|new| name(new) == name(old))) {
        all.remove(name(gone));
    }
    for value in new {
        if !old.iter().any(|old| Arc::ptr_eq(old, value)) {
            all.insert(name(value).as_str(), value.clone());
        }
    }
}
