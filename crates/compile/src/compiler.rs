use std::collections::BTreeMap;
use std::sync::Arc;

use leno_ir::{Cluster, Config, EndpointSet, Flavor, Node, RouteTable};
use leno_model::api::LoadBalancer;
use leno_model::{Problem, Service, Snapshot};
use leno_names::ServiceKey;

use crate::{cluster, endpoints, hash, inbound, listener, route_filters, routes};

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
        let same_names = before.as_ref().is_some_and(|before| names(before) == names(snapshot));
        self.services.retain(|key, _| snapshot.services.contains_key(key));
        let mut any_rules_changed = !same_names;
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
        for pieces in self.services.values() {
            config.endpoints.extend(pieces.endpoints.iter().map(|(name, set)| (name.clone(), set.clone())));
        }
        let remembered = Remembered { rules: self.rules, node: node.clone(), config: config.clone() };
        self.nodes.insert(node.id.clone(), remembered);
        config
    }

    /// All but the endpoints.
    fn rules_of(&self, snapshot: &Snapshot, node: &Node, last: Option<&Config>) -> Config {
        let mut config = Config::default();
        for pieces in self.services.values() {
            if let Some(clusters) = pieces.clusters.get(&node.flavor) {
                config.clusters.extend(clusters.iter().map(|(name, cluster)| (name.clone(), cluster.clone())));
            }
            let tables = if node.flavor == Flavor::Grpc { &pieces.grpc_routes } else { &pieces.routes };
            config.route_tables.extend(tables.iter().map(|(name, table)| (name.clone(), table.clone())));
        }
        let mut listeners = listener::outbound(snapshot, node);
        if let Some(address) = node.http_proxy {
            listeners.push(listener::http_proxy(node, address));
            let table = routes::proxy_table(snapshot, &node.namespace, |service, name| {
                self.services.get(&service.key)?.routes.get(name).map(AsRef::as_ref)
            });
            config.route_tables.insert(routes::PROXY_TABLE.to_owned(), Arc::new(table));
        }
        if node.flavor != Flavor::Grpc {
            let (bound, clusters) = inbound::compile(node);
            listeners.extend(bound);
            config.clusters.extend(clusters.into_iter().map(|cluster| (cluster.name.clone(), Arc::new(cluster))));
        }
        if node.flavor != Flavor::Grpc {
            listeners.iter_mut().for_each(|listener| route_filters::add(listener, &config.route_tables));
        }
        config.listeners = listeners.into_iter().map(|listener| (listener.name.clone(), Arc::new(listener))).collect();
        if let Some(last) = last {
            keep(&mut config.listeners, &last.listeners);
            keep(&mut config.route_tables, &last.route_tables);
            keep(&mut config.clusters, &last.clusters);
        }
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
    fn update(&mut self, snapshot: &Snapshot, service: &Service, rules_changed: bool) {
        replace(&mut self.endpoints, endpoints::compile(service).into_iter().map(|set| (set.name.clone(), set)));
        if !rules_changed {
            return;
        }
        self.problems.clear();
        let tables = routes::compile(snapshot, service, &mut self.problems);
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
