use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_ir::{Cluster, Config, Discovery, EndpointSet, Flavor, GatewayRole, Listener, Node, Resources};
use leno_model::api::{Kind, OutboundMode, ResourceKey};
use leno_model::{Client, Problem, Scope, Service, Snapshot};
use leno_names::ServiceKey;

use crate::pieces::Pool;
use crate::scope::{ForScope, finished};
use crate::{cluster, endpoints, gateway, hash, inbound, listener, mesh, rate_limit, routes};

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
    Compiled { config: Config::clone(&compiler.node(node)), problems: compiler.problems() }
}

/// Compiles many nodes again and again: what a service contributes is compiled when the service changes and shared by all
/// who see it alike.
///
/// Cost        an update: what the snapshots differ in, for each scope; a node: what of its scope is new since it was last asked
#[derive(Debug)]
pub struct Compiler {
    snapshot: Option<Arc<Snapshot>>,
    scopes: BTreeMap<Scope, ForScope>,
    /// Of the last change of any scope: none has one that another had.
    revision: u64,
    /// Changes with gateways and what belongs to them.
    entries: u64,
    /// Changes with who may call whom, and how often.
    access: u64,
    /// Services whose instances limit the rate of requests.
    limited: BTreeSet<ServiceKey>,
    /// Those that there are nodes of, and Leno's own, which finds the problems.
    flavors: BTreeSet<Flavor>,
    pool: Pool,
    /// The last configuration of each node.
    nodes: BTreeMap<String, Remembered>,
    finish: Option<Finisher>,
    /// Of the snapshot, and of no service.
    problems: Vec<Problem>,
}

#[derive(Debug)]
struct Remembered {
    node: Node,
    scope: Scope,
    /// Of the scope.
    revision: u64,
    rules: u64,
    /// Of gateways, or of access.
    extra: u64,
    own: Own,
    config: Arc<Config>,
    /// Of a gateway alone: what it cannot have.
    problems: Vec<Problem>,
}

/// What a sidecar shares with nobody.
#[derive(Clone, Debug, Default)]
struct Own {
    listeners: Vec<Arc<Listener>>,
    clusters: Vec<Arc<Cluster>>,
    /// As its place and labels want them.
    arranged: BTreeMap<ServiceKey, Vec<Arc<EndpointSet>>>,
}

/// Changes what a node runs, in words that only Envoy's API has, and says what cannot be done.
pub type Finisher = fn(&Snapshot, &Node, &mut Config) -> Vec<Problem>;

impl Default for Compiler {
    fn default() -> Self {
        Self::new()
    }
}

impl Compiler {
    pub fn new() -> Self {
        Self {
            snapshot: None,
            scopes: BTreeMap::new(),
            revision: 0,
            limited: BTreeSet::new(),
            entries: 0,
            access: 0,
            flavors: BTreeSet::from([Flavor::Leno]),
            pool: Pool::default(),
            nodes: BTreeMap::new(),
            finish: None,
            problems: Vec::new(),
        }
    }

    pub fn finished_by(finish: Finisher) -> Self {
        Self { finish: Some(finish), ..Self::default() }
    }

    /// Makes `snapshot` what nodes are compiled from.
    pub fn update(&mut self, snapshot: &Arc<Snapshot>) {
        let before = self.snapshot.replace(snapshot.clone());
        let same = before.as_deref().map(|before| (before.access == snapshot.access, same_entries(before, snapshot)));
        let (same_access, same_entries) = same.unwrap_or_default();
        self.access += u64::from(!same_access);
        self.entries += u64::from(!same_entries);
        if !same_entries {
            self.problems.clear();
            gateway::istio::check(snapshot, &mut self.problems);
            for last in self.nodes.values_mut() {
                if let Some(role) = &last.node.gateway {
                    last.problems = gateway::istio::problems(snapshot, &last.node, role);
                }
            }
        }
        let mut wanted: BTreeSet<_> = snapshot.scopes().into_iter().collect();
        let still = before.as_deref().is_some_and(|before| snapshot.has_scopes_of(before));
        self.scopes.retain(|scope, own| std::mem::take(&mut own.is_used) && still || wanted.contains(scope));
        wanted.extend(self.scopes.keys().cloned());
        let all = before.as_deref().is_none_or(|before| !same_for_all(before, snapshot));
        if all {
            self.pool.clear();
        }
        let changed = before.as_deref().and_then(|before| snapshot.changed_since(before));
        self.access += u64::from(self.note_limits(snapshot, changed.as_ref()));
        for scope in wanted {
            self.see(&scope, changed.as_ref(), all);
        }
    }

    /// Whether limits, or who has to see to them, may have changed.
    fn note_limits(&mut self, snapshot: &Snapshot, changed: Option<&BTreeSet<ServiceKey>>) -> bool {
        let is_limited = |key: &&ServiceKey| snapshot.services.get(*key).is_some_and(|own| rate_limit::is_limited(own));
        let Some(changed) = changed else {
            self.limited = snapshot.services.keys().filter(is_limited).cloned().collect();
            return true;
        };
        let touched: Vec<_> = changed.iter().filter(|key| self.limited.contains(*key) || is_limited(key)).collect();
        for key in &touched {
            if is_limited(key) {
                self.limited.insert((*key).clone());
            } else {
                self.limited.remove(*key);
            }
        }
        !touched.is_empty()
    }

    /// Brings what a scope gets up to the snapshot. `changed`: of the services; `None`: anything.
    fn see(&mut self, scope: &Scope, changed: Option<&BTreeSet<ServiceKey>>, all: bool) {
        let Some(snapshot) = &self.snapshot else { return };
        let own = self.scopes.entry(scope.clone());
        let (seen, own) = match (own, changed) {
            (Entry::Occupied(own), Some(changed)) => {
                let own = own.into_mut();
                (snapshot.seen_again(scope, changed, &own.seen), own)
            }
            (own, _) => (Arc::new(snapshot.seen_by(scope)), own.or_insert_with(|| ForScope::new(&snapshot.settings))),
        };
        self.revision += 1;
        own.update(&seen, &self.flavors, &mut self.pool, all, self.revision);
    }

    /// The configuration of `node` under the last snapshot; the very same as the last one when nothing of it has changed.
    pub fn node(&mut self, node: &Node) -> Arc<Config> {
        let Some(snapshot) = self.snapshot.clone() else { return Arc::default() };
        if self.flavors.insert(node.flavor) {
            self.pool.clear();
            for scope in self.scopes.keys().cloned().collect::<Vec<_>>() {
                self.see(&scope, Some(&BTreeSet::new()), true);
            }
        }
        let client = Client { namespace: &node.namespace, labels: &node.labels };
        let scope = snapshot.scope_of(client);
        if !self.scopes.contains_key(&scope) {
            self.see(&scope, None, false);
        }
        // Whoever sees them: an instance limits what comes to it.
        let limited: Vec<_> = self.limited.iter().filter_map(|key| snapshot.services.get(key)).collect();
        let Some(own) = self.scopes.get_mut(&scope) else { return Arc::default() };
        own.is_used = true;
        // Only gateways care about gateways, and only sidecars about access.
        let extra = if node.gateway.is_some() { self.entries } else { self.access };
        let last = self.nodes.remove(&node.id).filter(|last| last.scope == scope && last.node == *node);
        let made = match last {
            Some(last) if last.revision == own.revision && last.extra == extra => last,
            last => {
                let (mut config, parts, mut problems) = match &node.gateway {
                    Some(role) => {
                        let (config, problems) = entry_of(own, node, role);
                        (config, Own::default(), problems)
                    }
                    None => {
                        let (config, parts) = sidecar_of(own, node, last.as_ref(), extra, &limited);
                        (config, parts, Vec::new())
                    }
                };
                if let Some(finish) = self.finish {
                    problems.extend(finish(&own.seen, node, &mut config));
                }
                let config = match last {
                    Some(last) => keeping(config, &last.config),
                    None => Arc::new(config),
                };
                let (revision, rules) = (own.revision, own.rules);
                Remembered { node: node.clone(), scope, revision, rules, extra, own: parts, config, problems }
            }
        };
        let config = made.config.clone();
        self.nodes.insert(node.id.clone(), made);
        config
    }

    /// Drops what is remembered of a node that left.
    pub fn forget(&mut self, node_id: &str) {
        self.nodes.remove(node_id);
    }

    /// Of the last snapshot, sorted.
    pub fn problems(&self) -> Vec<Problem> {
        let pieces = self.scopes.values().flat_map(ForScope::pieces);
        let of_nodes = self.nodes.values().flat_map(|node| &node.problems).chain(&self.problems);
        let mut all: Vec<_> = pieces.flat_map(|pieces| &pieces.problems).chain(of_nodes).cloned().collect();
        all.sort();
        all.dedup();
        all
    }
}

fn same_entries(before: &Snapshot, snapshot: &Snapshot) -> bool {
    before.gateways == snapshot.gateways
        && before.istio_gateways == snapshot.istio_gateways
        && before.backend_tls == snapshot.backend_tls
        && before.grants == snapshot.grants
        && before.route_policies == snapshot.route_policies
}

/// Whether the same may be compiled of services that are the same.
fn same_for_all(before: &Snapshot, snapshot: &Snapshot) -> bool {
    let same_policies = Arc::ptr_eq(&before.route_policies, &snapshot.route_policies)
        || before.route_policies.routes == snapshot.route_policies.routes;
    same_policies
        && before.grants == snapshot.grants
        && before.mesh == snapshot.mesh
        && before.settings == snapshot.settings
}

/// The configuration, with what equals the last one's in the last one's identity.
fn keeping(new: Config, last: &Arc<Config>) -> Arc<Config> {
    let mut new = new;
    keep(&mut new.listeners, &last.listeners);
    keep(&mut new.route_tables, &last.route_tables);
    keep(&mut new.clusters, &last.clusters);
    keep(&mut new.endpoints, &last.endpoints);
    let same = new.listeners.is_same(&last.listeners)
        && new.route_tables.is_same(&last.route_tables)
        && new.clusters.is_same(&last.clusters)
        && new.endpoints.is_same(&last.endpoints);
    if same { last.clone() } else { Arc::new(new) }
}

fn keep<T: PartialEq>(new: &mut Resources<T>, last: &Resources<T>) {
    let equal: Vec<_> = new
        .changes_since(last)
        .filter_map(|change| match change {
            leno_ir::ResourceChange::Set(name, value) => {
                let old = last.get(name).filter(|old| *old == value)?;
                Some((name.clone(), old.clone()))
            }
            leno_ir::ResourceChange::Removed(_) => None,
        })
        .collect();
    new.extend(equal);
}

/// What a gateway runs: nothing until there is an object that means it.
fn entry_of(own: &ForScope, node: &Node, role: &GatewayRole) -> (Config, Vec<Problem>) {
    let mut config = Config::default();
    let snapshot = &*own.seen;
    let node = &mesh::with_access_log(node, &snapshot.mesh);
    let key = ResourceKey::new(Kind::Gateway, &role.namespace, &role.name);
    let gateway = snapshot.gateways.get(&key).map(AsRef::as_ref);
    let compiled = gateway::compile(snapshot, gateway, node, role);
    let clusters = own.clusters(node.flavor);
    let mut used = BTreeSet::new();
    let site = hash::Site { snapshot, own: None, namespace: &node.namespace };
    for name in &compiled.clusters {
        let plain = name.strip_prefix(gateway::istio::PASSED_ON).unwrap_or(name);
        let Some((service, ..)) = site.target(plain) else { continue };
        let Some(cluster) = clusters.get(plain) else { continue };
        let cluster = if plain == name {
            cluster.clone()
        } else {
            Arc::new(Cluster { name: name.clone(), tls: None, ..Cluster::clone(cluster) })
        };
        used.insert(service.key.clone());
        config.clusters.insert(name.as_str(), cluster);
    }
    for (service, port) in &compiled.used {
        let name = snapshot.services.get(service).map(|service| service.cluster_name(*port, None));
        let Some(plain) = name.and_then(|name| clusters.get(&name)) else { continue };
        let backend = (service.clone(), *port);
        let is_raw = compiled.raw.contains(&backend);
        let tls = gateway.zip(snapshot.backend_tls.get(&backend));
        let cluster = match tls.and_then(|(gateway, tls)| gateway::tls_cluster(plain, gateway, tls, is_raw)) {
            Some(cluster) => Arc::new(cluster),
            None => plain.clone(),
        };
        used.insert(service.clone());
        config.clusters.insert(cluster.name.clone(), cluster);
    }
    let names = config.clusters.values().filter_map(|cluster| match &cluster.discovery {
        Discovery::Eds { service_name } => Some(service_name.as_str()),
        _ => None,
    });
    config.endpoints = names.filter_map(|name| Some((name, own.endpoints.get(name)?.clone()))).collect();
    let locality = snapshot.mesh.locality_lb_setting.as_ref();
    let arranged = used.intersection(&own.arranged).filter_map(|service| snapshot.services.get(service));
    for set in arranged.flat_map(|service| endpoints::arranged_for(service, node, locality)) {
        if config.endpoints.contains_key(&set.name) {
            config.endpoints.insert(set.name.clone(), Arc::new(set));
        }
    }
    let tables = compiled.tables.into_iter();
    config.route_tables = tables.map(|table| (table.name.clone(), Arc::new(table))).collect();
    let listeners = compiled.listeners.into_iter();
    let listeners = listeners.map(|listener| finished(listener, snapshot, node, &config.route_tables));
    config.listeners = listeners.map(|listener| (listener.name.clone(), Arc::new(listener))).collect();
    if config.listeners.values().any(|listener| rate_limit::asks(listener)) {
        let control = rate_limit::cluster(node, &snapshot.settings);
        config.clusters.extend(control.map(|control| (control.name.clone(), Arc::new(control))));
    }
    (config, compiled.problems)
}

/// What a sidecar runs.
fn sidecar_of(
    own: &mut ForScope,
    node: &Node,
    last: Option<&Remembered>,
    access: u64,
    limited: &[&Arc<Service>],
) -> (Config, Own) {
    let logged = &mesh::with_access_log(node, &own.seen.mesh);
    let mut config = Config {
        listeners: own.outbound(logged),
        route_tables: own.routes(node.flavor).clone(),
        clusters: own.clusters(node.flavor),
        endpoints: own.endpoints.clone(),
        ..Config::default()
    };
    let mut parts = match last {
        Some(last) if last.rules == own.rules && last.extra == access => last.own.clone(),
        Some(last) => Own { arranged: last.own.arranged.clone(), ..own_parts(own, logged, limited) },
        None => own_parts(own, logged, limited),
    };
    if node.http_proxy.is_some() {
        config.route_tables.insert(routes::PROXY_TABLE, own.proxy_table(logged));
        if own.outbound_mode(node) == OutboundMode::AllowAny {
            let strangers = cluster::passthrough();
            config.clusters.insert(strangers.name.clone(), Arc::new(strangers));
        }
    }
    arrange(own, node, last, &mut parts);
    if own.outbound_asks(logged) || parts.listeners.iter().any(|listener| rate_limit::asks(listener)) {
        let control = rate_limit::cluster(node, &own.seen.settings);
        config.clusters.extend(control.map(|control| (control.name.clone(), Arc::new(control))));
    }
    config.listeners.extend(parts.listeners.iter().map(|listener| (listener.name.as_str(), listener.clone())));
    config.clusters.extend(parts.clusters.iter().map(|cluster| (cluster.name.as_str(), cluster.clone())));
    let arranged = parts.arranged.values().flatten();
    config.endpoints.extend(arranged.map(|set| (set.name.as_str(), set.clone())));
    (config, parts)
}

/// Its ports, and its end of the forward proxy.
fn own_parts(own: &mut ForScope, node: &Node, limited: &[&Arc<Service>]) -> Own {
    let mut parts = Own::default();
    if let Some(address) = node.http_proxy {
        let tables = [(routes::PROXY_TABLE, own.proxy_table(node))].into_iter().collect();
        let listener = finished(listener::http_proxy(node, address), &own.seen, node, &tables);
        parts.listeners.push(Arc::new(listener));
    }
    if node.flavor != Flavor::Grpc {
        let (listeners, clusters) = inbound::compile(&own.seen, node, limited);
        let none = Resources::new();
        let listeners = listeners.into_iter().map(|listener| finished(listener, &own.seen, node, &none));
        parts.listeners.extend(listeners.map(Arc::new));
        parts.clusters.extend(clusters.into_iter().map(Arc::new));
    }
    parts
}

/// Endpoints as the node's place and labels want them; those that did not change since the last time stay.
fn arrange(own: &ForScope, node: &Node, last: Option<&Remembered>, parts: &mut Own) {
    parts.arranged.retain(|key, _| own.arranged.contains(key));
    let is_next = last.is_some_and(|last| last.revision == own.last_revision);
    let changed = own.last_changed.as_ref().filter(|_| is_next);
    let unchanged = last.is_some_and(|last| last.revision == own.revision);
    let locality = own.seen.mesh.locality_lb_setting.as_ref();
    for key in own.arranged.iter().filter(|key| !unchanged && changed.is_none_or(|changed| changed.contains(*key))) {
        let Some(service) = own.seen.services.get(key) else { continue };
        let sets = endpoints::arranged_for(service, node, locality);
        parts.arranged.insert(key.clone(), sets.into_iter().map(Arc::new).collect());
    }
}
