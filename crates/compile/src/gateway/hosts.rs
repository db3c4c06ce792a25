//! Virtual hosts of a port. Each host pattern that a listener or a route names is one; it belongs to the most specific
//! listener that covers it, and has the rules of every route of that listener that covers it, those of the more specific
//! hostname first.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use leno_ir::{RouteMatch, VirtualHost};
use leno_model::api::ResourceKey;
use leno_model::{AttachedRoute, GatewayListener, RouteObject, covers};

use crate::forward;
use crate::route_rules::{Scope, ranked};

const ANY: &str = "*";
/// RFC 9110 §15.5.20.
const MISDIRECTED: u16 = 421;

/// `one`: only what that listener serves, as it was chosen by server name; hosts of the others are misdirected.
pub(super) fn compile(
    scope: &mut Scope<'_>,
    gateway: &ResourceKey,
    listeners: &[&GatewayListener],
    one: Option<&GatewayListener>,
) -> Vec<VirtualHost> {
    let mut domains = BTreeSet::new();
    for listener in listeners {
        let host = pattern(listener.hostname.as_deref());
        domains.insert(host.to_owned());
        for attached in listener.routes.iter().filter(|attached| speaks_http(attached)) {
            domains.extend(attached.hostnames.iter().cloned());
        }
    }
    let mut hosts = Vec::new();
    for domain in domains {
        let Some(owner) = owner(listeners, &domain) else { continue };
        let routes = match one {
            Some(one) if !std::ptr::eq(one, owner) => {
                // The same answer for what the chosen listener covers less well and for what it does not cover.
                vec![forward::direct("misdirected".to_owned(), RouteMatch::any(), MISDIRECTED, String::new())]
            }
            _ => {
                scope.policies = scope.snapshot.route_policies.of_listener(gateway, &owner.name);
                routes(scope, owner, &domain)
            }
        };
        hosts.push(VirtualHost { name: domain.clone(), domains: vec![domain], routes, ..VirtualHost::default() });
    }
    hosts
}

fn pattern(host: Option<&str>) -> &str {
    host.unwrap_or(ANY)
}

const fn speaks_http(attached: &AttachedRoute) -> bool {
    matches!(attached.route, RouteObject::Grpc(_) | RouteObject::Http(_))
}

/// An exact name before a pattern, a longer pattern before a shorter.
fn specificity(pattern: &str) -> (bool, usize) {
    (!pattern.starts_with('*'), pattern.len())
}

fn owner<'a>(listeners: &[&'a GatewayListener], domain: &str) -> Option<&'a GatewayListener> {
    let covering = listeners.iter().filter(|listener| covers(pattern(listener.hostname.as_deref()), domain));
    // Stable: of equals the first, and there are none on one port.
    covering.max_by_key(|listener| specificity(pattern(listener.hostname.as_deref()))).copied()
}

fn routes(scope: &mut Scope<'_>, listener: &GatewayListener, domain: &str) -> Vec<leno_ir::Route> {
    let mut all = Vec::new();
    for attached in listener.routes.iter().filter(|attached| speaks_http(attached)) {
        let own = [pattern(listener.hostname.as_deref()).to_owned()];
        let names = if attached.hostnames.is_empty() { &own[..] } else { &attached.hostnames };
        let best = names.iter().filter(|name| covers(name, domain)).map(|name| specificity(name)).max();
        let Some(best) = best else { continue };
        all.extend(ranked(scope, &attached.route).into_iter().map(|one| (Reverse(best), one)));
    }
    // Stable: among equals the older object, then the earlier rule, stays first.
    all.sort_by_key(|(best, one)| (*best, one.rank));
    all.into_iter().flat_map(|(_, one)| one.routes).collect()
}
