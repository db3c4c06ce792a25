//! What a gateway runs: a listener per port, its routes, and the clusters that these lead to and no others.
//!
//! Shape       HTTP:  1 port -> 1 chain, 1 route table, hosts of all its listeners
//!             HTTPS: 1 listener -> 1 chain (by server name), 1 route table
//!             TLS:   1 route -> 1 chain (by server name);  TCP: 1 port -> 1 chain
//! Invariants  a request is served by the most specific listener that has its host, and by no other (listener isolation)
//! Source      Gateway API v1.6: Gateway, HTTPRoute.spec.hostnames. Istio's Gateways: `istio`

mod hosts;
pub(crate) mod istio;
mod istio_tls;
mod tls;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use leno_ir::{
    Direction, FilterChain, FilterChainMatch, GatewayRole, HttpConnectionManager, HttpEdge, Listener, ListenerOptions,
    NetworkFilter, Node, RouteSource, RouteTable, TransportProtocol, WeightedCluster,
};
use leno_model::{
    BackendTls, Gateway, GatewayListener, HeldPolicies, ListenerProtocol, Problem, RouteObject, Snapshot,
};
use leno_names::ServiceKey;

use crate::route_rules::{Entry, Scope};
use crate::{listener, tcp};

pub(crate) use tls::cluster as tls_cluster;

/// All but clusters, which services have.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) tables: Vec<RouteTable>,
    /// Service and port of every backend.
    pub(crate) used: BTreeSet<(ServiceKey, u16)>,
    /// Those among them that are sent bytes of any kind.
    pub(crate) raw: BTreeSet<(ServiceKey, u16)>,
    /// Names of the clusters that VirtualServices lead to.
    pub(crate) clusters: BTreeSet<String>,
    pub(crate) problems: Vec<Problem>,
}

/// What the proxy of a role runs: the Gateway it is called after, and Istio's that select it.
pub(crate) fn compile(snapshot: &Snapshot, gateway: Option<&Gateway>, node: &Node, role: &GatewayRole) -> Compiled {
    let mut compiled = Compiled::default();
    if let Some(gateway) = gateway {
        one(snapshot, gateway, node, role.bind, &mut compiled);
    }
    istio::compile(snapshot, node, role, &mut compiled);
    compiled
}

fn one(snapshot: &Snapshot, gateway: &Gateway, node: &Node, bind: IpAddr, compiled: &mut Compiled) {
    let ports: BTreeSet<_> = gateway.listeners.iter().map(|listener| listener.port).collect();
    for port in ports {
        let on_port: Vec<_> = gateway.listeners.iter().filter(|listener| listener.port == port).collect();
        let mut compiling = Compiling { snapshot, gateway, node, port, compiled };
        let (chains, default) = compiling.chains(&on_port);
        if chains.is_empty() && default.is_none() {
            continue;
        }
        compiled.listeners.push(Listener {
            name: name(gateway, port),
            address: SocketAddr::new(bind, port),
            direction: Direction::Outbound,
            inspect_tls: !chains.is_empty(),
            inspect_http: false,
            filter_chains: chains,
            default_filter_chain: default,
            options: ListenerOptions::default(),
            api: false,
        });
    }
}

/// `gateway|shop/entry|80`.
fn name(gateway: &Gateway, port: u16) -> String {
    format!("gateway|{}/{}|{port}", gateway.key.namespace, gateway.key.name)
}

struct Compiling<'a> {
    snapshot: &'a Snapshot,
    gateway: &'a Gateway,
    node: &'a Node,
    port: u16,
    compiled: &'a mut Compiled,
}

impl Compiling<'_> {
    /// Those chosen by server name, and the one for everything.
    fn chains(&mut self, listeners: &[&GatewayListener]) -> (Vec<FilterChain>, Option<FilterChain>) {
        match listeners.first().map(|listener| listener.protocol) {
            None => (Vec::new(), None),
            Some(ListenerProtocol::Http) => {
                let name = name(self.gateway, self.port);
                let table = self.table(&name, listeners, None);
                let chain = self.http(name, table);
                (Vec::new(), Some(chain))
            }
            Some(ListenerProtocol::Tcp) => {
                let chain = self.tcp(&listeners[0].routes.iter().map(|attached| &attached.route).collect::<Vec<_>>());
                (Vec::new(), chain)
            }
            Some(_) => (self.by_server_name(listeners), None),
        }
    }

    fn by_server_name(&mut self, listeners: &[&GatewayListener]) -> Vec<FilterChain> {
        let https: Vec<_> =
            listeners.iter().filter(|listener| listener.protocol == ListenerProtocol::Https).copied().collect();
        // Names that have a chain; the first one keeps them.
        let mut taken = BTreeSet::new();
        let mut chains = Vec::new();
        for listener in listeners {
            if listener.protocol == ListenerProtocol::Https {
                let names = free(&mut taken, listener.hostname.iter().cloned().collect());
                let Some(names) = names else { continue };
                let name = format!("{}|{}", name(self.gateway, self.port), listener.name);
                let table = self.table(&name, &https, Some(listener));
                let mut chain = self.http(name, table);
                chain.matches = server_names(names);
                chain.tls = Some(tls::downstream(listener, &["h2", "http/1.1"]));
                chains.push(chain);
                continue;
            }
            for attached in &listener.routes {
                let hosts = attached.hostnames.iter().filter(|host| *host != "*").cloned().collect();
                let Some(names) = free(&mut taken, hosts) else { continue };
                let Some(mut chain) = self.tcp(&[&attached.route]) else { continue };
                chain.name = format!("{}|{}", chain.name, names.join(","));
                chain.matches = server_names(names);
                if listener.protocol == ListenerProtocol::TlsTerminate {
                    chain.tls = Some(tls::downstream(listener, &[]));
                }
                chains.push(chain);
            }
        }
        chains
    }

    fn http(&mut self, name: String, table: RouteTable) -> FilterChain {
        self.compiled.tables.push(table);
        http(self.node, name)
    }

    /// Of all listeners of the port, or what one of several that are chosen by server name answers.
    fn table(&mut self, name: &str, listeners: &[&GatewayListener], one: Option<&GatewayListener>) -> RouteTable {
        let entry = Entry { port: self.port, is_tls: one.is_some() };
        let mut scope = Scope {
            snapshot: self.snapshot,
            default_port: None,
            gateway: Some(entry),
            policies: HeldPolicies::default(),
            used: &mut self.compiled.used,
            problems: &mut self.compiled.problems,
        };
        let virtual_hosts = hosts::compile(&mut scope, &self.gateway.key, listeners, one);
        RouteTable { ignore_port_in_host_matching: true, ..RouteTable::new(name, virtual_hosts) }
    }

    /// The first rule of the oldest route gets every connection.
    fn tcp(&mut self, routes: &[&RouteObject]) -> Option<FilterChain> {
        let route = routes.first()?;
        let backends = match route {
            RouteObject::Tcp(object) => &object.spec.rules.first()?.backend_refs,
            RouteObject::Tls(object) => &object.spec.rules.first()?.backend_refs,
            RouteObject::Derived { .. } | RouteObject::Grpc(_) | RouteObject::Http(_) => return None,
        };
        let key = route.key();
        let mut clusters = Vec::new();
        for to in backends {
            let found = self.snapshot.backend((key.kind, &key.namespace), to);
            let Ok((service, port)) = found else { continue };
            let used = (service.key.clone(), port.number);
            let plain = service.cluster_name(port.number, None);
            let Some(name) = cluster_name(self.snapshot, &used, plain) else { continue };
            self.compiled.raw.insert(used.clone());
            self.compiled.used.insert(used);
            clusters.push(WeightedCluster::new(name, to.weight.unwrap_or(1)));
        }
        clusters.retain(|cluster| cluster.weight > 0);
        if clusters.is_empty() {
            return None;
        }
        let name = format!("{}|{}", name(self.gateway, self.port), route.key().name);
        Some(FilterChain {
            matches: FilterChainMatch::default(),
            tls: None,
            connection_filters: Vec::new(),
            filter: NetworkFilter::Tcp(tcp::proxy(self.node, name.clone(), clusters)),
            name,
        })
    }
}

/// The cluster through which gateways reach a port of a service: the plain one, or the one with TLS where a policy wants
/// it. `None`: the policy cannot be followed.
pub(crate) fn cluster_name(snapshot: &Snapshot, backend: &(ServiceKey, u16), plain: String) -> Option<String> {
    match snapshot.backend_tls.get(backend) {
        Some(BackendTls::Broken) => None,
        Some(BackendTls::Checked { .. }) => Some(tls::cluster_name(&plain)),
        None => Some(plain),
    }
}

/// A chain with the routes of the table of the same name.
fn http(node: &Node, name: String) -> FilterChain {
    let mut manager = HttpConnectionManager::new(&name, RouteSource::Rds(name.clone()));
    manager.access_log = listener::access_log(node);
    // What strangers say of themselves counts for nothing.
    manager.edge = HttpEdge { use_remote_address: true, normalize_path: true, ..HttpEdge::default() };
    FilterChain {
        name,
        matches: FilterChainMatch::default(),
        tls: None,
        connection_filters: Vec::new(),
        filter: NetworkFilter::Http(Box::new(manager)),
    }
}

/// The names that nobody has yet; `None` when there were some and all are taken. No names at all means every name.
fn free(taken: &mut BTreeSet<String>, mut names: Vec<String>) -> Option<Vec<String>> {
    if names.is_empty() {
        return taken.insert(String::new()).then_some(names);
    }
    names.retain(|name| taken.insert(name.clone()));
    (!names.is_empty()).then_some(names)
}

fn server_names(server_names: Vec<String>) -> FilterChainMatch {
    FilterChainMatch { server_names, transport_protocol: Some(TransportProtocol::Tls), ..FilterChainMatch::default() }
}
