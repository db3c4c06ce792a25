use std::collections::BTreeSet;

use leno_ir::{Forward, PathMatch, Pattern, Route, RouteAction, RouteMatch, RouteTable, RouteUpgrade, VirtualHost};
use leno_model::api::OutboundMode;
use leno_model::{HeldPolicies, Problem, Rules, Service, ServicePort, Snapshot};

use crate::requests::{self, Said};
use crate::virtual_service::Place;
use crate::{cluster, forward, hash, listener, route_rules, session, tcp, virtual_service};

/// Listener and route table of the forward proxy.
pub(crate) const PROXY_TABLE: &str = "http_proxy";

/// A table for each port on which HTTP may be spoken.
pub(crate) fn compile(snapshot: &Snapshot, service: &Service, problems: &mut Vec<Problem>) -> Vec<RouteTable> {
    let http = service.ports.iter().filter(|port| port.protocol.may_be_http());
    http.map(|port| table(snapshot, service, port, problems)).collect()
}

fn table(snapshot: &Snapshot, service: &Service, port: &ServicePort, problems: &mut Vec<Problem>) -> RouteTable {
    let name = service.cluster_name(port.number, None);
    let policies = service
        .attached
        .as_ref()
        .map(|attached| attached.of_port(port.name.as_deref()).by_callers())
        .unwrap_or_default();
    let routes = match &service.rules {
        Rules::Routes(routes) => route_rules::compile(snapshot, port, routes, &policies, problems),
        // Istio: where none of its routes is for this client and port, it is as if there were none.
        Rules::VirtualService(routes) => {
            let place = Place::of_mesh(port.number);
            Some(virtual_service::compile(snapshot, place, routes, &policies, problems))
                .filter(|routes| !routes.is_empty())
        }
        Rules::Default => None,
    };
    let mut routes = routes.unwrap_or_else(|| vec![default_route(snapshot, service, port, &policies)]);
    hash::apply(hash::Site::of(snapshot, service), &mut routes);
    let host = VirtualHost {
        name: format!("{}:{}", service.fqdn, port.number),
        // The listener's address is the service's alone: whatever the request calls it, it is meant.
        domains: vec!["*".to_owned()],
        routes,
        ..VirtualHost::default()
    };
    RouteTable::new(name, vec![host])
}

fn default_route(snapshot: &Snapshot, service: &Service, port: &ServicePort, policies: &HeldPolicies) -> Route {
    let mut forward = Forward::to(service.cluster_name(port.number, None));
    forward.retry = forward::retry(None, &snapshot.mesh).0;
    let mut route = Route::new("default", RouteMatch::any(), RouteAction::Forward(Box::new(forward)));
    let session = service.traffic.as_ref().and_then(|traffic| traffic.session.as_ref());
    route.filters.extend(session.map(|written| session::of(written, &service.key.name)));
    requests::apply(policies, Said::default(), &mut route);
    route
}

/// The forward proxy's table for applications in `namespace`: the same routes, chosen by authority.
pub(crate) fn proxy_table<'a>(
    snapshot: &Snapshot,
    namespace: &str,
    outbound: OutboundMode,
    table_of: impl Fn(&Service, &str) -> Option<&'a RouteTable>,
) -> RouteTable {
    let mut table = RouteTable::new(PROXY_TABLE, Vec::new());
    for service in snapshot.services.values() {
        for port in &service.ports {
            let Some(routes) = table_of(service, &service.cluster_name(port.number, None)) else {
                table.virtual_hosts.push(tunnels_only(snapshot, service, port, namespace));
                continue;
            };
            let bare = port.number == 80 || service.ports.len() == 1;
            let domains = listener::hosts(snapshot, service, namespace).into_iter().flat_map(|host| {
                let with_port = format!("{host}:{}", port.number);
                [Some(with_port), bare.then_some(host)].into_iter().flatten()
            });
            let domains: Vec<_> = domains.collect();
            let hosts = routes.virtual_hosts.iter();
            table.virtual_hosts.extend(hosts.map(|host| {
                let tunnels = host.routes.iter().filter_map(tunnel);
                let routes = tunnels.chain(host.routes.iter().cloned()).collect();
                VirtualHost { domains: domains.clone(), routes, ..host.clone() }
            }));
        }
    }
    // Of two services with one virtual address the first has it.
    let mut taken = BTreeSet::new();
    for host in &mut table.virtual_hosts {
        host.domains.retain(|domain| taken.insert(domain.clone()));
    }
    table.virtual_hosts.retain(|host| !host.domains.is_empty());
    table.virtual_hosts.push(match outbound {
        OutboundMode::AllowAny => passed_on(),
        OutboundMode::RegistryOnly => strangers(),
    });
    table
}

/// What the mesh does not know is reached as if there were no proxy; named as in Istio.
fn passed_on() -> VirtualHost {
    let route = |path, upgrades| {
        let forward = Forward { upgrades, ..Forward::to(cluster::PASSTHROUGH) };
        let matches = RouteMatch { path, ..RouteMatch::any() };
        Route::new("allow_any", matches, RouteAction::Forward(Box::new(forward)))
    };
    VirtualHost {
        name: "allow_any".to_owned(),
        domains: vec!["*".to_owned()],
        routes: vec![
            route(PathMatch::Connect, vec![RouteUpgrade::connect()]),
            route(RouteMatch::any().path, Vec::new()),
        ],
        ..VirtualHost::default()
    }
}

/// A port that speaks no HTTP is reached through a tunnel.
fn tunnels_only(snapshot: &Snapshot, service: &Service, port: &ServicePort, namespace: &str) -> VirtualHost {
    let hosts = listener::hosts(snapshot, service, namespace).into_iter();
    let mut forward = Forward::to("");
    let named = tcp::by_server_name(snapshot, service, port);
    let own = named.into_iter().find(|(names, _)| names.contains(&service.fqdn));
    forward.clusters = own.map_or_else(|| tcp::clusters(snapshot, service, port), |(_, clusters)| clusters);
    forward.upgrades = vec![RouteUpgrade::connect()];
    let matches = RouteMatch { path: PathMatch::Connect, ..RouteMatch::any() };
    let tunnel = Route::new("default", matches, RouteAction::Forward(Box::new(forward)));
    VirtualHost {
        name: format!("{}:{}", service.fqdn, port.number),
        domains: hosts.map(|host| format!("{host}:{}", port.number)).collect(),
        routes: std::iter::once(tunnel).chain(strangers().routes.into_iter().skip(1)).collect(),
        ..VirtualHost::default()
    }
}

/// The same for `CONNECT`, of a route that looks at no path: the tunnel ends here, and its bytes go to an endpoint.
fn tunnel(route: &Route) -> Option<Route> {
    let PathMatch::Prefix { text, .. } = &route.matches.path else { return None };
    let mut route = Some(route.clone()).filter(|_| text == "/")?;
    route.matches.path = PathMatch::Connect;
    if let RouteAction::Forward(forward) = &mut route.action {
        forward.rewrite = None;
        forward.upgrades = vec![RouteUpgrade::connect()];
    }
    Some(route)
}

/// What the mesh does not know is refused with a reason; named as in Istio.
fn strangers() -> VirtualHost {
    let body = "no service of the mesh has this name and port; hosts outside it belong in NO_PROXY\n".to_owned();
    VirtualHost {
        name: "block_all".to_owned(),
        domains: vec!["*".to_owned()],
        routes: [PathMatch::Connect, RouteMatch::any().path]
            .into_iter()
            .map(|path| {
                let matches = RouteMatch { path, ..RouteMatch::any() };
                forward::direct("block_all".to_owned(), matches, 502, body.clone())
            })
            .collect(),
        ..VirtualHost::default()
    }
}

/// gRPC knows no prefix that ends at a slash: the same as a pattern.
pub(crate) fn for_grpc(table: &RouteTable) -> RouteTable {
    let mut table = table.clone();
    let routes = table.virtual_hosts.iter_mut().flat_map(|host| &mut host.routes);
    for path in routes.map(|route| &mut route.matches.path) {
        let PathMatch::PathSeparatedPrefix { text, ignore_case } = &*path else { continue };
        let flag = if *ignore_case { "(?i)" } else { "" };
        if let Ok(pattern) = Pattern::new(&format!("{flag}{}(/.*)?", escape(text))) {
            *path = PathMatch::Regex(pattern);
        }
    }
    table
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '/' | '-' | '_' | '%' | '~' | ' ') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
