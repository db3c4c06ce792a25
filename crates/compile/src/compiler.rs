use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_ir::{Cluster, Config, Discovery, EndpointSet, Flavor, GatewayRole, Node, RouteTable};
use leno_model::api::{Kind, LoadBalancer, ResourceKey};
use leno_model::{Problem, Rules, Service, Snapshot};
use leno_names::ServiceKey;

use crate::{cluster, endpoints, gateway, hash, inbound, listener, route_filters, routes};

/// The configuration of one node, and what is wrong with the objects behind it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    pub config: Config,
    /// Of the whole mesh, sorted; the same for each node.
    pub problems: Vec<Problem>,
}

/// Compiles one node once.
pub fn compile(snapshot: &Snapshot, node: &Node) -> Compiled {
    let mut compiler = Compiler::new();
    compiler.update(&Arc::new(snapshot.clone()));
    Compiled { config: compiler.node(node), problems: compiler.problems() }
}

/// Compiles many nodes again and again: the parts of a service are compiled when the service changes and shared by all.
#[derive(Debug, Default)]
pub struct Compiler {
    snapshot: Option<Arc<Snapshot>>,
    services: BTreeMap<ServiceKey, Pieces>,
    /// Changes with everything but endpoints.
    rules: u64,
    /// The last configuration of each node, so that unchanged listeners keep their identity.
    nodes: BTreeMap<String, Remembered>,
}

#[derive(Debug)]
struct Remembered {
    rules: u64,
    node: Node,
    config: Config,
}

/// What a service contributes to every node.
#[derive(Debug, Default)]
struct Pieces {
    clusters: BTreeMap<Flavor, BTreeMap<String, Arc<Cluster>>>,
    endpoints: BTreeMap<String, Arc<EndpointSet>>,
    routes: BTreeMap<String, Arc<RouteTable>>,
    /// By namespaces of clients that have routes of their own.
    consumers: BTreeMap<String, BTreeMap<String, Arc<RouteTable>>>,
    grpc_routes: BTreeMap<String, Arc<RouteTable>>,
    problems: Vec<Problem>,
}

const FLAVORS: [Flavor; 3] = [Flavor::Envoy, Flavor::Grpc, Flavor::Leno];

impl Compiler {
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `snapshot` what nodes are compiled from.
    pub fn update(&mut self, snapshot: &Arc<Snapshot>) {
        let before = self.snapshot.replace(snapshot.clone());
        // Routes of one service name others: with another set of names or ports, each may read differently.
        let same_names =
            before.as_ref().is_some_and(|before| names(before) == names(snapshot) && before.grants == snapshot.grants);
        self.services.retain(|key, _| snapshot.services.contains_key(key));
        let same_entries = before
            .as_ref()
            .is_some_and(|before| before.gateways == snapshot.gateways && before.backend_tls == snapshot.backend_tls);
        let mut any_rules_changed = !same_names || !same_entries;
        for (key, service) in &snapshot.services {
            let last = before.as_ref().and_then(|before| before.services.get(key));
            if same_names && last == Some(service) {
                continue;
            }
            let rules_changed =
                !same_names || last.is_none_or(|last| without_workloads(last) != without_workloads(service));
            any_rules_changed |= rules_changed;
            self.services.entry(key.clone()).or_default().update(snapshot, service, rules_changed);
        }
        self.rules += u64::from(any_rules_changed);
    }

    /// The configuration of `node` under the last snapshot. Resources are shared with the node's last configuration; when
    /// only endpoints have changed since, only those are looked at.
    pub fn node(&mut self, node: &Node) -> Config {
        let Some(snapshot) = &self.snapshot else { return Config::default() };
        let last = self.nodes.get(&node.id);
        let mut config = match last.filter(|last| last.rules == self.rules && last.node == *node) {
            Some(last) => Config { endpoints: BTreeMap::new(), ..last.config.clone() },
            None => self.rules_of(snapshot, node, last.map(|last| &last.config)),
        };
        if node.gateway.is_some() {
            let wanted: BTreeSet<_> = config.clusters.values().filter_map(|cluster| eds_name(cluster)).collect();
            let sets = self.services.values().flat_map(|pieces| &pieces.endpoints);
            let sets = sets.filter(|(name, _)| wanted.contains(name.as_str()));
            config.endpoints = sets.map(|(name, set)| (name.clone(), set.clone())).collect();
        } else {
            for pieces in self.services.values() {
                config.endpoints.extend(pieces.endpoints.iter().map(|(name, set)| (name.clone(), set.clone())));
            }
        }
        let remembered = Remembered { rules: self.rules, node: node.clone(), config: config.clone() };
        self.nodes.insert(node.id.clone(), remembered);
        config
    }

    /// All but the endpoints.
    fn rules_of(&self, snapshot: &Snapshot, node: &Node, last: Option<&Config>) -> Config {
        let mut config = match &node.gateway {
            Some(entry) => self.entry_of(snapshot, node, entry),
            None => self.sidecar_of(snapshot, node),
        };
        if node.flavor != Flavor::Grpc {
            let tables = &config.route_tables;
            for listener in config.listeners.values_mut() {
                route_filters::add(Arc::make_mut(listener), tables);
            }
        }
        if let Some(last) = last {
            keep(&mut config.listeners, &last.listeners);
            keep(&mut config.route_tables, &last.route_tables);
            keep(&mut config.clusters, &last.clusters);
        }
        config
    }

    /// What a gateway runs: nothing until there is the object it is for.
    fn entry_of(&self, snapshot: &Snapshot, node: &Node, entry: &GatewayRole) -> Config {
        let mut config = Config::default();
        let key = ResourceKey::new(Kind::Gateway, &entry.namespace, &entry.name);
        let Some(gateway) = snapshot.gateways.get(&key) else { return config };
        let compiled = gateway::compile(snapshot, gateway, node, entry.bind);
        for (service, port) in &compiled.used {
            let name = snapshot.services.get(service).map(|service| service.cluster_name(*port, None));
            let clusters = self.services.get(service).and_then(|pieces| pieces.clusters.get(&node.flavor));
            let Some(plain) = name.zip(clusters).and_then(|(name, clusters)| clusters.get(&name)) else { continue };
            let tls = snapshot.backend_tls.get(&(service.clone(), *port));
            let cluster = match tls.and_then(|tls| gateway::tls_cluster(plain, gateway, tls)) {
                Some(cluster) => Arc::new(cluster),
                None => plain.clone(),
            };
            config.clusters.insert(cluster.name.clone(), cluster);
        }
        let listeners = compiled.listeners.into_iter();
        config.listeners = listeners.map(|listener| (listener.name.clone(), Arc::new(listener))).collect();
        let tables = compiled.tables.into_iter();
        config.route_tables = tables.map(|table| (table.name.clone(), Arc::new(table))).collect();
        config
    }

    /// What a sidecar runs.
    fn sidecar_of(&self, snapshot: &Snapshot, node: &Node) -> Config {
        let mut config = Config::default();
        for pieces in self.services.values() {
            if let Some(clusters) = pieces.clusters.get(&node.flavor) {
                config.clusters.extend(clusters.iter().map(|(name, cluster)| (name.clone(), cluster.clone())));
            }
            let tables = pieces.tables(node);
            config.route_tables.extend(tables.iter().map(|(name, table)| (name.clone(), table.clone())));
        }
        let mut listeners = listener::outbound(snapshot, node);
        if let Some(address) = node.http_proxy {
            listeners.push(listener::http_proxy(node, address));
            let table = routes::proxy_table(snapshot, &node.namespace, |service, name| {
                self.services.get(&service.key)?.tables(node).get(name).map(AsRef::as_ref)
            });
            config.route_tables.insert(routes::PROXY_TABLE.to_owned(), Arc::new(table));
        }
        if node.flavor != Flavor::Grpc {
            let (bound, clusters) = inbound::compile(node);
            listeners.extend(bound);
            config.clusters.extend(clusters.into_iter().map(|cluster| (cluster.name.clone(), Arc::new(cluster))));
        }
        config.listeners = listeners.into_iter().map(|listener| (listener.name.clone(), Arc::new(listener))).collect();
        config
    }

    /// Drops what is remembered of a node that left.
    pub fn forget(&mut self, node_id: &str) {
        self.nodes.remove(node_id);
    }

    /// Of the last snapshot, sorted.
    pub fn problems(&self) -> Vec<Problem> {
        let mut all: Vec<_> = self.services.values().flat_map(|pieces| pieces.problems.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl Pieces {
    /// The route tables that a node gets.
    fn tables(&self, node: &Node) -> &BTreeMap<String, Arc<RouteTable>> {
        if node.flavor == Flavor::Grpc {
            return &self.grpc_routes;
        }
        self.consumers.get(&node.namespace).unwrap_or(&self.routes)
    }

    fn update(&mut self, snapshot: &Snapshot, service: &Service, rules_changed: bool) {
        replace(&mut self.endpoints, endpoints::compile(service).into_iter().map(|set| (set.name.clone(), set)));
        if !rules_changed {
            return;
        }
        self.problems.clear();
        let namespaces = consumers(service);
        self.consumers.retain(|namespace, _| namespaces.contains(namespace.as_str()));
        for namespace in namespaces {
            let tables = routes::compile(snapshot, service, Some(namespace), &mut self.problems);
            let slot = self.consumers.entry(namespace.to_owned()).or_default();
            replace(slot, tables.into_iter().map(|table| (table.name.clone(), table)));
        }
        let tables = routes::compile(snapshot, service, None, &mut self.problems);
        let grpc = tables.iter().map(|table| (table.name.clone(), routes::for_grpc(table))).collect::<Vec<_>>();
        replace(&mut self.grpc_routes, grpc);
        replace(&mut self.routes, tables.into_iter().map(|table| (table.name.clone(), table)));
        for flavor in FLAVORS {
            let clusters = cluster::compile(snapshot, service, flavor, &mut self.problems);
            let slot = self.clusters.entry(flavor).or_default();
            replace(slot, clusters.into_iter().map(|cluster| (cluster.name.clone(), cluster)));
        }
    }
}

/// Namespaces of clients that have routes of their own to a service.
fn consumers(service: &Service) -> BTreeSet<&str> {
    match &service.rules {
        Rules::Routes(routes) => routes.iter().filter_map(|route| route.consumer.as_deref()).collect(),
        Rules::Default | Rules::VirtualService(_) => BTreeSet::new(),
    }
}

fn eds_name(cluster: &Cluster) -> Option<&str> {
    match &cluster.discovery {
        Discovery::Eds { service_name } => Some(service_name),
        _ => None,
    }
}

/// All that the routes of another service may depend on.
#[derive(PartialEq)]
struct Names<'a> {
    key: &'a ServiceKey,
    ports: Vec<u16>,
    subsets: Vec<&'a str>,
    hashing: Vec<&'a LoadBalancer>,
}

fn names(snapshot: &Snapshot) -> Vec<Names<'_>> {
    snapshot
        .services
        .iter()
        .map(|(key, service)| Names {
            key,
            ports: service.ports.iter().map(|port| port.number).collect(),
            subsets: service.subsets().iter().map(|subset| subset.name.as_str()).collect(),
            hashing: hash::settings(service),
        })
        .collect()
}

/// Everything but the endpoints.
fn without_workloads(service: &Service) -> Service {
    Service { workloads: Vec::new(), ..service.clone() }
}

/// Takes over the new values; those equal to the old keep the old identity.
fn replace<T: PartialEq>(slot: &mut BTreeMap<String, Arc<T>>, new: impl IntoIterator<Item = (String, T)>) {
    let mut new: BTreeMap<_, _> = new.into_iter().map(|(name, value)| (name, Arc::new(value))).collect();
    keep(&mut new, slot);
    *slot = new;
}

fn keep<T: PartialEq>(new: &mut BTreeMap<String, Arc<T>>, old: &BTreeMap<String, Arc<T>>) {
    for (name, value) in new {
        if let Some(old) = old.get(name).filter(|old| Arc::ptr_eq(old, value) || *old == value) {
            *value = old.clone();
        }
    }
}
