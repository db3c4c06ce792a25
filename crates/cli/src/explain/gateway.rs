//! Requests of strangers, who come by a gateway.

use std::sync::Arc;

use leno_api::{Kind, ResourceKey};
use leno_ir::{FilterChain, Listener, NetworkFilter, RouteSource, RouteTable};
use leno_model::{Gateway, GatewayListener, Snapshot, covers};
use leno_routing::CompiledRoutes;

use super::Request;
use super::steps::Explaining;

/// `gateway/NAME` or `gateway/NAMESPACE/NAME`; without a namespace the default one comes first.
pub(super) fn named(snapshot: &Snapshot, from: &str) -> Option<Arc<Gateway>> {
    let name = from.strip_prefix("gateway/")?;
    if let Some((namespace, name)) = name.split_once('/') {
        return snapshot.gateways.get(&ResourceKey::new(Kind::Gateway, namespace, name)).cloned();
    }
    let of_default = snapshot.gateways.get(&ResourceKey::new(Kind::Gateway, leno_api::DEFAULT_NAMESPACE, name));
    of_default.or_else(|| snapshot.gateways.values().find(|gateway| gateway.key.name == name)).cloned()
}

/// What comes of a request to it.
pub(super) fn explain(explaining: &mut Explaining<'_>, gateway: &Gateway, request: &Request) {
    let port = request.port;
    let Some(listener) = explaining.config.listeners.values().find(|one| one.address.port() == port).cloned() else {
        let text = format!("nothing listens on port {port}: connections are refused");
        return explaining.step("listener", text, Some(&gateway.key), "spec.listeners");
    };
    let host = request.host.to_ascii_lowercase();
    let written = gateway.listeners.iter().filter(|one| one.port == port);
    let fits = written.filter(|one| one.hostname.as_deref().is_none_or(|pattern| covers(pattern, &host)));
    if let Some(one) = fits.max_by_key(|one| specificity(one.hostname.as_deref())) {
        let hosts = one.hostname.as_deref().unwrap_or("every host");
        let field = field_of(explaining, one);
        explaining.step("listener", format!("{} on port {port}, for {hosts}", one.name), Some(&one.owner), &field);
    }
    let Some(chain) = chain(&listener, &host, request.scheme == "https") else {
        let text = format!("no listener on port {port} takes {} for {host}: the connection is closed", request.scheme);
        return explaining.step("listener", text, Some(&gateway.key), "spec.listeners");
    };
    let routes = gateway.listeners.iter().flat_map(|listener| &listener.routes);
    let keys: Vec<_> = routes.map(|attached| attached.route.key()).collect();
    match &chain.filter {
        NetworkFilter::Http(manager) => {
            let table = match &manager.routes {
                RouteSource::Rds(name) => explaining.config.route_tables.get(name).cloned(),
                _ => None,
            };
            by_table(explaining, table, &keys, request);
        }
        NetworkFilter::Tcp(proxy) => {
            explaining.step("route", "a connection, of which rules for HTTP see nothing", None, "");
            explaining.shares(&proxy.clusters);
        }
    }
}

fn by_table(explaining: &mut Explaining<'_>, table: Option<Arc<RouteTable>>, keys: &[ResourceKey], request: &Request) {
    let Some(table) = table else { return explaining.step("route", "there is no route table", None, "") };
    let routes = CompiledRoutes::new(table);
    match routes.route(request, 0) {
        Some(matched) => explaining.route(keys, &matched, request),
        None => explaining.step("route", "no rule of an attached route matches: 404 (NR)", None, ""),
    }
}

fn specificity(pattern: Option<&str>) -> (bool, usize) {
    pattern.map_or((false, 0), |pattern| (!pattern.starts_with('*'), pattern.len()))
}

/// By server name where TLS is spoken, as the client is taken to ask for the host.
fn chain<'a>(listener: &'a Listener, host: &str, is_tls: bool) -> Option<&'a FilterChain> {
    if !is_tls {
        return listener.default_filter_chain.as_ref();
    }
    let fits = |chain: &&FilterChain| {
        let names = &chain.matches.server_names;
        names.is_empty() || names.iter().any(|name| covers(name, host))
    };
    let best = |chain: &&FilterChain| {
        let names = chain.matches.server_names.iter().filter(|name| covers(name, host));
        names.map(|name| specificity(Some(name))).max()
    };
    listener.filter_chains.iter().filter(fits).max_by_key(best)
}

fn field_of(explaining: &Explaining<'_>, listener: &GatewayListener) -> String {
    let object = explaining.loaded.resource(&listener.owner).map(|resource| resource.to_json());
    let listeners = object.as_ref().and_then(|object| object["spec"]["listeners"].as_array());
    let at = listeners.and_then(|all| all.iter().position(|one| one["name"] == listener.name.as_str()));
    at.map_or_else(|| "spec.listeners".to_owned(), |at| format!("spec.listeners[{at}]"))
}
