use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_ir::{Cluster, Config, Discovery, Flavor, GatewayRole, NetworkFilter, Node};
use leno_model::api::{Kind, OutboundMode, ResourceKey};
use leno_model::{Client, Problem, Scope, Snapshot};

use crate::pieces::{ForScope, Pool, keep};
use crate::{cluster, endpoints, gateway, hash, inbound, listener, mesh, rate_limit, route_filters, routes};

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

/// Compiles many nodes again and again: the parts of a service are compiled when the service changes and shared by all who
/// see it alike.
#[derive(Debug, Default)]
pub struct Compiler {
    snapshot: Option<Arc<Snapshot>>,
    scopes: BTreeMap<Scope, ForScope>,
    /// Changes with gateways and what belongs to them.
    entries: u64,
    /// Changes with who may call whom.
    access: u64,
    /// What was compiled since the last update.
    pool: Pool,
    /// The last configuration of each node, so that unchanged listeners keep their identity.
    nodes: BTreeMap<String, Remembered>,
    finish: Option<Finisher>,
    /// Of the snapshot, and of no service.
    problems: Vec<Problem>,
}

#[derive(Debug)]
struct Remembered {
    scope: Scope,
    rules: u64,
    /// Of gateways, or of access.
    extra: u64,
    node: Node,
    config: Config,
    /// Of a gateway alone: what it cannot have.
    problems: Vec<Problem>,
}

/// Changes what a node runs, in words that only Envoy's API has, and says what cannot be done.
pub type Finisher = fn(&Snapshot, &Node, &mut Config) -> Vec<Problem>;

impl Compiler {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn finished_by(finish: Finisher) -> Self {
        Self { finish: Some(finish), ..Self::default() }
    }

    /// Makes `snapshot` what nodes are compiled from.
    pub fn update(&mut self, snapshot: &Arc<Snapshot>) {
        let before = self.snapshot.replace(snapshot.clone());
        let same_access = before.as_ref().is_some_and(|before| before.access == snapshot.access);
        self.access += u64::from(!same_access);
        let same_entries = before.is_some_and(|before| {
            before.gateways == snapshot.gateways
                && before.istio_gateways == snapshot.istio_gateways
                && before.backend_tls == snapshot.backend_tls
                && before.grants == snapshot.grants
                && before.route_policies == snapshot.route_policies
        });
        self.entries += u64::from(!same_entries);
        self.problems.clear();
        gateway::istio::check(snapshot, &mut self.problems);
        for last in self.nodes.values_mut().filter(|_| !same_entries) {
            if let Some(role) = &last.node.gateway {
                last.problems = gateway::istio::problems(snapshot, &last.node, role);
            }
        }
        self.pool = Pool::default();
        let mut wanted: BTreeSet<_> = snapshot.scopes().into_iter().collect();
        wanted.extend(self.nodes.values().map(|last| scope_of(snapshot, &last.node)));
        self.scopes.retain(|scope, _| wanted.contains(scope));
        for scope in wanted {
            let seen = Arc::new(snapshot.seen_by(&scope));
            self.scopes.entry(scope).or_default().update(&seen, &mut self.pool);
        }
    }

    /// The configuration of `node` under the last snapshot. Resources are shared with the node's last configuration; when
    /// only endpoints have changed since, only those are looked at.
    pub fn node(&mut self, node: &Node) -> Config {
        let Some(snapshot) = &self.snapshot else { return Config::default() };
        let scope = scope_of(snapshot, node);
        if !self.scopes.contains_key(&scope) {
            let seen = Arc::new(snapshot.seen_by(&scope));
            self.scopes.entry(scope.clone()).or_default().update(&seen, &mut self.pool);
        }
        let Some(own) = self.scopes.get(&scope) else { return Config::default() };
        let last = self.nodes.get(&node.id);
        // Only gateways care about gateways, and only sidecars about access.
        let extra = if node.gateway.is_some() { self.entries } else { self.access };
        let same = |last: &&Remembered| {
            last.scope == scope && last.rules == own.rules && last.extra == extra && last.node == *node
        };
        let (mut config, problems) = match last.filter(same) {
            Some(last) => (Config { endpoints: BTreeMap::new(), ..last.config.clone() }, last.problems.clone()),
            None => rules_of(own, node, self.finish, last.map(|last| &last.config)),
        };
        let sets = own.services.values().flat_map(|pieces| &pieces.endpoints);
        let used: Option<BTreeSet<_>> =
            node.gateway.as_ref().map(|_| config.clusters.values().filter_map(|cluster| eds_name(cluster)).collect());
        let is_used = |name: &str| used.as_ref().is_none_or(|used| used.contains(name));
        let mut sets: BTreeMap<_, _> = sets.map(|(name, set)| (name.clone(), set.clone())).collect();
        let mesh = snapshot.mesh.locality_lb_setting.as_ref();
        let services = own.seen.iter().flat_map(|seen| seen.services.values());
        let arranged = services.flat_map(|service| endpoints::arranged_for(service, node, mesh));
        let mut arranged = arranged.map(|(name, set)| (name, Arc::new(set))).collect();
        if let Some(last) = last {
            keep(&mut arranged, &last.config.endpoints);
        }
        sets.extend(arranged);
        sets.retain(|name, _| is_used(name));
        config.endpoints = sets;
        let remembered =
            Remembered { scope, rules: own.rules, extra, node: node.clone(), config: config.clone(), problems };
        self.nodes.insert(node.id.clone(), remembered);
        config
    }

    /// Drops what is remembered of a node that left.
    pub fn forget(&mut self, node_id: &str) {
        self.nodes.remove(node_id);
    }

    /// Of the last snapshot, sorted.
    pub fn problems(&self) -> Vec<Problem> {
        let pieces = self.scopes.values().flat_map(|scope| scope.services.values());
        let of_nodes = self.nodes.values().flat_map(|node| &node.problems).chain(&self.problems);
        let mut all: Vec<_> = pieces.flat_map(|pieces| &pieces.problems).chain(of_nodes).cloned().collect();
        all.sort();
        all.dedup();
        all
    }
}

fn scope_of(snapshot: &Snapshot, node: &Node) -> Scope {
    snapshot.scope_of(Client { namespace: &node.namespace, labels: &node.labels })
}

fn eds_name(cluster: &Cluster) -> Option<&str> {
    match &cluster.discovery {
        Discovery::Eds { service_name } => Some(service_name),
        _ => None,
    }
}

/// All but the endpoints.
fn rules_of(own: &ForScope, node: &Node, finish: Option<Finisher>, last: Option<&Config>) -> (Config, Vec<Problem>) {
    let mut problems = Vec::new();
    let Some(snapshot) = own.seen.as_deref() else { return (Config::default(), problems) };
    let node = &mesh::with_access_log(node, &snapshot.mesh);
    let mut config = match &node.gateway {
        Some(role) => entry_of(own, snapshot, node, role, &mut problems),
        None => sidecar_of(own, snapshot, node),
    };
    if node.flavor != Flavor::Grpc {
        let tables = &config.route_tables;
        for listener in config.listeners.values_mut() {
            let listener = Arc::make_mut(listener);
            route_filters::add(listener, tables);
            mesh::normalize(listener, &snapshot.mesh);
            for chain in listener.filter_chains.iter_mut().chain(&mut listener.default_filter_chain) {
                if let NetworkFilter::Http(manager) = &mut chain.filter {
                    rate_limit::limit_routes(manager, tables, &snapshot.route_policies);
                }
            }
        }
    }
    if let Some(cluster) = rate_limit::cluster(&config, node, &snapshot.settings) {
        config.clusters.insert(cluster.name.clone(), Arc::new(cluster));
    }
    if let Some(finish) = finish {
        problems.extend(finish(snapshot, node, &mut config));
    }
    if let Some(last) = last {
        keep(&mut config.listeners, &last.listeners);
        keep(&mut config.route_tables, &last.route_tables);
        keep(&mut config.clusters, &last.clusters);
    }
    (config, problems)
}

/// What a gateway runs: nothing until there is an object that means it.
fn entry_of(
    own: &ForScope,
    snapshot: &Snapshot,
    node: &Node,
    role: &GatewayRole,
    problems: &mut Vec<Problem>,
) -> Config {
    let mut config = Config::default();
    let key = ResourceKey::new(Kind::Gateway, &role.namespace, &role.name);
    let gateway = snapshot.gateways.get(&key).map(AsRef::as_ref);
    let mut compiled = gateway::compile(snapshot, gateway, node, role);
    problems.append(&mut compiled.problems);
    let site = hash::Site { snapshot, own: None, namespace: &node.namespace };
    for name in &compiled.clusters {
        let plain = name.strip_prefix(gateway::istio::PASSED_ON).unwrap_or(name);
        let Some((service, ..)) = site.target(plain) else { continue };
        let clusters = own.services.get(&service.key).and_then(|pieces| pieces.clusters.get(&node.flavor));
        let Some(cluster) = clusters.and_then(|clusters| clusters.get(plain)) else { continue };
        let cluster = if plain == name {
            cluster.clone()
        } else {
            Arc::new(Cluster { name: name.clone(), tls: None, ..Cluster::clone(cluster) })
        };
        config.clusters.insert(name.clone(), cluster);
    }
    for (service, port) in &compiled.used {
        let name = snapshot.services.get(service).map(|service| service.cluster_name(*port, None));
        let clusters = own.services.get(service).and_then(|pieces| pieces.clusters.get(&node.flavor));
        let Some(plain) = name.zip(clusters).and_then(|(name, clusters)| clusters.get(&name)) else { continue };
        let backend = (service.clone(), *port);
        let is_raw = compiled.raw.contains(&backend);
        let tls = gateway.zip(snapshot.backend_tls.get(&backend));
        let cluster = match tls.and_then(|(gateway, tls)| gateway::tls_cluster(plain, gateway, tls, is_raw)) {
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
fn sidecar_of(own: &ForScope, snapshot: &Snapshot, node: &Node) -> Config {
    let mut config = Config::default();
    for pieces in own.services.values() {
        if let Some(clusters) = pieces.clusters.get(&node.flavor) {
            config.clusters.extend(clusters.iter().map(|(name, cluster)| (name.clone(), cluster.clone())));
        }
        let tables = if node.flavor == Flavor::Grpc { &pieces.grpc_routes } else { &pieces.routes };
        config.route_tables.extend(tables.iter().map(|(name, table)| (name.clone(), table.clone())));
    }
    let mut listeners = listener::outbound(snapshot, node);
    if let Some(address) = node.http_proxy {
        // Guests cannot look up what a request names.
        let outbound = if node.flavor == Flavor::Leno { snapshot.outbound } else { OutboundMode::RegistryOnly };
        if outbound == OutboundMode::AllowAny {
            let cluster = cluster::passthrough();
            config.clusters.insert(cluster.name.clone(), Arc::new(cluster));
        }
        listeners.push(listener::http_proxy(node, address));
        let table = routes::proxy_table(snapshot, &node.namespace, outbound, |service, name| {
            own.services.get(&service.key)?.routes.get(name).map(AsRef::as_ref)
        });
        config.route_tables.insert(routes::PROXY_TABLE.to_owned(), Arc::new(table));
    }
    if node.flavor != Flavor::Grpc {
        let (bound, clusters) = inbound::compile(snapshot, node);
        listeners.extend(bound);
        config.clusters.extend(clusters.into_iter().map(|cluster| (cluster.name.clone(), Arc::new(cluster))));
    }
    config.listeners = listeners.into_iter().map(|listener| (listener.name.clone(), Arc::new(listener))).collect();
    config
}
