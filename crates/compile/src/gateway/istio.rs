//! What the Istio Gateways of a proxy make of it. All that select it are merged, as Istio does: servers of one port share a
//! listener, and VirtualServices of one host their routes, the older object's first.
//!
//! Shape       HTTP:  1 port -> 1 chain, 1 route table, a virtual host per host that a server and a VirtualService share
//!             HTTPS: 1 server -> 1 chain (by server name), 1 route table;  TLS: 1 `tls` route -> 1 chain;  TCP: 1 port -> 1 chain
//! Invariants  of servers that exclude each other the oldest Gateway's holds
//! Errors      a server without a key that this proxy may have is left out; problems name object and field
//! Source      Istio Gateway, VirtualService

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use leno_ir::{
    Direction, FilterChain, FilterChainMatch, ForwardClientCert, GatewayRole, Listener, ListenerOptions, NetworkFilter,
    Node, RequireTls, Route, RouteAction, RouteMatch, RouteTable, VirtualHost, WeightedCluster,
};
use leno_model::api::{ResourceKey, ServerTlsMode};
use leno_model::{
    BoundRoutes, GatewayProxy, HeldPolicies, IstioGateway, IstioServer, ListenerProtocol, Problem, Snapshot, covers,
};

use super::{Compiled, free, http, istio_tls, server_names};
use crate::virtual_service::Place;
use crate::{hash, tcp, virtual_service};

/// What clusters are called that connections in the mesh's own TLS are passed to.
pub(crate) const PASSED_ON: &str = "passthrough|";

type Found<'a> = (&'a IstioGateway, &'a IstioServer);

/// Adds what Istio's Gateways want of the proxy; ports that are taken stay as they are.
pub(super) fn compile(snapshot: &Snapshot, node: &Node, role: &GatewayRole, compiled: &mut Compiled) {
    let taken: BTreeSet<_> = compiled.listeners.iter().map(|listener| listener.address.port()).collect();
    let labels = &node.labels;
    let proxy =
        GatewayProxy { namespace: &node.namespace, service_account: &node.service_account, name: &role.name, labels };
    let mut places: BTreeMap<(IpAddr, u16), Vec<Found<'_>>> = BTreeMap::new();
    for gateway in snapshot.istio_gateways.iter().filter(|gateway| gateway.selects(proxy)) {
        for server in &gateway.servers {
            let servers = places.entry((server.bind.unwrap_or(role.bind), server.port)).or_default();
            let other = servers.first().filter(|(_, first)| !first.protocol.shares_port_with(server.protocol));
            let winner = match other {
                Some((other, _)) => Some(other.key.to_string()),
                None => taken.contains(&server.port).then(|| format!("Gateway {}/{}", role.namespace, role.name)),
            };
            match winner {
                None => servers.push((gateway, server)),
                Some(winner) => {
                    let message = format!("{winner} has port {} for another protocol already", server.port);
                    let field = format!("spec.servers[{}].port", server.index);
                    compiled.problems.push(Problem::error(&gateway.key, field, "conflict", message));
                }
            }
        }
    }
    for ((address, port), servers) in places {
        let mut compiling = Compiling { snapshot, node, role, proxy, port, compiled };
        let (chains, default) = compiling.chains(&servers);
        if chains.is_empty() && default.is_none() {
            continue;
        }
        compiled.listeners.push(Listener {
            // Of one port several addresses may be bound.
            name: if address == role.bind { name(role, port) } else { format!("{}|{address}", name(role, port)) },
            address: SocketAddr::new(address, port),
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

/// What keeps a proxy from serving all that is meant for it.
pub(crate) fn problems(snapshot: &Snapshot, node: &Node, role: &GatewayRole) -> Vec<Problem> {
    let mut compiled = Compiled::default();
    compile(snapshot, node, role, &mut compiled);
    compiled.problems
}

/// Destinations of VirtualServices at gateways that lead nowhere.
pub(crate) fn check(snapshot: &Snapshot, problems: &mut Vec<Problem>) {
    for gateway in &snapshot.istio_gateways {
        let Some(port) = gateway.servers.first().map(|server| server.port) else { continue };
        let place = Place { port, gateway: Some(&gateway.key) };
        for bound in &gateway.routes {
            virtual_service::compile(snapshot, place, &bound.routes, &HeldPolicies::default(), problems);
            tcp::check_routes(snapshot, &bound.routes, problems);
        }
    }
}

fn name(role: &GatewayRole, port: u16) -> String {
    format!("gateway|{}/{}|{port}", role.namespace, role.name)
}

struct Compiling<'a> {
    snapshot: &'a Snapshot,
    node: &'a Node,
    role: &'a GatewayRole,
    proxy: GatewayProxy<'a>,
    port: u16,
    compiled: &'a mut Compiled,
}

impl<'a> Compiling<'a> {
    fn chains(&mut self, servers: &[Found<'a>]) -> (Vec<FilterChain>, Option<FilterChain>) {
        match servers.first().map(|(_, server)| server.protocol) {
            None => (Vec::new(), None),
            Some(ListenerProtocol::Http) => {
                let name = name(self.role, self.port);
                (Vec::new(), Some(self.http(name, servers)))
            }
            Some(ListenerProtocol::Tcp) => {
                let found = servers.iter().find_map(|found| self.tcp_clusters(*found));
                (Vec::new(), found.map(|clusters| self.tcp(name(self.role, self.port), clusters)))
            }
            Some(_) => (self.by_server_name(servers), None),
        }
    }

    fn by_server_name(&mut self, servers: &[Found<'a>]) -> Vec<FilterChain> {
        // Names that have a chain; the first one keeps them.
        let mut taken = BTreeSet::new();
        let mut chains = Vec::new();
        for found @ (gateway, server) in servers {
            let own = format!(
                "{}|{}/{}|{}",
                name(self.role, self.port),
                gateway.key.namespace,
                gateway.key.name,
                server.index
            );
            if server.protocol == ListenerProtocol::TlsPassthrough {
                self.passed_on(*found, &own, &mut taken, &mut chains);
                continue;
            }
            let tls = istio_tls::downstream(gateway, server, self.proxy, &mut self.compiled.problems);
            let Some(tls) = tls else { continue };
            let Some(names) = free(&mut taken, server.server_names()) else {
                let field = format!("spec.servers[{}].hosts", server.index);
                let message = format!("an older Gateway has all hosts on port {} already", self.port);
                self.compiled.problems.push(Problem::error(&gateway.key, field, "conflict", message));
                continue;
            };
            let mut chain = if server.protocol == ListenerProtocol::Https {
                let mut chain = self.http(own, &[*found]);
                if let NetworkFilter::Http(manager) = &mut chain.filter {
                    manager.forward_client_cert = ForwardClientCert::SanitizeSet;
                }
                chain
            } else {
                let Some(clusters) = self.tcp_clusters(*found) else { continue };
                self.tcp(own, clusters)
            };
            chain.matches = server_names(names);
            chain.tls = Some(tls);
            chains.push(chain);
        }
        chains
    }

    /// Connections whose TLS does not end here.
    fn passed_on(
        &mut self,
        (gateway, server): Found<'a>,
        name: &str,
        taken: &mut BTreeSet<String>,
        chains: &mut Vec<FilterChain>,
    ) {
        let mut all = Vec::new();
        if server.tls.as_ref().is_some_and(|tls| tls.mode() == ServerTlsMode::AutoPassthrough) {
            all = self.by_cluster_name(server);
        } else {
            let place = Place { port: self.port, gateway: Some(&gateway.key) };
            for bound in self.bound(gateway).filter(|bound| !server.hosts_of(bound).is_empty()) {
                all.extend(tcp::by_server_name_at(self.snapshot, place, &bound.routes));
            }
        }
        let covered = |name: &String| server.hosts.iter().any(|own| covers(&own.host, name));
        for (names, clusters) in all {
            let names: Vec<_> = names.into_iter().filter(covered).collect();
            if names.is_empty() {
                continue;
            }
            let Some(names) = free(taken, names) else { continue };
            let mut chain = self.tcp(format!("{name}|{}", names.join(",")), clusters);
            chain.matches = server_names(names);
            chains.push(chain);
        }
    }

    /// Istio's names of clusters as server names: what other gateways of the mesh ask for.
    fn by_cluster_name(&self, server: &IstioServer) -> Vec<(Vec<String>, Vec<WeightedCluster>)> {
        let mut all = Vec::new();
        for service in self.snapshot.services.values() {
            if !server.hosts.iter().any(|own| covers(&own.host, &service.fqdn)) {
                continue;
            }
            for port in &service.ports {
                let subsets = service.subsets().iter().map(|subset| Some(subset.name.as_str()));
                for subset in std::iter::once(None).chain(subsets) {
                    let cluster = format!("{PASSED_ON}{}", service.cluster_name(port.number, subset));
                    let asked = service.cluster_name(port.number, subset).replacen('|', "_.", 3);
                    all.push((vec![asked], vec![WeightedCluster::new(cluster, 1)]));
                }
            }
        }
        all
    }

    /// VirtualServices that the proxy sees.
    fn bound(&self, gateway: &'a IstioGateway) -> impl Iterator<Item = &'a BoundRoutes> + use<'a> {
        let namespace = self.proxy.namespace;
        gateway.routes.iter().filter(move |bound| bound.visibility.includes(namespace))
    }

    fn http(&mut self, name: String, servers: &[Found<'a>]) -> FilterChain {
        let hosts = self.virtual_hosts(servers);
        for route in hosts.iter().flat_map(|host| &host.routes) {
            self.compiled.clusters.extend(clusters_of(route));
        }
        let table = RouteTable { ignore_port_in_host_matching: true, ..RouteTable::new(&name, hosts) };
        self.compiled.tables.push(table);
        http(self.node, name)
    }

    fn virtual_hosts(&mut self, servers: &[Found<'a>]) -> Vec<VirtualHost> {
        let mut hosts: BTreeMap<String, Merged<'a>> = BTreeMap::new();
        for (gateway, server) in servers {
            for bound in self.bound(gateway) {
                let common = server.hosts_of(bound);
                if common.is_empty() {
                    continue;
                }
                let routes = self.routes(&gateway.key, bound);
                for host in common {
                    let merged = hosts.entry(host).or_default();
                    merged.redirects |= server.redirects;
                    merged.add(&bound.routes.key, &routes);
                }
            }
            for own in server.hosts.iter().filter(|_| server.redirects) {
                hosts.entry(own.host.clone()).or_default().redirects = true;
            }
        }
        let host = |(domain, merged): (String, Merged<'_>)| VirtualHost {
            name: format!("{domain}:{}", self.port),
            domains: vec![domain],
            require_tls: if merged.redirects { RequireTls::All } else { RequireTls::None },
            routes: merged.finish(),
            ..VirtualHost::default()
        };
        hosts.into_iter().map(host).collect()
    }

    fn routes(&self, gateway: &ResourceKey, bound: &BoundRoutes) -> Vec<Route> {
        let place = Place { port: self.port, gateway: Some(gateway) };
        // What leads nowhere was reported by `check`.
        let mut routes =
            virtual_service::compile(self.snapshot, place, &bound.routes, &HeldPolicies::default(), &mut Vec::new());
        let site = hash::Site { snapshot: self.snapshot, own: None, namespace: &bound.routes.key.namespace };
        hash::apply(site, &mut routes);
        routes
    }

    /// By the first `tcp` route that is meant for the port.
    fn tcp_clusters(&self, (gateway, server): Found<'a>) -> Option<Vec<WeightedCluster>> {
        let place = Place { port: self.port, gateway: Some(&gateway.key) };
        let bound = self.bound(gateway).filter(|bound| !server.hosts_of(bound).is_empty());
        bound.filter_map(|bound| tcp::first_at(self.snapshot, place, &bound.routes)).next()
    }

    fn tcp(&mut self, name: String, clusters: Vec<WeightedCluster>) -> FilterChain {
        self.compiled.clusters.extend(clusters.iter().map(|cluster| cluster.name.clone()));
        let site = hash::Site { snapshot: self.snapshot, own: None, namespace: self.proxy.namespace };
        FilterChain {
            matches: FilterChainMatch::default(),
            tls: None,
            connection_filters: Vec::new(),
            filter: NetworkFilter::Tcp(tcp::outbound(site, self.node, name.clone(), clusters)),
            name,
        }
    }
}

/// The routes of a host.
#[derive(Default)]
struct Merged<'a> {
    from: Vec<&'a ResourceKey>,
    routes: Vec<Route>,
    redirects: bool,
}

impl<'a> Merged<'a> {
    /// An object that is there by another server of the port is not added again.
    fn add(&mut self, object: &'a ResourceKey, routes: &[Route]) {
        if !self.from.contains(&object) {
            self.from.push(object);
            self.routes.extend_from_slice(routes);
        }
    }

    /// Istio: of several objects, what takes everything comes last, or it would hide the others.
    fn finish(mut self) -> Vec<Route> {
        if self.from.len() > 1 {
            let any = RouteMatch::any();
            self.routes.sort_by_key(|route| route.matches == any);
        }
        self.routes
    }
}

fn clusters_of(route: &Route) -> Vec<String> {
    let RouteAction::Forward(forward) = &route.action else { return Vec::new() };
    let mirrors = forward.mirrors.iter().map(|mirror| mirror.cluster.clone());
    forward.clusters.iter().map(|cluster| cluster.name.clone()).chain(mirrors).collect()
}
